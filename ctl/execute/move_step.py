"""Carries out the moves of a change: several at once where their sources differ, in groups of slots.

Before a group the journal says which slots it is; between groups is where Ctrl-C takes effect. A primary is
the source of one group at a time, since what it sends stops it for that time; groups to one target from
different sources do overlap. At the end of a move all nodes that answer have to agree who owns its slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from ctl.execute.atomic_move import AtomicMover, knows_atomic
from ctl.execute.estimate import count_keys
from ctl.execute.fleet import concurrently
from ctl.execute.site import Site, addresses, primary_addresses
from ctl.execute.slot_move import GROUP_SLOTS, Moved, Mover, Route, agreed, groups, route_between
from ctl.plan.change import Move
from ctl.plan.progress import Progress
from ctl.snapshot import ClusterSnapshot
from gossip.slots import SlotSet

ATOMIC_GROUP_SLOTS = 1024
ATOMIC_GROUP_KEYS = 200_000
GROUP_KEYS = 5_000
TELL_EVERY_S = 0.1

OnGroup = Callable[[Sequence[int]], None]


class Meter:
    """Adds up what was moved, and tells of it now and then."""

    def __init__(self, slots: int, keys: int | None, size_bytes: int | None) -> None:
        self._totals = (slots, keys, size_bytes)
        self._started = trio.current_time()
        self._told = 0.0
        self.slots = self.keys = self.size_bytes = 0
        self.atomic_slots = 0
        self.longest_pause_ms: float | None = None
        self.on_progress: Callable[[Progress], None] = lambda _: None

    def add(self, moved: Moved) -> None:
        self.slots += moved.slots
        self.keys += moved.keys
        self.size_bytes += moved.size_bytes
        if moved.pause_ms is not None:
            self.longest_pause_ms = max(self.longest_pause_ms or 0.0, moved.pause_ms)
        now = trio.current_time()
        if now - self._told >= TELL_EVERY_S or self.slots == self._totals[0]:
            self._told = now
            self.on_progress(self.progress())

    def progress(self) -> Progress:
        slots, keys, size_bytes = self._totals
        return Progress(
            slots_done=self.slots,
            slots_total=slots,
            keys_done=self.keys,
            keys_total=keys,
            bytes_done=self.size_bytes,
            bytes_total=size_bytes,
            elapsed_s=trio.current_time() - self._started,
            longest_pause_ms=self.longest_pause_ms,
        )


@dataclass(frozen=True, slots=True)
class Numbered:
    """A move and its number in the plan."""

    number: int
    move: Move


class Movers:
    """Moves slots by whichever way both ends know.

    `resumed`: a ctl was stopped in the middle of these moves. `backward`: they are undone.
    """

    def __init__(self, site: Site, meter: Meter, *, resumed: bool, backward: bool) -> None:
        self._site = site
        self._meter = meter
        self._resumed = resumed
        self._backward = backward

    async def run(
        self,
        moves: Sequence[Numbered],
        on_group: Callable[[int, Sequence[int]], None],
        on_done: Callable[[int], None],
    ) -> None:
        """All moves, those of different sources at the same time. Raises CtlError."""
        snapshot = await self._site.look()
        mover = Mover(
            self._site.fleet,
            primary_addresses(snapshot),
            self._site.credentials,
            self._meter.add,
            self._site.guard,
        )
        by_giver: dict[str, list[Numbered]] = {}
        for each in moves:
            by_giver.setdefault(each.move.target if self._backward else each.move.source, []).append(each)

        async def in_turn(queue: list[Numbered]) -> None:
            for each in queue:
                await self._one(mover, each.move, partial(on_group, each.number))
                on_done(each.number)

        await concurrently(partial(in_turn, queue) for queue in by_giver.values())

    async def _one(self, mover: Mover, move: Move, on_group: OnGroup) -> None:
        snapshot = await self._site.look()
        if self._resumed:
            await self._complete(snapshot, mover, move, on_group)
            snapshot = await self._site.look()
        giver, taker = (move.target, move.source) if self._backward else (move.source, move.target)
        owner = self._site.primary(snapshot, taker).node_id
        settled = settled_slots(snapshot, move.slots, owner)
        self._meter.add(Moved(slots=len(settled)))
        if left := move.slots - settled:
            route = route_between(snapshot, self._site.primary(snapshot, giver).node_id, owner)
            ends = (route.source, route.target)
            if self._site.atomic and await knows_atomic(self._site.fleet, ends):
                await self._atomically(route, left, on_group, move.key_bytes)
            else:
                await self._by_migrate(route, mover, left, on_group, move.key_bytes)
        nodes, owners = addresses(snapshot), dict.fromkeys(move.slots, owner)
        await agreed(self._site.fleet, nodes, owners, self._site.say)

    async def _complete(self, snapshot: ClusterSnapshot, mover: Mover, move: Move, on_group: OnGroup) -> None:
        """Ends what a ctl that was stopped had begun: jobs that run, and slots that are open."""
        source = snapshot.member(move.source)
        if source is not None and source.view is not None:
            atomic = AtomicMover(self._site.fleet, guard=self._site.guard)
            if await knows_atomic(self._site.fleet, (source.view.address,)):
                await atomic.finish(source.view.address, move.slots, cancel=self._backward)
        opened = move.slots & open_slots(snapshot)
        if not opened:
            return
        ends = [self._site.primary(snapshot, node).node_id for node in (move.source, move.target)]
        route = route_between(snapshot, ends[0], ends[1])
        for group in groups(opened):
            await trio.lowlevel.checkpoint()
            with trio.CancelScope(shield=True):
                on_group(group)
                await mover.move(route, group, resumed=True)

    async def _by_migrate(
        self, route: Route, mover: Mover, slots: SlotSet, on_group: OnGroup, key_bytes: float
    ) -> None:
        counts = await count_keys(self._site.fleet, route.source, slots)
        for group in grouped(slots, counts, GROUP_SLOTS, GROUP_KEYS):
            await trio.lowlevel.checkpoint()
            with trio.CancelScope(shield=True):
                on_group(group)
                await mover.move(route, group, key_bytes=key_bytes)

    async def _atomically(self, route: Route, slots: SlotSet, on_group: OnGroup, key_bytes: float) -> None:
        counts = await count_keys(self._site.fleet, route.source, slots)
        mover = AtomicMover(self._site.fleet, self._meter.add, self._site.guard)
        for group in grouped(slots, counts, ATOMIC_GROUP_SLOTS, ATOMIC_GROUP_KEYS):
            await trio.lowlevel.checkpoint()
            with trio.CancelScope(shield=True):
                on_group(group)
                await mover.move(route, group)
            self._meter.atomic_slots += len(group)
            # The nodes move them: what arrived is as many keys as were counted, of the size estimated.
            keys = sum(counts[slot] for slot in group)
            self._meter.add(Moved(keys=keys, size_bytes=round(keys * key_bytes)))


def settled_slots(snapshot: ClusterSnapshot, slots: SlotSet, owner: str) -> SlotSet:
    """Those of `slots` that every primary that answers knows to be `owner`'s, and that nobody has open."""
    settled = slots
    for view in snapshot.views:
        if view.myself.is_primary:
            settled &= view.owners().get(owner, SlotSet())
    return settled - open_slots(snapshot)


def open_slots(snapshot: ClusterSnapshot) -> SlotSet:
    """Slots that some node is migrating or importing."""
    slots = SlotSet()
    for view in snapshot.views:
        slots |= SlotSet([*view.myself.migrating, *view.myself.importing])
    return slots


def grouped(
    slots: Iterable[int], counts: dict[int, int], slots_max: int, keys_max: int
) -> Iterator[list[int]]:
    """Ascending groups within both bounds; a slot with more keys than `keys_max` is a group by itself."""
    group: list[int] = []
    keys = 0
    for slot in sorted(slots):
        if group and (len(group) >= slots_max or keys + counts.get(slot, 0) > keys_max):
            yield group
            group, keys = [], 0
        group.append(slot)
        keys += counts.get(slot, 0)
    if group:
        yield group
