"""Moves slots with their keys from one primary to another, while clients go on.

A few slots at a time (a group) go through four states, in the order that Redis's documentation demands:

    open     target: IMPORTING, then source: MIGRATING. From here on the source answers for keys that it
             still has, and sends clients with ASK to the target for all others.
    carry    keys are listed, measured, and sent by MIGRATE in batches, until the source has none left. A
             slot that is open and not listed any more stays empty: the source makes no new keys in it.
    close    NODE at the target first (it takes a new epoch and tells everybody), then, as soon as they have
             heard, at the source, and at those other primaries that have not heard in a second. The other
             order could leave a slot that nobody serves.
    agree    every node has heard; see `agreed`.

All is idempotent and is decided by what the two nodes say themselves, so that a group that was interrupted
anywhere is finished by moving it again: `Mover.move` is also how an open slot is completed. A key that is
on both sides: see `_collided`.

Groups make it quick. One after another, a slot costs some ten round trips and the source writes its
nodes.conf for each; here the same commands for all slots of a group are sent in one pipeline. A redis-server
does nothing else while it migrates, so its keys are measured first and sent in batches of bounded size. A
Shoal node sends big values in slices, and MIGRATE keeps only its own connection waiting: there keys need no
measuring, and batches travel on several connections side by side.

Source: SETSLOT, MIGRATE, GETKEYSINSLOT; the cluster specification, "Live reconfiguration".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.fleet import Credentials, Fleet, concurrently
from ctl.execute.gather import ask, gather_only, refused
from ctl.plan.steps import first_unmet
from ctl.snapshot import Address, ClusterSnapshot, NodeView
from gossip.slots import SlotSet
from node.resp.client import LinkError, ReplyError

GROUP_SLOTS = 128
LIST_KEYS = 200
BATCH_KEYS = 100
BATCH_BYTES = 512 * 1024
PIPELINE_KEYS = 1000
PIPELINE_BYTES = 4 * 1024 * 1024
LANES = 4
MIGRATE_TIMEOUT_MS = 60_000
CALL_TIMEOUT_S = 120.0
FRUITLESS_MAX = 8
RETRY_PAUSE_S = 0.05
AGREE_EVERY_S = 0.02
AGREE_TIMEOUT_S = 30.0
HEARD_EVERY_S = 0.005
HEARD_TIMEOUT_S = 1.0
# What a node says while something passes: the link to the target broke, keys are under way, a node loads.
PASSING = ("IOERR", "TRYAGAIN", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY")
# A primary that has given its last slot away becomes a replica of whoever took it, and hears the rest there.
NO_PRIMARY = "SETSLOT only with masters"
SETSLOT_TRIES = 3
SETSLOT_LANES = 16
NO_ANSWER = "NOREPLICAS"

Command: TypeAlias = tuple[str | int | bytes, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """From which primary to which. `reach` is the target's address as the source knows it."""

    source_id: str
    source: Address
    target_id: str
    target: Address
    reach: Address


@dataclass(frozen=True, slots=True)
class Moved:
    """What has just happened: so many keys and bytes arrived, so many slots changed hands.

    `pause_ms` is how long clients had to wait at an atomic hand-over, where the node tells.
    """

    slots: int = 0
    keys: int = 0
    size_bytes: int = 0
    pause_ms: float | None = None


@dataclass(slots=True)
class Batch:
    """Keys of one slot for one MIGRATE; `size_bytes` is an estimate, or 0, where nodes do not measure."""

    slot: int
    keys: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


class BothSidesError(CtlError):
    """A key is at source and target with different values, and it is not known why."""

    def __init__(self, route: Route, slot: int, key: bytes) -> None:
        super().__init__(
            f"key {key!r} of slot {slot} is on {route.source} and on {route.target}, with different values",
            "Nothing of it was touched; `ctl cluster fix` shows both and asks.",
        )
        self.slot = slot
        self.key = key


def route_between(snapshot: ClusterSnapshot, source_id: str, target_id: str) -> Route:
    """The route between two members that answer. Raises UnreachableError where one does not."""
    source, target = snapshot.member(source_id), snapshot.member(target_id)
    for node_id, member in ((source_id, source), (target_id, target)):
        if member is None:
            raise UnreachableError(f"no node {node_id[:8]} in the cluster")
        if member.view is None:
            raise UnreachableError(f"{member.name} does not answer: {member.reason}")
    assert source is not None
    assert target is not None
    assert source.view is not None
    assert target.view is not None
    known = next((line.address for line in source.view.lines if line.node_id == target_id), None)
    if known is None:
        raise CtlError(f"{source.name} does not know {target.name}", "`ctl cluster check` says more.")
    return Route(source_id, source.view.address, target_id, target.view.address, known)


