"""What the drills share: plan → show → confirm → run → report → exit status, and the options for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ctl.commands.common import Target, confirm, json_option, run, target, target_options, yes_option
from ctl.errors import EXIT_FAILED, EXIT_INTERRUPTED, CtlError
from ctl.execute.drill.run import Terms, node_timeout, run_drill
from ctl.execute.gather import gather
from ctl.plan.drill import Drill, Kind, plan_drill
from ctl.plan.drill_report import Limits, Report
from ctl.render import machine
from ctl.render.console import stderr, stdout
from ctl.render.drill import document, page, print_plan, print_report
from ctl.render.progress import progress

Decorated = TypeVar("Decorated", bound=Callable[..., object])

PAGE = click.Path(path_type=Path, dir_okay=False)


def drill_options(function: Decorated) -> Decorated:
    """Limits, the workload, the page, and which cluster."""
    number = click.FloatRange
    count = click.IntRange
    for name, values, default, text in reversed(
        (
            ("--max-unavailable-ms", number(0), None, "Longest time that a shard takes no writes."),
            ("--max-lost", count(0), None, "Acknowledged writes that may be lost."),
            ("--max-errors", count(0), None, "Errors that clients may see."),
            ("--report", PAGE, None, "Write a page, FILE.md or FILE.html."),
            ("--rate", number(1, 10_000), 100.0, "Writes a second, to each shard."),
            ("--keys", count(1, 16384), 128, "Keys for each shard."),
            ("--client-timeout-ms", count(10), 500, "How long clients wait for a reply."),
            ("--warm-up", number(0), 2.0, "Seconds that clients write before."),
            ("--timeout", number(0.1), 60.0, "Seconds to be well again in."),
        )
    ):
        shown = default is not None
        function = click.option(name, type=values, default=default, show_default=shown, help=text)(function)
    return target_options(yes_option(json_option(function)))


def duration_option(function: Decorated) -> Decorated:
    text = "Seconds that it lasts; 2.5 node time-outs (at least 3 s) unless given."
    return click.option("--duration", type=click.FloatRange(0.1, 3600), help=text)(function)


def command_options(function: Decorated) -> Decorated:
    """For clusters that ctl did not start."""
    fault = "Shell command that breaks $DRILL_NODE, where ctl cannot (also: $DRILL_HOST, $DRILL_PORT)."
    heal = "Shell command that mends it."
    mend = click.option("--heal-command", metavar="COMMAND", help=heal)
    return click.option("--fault-command", metavar="COMMAND", help=fault)(mend(function))


def drill(kind: Kind, options: dict[str, Any], **planning: Any) -> None:
    """Everything after the arguments. Raises CtlError; ends with status 1 when a limit is broken."""
    as_json = options["as_json"]
    where = target(options["addr"], options["directory"], options["user"], options["password"])
    path = options["report"]
    if path is not None and not path.absolute().parent.is_dir():
        raise CtlError(f"cannot write {path}: no such directory")
    planned, node_timeout_ms = run(lambda: _plan(where, kind, planning))
    terms = _terms(where, options, node_timeout_ms)
    if not as_json:
        print_plan(stderr(), planned)
    confirm("Do this to the cluster?", yes=options["yes"], as_json=as_json)
    with progress(quiet=as_json) as on_event:
        report = run(lambda: run_drill(planned, terms, on_event))
    _show(report, path, as_json=as_json)


def _terms(where: Target, options: dict[str, Any], node_timeout_ms: int) -> Terms:
    return Terms(
        credentials=where.credentials,
        cluster=where.local,
        commands=(options.get("fault_command"), options.get("heal_command")),
        limits=Limits(options["max_unavailable_ms"], options["max_lost"], options["max_errors"]),
        node_timeout_ms=node_timeout_ms,
        warm_up_s=options["warm_up"],
        recover_timeout_s=options["timeout"],
        client_timeout_ms=options["client_timeout_ms"],
        rate=options["rate"],
        keys=options["keys"],
    )


async def _plan(where: Target, kind: Kind, planning: dict[str, Any]) -> tuple[Drill, int]:
    async with where.fleet() as fleet:
        snapshot = await gather(fleet, where.seeds)
        node_timeout_ms = await node_timeout(fleet, [view.address for view in snapshot.views])
        return plan_drill(snapshot, kind, node_timeout_ms=node_timeout_ms, **planning), node_timeout_ms


def _show(report: Report, path: Path | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(machine.text(document(report)))
    else:
        print_report(stdout(), report)
    if path is not None:
        try:
            path.write_text(page(report, path))
        except OSError as error:
            raise CtlError(f"cannot write {path}: {error.strerror}") from error
        if not as_json:
            click.echo(f"\nwritten to {path}", err=True)
    if report.interrupted:
        click.get_current_context().exit(EXIT_INTERRUPTED)
    if not report.passed:
        click.get_current_context().exit(EXIT_FAILED)
