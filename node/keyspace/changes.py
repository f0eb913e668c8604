"""What commands did to the keyspace, recorded while they run and applied after them by `server/after.py`.

A handler that changes a key records it (`Call.changed`). Commands travel to replicas and into the AOF as the
client sent them unless the handler says how they shall be told instead (`Call.rewrite`): a relative expiry
becomes an absolute one, a random choice its outcome. A key found to have expired is told as a DEL of its own,
before the command that found it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum


class EventClass(IntEnum):
    """Classes of keyspace notifications; the values are the letters of notify-keyspace-events."""

    GENERIC = ord("g")
    STRING = ord("$")
    LIST = ord("l")
    SET = ord("s")
    HASH = ord("h")
    ZSET = ord("z")
    STREAM = ord("t")
    EXPIRED = ord("x")
    EVICTED = ord("e")
    NEW = ord("n")
    MISSED = ord("m")
    DATABASE = 0  # a whole database was emptied or swapped: the key is empty, and nobody is notified


Change = tuple[EventClass, bytes, bytes, int]
"""Class, event name, key, database index. An empty name: replicas are told, but nobody who watches, waits for
or is notified of the key.
"""

Told = tuple[int, list[bytes]]
"""A command as it is told to replicas, with its database index."""


Teller = Callable[[int, list[bytes]], None]
"""Takes a database index and a command to be told to replicas or written to the AOF."""


class Changes:
    """One per server; empty between commands.

    While there are no `tellers`, which belong to server/after.py, nobody is told anything, and a handler in a
    hurry need not say how it is to be told.
    """

    __slots__ = (
        "expired", "expired_logged", "log", "notes_new", "on_missed", "rewritten", "tellers", "total",
    )  # fmt: skip

    def __init__(self) -> None:
        self.tellers: list[Teller] = []
        self.log: list[Change] = []
        self.expired: list[Told] = []  # told before the command
        self.expired_logged = 0  # entries of the log that come from expiry and not from the command
        self.rewritten: list[Told] | None = None  # told in the command's place; None: as it came
        self.total = 0  # changes since the start
        self.notes_new = False  # whether keys that come to be are recorded, too (node.keyspace.noting)
        self.on_missed: Callable[[bytes, int], None] | None = None  # a read found nothing: key, database

    def clear(self) -> None:
        self.total += len(self.log)
        self.log.clear()
        self.rewritten = None
        if self.expired_logged:
            self.expired.clear()
            self.expired_logged = 0

    def key_expired(self, db_index: int, key: bytes) -> None:
        """A key's time was over and it has been removed: replicas are told so."""
        self.log.append((EventClass.EXPIRED, b"expired", key, db_index))
        self.expired_logged += 1
        self.expired.append((db_index, [b"DEL", key]))

    def key_evicted(self, db_index: int, key: bytes, told: list[bytes] | None) -> None:
        """A key has been removed to make room; replicas are told `told`, unless that is None."""
        self.log.append((EventClass.EVICTED, b"evicted", key, db_index))
        self.expired_logged += 1
        if told is not None:
            self.expired.append((db_index, told))

    def fields_expired(self, db_index: int, key: bytes, fields: list[bytes], was_last: bool) -> None:
        """Fields of a hash whose time was over have been removed, and with `was_last` the key.

        One HDEL tells replicas both: there too the key goes with its last field.
        """
        self.log.append((EventClass.HASH, b"hexpired", key, db_index))
        self.expired_logged += 1
        if was_last:
            self.log.append((EventClass.GENERIC, b"del", key, db_index))
            self.expired_logged += 1
        self.expired.append((db_index, [b"HDEL", key, *fields]))
