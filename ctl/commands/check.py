"""`ctl cluster check`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, json_option, look, run, target, target_options
from ctl.errors import EXIT_FAILED
from ctl.plan.check import check
from ctl.render import machine
from ctl.render.cluster import print_findings, summary
from ctl.render.console import stdout
from ctl.snapshot import Address


@click.command("check", cls=Verb)
@target_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    as_json: bool,
) -> None:
    """List every problem; exit 1 when there is one.

    Errors and warnings are problems. Notes are not, such as that all nodes are on one host.
    """
    where = target(addr, directory, user, password)
    snapshot = run(lambda: look(where))
    findings = check(snapshot)
    problems = [finding for finding in findings if finding.is_problem]
    if as_json:
        listed = [machine.finding(finding) for finding in findings]
        click.echo(machine.text({"ok": not problems, "findings": listed, **machine.cluster(snapshot)}))
    else:
        console = stdout()
        console.print(summary(snapshot))
        print_findings(console, findings)
        if not problems:
            console.print("no problems found")
    if problems:
        ctx.exit(EXIT_FAILED)
