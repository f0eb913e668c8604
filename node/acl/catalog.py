"""The commands as rules name them, and the categories they form.

Taken from the declarations before any rename-command, so that rules hold whatever commands are called.

Source: https://redis.io/docs/management/security/acl/, "Command categories"
"""

from __future__ import annotations

from collections.abc import Iterable

from node.command.registry import Command, Table

CATEGORIES = (
    b"keyspace", b"read", b"write", b"set", b"sortedset", b"list", b"hash", b"string", b"bitmap",
    b"hyperloglog", b"geo", b"stream", b"pubsub", b"admin", b"fast", b"slow", b"blocking", b"dangerous",
    b"connection", b"transaction", b"scripting",
)  # fmt: skip
"""In the order of ACL CAT."""


class Catalog:
    """Commands by name, and by category."""

    def __init__(self, table: Table) -> None:
        self._commands: dict[bytes, Command] = {}
        self._members: dict[bytes, list[Command]] = {name: [] for name in CATEGORIES}
        for holder in table.declared.values():
            for command in family(holder):
                self._commands[command.name] = command
                for category in command.spec.acl_categories():
                    self._members.setdefault(category[1:].encode(), []).append(command)

    def find(self, name: bytes) -> Command | None:
        """By full name, `get` or `config|set`, in any case."""
        return self._commands.get(name.upper())

    def members(self, category: bytes) -> list[Command] | None:
        """The commands of a category; None when there is no such category."""
        return self._members.get(category.lower())

    def categories(self) -> Iterable[bytes]:
        return self._members


def family(command: Command) -> Iterable[Command]:
    """The command and its subcommands: a rule for a container is one for all that it contains."""
    yield command
    yield from (command.subcommands or {}).values()
