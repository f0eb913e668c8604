"""Which slots to move so that every primary bears its share, with as few slots moved as can be.

By slots the least is known: each node's share is its weight's part of all slots, a whole number, and the odd
ones go to those that would have to give them away otherwise. What is above its share is then what must move,
slot by slot, and no plan moves fewer.

By load (keys, memory, operations) slots differ, and the least would be a knapsack. The plan takes, again and
again, the node that is most above its share and the one most below, and moves the heaviest slot that brings
both nearer: heavy slots first means few slots. It ends when all are within the threshold, or when no slot is
light enough to help.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctl.plan.change import Move
from ctl.plan.moves import moves_of, owners_of
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot
from gossip.slots import SLOT_COUNT, SlotSet

THRESHOLD_PERCENT = 2.0


@dataclass(frozen=True, slots=True)
class Share:
    """A primary, its slots, and its weight among all; weight 0: it gives all away."""

    node: str
    slots: SlotSet
    weight: float


def shares_of(
    snapshot: ClusterSnapshot, weights: Mapping[str, float], *, use_empty: bool
) -> tuple[Share, ...]:
    """Primaries that take part: those with slots, with a weight given, and with `use_empty` all.

    `weights` are by id. Raises PlanError when nobody is to have anything.
    """
    shares = tuple(
        Share(member.node_id, member.line.slots, weights.get(member.node_id, 1.0))
        for member in snapshot.primaries
        if member.healthy and (member.line.slots or use_empty or weights.get(member.node_id, 0.0) > 0)
    )
    if not any(share.weight for share in shares):
        raise PlanError("every weight is 0: nobody would have a slot", "Give some node a weight above 0.")
    return shares


def targets(shares: Sequence[Share]) -> dict[str, int]:
    """How many slots each is to have, the sum unchanged; odd ones stay where they are if they can."""
    total = sum(len(share.slots) for share in shares)
    weight = sum(share.weight for share in shares)
    exact = {share.node: total * share.weight / weight for share in shares}
    wanted = {node: math.floor(value + 1e-9) for node, value in exact.items()}
    odd = total - sum(wanted.values())
    rests = sorted(
        (share for share in shares if share.weight > 0 and exact[share.node] - wanted[share.node] > 1e-9),
        key=lambda share: (
            len(share.slots) <= wanted[share.node],
            wanted[share.node] - exact[share.node],
        ),
    )
    for share in rests[:odd]:
        wanted[share.node] += 1
    return wanted


def rebalance_slots(
    shares: Sequence[Share], *, threshold_percent: float = THRESHOLD_PERCENT
) -> dict[int, str]:
    """The new owner by slot that moves; empty when all are within `threshold_percent` of their shares."""
    wanted = targets(shares)
    if not any(_off(len(s.slots), wanted[s.node], threshold_percent) for s in shares):
        return {}
    spare: list[int] = []
    for share in shares:
        over = len(share.slots) - wanted[share.node]
        if over > 0:
            spare += sorted(share.slots)[-over:]
    spare.sort()
    to: dict[int, str] = {}
    for share in shares:
        under = wanted[share.node] - len(share.slots)
        if under > 0:
            to.update(dict.fromkeys(spare[:under], share.node))
            spare = spare[under:]
    assert not spare, "what some have too much others have too little"
    return to


def _off(have: float, wanted: float, threshold_percent: float) -> bool:
    """Whether `have` is further from `wanted` than the threshold; of nothing wanted, anything is."""
    return abs(have - wanted) * 100 > threshold_percent * wanted


def rebalance_load(
    shares: Sequence[Share], load: Mapping[int, float], *, threshold_percent: float = THRESHOLD_PERCENT
) -> dict[int, str]:
    """As `rebalance_slots`, for the `load` of slots. Nodes of weight 0 give even their empty slots away."""
    weight = sum(share.weight for share in shares)
    total = sum(load.get(slot, 0.0) for share in shares for slot in share.slots)
    # What each has below its share: negative for those that have too much.
    lacks = {
        share.node: total * share.weight / weight - sum(load.get(slot, 0.0) for slot in share.slots)
        for share in shares
    }
    takers = {share.node: total * share.weight / weight for share in shares if share.weight > 0}
    to: dict[int, str] = {}

    def move(slot: int, size: float, giver: str) -> None:
        taker = max(takers, key=lambda node: lacks[node])
        lacks[giver] += size
        lacks[taker] -= size
        to[slot] = taker

    ranked = {share.node: sorted((load.get(slot, 0.0), slot) for slot in share.slots) for share in shares}
    for share in shares:
        if share.weight == 0:
            for size, slot in reversed(ranked[share.node]):
                move(slot, size, share.node)
    while any(_off(wanted - lacks[node], wanted, threshold_percent) for node, wanted in takers.items()):
        giver = min(takers, key=lambda node: lacks[node])
        room = min(-lacks[giver], max(lacks[node] for node in takers))
        place = bisect_right(ranked[giver], (room, SLOT_COUNT)) - 1
        if place < 0 or not ranked[giver][place][0]:
            break
        size, slot = ranked[giver].pop(place)
        move(slot, size, giver)
    return to


def plan_rebalance(
    snapshot: ClusterSnapshot,
    shares: Sequence[Share],
    load: Mapping[int, float] | None,
    *,
    threshold_percent: float,
) -> tuple[Move, ...]:
    """The moves; `load` is None for a rebalance by number of slots."""
    if load is None:
        to = rebalance_slots(shares, threshold_percent=threshold_percent)
    else:
        to = rebalance_load(shares, load, threshold_percent=threshold_percent)
    return moves_of(owners_of(snapshot), to)
