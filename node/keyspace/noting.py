"""Databases that also note what keyspace notifications alone want to know: reads of keys that are not there,
and keys that come to be.

A database becomes one of these while somebody wants it (`note`), and an ordinary one again after: whoever
does not use such notifications pays nothing for them, not even a question for each key.
"""

from __future__ import annotations

from gossip.slots import key_slot
from node.keyspace.changes import EventClass
from node.keyspace.database import Database, Value


class NotingDatabase(Database):
    """Adds nothing to what a database holds, so that either can become the other. What is wanted stands in
    the server's `Changes`.
    """

    __slots__ = ()

    def read(self, key: bytes, slot: int, now_ms: int) -> Value | None:
        value = super().read(key, slot, now_ms)
        if value is None and self._changes.on_missed is not None:
            self._changes.on_missed(key, self.index)
        return value

    def put(self, key: bytes, slot: int, value: Value) -> None:
        before = self.count
        super().put(key, slot, value)
        self._note_new(key, before)

    def put_all(self, keys: list[bytes], values: list[Value]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.put(key, key_slot(key), value)

    def update(self, key: bytes, slot: int, value: Value) -> None:
        before = self.count
        super().update(key, slot, value)
        self._note_new(key, before)

    def _note_new(self, key: bytes, before: int) -> None:
        if self.count > before and self._changes.notes_new:
            self._changes.log.append((EventClass.NEW, b"new", key, self.index))


def note(database: Database, wanted: bool) -> None:
    """Makes a database one that notes, or an ordinary one."""
    database.__class__ = NotingDatabase if wanted else Database
