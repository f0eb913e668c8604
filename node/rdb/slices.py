"""DUMP payloads of big values, made and read in slices: as generators that stop every some hundred elements.

What runs them (`node.moving.slicing`) lets others have their turn in between, so a hash of a million fields
stops nobody for longer than any other command. The bytes are those of `node.rdb.value`, uncompressed. While a
payload is being made its value must not change; whoever lets it change all the same has to begin again (a
table that grew meanwhile says so with RuntimeError).

Values that are small by nature, and the compact encodings, which configured limits keep small, are done in
one step.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from node.rdb import collections, streams
from node.rdb.crc64 import crc64
from node.rdb.errors import DumpFooterError, RdbEmptyError, RdbError
from node.rdb.primitives import Reader, Writer
from node.rdb.value import DUMP_VERSION_MAX, FOOTER_BYTES, WRITTEN_VERSION, Value, read_value, write_value
from node.values.hashes import Hash
from node.values.limits import DEFAULT, Limits
from node.values.lists import List
from node.values.sets import Set
from node.values.streams import Stream
from node.values.zsets import Zset

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work in steps of about a millisecond or less; its result is what the generator returns."""

STEP_ELEMENTS = 256
PIECE_BYTES = 256 * 1024
_DOUBLE = struct.Struct("<d")

# --- making
# ------------------------------------------------------------------------------


def dump_slices(value: Value) -> Steps[list[bytes]]:
    """What DUMP replies, in pieces of some hundred kilobytes (one for a small value)."""
    pieces = yield from _body(value)
    pieces[-1] += WRITTEN_VERSION.to_bytes(2, "little")
    crc = 0
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(piece), PIECE_BYTES):
            crc = crc64(view[at : at + PIECE_BYTES], crc)
            yield
    pieces[-1] += crc.to_bytes(8, "little")
    return pieces


def _body(value: Value) -> Steps[list[bytes]]:
    """Type code and body."""
    sliced = _WRITERS.get(type(value))
    writer = Writer(compress=False)
    if sliced is not None and getattr(value, "encoding", bytes)() in _BIG_ENCODINGS:
        pieces: list[bytes] = []
        yield from sliced(value, _Sink(writer, pieces))
        pieces.append(bytes(writer.out))
        return pieces
    writer.out.append(0)
    writer.out[0] = write_value(value, writer)
    return [bytes(writer.out)]


class _Sink:
    """Where a sliced writer writes; `pause` is called, and yielded from, every some elements."""

    __slots__ = ("pieces", "writer")

    def __init__(self, writer: Writer, pieces: list[bytes]) -> None:
        self.writer = writer
        self.pieces = pieces

    def pause(self) -> Steps[None]:
        out = self.writer.out
        if len(out) >= PIECE_BYTES:
            self.pieces.append(bytes(out))
            out.clear()
        yield


def _in_steps(items: Iterable[T]) -> Generator[list[T], None, None]:
    iterator = iter(items)
    while step := list(islice(iterator, STEP_ELEMENTS)):
        yield step


def _write_hash(value: Hash, sink: _Sink) -> Steps[None]:
    writer = sink.writer
    write = writer.write_string
    earliest_ms = value.next_deadline()
    if earliest_ms is not None:
        writer.out.append(collections.HASH_METADATA)
        writer.out += earliest_ms.to_bytes(8, "little")
    else:
        writer.out.append(collections.HASH)
    writer.write_length(len(value))
    for step in _in_steps(value.pairs()):
        for field, text in step:
            if earliest_ms is not None:
                deadline_ms = value.deadline(field)
                writer.write_length(0 if deadline_ms is None else deadline_ms - earliest_ms + 1)
            write(field)
            write(text)
        yield from sink.pause()


def _write_set(value: Set, sink: _Sink) -> Steps[None]:
    sink.writer.out.append(collections.SET)
    sink.writer.write_length(len(value))
    for step in _in_steps(value):
        for member in step:
            sink.writer.write_string(member)
        yield from sink.pause()


def _write_zset(value: Zset, sink: _Sink) -> Steps[None]:
    out, write = sink.writer.out, sink.writer.write_string
    out.append(collections.ZSET_2)
    size = len(value)
    sink.writer.write_length(size)
    # The greatest first: Redis inserts fastest before all others.
    for stop in range(size, 0, -STEP_ELEMENTS):
        for score, member in value.slice(max(0, stop - STEP_ELEMENTS), stop, reverse=True):
            write(member)
            out += _DOUBLE.pack(score)
        yield from sink.pause()


def _write_list(value: List, sink: _Sink) -> Steps[None]:
    """How many nodes there are stands before them and is known behind them."""
    count = 0
    for node in collections.nodes(value):
        collections.write_node(node, sink.writer)
        count += 1
        yield from sink.pause()
    head = Writer(compress=False)
    head.out.append(collections.LIST_QUICKLIST_2)
    head.write_length(count)
    sink.pieces.insert(0, bytes(head.out))


def _write_stream(value: Stream, sink: _Sink) -> Steps[None]:
    sink.writer.out.append(streams.STREAM_2)
    for _ in streams.write_steps(value, sink.writer):
        yield from sink.pause()


