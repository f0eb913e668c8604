"""Whole RDB files, as streams: written piece by piece, read from pieces of any size.

A file is `REDIS` and a four-digit version, then records until the end record and the CRC-64 of everything
before it. A record is an opcode (244 and above) with its own fields, or a key: its expiry, idle time and
frequency where it has them (opcodes as well), then type code, key and value. Nothing here holds more than one
record and what came with it, so a snapshot can go to a socket slot by slot, and be loaded from one while it
arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from node.integers import parse_integer
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbEmptyError, RdbError, RdbTruncatedError
from node.rdb.primitives import Reader, Writer
from node.rdb.value import (
    STRING,
    TYPE_NAMES,
    VALUE_READERS,
    WRITTEN_VERSION,
    Value,
    ValueReader,
    read_value,
    write_value,
)
from node.values.limits import DEFAULT, Limits

REDIS_VERSION = b"7.2.4"
FILE_VERSION_MAX = 12
DATABASE_MAX = 1 << 31

OP_SLOT_INFO = 244
OP_FUNCTION = 245
OP_FUNCTION_PRE_RELEASE = 246
OP_MODULE_AUX = 247
OP_IDLE = 248
OP_FREQ = 249
OP_AUX = 250
OP_RESIZE_DB = 251
OP_EXPIRE_MS = 252
OP_EXPIRE_S = 253
OP_SELECT_DB = 254
OP_END = 255

_MAGIC = b"REDIS"
_HEADER_BYTES = 9
_CHECKSUM_BYTES = 8
_FIRST_OPCODE = OP_SLOT_INFO
_CHECKSUM_SINCE_VERSION = 5

_MODULE_END = 0
_MODULE_UINT = 2
_MODULE_FLOAT = 3
_MODULE_DOUBLE = 4
_MODULE_STRING = 5

# A record that stays incomplete this often is tried again only once it has grown by half: one with many
# elements would otherwise be parsed anew with every packet.
_CHEAP_TRIES = 4
# The longest string whose length takes one byte.
_FAST_LENGTH = 63


class Aux(NamedTuple):
    """A named fact about the file; names that mean nothing to the reader are to be ignored."""

    name: bytes
    value: bytes


class SelectDb(NamedTuple):
    """The keys that follow are of database `db`."""

    db: int


class ResizeDb(NamedTuple):
    """How many keys, and keys with an expiry, the selected database holds: a hint."""

    key_count: int
    expire_count: int


class SlotInfo(NamedTuple):
    """How many keys, and keys with an expiry, the selected database holds in `slot`: a hint."""

    slot: int
    key_count: int
    expire_count: int


class Function(NamedTuple):
    """The source of a library of functions."""

    code: bytes


class Key(NamedTuple):
    """A key with its value; expiry in Unix milliseconds, idle time in seconds, LFU frequency 0 to 255."""

    key: bytes
    value: Value
    expire_at_ms: int | None = None
    idle_s: int | None = None
    freq: int | None = None
    db: int = 0


class End(NamedTuple):
    """The end of the file; `checked` is false where it carries no checksum."""

    checked: bool


Item: TypeAlias = Aux | SelectDb | ResizeDb | SlotInfo | Function | Key | End
# key, value, expire_at_ms, idle_s, freq: the first five fields of a Key.
Entry: TypeAlias = tuple[bytes, Value, int | None, int | None, int | None]


class RdbWriter:
    """Makes an RDB file. Every method returns the bytes that come next; `end()` returns the last ones.

    `compress` and `checksum` are the directives rdbcompression and rdbchecksum.
    """

    __slots__ = ("_checksum", "_crc", "_writer")

    def __init__(self, *, compress: bool = True, checksum: bool = True) -> None:
        self._writer = Writer(compress=compress)
        self._checksum = checksum
        self._crc = 0

    def begin(
        self,
        *,
        created_at_s: int,
        used_memory_bytes: int,
        aof_base: bool = False,
        replication: tuple[int, bytes, int] | None = None,
    ) -> bytes:
        """The header and the usual aux fields; `replication` is (database of the stream, id, offset)."""
        self._writer.out += b"%s%04d" % (_MAGIC, WRITTEN_VERSION)
        self._put_aux(b"redis-ver", REDIS_VERSION)
        self._put_aux(b"redis-bits", b"64")
        self._put_aux(b"ctime", b"%d" % created_at_s)
        self._put_aux(b"used-mem", b"%d" % used_memory_bytes)
        if replication is not None:
            stream_db, replication_id, offset = replication
            self._put_aux(b"repl-stream-db", b"%d" % stream_db)
            self._put_aux(b"repl-id", replication_id)
            self._put_aux(b"repl-offset", b"%d" % offset)
        self._put_aux(b"aof-base", b"%d" % aof_base)
        return self._take()

    def aux(self, name: bytes, value: bytes) -> bytes:
        """An aux field of any name."""
        self._put_aux(name, value)
        return self._take()

    def function(self, code: bytes) -> bytes:
        """A library of functions; Redis wants them before the keys."""
        self._writer.out.append(OP_FUNCTION)
        self._writer.write_string(code)
        return self._take()

    def select(self, db: int, *, key_count: int, expire_count: int) -> bytes:
        """The keys that follow are of database `db`, which holds so many keys, and keys with an expiry."""
        writer = self._writer
        writer.out.append(OP_SELECT_DB)
        writer.write_length(db)
        writer.out.append(OP_RESIZE_DB)
        writer.write_length(key_count)
        writer.write_length(expire_count)
        return self._take()

    def key(
        self,
        key: bytes,
        value: Value,
        expire_at_ms: int | None = None,
        idle_s: int | None = None,
        freq: int | None = None,
    ) -> bytes:
        """One key."""
        return self.keys([(key, value, expire_at_ms, idle_s, freq)])

    def keys(self, entries: Iterable[Entry]) -> bytes:
        """Many keys (those of a slot, say) in one piece, at half the cost a key."""
        writer = self._writer
        out = writer.out
        write_string = writer.write_string
        for key, value, expire_at_ms, idle_s, freq in entries:
            if expire_at_ms is not None:
                out.append(OP_EXPIRE_MS)
                out += expire_at_ms.to_bytes(8, "little", signed=True)
            if idle_s is not None:
                out.append(OP_IDLE)
                writer.write_length(idle_s)
            if freq is not None:
                out.append(OP_FREQ)
                out.append(freq)
            type_at = len(out)
            out.append(STRING)
            write_string(key)
            out[type_at] = write_value(value, writer)
        return self._take()

    def end(self) -> bytes:
        """The end record and the checksum of all that was returned."""
        self._writer.out.append(OP_END)
        last = self._take()
        return last + (self._crc if self._checksum else 0).to_bytes(_CHECKSUM_BYTES, "little")

    def _put_aux(self, name: bytes, value: bytes) -> None:
        self._writer.out.append(OP_AUX)
        self._writer.write_string(name)
        self._writer.write_string(value)

    def _take(self) -> bytes:
        piece = bytes(self._writer.out)
        self._writer.out.clear()
        if self._checksum:
            self._crc = crc64(piece, self._crc)
        return piece


class RdbReader:
    """Reads an RDB file from pieces.

    `feed(data)` gives the items that are complete; what is cut waits. It may hold a large item back although
    its last byte is there, so the source calls `close()` when it knows that no more comes. After the End item
    `rest` holds the bytes that follow the file (an AOF with an RDB preamble has some).

    All raise RdbError, with the offset in the stream. After an error the reader is of no more use. How
    collections are stored is said by `limits`.
    """

    __slots__ = (
        "_crc",
        "_cut_at",
        "_db",
        "_pieces",
        "_pieces_bytes",
        "_reader",
        "_tries",
        "_value_readers",
        "_wanted_bytes",
        "ended",
        "version",
    )

    def __init__(
        self, value_readers: Mapping[int, ValueReader] = VALUE_READERS, limits: Limits = DEFAULT
    ) -> None:
        self.version = 0
        self.ended = False
        self._value_readers = value_readers
        self._reader = Reader(b"", limits=limits)
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._wanted_bytes = 0
        self._cut_at = -1
        self._tries = 0
        self._crc = 0
        self._db = 0

    @property
    def rest(self) -> bytes:
        """What was fed and belongs to no item that was given out."""
        return b"".join([self._reader.data[self._reader.pos :], *self._pieces])

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Item]:
        """Take `data` in; the items that are complete with it.

        An iterator that is left early is continued by that of the next call.
        """
        assert not self.ended, "fed after the End item"
        self._pieces.append(bytes(data))
        self._pieces_bytes += len(data)
        return self._items()

    def close(self) -> Iterator[Item]:
        """The items held back until now. Raises RdbError unless the file is whole."""
        if not self.ended:
            self._wanted_bytes = 0
            yield from self._items()
            if not self.ended:
                raise RdbTruncatedError(self._reader.offset, max(self._wanted_bytes, 1))

    def _items(self) -> Iterator[Item]:
        if self.ended or self._pieces_bytes < self._wanted_bytes:
            return
        self._join_pieces()
        reader = self._reader
        data = reader.data
        fast_end = len(data) - 2 * _FAST_LENGTH - 3
        while True:
            start = reader.pos
            # Most records of most files: a short string under a short key, no expiry.
            if start < fast_end and data[start] == STRING and self.version:
                key_start = start + 2
                key_end = key_start + data[start + 1]
                if key_end - key_start <= _FAST_LENGTH and data[key_end] <= _FAST_LENGTH:
                    reader.pos = key_end + 1 + data[key_end]
                    value = data[key_end + 1 : reader.pos]
                    integer = parse_integer(value)
                    yield Key(
                        data[key_start:key_end],
                        value if integer is None else integer,
                        None,
                        None,
                        None,
                        self._db,
                    )
                    continue
            try:
                item = self._read_item()
            except RdbTruncatedError as cut:
                reader.pos = start
                self._want(cut.missing)
                return
            if item is not None:
                yield item
                if type(item) is End:
                    return

    def _join_pieces(self) -> None:
        """Make the reader's data what is left of it and the pieces; what is done with is summed up."""
        reader = self._reader
        done = reader.pos
        self._crc = crc64(memoryview(reader.data)[:done], self._crc)
        reader.base += done
        reader.data = b"".join([reader.data[done:], *self._pieces])
        reader.pos = 0
        self._pieces.clear()
        self._pieces_bytes = 0
        self._wanted_bytes = 0

    def _want(self, missing: int) -> None:
        reader = self._reader
        self._tries = self._tries + 1 if reader.offset == self._cut_at else 1
        self._cut_at = reader.offset
        if self._tries > _CHEAP_TRIES:
            missing = max(missing, (len(reader.data) - reader.pos) // 2)
        self._wanted_bytes = missing

    def _read_version(self) -> int:
        reader = self._reader
        magic = reader.data[: len(_MAGIC)]
        if magic != _MAGIC[: len(magic)]:
            raise RdbError(0, "not an RDB file")
        digits = reader.read_bytes(_HEADER_BYTES)[len(_MAGIC) :]
        version = int(digits) if digits.isdigit() else 0
        if not 1 <= version <= FILE_VERSION_MAX:
            text = digits.decode("ascii", "backslashreplace")
            raise RdbError(len(_MAGIC), f"RDB version {text} is not known")
        return version

    def _read_item(self) -> Item | None:
        """The next item, or None for a record that has nothing to say."""
        if not self.version:
            self.version = self._read_version()
            return None
        reader = self._reader
        code = reader.read_byte()
        if code < _FIRST_OPCODE or OP_IDLE <= code <= OP_FREQ or OP_EXPIRE_MS <= code <= OP_EXPIRE_S:
            return self._read_key(code)
        if code == OP_AUX:
            return Aux(reader.read_string(), reader.read_string())
        if code == OP_SELECT_DB:
            return self._read_select()
        if code == OP_RESIZE_DB:
            return ResizeDb(reader.read_length(), reader.read_length())
        if code == OP_SLOT_INFO:
            return SlotInfo(reader.read_length(), reader.read_length(), reader.read_length())
        if code == OP_FUNCTION:
            return Function(reader.read_string())
        if code == OP_MODULE_AUX:
            self._skip_module_aux()
            return None
        if code == OP_END:
            return self._read_end()
        assert code == OP_FUNCTION_PRE_RELEASE, code
        raise RdbError(reader.offset - 1, "functions of a pre-release of Redis 7.0")

    def _read_select(self) -> SelectDb:
        reader = self._reader
        db = reader.read_length()
        if db >= DATABASE_MAX:
            raise reader.error(f"database {db}")
        self._db = db
        return SelectDb(db)

    def _read_key(self, code: int) -> Key | None:
        reader = self._reader
        expire_at_ms = idle_s = freq = None
        while code >= _FIRST_OPCODE:
            if code == OP_EXPIRE_MS:
                expire_at_ms = reader.read_int(8)
            elif code == OP_EXPIRE_S:
                expire_at_ms = reader.read_int(4) * 1000
            elif code == OP_IDLE:
                idle_s = reader.read_length()
            elif code == OP_FREQ:
                freq = reader.read_byte()
            else:
                raise RdbError(reader.offset - 1, f"opcode {code} between a key's expiry and the key")
            code = reader.read_byte()
        code_at = reader.offset - 1
        if code not in self._value_readers and code not in TYPE_NAMES:
            raise RdbError(code_at, f"unknown type or opcode {code}")
        key = reader.read_string()
        try:
            value = read_value(code, reader, self._value_readers)
        except RdbEmptyError:
            return None
        return Key(key, value, expire_at_ms, idle_s, freq, self._db)

    def _skip_module_aux(self) -> None:
        reader = self._reader
        reader.read_length()
        if reader.read_length() != _MODULE_UINT:
            raise reader.error("module data that does not say when to load it")
        reader.read_length()
        while (code := reader.read_length()) != _MODULE_END:
            if code <= _MODULE_UINT:
                reader.read_length()
            elif code == _MODULE_FLOAT:
                reader.read_bytes(4)
            elif code == _MODULE_DOUBLE:
                reader.read_bytes(8)
            elif code == _MODULE_STRING:
                reader.read_string()
            else:
                raise reader.error(f"unknown opcode {code} in module data")

    def _read_end(self) -> End:
        reader = self._reader
        summed_end = reader.pos
        stored = 0
        if self.version >= _CHECKSUM_SINCE_VERSION:
            stored = int.from_bytes(reader.read_bytes(_CHECKSUM_BYTES), "little")
        if stored and stored != crc64(memoryview(reader.data)[:summed_end], self._crc):
            raise RdbError(reader.base + summed_end, "the checksum does not match")
        self.ended = True
        return End(bool(stored))
