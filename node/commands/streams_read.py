"""XREAD and XREADGROUP: what came after a position, in one stream or many, now or when it comes.

A client that waits runs its command again when one of its keys changes; `$` stays where the stream ended when
it began to wait. XREAD passes a key over that came to hold another type; XREADGROUP ends with an error when
its group is gone, with the key or without.

What replicas are told of XREADGROUP: an XCLAIM for each delivery, an XGROUP SETID for where the group is
then, an XGROUP CREATECONSUMER for a consumer that no XCLAIM makes. That the history was read is not told.

Source: the pages of the two commands; https://redis.io/docs/data-types/streams/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from node.blocking import TAKES_OF_GROUP, Blocking
from node.command.args import integer, syntax_error
from node.command.call import Call
from node.command.keyspec import KeySpec, Keyword, Range
from node.command.session import Block
from node.command.spec import ACCESS, BLOCKING, READONLY, RO, WRITE, command
from node.commands.access import read_at
from node.commands.streams_shared import (
    entries_reply,
    entry_reply,
    exact_id,
    id_reply,
    record_silently,
    seen_consumer,
    told_claim,
    told_consumer,
    told_position,
)
from node.commands.waiting import deadline_ms
from node.errors import CommandError
from node.resp.encode import array, bulk
from node.values.streams import Stream
from node.values.streams_groups import Consumer, Group
from node.values.streams_ids import MAX_ID, MIN_ID, StreamId

_MEANINGLESS = (
    b"ERR The %b ID is meaningless in the context of XREADGROUP: you want to read the history of this "
    b"consumer by specifying a proper ID, or use the > ID to get new messages. The %b ID would just return "
    b"an empty result set."
)
_NOT_XREAD = b"ERR The %b option is only supported by XREADGROUP. You called XREAD instead."
_STREAMS_LIMIT = 2


class _Request(NamedTuple):
    """A parsed request, for `most` entries of each stream; `deadline_ms` is None for waiting for ever."""

    names: list[bytes]
    positions: list[bytes]
    most: int | None
    waits: bool
    deadline_ms: int | None
    group: bytes
    consumer: bytes
    no_ack: bool


def _parse(call: Call, argv: list[bytes], grouped: bool) -> _Request:
    """Raises CommandError."""
    count: int | None = None
    waits, until_ms, no_ack = False, None, False
    group: bytes | None = None
    consumer = b""
    words: list[bytes] = []
    at = 1
    while at < len(argv):
        word, more = argv[at].upper(), len(argv) - at - 1
        if word == b"BLOCK" and more:
            at += 1
            waits, until_ms = True, deadline_ms(call, argv[at])
        elif word == b"COUNT" and more:
            at += 1
            count = integer(argv[at])
        elif word == b"STREAMS" and more:
            words = _streams(argv, at + 1, grouped)
            break
        elif word == b"GROUP" and more >= 2:
            if not grouped:
                raise CommandError(_NOT_XREAD % b"GROUP")
            group, consumer = argv[at + 1], argv[at + 2]
            at += 2
        elif word == b"NOACK":
            if not grouped:
                raise CommandError(_NOT_XREAD % b"NOACK")
            no_ack = True
        else:
            raise syntax_error()
        at += 1
    if not words:
        raise syntax_error()
    if grouped and group is None:
        raise CommandError(b"ERR Missing GROUP option for XREADGROUP")
    half = len(words) // 2
    count = count if count is not None and count > 0 else None
    return _Request(words[:half], words[half:], count, waits, until_ms, group or b"", consumer, no_ack)


def _streams(argv: list[bytes], start: int, grouped: bool) -> list[bytes]:
    words = argv[start:]
    if len(words) % 2:
        name, symbol = (b"xreadgroup", b">") if grouped else (b"xread", b"$")
        raise CommandError(
            b"ERR Unbalanced '%b' list of streams: for each stream key an ID or '%b' must be specified."
            % (name, symbol)
        )
    return words


def _reply(call: Call, streams: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Names and encoded entries of the streams that have any: a map, or pairs."""
    named = [(bulk(name), entries) for name, entries in streams]
    if call.reply.version == 3:
        return call.reply.map(named)
    return array([array(pair) for pair in named])


_KEYS = [KeySpec(RO | ACCESS, Keyword(b"STREAMS", 1), Range(-1, 1, _STREAMS_LIMIT))]
_GROUP_KEYS = [KeySpec(RO | ACCESS, Keyword(b"STREAMS", 4), Range(-1, 1, _STREAMS_LIMIT))]


# XREAD


