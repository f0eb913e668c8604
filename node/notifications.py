"""Keyspace notifications: changes of keys published as messages, to this node's subscribers alone.

`notify-keyspace-events` chooses classes of events and the channels they go to: `__keyspace@0__:key` (K) with
the event's name as the message, `__keyevent@0__:event` (E) with the key's. What commands, expiry and eviction
record as changes is what is published, in its order, when the command is done. Two classes are known to the
keyspace alone, and are noted only while they are wanted: reads of keys that are not there (m), published at
once, and keys that come to be (n).

While nothing is wanted we are not among those who look at changes, and nothing is recorded for us.

Source: https://redis.io/docs/manual/keyspace-notifications/
"""

from __future__ import annotations

from collections.abc import Callable

from node.config import table as directives
from node.config.config import Config
from node.config.special import (
    EVENT_LETTERS,
    NOTIFY_KEY_MISS,
    NOTIFY_KEYEVENT,
    NOTIFY_KEYSPACE,
    NOTIFY_NEW,
)
from node.keyspace.changes import Change, Changes, EventClass
from node.keyspace.database import Database
from node.keyspace.noting import note
from node.pubsub import PubSub

_LETTERS = {letter: bit for letter, bit in EVENT_LETTERS.items() if letter != b"d"} | {b"n": NOTIFY_NEW}
"""Of the classes of changes; modules (d) have no events of their own here."""

Watcher = Callable[[list[Change]], None]


class Notifications:
    """Follows the directive. `watchers` are those of server/after.py."""

    def __init__(
        self,
        config: Config,
        databases: list[Database],
        changes: Changes,
        watchers: list[Watcher],
        pubsub: PubSub,
    ) -> None:
        self._databases = databases
        self._changes = changes
        self._watchers = watchers
        self._pubsub = pubsub
        self._wanted: frozenset[EventClass] = frozenset()
        self._by_key = self._by_event = False
        config.on_change(directives.NOTIFY_KEYSPACE_EVENTS, self._follow)
        self._follow(config[directives.NOTIFY_KEYSPACE_EVENTS])

    def _follow(self, flags: int) -> None:
        self._by_key = bool(flags & NOTIFY_KEYSPACE)
        self._by_event = bool(flags & NOTIFY_KEYEVENT)
        if not (self._by_key or self._by_event):
            flags = 0
        self._wanted = frozenset(EventClass(letter[0]) for letter, bit in _LETTERS.items() if flags & bit)
        if self._wanted and self._noticed not in self._watchers:
            self._watchers.append(self._noticed)
        elif not self._wanted and self._noticed in self._watchers:
            self._watchers.remove(self._noticed)
        self._changes.notes_new = bool(flags & NOTIFY_NEW)
        self._changes.on_missed = self._missed if flags & NOTIFY_KEY_MISS else None
        for database in self._databases:
            note(database, bool(flags & (NOTIFY_NEW | NOTIFY_KEY_MISS)))

    def _noticed(self, changes: list[Change]) -> None:
        if not self._pubsub.has_listeners:
            return
        wanted = self._wanted
        for kind, event, key, index in changes:
            if event and kind in wanted:
                self._publish(event, key, index)

    def _missed(self, key: bytes, index: int) -> None:
        if self._pubsub.has_listeners:
            self._publish(b"keymiss", key, index)

    def _publish(self, event: bytes, key: bytes, index: int) -> None:
        if self._by_key:
            self._pubsub.receive(b"__keyspace@%d__:%b" % (index, key), event)
        if self._by_event:
            self._pubsub.receive(b"__keyevent@%d__:%b" % (index, event), key)