_BIG_ENCODINGS = frozenset((b"hashtable", b"skiplist", b"quicklist", b"stream"))
_WRITERS: dict[type, Callable[[Any, _Sink], Steps[None]]] = {
    Hash: _write_hash,
    Set: _write_set,
    Zset: _write_zset,
    List: _write_list,
    Stream: _write_stream,
}

# --- reading
# ------------------------------------------------------------------------------


def load_slices(payload: bytes, limits: Limits = DEFAULT) -> Steps[Value]:
    """What `node.rdb.value.load_payload` gives, with the same errors."""
    body_end = len(payload) - FOOTER_BYTES
    if body_end < 0:
        raise DumpFooterError(0, f"a DUMP payload of {len(payload)} bytes has no footer")
    version = int.from_bytes(payload[body_end : body_end + 2], "little")
    if version > DUMP_VERSION_MAX:
        raise DumpFooterError(body_end, f"DUMP payload of version {version}")
    crc = 0
    view = memoryview(payload)[:-8]
    for at in range(0, len(view), PIECE_BYTES):
        crc = crc64(view[at : at + PIECE_BYTES], crc)
        yield
    if crc != int.from_bytes(payload[-8:], "little"):
        raise DumpFooterError(body_end + 2, "the checksum of the DUMP payload is wrong")
    reader = Reader(payload, limits=limits)
    code = reader.read_byte()
    sliced = _READERS.get(code)
    value: Value
    if sliced is None:
        value = read_value(code, reader)
    else:
        value = yield from sliced(reader)
    if reader.pos != body_end:
        raise RdbError(reader.pos, f"the value does not end where its payload does, at {body_end}")
    return value


def _counts(reader: Reader) -> Generator[int, None, int]:
    """How many elements to read in each step. Returns how many there are."""
    count = reader.read_length()
    if not count:
        raise RdbEmptyError(reader.offset, "a value without elements")
    left = count
    while left:
        step = min(left, STEP_ELEMENTS)
        yield step
        left -= step
    return count


def _whole(reader: Reader, value: Any, count: int, what: str) -> None:
    if len(value) != count:
        raise reader.error(f"{what} twice")


def _read_hash(reader: Reader) -> Steps[Hash]:
    value, total, read = Hash(), 0, reader.read_string
    for count in _counts(reader):
        value.set_many([read() for _ in range(2 * count)], reader.limits)
        total += count
        yield
    _whole(reader, value, total, "a field")
    return value


def _read_hash_metadata(reader: Reader) -> Steps[Hash]:
    value, total, read = Hash(), 0, reader.read_string
    base_ms = reader.read_int(8) - 1
    for count in _counts(reader):
        for _ in range(count):
            after_ms = reader.read_length()
            field = read()
            value.set(field, read(), reader.limits)
            if after_ms:
                value.set_deadline(field, collections.checked_deadline(reader, base_ms + after_ms))
        total += count
        yield
    _whole(reader, value, total, "a field")
    return value


def _read_set(reader: Reader) -> Steps[Set]:
    value: Set | None = None
    total, read = 0, reader.read_string
    for count in _counts(reader):
        members = [read() for _ in range(count)]
        if value is None:
            value = Set.from_members(members, reader.limits)
        else:
            for member in members:
                value.add(member, reader.limits)
        total += count
        yield
    assert value is not None
    _whole(reader, value, total, "a member")
    return value


def _read_zset(reader: Reader) -> Steps[Zset]:
    value: Zset | None = None
    total, read, read_bytes = 0, reader.read_string, reader.read_bytes
    for count in _counts(reader):
        entries = []
        for _ in range(count):
            member = read()
            score: float = _DOUBLE.unpack(read_bytes(8))[0]
            if score != score:
                raise reader.error("a score that is no number")
            entries.append((score, member))
        if value is None:
            value = Zset.from_entries(entries, reader.limits)
        else:
            for score, member in entries:
                value.set(member, score, reader.limits)
        total += count
        yield
    assert value is not None
    _whole(reader, value, total, "a member")
    return value


def _read_list(reader: Reader) -> Steps[List]:
    value: List | None = None
    for _ in range(reader.read_length()):
        items = collections.read_node(reader)
        if value is None:
            value = List.from_items(items, reader.limits)
        elif items:
            value.push_right(items, reader.limits)
        yield
    if value is None or not len(value):
        raise RdbEmptyError(reader.offset, "a list without elements")
    return value


def _read_stream(version: int) -> Callable[[Reader], Steps[Stream]]:
    return lambda reader: streams.read_steps(version, reader)


_READERS: dict[int, Callable[[Reader], Steps[Any]]] = {
    collections.HASH: _read_hash,
    collections.HASH_METADATA: _read_hash_metadata,
    collections.SET: _read_set,
    collections.ZSET_2: _read_zset,
    collections.LIST_QUICKLIST_2: _read_list,
    streams.STREAM_1: _read_stream(1),
    streams.STREAM_2: _read_stream(2),
    streams.STREAM_3: _read_stream(3),
}
