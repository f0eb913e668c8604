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


def drill_options(function: Decorated) -> Decorated:
    """Limits, the workload, the page, and which cluster."""
    options = [
        click.option(
            "--max-unavailable-ms",
            type=click.FloatRange(0),
            help="Longest time that a shard takes no writes.",
        ),
        click.option("--max-lost", type=click.IntRange(0), help="Acknowledged writes that may be lost."),
        click.option("--max-errors", type=click.IntRange(0), help="Errors that clients may see."),
        click.option(
            "--report",
            "page_path",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write a page, FILE.md or FILE.html.",
        ),
        click.option(
            "--rate",
            default=100.0,
            show_default=True,
            type=click.FloatRange(1, 10_000),
            help="Writes a second, to each shard.",
        ),
        click.option(
            "--keys",
            default=128,
            show_default=True,
            type=click.IntRange(1, 16384),
            help="Keys for each shard.",
        ),
        click.option(
            "--client-timeout-ms",
            default=500,
            show_default=True,
            type=click.IntRange(10),
            help="How long clients wait for a reply.",
        ),
        click.option(
            "--warm-up",
            default=2.0,
            show_default=True,
            type=click.FloatRange(0),
            help="Seconds that clients write before.",
        ),
        click.option(
            "--timeout",
            default=60.0,
            show_default=True,
            type=click.FloatRange(0.1),
            help="Seconds to be well again in.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
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
    path = options["page_path"]
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
