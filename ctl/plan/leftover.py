"""What was begun and not ended, as far as the cluster itself tells: the open slots, as moves.

For when there is no journal: ctl ran on another machine, or it was no ctl at all. An open slot names both
ends, the source says to whom it is migrating it, or the target from whom it is importing it.
"""

from __future__ import annotations

from ctl.plan.change import Change, Move, Roster
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot
from gossip.slots import SlotSet


def plan_leftover(snapshot: ClusterSnapshot) -> Change | None:
    """Moves that finish every open slot; None when none is open.

    Raises PlanError for a slot with more than one source or target.
    """
    pairs: dict[int, set[tuple[str, str]]] = {}
    for view in snapshot.views:
        me = view.myself
        for slot, target in me.migrating.items():
            pairs.setdefault(slot, set()).add((me.node_id, target))
        for slot, source in me.importing.items():
            pairs.setdefault(slot, set()).add((source, me.node_id))
    if unclear := SlotSet(slot for slot, ends in pairs.items() if len(ends) > 1):
        raise PlanError(
            f"slots {unclear} are open between more than two nodes, so it cannot be told where they belong",
            "`ctl cluster fix` looks where their keys are.",
        )
    moves: dict[tuple[str, str], list[int]] = {}
    for slot, ends in sorted(pairs.items()):
        moves.setdefault(next(iter(ends)), []).append(slot)
    if not moves:
        return None
    steps = tuple(Move(source, target, SlotSet(slots)) for (source, target), slots in moves.items())
    count = sum(len(move.slots) for move in steps)
    return Change("resume", f"finish {count} open slots", Roster.of(snapshot), steps)