def groups(slots: Iterable[int], size: int = GROUP_SLOTS) -> Iterator[list[int]]:
    """Ascending runs of at most `size` slots."""
    ordered = sorted(slots)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


class Mover:
    """Moves groups of slots. One `Mover` may move along several routes at the same time.

    `others` are the addresses of all primaries that are to be told; `on_moved` hears of progress; `guard` is
    called before every change and raises when ctl may not go on (its lock is lost).
    """

    def __init__(
        self,
        fleet: Fleet,
        primaries: Sequence[Address],
        credentials: Credentials,
        on_moved: Callable[[Moved], None] = lambda _: None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._fleet = fleet
        self._primaries = tuple(primaries)
        self._auth = auth_words(credentials)
        self._on_moved = on_moved
        self._guard = guard
        self._closing = trio.Lock()
        self._measures: dict[Address, bool] = {}
        self._in_slices: set[Address] = set()  # sources that MIGRATE keeps from nothing
        self._tells_replicas: set[Address] = set()  # nodes on which SETSLOT waits for replicas

    async def move(
        self, route: Route, slots: Sequence[int], *, resumed: bool = False, key_bytes: float = 0
    ) -> None:
        """Moves `slots` (some tens) wholly. `resumed`: an earlier move of them by ctl was cut off.

        `key_bytes` is what a key is taken for where keys are not measured. Slots that the target owns already
        are only told to the others. Raises CtlError, BothSidesError or UnreachableError; what was begun then
        stays open, and moving it again finishes it.
        """
        try:
            ours, done = await self._sort(route, slots)
            if ours:
                await self._open(route, ours)
                await self._carry(route, ours, resumed=resumed, key_bytes=key_bytes)
            await self._close(route, [*ours, *done])
        except LinkError as error:
            raise UnreachableError(
                str(error), "`ctl cluster resume` goes on when it, or its replica, answers."
            ) from error
        self._on_moved(Moved(slots=len(slots)))

    async def _sort(self, route: Route, slots: Sequence[int]) -> tuple[list[int], list[int]]:
        """Those still of the source, and those already of the target, in their own words."""
        source, target = await self._acquainted(route)
        if source.info.get("server_name") == "shoal":
            self._in_slices.add(route.source)
        for view in (source, target):
            has_replicas = any(line.primary_id == view.myself.node_id for line in view.others)
            if has_replicas and view.info.get("server_name") in ("shoal", "valkey"):
                self._tells_replicas.add(view.address)
        at_source, at_target = source.myself.slots, target.myself.slots
        done = [slot for slot in slots if slot in at_target]
        ours = [slot for slot in slots if slot in at_source and slot not in at_target]
        if strangers := SlotSet(slots) - SlotSet([*done, *ours]):
            raise CtlError(
                f"slots {strangers} are owned neither by {route.source} nor by {route.target}",
                "The map has changed meanwhile; `ctl cluster status` shows it.",
            )
        return ours, done

    async def _acquainted(self, route: Route) -> tuple[NodeView, NodeView]:
        """The views of source and target, as soon as the target knows the source's configuration epoch.

        The epoch under which it takes the slots must be greater: if both had the same, the collision might be
        settled in favour of the source's older claim, and then neither thinks that the slots are its own.
        """
        with trio.move_on_after(AGREE_TIMEOUT_S):
            while True:
                source = await ask(self._fleet, route.source, "server")
                target = await ask(self._fleet, route.target, "server")
                told = (line.config_epoch for line in target.lines if line.node_id == route.source_id)
                if source.myself.config_epoch in told:
                    return source, target
                await trio.sleep(AGREE_EVERY_S)
        raise CtlError(
            f"{route.target} has not heard of epoch {source.myself.config_epoch} of {route.source}",
            "`ctl cluster check` says what the nodes disagree on.",
        )

    async def _open(self, route: Route, slots: Sequence[int]) -> None:
        await self._setslot(route.target, [(slot, "IMPORTING", route.source_id) for slot in slots])
        await self._setslot(route.source, [(slot, "MIGRATING", route.target_id) for slot in slots])

    async def _carry(self, route: Route, slots: Sequence[int], *, resumed: bool, key_bytes: float) -> None:
        """Until the source has no key of `slots`."""
        left = list(slots)
        fruitless = 0
        own_copies = resumed
        while True:
            listed = await self._listed(route.source, left)
            left = list(listed)
            if not left:
                return
            batches = await self._batches(route.source, listed, key_bytes)
            errors, moved = await self._send(route, batches, own_copies)
            # A MIGRATE that was cut off may have left copies, older than what the source has.
            own_copies = own_copies or any(error.code == "IOERR" for error in errors)
            fruitless = 0 if moved else fruitless + 1
            if errors and fruitless > FRUITLESS_MAX:
                raise refused(route.source, f"to migrate to {route.reach}", errors[0])
            if errors:
                await trio.sleep(RETRY_PAUSE_S * 2 ** min(fruitless, 6))

    async def _listed(self, source: Address, slots: Sequence[int]) -> dict[int, list[bytes]]:
        """Some keys of each slot that has any."""
        self._guard()
        replies = await self._fleet.pipeline(
            source, [("CLUSTER", "GETKEYSINSLOT", slot, LIST_KEYS) for slot in slots]
        )
        listed: dict[int, list[bytes]] = {}
        for slot, reply in zip(slots, replies, strict=True):
            if isinstance(reply, ReplyError):
                raise refused(source, f"CLUSTER GETKEYSINSLOT {slot}", reply)
            assert isinstance(reply, list), reply
            if keys := [key for key in reply if isinstance(key, bytes)]:
                listed[slot] = keys
        return listed

    async def _batches(
        self, source: Address, listed: dict[int, list[bytes]], key_bytes: float
    ) -> list[Batch]:
        sizes: dict[bytes, int] = {}
        if source not in self._in_slices:
            sizes = await self._sizes(source, [key for keys in listed.values() for key in keys])
        taken_for = 0 if sizes else round(key_bytes)
        batches = []
        for slot, keys in listed.items():
            batch = Batch(slot)
            for key in keys:
                size_bytes = sizes.get(key, taken_for)
                full = len(batch.keys) >= BATCH_KEYS or batch.size_bytes + size_bytes > BATCH_BYTES
                if full and batch.keys:
                    batches.append(batch)
                    batch = Batch(slot)
                batch.keys.append(key)
                batch.size_bytes += size_bytes
            batches.append(batch)
        return batches

    async def _sizes(self, source: Address, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Bytes by key, from MEMORY USAGE; empty where the node does not know that."""
        sizes: dict[bytes, int] = {}
        for start in range(0, len(keys), PIPELINE_KEYS):
            if not self._measures.get(source, True):
                return {}
            some = keys[start : start + PIPELINE_KEYS]
            replies = await self._fleet.pipeline(source, [("MEMORY", "USAGE", key) for key in some])
            if any(isinstance(reply, ReplyError) and reply.code == "ERR" for reply in replies):
                self._measures[source] = False
            sizes.update((key, reply) for key, reply in zip(some, replies, strict=True) if type(reply) is int)
        return sizes

    async def _send(
        self, route: Route, batches: Sequence[Batch], own_copies: bool
    ) -> tuple[list[ReplyError], int]:
        """Sends all batches; returns the errors that may pass, and how many keys went."""
        errors: list[ReplyError] = []
        failures: list[CtlError | LinkError] = []
        count = 0

        async def one(lane: int, some: Sequence[Batch]) -> None:
            nonlocal count
            try:
                for pipeline in _pipelines(some):
                    failed, sent = await self._send_pipeline(route, pipeline, own_copies, lane)
                    errors.extend(failed)
                    count += sent
                    if failures:
                        return
            except (CtlError, LinkError) as failure:
                failures.append(failure)  # the other lanes end what they have sent

        lanes = LANES if route.source in self._in_slices else 1
        shares = [batches[lane::lanes] for lane in range(lanes)]
        await concurrently(partial(one, lane, share) for lane, share in enumerate(shares) if share)
        if failures:
            raise failures[0]
        return errors, count

    async def _send_pipeline(
        self, route: Route, pipeline: Sequence[Batch], own_copies: bool, lane: int
    ) -> tuple[list[ReplyError], int]:
        self._guard()
        replies = await self._fleet.pipeline(
            route.source,
            [self._migrate(route, batch.keys) for batch in pipeline],
            timeout_s=CALL_TIMEOUT_S,
            lane=lane,
        )
        errors: list[ReplyError] = []
        count = 0
        for batch, reply in zip(pipeline, replies, strict=True):
            if isinstance(reply, ReplyError) and "BUSYKEY" in reply.text:
                await self._collided(route, batch, own_copies=own_copies)
            elif isinstance(reply, ReplyError):
                errors.append(_passing(route, reply))
                continue
            count += len(batch.keys)
            self._on_moved(Moved(keys=len(batch.keys), size_bytes=batch.size_bytes))
        return errors, count

    def _migrate(self, route: Route, keys: Sequence[bytes], *options: str) -> Command:
        where = (route.reach.host, route.reach.port, "", 0, MIGRATE_TIMEOUT_MS)
        return ("MIGRATE", *where, *options, *self._auth, "KEYS", *keys)

    async def _collided(self, route: Route, batch: Batch, *, own_copies: bool) -> None:
        """The target has some of these keys already.

        As long as the source has a key it is the one that serves it, so a copy on the other side is what a
        MIGRATE left that was cut off after the target stored it. It is replaced when that is known
        (`own_copies`), or when both are the same; else somebody has to look.
        """
        if not own_copies:
            for key in batch.keys:
                if await self._differs(route, key):
                    raise BothSidesError(route, batch.slot, key)
        self._guard()
        try:
            await self._fleet.call(
                route.source, *self._migrate(route, batch.keys, "REPLACE"), timeout_s=CALL_TIMEOUT_S
            )
        except ReplyError as error:
            _passing(route, error)

    async def _differs(self, route: Route, key: bytes) -> bool:
        here = await self._fleet.call(route.source, "DUMP", key)
        # ASKING holds for the next command of the connection only.
        _, there = await self._fleet.pipeline(route.target, [("ASKING",), ("DUMP", key)])
        if isinstance(there, ReplyError):
            raise refused(route.target, "DUMP", there)
        return there is not None and here is not None and here != there

    async def _close(self, route: Route, slots: Sequence[int]) -> None:
        """Target, source, others. Not on two routes at once: two targets would take the same new epoch."""
        wanted: list[Command] = [(slot, "NODE", route.target_id) for slot in slots]
        async with self._closing:
            await self._setslot(route.target, wanted)
            others = [node for node in self._primaries if node != route.target]
            deaf: set[Address] = set()
            await concurrently(
                partial(self._heard, node, route.target_id, SlotSet(slots), deaf) for node in others
            )
            # Who has heard it from the target knows; only the source has more to do then.
            await self._setslot(route.source, wanted, unless=NO_PRIMARY)
            await concurrently(
                partial(self._setslot, other, wanted, unless=NO_PRIMARY)
                for other in others
                if other != route.source and other in deaf
            )

    async def _heard(self, node: Address, target_id: str, slots: SlotSet, deaf: set[Address]) -> None:
        """Returns when `node` has heard from the target itself that it owns `slots`; or after a while, and
        adds it to `deaf` then.

        The target tells of each slot of the group by a message of its own. Redis 7.0 that is told by SETSLOT
        first takes the earlier ones of these for the target's word that it does not claim the later slots,
        remembers that for good, and so loses such a slot when it gets it back one day.
        """
        with trio.move_on_after(HEARD_TIMEOUT_S):
            while slots - (await ask(self._fleet, node, "server")).owners().get(target_id, SlotSet()):
                await trio.sleep(HEARD_EVERY_S)
            return
        deaf.add(node)

    async def stable(self, node: Address, slots: Sequence[int]) -> None:
        """Ends importing and migrating of `slots` at `node`, without a change of owners."""
        await self._setslot(node, [(slot, "STABLE") for slot in slots])

    async def _setslot(self, node: Address, wanted: Sequence[Command], *, unless: str | None = None) -> None:
        """Raises CtlError for a refusal, other than one that says `unless`.

        Valkey's nodes and ours tell their replicas first, and refuse when one does not answer: one that has
        died. It is not asked the next time.
        """
        for left in reversed(range(SETSLOT_TRIES)):
            self._guard()
            failed = await self._setslot_all(node, wanted, unless)
            if not failed:
                return
            words, error = failed[0]
            if error.code != NO_ANSWER or not left:
                raise refused(node, f"CLUSTER SETSLOT {words[0]!s} {words[1]!s}", error)

    async def _setslot_all(
        self, node: Address, wanted: Sequence[Command], unless: str | None
    ) -> list[tuple[Command, ReplyError]]:
        """Those that failed. Where each waits for replicas, some wait at the same time."""
        failed: list[tuple[Command, ReplyError]] = []

        async def some(lane: int, share: Sequence[Command]) -> None:
            commands = [("CLUSTER", "SETSLOT", *words) for words in share]
            replies = await self._fleet.pipeline(node, commands, timeout_s=CALL_TIMEOUT_S, lane=lane)
            for words, reply in zip(share, replies, strict=True):
                if isinstance(reply, ReplyError) and not (unless and unless in reply.text):
                    failed.append((words, reply))

        lanes = SETSLOT_LANES if node in self._tells_replicas else 1
        shares = [wanted[lane::lanes] for lane in range(lanes)]
        await concurrently(partial(some, lane, share) for lane, share in enumerate(shares) if share)
        return failed


def _pipelines(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    """Batches that are sent at once; one that is large by itself goes alone."""
    pipeline: list[Batch] = []
    keys = size_bytes = 0
    for batch in batches:
        over = keys + len(batch.keys) > PIPELINE_KEYS or size_bytes + batch.size_bytes > PIPELINE_BYTES
        if pipeline and over:
            yield pipeline
            pipeline, keys, size_bytes = [], 0, 0
        pipeline.append(batch)
        keys += len(batch.keys)
        size_bytes += batch.size_bytes
    if pipeline:
        yield pipeline


def _passing(route: Route, error: ReplyError) -> ReplyError:
    """The error itself when it may pass. Raises CtlError for any other.

    MIGRATE wraps what the target answered: `ERR Target instance replied with error: LOADING …`.
    """
    inner = error.text.partition("replied with error: ")[2]
    if error.code in PASSING or inner.startswith(PASSING):
        return error
    raise refused(route.source, f"to migrate to {route.reach}", error)


def auth_words(credentials: Credentials) -> tuple[str, ...]:
    if credentials.password is None:
        return ()
    if credentials.user is None:
        return ("AUTH", credentials.password)
    return ("AUTH2", credentials.user, credentials.password)


async def agreed(
    fleet: Fleet,
    nodes: Sequence[Address],
    owners: dict[int, str],
    on_wait: Callable[[str], None] = lambda _: None,
    *,
    timeout_s: float | None = None,
) -> None:
    """Returns when every one of `nodes` names these owners, by slot, and has none of the slots open.

    They must know the owners' configuration epochs as well. A node that has not heard of the last one may
    take the same for itself when it gets one of the slots next, and lose it when the collision is settled.
    Raises CtlError when they do not agree within `timeout_s`, AGREE_TIMEOUT_S if it is not given.
    """
    timeout_s = AGREE_TIMEOUT_S if timeout_s is None else timeout_s
    wanted: dict[str, SlotSet] = {}
    for slot, owner in owners.items():
        wanted[owner] = wanted.get(owner, SlotSet()) | SlotSet([slot])
    missing: str | None = ""
    try:
        with trio.fail_after(timeout_s):
            while missing := unheard(await gather_only(fleet, nodes, "server"), wanted):
                on_wait(missing)
                await trio.sleep(AGREE_EVERY_S)
    except trio.TooSlowError:
        raise CtlError(
            f"after {timeout_s:g} s {missing}", "`ctl cluster check` says what the nodes disagree on."
        ) from None


def unheard(snapshot: ClusterSnapshot, owners: dict[str, SlotSet]) -> str | None:
    """The first node that names another owner for a slot, or has one open. None when all agree."""
    silent = [f"{where} does not answer: {why}" for where, why in snapshot.unreachable.items()]
    own_words = (view.myself for view in snapshot.views)
    epochs = {line.node_id: line.config_epoch for line in own_words if line.node_id in owners}
    return first_unmet([*silent, *(_unheard_by(view, owners, epochs) for view in snapshot.views)])


def _unheard_by(view: NodeView, owners: dict[str, SlotSet], epochs: dict[str, int]) -> str | None:
    for line in view.lines:
        if line.config_epoch != epochs.get(line.node_id, line.config_epoch):
            return f"{view.address} has not heard of epoch {epochs[line.node_id]} of {line.node_id}"
    known = view.owners()
    everything = SlotSet()
    for owner, slots in owners.items():
        everything |= slots
        if slots - known.get(owner, SlotSet()):
            return f"{view.address} has not heard who owns slots {_few(slots)} now"
    open_here = SlotSet([*view.myself.migrating, *view.myself.importing]) & everything
    return f"{view.address} still has slots {_few(open_here)} open" if open_here else None


def _few(slots: SlotSet) -> str:
    ranges = slots.ranges()
    text = str(SlotSet.from_ranges(ranges[:3]))
    return text if len(ranges) <= 3 else f"{text} …"
