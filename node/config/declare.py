"""Builders for the table: one call declares one directive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict, TypeVar, Unpack

from node.config.directive import Directive, Kind
from node.config.kinds import (
    INT_MAX,
    LONG_MAX,
    Choice,
    Integer,
    Memory,
    MemoryOrPercent,
    Octal,
    Secret,
    Text,
    YesNo,
)

T = TypeVar("T")


class Rules(TypedDict, total=False):
    """Rules a directive may have; see Directive."""

    alias: str
    mutable: bool
    protected: bool
    hidden: bool
    sensitive: bool
    deny_loading: bool
    volatile: bool
    ignored: str
    later: str


def special(
    name: str,
    kind: Kind[T],
    default: T,
    doc: str,
    check: Callable[[T], None] | None = None,
    **rules: Unpack[Rules],
) -> Directive[T]:
    """A directive of any kind."""
    return Directive(name, kind, default, doc, check=check, **rules)


def yes_no(
    name: str, default: bool, doc: str, check: Callable[[bool], None] | None = None, **rules: Unpack[Rules]
) -> Directive[bool]:
    """A switch."""
    return Directive(name, YesNo(), default, doc, check=check, **rules)


def integer(
    name: str,
    default: int,
    doc: str,
    low: int = 0,
    high: int = INT_MAX,
    cap: tuple[int, int] | None = None,
    check: Callable[[int], None] | None = None,
    **rules: Unpack[Rules],
) -> Directive[int]:
    """A bounded integer."""
    return Directive(name, Integer(low, high, cap), default, doc, check=check, **rules)


def memory(
    name: str, default: int, doc: str, low: int = 0, high: int = LONG_MAX, **rules: Unpack[Rules]
) -> Directive[int]:
    """An amount of memory in bytes."""
    return Directive(name, Memory(low, high), default, doc, **rules)


def memory_or_percent(name: str, default: int, doc: str, **rules: Unpack[Rules]) -> Directive[int]:
    """An amount of memory in bytes, or a percentage as a negative number."""
    return Directive(name, MemoryOrPercent(), default, doc, **rules)


def octal(name: str, default: int, doc: str, high: int, **rules: Unpack[Rules]) -> Directive[int]:
    """A file mode."""
    return Directive(name, Octal(0, high), default, doc, **rules)


def choice(
    name: str,
    words: Sequence[str],
    default: str,
    doc: str,
    synonyms: dict[str, str] | None = None,
    **rules: Unpack[Rules],
) -> Directive[str]:
    """One of several words."""
    return Directive(name, Choice(words, synonyms), default, doc, **rules)


def text(
    name: str, default: str, doc: str, check: Callable[[str], None] | None = None, **rules: Unpack[Rules]
) -> Directive[str]:
    """A text which may be empty."""
    return Directive(name, Text(unset=False), default, doc, check=check, **rules)


def optional(
    name: str, doc: str, check: Callable[[str], None] | None = None, **rules: Unpack[Rules]
) -> Directive[str]:
    """A text which is not set when it is empty."""
    return Directive(name, Text(unset=True), "", doc, check=check, **rules)


def secret(name: str, doc: str, alias: str = "") -> Directive[bytes]:
    """A password or user name, kept out of logs."""
    return Directive(name, Secret(), b"", doc, sensitive=True, alias=alias)
