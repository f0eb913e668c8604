"""Whole RDB files, as streams: written piece by piece, read from pieces of any size.

A file is `REDIS` and a four-digit version, then records until the end record and the CRC-64 of everything
before it. A record is an opcode (244 and above) with its own fields, or a key: its expiry, idle time and
frequency where it has them (opcodes as well), then type code, key and value. Nothing here holds more than one
record and what came with it, so a snapshot can go to a socket slot by slot, and be loaded from one while it
arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeAlias

from node.integers import parse_integer
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbEmptyError, RdbError, RdbTruncatedError
from node.rdb.lzf import MIN_LENGTH
from node.rdb.primitives import INT8, LZF, Compressor, Reader, Writer
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

REDIS_VERSION = b"7.4.0"
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
HEADER_BYTES = 9
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
# Strings that begin with a greater byte are no integers.
_NINE = ord("9")
# Keys and bytes of a piece of a table; one key may have more.
_PIECE_KEYS = 1024
_PIECE_BYTES = 64 * 1024
# A batch is a unit of work for who takes it in, and must not become a long one.
_BATCH_KEYS = 4096


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


class Strings(NamedTuple):
    """Keys of database `db` that hold strings and have no expiry, in the order of the file."""

    keys: list[bytes]
    values: list[bytes | int]
    db: int


class End(NamedTuple):
    """The end of the file; `checked` is false where it carries no checksum."""

    checked: bool


Item: TypeAlias = Aux | SelectDb | ResizeDb | SlotInfo | Function | Key | Strings | End
# key, value, expire_at_ms, idle_s, freq: the first five fields of a Key.
Entry: TypeAlias = tuple[bytes, Value, int | None, int | None, int | None]
Usage: TypeAlias = Callable[[bytes], tuple[int | None, int | None]]
"""Of a key: idle_s, freq."""


class RdbWriter:
    """Makes an RDB file. Every method returns the bytes that come next; `end()` returns the last ones.

    `compress` and `checksum` are the directives rdbcompression and rdbchecksum; a compressor in place of True
    may decline.
    """

    __slots__ = ("_checksum", "_crc", "_writer")

    def __init__(self, *, compress: bool | Compressor = True, checksum: bool = True) -> None:
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
        for key, value, expire_at_ms, idle_s, freq in entries:
            self._put_key(key, value, expire_at_ms, idle_s, freq)
        return self._take()

    def table(
        self,
        items: Iterator[tuple[bytes, Value]],
        deadlines: Mapping[bytes, int],
        usage: Usage | None = None,
    ) -> bytes:
        """The next of many keys with their values, a bounded piece of them; no bytes when there are no more.

        `deadlines` has the expiry of those that have one.
        """
        out = self._writer.out
        append = out.append
        plain = not deadlines and usage is None
        for key, value in islice(items, _PIECE_KEYS):
            # Most keys of most data sets: a short string under a short key, no expiry.
            if (
                plain
                and type(value) is bytes
                and len(value) < MIN_LENGTH
                and 0 < len(key) <= _FAST_LENGTH
                and key[0] > _NINE
            ):
                append(STRING)
                append(len(key))
                out += key
                append(len(value))
                out += value
                continue
            idle_s, freq = (None, None) if usage is None else usage(key)
            self._put_key(key, value, deadlines.get(key), idle_s, freq)
            if len(out) > _PIECE_BYTES:
                break
        return self._take()

    def _put_key(
        self, key: bytes, value: Value, expire_at_ms: int | None, idle_s: int | None, freq: int | None
    ) -> None:
        writer = self._writer
        out = writer.out
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
        writer.write_string(key)
        out[type_at] = write_value(value, writer)

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
    collections are stored is said by `limits`. Simple keys come in batches (Strings) when `batches` says so,
    which is three times as fast, and otherwise like all others (Key). `check` is the directive rdbchecksum.
    """

    __slots__ = (
        "_batches",
        "_check",
        "_crc",
        "_cut_at",
        "_db",
        "_one_by_one",
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
        self,
        value_readers: Mapping[int, ValueReader] = VALUE_READERS,
        limits: Limits = DEFAULT,
        *,
        batches: bool = False,
        check: bool = True,
    ) -> None:
        self.version = 0
        self.ended = False
        self._batches = batches
        self._check = check
        self._one_by_one: Iterator[tuple[bytes, bytes | int]] = iter(())  # the rest of a batch, without
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
    def offset(self) -> int:
        """Where the reader stands in the stream, in bytes."""
        return self._reader.offset

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

    def _singles(self) -> Iterator[Key]:
        for key, value in self._one_by_one:
            yield Key(key, value, None, None, None, self._db)

    def _items(self) -> Iterator[Item]:
        yield from self._singles()
        if self.ended or self._pieces_bytes < self._wanted_bytes:
            return
        self._join_pieces()
        reader = self._reader
        data = reader.data
        fast_end = len(data) - 2 * _FAST_LENGTH - 3
        while True:
            start = reader.pos
            if start < fast_end and data[start] == STRING and self.version:
                batch = self._read_strings(fast_end)
                if batch.keys:
                    if self._batches:
                        yield batch
                    else:
                        self._one_by_one = zip(batch.keys, batch.values, strict=True)
                        yield from self._singles()
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

    def _read_strings(self, fast_end: int) -> Strings:
        """The records from here on that are a short string under a short key, no expiry: perhaps none."""
        reader = self._reader
        data, pos = reader.data, reader.pos
        keys: list[bytes] = []
        values: list[bytes | int] = []
        add_key, add_value = keys.append, values.append
        batch_end = min(fast_end, pos + _BATCH_KEYS * _FAST_LENGTH)
        while pos < batch_end and data[pos] == STRING:
            key_start = pos + 2
            key_end = key_start + data[pos + 1]
            size = data[key_end] if key_end - key_start <= _FAST_LENGTH else LZF
            start = key_end + 1
            if size <= _FAST_LENGTH:
                pos = start + size
                value = data[start:pos]
                integer = None if data[start] > _NINE else parse_integer(value)
                add_value(value if integer is None else integer)
            elif INT8 <= size < LZF:
                pos = start + (1 << size - INT8)
                add_value(int.from_bytes(data[start:pos], "little", signed=True))
            else:
                break
            add_key(data[key_start:key_end])
        reader.pos = pos
        return Strings(keys, values, self._db)

    def _join_pieces(self) -> None:
        """Make the reader's data what is left of it and the pieces; what is done with is summed up."""
        reader = self._reader
        done = reader.pos
        if self._check:
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
        digits = reader.read_bytes(HEADER_BYTES)[len(_MAGIC) :]
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
        if stored and self._check and stored != crc64(memoryview(reader.data)[:summed_end], self._crc):
            raise RdbError(reader.base + summed_end, "the checksum does not match")
        self.ended = True
        return End(bool(stored))
