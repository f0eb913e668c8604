"""Keys on their way to another node: until its answer has come they must not change here.

While a key is in flight, reads of it are served and requests that would write it wait where they are, to be
run again, through all gates, once it has landed: then it is gone, and the client is sent after it, or it has
stayed. So no write is lost and none is done twice. In a cluster the slots concerned leave the dispatcher's
fast path (`Slots`), so that nobody else pays for it; a server without slots of its own leaves it for writes.

Some changes pass no gate: a key's time ends, a database is emptied, a client that waited for another key
gets what it moves to this one. They are noticed and noted (`changed`), and the key is sent again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from gossip.slots import key_slot
from node.clients import POSTPONED, Clients
from node.command.keyspec import KeyFlag
from node.command.registry import Command
from node.command.session import Block, Session
from node.command.spec import Flag
from node.guards import Guard, Guards
from node.keyspace.changes import Change, EventClass

DatabaseKey = tuple[int, bytes]
"""Database index and key."""

Watcher = Callable[[list[Change]], None]


class Slots(Protocol):
    """Who keeps requests for a slot off the fast path."""

    def hold(self, slot: int) -> None: ...
    def free(self, slot: int) -> None: ...


class WritesHeld:
    """The slots of a server without a cluster, where a request may have keys of several: while any is held,
    all writes take the full path.
    """

    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._held = 0

    def hold(self, slot: int) -> None:  # noqa: ARG002  all are as one
        self._held += 1
        self._guards.set(Guard.IN_FLIGHT, True)

    def free(self, slot: int) -> None:  # noqa: ARG002
        self._held -= 1
        self._guards.set(Guard.IN_FLIGHT, self._held > 0)


class KeysInFlight:
    """All of a node. `changed` are those that are not any more what was sent."""

    def __init__(self, clients: Clients, watchers: list[Watcher], slots: Slots) -> None:
        """`watchers` are those of server/after.py; we are among them only while something flies."""
        self._clients = clients
        self._watchers = watchers
        self._slots = slots
        self._held: Counter[int] = Counter()
        self._waiting: dict[DatabaseKey, list[Session]] = {}  # of each key in flight
        self.changed: set[DatabaseKey] = set()

    def __contains__(self, key: DatabaseKey) -> bool:
        return key in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def depart(self, db_index: int, keys: Iterable[bytes]) -> None:
        """None of the keys is in flight yet: the gate has seen to that."""
        if not self._waiting:
            self._watchers.append(self._noticed)
        for key in keys:
            assert (db_index, key) not in self._waiting
            self._waiting[(db_index, key)] = []
            slot = key_slot(key)
            self._held[slot] += 1
            if self._held[slot] == 1:
                self._slots.hold(slot)

    def land(self, db_index: int, key: bytes) -> None:
        """The key is free again; whoever waited for it goes on at the turn's end."""
        waiting = self._waiting.pop((db_index, key))
        self.changed.discard((db_index, key))
        slot = key_slot(key)
        self._held[slot] -= 1
        if not self._held[slot]:
            del self._held[slot]
            self._slots.free(slot)
        if not self._waiting:
            self._watchers.remove(self._noticed)
        for session in list(waiting):
            self._clients.end_block(session)
            session.transport.resume()

    def hindrance(self, session: Session, command: Command, argv: list[bytes]) -> Block | None:
        """What a request that would write a key in flight gets: it waits, and is run again."""
        if not self._waiting or not command.has_keys or command.flags & Flag.READONLY:
            return None
        try:
            keys = command.keys_of(argv)
        except ValueError:
            return None  # the handler has the words for what is wrong with the request
        index = session.call.db.index
        for position, flags in keys:
            waiting = self._waiting.get((index, argv[position]))
            if waiting is not None and not flags & KeyFlag.RO:
                return _wait(session, waiting)
        return None

    def _noticed(self, changes: list[Change]) -> None:
        for kind, _, key, index in changes:
            if kind is EventClass.DATABASE:
                self.changed.update(each for each in self._waiting if each[0] == index)
            elif (index, key) in self._waiting:
                self.changed.add((index, key))


def _wait(session: Session, waiting: list[Session]) -> Block:
    waiting.append(session)
    return Block(
        POSTPONED, None, lambda: b"", lambda: waiting.remove(session), retry=True, may_time_out=False
    )
