"""Byte strings in one byte string: how small collections are stored.

A Python object costs 33 bytes before its first byte, so a collection of short strings is one `bytes`: every
string is preceded and followed by SEPARATOR, 0xFF; that is one byte a string, where Redis's listpack has two.
Hashes put DIVIDER, 0xFE, between a field and its value. Where a string has one of these bytes in it, or 0xFD,
that is written as 0xFD and another byte. None of the three occurs in UTF-8 text, so this is rare, and one
`isascii` proves that there is nothing to do for most strings.

What makes this quick is that it needs no loop: a string is found by `bytes.find` of the string between its
separators, which cannot match anywhere else, and all are taken apart by one `split`.

`listpack_entry_bytes` says what a string would take in Redis's own format, for the limits that are in terms
of that.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.integers import parse_integer

SEPARATOR = b"\xff"
DIVIDER = b"\xfe"
_SEPARATOR = 0xFF
_DIVIDER = 0xFE
_ESCAPE = 0xFD

EMPTY = SEPARATOR
"""The packed form of no strings."""

LISTPACK_BYTES = 7
"""A listpack without entries."""

_INT_TEXT_MAX = 20


def escape(item: bytes) -> bytes:
    """`item` as it stands in a packed form."""
    if item.isascii() or not (_ESCAPE in item or _DIVIDER in item or _SEPARATOR in item):
        return item
    return item.replace(b"\xfd", b"\xfd\0").replace(b"\xfe", b"\xfd\1").replace(b"\xff", b"\xfd\2")


def unescape(item: bytes) -> bytes:
    """The string that stands as `item` in a packed form."""
    if _ESCAPE not in item:
        return item
    return item.replace(b"\xfd\2", b"\xff").replace(b"\xfd\1", b"\xfe").replace(b"\xfd\0", b"\xfd")


def pack(items: Sequence[bytes]) -> bytes:
    """All of `items` in their order."""
    if not b"".join(items).isascii():
        items = [escape(item) for item in items]
    return SEPARATOR.join([b"", *items, b""])


def unpack(packed: bytes) -> list[bytes]:
    """What was packed."""
    if packed == EMPTY:
        return []
    items = packed[1:-1].split(SEPARATOR)
    return [unescape(item) for item in items] if _ESCAPE in packed else items


def unpack_pairs(packed: bytes) -> list[bytes]:
    """Of packed pairs (`first DIVIDER second` between separators): first, second, first, second, …"""
    if packed == EMPTY:
        return []
    items = packed[1:-1].replace(DIVIDER, SEPARATOR).split(SEPARATOR)
    return [unescape(item) for item in items] if _ESCAPE in packed else items


def listpack_entry_bytes(item: bytes) -> int:
    """What `item` takes as an entry of a listpack, its length at the end included."""
    size = len(item)
    if size <= _INT_TEXT_MAX:
        value = parse_integer(item)
        if value is not None:
            return listpack_integer_bytes(value)
        return size + 2
    body = size + (1 if size < 64 else 2 if size < 4096 else 5)
    return body + (1 if body < 128 else 2 if body < 16383 else 3 if body < 2097151 else 4)


def listpack_integer_bytes(value: int) -> int:
    """What an integer of 64 bits takes as an entry of a listpack."""
    if 0 <= value < 128:
        return 2
    if -(1 << 15) <= value < 1 << 15:
        return 3 if -(1 << 12) <= value < 1 << 12 else 4
    if -(1 << 31) <= value < 1 << 31:
        return 5 if -(1 << 23) <= value < 1 << 23 else 6
    return 10