@command(
    b"XREAD", arity=-4, group="stream", since="5.0.0", flags=READONLY | BLOCKING, keys=_KEYS, needs=Blocking,
    categories=["stream"],
)  # fmt: skip
def xread(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Returns the entries of streams behind given ids; waits for one when there is none and BLOCK is said."""
    request = _parse(call, argv, grouped=False)
    streams: list[Stream | None] = []
    positions: list[StreamId] = []
    for name, text in zip(request.names, request.positions, strict=True):
        streams.append(read_at(call, name, Stream))
        positions.append(_position(streams[-1], text))
    reply = _read(call, request, streams, positions)
    if reply is not None:
        return reply
    null = call.reply.null_array
    if not request.waits or not blocking.may_wait(call):
        return null

    def attempt(call: Call, _key: bytes) -> bytes | None:
        streams: list[Stream | None] = []
        for at, name in enumerate(request.names):
            value = call.peek(name)
            streams.append(value if type(value) is Stream else None)
            if request.positions[at] == b"+":
                positions[at] = _position(streams[at], b"+")
        return _read(call, request, streams, positions)

    return blocking.wait(call, argv, request.names, attempt, request.deadline_ms, lambda: null)


def _position(stream: Stream | None, text: bytes) -> StreamId:
    """The id behind which to read. Raises CommandError."""
    if text == b"$":
        return MIN_ID if stream is None else stream.last_id
    if text == b"+":  # the last entry, once there is one
        if stream is None:
            return MIN_ID
        return stream.last_entry_id() - 1 if stream.length else stream.last_id
    if text == b">":
        raise CommandError(
            b"ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> "
            b"option."
        )
    return exact_id(text)


def _read(
    call: Call, request: _Request, streams: Sequence[Stream | None], positions: Sequence[StreamId]
) -> bytes | None:
    found = []
    for name, stream, position in zip(request.names, streams, positions, strict=True):
        if stream is not None and stream.length and stream.last_entry_id() > position:
            entries = stream.entries(position + 1, MAX_ID, request.most)
            found.append((name, entries_reply(entries)))
    return _reply(call, found) if found else None


# XREADGROUP


class _Source(NamedTuple):
    """A stream to read from. `position` is None for `>`: what nobody in the group got yet."""

    name: bytes
    stream: Stream
    group: Group
    position: StreamId | None

    def has_news(self) -> bool:
        """Whether there is something to reply; the history, even an empty one, always is."""
        if self.position is not None:
            return True
        return self.stream.length > 0 and self.stream.last_entry_id() > self.group.last_id


@command(
    b"XREADGROUP", arity=-7, group="stream", since="5.0.0", flags=WRITE | BLOCKING, keys=_GROUP_KEYS,
    needs=Blocking, categories=["stream"],
    complexity="For each stream mentioned: O(M) with M being the number of elements returned. If M is "
    "constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the "
    "other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked "
    "on the stream getting new data.",
)  # fmt: skip
def xreadgroup(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Returns entries that nobody in a group got yet and makes them pending, or those pending already."""
    request = _parse(call, argv, grouped=True)
    reply = _read_group(call, request, _sources(call, request))
    if reply is not None:
        return reply
    null = call.reply.null_array
    if not request.waits or not blocking.may_wait(call):
        return null

    def attempt(call: Call, _key: bytes) -> bytes | None:
        sources = _sources(call, request)
        if not any(source.has_news() for source in sources):
            return None
        return _read_group(call, request, sources)

    # Where one consumer of a group finds nothing new, the others of the group would not either.
    takes = TAKES_OF_GROUP + request.group
    return blocking.wait(call, argv, request.names, attempt, request.deadline_ms, lambda: null, takes)


def _sources(call: Call, request: _Request) -> list[_Source]:
    """Raises CommandError, for a group that does not exist too."""
    sources = []
    for name, text in zip(request.names, request.positions, strict=True):
        stream = read_at(call, name, Stream)
        group = None if stream is None else stream.groups.get(request.group)
        if stream is None or group is None:
            raise CommandError(
                b"NOGROUP No such key '%b' or consumer group '%b' in XREADGROUP with GROUP option"
                % (name, request.group)
            )
        if text in (b"$", b"+"):
            raise CommandError(_MEANINGLESS % (text, text))
        position = None if text == b">" else exact_id(text)
        sources.append(_Source(name, stream, group, None if position == MAX_ID else position))
    return sources


def _read_group(call: Call, request: _Request, sources: Sequence[_Source]) -> bytes | None:
    found = []
    told: list[list[bytes]] = []
    for source in sources:
        has_news = source.has_news()
        consumer, is_new = seen_consumer(call, source.name, source.group, request.consumer)
        claims: list[list[bytes]] = []
        if source.position is not None:
            found.append((source.name, _history(call, request, source, source.position, consumer)))
        elif has_news:
            found.append((source.name, _deliver(call, request, source, consumer, claims)))
        if is_new and not claims:
            told.append(told_consumer(source.name, request.group, request.consumer))
        told += claims
        if source.position is None and has_news:
            told.append(told_position(source.name, request.group, source.group))
            record_silently(call, source.name)
    if told:
        call.rewrite(*told)
    return _reply(call, found) if found else None


def _deliver(
    call: Call, request: _Request, source: _Source, consumer: Consumer, claims: list[list[bytes]]
) -> bytes:
    """Delivers what is new to the consumer; adds how replicas are told to `claims`."""
    name, stream, group, _ = source
    entries = stream.entries(group.last_id + 1, MAX_ID, request.most)
    for id, _ in entries:
        stream.advance(group, id)
        if not request.no_ack:
            delivery = group.deliver(id, consumer, call.now_ms)
            claims.append(told_claim(name, request.group, group, id, delivery))
    if not request.no_ack:
        consumer.active_ms = call.now_ms
    return entries_reply(entries)


def _history(call: Call, request: _Request, source: _Source, position: StreamId, consumer: Consumer) -> bytes:
    """What is pending for the consumer; an entry deleted meanwhile has null for its fields."""
    replies: list[bytes] = []
    for id, delivery in consumer.pending_from(position + 1):
        if len(replies) == request.most:
            break
        entry = source.stream.get(id)
        if entry is None:
            replies.append(b"*2\r\n" + id_reply(id) + call.reply.null_array)
        else:
            replies.append(entry_reply(entry))
            delivery.time_ms = call.now_ms
            delivery.count += 1
    return array(replies)
