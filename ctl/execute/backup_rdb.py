"""Cuts an RDB file into payloads for RESTORE, without understanding what it cuts.

A RESTORE payload is the type code and body of a value exactly as they stand in an RDB file, then a version (2
bytes) and a CRC-64 (8 bytes). So values go from a file into a cluster byte for byte, of types that ctl has
never heard the meaning of; all that has to be known of a body is where it ends, and a body is made of few
things: lengths, strings, and numbers of fixed width. `_SKIPPERS` says for each type code how they follow.

The version written is the oldest that knows the type code, not the file's own: Redis 7.0 refuses payloads
that say 11, and reads every value of a Redis 7.2 file whose type it knows.

Pieces may be cut anywhere: a record whose end has not come waits for more. Memory holds one record at a time,
and what came with it. Records: node/rdb/file.py. Bodies: rdb.c of Redis 7.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from node.rdb import file as records
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbError, RdbTruncatedError
from node.rdb.file import DATABASE_MAX, FILE_VERSION_MAX, HEADER_BYTES
from node.rdb.primitives import INT8, INT16, INT32, LENGTH_32, LENGTH_64, LZF, Reader
from node.rdb.value import STRING, TYPE_NAMES

# Lengths beyond are damage, not something to wait for.
_LENGTH_MAX = 1 << 40
_CHEAP_TRIES = 4
_FIRST_OPCODE = records.OP_SLOT_INFO
_CHECKSUM_SINCE_VERSION = 5
# The first version that knows types up to this code; what is older is given the version of Redis 4.
_VERSIONS = ((7, 8), (14, 8), (15, 9), (19, 10), (21, 11), (25, 12))


class Entry(NamedTuple):
    """A key with what RESTORE takes, or, for a plain string, the `string` that SET takes, which is quicker.

    Both are empty unless wanted. Expiry in Unix milliseconds.
    """

    key: bytes
    payload: bytes
    expire_at_ms: int | None
    idle_s: int | None
    freq: int | None
    db: int
    string: bytes | None = None


class Library(NamedTuple):
    """A library of functions: its record, opcode and all, as FUNCTION RESTORE takes it."""

    record: bytes


Item: TypeAlias = Entry | Library
Skipper: TypeAlias = Callable[[bytes, int], int]

# --- where a body ends: each takes the data and where the body begins, and returns where it ends. The end may
# lie beyond the data (a length that is cut short is read too small, and its own end lies beyond); IndexError
# is raised where what has to be looked at is not there.


def _length(data: bytes, pos: int) -> tuple[int, int]:
    """A length, and where it ends."""
    first = data[pos]
    if first < 0x40:
        return first, pos + 1
    if first < 0x80:
        return (first & 0x3F) << 8 | data[pos + 1], pos + 2
    if first == LENGTH_32:
        return int.from_bytes(data[pos + 1 : pos + 5], "big"), pos + 5
    if first == LENGTH_64:
        return int.from_bytes(data[pos + 1 : pos + 9], "big"), pos + 9
    raise RdbError(pos, f"unknown length encoding 0x{first:02x}")


def _string(data: bytes, pos: int) -> int:
    first = data[pos]
    if first < 0x40:
        return pos + 1 + first
    if first < INT8:
        size, pos = _length(data, pos)
    elif first == INT8:
        return pos + 2
    elif first == INT16:
        return pos + 3
    elif first == INT32:
        return pos + 5
    elif first == LZF:
        size, pos = _length(data, pos + 1)
        _, pos = _length(data, pos)
    else:
        raise RdbError(pos, f"unknown string encoding {first & 63}")
    if size > _LENGTH_MAX:
        raise RdbError(pos, f"a string of {size} bytes")
    return pos + size


def _strings(each: int) -> Skipper:
    """A count, and so many times `each` strings."""

    def skip(data: bytes, pos: int) -> int:
        count, pos = _length(data, pos)
        for _ in range(count * each):
            first = data[pos]
            pos = pos + 1 + first if first < 0x40 else _string(data, pos)
        return pos

    return skip


def _zset_decimal(data: bytes, pos: int) -> int:
    count, pos = _length(data, pos)
    for _ in range(count):
        pos = _string(data, pos)
        size = data[pos]
        pos += 1 + (size if size < 253 else 0)
    return pos


def _zset_binary(data: bytes, pos: int) -> int:
    count, pos = _length(data, pos)
    for _ in range(count):
        pos = _string(data, pos) + 8
    return pos


def _quicklist_2(data: bytes, pos: int) -> int:
    count, pos = _length(data, pos)
    for _ in range(count):
        _, pos = _length(data, pos)
        pos = _string(data, pos)
    return pos


def _lengths(data: bytes, pos: int, count: int) -> int:
    for _ in range(count):
        _, pos = _length(data, pos)
    return pos


def _stream(version: int) -> Skipper:
    def skip(data: bytes, pos: int) -> int:
        pos = nodes(data, pos)
        pos = _lengths(data, pos, 3 if version == 1 else 8)
        groups, pos = _length(data, pos)
        for _ in range(groups):
            pos = group(data, pos)
        return pos

    def group(data: bytes, pos: int) -> int:
        pos = _lengths(data, _string(data, pos), 2 if version == 1 else 3)
        pending, pos = _length(data, pos)
        for _ in range(pending):
            _, pos = _length(data, pos + 24)
        consumers, pos = _length(data, pos)
        for _ in range(consumers):
            pos = _string(data, pos) + (16 if version >= 3 else 8)
            theirs, pos = _length(data, pos)
            pos += 16 * theirs
        return pos

    nodes = _strings(2)
    return skip


def _module(data: bytes, pos: int) -> int:
    _, pos = _length(data, pos)
    return _module_fields(data, pos)


def _module_fields(data: bytes, pos: int) -> int:
    while True:
        kind, pos = _length(data, pos)
        if kind == 0:
            return pos
        if kind <= 2:
            _, pos = _length(data, pos)
        elif kind == 3:
            pos += 4
        elif kind == 4:
            pos += 8
        elif kind == 5:
            pos = _string(data, pos)
        else:
            raise RdbError(pos, f"unknown opcode {kind} in module data")


def _fields_with_deadlines(head_bytes: int) -> Skipper:
    def skip(data: bytes, pos: int) -> int:
        count, pos = _length(data, pos + head_bytes)
        for _ in range(count):
            _, pos = _length(data, pos)
            pos = _string(data, _string(data, pos))
        return pos

    return skip


def _string_after_8(data: bytes, pos: int) -> int:
    return _string(data, pos + 8)


_SKIPPERS: dict[int, Skipper] = {
    0: _string,
    1: _strings(1),
    2: _strings(1),
    3: _zset_decimal,
    4: _strings(2),
    5: _zset_binary,
    7: _module,
    **dict.fromkeys((9, 10, 11, 12, 13, 16, 17, 20, 23), _string),
    14: _strings(1),
    15: _stream(1),
    18: _quicklist_2,
    19: _stream(2),
    21: _stream(3),
    22: _fields_with_deadlines(0),
    24: _fields_with_deadlines(8),
    25: _string_after_8,
}
_FOOTERS = {
    code: next(version for last, version in _VERSIONS if code <= last).to_bytes(2, "little")
    for code in _SKIPPERS
}

# --- the file


class Cutter:
    """`feed(data)` gives the items that are complete; `close()` says that no more comes.

    All raise RdbError, with the offset in the file: damage, a version or a type that is not known, a wrong
    checksum, and from `close` a file that is cut short. After the end `rest` is what follows the file.
    """

    def __init__(self, *, payloads: bool = True) -> None:
        self.version = 0
        self.ended = False
        self._payloads = payloads
        self._data = b""
        self._pos = 0
        self._base = 0
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._wanted_bytes = 0
        self._cut_at = -1
        self._tries = 0
        self._crc = 0
        self._db = 0

    @property
    def rest(self) -> bytes:
        return b"".join([self._data[self._pos :], *self._pieces])

    def feed(self, data: bytes) -> Iterator[Item]:
        """An iterator that is left early loses what it had not given."""
        self._pieces.append(data)
        self._pieces_bytes += len(data)
        if not self.ended and self._pieces_bytes >= self._wanted_bytes:
            yield from self._items()

    def close(self) -> Iterator[Item]:
        if not self.ended:
            yield from self._items()
            if not self.ended:
                raise RdbTruncatedError(self._base + len(self._data), max(self._wanted_bytes, 1))

    def _items(self) -> Iterator[Item]:
        self._join()
        try:
            while not self.ended:
                item = self._next()
                if item is None:
                    return
                if item is not _NOTHING:
                    yield item
        except RdbTruncatedError:
            raise
        except RdbError as error:
            raise RdbError(self._base + error.offset, error.text) from None

    def _join(self) -> None:
        done = self._pos
        self._crc = crc64(memoryview(self._data)[:done], self._crc)
        self._base += done
        self._data = b"".join([self._data[done:], *self._pieces])
        self._pos = 0
        self._pieces.clear()
        self._pieces_bytes = self._wanted_bytes = 0

    def _next(self) -> Item | None:
        """The next item, or `_NOTHING` for a record that has nothing to say, or None where more is needed."""
        start = self._pos
        data = self._data
        try:
            item, end = self._record(data, start) if self.version else (_NOTHING, self._header(data))
        except (IndexError, RdbTruncatedError):
            self._want(1)
            return None
        if end > len(data):
            self._want(end - len(data))
            return None
        self._pos = end
        if item is _END:
            self.ended = True
            return _NOTHING
        return item

    def _want(self, missing: int) -> None:
        """One with many elements would be skipped anew with every packet, so it has to grow by half first."""
        at = self._base + self._pos
        self._tries = self._tries + 1 if at == self._cut_at else 1
        self._cut_at = at
        if self._tries > _CHEAP_TRIES:
            missing = max(missing, (len(self._data) - self._pos) // 2)
        self._wanted_bytes = missing

    def _header(self, data: bytes) -> int:
        if data[:5] != b"REDIS"[: len(data)]:
            raise RdbError(0, "not an RDB file of Redis, or of a server that writes its format")
        if len(data) < HEADER_BYTES:
            return HEADER_BYTES
        digits = data[5:HEADER_BYTES]
        version = int(digits) if digits.isdigit() else 0
        if not 1 <= version <= FILE_VERSION_MAX:
            raise RdbError(5, f"RDB version {digits.decode('ascii', 'backslashreplace')} is not known")
        self.version = version
        return HEADER_BYTES

    def _record(self, data: bytes, start: int) -> tuple[Item, int]:
        code = data[start]
        if code < _FIRST_OPCODE:
            return self._key(data, start, None, None, None)
        pos = start + 1
        if records.OP_IDLE <= code <= records.OP_FREQ or code in (records.OP_EXPIRE_MS, records.OP_EXPIRE_S):
            return self._attributed(data, start)
        if code == records.OP_AUX:
            return _NOTHING, _string(data, _string(data, pos))
        if code == records.OP_SELECT_DB:
            db, pos = _length(data, pos)
            if db >= DATABASE_MAX:
                raise RdbError(start, f"database {db}")
            self._db = db
            return _NOTHING, pos
        if code == records.OP_RESIZE_DB:
            return _NOTHING, _lengths(data, pos, 2)
        if code == records.OP_SLOT_INFO:
            return _NOTHING, _lengths(data, pos, 3)
        if code == records.OP_FUNCTION:
            end = _string(data, pos)
            return Library(data[start:end]), end
        if code == records.OP_MODULE_AUX:
            return _NOTHING, _module_fields(data, _lengths(data, pos, 3))
        if code == records.OP_END:
            return self._end(data, pos)
        raise RdbError(start, f"unknown opcode {code}")

    def _attributed(self, data: bytes, pos: int) -> tuple[Item, int]:
        """A key with expiry, idle time or frequency before it."""
        expire_at_ms = idle_s = freq = None
        while (code := data[pos]) >= _FIRST_OPCODE:
            pos += 1
            if code == records.OP_EXPIRE_MS:
                expire_at_ms = int.from_bytes(data[pos : pos + 8], "little", signed=True)
                pos += 8
            elif code == records.OP_EXPIRE_S:
                expire_at_ms = int.from_bytes(data[pos : pos + 4], "little", signed=True) * 1000
                pos += 4
            elif code == records.OP_IDLE:
                idle_s, pos = _length(data, pos)
            elif code == records.OP_FREQ:
                freq, pos = data[pos], pos + 1
            else:
                raise RdbError(pos - 1, f"opcode {code} between a key's expiry and the key")
        return self._key(data, pos, expire_at_ms, idle_s, freq)

    def _key(
        self, data: bytes, start: int, expire_at_ms: int | None, idle_s: int | None, freq: int | None
    ) -> tuple[Entry, int]:
        code = data[start]
        skip = _SKIPPERS.get(code)
        if skip is None:
            name = TYPE_NAMES.get(code)
            raise RdbError(
                start, f"a value of type {code}" + (f" ({name})" if name else ", which is not known")
            )
        at = start + 1
        size = data[at]
        if size < 0x40:
            body = at + 1 + size
            key = data[at + 1 : body]
        else:
            body = _string(data, at)
            key = Reader(data, at).read_string()
        end = skip(data, body)
        payload, string = b"", None
        if self._payloads and end <= len(data):
            if code == STRING and data[body] < INT8 and idle_s is None and freq is None:
                _, value = _length(data, body)
                string = data[value:end]
            else:
                payload = b"%c%b%b" % (code, data[body:end], _FOOTERS[code])
                payload += crc64(payload).to_bytes(8, "little")
        return Entry(key, payload, expire_at_ms, idle_s, freq, self._db, string), end

    def _end(self, data: bytes, pos: int) -> tuple[Item, int]:
        if self.version < _CHECKSUM_SINCE_VERSION:
            return _END, pos
        stored = int.from_bytes(data[pos : pos + 8], "little")
        complete = pos + 8 <= len(data)
        if complete and stored and stored != crc64(memoryview(data)[:pos], self._crc):
            raise RdbError(pos, "the checksum does not match")
        return _END, pos + 8


_NOTHING = Library(b"")
_END = Library(b"end")


def functions_payload(libraries: list[Library]) -> bytes:
    """What FUNCTION RESTORE takes."""
    body = b"".join(library.record for library in libraries) + (10).to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")
