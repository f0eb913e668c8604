"""Requests as others may see them, in MONITOR and SLOWLOG: without passwords.

Which words are secret, each command says here; whoever shows requests shows `redacted` ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node.command.registry import Command
from node.config.table import BY_NAME

HIDDEN = b"(redacted)"


def redacted(command: Command, argv: list[bytes]) -> list[bytes]:
    """The request, or a copy with `(redacted)` for what is secret in it."""
    find = _SECRETS.get(command.name)
    if find is None:
        return argv
    shown = list(argv)
    for at in find(argv):
        if at < len(shown):
            shown[at] = HIDDEN
    return shown


def _all_behind_name(argv: list[bytes]) -> Iterable[int]:
    return range(1, len(argv))


def _all_behind_subcommand(argv: list[bytes]) -> Iterable[int]:
    return range(2, len(argv))


def _login_of_hello(argv: list[bytes]) -> Iterable[int]:
    for at, word in enumerate(argv):
        if word.upper() == b"AUTH":
            yield from (at + 1, at + 2)


def _login_of_migrate(argv: list[bytes]) -> Iterable[int]:
    for at, word in enumerate(argv[6:], 6):
        if word.upper() == b"KEYS":
            return
        if word.upper() == b"AUTH":
            yield at + 1
        elif word.upper() == b"AUTH2":
            yield from (at + 1, at + 2)


def _values_of_config(argv: list[bytes]) -> Iterable[int]:
    for at in range(2, len(argv), 2):
        directive = BY_NAME.get(argv[at].lower())
        if directive is not None and directive.sensitive:
            yield at + 1


_SECRETS: dict[bytes, Callable[[list[bytes]], Iterable[int]]] = {
    b"AUTH": _all_behind_name,
    b"HELLO": _login_of_hello,
    b"ACL|SETUSER": _all_behind_subcommand,
    b"CONFIG|SET": _values_of_config,
    b"MIGRATE": _login_of_migrate,
}
