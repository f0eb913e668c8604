"""A primary's snapshot → databases, while it arrives, beside the data that are served.

The file is read from pieces of any size into fresh databases, in slices of a few milliseconds; when it is
whole and its checksum right, they take the place of the old ones at once. Clients are served with the old
data until then, and a synchronisation that fails leaves them as they were. The price is memory for both.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import trio

from gossip.slots import key_slot
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.rdb.errors import RdbError
from node.rdb.file import Aux, Function, Item, Key, RdbReader

SLICE_S = 0.002
_ITEMS_BETWEEN_LOOKS = 64


class SnapshotLoader:
    """Fed with the file, then swapped in. RdbError from any method: the file is of no use."""

    def __init__(self, databases: list[Database], changes: Changes, policy: Policy) -> None:
        self._live = databases
        self._fresh: dict[int, Database] = {}
        self._changes = changes
        self._policy = policy
        self._reader = RdbReader()
        self.stream_db = 0  # the database that the stream behind the file begins in
        self.functions: list[bytes] = []
        self.keys_loaded = 0

    @property
    def ended(self) -> bool:
        """Whether the end of the file has been read."""
        return self._reader.ended

    @property
    def rest(self) -> bytes:
        """What was fed behind the end of the file."""
        return self._reader.rest

    async def feed(self, data: bytes) -> bool:
        """The next bytes of the file; True when the end of the file has been read. Raises RdbError."""
        await self._take(self._reader.feed(data))
        return self._reader.ended

    async def close(self) -> None:
        """No more bytes come. Raises RdbError when the file is not whole."""
        await self._take(self._reader.close())

    async def _take(self, items: Iterable[Item]) -> None:
        end_s = time.monotonic() + SLICE_S
        for number, item in enumerate(items):
            if type(item) is Key:
                self._store(item)
            elif type(item) is Aux:
                if item.name == b"repl-stream-db" and item.value.isdigit():
                    self.stream_db = int(item.value)
            elif type(item) is Function:
                self.functions.append(item.code)
            if number % _ITEMS_BETWEEN_LOOKS == 0 and time.monotonic() > end_s:
                await trio.lowlevel.checkpoint()
                end_s = time.monotonic() + SLICE_S

    def _store(self, item: Key) -> None:
        database = self._fresh.get(item.db)
        if database is None:
            if item.db >= len(self._live):
                raise RdbError(
                    0, f"the primary has a database {item.db}, and there are {len(self._live)} here"
                )
            database = self._fresh[item.db] = Database(item.db, self._changes, self._policy)
        database.adopt(item.key, key_slot(item.key), item.value, item.expire_at_ms)
        self.keys_loaded += 1

    def swap_in(self) -> list[Database]:
        """Makes what was loaded the data set; returns the databases that hold the old one."""
        assert self.ended, "the file is not whole"
        old = []
        for database in self._live:
            other = self._fresh.get(database.index)
            if other is None:
                other = Database(database.index, self._changes, self._policy)
            database.swap_contents(other)
            old.append(other)
        self._fresh.clear()
        return old
