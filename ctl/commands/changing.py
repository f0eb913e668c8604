"""What verbs that change a cluster share: plan → show → confirm → run → outcome, and the options for it."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ctl.commands.common import (
    Target,
    confirm,
    json_option,
    run,
    target,
    target_options,
    yes_option,
)
from ctl.errors import CtlError
from ctl.execute.change import Result, Where, run_change
from ctl.execute.estimate import costs_of
from ctl.execute.fleet import Fleet
from ctl.execute.gather import gather
from ctl.plan.change import Change, Move, Roster, Step
from ctl.plan.change_file import to_json
from ctl.plan.moves import risks_of
from ctl.plan.progress import OnChangeEvent
from ctl.render import machine
from ctl.render.change import outcome_line, plan_document, print_plan
from ctl.render.console import stderr, stdout
from ctl.render.progress import progress
from ctl.snapshot import ClusterSnapshot

Decorated = TypeVar("Decorated", bound=Callable[..., object])
Planner = Callable[[Fleet, ClusterSnapshot], Awaitable[Change]]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a change is to be made, whatever it is."""

    where: Target
    dry_run: bool
    out: Path | None
    timeout_s: float
    atomic: bool
    yes: bool
    as_json: bool

    @classmethod
    def of(cls, options: dict[str, Any]) -> Terms:
        """Of the options of `change_options`. Raises UsageError for a cluster that is not there."""
        where = target(options["addr"], options["directory"], options["user"], options["password"])
        return cls(
            where,
            options.get("dry_run", False),
            options.get("out"),
            options["timeout"],
            not options["no_atomic"],
            options["yes"],
            options["as_json"],
        )

    @property
    def place(self) -> Where:
        return Where(self.where.seeds, self.where.credentials, self.where.local, self.timeout_s, self.atomic)


def change_options(function: Decorated) -> Decorated:
    """--dry-run, --out and those of `run_options`."""
    dry = click.option("--dry-run", is_flag=True, help="Show what would be done, and what it costs.")
    path = click.Path(path_type=Path, dir_okay=False)
    out = click.option("--out", type=path, help="Write the plan to a file for `apply`; run nothing.")
    return dry(out(run_options(function)))


def run_options(function: Decorated) -> Decorated:
    """--timeout, --yes, --json and which cluster."""
    help_text = "Seconds that a step other than moving slots may take."
    timeout = click.option(
        "--timeout", default=60.0, type=click.FloatRange(0.1), show_default=True, help=help_text
    )
    by_migrate = click.option(
        "--no-atomic", is_flag=True, help="Move keys by MIGRATE even where nodes can hand slots over at once."
    )
    return timeout(by_migrate(target_options(yes_option(json_option(function)))))


def make_change(terms: Terms, planner: Planner) -> None:
    """Everything after the arguments. Raises CtlError."""

    async def plan() -> Change:
        async with terms.where.fleet() as fleet:
            return await planner(fleet, await gather(fleet, terms.where.seeds))

    change = run(plan)
    if not change.steps:
        _nothing(change, as_json=terms.as_json)
    elif terms.dry_run or terms.out is not None:
        _show_only(change, terms)
    else:
        if not terms.as_json:
            print_plan(stderr(), change)
        confirm("Do this?", yes=terms.yes, as_json=terms.as_json)
        carry_out(terms, lambda on_event: run_change(terms.place, change, on_event))


async def build(
    fleet: Fleet, snapshot: ClusterSnapshot, verb: str, title: str, steps: tuple[Step, ...], *risks: str
) -> Change:
    """A change of `steps`, whose moves are given their costs. Raises CtlError."""
    moves = [step for step in steps if isinstance(step, Move)]
    costs = await costs_of(fleet, snapshot, moves)
    atomic = costs.atomic and not click.get_current_context().params.get("no_atomic")
    priced = iter(costs.moves)
    return Change(
        verb,
        title,
        Roster.of(snapshot),
        tuple(next(priced) if isinstance(step, Move) else step for step in steps),
        (*risks_of(snapshot, moves, atomic=atomic), *risks),
    )


def _nothing(change: Change, *, as_json: bool) -> None:
    if as_json:
        click.echo(machine.text({**plan_document(change), "done": False}))
    else:
        click.echo(f"nothing to do: {change.title}")


def _show_only(change: Change, terms: Terms) -> None:
    if terms.out is not None:
        _write(terms.out, change)
    if terms.as_json:
        written = str(terms.out) if terms.out is not None else None
        click.echo(machine.text({**plan_document(change), "done": False, "out": written}))
        return
    print_plan(stdout(), change)
    if terms.out is not None:
        click.echo(f"written to {terms.out}; `ctl cluster apply {terms.out}` runs it")


def _write(path: Path, change: Change) -> None:
    """Private, since a plan may hold a password; whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(to_json(change), indent=1) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise CtlError(f"cannot write {path}: {error.strerror}") from error


def carry_out(terms: Terms, running: Callable[[OnChangeEvent], Awaitable[Result]]) -> None:
    """Runs and shows the outcome. Raises CtlError."""
    with progress(quiet=terms.as_json) as on_event:
        result = run(lambda: running(on_event))
    if terms.as_json:
        click.echo(machine.text(_document(result)))
        return
    change = result.change
    done = "undone: " if result.direction == "rolled back" else ""
    if change.moves:
        click.echo(
            done
            + outcome_line(
                slots=result.slots,
                keys=result.keys,
                size_bytes=result.size_bytes,
                atomic_slots=result.atomic_slots,
                pause_ms=result.longest_pause_ms,
                took_ms=result.took_ms,
            )
        )
    else:
        click.echo(f"{done}{change.title}")
    click.echo(f"all {len(result.snapshot.views)} nodes agree on the map")


def _document(result: Result) -> dict[str, machine.Json]:
    return {
        "verb": result.change.verb,
        "title": result.change.title,
        "done": True,
        "direction": result.direction,
        "plan": plan_document(result.change)["plan"],
        "slots": result.slots,
        "keys": result.keys,
        "bytes": result.size_bytes,
        "atomic_slots": result.atomic_slots,
        "longest_pause_ms": result.longest_pause_ms,
        "took_ms": result.took_ms,
        **machine.cluster(result.snapshot),
    }
