"""What follows a command that changed something, in one order: tell replicas and the AOF, then whoever
watches keys.

Each step is a list of callables that services hang in (`node/app.py`); an empty list costs nothing, and a
command that changed nothing never comes here.
"""

from __future__ import annotations

from collections.abc import Callable

from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.keyspace.changes import Change, Changes

Teller = Callable[[int, list[bytes]], None]
"""Takes a database index and a command to be told to replicas or written to the AOF."""

_TOLD = Flag.WRITE | Flag.MAY_REPLICATE

Watcher = Callable[[list[Change]], None]


class After:
    """Applies and clears the record of changes."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.tellers: list[Teller] = []
        self.watchers: list[Watcher] = []
        self.serve_waiting: Callable[[], None] = lambda: None

    def apply(self, session: Session, command: Command, argv: list[bytes]) -> None:
        """Called when `changes` holds something after `command` ran."""
        self._apply(session, argv, bool(command.flags & _TOLD))
        if self.watchers:
            self.serve_waiting()

    def apply_waited(self, session: Session, argv: list[bytes]) -> None:
        """The same for what a client that waited got; called by node.blocking."""
        self._apply(session, argv, True)

    def _apply(self, session: Session, argv: list[bytes], told_as_it_came: bool) -> None:
        changes = self.changes
        if self.tellers:
            for db_index, told in changes.expired:
                self._tell(db_index, told)
            if changes.rewritten is not None:
                for db_index, told in changes.rewritten:
                    self._tell(db_index, told)
            elif told_as_it_came and len(changes.log) > changes.expired_logged:
                self._tell(session.call.db.index, argv)
        self._watch()

    def apply_expired(self) -> None:
        """Called when keys expired outside a command."""
        if self.tellers:
            for db_index, told in self.changes.expired:
                self._tell(db_index, told)
        self._watch()
        if self.watchers:
            self.serve_waiting()

    def _tell(self, db_index: int, told: list[bytes]) -> None:
        for teller in self.tellers:
            teller(db_index, told)

    def _watch(self) -> None:
        for watcher in self.watchers:
            watcher(self.changes.log)
        self.changes.clear()
