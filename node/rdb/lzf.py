"""LZF, the compression of strings in RDB.

A compressed string is a row of tokens. A byte below 32 announces that many plus one literal bytes. Any other
byte is a copy from what has been produced already: its high three bits are the length minus two (7 means that
a byte with more follows), its low five bits and the last byte the distance minus one, at most 8192 back. A
copy may overlap what it produces, so distance 1 repeats a byte.

The compressor remembers where each sequence of three bytes was seen last. Where it finds nothing for a while
it looks at ever fewer positions, which is what keeps incompressible strings cheap in pure Python.

Source: the LZF format as Redis writes it in RDB strings.
"""

from __future__ import annotations

from node.rdb.errors import RdbError

_LITERALS_MAX = 32
_DISTANCE_MAX = 8192
_COPY_MAX = 264
_GAIN_MIN = 4
# A three-byte token makes at most _COPY_MAX bytes: more than this a byte of input is impossible.
EXPANSION_MAX = _COPY_MAX // 3
# Positions seen longer ago than this are out of reach; forgetting them bounds the table for any input.
_SEGMENT = 32768
# Positions without a match before the stride grows by one.
_PATIENCE_BITS = 4

MIN_LENGTH = 21


def compress(data: bytes) -> bytes | None:
    """`data` compressed, or None when that would not save at least 4 bytes (never for fewer than 21)."""
    length = len(data)
    if length < MIN_LENGTH:
        return None
    out = bytearray()
    limit = length - _GAIN_MIN
    last = length - 3
    literal_start = pos = 0
    while pos <= last:
        seen: dict[bytes, int] = {}
        segment_end = min(pos + _SEGMENT, last + 1)
        patience = 1 << _PATIENCE_BITS
        while pos < segment_end:
            window = data[pos : pos + 3]
            found = seen.get(window)
            seen[window] = pos
            if found is None or pos - found > _DISTANCE_MAX:
                pos += patience >> _PATIENCE_BITS
                patience += 1
                continue
            size = _common_length(data, found, pos)
            _put_literals(out, data, literal_start, pos)
            _put_copy(out, pos - found, size)
            if len(out) > limit:
                return None
            pos += size
            literal_start = pos
            patience = 1 << _PATIENCE_BITS
    _put_literals(out, data, literal_start, length)
    return bytes(out) if len(out) <= limit else None


def _common_length(data: bytes, first: int, second: int) -> int:
    """How many bytes from `first` and from `second` on are the same, at most what one copy can carry."""
    size = min(_COPY_MAX, len(data) - second)
    probe = min(size, 16)
    if data[first : first + probe] != data[second : second + probe]:
        size = probe
    left = int.from_bytes(data[first : first + size], "little")
    differing = left ^ int.from_bytes(data[second : second + size], "little")
    if not differing:
        return size
    return ((differing & -differing).bit_length() - 1) >> 3


def _put_literals(out: bytearray, data: bytes, start: int, end: int) -> None:
    while start < end:
        stop = min(start + _LITERALS_MAX, end)
        out.append(stop - start - 1)
        out += data[start:stop]
        start = stop


def _put_copy(out: bytearray, distance: int, size: int) -> None:
    high, low = divmod(distance - 1, 256)
    if size - 2 < 7:
        out.append((size - 2) << 5 | high)
    else:
        out.append(7 << 5 | high)
        out.append(size - 2 - 7)
    out.append(low)


def decompress(data: bytes, length: int) -> bytes:
    """The `length` bytes that `data` compresses. Raises RdbError (its offset counts from the start of
    `data`).

    Memory grows with what is really produced, never with the announced `length`.
    """
    out = bytearray()
    pos = 0
    end = len(data)
    while pos < end:
        control = data[pos]
        pos += 1
        if control < 32:
            stop = pos + control + 1
            if stop > end:
                raise RdbError(pos, "LZF literals run past the end")
            out += data[pos:stop]
            pos = stop
        else:
            size = (control >> 5) + 2
            if pos + (size == 9) >= end:
                raise RdbError(pos, "LZF copy is cut short")
            if size == 9:
                size += data[pos]
                pos += 1
            distance = ((control & 31) << 8 | data[pos]) + 1
            pos += 1
            start = len(out) - distance
            if start < 0:
                raise RdbError(pos, "LZF copy reaches back before the start")
            if distance >= size:
                out += out[start : start + size]
            else:
                out += (out[start:] * (size // distance + 1))[:size]
        if len(out) > length:
            raise RdbError(pos, f"LZF data makes more than the announced {length} bytes")
    if len(out) != length:
        raise RdbError(pos, f"LZF data makes {len(out)} bytes, not the announced {length}")
    return bytes(out)
