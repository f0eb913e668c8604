"""A change of a cluster that is there: steps that can be shown, written to a file, run, resumed and undone.

A `Change` knows nodes by their ids, since addresses change and roles do; and it carries the `Roster` that it
was planned for, so that whoever runs it later can see whether the cluster is still that one. Steps are done
in order. Each is idempotent: what it is to bring about is looked up in the cluster first, so a step that was
cut off anywhere is finished by doing it again, and undone by `undo_of`, which is a step as well.

The order of steps is part of the plan: a node is introduced before it gets slots, and forgotten only when it
has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ctl.plan.repairs import Bump, Introduce, Settle
from ctl.plan.steps import PlanError
from ctl.snapshot import Address, ClusterSnapshot
from gossip.slots import SlotSet


@dataclass(frozen=True, slots=True)
class Move:
    """`slots` of `source` to `target`, with their keys. `keys` and `size_bytes` are estimates or None."""

    kind: ClassVar[str] = "move"
    source: str
    target: str
    slots: SlotSet
    keys: int | None = None
    size_bytes: int | None = None

    @property
    def key_bytes(self) -> float:
        """The mean size of a key; 0 where it is not known."""
        return (self.size_bytes or 0) / (self.keys or 1)


@dataclass(frozen=True, slots=True)
class Start:
    """A process of the local cluster that ctl starts, listening at `address`; it is made where it is not."""

    kind: ClassVar[str] = "start"
    address: Address


@dataclass(frozen=True, slots=True)
class Stop:
    """The process of the local cluster at `address` ends; with `remove` its files and record go as well."""

    kind: ClassVar[str] = "stop"
    address: Address
    remove: bool


@dataclass(frozen=True, slots=True)
class Join:
    """The node at `address` becomes a member. `node` is its id, empty where it does not run yet."""

    kind: ClassVar[str] = "join"
    node: str
    address: Address


@dataclass(frozen=True, slots=True)
class Leave:
    """Everybody forgets `node`, and it forgets everybody (a soft reset) where it answers."""

    kind: ClassVar[str] = "leave"
    node: str
    address: Address | None


@dataclass(frozen=True, slots=True)
class Attach:
    """`node` (or the one at `address`, where its id was not known yet) becomes a replica of `primary`.

    `former` is whose replica it was, None for a primary without slots.
    """

    kind: ClassVar[str] = "attach"
    node: str
    address: Address | None
    primary: str
    former: str | None


@dataclass(frozen=True, slots=True)
class Configure:
    """Directives have these `values` on all nodes of `before`, which says by node id what each had.

    `rewrite`: CONFIG REWRITE after it.
    """

    kind: ClassVar[str] = "configure"
    values: Mapping[str, str]
    before: Mapping[str, Mapping[str, str]]
    rewrite: bool


Step: TypeAlias = Move | Start | Stop | Join | Leave | Attach | Configure | Settle | Bump | Introduce


@dataclass(frozen=True, slots=True)
class Seat:
    """A member as a plan remembers it. `primary` is None for a primary."""

    node: str
    address: str
    primary: str | None
    slots: SlotSet


@dataclass(frozen=True)
class Roster:
    """Who is what: roles and slots of all members. Addresses are for sentences, they may change."""

    seats: tuple[Seat, ...]

    @classmethod
    def of(cls, snapshot: ClusterSnapshot) -> Roster:
        seats = (Seat(m.node_id, m.name, m.line.primary_id, m.line.slots) for m in snapshot.members)
        return cls(tuple(sorted(seats, key=lambda seat: seat.node)))

    @property
    def fingerprint(self) -> str:
        """The same for the same members in the same roles with the same slots."""
        words = [f"{seat.node} {seat.primary or '-'} {seat.slots}" for seat in self.seats]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    def name(self, node: str) -> str:
        """The address of a node, for sentences."""
        seat = self.seat(node)
        return seat.address if seat else node[:8]

    def seat(self, node: str) -> Seat | None:
        return next((seat for seat in self.seats if seat.node == node), None)

    def shard_of(self, node: str) -> frozenset[str]:
        """The ids of the node, its primary and the replicas of that."""
        seat = self.seat(node)
        head = (seat.primary or seat.node) if seat else node
        return frozenset(each.node for each in self.seats if head in (each.node, each.primary)) | {node}

    def knows(self, snapshot: ClusterSnapshot) -> bool:
        """Whether any member of this roster is one of the cluster: whether it is that cluster at all."""
        ids = {seat.node for seat in self.seats}
        return any(member.node_id in ids for member in snapshot.members)

    def difference(self, other: Roster) -> str | None:
        """The first thing that is otherwise in `other`, a phrase; None when nothing is."""
        now = {seat.node: seat for seat in other.seats}
        for seat in self.seats:
            found = now.pop(seat.node, None)
            if found is None:
                return f"{seat.address} is no member any more"
            if found.primary != seat.primary:
                if found.primary is None:
                    return f"{seat.address} is a primary now"
                return f"{seat.address} is a replica of {other.name(found.primary)} now"
            if found.slots != seat.slots:
                gained, lost = found.slots - seat.slots, seat.slots - found.slots
                words = [_slots(gained, "more")] * bool(gained) + [_slots(lost, "less")] * bool(lost)
                return f"{seat.address} has {' and '.join(words)}"
        return f"{next(iter(now.values())).address} is a new member" if now else None


@dataclass(frozen=True)
class Change:
    """What `ctl cluster <verb>` is about to do. `risks` say what may go wrong or be felt, in sentences."""

    verb: str
    title: str
    roster: Roster
    steps: tuple[Step, ...]
    risks: tuple[str, ...] = ()

    @property
    def moves(self) -> tuple[Move, ...]:
        return tuple(step for step in self.steps if isinstance(step, Move))

    @property
    def slot_count(self) -> int:
        return sum(len(move.slots) for move in self.moves)

    @property
    def keys(self) -> int | None:
        """None when it is not known of some move."""
        return _sum([move.keys for move in self.moves])

    @property
    def size_bytes(self) -> int | None:
        return _sum([move.size_bytes for move in self.moves])


def _slots(slots: SlotSet, what: str) -> str:
    return f"{len(slots)} slot{'s' if len(slots) > 1 else ''} {what}"


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def undo_of(step: Step) -> Step | None:
    """The step that brings back what was before; None where undoing what follows or precedes it is enough.

    Raises PlanError for what cannot be undone: a node that has been forgotten, a process that was ended.
    """
    match step:
        case Move():
            return Move(step.target, step.source, step.slots, step.keys, step.size_bytes)
        case Start():
            return Stop(step.address, remove=True)
        case Join():
            return Leave(step.node, step.address)
        case Attach():
            # A node that was no replica before has just joined, and leaves again.
            former = step.former
            return Attach(step.node, step.address, former, step.primary) if former else None
        case Configure():
            return step
        case Settle() | Bump() | Introduce():
            raise PlanError(
                "a repair cannot be undone: what was broken would be broken again",
                "`ctl cluster resume` finishes it.",
            )
        case Leave() | Stop():
            raise PlanError(
                "this has gone too far to be undone: a node has been removed",
                "`ctl cluster resume` finishes it; `ctl cluster add-node` brings a node back.",
            )


def check_current(change: Change, snapshot: ClusterSnapshot) -> None:
    """Raises PlanError when the cluster is not the one, or not any more as, the plan was made for."""
    if not change.roster.knows(snapshot):
        raise PlanError(
            "this plan was made for another cluster: none of its nodes is a member of this one",
            "Name the right one with --addr or --dir.",
        )
    now = Roster.of(snapshot)
    if now.fingerprint != change.roster.fingerprint:
        raise PlanError(
            f"the cluster has changed since the plan was made: {change.roster.difference(now)}",
            "Make the plan anew; nothing was done.",
        )
