"""`ctl cluster rebalance`"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from ctl.commands.changing import Terms, build, change_options, make_change
from ctl.commands.common import Verb
from ctl.errors import UsageError
from ctl.execute.fleet import Fleet
from ctl.execute.loads import loads_of
from ctl.plan.change import Change
from ctl.plan.moves import primary_named, refuse_unless_settled
from ctl.plan.rebalance import THRESHOLD_PERCENT, plan_rebalance, shares_of
from ctl.snapshot import ClusterSnapshot


@click.command("rebalance", cls=Verb)
@click.option(
    "--weight", "weights", multiple=True, metavar="NODE=W", help="1 unless given; 0 empties a node."
)
@click.option("--use-empty", is_flag=True, help="Give slots to primaries that have none.")
@click.option(
    "--threshold",
    default=THRESHOLD_PERCENT,
    type=click.FloatRange(0),
    show_default=True,
    help="Percent that a node may be off its share.",
)
@click.option(
    "--by",
    type=click.Choice(["slots", "keys", "memory", "ops"]),
    default="slots",
    show_default=True,
    help="What is to be even.",
)
@change_options
def command(weights: tuple[str, ...], use_empty: bool, threshold: float, by: Any, **options: Any) -> None:
    """Even out the primaries, moving as few slots as can be.

    --by keys, memory or ops goes by the nodes' own statistics of their slots (CLUSTER SLOT-STATS); keys are
    counted and memory is estimated where they have none.
    """
    named = dict(_weights(weights))

    async def plan(fleet: Fleet, snapshot: ClusterSnapshot) -> Change:
        refuse_unless_settled(snapshot)
        by_id: dict[str, float] = {}
        for name, weight in named.items():
            node = primary_named(snapshot, name, "have").node_id
            if node in by_id:
                raise UsageError(f"--weight is given twice for {name}")
            by_id[node] = weight
        shares = shares_of(snapshot, by_id, use_empty=use_empty)
        load = None if by == "slots" else await loads_of(fleet, snapshot, by)
        moves = plan_rebalance(snapshot, shares, load, threshold_percent=threshold)
        total = sum(len(move.slots) for move in moves)
        title = f"move {total:,} slots" if moves else f"all nodes are within {threshold:g} % of their shares"
        return await build(fleet, snapshot, "rebalance", title, moves)

    make_change(Terms.of(options), plan)


def _weights(words: Iterable[str]) -> Iterable[tuple[str, float]]:
    """Of `NODE=W`. Raises UsageError for another form, a negative weight, and a node given twice."""
    seen: set[str] = set()
    for word in words:
        name, equals, text = word.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = -1.0
        if not equals or not name or not 0 <= weight < float("inf"):
            raise UsageError(f"--weight {word}: not NODE=W", "W is 0 or more, as in: --weight 7000=2")
        if name in seen:
            raise UsageError(f"--weight is given twice for {name}")
        seen.add(name)
        yield name, weight
