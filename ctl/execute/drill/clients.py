"""The clients of a drill: they write and read keys of all slots, and note what came of it.

As any client of a cluster they have a map of slots, follow MOVED and ASK, and ask some node for a new map
when a command fails. A *group* shares a map and the nodes that it can reach; a partition has a group on each
side. In a group each shard (the slots of one primary, as they were at first) has a writer and a reader of its
own, so what one shard suffers delays no other.

Values are `run:number`. A write sends one number once: what failed is never sent again, so a write that was
done although its reply was lost cannot be mistaken for its repetition.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from ctl.execute.fleet import Credentials, Fleet
from ctl.plan.drill_history import FOREIGN, Outcome, Read, Write
from ctl.snapshot import Address
from gossip.slots import SLOT_COUNT, SlotSet, key_slot
from node.resp.client import Client, ConnectError, LinkError, Reply, ReplyError, TimedOut

KEY_TTL_S = 3600
REDIRECTIONS_MAX = 5
PAUSE_AFTER_ERROR_S = 0.01
MAP_AGE_MIN_S = 0.05
READ_EACH = 4  # one read for so many writes
# Replies that a node gives before it does anything; all others leave open what was done.
_NOT_DONE = frozenset(
    (
        "MOVED", "ASK", "CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN", "TRYAGAIN", "NOAUTH", "NOPERM",
        "WRONGPASS", "OOM", "MISCONF", "NOREPLICAS", "DENIED", "BUSY",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shard:
    """The slots of one primary when the drill began; `name` is its address."""

    name: str
    slots: SlotSet


@dataclass
class Records:
    """What all clients have noted, times in seconds of trio's clock until `shifted`."""

    writes: list[tuple[str, str, Write]] = field(default_factory=list)  # (group, shard, …)
    reads: list[Read] = field(default_factory=list)
    errors: list[tuple[float, str, str]] = field(default_factory=list)
    redirections: int = 0


