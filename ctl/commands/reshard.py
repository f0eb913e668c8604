"""`ctl cluster reshard`"""

from __future__ import annotations

from typing import Any

import click

from ctl.commands.changing import Terms, build, change_options, make_change
from ctl.commands.common import Verb
from ctl.errors import UsageError
from ctl.execute.fleet import Fleet
from ctl.plan.change import Change
from ctl.plan.moves import parse_slots
from ctl.plan.reshard import plan_reshard
from ctl.snapshot import ClusterSnapshot


@click.command("reshard", cls=Verb)
@click.option("--from", "sources", metavar="NODE[,NODE...]|all", help="Who gives slots.")
@click.option("--to", "target", metavar="NODE", required=True, help="Who takes them.")
@click.option("--slots", "count", type=int, help="How many, in proportion to what the sources own.")
@click.option("--slot", "named", metavar="A-B[,C...]", help="These slots, whoever owns them.")
@change_options
def command(sources: str | None, target: str, count: int | None, named: str | None, **options: Any) -> None:
    """Move slots with their keys while clients go on.

    Either --slots N with --from, or --slot with the slots themselves. A NODE is an address, a port, a node id
    or its beginning. Where both nodes can hand slots over in one step they do, else keys move by MIGRATE.
    """
    if (count is None) == (named is None):
        raise UsageError("give either --slots or --slot", "A number of slots, or the slots themselves.")
    if count is not None and sources is None:
        raise UsageError("--slots needs --from", "Name the nodes that give, or: --from all")
    names = [name.strip() for name in (sources or "").split(",") if name.strip()]
    slots = parse_slots(named) if named is not None else None

    async def plan(fleet: Fleet, snapshot: ClusterSnapshot) -> Change:
        moves = plan_reshard(snapshot, names, target, count, slots)
        total = sum(len(move.slots) for move in moves)
        return await build(fleet, snapshot, "reshard", f"move {total:,} slots", moves)

    make_change(Terms.of(options), plan)
