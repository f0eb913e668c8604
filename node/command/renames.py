"""rename-command: other names for commands, or none at all; lines of the configuration file.

What concerns a command otherwise (rules of users, what EXEC and WATCH are) knows it by its own name.
"""

from __future__ import annotations

from node.command.registry import Table


class RenameError(Exception):
    """A line is wrong; the text says why."""


def rename(table: Table, name: bytes, new_name: bytes) -> None:
    """Calls a command otherwise; the empty name takes it away. Raises RenameError, with nothing changed."""
    commands = table.commands
    old, new = name.upper(), new_name.upper()
    if old not in commands:
        raise RenameError("No such command in rename-command")
    if new and new != old and new in commands:
        raise RenameError("Target command name already exists")
    command = commands.pop(old)
    if new:
        commands[new] = command
    table.prepare()