class Failed(Exception):  # noqa: N818  the name says what happened
    """A command that did not succeed. `sent` when a node may have done it all the same."""

    def __init__(self, kind: str, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.sent = sent


class Group:
    """Clients that reach the same nodes. `cut` holds those that they do not, during a partition."""

    def __init__(
        self,
        name: str,
        seeds: Iterable[Address],
        credentials: Credentials,
        timeout_s: float,
        records: Records,
    ) -> None:
        self.name = name
        self.cut: frozenset[Address] = frozenset()
        self._nodes = list(seeds)
        self._fleet = Fleet(credentials, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._records = records
        self._owners: list[Address | None] = [None] * SLOT_COUNT
        self._map_at_s = -1.0
        self._asking = trio.Lock()

    async def learn(self) -> None:
        """Takes the map of slots from the first node that tells one; several who ask at once ask once."""
        wanted_s = trio.current_time()
        async with self._asking:
            if self._map_at_s > wanted_s - MAP_AGE_MIN_S:
                return
            random.shuffle(self._nodes)
            for node in [node for node in self._nodes if node not in self.cut]:
                if await self._learn_from(node):
                    self._map_at_s = trio.current_time()
                    return

    async def _learn_from(self, node: Address) -> bool:
        try:
            client = await self.connect(node)
        except (Failed, ReplyError):
            return False
        async with client:
            try:
                ranges = await client.call("CLUSTER", "SLOTS")
            except (LinkError, ReplyError):
                return False
        if not isinstance(ranges, list) or not ranges:
            return False
        for each in ranges:
            assert isinstance(each, list), "a range of CLUSTER SLOTS"
            first, last, [host, port, *_] = each[0], each[1], each[2]  # type: ignore[misc]
            owner = Address(host.decode() if host else node.host, port)  # type: ignore[union-attr, arg-type]
            for slot in range(first, last + 1):  # type: ignore[arg-type, operator]
                self._owners[slot] = owner
            if owner not in self._nodes:
                self._nodes.append(owner)
        return True

    async def connect(self, node: Address) -> Client:
        """Raises Failed; ReplyError when the node refuses us."""
        if node in self.cut:
            await trio.sleep(self._timeout_s)
            raise Failed("no answer", f"{node}: no answer (partition)", sent=False)
        try:
            return await self._fleet.connect(node)
        except LinkError as error:
            raise Failed(_kind_of(error), str(error), sent=False) from error

    def owner(self, slot: int) -> Address | None:
        return self._owners[slot]

    def redirected(self, slot: int, owner: Address) -> None:
        self._owners[slot] = owner
        self._records.redirections += 1


class Connections:
    """One task's connections, and commands on them that find their node."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._clients: dict[Address, Client] = {}

    async def call(self, slot: int, *words: str | bytes | int) -> tuple[Reply, Address]:
        """The reply and who gave it. Raises Failed."""
        asking, owner = False, self._group.owner(slot)
        for _ in range(REDIRECTIONS_MAX):
            if owner is None:
                raise Failed("no owner", f"nobody knows who owns slot {slot}", sent=False)
            reply = await self._ask(owner, words, asking=asking)
            if not isinstance(reply, ReplyError):
                return reply, owner
            if reply.code not in ("MOVED", "ASK"):
                sent = reply.code not in _NOT_DONE
                raise Failed(reply.code, f"{owner}: {reply.text}", sent=sent)
            told, asking = _told(reply.text, owner), reply.code == "ASK"
            if not asking:
                await self._group.learn()  # where one slot has gone, others have too
                self._group.redirected(slot, told)
            owner = told
        raise Failed("redirections", f"slot {slot} is sent from node to node", sent=False)

    async def _ask(self, node: Address, words: Sequence[str | bytes | int], *, asking: bool) -> Reply:
        try:
            client = await self._client(node)
            return (await client.pipeline([*([("ASKING",)] if asking else []), words]))[-1]
        except ReplyError as refused:
            raise Failed(refused.code, f"{node}: {refused.text}", sent=False) from refused
        except LinkError as error:
            raise Failed(_kind_of(error), str(error), sent=True) from error

    async def _client(self, node: Address) -> Client:
        known = self._clients.get(node)
        if known is not None and node in self._group.cut:
            await known.aclose()
        if known is None or known.closed:
            known = self._clients[node] = await self._group.connect(node)
        return known

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()


def _kind_of(error: LinkError) -> str:
    if isinstance(error, TimedOut) or (isinstance(error, ConnectError) and "no answer" in error.reason):
        return "no answer"
    return "connection refused" if isinstance(error, ConnectError) else "connection lost"


def _told(text: str, asked: Address) -> Address:
    """The address of `MOVED 3999 host:port`; an empty host is that of the node that was asked."""
    where = text.split()[2]
    return Address(asked.host, int(where[1:])) if where.startswith(":") else Address.parse(where)


def keys_for(shards: Iterable[Shard], run: str, group: str, count: int) -> Mapping[str, list[str]]:
    """For each shard up to `count` keys, in slots that are spread evenly over its own."""
    wanted: dict[int, str] = {}
    for shard in shards:
        slots = list(shard.slots)
        step = max(1, len(slots) // count)
        wanted.update(dict.fromkeys(slots[::step][:count], shard.name))
    keys: dict[str, list[str]] = {}
    number = 0
    while wanted:
        key = f"shoal-drill:{run}:{group}:{number}"
        shard_name = wanted.pop(key_slot(key.encode()), None)
        if shard_name is not None:
            keys.setdefault(shard_name, []).append(key)
        number += 1
    return keys


class Workload:
    """Writers and readers of all groups. `rate` is writes a second, for each shard and group."""

    def __init__(
        self, groups: Sequence[Group], shards: Sequence[Shard], records: Records, *, rate: float, keys: int
    ) -> None:
        self.run_id = f"{random.getrandbits(32):08x}"
        self.records = records
        self.groups = groups
        self.shards = shards
        self._pause_s = 1 / rate
        self._stopped = trio.Event()
        self.keys = {group.name: keys_for(shards, self.run_id, group.name, keys) for group in groups}

    async def run(self) -> None:
        """Until `stop`; then all that was begun has ended."""
        for group in self.groups:
            await group.learn()
        async with trio.open_nursery() as nursery:
            for group in self.groups:
                for shard in self.shards:
                    keys = self.keys[group.name].get(shard.name, [])
                    if keys:
                        nursery.start_soon(self._write, group, shard, keys)
                        nursery.start_soon(self._read, group, keys)

    def stop(self) -> None:
        self._stopped.set()

    def acked(self, since_s: float = 0.0) -> set[tuple[str, str]]:
        """(group, shard) of those that had a write acknowledged since then."""
        return {
            (group, shard)
            for group, shard, write in reversed(self.records.writes)
            if write.outcome is Outcome.OK and write.sent_ms >= since_s * 1000
        }

    async def _write(self, group: Group, shard: Shard, keys: Sequence[str]) -> None:
        links, number = Connections(group), 0
        try:
            while not self._stopped.is_set():
                key, number = keys[number % len(keys)], number + 1
                began_s = trio.current_time()
                write = await self._one_write(links, key, number)
                self.records.writes.append((group.name, shard.name, write))
                if write.outcome is not Outcome.OK:
                    await group.learn()
                    await trio.sleep(PAUSE_AFTER_ERROR_S)
                await trio.sleep(max(0.0, began_s + self._pause_s - trio.current_time()))
        finally:
            await links.aclose()

    async def _one_write(self, links: Connections, key: str, number: int) -> Write:
        sent_ms = trio.current_time() * 1000
        outcome, replaced, node = Outcome.OK, None, ""
        try:
            value = f"{self.run_id}:{number}"
            words = ("SET", key, value, "GET", "EX", KEY_TTL_S)
            reply, owner = await links.call(key_slot(key.encode()), *words)
            replaced, node = self.number_of(reply), str(owner)
        except Failed as failed:
            outcome = Outcome.UNKNOWN if failed.sent else Outcome.REFUSED
            self._note(failed)
        return Write(key, number, sent_ms, trio.current_time() * 1000, outcome, replaced, node)

    async def _read(self, group: Group, keys: Sequence[str]) -> None:
        links = Connections(group)
        try:
            while not self._stopped.is_set():
                key, sent_ms = random.choice(keys), trio.current_time() * 1000
                try:
                    reply, owner = await links.call(key_slot(key.encode()), "GET", key)
                    done_ms = trio.current_time() * 1000
                    found = self.number_of(reply)
                    self.records.reads.append(Read(key, sent_ms, done_ms, found, str(owner)))
                except Failed as failed:
                    self._note(failed)
                    await group.learn()
                await trio.sleep(self._pause_s * READ_EACH)
        finally:
            await links.aclose()

    def _note(self, failed: Failed) -> None:
        self.records.errors.append((trio.current_time() * 1000, failed.kind, failed.text))

    def number_of(self, reply: Reply) -> int | None:
        """The number of a value, None for no value, FOREIGN for one that is not of this run."""
        if reply is None:
            return None
        run, _, number = reply.partition(b":") if isinstance(reply, bytes) else (b"", b"", b"")
        return int(number) if run == self.run_id.encode() and number.isdigit() else FOREIGN

    async def read_all(self, timeout_s: float) -> dict[str, int | None]:
        """The values of all keys, as far as they can be read in that time."""
        final: dict[str, int | None] = {}
        await self._with_all(timeout_s, partial(self._read_one, final))
        return final

    async def _read_one(self, final: dict[str, int | None], links: Connections, key: str) -> None:
        reply, _ = await links.call(key_slot(key.encode()), "GET", key)
        final[key] = self.number_of(reply)

    async def remove_all(self, timeout_s: float) -> None:
        """Deletes the keys; those that cannot be reached end by themselves in an hour."""

        async def remove(links: Connections, key: str) -> None:
            await links.call(key_slot(key.encode()), "DEL", key)

        await self._with_all(timeout_s, remove)

    async def _with_all(self, timeout_s: float, work: Callable[[Connections, str], object]) -> None:
        group = self.groups[0]
        await group.learn()

        async def one(keys: Sequence[str]) -> None:
            links = Connections(group)
            try:
                for key in keys:
                    await self._until_done(group, partial(work, links, key))
            finally:
                await links.aclose()

        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                for by_shard in self.keys.values():
                    for keys in by_shard.values():
                        nursery.start_soon(one, keys)

    async def _until_done(self, group: Group, work: Callable[[], object]) -> None:
        while True:
            try:
                await work()  # type: ignore[misc]
                return
            except Failed:
                await group.learn()
                await trio.sleep(PAUSE_AFTER_ERROR_S)
