"""What the commands of streams have in common: ids in requests and replies, entries in replies, and how the
state of a consumer group is told to replicas.

Reading through a group, claiming and acknowledging change the group and no entry. Keyspace notifications say
nothing of that, and clients that watch or wait for the key need not hear of it: it is recorded with an empty
event name (`record_silently`).
"""

from __future__ import annotations

from collections.abc import Iterable

from node.command.args import WRONG_TYPE
from node.command.call import Call
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.resp.encode import array, bulk
from node.values.streams import Stream
from node.values.streams_groups import Consumer, Delivery, Group
from node.values.streams_ids import MAX_ID, MIN_ID, SEQ_MAX, StreamId, format_id, parse_id
from node.values.streams_nodes import StreamEntry

STREAM = EventClass.STREAM
INVALID_ID = b"ERR Invalid stream ID specified as stream command argument"

# Ids


def exact_id(text: bytes) -> StreamId:
    """An id argument; the sequence may be missing and is 0 then. Raises CommandError."""
    id = parse_id(text)
    if id is None:
        raise CommandError(INVALID_ID)
    return id


def loose_id(text: bytes, missing_seq: int = 0) -> StreamId:
    """The same, with `-` and `+` for the lowest and the highest id. Raises CommandError."""
    if text == b"-":
        return MIN_ID
    if text == b"+":
        return MAX_ID
    id = parse_id(text, missing_seq)
    if id is None:
        raise CommandError(INVALID_ID)
    return id


def low_id(text: bytes) -> StreamId:
    """The beginning of an interval, `(id` when it is not in it itself. Raises CommandError."""
    if text[:1] != b"(" or len(text) == 1:
        return loose_id(text)
    id = exact_id(text[1:])
    if id == MAX_ID:
        raise CommandError(b"ERR invalid start ID for the interval")
    return id + 1


def high_id(text: bytes) -> StreamId:
    """The end of an interval; a missing sequence is the highest one. Raises CommandError."""
    if text[:1] != b"(" or len(text) == 1:
        return loose_id(text, SEQ_MAX)
    id = parse_id(text[1:], SEQ_MAX)
    if id is None:
        raise CommandError(INVALID_ID)
    if id == MIN_ID:
        raise CommandError(b"ERR invalid end ID for the interval")
    return id - 1


# Replies


def id_reply(id: StreamId) -> bytes:
    return bulk(format_id(id))


def entry_reply(entry: StreamEntry) -> bytes:
    """An entry: its id, and its fields and values by turns."""
    id, items = entry
    return b"*2\r\n%b*%d\r\n%b" % (bulk(format_id(id)), len(items), b"".join(map(bulk, items)))


def entries_reply(entries: Iterable[StreamEntry]) -> bytes:
    return array([entry_reply(entry) for entry in entries])


# Groups


def group_of(call: Call, own: bytes, group_name: bytes) -> tuple[Stream, Group]:
    """The stream at the command's key and its group. Raises CommandError when there is none."""
    stream = call.db.read(own, call.slot, call.now_ms)
    if stream is not None and type(stream) is not Stream:
        raise CommandError(WRONG_TYPE)
    group = None if stream is None else stream.groups.get(group_name)
    if stream is None or group is None:
        raise CommandError(b"NOGROUP No such key '%b' or consumer group '%b'" % (own, group_name))
    return stream, group


def record_silently(call: Call, name: bytes) -> None:
    """Records a change of a group that is told to replicas and to nobody else."""
    call.changed(STREAM, b"", name)


def seen_consumer(call: Call, name: bytes, group: Group, consumer_name: bytes) -> tuple[Consumer, bool]:
    """The consumer that reads or claims now, and whether it had to be made."""
    consumer = group.consumers.get(consumer_name)
    if consumer is not None:
        consumer.seen_ms = call.now_ms
        return consumer, False
    call.changed(STREAM, b"xgroup-createconsumer", name)
    return group.add_consumer(consumer_name, call.now_ms), True


def told_claim(name: bytes, group_name: bytes, group: Group, id: StreamId, delivery: Delivery) -> list[bytes]:
    """The XCLAIM that makes another's group know this delivery; where the entry is gone it removes it."""
    return [
        b"XCLAIM", name, group_name, delivery.consumer.name, b"0", format_id(id),
        b"TIME", b"%d" % delivery.time_ms, b"RETRYCOUNT", b"%d" % delivery.count,
        b"FORCE", b"JUSTID", b"LASTID", format_id(group.last_id),
    ]  # fmt: skip


def told_position(name: bytes, group_name: bytes, group: Group) -> list[bytes]:
    """The XGROUP SETID that puts another's group where this one is."""
    read = b"-1" if group.entries_read is None else b"%d" % group.entries_read
    return [b"XGROUP", b"SETID", name, group_name, format_id(group.last_id), b"ENTRIESREAD", read]


def told_consumer(name: bytes, group_name: bytes, consumer_name: bytes) -> list[bytes]:
    return [b"XGROUP", b"CREATECONSUMER", name, group_name, consumer_name]
