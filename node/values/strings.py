"""String values: what they are as bytes and as numbers, parts of them, and what becomes of them.

A string is stored as `bytes`, as `int` when it is the canonical decimal form of a signed 64-bit integer, or
as `bytearray` when it is long and has been changed in part: then SETBIT or APPEND on many megabytes changes
them in place, where `bytes` would be copied each time. Every function takes any of them.

Functions that change a string change a bytearray in place, and return a new string of anything else;
`encoded` gives the form to store. Errors of the client are CommandErrors with the texts of Redis.

Source: the pages of GETRANGE, SETRANGE, APPEND, INCRBY, INCRBYFLOAT and LCS.
"""

from __future__ import annotations

from typing import TypeAlias

from node.errors import CommandError
from node.integers import INT64_MAX, INT64_MIN, parse_integer
from node.values import lcs, long_double

String: TypeAlias = bytes | int | bytearray
Data: TypeAlias = bytes | bytearray

TYPES = frozenset((bytes, int, bytearray))
"""The classes of string values."""

NOT_AN_INTEGER = b"ERR value is not an integer or out of range"
NOT_A_FLOAT = b"ERR value is not a valid float"

IN_PLACE_BYTES_MIN = 4096
"""Strings of this length become a bytearray when they are changed; shorter ones are as quickly copied."""

_ZEROS = bytes(1 << 16)
_LCS_BYTES_MAX = (1 << 32) - 2


def as_data(value: String) -> Data:
    """The string itself, without a copy: not to be changed, nor to be kept."""
    return b"%d" % value if isinstance(value, int) else value


def as_bytes(value: String) -> bytes:
    """The string itself, to be kept."""
    return b"%d" % value if isinstance(value, int) else bytes(value)


def as_buffer(value: String | None) -> bytearray:
    """The string to be changed: the stored one itself when it is a bytearray, else a copy."""
    if isinstance(value, bytearray):
        return value
    return bytearray() if value is None else bytearray(as_data(value))


def as_int(value: String) -> int:
    """The signed 64-bit integer that the string is. CommandError for one that is not in canonical form."""
    if isinstance(value, int):
        return value
    integer = parse_integer(value) if isinstance(value, bytes) else None
    if integer is None:
        raise CommandError(NOT_AN_INTEGER)
    return integer


def encoded(data: Data) -> String:
    """The form to store: an int when `data` is one, bytes when it is short."""
    if isinstance(data, bytearray):
        if len(data) >= IN_PLACE_BYTES_MIN:
            return data
        data = bytes(data)
    integer = parse_integer(data)
    return data if integer is None else integer


def length(value: String) -> int:
    """STRLEN, in bytes."""
    return len(b"%d" % value) if isinstance(value, int) else len(value)


def get_range(value: String, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`, both inclusive, negative from the end.

    An `end` before the first byte means the first byte, as in Redis 7 (later versions return nothing then).
    """
    data = as_data(value)
    size = len(data)
    if start < 0 and end < 0 and start > end:
        return b""
    if start < 0:
        start = max(start + size, 0)
    if end < 0:
        end = max(end + size, 0)
    return bytes(data[start : end + 1])


def set_range(value: String | None, offset: int, patch: bytes, limit_bytes: int) -> Data:
    """The string with `patch` over it from `offset` on, after zero bytes where it is shorter.

    `limit_bytes` is proto-max-bulk-len. CommandError for a negative offset or a result beyond the limit; an
    empty patch changes nothing and never goes beyond it.
    """
    if offset < 0:
        raise CommandError(b"ERR offset is out of range")
    if not patch:
        return b"" if value is None else as_data(value)
    check_length(offset + len(patch), limit_bytes)
    buffer = as_buffer(value)
    grow(buffer, offset)
    buffer[offset : offset + len(patch)] = patch
    return buffer


def append(value: String | None, tail: bytes, limit_bytes: int) -> Data:
    """The string followed by `tail`. CommandError beyond `limit_bytes` (proto-max-bulk-len)."""
    data = b"" if value is None else as_data(value)
    size = len(data) + len(tail)
    check_length(size, limit_bytes)
    if size < IN_PLACE_BYTES_MIN:
        return data + tail
    buffer = as_buffer(value)
    buffer += tail
    return buffer


def grow(buffer: bytearray, size_bytes: int) -> None:
    """Puts zero bytes behind a shorter string, not all at once: they would take memory twice for a moment."""
    while (missing := size_bytes - len(buffer)) > 0:
        buffer += _ZEROS[:missing]


def check_length(length_bytes: int, limit_bytes: int) -> None:
    """CommandError for a string that would exceed `limit_bytes` (proto-max-bulk-len)."""
    if length_bytes > limit_bytes:
        raise CommandError(b"ERR string exceeds maximum allowed size (proto-max-bulk-len)")


def add_int(value: String | None, increment: int) -> int:
    """The sum, nothing stored counting as 0. CommandError for no integer or for a sum out of 64 bits."""
    total = (0 if value is None else as_int(value)) + increment
    if not INT64_MIN <= total <= INT64_MAX:
        raise CommandError(b"ERR increment or decrement would overflow")
    return total


def add_float(value: String | None, increment: bytes) -> bytes:
    """The sum as INCRBYFLOAT writes it, nothing stored counting as 0.

    CommandError when either is no number, or when one or the sum is infinite.
    """
    try:
        if value is None or isinstance(value, int):
            left = long_double.from_int(value or 0)
        else:
            left = long_double.parse(bytes(value))
        return long_double.format_fixed(long_double.add(left, long_double.parse(increment)))
    except ValueError:
        raise CommandError(NOT_A_FLOAT) from None
    except long_double.NotFiniteError:
        raise CommandError(b"ERR increment would produce NaN or Infinity") from None


def check_lcs(a: bytes, b: bytes, limit_bytes: int) -> None:
    """CommandError for a pair that LCS refuses: a table as Redis has it exceeds proto-max-bulk-len."""
    if len(a) >= _LCS_BYTES_MAX or len(b) >= _LCS_BYTES_MAX:
        raise CommandError(b"ERR String too long for LCS")
    if lcs.table_bytes(len(a), len(b)) > limit_bytes:
        raise CommandError(b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
