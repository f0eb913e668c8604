"""`ctl cluster fix`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import click

from ctl.commands.common import Target, Verb, confirm, json_option, run, target, target_options, yes_option
from ctl.errors import EXIT_FAILED, CtlError
from ctl.execute.fix import carry_out, collisions_of, settled_survey
from ctl.plan.change_file import to_json
from ctl.plan.check import check
from ctl.plan.fix import Diagnosis, Wishes, plan_fix
from ctl.plan.repairs import Keep
from ctl.plan.steps import OnEvent
from ctl.render import machine
from ctl.render.cluster import print_findings
from ctl.render.console import stderr, stdout
from ctl.render.fix import document, print_diagnosis, print_left
from ctl.render.progress import progress
from ctl.render.words import plural
from ctl.snapshot import Address
from ctl.survey import Survey

# What a repair has changed needs a moment to be heard by all, and a cluster to accept commands again.
AFTERWARDS_S = 5.0


@click.command("fix", cls=Verb)
@click.option("--cover-uncovered", is_flag=True, help="Give slots that have no owner to somebody.")
@click.option(
    "--keep",
    type=click.Choice(["source", "target", "newer"]),
    help="Of a key with two values: the one it moves from, the one on the owner, the one used last.",
)
@click.option("--forget", multiple=True, metavar="NODE", help="A dead node that will not return; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plan to a file for `apply`; run nothing.",
)
@click.option(
    "--patience",
    default=3.0,
    type=click.FloatRange(0),
    show_default=True,
    help="Seconds for what may pass by itself, such as news that spread.",
)
@click.option(
    "--timeout", default=60.0, type=click.FloatRange(0.1), show_default=True, help="Seconds for a step."
)
@target_options
@yes_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    cover_uncovered: bool,
    keep: str | None,
    forget: tuple[str, ...],
    dry_run: bool,
    out: Path | None,
    patience: float,
    timeout: float,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Repair what check finds; exit 1 when something is left.

    Moves of slots that were interrupted are finished, or taken back where nothing has moved; keys in a slot
    of another node go to that node; epochs that collide are made different. It never chooses between two
    values of a key, gives slots away or forgets a node by itself: that takes --keep, --cover-uncovered and
    --forget. The plan is shown first.
    """
    where = target(addr, directory, user, password)
    wishes = Wishes(cover_uncovered, cast(Keep, keep or ""), forget)
    looked, diagnosis = run(lambda: _diagnose(where, wishes, patience))
    if out is not None:
        _write(out, diagnosis)
    stops = dry_run or out is not None or not diagnosis.change.steps
    if not as_json:
        print_diagnosis(stdout() if stops else stderr(), diagnosis, looked.snapshot)
    if stops:
        if as_json:
            click.echo(machine.text({"done": False, **document(diagnosis)}))
        elif not diagnosis.change.steps:
            click.echo("nothing to repair" if not diagnosis.left else "nothing was done")
        ctx.exit(EXIT_FAILED if diagnosis.left else 0)
    confirm(f"Do {plural(len(diagnosis.change.steps), 'step')}?", yes=yes, as_json=as_json)
    with progress(quiet=as_json) as on_event:
        looked, after = run(lambda: _repair(where, diagnosis, wishes, on_event, patience, timeout))
    _report(diagnosis, looked, after, as_json=as_json)
    if after.left or after.change.steps:
        ctx.exit(EXIT_FAILED)


async def _diagnose(where: Target, wishes: Wishes, patience_s: float) -> tuple[Survey, Diagnosis]:
    async with where.fleet() as fleet:
        looked = await settled_survey(fleet, where.seeds, patience_s=patience_s)
        return looked, plan_fix(looked, await collisions_of(fleet, looked), wishes)


async def _repair(
    where: Target,
    diagnosis: Diagnosis,
    wishes: Wishes,
    on_event: OnEvent,
    patience_s: float,
    timeout_s: float,
) -> tuple[Survey, Diagnosis]:
    """The cluster after it, and what is left."""
    async with where.fleet() as fleet:
        await carry_out(
            diagnosis.change, fleet, where.credentials, where.seeds, on_event, timeout_s=timeout_s
        )
        looked = await settled_survey(fleet, where.seeds, patience_s=max(patience_s, AFTERWARDS_S))
        wishes = Wishes(wishes.cover_uncovered, wishes.keep)
        return looked, plan_fix(looked, await collisions_of(fleet, looked), wishes)


def _write(out: Path, diagnosis: Diagnosis) -> None:
    try:
        out.write_text(json.dumps(to_json(diagnosis.change), indent=2) + "\n")
    except OSError as error:
        raise CtlError(f"cannot write {out}: {error.strerror}", "Nothing was done.") from error


def _report(done: Diagnosis, looked: Survey, after: Diagnosis, *, as_json: bool) -> None:
    findings = check(looked)
    if as_json:
        listed: list[machine.Json] = [machine.finding(finding) for finding in findings]
        left = document(after)["left"]
        click.echo(machine.text({**document(done), "done": True, "left": left, "findings": listed}))
    else:
        click.echo(f"{plural(len(done.change.steps), 'step')} done")
        print_left(stdout(), after)
        print_findings(stdout(), [finding for finding in findings if finding.is_problem])
