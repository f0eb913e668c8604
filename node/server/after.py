"""What follows a command that changed something, in one order: tell replicas and the AOF, then whoever
watches keys, then serve who waits for them.

Each step is a list of callables that services hang in (`node/app.py`); an empty list costs nothing, and a
command that changed nothing never comes here.

Several commands may be one *unit* (EXEC, a script): watchers see each change at once, but those who wait are
served when the unit ends, and what is to be told gathers until then. Several commands are told between MULTI
and EXEC, so that replicas and the AOF have all of them or none, be they those of a unit or what is told of
one command; one stands alone, and none leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable

from node.command.registry import Command
from node.command.session import Session
from node.keyspace.changes import Change, Changes, Teller

Watcher = Callable[[list[Change]], None]

TELL_FILES, TELL_REPLICAS = 1, 2
_ALL = TELL_FILES | TELL_REPLICAS
_MULTI = [b"MULTI"]
_EXEC = [b"EXEC"]


class After:
    """Applies and clears the record of changes.

    All that is told goes to `tellers`, but what only replicas are told (`tell_replicas`) to none of `files`,
    which are those among the tellers that keep a file.
    """

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.tellers = changes.tellers
        self.files: list[Teller] = []
        self.watchers: list[Watcher] = []
        self.serve_waiting: Callable[[], None] = lambda: None
        self._depth = 0  # of units
        self._unit: list[tuple[int, list[bytes], int]] = []  # and who is told
        self.told = _ALL  # who is told what a unit changes from here on

    def apply(self, session: Session, command: Command, argv: list[bytes]) -> None:
        """Called when `changes` holds something after `command` ran."""
        changes = self.changes
        if changes.rewritten is None and not changes.expired_logged and not self.watchers:
            if command.is_told and self.tellers:
                self.tell(session.call.db.index, argv)
            changes.total += len(changes.log)
            changes.log.clear()
            return
        self._apply(session, argv, command.is_told)
        if self.watchers and not self._depth:
            self.serve_waiting()

    def apply_waited(self, session: Session, argv: list[bytes]) -> None:
        """The same for what a client that waited got; called by node.blocking."""
        self._apply(session, argv, True)

    def _apply(self, session: Session, argv: list[bytes], told_as_it_came: bool) -> None:
        changes = self.changes
        if self.tellers:
            rewritten = changes.rewritten
            several = bool(changes.expired) or (rewritten is not None and len(rewritten) > 1)
            if several:
                self._depth += 1
            for db_index, told in changes.expired:
                self.tell(db_index, told)
            if rewritten is not None:
                for db_index, told in rewritten:
                    self.tell(db_index, told)
            elif told_as_it_came and len(changes.log) > changes.expired_logged:
                self.tell(session.call.db.index, argv)
            if several:
                self._end_telling()
        self._watch()

    def apply_expired(self) -> None:
        """Called when keys expired outside a command."""
        if self.tellers:
            for db_index, told in self.changes.expired:
                self.tell(db_index, told)
        self._watch()
        if self.watchers and not self._depth:
            self.serve_waiting()

    # Telling

    def tell(self, db_index: int, told: list[bytes]) -> None:
        """Tells replicas and the AOF a command, in its place among what others changed."""
        if self._depth:
            if self.told:
                self._unit.append((db_index, told, self.told))
            return
        for teller in self.tellers:
            teller(db_index, told)

    def tell_replicas(self, db_index: int, told: list[bytes]) -> None:
        """The same of a command that changes nothing, and so is in no file."""
        if self._depth:
            if self.told & TELL_REPLICAS:
                self._unit.append((db_index, told, TELL_REPLICAS))
            return
        for teller in self.tellers:
            if teller not in self.files:
                teller(db_index, told)

    @property
    def in_unit(self) -> bool:
        """Whether changes have been made that nobody has been told of yet."""
        return self._depth > 0

    def drop_unit(self) -> None:
        """Nobody will be told what the unit has changed so far: the node ends in the midst of it."""
        self._unit.clear()

    def tell_only(self, who: int) -> None:
        """TELL_FILES, TELL_REPLICAS, both or none are told what a unit changes from here on."""
        self.told = who

    def begin_unit(self) -> None:
        """From here to `end_unit` all changes are one; units inside of it are part of it."""
        self._depth += 1

    def end_unit(self) -> None:
        self._end_telling()
        if self.watchers and not self._depth:
            self.serve_waiting()

    def _end_telling(self) -> None:
        self._depth -= 1
        if self._depth or not self._unit:
            return
        unit, self._unit = self._unit, []
        for teller in self.tellers:
            mine = TELL_FILES if teller in self.files else TELL_REPLICAS
            commands = [(index, told) for index, told, who in unit if who & mine]
            if len(commands) > 1:
                commands = [(commands[0][0], _MULTI), *commands, (commands[-1][0], _EXEC)]
            for db_index, told in commands:
                teller(db_index, told)

    def _watch(self) -> None:
        for watcher in self.watchers:
            watcher(self.changes.log)
        self.changes.clear()
