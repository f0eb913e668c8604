"""What every plan that moves slots needs: who may give and take, what must be in order before, and risks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctl.plan.change import Move
from ctl.plan.failover import find_one
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot, Member
from gossip.slots import SlotSet

HAND_OVER = "Writes to the slots pause once for each group of them, at the hand-over."
REDIRECTIONS = (
    "Clients are sent on with ASK for keys of slots that are under way; commands with several keys of such a"
    " slot may be answered TRYAGAIN."
)


def refuse_unless_settled(snapshot: ClusterSnapshot) -> None:
    """Raises PlanError when slots cannot be moved safely now: some are open, unowned, or disagreed about."""
    opened = [member for member in snapshot.members if member.line.migrating or member.line.importing]
    if opened:
        slots = SlotSet(slot for m in opened for slot in (*m.line.migrating, *m.line.importing))
        raise PlanError(
            f"slots {slots} are open at {', '.join(m.name for m in opened)}: a move was begun and not ended",
            "`ctl cluster resume` finishes it, `rollback` undoes it, `fix` repairs what neither can.",
        )
    for member in snapshot.primaries:
        if member.line.slots and not member.healthy:
            raise PlanError(
                f"{member.name} owns slots and does not answer: {member.reason or 'others say it failed'}",
                "Bring it back or promote its replica; then make the plan.",
            )
    for view in snapshot.views:
        if view.owners() != snapshot.views[0].owners():
            raise PlanError(
                f"{view.address} and {snapshot.views[0].address} disagree who owns which slots",
                "Normal for seconds after a change: try again. If it stays, see `ctl cluster check`.",
            )


def primary_named(snapshot: ClusterSnapshot, name: str, purpose: str) -> Member:
    """The primary that `name` means. Raises PlanError for none, for a replica, and for one not answering."""
    member = find_one(snapshot, name)
    if not member.is_primary:
        primary = snapshot.member(member.line.primary_id or "")
        raise PlanError(
            f"{member.name} is a replica and cannot {purpose} slots",
            f"Its primary is {primary.name}." if primary else "",
        )
    if not member.healthy:
        raise PlanError(f"{member.name} does not answer: {member.reason or 'others say it failed'}")
    return member


def moves_of(owners: Mapping[int, str], to: Mapping[int, str]) -> tuple[Move, ...]:
    """One Move for each pair, from the owners of slots now and after; in ascending order of first slots."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for slot in sorted(to):
        if owners[slot] != to[slot]:
            pairs.setdefault((owners[slot], to[slot]), []).append(slot)
    return tuple(Move(source, target, SlotSet(slots)) for (source, target), slots in pairs.items())


def owners_of(snapshot: ClusterSnapshot) -> dict[int, str]:
    """The id of the owner by slot."""
    return {slot: member.node_id for member in snapshot.primaries for slot in member.line.slots}


def parse_slots(text: str) -> SlotSet:
    """Of `0-99,200`. Raises PlanError that says what is wrong with it."""
    ranges = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = word.partition("-")
        try:
            pair = (int(first), int(last if dash else first))
            ranges.append(pair)
            SlotSet.from_ranges([pair])
        except ValueError:
            raise PlanError(
                f"{word!r} is no slot or range of slots", "Slots are 0 to 16383, as in: --slot 0-99,200"
            ) from None
    if not ranges:
        raise PlanError("--slot names no slot", "As in: --slot 0-99,200")
    slots = SlotSet.from_ranges(ranges)
    if len(slots) < sum(last - first + 1 for first, last in ranges):
        raise PlanError(f"--slot {text} names a slot twice")
    return slots


def taken_from_end(slots: SlotSet, count: int) -> SlotSet:
    """The `count` highest: what stays, stays in one piece."""
    return SlotSet(sorted(slots)[len(slots) - count :])


def risks_of(snapshot: ClusterSnapshot, moves: Iterable[Move], *, atomic: bool) -> tuple[str, ...]:
    """What may be felt or go wrong while `moves` run, in sentences."""
    moves = list(moves)
    if not moves:
        return ()
    risks = [HAND_OVER if atomic else REDIRECTIONS]
    targets = dict.fromkeys(move.target for move in moves)
    bare = [m.name for m in map(snapshot.member, targets) if m and not _replicated(snapshot, m)]
    if bare:
        risks.append(f"{', '.join(bare)} has no replica: slots moved there are lost when it fails.")
    return tuple(risks)


def _replicated(snapshot: ClusterSnapshot, member: Member) -> bool:
    return any(replica.healthy for replica in snapshot.replicas_of(member.node_id))
