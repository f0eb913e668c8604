"""Which slots a reshard moves: a number of them taken from sources in proportion, or those that are named."""

from __future__ import annotations

from collections.abc import Sequence

from ctl.plan.change import Move
from ctl.plan.failover import find_one
from ctl.plan.moves import moves_of, owners_of, primary_named, refuse_unless_settled, taken_from_end
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot, Member
from gossip.slots import SLOT_COUNT, SlotSet

ALL = "all"


def plan_reshard(
    snapshot: ClusterSnapshot, sources: Sequence[str], target: str, count: int | None, slots: SlotSet | None
) -> tuple[Move, ...]:
    """The moves of `count` slots of `sources` (names, or `all`), or of `slots`, to `target`.

    With `slots`, `sources` may be empty: they are whoever owns them. Raises PlanError for what cannot be.
    """
    refuse_unless_settled(snapshot)
    to = primary_named(snapshot, target, "take")
    givers = _givers(snapshot, sources, to)
    if slots is not None:
        return _named(snapshot, givers, to, slots)
    assert count is not None, "either a number of slots or the slots"
    available = sum(len(giver.line.slots) for giver in givers)
    if not 0 < count <= available:
        raise PlanError(
            f"{count} slots cannot be moved: the sources own {available}"
            if count > 0
            else f"{count} is no number of slots",
            f"There are {SLOT_COUNT} slots in all.",
        )
    shares = proportional([len(giver.line.slots) for giver in givers], count)
    return tuple(
        Move(giver.node_id, to.node_id, taken_from_end(giver.line.slots, share))
        for giver, share in zip(givers, shares, strict=True)
        if share
    )


def _givers(snapshot: ClusterSnapshot, names: Sequence[str], to: Member) -> list[Member]:
    """The sources, each once, each with slots."""
    if list(names) == [ALL]:
        return [m for m in snapshot.primaries if m.line.slots and m.node_id != to.node_id]
    givers: list[Member] = []
    for name in names:
        giver = primary_named(snapshot, name, "give")
        if giver.node_id == to.node_id:
            raise PlanError(f"{giver.name} is named as a source and as the target")
        if giver.node_id in {each.node_id for each in givers}:
            raise PlanError(f"{giver.name} is named twice as a source")
        if not giver.line.slots:
            raise PlanError(f"{giver.name} owns no slots", "`ctl cluster status` shows who does.")
        givers.append(giver)
    return givers


def _named(
    snapshot: ClusterSnapshot, givers: Sequence[Member], to: Member, slots: SlotSet
) -> tuple[Move, ...]:
    owners = owners_of(snapshot)
    if unowned := slots - SlotSet(owners):
        raise PlanError(f"slots {unowned} have no owner", "`ctl cluster fix` gives them one.")
    if already := slots & to.line.slots:
        raise PlanError(f"{to.name} owns slots {already} already")
    if givers:
        theirs = SlotSet(slot for giver in givers for slot in giver.line.slots)
        if strange := slots - theirs:
            owner = find_one(snapshot, owners[next(iter(strange))])
            raise PlanError(f"slots {strange} are not of the sources named: {owner.name} owns them")
    return moves_of(owners, dict.fromkeys(slots, to.node_id))


def proportional(sizes: Sequence[int], count: int) -> list[int]:
    """`count` dealt in proportion to `sizes`, by largest remainders; no share exceeds its size."""
    total = sum(sizes)
    assert 0 <= count <= total, (count, total)
    shares = [size * count // total for size in sizes]
    rests = sorted(range(len(sizes)), key=lambda i: (-(sizes[i] * count % total), i))
    for index in rests[: count - sum(shares)]:
        shares[index] += 1
    return shares
