"""A command is declared once, by `@command` above its handler; everything else is derived from that line.

    @command(b"GETEX", arity=-2, group="string", flags=WRITE | FAST, keys=[key(1, RW)], since="6.2.0")
    def getex(call: Call, argv: list[bytes]) -> bytes:
        \"\"\"Returns the string value of a key after setting its expiration time.\"\"\"

A handler gets the call and the whole request (`argv[0]` is the name) and returns an encoded reply. A handler
that needs services says so (`needs=Cluster`, or a tuple of several) and gets them as its first arguments;
they are bound when the registry is frozen. A container (`CLIENT`) has subcommands, declared as `CLIENT|LIST`.

Source: https://redis.io/docs/reference/command-arguments/ and COMMAND's page for the flags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, TypeVar

from node.command.keyspec import KeyFlag, KeysFunction, KeySpec


class Flag(IntFlag):
    """The flags of COMMAND INFO, in its order."""

    WRITE = 1 << 0
    READONLY = 1 << 1
    DENYOOM = 1 << 2
    MODULE = 1 << 3
    ADMIN = 1 << 4
    PUBSUB = 1 << 5
    NOSCRIPT = 1 << 6
    BLOCKING = 1 << 8
    LOADING = 1 << 9
    STALE = 1 << 10
    SKIP_MONITOR = 1 << 11
    SKIP_SLOWLOG = 1 << 12
    ASKING = 1 << 13
    FAST = 1 << 14
    NO_AUTH = 1 << 15
    MAY_REPLICATE = 1 << 16
    NO_ASYNC_LOADING = 1 << 23
    NO_MULTI = 1 << 24
    MOVABLEKEYS = 1 << 25
    ALLOW_BUSY = 1 << 26
    NO_MANDATORY_KEYS = 1 << 27

    def names(self) -> list[bytes]:
        hidden = Flag.MAY_REPLICATE
        return [(flag.name or "").lower().encode() for flag in Flag if flag in self and flag not in hidden]


WRITE, READONLY, DENYOOM, ADMIN, PUBSUB = Flag.WRITE, Flag.READONLY, Flag.DENYOOM, Flag.ADMIN, Flag.PUBSUB
NOSCRIPT, BLOCKING, LOADING, STALE = Flag.NOSCRIPT, Flag.BLOCKING, Flag.LOADING, Flag.STALE
SKIP_MONITOR, SKIP_SLOWLOG, ASKING, FAST = Flag.SKIP_MONITOR, Flag.SKIP_SLOWLOG, Flag.ASKING, Flag.FAST
NO_AUTH, MAY_REPLICATE, NO_ASYNC_LOADING = Flag.NO_AUTH, Flag.MAY_REPLICATE, Flag.NO_ASYNC_LOADING
NO_MULTI, MOVABLEKEYS, ALLOW_BUSY = Flag.NO_MULTI, Flag.MOVABLEKEYS, Flag.ALLOW_BUSY
NO_MANDATORY_KEYS = Flag.NO_MANDATORY_KEYS

RO, RW, OW, RM = KeyFlag.RO, KeyFlag.RW, KeyFlag.OW, KeyFlag.RM
ACCESS, UPDATE, INSERT, DELETE = KeyFlag.ACCESS, KeyFlag.UPDATE, KeyFlag.INSERT, KeyFlag.DELETE
VARIABLE_FLAGS = KeyFlag.VARIABLE_FLAGS

Handler = Callable[..., Any]
HandlerT = TypeVar("HandlerT", bound=Handler)


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A declaration. `name` is upper case (`CONTAINER|SUB`), `arity` counts the name (negative: at least)."""

    name: bytes
    arity: int
    group: str
    flags: Flag
    keys: tuple[KeySpec, ...]
    since: str
    complexity: str
    summary: str
    categories: tuple[str, ...]
    tips: tuple[str, ...]
    handler: Handler | None
    needs: tuple[type, ...]
    find_keys: KeysFunction | None
    history: tuple[tuple[str, str], ...] = ()
    replaced_by: str = ""
    deprecated_since: str = ""
    waits: bool = False  # whether the handler may return a Block though the flags do not say so
    module: str = ""  # where it comes from, when not with the node

    def acl_categories(self) -> list[str]:
        """Those declared, and those that follow from the flags, each with its `@`, in no order of meaning."""
        found = ["@" + name for name in self.categories]
        flags = self.flags
        if flags & WRITE:
            found.append("@write")
        if flags & READONLY and "scripting" not in self.categories:
            found.append("@read")
        if flags & ADMIN:
            found += ["@admin", "@dangerous"]
        if flags & PUBSUB:
            found.append("@pubsub")
        if flags & BLOCKING:
            found.append("@blocking")
        found.append("@fast" if flags & FAST else "@slow")
        return list(dict.fromkeys(found))


DECLARED: list[CommandSpec] = []
"""Every declaration, in the order of import; `node.command.registry` makes a table of it."""

_NO_FLAGS = Flag(0)


def command(
    name: bytes,
    *,
    arity: int,
    group: str,
    since: str,
    flags: Flag = _NO_FLAGS,
    keys: Sequence[KeySpec] = (),
    complexity: str = "",
    categories: Sequence[str] = (),
    tips: Sequence[str] = (),
    needs: type | tuple[type, ...] = (),
    find_keys: KeysFunction | None = None,
    replaced_by: str = "",
    deprecated_since: str = "",
    waits: bool = False,
) -> Callable[[HandlerT], HandlerT]:
    """Declares the handler below as `name`; its docstring's first line is the command's summary."""

    services = needs if isinstance(needs, tuple) else (needs,)

    def declare(handler: HandlerT) -> HandlerT:
        summary = (handler.__doc__ or "").strip().split("\n")[0]
        DECLARED.append(
            CommandSpec(
                name, arity, group, flags, tuple(keys), since, complexity, summary, tuple(categories),
                tuple(tips), handler, services, find_keys, (), replaced_by, deprecated_since,
                waits,
            )
        )  # fmt: skip
        return handler

    return declare


def container(
    name: bytes,
    *,
    group: str,
    since: str,
    summary: str,
    arity: int = -2,
    flags: Flag = _NO_FLAGS,
    categories: Sequence[str] = (),
    complexity: str = "Depends on subcommand.",
) -> None:
    """Declares a command that only holds subcommands."""
    DECLARED.append(
        CommandSpec(
            name, arity, group, flags, (), since, complexity, summary, tuple(categories), (), None, (), None
        )
    )
