"""Pours keys into a cluster: pipelined, to all primaries at once, in bounded memory.

By RESTORE, and plain strings by SET, which is quicker.

Keys gather in a batch for each node; a full batch goes to that node's worker, and whoever fills batches waits
while the worker has two. A reader of a file so runs at the pace of the slowest node it has keys for.

A key that is there already stops nobody: it is counted as a conflict, or as left alone, as was asked. After a
lost link, a key found there in a batch that was sent again is our own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import trio

from ctl.errors import CtlError
from ctl.execute.backup_rdb import Cutter, Entry, Item, Library, functions_payload
from ctl.execute.fleet import concurrently, telling
from ctl.execute.lock import KEY
from ctl.execute.restore_routes import Routes
from ctl.execute.slot_move import Command
from ctl.plan.restore import Existing, Outcome
from ctl.snapshot import Address
from gossip.slots import key_slot
from node.resp.client import LinkError, Reply, ReplyError

BATCH_KEYS = 500
BATCH_BYTES = 1 << 20
QUEUED_BATCHES = 2


@dataclass(slots=True)
class Batch:
    slots: list[int] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    size_bytes: int = 0


class Loader:
    """`add` keys from any number of tasks inside `async with`; when the block ends all are written."""

    def __init__(
        self,
        routes: Routes,
        existing: Existing,
        outcome: Outcome,
        on_written: Callable[[int, int], None] = lambda _bytes, _keys: None,
    ) -> None:
        self.routes = routes
        self.outcome = outcome
        self.expiring = 0
        self._existing = existing
        self._on_written = on_written
        self._batches: dict[Address, Batch] = {}
        self._queues: dict[Address, trio.MemorySendChannel[Batch]] = {}

    async def run(self, fill: Callable[[], Awaitable[None]]) -> None:
        """Runs `fill`, which adds keys, and the workers until all is written. Raises CtlError."""
        try:
            async with trio.open_nursery() as self._nursery:
                await self._fill(fill)
        except BaseExceptionGroup as group:
            raise telling(group) from None

    async def _fill(self, fill: Callable[[], Awaitable[None]]) -> None:
        await fill()
        for address in list(self._batches):
            await self._flush(address)
        for queue in self._queues.values():
            await queue.aclose()

    async def add(self, entries: Iterable[Entry], owned: bytes | None = None) -> None:
        """Waits while too much is under way. Where `owned` has a 0 for its slot a key is left out."""
        now_ms = time.time() * 1000
        outcome = self.outcome
        for entry in entries:
            if entry.expire_at_ms is not None and entry.expire_at_ms <= now_ms:
                outcome.expired += 1
                continue
            slot = key_slot(entry.key)
            if owned is not None and not owned[slot]:
                outcome.foreign += 1
                continue
            if entry.key == KEY:
                continue
            address = self.routes.owner(slot)
            batch = self._batches.get(address)
            if batch is None:
                batch = self._batches[address] = Batch()
            batch.slots.append(slot)
            batch.entries.append(entry)
            batch.size_bytes += _size_bytes(entry)
            if len(batch.entries) >= BATCH_KEYS or batch.size_bytes >= BATCH_BYTES:
                await self._flush(address)

    async def _flush(self, address: Address) -> None:
        batch = self._batches.pop(address)
        queue = self._queues.get(address)
        if queue is None:
            queue, receiver = trio.open_memory_channel[Batch](QUEUED_BATCHES)
            self._queues[address] = queue
            self._nursery.start_soon(self._work, receiver)
        await queue.send(batch)

    async def _work(self, receiver: trio.MemoryReceiveChannel[Batch]) -> None:
        async for batch in receiver:
            commands = [
                restore_command(entry, replace=self._existing == "replace") for entry in batch.entries
            ]
            answers = await self.routes.send(batch.slots, commands)
            for entry, answer in zip(batch.entries, answers, strict=True):
                reply = answer.reply
                if reply != b"OK" and not self._known(entry, reply, again=answer.again):
                    continue
                self.outcome.restored += 1
                self.expiring += entry.expire_at_ms is not None
                self.outcome.size_bytes += _size_bytes(entry)
            self._on_written(batch.size_bytes, len(batch.entries))

    def _known(self, entry: Entry, reply: Reply, *, again: bool) -> bool:
        """Whether the key counts as written all the same. Raises CtlError for what cannot be written."""
        if isinstance(reply, ReplyError) and reply.code != "BUSYKEY":
            raise refused_key(entry.key, reply)
        if again:
            return True
        if self._existing == "skip":
            self.outcome.existing += 1
        else:
            self.outcome.conflict(entry.key)
        return False


def _size_bytes(entry: Entry) -> int:
    return len(entry.payload) + len(entry.string or b"")


def restore_command(entry: Entry, *, replace: bool) -> Command:
    """The reply is OK; for a key that is there and not to be replaced it is BUSYKEY, or null from SET."""
    if entry.string is not None:
        words: Command = ("SET", entry.key, entry.string)
        if not replace:
            words += ("NX",)
        if entry.expire_at_ms is not None:
            words += ("PXAT", entry.expire_at_ms)
        return words
    words = ("RESTORE", entry.key, entry.expire_at_ms or 0, entry.payload)
    if replace:
        words += ("REPLACE",)
    if entry.expire_at_ms is not None:
        words += ("ABSTTL",)
    if entry.idle_s is not None:
        words += ("IDLETIME", entry.idle_s)
    if entry.freq is not None:
        words += ("FREQ", entry.freq)
    return words


def refused_key(key: bytes, reply: ReplyError) -> CtlError:
    hint = ""
    if reply.code == "OOM":
        hint = "Give the nodes more memory (maxmemory), then go on."
    elif "payload version" in reply.text or "Bad data format" in reply.text:
        hint = "The cluster is older than what the key was written by, or lacks the module of its type."
    elif reply.code == "NOPERM":
        hint = "The user needs the command RESTORE, and all keys."
    return CtlError(f"key {key.decode(errors='backslashreplace')!r:.100} was refused: {reply.text}", hint)


class Functions:
    """Libraries of functions, each once to every primary."""

    def __init__(self, routes: Routes, existing: Existing, outcome: Outcome) -> None:
        self._routes = routes
        self._existing = existing
        self._outcome = outcome
        self._known: set[bytes] = set()
        self._lock = trio.Lock()

    async def load(self, library: Library) -> None:
        """One that is there already is replaced, left, or a conflict. Raises CtlError."""
        async with self._lock:
            if library.record in self._known:
                return
            self._known.add(library.record)
            policy = "REPLACE" if self._existing == "replace" else "APPEND"
            try:
                await send_to_all(self._routes, "FUNCTION", "RESTORE", functions_payload([library]), policy)
            except ReplyError as error:
                if "already exists" not in error.text:
                    raise CtlError(f"functions were refused: {_shortened(error.text)}") from error
                if self._existing == "refuse":
                    self._outcome.conflict(b"functions: " + error.text.removeprefix("ERR ").encode())
            except LinkError as error:
                raise CtlError(f"functions were not loaded everywhere: {error}") from error
            else:
                self._outcome.functions += 1


def _shortened(text: str) -> str:
    """An error that repeats its arguments, without them."""
    return text.partition(", with args")[0]


class Reading:
    """An RDB file that is read into a loader; `db` is the database whose keys are wanted."""

    def __init__(self, loader: Loader, functions: Functions, db: int = 0) -> None:
        self.cutter = Cutter()
        self.others: set[int] = set()
        self._loader = loader
        self._functions = functions
        self._db = db

    async def feed(self, pieces: AsyncIterator[bytes], owned: bytes | None = None) -> None:
        """All pieces of the file. Raises RdbError where it is damaged or ends early, CtlError."""
        async for piece in pieces:
            await self._take(list(self.cutter.feed(piece)), owned)
        await self._take(list(self.cutter.close()), owned)

    async def _take(self, items: list[Item], owned: bytes | None) -> None:
        entries = []
        for item in items:
            if isinstance(item, Library):
                await self._functions.load(item)
            elif item.db == self._db:
                entries.append(item)
            else:
                self.others.add(item.db)
        await self._loader.add(entries, owned)


async def send_to_all(routes: Routes, *words: str | bytes | int) -> None:
    """One command to every primary that owns slots. Raises ReplyError with the first refusal, LinkError."""

    async def one(address: Address) -> None:
        await routes.fleet.call(address, *words, timeout_s=60.0)

    await concurrently(partial(one, address) for address in routes.primaries)
