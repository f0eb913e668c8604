"""Streams, to bytes and back.

A macro node is its base as 16 bytes and a listpack: counts of entries and removed ones, the fields, then the
entries, with ids relative to the base, removed ones among them. Then length, ids and counts of the stream,
then the groups, each with its pending entries and its consumers, each of those with the ids that are pending
there. Version 2 (Redis 7.0) added what lag is worked out from, version 3 (7.2) when a consumer was last
active. Version 2 is written, without removed entries and without nodes that have no other.

A reader returns a stream whose invariants hold or raises RdbError.

Source: rdb.c of Redis 7.2; t_stream.c, the comments in streamAppendItem.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

from node.integers import INT64_MAX, parse_integer
from node.rdb import listpack
from node.rdb.errors import RdbError
from node.rdb.primitives import Reader, Writer
from node.values.streams import Stream
from node.values.streams_groups import NEVER_MS, Consumer, Delivery, Group
from node.values.streams_ids import SEQ_MAX, StreamId
from node.values.streams_nodes import Node

STREAM_1 = 15
STREAM_2 = 19
STREAM_3 = 21

_REMOVED = 1
_SAME_FIELDS = 2
_UNKNOWN_COUNT = (1 << 64) - 1
_STEP_ENTRIES = 256

# --- reading
# ------------------------------------------------------------------------------


def _read_stream(version: int, reader: Reader) -> Stream:
    steps = read_steps(version, reader)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            stream: Stream = done.value
            return stream


def read_steps(version: int, reader: Reader) -> Generator[None, None, Stream]:
    """A step for each node, group and consumer."""
    stream = Stream()
    for _ in range(reader.read_length()):
        _read_node(reader, stream)
        yield
    stream.length = sum(node.live for node in stream.nodes)
    if reader.read_length() != stream.length:
        raise reader.error("a stream of another length than it says")
    stream.last_id = _read_id(reader)
    if stream.nodes and stream.nodes[-1].last > stream.last_id:
        raise reader.error("an entry behind the last one")
    stream.find_first()
    if version == 1:
        stream.entries_added = stream.length
    else:
        _read_id(reader)  # the first entry: known
        stream.max_deleted_id = _read_id(reader)
        stream.entries_added = _read_count(reader)
    for _ in range(reader.read_length()):
        yield from _read_group(version, reader, stream)
    return stream


def _read_id(reader: Reader) -> StreamId:
    ms = reader.read_length()
    return ms << 64 | reader.read_length()


def _read_node(reader: Reader, stream: Stream) -> None:
    """Adds the next node to the stream, unless all its entries are removed ones."""
    key = reader.read_string()
    base = int.from_bytes(key, "big")
    if len(key) != 16 or (stream.nodes and base <= stream.nodes[-1].last):
        raise reader.error("a node of a stream out of order")
    start = reader.offset
    data = reader.read_string()
    try:
        parts = listpack.decode(data)
    except RdbError as error:
        raise RdbError(start + error.offset, error.text) from None
    try:
        node = _make_node(base, parts)
    except (IndexError, ValueError):
        raise reader.error("a node of a stream that makes no sense") from None
    if node.live:
        if stream.nodes:
            stream.nodes[-1].seal()
            if stream.nodes[-1].fields == node.fields:
                node.fields = stream.nodes[-1].fields
        stream.nodes.append(node)


def _number(text: bytes) -> int:
    value = parse_integer(text)
    if value is None:
        raise ValueError(text)
    return value


def _make_node(base: StreamId, parts: list[bytes]) -> Node:
    """A node of the parts of its listpack. Raises IndexError, ValueError."""
    live, removed, width = map(_number, parts[:3])
    if live < 0 or removed < 0 or width < 0 or parts[3 + width] != b"0":
        raise ValueError
    node = Node(base, parts[3 : 3 + width])
    end = base - 1
    for id, items, is_removed in _entries(base, parts, width, live + removed):
        if id <= end:
            raise ValueError
        end = id
        node.append(id, items)
        if is_removed:
            node.remove(node.end - 1)
    if node.live != live:
        raise ValueError
    return node


def _entries(
    base: StreamId, parts: list[bytes], width: int, count: int
) -> Iterator[tuple[StreamId, list[bytes], bool]]:
    """Id, items and whether it was removed, of each entry. Raises IndexError, ValueError."""
    fields = parts[3 : 3 + width]
    base_ms, base_seq = base >> 64, base & SEQ_MAX
    at = 4 + width
    for _ in range(count):
        flags = _number(parts[at])
        ms, seq = base_ms + _number(parts[at + 1]), base_seq + _number(parts[at + 2])
        at += 3
        if flags & _SAME_FIELDS:
            items = [b""] * (2 * width)
            items[::2] = fields
            items[1::2] = parts[at : at + width]  # ValueError when there are fewer
            at += width
            size = width + 3
        else:
            half = _number(parts[at])
            if half < 0:
                raise ValueError
            items = parts[at + 1 : at + 1 + 2 * half]
            at += 1 + 2 * half
            size = 2 * half + 4
        if _number(parts[at]) != size:
            raise ValueError
        at += 1
        yield (ms & SEQ_MAX) << 64 | seq & SEQ_MAX, items, bool(flags & _REMOVED)
    if at != len(parts):
        raise ValueError


def _read_group(version: int, reader: Reader, stream: Stream) -> Iterator[None]:
    name, last_id = reader.read_string(), _read_id(reader)
    if version == 1:
        entries_read = stream.entries_up_to(last_id)
    else:
        entries_read = _read_known_count(reader)
    group = stream.add_group(name, last_id, entries_read)
    if group is None:
        raise reader.error("a group twice")
    unowned = {}
    count = reader.read_length()
    for index in range(count):
        id = int.from_bytes(reader.read_bytes(16), "big")
        time_ms = _read_time(reader)
        unowned[id] = (time_ms, _read_count(reader))
        if index % _STEP_ENTRIES == 0:
            yield
    if len(unowned) != count:
        raise reader.error("an entry twice among the pending ones")
    for _ in range(reader.read_length()):
        _read_consumer(version, reader, group, unowned)
        yield
    if unowned:
        raise reader.error("a pending entry without a consumer")


def _read_known_count(reader: Reader) -> int | None:
    count = reader.read_length()
    return None if count == _UNKNOWN_COUNT else _checked(reader, count)


def _read_count(reader: Reader) -> int:
    return _checked(reader, reader.read_length())


def _checked(reader: Reader, count: int) -> int:
    if count > INT64_MAX:
        raise reader.error(f"{count}, which is too many")
    return count


def _read_time(reader: Reader) -> int:
    """Unix milliseconds, -1 for never."""
    time_ms = reader.read_int(8)
    if time_ms < NEVER_MS:
        raise reader.error(f"a time {-time_ms} ms before all times")
    return time_ms


def _read_consumer(
    version: int, reader: Reader, group: Group, unowned: dict[StreamId, tuple[int, int]]
) -> None:
    name, seen_ms = reader.read_string(), _read_time(reader)
    if name in group.consumers:
        raise reader.error("a consumer twice")
    active_ms = _read_time(reader) if version >= 3 else seen_ms
    consumer = group.consumers[name] = Consumer(name, seen_ms, active_ms)
    deliveries = {}
    for _ in range(reader.read_length()):
        id = int.from_bytes(reader.read_bytes(16), "big")
        if id not in unowned:
            raise reader.error("an entry pending for a consumer, but not for its group, or twice")
        deliveries[id] = Delivery(consumer, *unowned.pop(id))
    consumer.pending.update(deliveries)
    group.pending.update(deliveries)


# --- writing
# ------------------------------------------------------------------------------


def _write_stream(stream: Stream, out: Writer) -> int:
    for _ in write_steps(stream, out):
        pass
    return STREAM_2


def write_steps(stream: Stream, out: Writer) -> Iterator[None]:
    """A step for each node and group, and some for the entries pending in one."""
    nodes = [node for node in stream.nodes if node.live]
    out.write_length(len(nodes))
    for node in nodes:
        out.write_string(node.base.to_bytes(16, "big"))
        out.write_string(listpack.encode(_parts(node)))
        yield
    out.write_length(stream.length)
    for id in (stream.last_id, stream.first_id, stream.max_deleted_id):
        _write_id(id, out)
    out.write_length(stream.entries_added)
    out.write_length(len(stream.groups))
    for name, group in stream.groups_by_name():
        out.write_string(name)
        yield from _write_group(group, out)


def _write_id(id: StreamId, out: Writer) -> None:
    out.write_length(id >> 64)
    out.write_length(id & SEQ_MAX)


def _parts(node: Node) -> Iterator[bytes]:
    """What a node's listpack consists of."""
    width = len(node.fields)
    yield from (b"%d" % node.live, b"0", b"%d" % width, *node.fields, b"0")
    base_ms, base_seq = node.base >> 64, node.base & SEQ_MAX
    for id, fields, values in node.rows():
        yield b"%d" % (0 if fields is not None else _SAME_FIELDS)
        yield _difference(id >> 64, base_ms)
        yield _difference(id & SEQ_MAX, base_seq)
        if fields is None:
            yield from values
            yield b"%d" % (width + 3)
        else:
            yield b"%d" % len(fields)
            for field, value in zip(fields, values, strict=True):
                yield field
                yield value
            yield b"%d" % (2 * len(fields) + 4)


