"""What `check` and `doctor` share: findings → printed → exit status, and the option for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import click

from ctl.errors import EXIT_FAILED
from ctl.plan.findings.finding import Finding
from ctl.render import machine
from ctl.render.cluster import print_findings, summary
from ctl.render.console import stdout
from ctl.render.words import plural
from ctl.snapshot import ClusterSnapshot

Decorated = TypeVar("Decorated", bound=Callable[..., object])


def fail_on_option(function: Decorated) -> Decorated:
    return click.option(
        "--fail-on",
        type=click.Choice(["warning", "error"]),
        default="warning",
        show_default=True,
        help="The least severity that makes the exit status 1.",
    )(function)


def tell(
    snapshot: ClusterSnapshot,
    findings: Sequence[Finding],
    *,
    fail_on: str,
    as_json: bool,
    facts: Mapping[str, machine.Json],
    told_too: str = "",
) -> None:
    """Prints the findings, with `facts` in the document and `told_too` in the last line.

    Ends with status 1 when there is a problem of severity `fail_on` or worse.
    """
    problems = [finding for finding in findings if finding.is_problem]
    if as_json:
        listed = [machine.finding(finding) for finding in findings]
        document = {"ok": not problems, "findings": listed, **facts, **machine.cluster(snapshot)}
        click.echo(machine.text(document))
    else:
        console = stdout()
        console.print(summary(snapshot))
        print_findings(console, findings)
        counted = Counter(finding.severity for finding in problems)
        told = " and ".join(plural(number, severity) for severity, number in counted.items())
        console.print(" · ".join(filter(None, (told or "no problems found", told_too))))
    if any(finding.severity == "error" or fail_on == "warning" for finding in problems):
        click.get_current_context().exit(EXIT_FAILED)
