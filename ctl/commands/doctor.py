"""`ctl cluster doctor`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from ctl.commands.common import Target, Verb, json_option, run, target, target_options
from ctl.errors import EXIT_FAILED
from ctl.execute.doctor import examine
from ctl.plan.doctor import diagnose
from ctl.plan.doctor_facts import Examination
from ctl.render import machine
from ctl.render.cluster import print_findings, summary
from ctl.render.console import stdout
from ctl.render.words import plural
from ctl.snapshot import Address


@click.command("doctor", cls=Verb)
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "error"]),
    default="warning",
    show_default=True,
    help="The least severity that makes the exit status 1.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Keys of each primary to look at for big and hot ones.",
)
@target_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
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
    findings = diagnose(examination)
    problems = [finding for finding in findings if finding.is_problem]
    if as_json:
        document: dict[str, machine.Json] = {
            "ok": not problems,
            "findings": [machine.finding(finding) for finding in findings],
            "sampled_keys": examination.sampled_key_count,
            **machine.cluster(examination.snapshot),
        }
        click.echo(machine.text(document))
    else:
        console = stdout()
        console.print(summary(examination.snapshot))
        print_findings(console, findings)
        counted = Counter(finding.severity for finding in problems)
        told = " and ".join(plural(number, severity) for severity, number in counted.items())
        console.print(
            f"{told or 'no problems found'} · {plural(examination.sampled_key_count, 'key')} sampled"
        )
    if any(finding.severity == "error" or fail_on == "warning" for finding in problems):
        ctx.exit(EXIT_FAILED)


async def _examine(where: Target, sample: int) -> Examination:
    async with where.fleet() as fleet:
        return await examine(fleet, where.seeds, sample=sample)
