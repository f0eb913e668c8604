"""`ctl cluster doctor`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Target, Verb, json_option, run, target, target_options
from ctl.commands.findings import fail_on_option, tell
from ctl.execute.doctor import examine
from ctl.plan.doctor import diagnose
from ctl.plan.doctor_facts import Examination
from ctl.render.words import plural
from ctl.snapshot import Address


@click.command("doctor", cls=Verb)
@fail_on_option
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Keys of each primary to look at for big and hot ones.",
)
@target_options
@json_option
def command(
    fail_on: str,
    sample: int,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """Hold a running cluster against the production checklist.

    Memory limits, persistence, passwords, replication, evictions, slow commands, big and hot keys: each
    finding says what is, why it matters and what to do. Errors and warnings are problems; --fail-on error
    lets warnings pass. Nothing is changed on any node.
    """
    where = target(addr, directory, user, password)
    examination = run(lambda: _examine(where, sample))
    count = examination.sampled_key_count
    tell(
        examination.snapshot,
        diagnose(examination),
        fail_on=fail_on,
        as_json=as_json,
        facts={"sampled_keys": count},
        told_too=f"{plural(count, 'key')} sampled",
    )


async def _examine(where: Target, sample: int) -> Examination:
    async with where.fleet() as fleet:
        return await examine(fleet, where.seeds, sample=sample)