def _difference(number: int, base: int) -> bytes:
    """Of two unsigned integers of 64 bits, as a signed one."""
    difference = number - base & SEQ_MAX
    return b"%d" % (difference - (1 << 64) if difference >> 63 else difference)


def _write_group(group: Group, out: Writer) -> Iterator[None]:
    _write_id(group.last_id, out)
    out.write_length(_UNKNOWN_COUNT if group.entries_read is None else group.entries_read)
    out.write_length(len(group.pending))
    for index, (id, delivery) in enumerate(group.pending.items()):
        out.out += id.to_bytes(16, "big") + delivery.time_ms.to_bytes(8, "little", signed=True)
        out.write_length(delivery.count)
        if index % _STEP_ENTRIES == 0:
            yield
    out.write_length(len(group.consumers))
    for consumer in group.consumers_by_name():
        out.write_string(consumer.name)
        out.out += consumer.seen_ms.to_bytes(8, "little", signed=True)
        out.write_length(len(consumer.pending))
        for id in consumer.pending:
            out.out += id.to_bytes(16, "big")
        yield


READERS: dict[int, Callable[[Reader], Stream]] = {
    STREAM_1: partial(_read_stream, 1),
    STREAM_2: partial(_read_stream, 2),
    STREAM_3: partial(_read_stream, 3),
}
WRITERS: dict[type, Callable[[Any, Writer], int]] = {Stream: _write_stream}
