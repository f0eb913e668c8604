"""The load of every slot, for a rebalance: from the nodes' statistics, or counted."""

from __future__ import annotations

from typing import Literal

from ctl.errors import CtlError, UnreachableError
from ctl.execute.estimate import Loads, count_keys, mean_key_bytes, slot_stats
from ctl.execute.fleet import Fleet
from ctl.snapshot import Address, ClusterSnapshot
from gossip.slots import SlotSet
from node.resp.client import LinkError

Measure = Literal["keys", "memory", "ops"]
# The first that a node tells counts. CPU time is what operations cost, where they are not counted themselves.
METRICS: dict[Measure, tuple[str, ...]] = {
    "keys": ("key-count",),
    "memory": ("memory-bytes",),
    "ops": ("ops", "cpu-usec"),
}


async def loads_of(fleet: Fleet, snapshot: ClusterSnapshot, measure: Measure) -> dict[int, float]:
    """By slot. Raises UnreachableError, and CtlError where a node does not tell and it cannot be counted.

    Where a node does not tell memory, a slot's is its keys times the mean size of some of the node's keys.
    """
    loads: dict[int, float] = {}
    told_by: dict[str, str] = {}
    for member in snapshot.primaries:
        if member.view is None or not member.line.slots:
            continue
        try:
            stats = await slot_stats(fleet, member.view.address, member.line.slots)
            name = _metric(stats, measure)
            if stats is not None and name is not None:
                loads.update({slot: float(values[name]) for slot, values in stats.items()})
                told_by.setdefault(name, member.name)
            elif measure == "ops":
                raise CtlError(
                    f"{member.name} does not tell operations by slot",
                    "It has no CLUSTER SLOT-STATS, or cluster-slot-stats-enabled is no. Use --by keys.",
                )
            else:
                loads.update(await _counted(fleet, member.view.address, member.line.slots, measure))
        except LinkError as error:
            raise UnreachableError(str(error)) from error
    if len(told_by) > 1:
        raise CtlError(
            f"the nodes count differently ({', '.join(f'{who}: {what}' for what, who in told_by.items())})",
            "Use --by keys.",
        )
    return loads


def _metric(stats: Loads | None, measure: Measure) -> str | None:
    """The name under which `stats` tell it, in every slot; None where they do not."""
    if not stats:
        return None
    return next((name for name in METRICS[measure] if all(name in each for each in stats.values())), None)


async def _counted(fleet: Fleet, address: Address, slots: SlotSet, measure: Measure) -> dict[int, float]:
    counts = await count_keys(fleet, address, slots)
    size = 1.0
    if measure == "memory":
        size = await mean_key_bytes(fleet, address, [slot for slot, count in counts.items() if count]) or 1.0
    return {slot: count * size for slot, count in counts.items()}
