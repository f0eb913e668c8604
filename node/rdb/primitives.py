"""What every RDB value is made of: lengths, strings and little-endian integers, read and written.

A length begins with a byte whose two high bits say how it goes on: 00 six bits in this byte, 01 fourteen bits
in this byte and the next, 10 a whole big-endian integer (0x80: 32 bits, 0x81: 64 bits). 11 is not a length
but a string in special form: its six low bits say 0, 1, 2 for a little-endian integer of 8, 16, 32 bits that
stands for its decimal text, or 3 for LZF (compressed length, length, compressed bytes). A plain string is a
length and bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from node.integers import parse_integer
from node.rdb import lzf
from node.rdb.errors import RdbError, RdbTruncatedError
from node.values.limits import DEFAULT, Limits

LENGTH_32 = 0x80
LENGTH_64 = 0x81
INT8 = 0xC0
INT16 = 0xC1
INT32 = 0xC2
LZF = 0xC3

# No string of a server is longer; a larger length is damage, not something to wait for.
STRING_BYTES_MAX = 1 << 40
# The pure Python compressor makes 4 to 10 MB/s: beyond this a string is stored as it is, so that one value
# cannot hold the server up for seconds.
COMPRESS_BYTES_MAX = 1 << 20

Compressor: TypeAlias = Callable[[bytes], bytes | None]
"""Like `lzf.compress`; None where compressing is not worth while."""

_INT_ENCODED_LENGTH_MAX = 11
_INT64_LENGTH_MAX = 20


class Reader:
    """Reads primitives from `data`, from `pos` on.

    `base` is the offset of `data` in its stream, for errors; `limits` say how the collections that are read
    are to be stored. Everything raises RdbTruncatedError where the data ends too early and RdbError where it
    makes no sense; `pos` is then anywhere at or after where it was.
    """

    __slots__ = ("base", "data", "limits", "pos")

    def __init__(self, data: bytes, pos: int = 0, base: int = 0, limits: Limits = DEFAULT) -> None:
        self.data = data
        self.pos = pos
        self.base = base
        self.limits = limits

    @property
    def offset(self) -> int:
        """Where the reader stands in its stream, in bytes."""
        return self.base + self.pos

    def error(self, text: str) -> RdbError:
        """The error of a value that is wrong at or shortly before where the reader stands."""
        return RdbError(self.offset, text)

    def read_byte(self) -> int:
        pos = self.pos
        if pos >= len(self.data):
            raise RdbTruncatedError(self.base + pos, 1)
        self.pos = pos + 1
        return self.data[pos]

    def read_bytes(self, count: int) -> bytes:
        """The next `count` raw bytes."""
        pos = self.pos
        end = pos + count
        if end > len(self.data):
            raise RdbTruncatedError(self.base + pos, end - len(self.data))
        self.pos = end
        return self.data[pos:end]

    def read_int(self, width_bytes: int) -> int:
        """A signed little-endian integer."""
        return int.from_bytes(self.read_bytes(width_bytes), "little", signed=True)

    def read_length(self) -> int:
        """A length or count, 0 to 2**64 - 1. A count is only announced: check it by reading on."""
        first = self.read_byte()
        if first >= INT8:
            raise RdbError(self.offset - 1, f"expected a length, not the string encoding {first & 63}")
        return self._read_length(first)

    def _read_length(self, first: int) -> int:
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.read_byte()
        if first == LENGTH_32:
            return int.from_bytes(self.read_bytes(4), "big")
        if first == LENGTH_64:
            return int.from_bytes(self.read_bytes(8), "big")
        raise RdbError(self.offset - 1, f"unknown length encoding 0x{first:02x}")

    def read_string(self) -> bytes:
        """A string in any of its encodings."""
        value = self._read_encoded()
        return value if isinstance(value, bytes) else b"%d" % value

    def read_scalar(self) -> bytes | int:
        """A string as the keyspace stores it: an int when it is the canonical form of a 64-bit integer."""
        value = self._read_encoded()
        if isinstance(value, bytes) and len(value) <= _INT64_LENGTH_MAX:
            integer = parse_integer(value)
            if integer is not None:
                return integer
        return value

    def _read_encoded(self) -> bytes | int:
        first = self.read_byte()
        if first < 0x40:
            return self.read_bytes(first)
        if first < INT8:
            return self.read_bytes(self._checked(self._read_length(first)))
        if first == INT8:
            return self.read_int(1)
        if first == INT16:
            return self.read_int(2)
        if first == INT32:
            return self.read_int(4)
        if first == LZF:
            return self._read_lzf()
        raise RdbError(self.offset - 1, f"unknown string encoding {first & 63}")

    def _read_lzf(self) -> bytes:
        packed_length = self._checked(self.read_length())
        length = self._checked(self.read_length())
        if length > packed_length * lzf.EXPANSION_MAX:
            raise self.error(f"{packed_length} bytes of LZF cannot make {length}")
        start = self.offset
        packed = self.read_bytes(packed_length)
        try:
            return lzf.decompress(packed, length)
        except RdbError as error:
            raise RdbError(start + error.offset, error.text) from None

    def _checked(self, length: int) -> int:
        if length > STRING_BYTES_MAX:
            raise self.error(f"a string of {length} bytes")
        return length


class Writer:
    """Appends primitives to `out`. `compress` (rdbcompression) allows LZF, or is what does it."""

    __slots__ = ("compress", "out")

    def __init__(self, *, compress: bool | Compressor = True) -> None:
        self.out = bytearray()
        self.compress: Compressor | None = lzf.compress if compress is True else compress or None

    def write_length(self, length: int) -> None:
        """A length or count, 0 to 2**64 - 1."""
        out = self.out
        if length < 0x40:
            out.append(length)
        elif length < 0x4000:
            out.append(0x40 | length >> 8)
            out.append(length & 0xFF)
        elif length <= 0xFFFFFFFF:
            out.append(LENGTH_32)
            out += length.to_bytes(4, "big")
        else:
            out.append(LENGTH_64)
            out += length.to_bytes(8, "big")

    def write_string(self, data: bytes) -> None:
        """A string, in the shortest of the encodings: integer, LZF, plain."""
        length = len(data)
        if length <= _INT_ENCODED_LENGTH_MAX:
            integer = parse_integer(data)
            if integer is not None:
                self.write_integer(integer)
            else:
                self.out.append(length)
                self.out += data
            return
        if self.compress is not None and lzf.MIN_LENGTH <= length <= COMPRESS_BYTES_MAX:
            packed = self.compress(data)
            if packed is not None:
                self.out.append(LZF)
                self.write_length(len(packed))
                self.write_length(length)
                self.out += packed
                return
        self.write_length(length)
        self.out += data

    def write_integer(self, value: int) -> None:
        """The string that is the decimal form of `value`, a signed 64-bit integer."""
        out = self.out
        if -0x80 <= value <= 0x7F:
            out.append(INT8)
            out.append(value & 0xFF)
        elif -0x8000 <= value <= 0x7FFF:
            out.append(INT16)
            out += value.to_bytes(2, "little", signed=True)
        elif -0x80000000 <= value <= 0x7FFFFFFF:
            out.append(INT32)
            out += value.to_bytes(4, "little", signed=True)
        else:
            digits = b"%d" % value
            out.append(len(digits))
            out += digits
