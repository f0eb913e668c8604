"""What commands ask of a value of any type: its name, its encoding, a copy.

Strings are stored as they are (`bytes`, `int` for those that are an integer, `bytearray` for long ones that
were changed, see `strings.py`); a value of any other type is an object of a class that answers for itself
(`Collection`).

Source: the pages of TYPE and OBJECT ENCODING.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeAlias

EMBSTR_BYTES_MAX = 44
"""Strings up to here are one allocation in Redis, and OBJECT ENCODING calls them embstr."""

SHARED_INTEGERS = 10_000
"""Redis has one object for each integer below this."""


class Collection(Protocol):
    """A value that is no string."""

    type_name: ClassVar[bytes]
    """As TYPE answers: list, set, zset, hash, stream."""

    def encoding(self) -> bytes:
        """As OBJECT ENCODING answers."""

    def copy(self) -> Collection:
        """A value of its own with the same content."""


Value: TypeAlias = bytes | int | bytearray | Collection


def type_name(value: Value) -> bytes:
    return b"string" if isinstance(value, (bytes, int, bytearray)) else value.type_name


def encoding(value: Value) -> bytes:
    if isinstance(value, int):
        return b"int"
    if isinstance(value, (bytes, bytearray)):
        return b"embstr" if len(value) <= EMBSTR_BYTES_MAX else b"raw"
    return value.encoding()


def copy(value: Value) -> Value:
    """A value that does not change with this one."""
    return value if isinstance(value, (bytes, int)) else value.copy()
