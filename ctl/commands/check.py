"""`ctl cluster check`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from ctl.commands.common import Target, Verb, json_option, run, target, target_options
from ctl.errors import EXIT_FAILED
from ctl.execute.survey import survey
from ctl.plan.check import check
from ctl.render import machine
from ctl.render.cluster import print_findings, summary
from ctl.render.console import stdout
from ctl.render.words import plural
from ctl.snapshot import Address
from ctl.survey import Survey


@click.command("check", cls=Verb)
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "error"]),
    default="warning",
    show_default=True,
    help="The least severity that makes the exit status 1.",
)
@target_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
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
    findings = check(looked)
    problems = [finding for finding in findings if finding.is_problem]
    if as_json:
        listed = [machine.finding(finding) for finding in findings]
        document = {"ok": not problems, "findings": listed, **machine.cluster(looked.snapshot)}
        click.echo(machine.text(document))
    else:
        console = stdout()
        console.print(summary(looked.snapshot))
        print_findings(console, findings)
        counted = Counter(finding.severity for finding in problems)
        told = " and ".join(plural(number, severity) for severity, number in counted.items())
        console.print(told or "no problems found")
    if any(finding.severity == "error" or fail_on == "warning" for finding in problems):
        ctx.exit(EXIT_FAILED)


async def look_closely(where: Target) -> Survey:
    """The cluster now, with all that its nodes tell. Raises UnreachableError."""
    async with where.fleet() as fleet:
        return await survey(fleet, where.seeds)
