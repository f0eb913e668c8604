"""The server's commands as a module's command calls them.

All that one handler calls is a unit (`node.command.queue.Units`): others see all of it or nothing, and
replicas and the AOF are told these commands, between MULTI and EXEC, in place of the module's own. So they
need no such module, and what a clock or a random number decided is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

from gossip.slots import key_slot
from node.command.call import Call
from node.command.queue import Units
from node.command.registry import Command, Table
from node.command.spec import CommandSpec, Flag
from node.errors import CommandError
from node.resp.encode import RESP2, error


class MisuseError(Exception):
    """A module does what it must not; the text says what."""


class Commands:
    """Those that the handler of one declaration may call: `needs=Commands` gives it as first argument."""

    def __init__(self, table: Table, units: Callable[[], Units], spec: CommandSpec) -> None:
        self._table = table
        self._units = units
        self._title = spec.name.decode()
        self._may_write = bool(spec.flags & Flag.WRITE)

    def call(self, call: Call, *words: bytes) -> Any:
        """Runs a command; its reply as a value: bytes, int, None, or a list of these.

        Raises CommandError with the text of an error reply, and MisuseError.
        """
        reader = hiredis.Reader()
        reader.feed(self.reply(call, *words))
        value = reader.gets()
        if isinstance(value, hiredis.ReplyError):
            raise CommandError(str(value).encode("utf-8", "surrogateescape"))
        return value

    def reply(self, call: Call, *words: bytes) -> bytes:
        """The same, but the reply as it is in RESP2, be it an error. Raises MisuseError."""
        if call.changes.log:
            raise MisuseError(f"{self._title} calls commands after it has changed a key by itself")
        argv = list(words)
        command = self._found(argv)
        session, before = call.session, (call.db, call.slot, call.reply)
        keys = [argv[position] for position, _ in command.keys_of(argv)] if command.has_keys else []
        slots = list(map(key_slot, keys))
        if not session.from_primary and not all(call.served[slot] for slot in slots):
            return error(b"ERR %b: a key is not in a slot of this node" % words[0])
        call.reply = RESP2
        try:
            return self._units().run_within(session, command, argv, slots[0] if slots else call.slot)
        finally:
            call.db, call.slot, call.reply = before

    def _found(self, argv: list[bytes]) -> Command:
        if not argv or not all(type(word) is bytes for word in argv):
            raise MisuseError(f"{self._title} calls a command with words that are not bytes")
        command = self._table.lookup(argv[0])
        if command is not None and command.subcommands and len(argv) > 1:
            command = command.subcommands.get(argv[1].upper())
        name = argv[0].decode("utf-8", "backslashreplace")
        if command is None or not command.arity_fits(len(argv)):
            raise MisuseError(f"{self._title} calls {name}: no such command, or not with so many words")
        if command.flags & Flag.NOSCRIPT:
            raise MisuseError(f"{self._title} calls {name}, which no command may call")
        if command.is_told and not self._may_write:
            raise MisuseError(f"{self._title} calls {name}, and does not declare WRITE")
        return command
