"""What a handler sees: one `Call` per session, told anew of time and slot before each command.

A handler reaches the database, the reply encoder and the record of changes through it, and nothing else:
no socket, no AOF, no replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.slots import key_slot
from node.keyspace.changes import Changes, EventClass
from node.keyspace.database import Database, Value
from node.resp.encode import RESP2, Encoder
from node.values.limits import Limits

if TYPE_CHECKING:
    from node.command.session import Session

Served = bytearray
"""Per slot: 1 when its keys are served here without further ado, 0 when the full path must decide."""


class Call:
    """The surroundings of the command that is running.

    `slot` is that of the command's first key (any slot when it has none); `now_ms` is the turn's time.
    """

    __slots__ = ("changes", "databases", "db", "now_ms", "reply", "served", "session", "slot")

    session: Session

    def __init__(self, databases: list[Database], changes: Changes, served: Served, now_ms: int) -> None:
        self.databases = databases
        self.db = databases[0]
        self.changes = changes
        self.served = served
        self.now_ms = now_ms
        self.slot = 0
        self.reply: Encoder = RESP2

    def changed(self, kind: EventClass, event: bytes, key: bytes) -> None:
        """Records that `key` changed, by the name keyspace notifications give it."""
        self.changes.log.append((kind, event, key, self.db.index))

    def changed_in(self, db: Database, kind: EventClass, event: bytes, key: bytes) -> None:
        """The same for a key of another database than the session's."""
        self.changes.log.append((kind, event, key, db.index))

    def rewrite(self, *commands: list[bytes]) -> None:
        """Replicas and the AOF are told these commands (none: nothing) in place of the one that runs, which
        has recorded its changes already.
        """
        assert self.changes.log, "only a command that changed something is told at all"
        index = self.db.index
        self.changes.rewritten = [(index, command) for command in commands]

    @property
    def limits(self) -> Limits:
        """Up to where collections are compact; `call.db.limits` is the same and quicker."""
        return self.db.limits

    def read(self, key: bytes) -> Value | None:
        """The value of any key of the request, for reading."""
        return self.db.read(key, key_slot(key), self.now_ms)

    def inspect(self, key: bytes) -> Value | None:
        """The same for a look inside of the server: nobody is notified of a key that is not there."""
        return Database.read(self.db, key, key_slot(key), self.now_ms)

    def peek(self, key: bytes) -> Value | None:
        """The value of any key of the request, without counting a hit or a miss."""
        return self.db.peek(key, key_slot(key), self.now_ms)

    def remove(self, key: bytes) -> Value | None:
        """Removes any key of the request and returns its value."""
        return self.db.remove(key, key_slot(key))
