"""A data set → the commands that make it, for a base that is no RDB (aof-use-rdb-preamble no).

Collections are made by several commands of `ITEMS_PER_COMMAND` elements, so that none is long to run.

Source: redis.conf, aof-use-rdb-preamble; https://redis.io/commands/xsetid/ and xclaim/ for what makes a
stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import hiredis

from node.keyspace.database import Database, Value
from node.rdb.value import dump_payload
from node.values import strings
from node.values.hashes import Hash
from node.values.lists import List
from node.values.sets import Set
from node.values.streams import Stream
from node.values.streams_groups import Group
from node.values.streams_ids import format_id
from node.values.zsets import Zset

ITEMS_PER_COMMAND = 64
_KEYS_AT_ONCE = 256

Words = list[bytes]
_encode: Callable[[tuple[bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


def data_set_commands(
    databases: Sequence[Database],
    functions: Iterable[bytes] = (),
    stamp_s: int | None = None,
    wrote: Callable[[int], None] = lambda _keys: None,
) -> Iterator[bytes]:
    """The bytes of an AOF, in pieces; with `stamp_s`, Unix time, the first is an annotation.

    `functions` are sources of libraries; `wrote` is told how many more keys are done. Nothing may change
    before the last piece is taken.
    """
    if stamp_s is not None:
        yield b"#TS:%d\r\n" % stamp_s
    for code in functions:
        yield _encode((b"FUNCTION", b"LOAD", code))
    for database in databases:
        if not database.count:
            continue
        yield _encode((b"SELECT", b"%d" % database.index))
        deadlines = database.deadlines.at
        for partition in database.slots:
            entries = iter(partition.items()) if partition else iter(())
            while some := list(islice(entries, _KEYS_AT_ONCE)):
                commands = [words for key, value in some for words in _entry(key, value, deadlines.get(key))]
                yield b"".join(_encode(tuple(words)) for words in commands)
                wrote(len(some))


def _entry(key: bytes, value: Value, deadline_ms: int | None) -> Iterator[Words]:
    yield from value_commands(key, value)
    if deadline_ms is not None:
        yield [b"PEXPIREAT", key, b"%d" % deadline_ms]


def value_commands(key: bytes, value: Value) -> Iterator[Words]:
    """What makes `value` at `key`, where nothing is."""
    kind = type(value)
    if kind is Stream:
        yield from _stream(key, value)
    elif kind is Hash:
        yield from _chunked(b"HMSET", key, value.flat(), 2)
        yield from _field_deadlines(key, value)
    elif kind is List:
        yield from _chunked(b"RPUSH", key, value, 1)
    elif kind is Set:
        yield from _chunked(b"SADD", key, value, 1)
    elif kind is Zset:
        pairs = (word for score, member in value.entries() for word in (_score(score), member))
        yield from _chunked(b"ZADD", key, pairs, 2)
    else:
        yield [b"SET", key, strings.as_bytes(value)]


def _chunked(name: bytes, key: bytes, words: Iterable[bytes], words_per_item: int) -> Iterator[Words]:
    rest = iter(words)
    while some := list(islice(rest, ITEMS_PER_COMMAND * words_per_item)):
        yield [name, key, *some]


def _score(score: float) -> bytes:
    return b"%d" % score if score and score.is_integer() and abs(score) < 1e15 else repr(score).encode()


def _field_deadlines(key: bytes, value: Hash) -> Iterator[Words]:
    if not value.has_deadlines:
        return
    for field in value.fields():
        deadline_ms = value.deadline(field)
        if deadline_ms is not None:
            yield [b"HPEXPIREAT", key, b"%d" % deadline_ms, b"FIELDS", b"1", field]


def _stream(key: bytes, stream: Stream) -> Iterator[Words]:
    if any(id not in stream for group in stream.groups.values() for id in group.pending):
        yield [
            b"RESTORE",
            key,
            b"0",
            dump_payload(stream),
        ]  # XCLAIM knows no deliveries of entries that are gone
        return
    entries = stream.entries()
    for entry in entries:
        yield [b"XADD", key, format_id(entry.id), *entry.items]
    if not entries:  # a stream without entries: one is added and trimmed at once
        yield [b"XADD", key, b"MAXLEN", b"0", format_id(stream.last_id or 1), b"x", b"y"]
    yield [
        b"XSETID", key, format_id(stream.last_id), b"ENTRIESADDED", b"%d" % stream.entries_added,
        b"MAXDELETEDID", format_id(stream.max_deleted_id),
    ]  # fmt: skip
    for name, group in stream.groups.items():
        yield from _group(key, name, group)


def _group(key: bytes, name: bytes, group: Group) -> Iterator[Words]:
    read = b"-1" if group.entries_read is None else b"%d" % group.entries_read
    yield [b"XGROUP", b"CREATE", key, name, format_id(group.last_id), b"ENTRIESREAD", read]
    for consumer in group.consumers.values():
        yield [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name]
    for id, delivery in group.pending.items():
        yield [
            b"XCLAIM", key, name, delivery.consumer.name, b"0", format_id(id), b"TIME",
            b"%d" % delivery.time_ms, b"RETRYCOUNT", b"%d" % delivery.count, b"JUSTID", b"FORCE",
        ]  # fmt: skip
