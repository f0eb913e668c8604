"""`ctl cluster check`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Target, Verb, json_option, run, target, target_options
from ctl.commands.findings import fail_on_option, tell
from ctl.execute.survey import survey
from ctl.plan.check import check
from ctl.snapshot import Address
from ctl.survey import Survey


@click.command("check", cls=Verb)
@fail_on_option
@target_options
@json_option
def command(
    fail_on: str,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """List every problem; exit 1 when there is one.

    Errors and warnings are problems; --fail-on error lets warnings pass. Infos never are, such as that all
    nodes are on one host. Nothing is changed on any node.
    """
    where = target(addr, directory, user, password)
    looked = run(lambda: look_closely(where))
    tell(looked.snapshot, check(looked), fail_on=fail_on, as_json=as_json, facts={})


async def look_closely(where: Target) -> Survey:
    """The cluster now, with all that its nodes tell. Raises UnreachableError."""
    async with where.fleet() as fleet:
        return await survey(fleet, where.seeds)
