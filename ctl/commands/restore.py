"""`ctl cluster restore`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctl.commands.backup import check
from ctl.commands.common import (
    Verb,
    confirm,
    json_option,
    run,
    target,
    target_options,
    yes_option,
)
from ctl.errors import EXIT_FAILED, CtlError, UsageError
from ctl.execute.restore import Into, look_at, restore
from ctl.plan.restore import Existing, Outcome, Restore
from ctl.render import backup as show
from ctl.render import machine
from ctl.render.console import stderr, stdout
from ctl.render.words import plural


@click.command("restore", cls=Verb)
@click.argument("where", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace keys that the cluster has already.")
@click.option("--skip-existing", is_flag=True, help="Leave keys alone that the cluster has already.")
@click.option("--dry-run", is_flag=True, help="Check the backup and the cluster; write nothing.")
@target_options
@yes_option
@json_option
def command(where: Path, replace: bool, skip_existing: bool, dry_run: bool, **options: Any) -> None:
    """Put a backup into a cluster of any shape.

    DIR is checked first, wholly. The cluster has to be empty, unless --replace or --skip-existing says whose
    value survives. A restore that was stopped is gone on with by giving one of them.
    """
    as_json = options["as_json"]
    where = Path(where.absolute())
    existing = existing_of(replace=replace, skip=skip_existing)
    place = target(options["addr"], options["directory"], options["user"], options["password"])
    into = Into(place.seeds, place.credentials, existing)
    manifest = check(where, as_json=as_json)
    plan = run(lambda: look_at(into, manifest))
    if not wanted(plan, dry_run=dry_run, yes=options["yes"], as_json=as_json):
        return
    with show.transfer_progress(quiet=as_json) as on_progress:
        outcome = run(lambda: restore(into, where, manifest, on_progress))
    finish(outcome, as_json=as_json)


def wanted(plan: Restore, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Shows the plan and asks; False when showing it was all. Raises what `confirm` raises."""
    if dry_run and as_json:
        click.echo(machine.text(show.restore_document(plan)))
    elif dry_run or not as_json:
        show.print_restore(stdout() if dry_run else stderr(), plan)
    if not dry_run:
        confirm("Do this?", yes=yes, as_json=as_json)
    return not dry_run


def existing_of(*, replace: bool, skip: bool) -> Existing:
    """Raises UsageError for both."""
    if replace and skip:
        raise UsageError("--replace and --skip-existing are opposites", "Give one of them.")
    return "replace" if replace else "skip" if skip else "refuse"


def finish(outcome: Outcome, *, as_json: bool) -> None:
    """Shows what was done. Keys that are at both ends make it a failure."""
    if as_json:
        click.echo(machine.text(show.outcome_document(outcome)))
    else:
        show.print_outcome(stdout(), outcome)
    if not outcome.conflict_count:
        return
    if as_json:
        click.get_current_context().exit(EXIT_FAILED)
    for line in show.conflict_lines(outcome):
        click.echo(line, err=True)
    raise CtlError(
        f"{plural(outcome.conflict_count, 'key')} were there already and left as they were",
        "Say whose value survives: --replace or --skip-existing.",
    )
