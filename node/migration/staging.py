"""Imported keys before the hand-over: in a database of their own that no client sees.

SCAN, DBSIZE, RANDOMKEY and the rest look into the node's database, so what is staged beside it needs no
hiding; and when an import fails, or the process ends, there is nothing to be picked out of other data. At
the hand-over the slots' tables move over as they are (`Database.absorb`): its time depends on the slots and
the deadlines among the keys (some 50 ns each), not on the keys.

The source's commands run here as a primary's do on a replica: no key's time is over but by the source's word.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.slots import SLOT_COUNT, SlotSet, key_slot
from node.command.call import Call
from node.command.registry import Command, Table
from node.command.session import Session
from node.errors import CommandError
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy

Tell = Callable[[int, list[bytes]], None]
"""Tells replicas and the AOF a command, with its database."""

_NOTHING = frozenset((b"MULTI", b"EXEC", b"PING"))
"""All of an import becomes visible at once, so a transaction's bounds mean nothing to it."""


class StagingError(Exception):
    """A command that cannot be part of an import; the text says why."""


class Staging:
    """The keys of `slots`, and who runs commands on them. `tell` is that of server/after.py."""

    def __init__(self, live: Database, changes: Changes, table: Table, tell: Tell, slots: SlotSet) -> None:
        policy = Policy()
        policy.expires = policy.active_expiry = False
        policy.obeys = True
        self.slots = slots
        self.database = Database(live.index, changes, policy)
        self.database.limits = live.limits
        self._live = live
        self._changes = changes
        self._table = table
        self._fast = table.fast_all
        self._tell = tell
        self._served = bytearray(SLOT_COUNT)
        for slot in slots:
            self._served[slot] = 1
        self._call = Call([self.database], changes, self._served, 0)

    def __contains__(self, slot: int) -> bool:
        return bool(self._served[slot])

    def owns(self, argv: list[bytes]) -> bool:
        """Whether the command's keys are in our slots."""
        command = self._fast.get(argv[0])
        if command is not None and len(argv) > 1 and command.has_one_key:
            return bool(self._served[key_slot(argv[1])])
        keys = self._keys(self._table.lookup(argv[0]), argv)
        return bool(keys) and bool(self._served[key_slot(keys[0])])

    def apply(self, session: Session, argv: list[bytes]) -> None:
        """Runs a command that `session` brought. Raises StagingError."""
        command = self._fast.get(argv[0])
        if command is None or not command.has_one_key or not command.arity_fits(len(argv)):
            command = self._resolve(argv)
            if command is None:
                return
        slot = key_slot(argv[1]) if command.has_one_key else self._slot_of(command, argv)
        if not self._served[slot]:
            raise StagingError(f"a key of slot {slot}, which is not imported")
        self._run(session, command, argv, slot)

    def _resolve(self, argv: list[bytes]) -> Command | None:
        """A command that takes more than the quick way; None for one that means nothing here."""
        name = argv[0].upper()
        if name in _NOTHING:
            return None
        if name == b"SELECT" and len(argv) == 2:
            if argv[1] != b"%d" % self.database.index:
                raise StagingError(f"database {argv[1].decode('ascii', 'replace')} is not in this cluster")
            return None
        command = self._table.lookup(argv[0])
        if command is not None and command.subcommands is not None and len(argv) > 1:
            command = command.subcommands.get(argv[1].upper())
        if command is None or not command.arity_fits(len(argv)):
            shown = b" ".join(argv)[:64].decode("utf-8", "backslashreplace")
            raise StagingError(f"unknown command or wrong number of arguments: {shown}")
        return command

    def _keys(self, command: Command | None, argv: list[bytes]) -> list[bytes]:
        if command is not None and command.subcommands is not None and len(argv) > 1:
            command = command.subcommands.get(argv[1].upper())
        if command is None or not command.has_keys:
            return []
        try:
            return [argv[at] for at, _ in command.keys_of(argv)]
        except ValueError:
            return []

    def _slot_of(self, command: Command, argv: list[bytes]) -> int:
        keys = self._keys(command, argv)
        if not keys:
            raise StagingError(f"a command without keys: {command.name.decode()}")
        slot = key_slot(keys[0])
        if any(key_slot(key) != slot for key in keys[1:]):
            raise StagingError(f"keys of several slots in {command.name.decode()}")
        return slot

    def _run(self, session: Session, command: Command, argv: list[bytes], slot: int) -> None:
        call, changes = self._call, self._changes
        call.session = session
        call.now_ms = session.call.now_ms
        call.slot = slot
        call.db.limits = self._live.limits
        try:
            reply = command.run(call, argv)
        except CommandError as refused:
            changes.clear()
            raise StagingError(refused.text.decode("utf-8", "backslashreplace")) from None
        finally:
            del call.session
        if type(reply) is not bytes or reply[:1] == b"-":
            changes.clear()
            raise StagingError(f"{command.name.decode()} was answered {reply!r}")
        if changes.log:
            told = changes.rewritten if changes.rewritten is not None else [(call.db.index, argv)]
            for db_index, words in told:
                self._tell(db_index, words)
        changes.clear()

    def publish(self) -> int:
        """Makes the keys those of the node; how many there are. Its own slots must be empty."""
        count = self.database.count
        self._live.absorb(self.database)
        return count
