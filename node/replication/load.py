"""A primary's snapshot → databases, beside those that are served.

The file is read from pieces of any size into fresh databases, in slices of a few milliseconds; when it is
whole and its checksum right, they take the place of the old ones at once. What is served until then is the
caller's choice: the old data, which costs memory for both, or none (`empty_out`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import trio

from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.persistence.rdb import NoteUse, RdbLoader

SLICE_S = 0.002


class SnapshotLoader:
    """Fed with the file, then swapped in. RdbError from any method: the file is of no use."""

    def __init__(
        self, databases: list[Database], changes: Changes, policy: Policy, note_use: NoteUse | None = None
    ) -> None:
        self._live = databases
        self._changes = changes
        self._policy = policy
        self._fresh = self._empty_ones()
        self._loader = RdbLoader(self._fresh, now_ms=None, note_use=note_use)

    def _empty_ones(self) -> list[Database]:
        made = [Database(database.index, self._changes, self._policy) for database in self._live]
        for database, live in zip(made, self._live, strict=True):
            database.limits = live.limits
            database.accesses = None if live.accesses is None else {}
        return made

    @property
    def ended(self) -> bool:
        """Whether the end of the file has been read."""
        return self._loader.ended

    @property
    def rest(self) -> bytes:
        """What was fed behind the end of the file."""
        return self._loader.rest

    @property
    def stream_db(self) -> int:
        """The database that the stream behind the file begins in."""
        told = self._loader.aux.get(b"repl-stream-db", b"")
        return int(told) if told.isdigit() else 0

    @property
    def functions(self) -> list[bytes]:
        """The sources of the libraries in the file."""
        return self._loader.functions

    @property
    def keys_loaded(self) -> int:
        return self._loader.keys_loaded

    @property
    def used_memory_bytes(self) -> int:
        """What the file says of the memory that its data took."""
        return self._loader.used_memory_bytes

    async def feed(self, data: bytes) -> bool:
        """The next bytes of the file; True when the end of the file has been read. Raises RdbError."""
        await self._take(self._loader.feed(data))
        return self.ended

    async def close(self) -> None:
        """No more bytes come. Raises RdbError when the file is not whole."""
        await self._take(self._loader.close())

    async def _take(self, steps: Iterator[None]) -> None:
        end_s = time.monotonic() + SLICE_S
        for _ in steps:
            if time.monotonic() > end_s:
                await trio.lowlevel.checkpoint()
                end_s = time.monotonic() + SLICE_S

    def empty_out(self) -> list[Database]:
        """Takes the old data away before the new are there; returns the databases that hold them."""
        return self._exchange(self._empty_ones())

    def swap_in(self) -> list[Database]:
        """Makes what was loaded the data set; returns the databases that hold the old one."""
        assert self.ended, "the file is not whole"
        return self._exchange(self._fresh)

    def _exchange(self, others: list[Database]) -> list[Database]:
        for database, other in zip(self._live, others, strict=True):
            database.swap_contents(other)
        return others
