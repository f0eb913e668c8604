"""`ctl cluster failover`"""

from __future__ import annotations

from pathlib import Path

import click

from ctl.commands.common import Verb, confirm, json_option, run, target, target_options, yes_option
from ctl.errors import UsageError
from ctl.execute.failover import FailoverReport, run_failover
from ctl.execute.fleet import Fleet
from ctl.execute.gather import gather
from ctl.plan.failover import Failover, Mode, plan_failover
from ctl.plan.steps import OnEvent, StageStarted, Waiting
from ctl.render import machine
from ctl.render.progress import progress
from ctl.render.words import duration
from ctl.snapshot import Address, ClusterSnapshot


@click.command("failover", cls=Verb)
@click.argument("node")
@click.option("--force", is_flag=True, help="Elect without the primary; what it has not sent is lost.")
@click.option("--takeover", is_flag=True, help="Promote without a vote, when the majority is gone.")
@click.option(
    "--timeout", default=30.0, type=click.FloatRange(0.1), show_default=True, help="Seconds to wait."
)
@target_options
@yes_option
@json_option
def command(
    node: str,
    force: bool,
    takeover: bool,
    timeout: float,
    addr: Address | None,
    directory: Path,
    user: str | None,
    password: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Promote a replica and measure the interruption.

    NODE is an address, a port, a node id or its beginning: of the replica to promote, or of a primary, whose
    most advanced replica is promoted. Without options the primary agrees first and no write is lost; --force
    and --takeover may lose writes and ask before.
    """
    if force and takeover:
        raise UsageError("--force and --takeover are two ways, not one", "Give one of them.")
    mode: Mode = "force" if force else "takeover" if takeover else "graceful"
    where = target(addr, directory, user, password)

    async def plan() -> tuple[ClusterSnapshot, Failover]:
        async with where.fleet() as fleet:
            snapshot = await gather(fleet, where.seeds)
            return snapshot, plan_failover(snapshot, node, mode)

    snapshot, planned = run(plan)
    if mode != "graceful":
        question = f"Promote {planned.replica.name} in place of {planned.primary.name}? Writes may be lost."
        confirm(question, yes=yes, as_json=as_json)
    with progress(quiet=as_json) as on_event:
        report = run(lambda: _carry_out(where.fleet(), planned, snapshot, on_event, timeout))
    _show(planned, report, as_json=as_json)


async def _carry_out(
    fleet: Fleet, planned: Failover, snapshot: ClusterSnapshot, on_event: OnEvent, timeout_s: float
) -> FailoverReport:
    on_event(StageStarted(f"promote {planned.replica.name}"))
    observers = [view.address for view in snapshot.views]
    async with fleet:
        return await run_failover(
            planned, fleet, observers, lambda step: on_event(Waiting(step)), timeout_s=timeout_s
        )


def _show(planned: Failover, report: FailoverReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(
            machine.text(
                {
                    "mode": planned.mode,
                    "promoted": planned.replica.name,
                    "promoted_id": planned.replica.node_id,
                    "in_place_of": planned.primary.name,
                    "promoted_ms": report.promoted_ms,
                    "settled_ms": report.settled_ms,
                    "writes_refused_ms": report.writes_refused_ms,
                }
            )
        )
        return
    click.echo(f"{planned.replica.name} is primary in place of {planned.primary.name}")
    if report.writes_refused_ms is not None:
        click.echo(f"writes of its slots were refused for {duration(report.writes_refused_ms)}")
    click.echo(
        f"promoted after {duration(report.promoted_ms)}, all agree after {duration(report.settled_ms)}"
    )
