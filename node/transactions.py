"""MULTI, EXEC and WATCH: requests that run together, if nothing they rest on has changed.

MULTI opens a queue (`node.command.queue`); EXEC runs what is in it as one unit, unless a request was refused
while queueing (EXECABORT) or a key that the client watches was touched since (null).

A watch ends with the first touch: the client's mark is set and all its keys are forgotten, so a key that
changes often costs nothing more. A key is touched by whatever changes it, expiry and eviction too; FLUSHALL,
SWAPDB and a data set from elsewhere touch the keys that were there before or are there after. Whether a key
was there is noted when the watch begins: had it changed since, the watch would be over. A key whose time has
passed by EXEC counts as touched even where nobody has removed it yet; one whose time had passed already at
WATCH (a replica hides it until its primary's DEL) is touched by its removal no more.

As in Redis, what concerns only the groups of a stream that is there does not touch it: a client may watch a
stream, read it through a group, and acknowledge in the transaction.

Keys that nobody watches cost nothing: we look at changes only while somebody watches.

Source: https://redis.io/docs/interact/transactions/, https://redis.io/commands/watch/
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.slots import key_slot
from node.clock import Clock
from node.command.queue import Queue, Queued, Units, Watch, WatchedKey
from node.command.registry import Command
from node.command.session import Session
from node.errors import CommandError
from node.keyspace.changes import Change, EventClass
from node.keyspace.database import Database
from node.observe.info import Fields
from node.resp.encode import error

EXECABORT = b"EXECABORT Transaction discarded because of previous errors."

_GROUP_EVENTS = frozenset(
    (
        b"", b"xgroup-create", b"xgroup-createconsumer", b"xgroup-delconsumer", b"xgroup-setid",
        b"xgroup-destroy", b"xsetid",
    )
)  # fmt: skip
"""Deliveries and acknowledgements have no name."""

Watcher = Callable[[list[Change]], None]
Refusal = Callable[[Session, Command, list[bytes]], bytes | None]


def _allow(_session: Session, _command: Command, _argv: list[bytes]) -> None:
    """Until the application sets something stricter."""


class Transactions:
    """One per node. `units` is the dispatcher; the application sets it, and `refusal`, which has the error
    for what a session of restricted rights may not run.
    """

    def __init__(self, clock: Clock, databases: list[Database], watchers: list[Watcher]) -> None:
        """`watchers` are those of server/after.py; we are among them only while somebody watches."""
        self._clock = clock
        self._databases = databases
        self._hooks = watchers
        self._watched: dict[WatchedKey, dict[Session, Watch]] = {}
        self.units: Units
        self.refusal: Refusal = _allow

    # Transactions

    def begin(self, session: Session) -> None:
        """MULTI. Raises CommandError."""
        if session.queue is not None:
            raise CommandError(b"ERR MULTI calls can not be nested")
        session.queue = Queue()
        session.update_guard()

    def discard(self, session: Session) -> None:
        """Ends the transaction, if one is open, and the watch."""
        session.queue = None
        session.asking = False
        session.update_guard()
        self.unwatch(session)

    def execute(self, session: Session) -> list[bytes] | None:
        """EXEC: the replies; None when a watched key was touched. Raises CommandError."""
        queue = session.queue
        if queue is None:
            raise CommandError(b"ERR EXEC without MULTI")
        touched = self._is_touched(session)
        self.discard(session)
        if queue.broken:
            raise CommandError(EXECABORT)
        if touched:
            return None
        with self.units.unit(session):
            return [self._run(session, request) for request in queue.requests]

    def _run(self, session: Session, request: Queued) -> bytes:
        """Runs what was queued, if it is still allowed."""
        refusal = self.refusal(session, request.command, request.argv) if session.restricted else None
        return self.units.run_within(session, *request) if refusal is None else error(refusal)

    # Watching

    def watch(self, session: Session, keys: list[bytes]) -> None:
        """WATCH: keys of the session's database. Raises CommandError."""
        if session.queue is not None:
            raise CommandError(b"ERR WATCH inside MULTI is not allowed")
        watch = session.watch
        if watch is None:
            watch = session.watch = Watch()
        if watch.touched:
            return
        index = session.call.db.index
        for key in keys:
            watched = (index, key)
            if watched not in watch.keys:
                watch.keys[watched] = self._is_there(watched)
                if not self._watched:
                    self._hooks.append(self._noticed)
                self._watched.setdefault(watched, {})[session] = watch

    def unwatch(self, session: Session) -> None:
        """Forgets what `session` watches; also for one that has ended."""
        watch, session.watch = session.watch, None
        if watch is not None:
            self._forget_keys(session, watch)

    def _forget_keys(self, session: Session, watch: Watch) -> None:
        if not watch.keys:
            return
        for watched in watch.keys:
            sessions = self._watched[watched]
            del sessions[session]
            if not sessions:
                del self._watched[watched]
        watch.keys.clear()
        if not self._watched:
            self._hooks.remove(self._noticed)

    def _is_there(self, watched: WatchedKey) -> bool | None:
        index, key = watched
        database = self._databases[index]
        partition = database.slots[key_slot(key)]
        if partition is None or key not in partition:
            return False
        return None if self._is_over(database, key) else True

    def _is_over(self, database: Database, key: bytes) -> bool:
        deadline_ms = database.deadline(key)
        return deadline_ms is not None and deadline_ms <= self._clock.now_ms

    def _is_touched(self, session: Session) -> bool:
        watch = session.watch
        if watch is None:
            return False
        return watch.touched or any(
            was_there is not None and self._is_over(self._databases[index], key)
            for (index, key), was_there in watch.keys.items()
        )

    # Keys change

    def _noticed(self, changes: list[Change]) -> None:
        watched = self._watched
        for kind, event, key, index in changes:
            if kind is EventClass.DATABASE:
                self.database_replaced(index)
            elif (index, key) in watched:
                self._touch((index, key), event in _GROUP_EVENTS)

    def _touch(self, watched: WatchedKey, only_groups: bool) -> None:
        for session, watch in list(self._watched.get(watched, {}).items()):
            if watch.keys[watched] is None and self._is_there(watched) is False:
                watch.keys[watched] = False  # to the client it was gone before
            elif watch.keys[watched] and only_groups:
                continue
            else:
                watch.touched = True
                self._forget_keys(session, watch)

    def database_replaced(self, index: int) -> None:
        """A database was emptied or has other contents now."""
        for watched in [watched for watched in self._watched if watched[0] == index]:
            there_now = self._is_there(watched) is not False
            for session, watch in list(self._watched.get(watched, {}).items()):
                if watch.keys[watched] or there_now:
                    watch.touched = True
                    self._forget_keys(session, watch)

    def all_replaced(self) -> None:
        """Another data set took the place of ours."""
        for index in {index for index, _ in self._watched}:
            self.database_replaced(index)

    def recheck(self) -> None:
        """Keys went without a word (a slot was dropped): touches those that were there and are not."""
        for watched in list(self._watched):
            if self._is_there(watched) is False:
                for session, watch in list(self._watched.get(watched, {}).items()):
                    if watch.keys[watched]:
                        watch.touched = True
                        self._forget_keys(session, watch)

    def info(self) -> Fields:
        """Fields of INFO clients."""
        yield (
            "watching_clients",
            len({session for sessions in self._watched.values() for session in sessions}),
        )
        yield "total_watched_keys", len(self._watched)
