"""Ziplists, zipmaps and intsets: small encodings as they stand in RDB strings.

Ziplists were replaced by listpacks in Redis 7.0 and zipmaps by ziplists in 2.6; both are only read. Every
function raises RdbError, with the offset in `data`, unless the data is one whole structure.

Source: the head comments of ziplist.c, zipmap.c and intset.c in Redis.
"""

from __future__ import annotations

import sys
from array import array

from node.rdb.errors import RdbError
from node.values.intset import IntArray

_ZIPLIST_HEADER_BYTES = 10
_ZIPLIST_END = 0xFF
_ZIPLIST_COUNT_UNKNOWN = 0xFFFF
_ZIPLIST_INT_WIDTHS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}
_LONG_LENGTH = 254

_INTSET_HEADER_BYTES = 8
_INTSET_TYPE_CODES = {2: "h", 4: "i", 8: "q"}


def decode_ziplist(data: bytes) -> list[bytes]:
    """The entries, integers as text.

    Length in bytes (4), offset of the last entry (4), number of entries (2; 65535: not known), entries, 0xFF.
    An entry begins with the length of the one before it, in 1 or 5 bytes.
    """
    end = len(data) - 1
    if end < _ZIPLIST_HEADER_BYTES or int.from_bytes(data[:4], "little") != len(data):
        raise RdbError(0, "a ziplist of another length than it says")
    if data[end] != _ZIPLIST_END:
        raise RdbError(end, "a ziplist without its end")
    items: list[bytes] = []
    at = last = _ZIPLIST_HEADER_BYTES
    before = 0
    while at < end:
        last = at
        body = at + 1
        length = data[at]
        if length >= _LONG_LENGTH:
            length = int.from_bytes(data[at + 1 : at + 5], "little")
            body = at + 5
        if length != before or body >= end:
            raise RdbError(at, "a ziplist entry behind one of another length")
        at = _decode_ziplist_entry(data, body, items)
        if at > end:
            raise RdbError(last, "a ziplist entry beyond the end")
        before = at - last
    count = int.from_bytes(data[8:10], "little")
    if count not in (_ZIPLIST_COUNT_UNKNOWN, len(items)) or int.from_bytes(data[4:8], "little") != last:
        raise RdbError(4, "a ziplist of other entries than it says")
    return items


def _decode_ziplist_entry(data: bytes, at: int, items: list[bytes]) -> int:
    """Adds the entry whose encoding is at `at`; returns where it ends, were the data long enough."""
    first = data[at]
    if first < 0xC0:
        if first < 0x40:
            start, size = at + 1, first
        elif first < 0x80:
            start, size = at + 2, (first & 63) << 8 | data[at + 1]
        else:
            start, size = at + 5, int.from_bytes(data[at + 1 : at + 5], "big")
        items.append(data[start : start + size])
        return start + size
    width = _ZIPLIST_INT_WIDTHS.get(first)
    if width is not None:
        items.append(b"%d" % int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True))
        return at + 1 + width
    if 0xF1 <= first <= 0xFD:
        items.append(b"%d" % (first - 0xF1))
        return at + 1
    raise RdbError(at, f"a ziplist entry of the encoding 0x{first:02x}")


def decode_zipmap(data: bytes) -> list[bytes]:
    """Field, value, field, value, …

    Number of pairs (1; above 253: not known), pairs, 0xFF. A pair is the field's length and the field, the
    value's length, how many bytes are unused behind it, and the value.
    """
    end = len(data) - 1
    if end < 1 or data[end] != 0xFF:
        raise RdbError(0, "a zipmap without its end")
    items: list[bytes] = []
    at = 1
    while at < end:
        is_value = len(items) & 1
        size, start = data[at], at + 1
        if size == _LONG_LENGTH:
            size, start = int.from_bytes(data[at + 1 : at + 5], "little"), at + 5
        elif size > _LONG_LENGTH:
            raise RdbError(at, "a zipmap that ends before its end")
        unused = 0
        if is_value:
            if start >= end:
                raise RdbError(at, "a zipmap that ends within a value")
            unused = data[start]
            start += 1
        items.append(data[start : start + size])
        at = start + size + unused
    if at != end or len(items) & 1:
        raise RdbError(end, "a zipmap that ends within a pair")
    if data[0] < _LONG_LENGTH and data[0] != len(items) // 2:
        raise RdbError(0, f"a zipmap of {len(items) // 2} pairs that says {data[0]}")
    return items


def decode_intset(data: bytes) -> IntArray:
    """Bytes an integer (4), number of integers (4), the integers in ascending order."""
    type_code = _INTSET_TYPE_CODES.get(int.from_bytes(data[:4], "little"))
    if type_code is None:
        raise RdbError(0, "an intset of integers of a strange width")
    ints: IntArray = array(type_code)
    if len(data) != _INTSET_HEADER_BYTES + int.from_bytes(data[4:8], "little") * ints.itemsize:
        raise RdbError(4, "an intset of another length than it says")
    ints.frombytes(data[_INTSET_HEADER_BYTES:])
    if sys.byteorder == "big":
        ints.byteswap()
    if any(ints[at] >= ints[at + 1] for at in range(len(ints) - 1)):
        raise RdbError(_INTSET_HEADER_BYTES, "an intset without order")
    return ints


def encode_intset(ints: IntArray) -> bytes:
    """The reverse of `decode_intset`."""
    if sys.byteorder == "big":
        ints = ints[:]
        ints.byteswap()
    return ints.itemsize.to_bytes(4, "little") + len(ints).to_bytes(4, "little") + ints.tobytes()
