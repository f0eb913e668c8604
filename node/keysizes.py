"""INFO keysizes: how many keys of each type have how many elements (strings: bytes), by powers of two.

Redis 8 counts whenever a key changes. Here nothing is counted until somebody asks: then all keys are looked
at, for a slice of time in each turn, and whoever asked waits for the end of it. So a write costs nothing for
it, and nobody else waits. A slot is counted at one moment, but the slots one after the other: of what changes
meanwhile, some is counted as it was and some as it is.

Source: https://redis.io/commands/info/, "keysizes".
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

from node.clients import POSTPONED, Clients
from node.clock import Clock
from node.command.session import Block, Session
from node.keyspace.database import Database, Value
from node.observe.info import Fields
from node.timers import Timers
from node.values.kinds import type_name

_SLICE_S = 0.001
_PART_KEYS = 512
_NAMES = {
    b"string": "strings_sizes",
    b"list": "lists_items",
    b"set": "sets_items",
    b"zset": "zsets_items",
    b"hash": "hashes_items",
}
"""In this order; of streams nothing is told."""

_UNITS = ("", "K", "M", "G", "T")

Sizes = Counter[tuple[bytes, int]]
"""How many keys of a type have a size of so many bits."""


class _Asked:
    """One who waits for a count that began after it asked."""

    __slots__ = ("reply", "session")

    def __init__(self, session: Session, reply: Callable[[], bytes]) -> None:
        self.session = session
        self.reply = reply


class KeySizes:
    """Counts one time for all who asked while the count before was under way."""

    def __init__(self, databases: list[Database], clock: Clock, clients: Clients, timers: Timers) -> None:
        self._databases = databases
        self._clock = clock
        self._clients = clients
        self._timers = timers
        self._sizes: dict[int, Sizes] | None = None  # by database, when all is counted
        self._counting: list[_Asked] = []
        self._next: list[_Asked] = []
        self._walk: Iterator[None] = iter(())

    def answer(self, session: Session, reply: Callable[[], bytes]) -> bytes | Block:
        """What INFO returns whose reply tells `fields`: that, or a Block while there is more to count than
        is done at once. Who cannot wait, in a transaction or a script, is told nothing then.
        """
        asked = _Asked(session, reply)
        if not self._counting:
            self._begin()
            if self._goes_on():
                if session.deny_blocking:
                    return reply()
                self._counting.append(asked)
                self._later()
                return self._block(asked)
            return self._told(asked)
        if session.deny_blocking:
            return reply()
        self._next.append(asked)
        return self._block(asked)

    def _block(self, asked: _Asked) -> Block:
        def forget() -> None:
            for waiting in (self._counting, self._next):
                if asked in waiting:
                    waiting.remove(asked)

        return Block(POSTPONED, None, lambda: b"", forget, may_time_out=False)

    def _told(self, asked: _Asked) -> bytes:
        """The reply, which finds what has been counted in `fields`."""
        try:
            return asked.reply()
        finally:
            self._sizes = None

    def fields(self) -> Fields:
        """Fields of INFO keysizes: none where nothing has been counted."""
        for index, sizes in (self._sizes or {}).items():
            for kind, name in _NAMES.items():
                bits = sorted(bits for each, bits in sizes if each == kind)
                if bits:
                    told = ",".join(f"{_bound(each)}={sizes[kind, each]}" for each in bits)
                    yield f"db{index}_distrib_{name}", told

    # Counting

    def _begin(self) -> None:
        self._counted: dict[int, Sizes] = {}
        self._walk = self._count()

    def _goes_on(self) -> bool:
        """Counts for a slice; False when all is counted."""
        end_s = time.monotonic() + _SLICE_S
        for _ in self._walk:
            if time.monotonic() > end_s:
                return True
        self._sizes = self._counted
        return False

    def _later(self) -> None:
        self._timers.at(self._clock.update() + 1, self._work)

    def _work(self) -> None:
        if self._counting and self._goes_on():
            self._later()
            return
        counting, self._counting = self._counting, []
        sizes = self._sizes
        for asked in counting:
            self._sizes = sizes
            self._clients.unblock(asked.session, self._told(asked))
        self._counting, self._next = self._next, []
        if self._counting:
            self._begin()
            self._later()

    def _count(self) -> Iterator[None]:
        """Stops after every few keys."""
        seen = 0
        for database in self._databases:
            if not database.count:
                continue
            sizes = self._counted[database.index] = Counter()
            for slot in range(len(database.slots)):
                partition = database.slots[slot]
                if not partition:
                    continue
                for part in [partition] if isinstance(partition, dict) else list(partition.buckets()):
                    sizes.update(map(_kind_and_bits, part.values()))
                    seen += len(part)
                    if seen >= _PART_KEYS:
                        seen = 0
                        yield


def _kind_and_bits(value: Value) -> tuple[bytes, int]:
    if type(value) is bytes:
        return b"string", len(value).bit_length()
    if isinstance(value, int):
        return b"string", len(b"%d" % value).bit_length()
    kind = type_name(value)
    return kind, len(value).bit_length() if kind in _NAMES else 0


def _bound(bits: int) -> str:
    """The smallest size of so many bits: 0, 1, 2, 4, … 1K, 2K, … 1M."""
    if bits <= 10:
        return str(1 << bits >> 1)
    units, rest = divmod(bits - 1, 10)
    return f"{1 << rest}{_UNITS[units]}"
