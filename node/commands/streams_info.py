"""XINFO: what is inside a stream, its groups and their consumers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from node.command.args import NO_SUCH_KEY, integer
from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import key
from node.command.spec import ACCESS, LOADING, READONLY, RO, STALE, command, container
from node.commands.access import read_own
from node.commands.streams_shared import entries_reply, entry_reply, id_reply
from node.errors import CommandError
from node.integers import INT64_MAX
from node.resp import encode
from node.resp.encode import array, bulk
from node.values.streams import Stream
from node.values.streams_groups import NEVER_MS, Consumer, Delivery, Group
from node.values.streams_ids import StreamId

_STREAM = ["stream"]
_KEYS = [key(2, RO | ACCESS)]
_FULL_COUNT = 10

Fields = list[tuple[bytes, bytes]]
"""Names and encoded values."""

container(b"XINFO", group="stream", since="5.0.0", summary="Commands that look inside of streams.")


def _map(call: Call, fields: Fields) -> bytes:
    return call.reply.map([(bulk(name), value) for name, value in fields])


def _count(number: int) -> bytes:
    """A count, which XSETID and damaged payloads can make larger than replies can tell."""
    return encode.integer(min(number, INT64_MAX))


def _optional(call: Call, number: int | None) -> bytes:
    return call.reply.null if number is None else _count(number)


def _stream(call: Call, argv: list[bytes]) -> Stream:
    """Raises CommandError."""
    stream = read_own(call, argv[2], Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    return stream


# XINFO STREAM


def _full_count(argv: list[bytes]) -> int | None:
    """The COUNT of FULL (0: all), None without FULL. Raises CommandError."""
    if len(argv) == 3:
        return None
    words = [word.upper() for word in argv[3:]]
    if words[0] != b"FULL" or len(words) not in (1, 3) or (len(words) == 3 and words[1] != b"COUNT"):
        raise CommandError(
            b"ERR unknown subcommand or wrong number of arguments for '%b'. Try XINFO HELP." % argv[1][:128]
        )
    count = integer(argv[5]) if len(argv) == 6 else _FULL_COUNT
    return count if count >= 0 else _FULL_COUNT


@command(
    b"XINFO|STREAM", arity=-3, group="stream", since="5.0.0", flags=READONLY, keys=_KEYS, complexity="O(1)",
    categories=_STREAM,
)  # fmt: skip
def stream_(call: Call, argv: list[bytes]) -> bytes:
    """Returns what is known of a stream; with FULL entries, groups and consumers, too."""
    stream = _stream(call, argv)
    count = _full_count(argv)
    fields: Fields = [
        (b"length", _count(stream.length)),
        (b"radix-tree-keys", _count(len(stream.nodes))),
        (b"radix-tree-nodes", _count(stream.radix_nodes())),
        (b"last-generated-id", id_reply(stream.last_id)),
        (b"max-deleted-entry-id", id_reply(stream.max_deleted_id)),
        (b"entries-added", _count(stream.entries_added)),
        (b"recorded-first-entry-id", id_reply(stream.first_id)),
    ]
    if count is None:
        first, last = stream.entries(count=1), stream.entries(count=1, reverse=True)
        fields += [
            (b"groups", _count(len(stream.groups))),
            (b"first-entry", entry_reply(first[0]) if first else call.reply.null),
            (b"last-entry", entry_reply(last[0]) if last else call.reply.null),
        ]
    else:
        groups = [_full_group(call, stream, *named, count) for named in stream.groups_by_name()]
        fields += [
            (b"entries", entries_reply(stream.entries(count=count or None))),
            (b"groups", array(groups)),
        ]
    return _map(call, fields)


def _full_group(call: Call, stream: Stream, name: bytes, group: Group, count: int) -> bytes:
    pending = [
        b"*4\r\n" + id_reply(id) + bulk(delivery.consumer.name) + _delivery(delivery)
        for id, delivery in _first(group.pending.items(), count)
    ]
    consumers = [_full_consumer(call, consumer, count) for consumer in group.consumers_by_name()]
    return _map(
        call,
        [
            (b"name", bulk(name)),
            *_position(call, stream, group),
            (b"pel-count", _count(len(group.pending))),
            (b"pending", array(pending)),
            (b"consumers", array(consumers)),
        ],
    )


def _full_consumer(call: Call, consumer: Consumer, count: int) -> bytes:
    pending = [
        b"*3\r\n" + id_reply(id) + _delivery(delivery)
        for id, delivery in _first(consumer.pending.items(), count)
    ]
    return _map(
        call,
        [
            (b"name", bulk(consumer.name)),
            (b"seen-time", _count(consumer.seen_ms)),
            (b"active-time", _count(consumer.active_ms)),
            (b"pel-count", _count(len(consumer.pending))),
            (b"pending", array(pending)),
        ],
    )


def _first(pending: Iterable[tuple[StreamId, Delivery]], count: int) -> Iterable[tuple[StreamId, Delivery]]:
    return islice(pending, count or None)


def _delivery(delivery: Delivery) -> bytes:
    return _count(delivery.time_ms) + _count(delivery.count)


def _position(call: Call, stream: Stream, group: Group) -> Fields:
    return [
        (b"last-delivered-id", id_reply(group.last_id)),
        (b"entries-read", _optional(call, group.entries_read)),
        (b"lag", _optional(call, stream.lag(group))),
    ]


# XINFO GROUPS and CONSUMERS


@command(
    b"XINFO|GROUPS", arity=3, group="stream", since="5.0.0", flags=READONLY, keys=_KEYS, complexity="O(1)",
    categories=_STREAM,
)  # fmt: skip
def groups(call: Call, argv: list[bytes]) -> bytes:
    """Returns the consumer groups of a stream."""
    stream = _stream(call, argv)
    return array(
        [
            _map(
                call,
                [
                    (b"name", bulk(name)),
                    (b"consumers", _count(len(group.consumers))),
                    (b"pending", _count(len(group.pending))),
                    *_position(call, stream, group),
                ],
            )
            for name, group in stream.groups_by_name()
        ]
    )


@command(
    b"XINFO|CONSUMERS", arity=4, group="stream", since="5.0.0", flags=READONLY, keys=_KEYS,
    complexity="O(1)", categories=_STREAM, tips=["nondeterministic_output"],
)  # fmt: skip
def consumers(call: Call, argv: list[bytes]) -> bytes:
    """Returns the consumers of a group."""
    group = _stream(call, argv).groups.get(argv[3])
    if group is None:
        raise CommandError(b"NOGROUP No such consumer group '%b' for key name '%b'" % (argv[3], argv[2]))
    return array([_consumer(call, consumer) for consumer in group.consumers_by_name()])


def _consumer(call: Call, consumer: Consumer) -> bytes:
    never = consumer.active_ms == NEVER_MS
    return _map(
        call,
        [
            (b"name", bulk(consumer.name)),
            (b"pending", _count(len(consumer.pending))),
            (b"idle", _count(max(call.now_ms - consumer.seen_ms, 0))),
            (b"inactive", _count(NEVER_MS if never else call.now_ms - consumer.active_ms)),
        ],
    )


@command(
    b"XINFO|HELP", arity=2, group="stream", since="5.0.0", flags=LOADING | STALE, complexity="O(1)",
    categories=_STREAM,
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "XINFO",
        (
            "CONSUMERS <key> <groupname>",
            "    Return the consumers of a group.",
            "GROUPS <key>",
            "    Return the consumer groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]]",
            "    Return what is known of a stream.",
        ),
    )
