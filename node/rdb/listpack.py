"""Listpacks: the small encodings of Redis since 7.0, as they stand in RDB strings.

A listpack is its length in bytes (4), its number of entries (2; 65535: not known), the entries and 0xFF. An
entry is its encoding, which begins with a byte that tells strings of three widths of length and integers of
six widths apart, its data, and at last its own length, most significant seven bits first, for reading
backwards. All else is little-endian.

Source: https://github.com/antirez/listpack/blob/master/listpack.md
"""

from __future__ import annotations

from collections.abc import Iterable

from node.integers import parse_integer
from node.rdb.errors import RdbError

_HEADER_BYTES = 6
_END = 0xFF
_COUNT_UNKNOWN = 0xFFFF
_INT_TEXT_MAX = 20

_SMALL_INTS = [b"%d" % value for value in range(128)]
_SHORT_HEADS = [bytes([0x80 | size]) for size in range(64)]
_SHORT_TAILS = [bytes([size + 1]) for size in range(64)]
_INT_WIDTHS = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


def decode(data: bytes) -> list[bytes]:
    """The entries, integers as text. RdbError, with the offset in `data`, unless it is one whole listpack."""
    end = len(data) - 1
    if end < _HEADER_BYTES or int.from_bytes(data[:4], "little") != len(data) or data[end] != _END:
        raise RdbError(0, "a listpack of another length than it says")
    items: list[bytes] = []
    at = _HEADER_BYTES
    while at < end:
        first = data[at]
        if first < 0x80:
            items.append(_SMALL_INTS[first])
            body = 1
        elif first < 0xC0:
            body = 1 + (first & 63)
            items.append(data[at + 1 : at + body])
        else:
            body = _decode_long(data, at, first, items)
        following = at + body
        if body < 128:
            if following >= end or data[following] != body:
                raise RdbError(at, "a listpack entry without its length behind it")
            at = following + 1
        else:
            tail = _length_behind(body)
            at = following + len(tail)
            if at > end or data[following:at] != tail:
                raise RdbError(following, "a listpack entry without its length behind it")
    count = int.from_bytes(data[4:6], "little")
    if count not in (_COUNT_UNKNOWN, len(items)):
        raise RdbError(4, f"a listpack of {len(items)} entries that says {count}")
    return items


def _decode_long(data: bytes, at: int, first: int, items: list[bytes]) -> int:
    """Adds the entry at `at`, which begins with a byte above 0xBF; returns the bytes of encoding and data."""
    if first < 0xE0:
        value = (first & 31) << 8 | data[at + 1]
        items.append(b"%d" % (value - 8192 if value >= 4096 else value))
        return 2
    if first < 0xF0:
        start, size = at + 2, (first & 15) << 8 | data[at + 1]
    elif first == 0xF0:
        start, size = at + 5, int.from_bytes(data[at + 1 : at + 5], "little")
    elif first in _INT_WIDTHS:
        body = 1 + _INT_WIDTHS[first]
        items.append(b"%d" % int.from_bytes(data[at + 1 : at + body], "little", signed=True))
        return body
    else:
        raise RdbError(at, f"a listpack entry of the encoding 0x{first:02x}")
    items.append(data[start : start + size])
    return start + size - at


def encode(items: Iterable[bytes]) -> bytes:
    """A listpack of `items`; those that are integers of 64 bits in canonical form as integers."""
    parts = [b""]
    count = 0
    for item in items:
        count += 1
        size = len(item)
        if size <= _INT_TEXT_MAX and (value := parse_integer(item)) is not None:
            parts.append(_encode_integer(value))
        elif size < 64:
            parts += (_SHORT_HEADS[size], item, _SHORT_TAILS[size])
        else:
            head = (
                bytes((0xE0 | size >> 8, size & 255)) if size < 4096 else b"\xf0" + size.to_bytes(4, "little")
            )
            parts += (head, item, _length_behind(len(head) + size))
    parts.append(b"\xff")
    total = _HEADER_BYTES + sum(map(len, parts))
    parts[0] = total.to_bytes(4, "little") + min(count, _COUNT_UNKNOWN).to_bytes(2, "little")
    return b"".join(parts)


def _encode_integer(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes((value, 1))
    if -4096 <= value < 4096:
        return bytes((0xC0 | value >> 8 & 31, value & 255, 2))
    for head, width in _INT_WIDTHS.items():
        if -1 << 8 * width - 1 <= value < 1 << 8 * width - 1:
            return bytes([head]) + value.to_bytes(width, "little", signed=True) + bytes([width + 1])
    raise AssertionError(f"{value} has more than 64 bits")


def _length_behind(body: int) -> bytes:
    """The length of an entry, encoding and data, as it stands behind it."""
    if body < 128:
        return bytes([body])
    # One byte more than needed just below a power of 128: so Redis counts.
    groups = 2 if body < 16383 else 3 if body < 2097151 else 4 if body < 268435455 else 5
    tail = [body >> 7 * group & 127 | 128 for group in reversed(range(groups))]
    tail[0] &= 127
    return bytes(tail)
