"""Commands of the group stream on consumer groups: XGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM. Reading
through a group is in `streams_read.py`.

What replicas are told: XCLAIM and XAUTOCLAIM as an XCLAIM for each delivery that changed or went, with the
time and count that came out, and an XGROUP CREATECONSUMER for a consumer that no XCLAIM makes.
"""

from __future__ import annotations

from typing import NamedTuple

from node.command.args import integer, syntax_error, within
from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import key
from node.command.spec import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    LOADING,
    READONLY,
    RO,
    RW,
    STALE,
    UPDATE,
    WRITE,
    command,
    container,
)
from node.commands.access import peek_own, read_own
from node.commands.streams_shared import (
    STREAM,
    entry_reply,
    exact_id,
    group_of,
    high_id,
    id_reply,
    loose_id,
    low_id,
    record_silently,
    seen_consumer,
    told_claim,
    told_consumer,
    told_position,
)
from node.errors import CommandError
from node.integers import INT64_MAX
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, OK, ONE, ZERO, array, bulk
from node.values.streams import Stream
from node.values.streams_groups import Consumer, Delivery, Group
from node.values.streams_ids import MIN_ID, StreamId, parse_id
from node.values.streams_nodes import StreamEntry

_STREAM = ["stream"]
_ATTEMPTS = 10
_COUNT_MAX = INT64_MAX // 16
_COUNT = 100
_NO_KEY = (
    b"ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the "
    b"MKSTREAM option to create an empty stream automatically."
)

# XGROUP

container(b"XGROUP", group="stream", since="5.0.0", summary="Commands that change consumer groups.")


class _Options(NamedTuple):
    """Of XGROUP CREATE and SETID."""

    create: bool
    entries_read: int | None


def _syntax(argv: list[bytes]) -> CommandError:
    return CommandError(
        b"ERR unknown subcommand or wrong number of arguments for '%b'. Try XGROUP HELP." % argv[1][:128]
    )


def _parse(argv: list[bytes], creating: bool) -> _Options:
    """Raises CommandError."""
    create, entries_read = False, None
    at = 5
    while at < len(argv):
        word = argv[at].upper()
        if creating and word == b"MKSTREAM":
            create = True
        elif word == b"ENTRIESREAD" and at + 1 < len(argv):
            at += 1
            read = integer(argv[at])
            if read < -1:
                raise CommandError(b"ERR value for ENTRIESREAD must be positive or -1")
            entries_read = None if read == -1 else read
        else:
            raise _syntax(argv)
        at += 1
    return _Options(create, entries_read)


def _stream(call: Call, argv: list[bytes]) -> Stream:
    """The stream at the key. Raises CommandError when there is none."""
    stream = peek_own(call, argv[2], Stream)
    if stream is None:
        raise CommandError(_NO_KEY)
    return stream


def _group(call: Call, argv: list[bytes]) -> tuple[Stream, Group]:
    """The stream and the group. Raises CommandError when there is none."""
    stream = _stream(call, argv)
    group = stream.groups.get(argv[3])
    if group is None:
        raise CommandError(b"NOGROUP No such consumer group '%b' for key name '%b'" % (argv[3], argv[2]))
    return stream, group


@command(
    b"XGROUP|CREATE", arity=-5, group="stream", since="5.0.0", flags=WRITE | DENYOOM,
    keys=[key(2, RW | INSERT)], complexity="O(1)", categories=_STREAM,
)  # fmt: skip
def create(call: Call, argv: list[bytes]) -> bytes:
    """Creates a consumer group."""
    name, group_name = argv[2], argv[3]
    options = _parse(argv, creating=True)
    stream = peek_own(call, name, Stream)
    if stream is None and not options.create:
        raise CommandError(_NO_KEY)
    if len(argv) > 8:
        raise _syntax(argv)
    if argv[4] == b"$":
        last_id = MIN_ID if stream is None else stream.last_id
    else:
        last_id = exact_id(argv[4])
    if stream is None:
        stream = Stream()
        call.db.put(name, call.slot, stream)
    if stream.add_group(group_name, last_id, options.entries_read) is None:
        raise CommandError(b"BUSYGROUP Consumer Group name already exists")
    call.changed(STREAM, b"xgroup-create", name)
    return OK


@command(
    b"XGROUP|SETID", arity=-5, group="stream", since="5.0.0", flags=WRITE, keys=[key(2, RW | UPDATE)],
    complexity="O(1)", categories=_STREAM,
)  # fmt: skip
def setid(call: Call, argv: list[bytes]) -> bytes:
    """Sets the last id delivered to a consumer group."""
    options = _parse(argv, creating=False)
    stream, group = _group(call, argv)
    if len(argv) not in (5, 7):
        raise _syntax(argv)
    group.last_id = stream.last_id if argv[4] == b"$" else loose_id(argv[4])
    group.entries_read = options.entries_read
    call.changed(STREAM, b"xgroup-setid", argv[2])
    return OK


@command(
    b"XGROUP|DESTROY", arity=4, group="stream", since="5.0.0", flags=WRITE, keys=[key(2, RW | DELETE)],
    complexity="O(N) where N is the number of entries in the group's pending entries list (PEL).",
    categories=_STREAM,
)  # fmt: skip
def destroy(call: Call, argv: list[bytes]) -> bytes:
    """Removes a consumer group; returns whether there was one."""
    stream = _stream(call, argv)
    if stream.groups.pop(argv[3], None) is None:
        return ZERO
    call.changed(STREAM, b"xgroup-destroy", argv[2])
    return ONE


@command(
    b"XGROUP|CREATECONSUMER", arity=5, group="stream", since="6.2.0", flags=WRITE | DENYOOM,
    keys=[key(2, RW | INSERT)], complexity="O(1)", categories=_STREAM,
)  # fmt: skip
def createconsumer(call: Call, argv: list[bytes]) -> bytes:
    """Creates a consumer in a group; returns whether it was not there."""
    _, group = _group(call, argv)
    if argv[4] in group.consumers:
        return ZERO
    group.add_consumer(argv[4], call.now_ms)
    call.changed(STREAM, b"xgroup-createconsumer", argv[2])
    return ONE


@command(
    b"XGROUP|DELCONSUMER", arity=5, group="stream", since="5.0.0", flags=WRITE, keys=[key(2, RW | DELETE)],
    complexity="O(1)", categories=_STREAM,
)  # fmt: skip
def delconsumer(call: Call, argv: list[bytes]) -> bytes:
    """Removes a consumer from a group; returns how many entries were pending for it."""
    _, group = _group(call, argv)
    forgotten = group.remove_consumer(argv[4])
    if forgotten is None:
        return ZERO
    call.changed(STREAM, b"xgroup-delconsumer", argv[2])
    return encode.integer(forgotten)


@command(
    b"XGROUP|HELP", arity=2, group="stream", since="5.0.0", flags=LOADING | STALE, complexity="O(1)",
    categories=_STREAM,
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "XGROUP",
        (
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a consumer group that begins behind an ID. Options are:",
            "    * MKSTREAM",
            "      Create an empty stream when the key does not exist.",
            "    * ENTRIESREAD entries_read",
            "      How many entries the group has read (for replication).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a consumer in a group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove a consumer from a group.",
            "DESTROY <key> <groupname>",
            "    Remove a group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set where a group is, and how many entries it has read.",
        ),
    )


# Pending entries


@command(
    b"XACK", arity=-4, group="stream", since="5.0.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1) for each message ID processed.", categories=_STREAM,
)  # fmt: skip
def xack(call: Call, argv: list[bytes]) -> bytes:
    """Removes entries from those pending in a group; returns how many were."""
    stream = read_own(call, argv[1], Stream)
    group = None if stream is None else stream.groups.get(argv[2])
    if group is None:
        return ZERO
    ids = [exact_id(text) for text in argv[3:]]
    acknowledged = sum([group.acknowledge(id) for id in ids])
    if acknowledged:
        record_silently(call, argv[1])
    return encode.integer(acknowledged)


class _Interval(NamedTuple):
    """What XPENDING lists, no more than `most`; `consumer` None for all."""

    low: StreamId
    high: StreamId
    most: int
    min_idle_ms: int
    consumer: bytes | None


@command(
    b"XPENDING", arity=-3, group="stream", since="5.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) with N being the number of elements returned, so asking for a small fixed number of "
    "entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE "
    "filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) "
    "time; otherwise, an additional O(N) time for iterating every consumer.",
    categories=_STREAM, tips=["nondeterministic_output"],
)  # fmt: skip
def xpending(call: Call, argv: list[bytes]) -> bytes:
    """Returns the entries pending in a group, or a summary of them."""
    interval = _parse_interval(argv)
    _, group = group_of(call, argv[1], argv[2])
    return _summary(call, group) if interval is None else _listing(call, group, interval)


def _parse_interval(argv: list[bytes]) -> _Interval | None:
    """None for a summary. Raises CommandError."""
    if len(argv) == 3:
        return None
    if not 6 <= len(argv) <= 9:
        raise syntax_error()
    at, min_idle_ms = 3, 0
    if argv[3].upper() == b"IDLE":
        min_idle_ms = integer(argv[4])
        if len(argv) < 8:
            raise syntax_error()
        at = 5
    most = max(integer(argv[at + 2]), 0)
    low = low_id(argv[at])
    high = high_id(argv[at + 1])
    return _Interval(low, high, most, min_idle_ms, argv[at + 3] if at + 3 < len(argv) else None)


def _summary(call: Call, group: Group) -> bytes:
    if not group.pending:
        return array([ZERO, call.reply.null, call.reply.null, call.reply.null_array])
    first, last = group.pending.keys()[0], group.pending.keys()[-1]
    consumers = [
        array([bulk(consumer.name), bulk(b"%d" % len(consumer.pending))])
        for consumer in group.consumers_by_name()
        if consumer.pending
    ]
    return array([encode.integer(len(group.pending)), id_reply(first), id_reply(last), array(consumers)])


def _listing(call: Call, group: Group, interval: _Interval) -> bytes:
    of: Group | Consumer | None = group
    if interval.consumer is not None:
        of = group.consumers.get(interval.consumer)
    if of is None or interval.low > interval.high:
        return EMPTY_ARRAY
    replies: list[bytes] = []
    for id, delivery in of.pending_from(interval.low, interval.high):
        if len(replies) == interval.most:
            break
        idle_ms = call.now_ms - delivery.time_ms
        if interval.min_idle_ms and idle_ms < interval.min_idle_ms:
            continue
        numbers = encode.integer(max(idle_ms, 0)) + encode.integer(delivery.count)
        replies.append(b"*4\r\n" + id_reply(id) + bulk(delivery.consumer.name) + numbers)
    return array(replies)


# Claiming


class _Claims:
    """What a claim makes of a group: replies, and how replicas are told."""

    def __init__(
        self, call: Call, argv: list[bytes], stream: Stream, group: Group, min_idle_ms: int, just_id: bool
    ) -> None:
        """`argv` is a request that names key, group and consumer first."""
        self._call = call
        self._name, self._group_name, self._consumer_name = argv[1:4]
        self._stream = stream
        self._group = group
        self._min_idle_ms = min_idle_ms
        self._just_id = just_id
        self._consumer, self._is_new = seen_consumer(call, self._name, group, self._consumer_name)
        self._told: list[list[bytes]] = []
        self._has_claimed = False
        self.replies: list[bytes] = []

    def claim(
        self, id: StreamId, delivery: Delivery, entry: StreamEntry, time_ms: int, count: int | None = None
    ) -> None:
        """Makes a pending entry the consumer's, when it is idle for long enough; `count` of deliveries None
        for one more, none more when only ids are asked for.
        """
        if self._min_idle_ms and self._call.now_ms - delivery.time_ms < self._min_idle_ms:
            return
        self._group.pass_on(id, delivery, self._consumer)
        delivery.time_ms = time_ms
        if count is not None:
            delivery.count = count
        elif not self._just_id:
            delivery.count += 1
        self._taken(id, delivery, entry)

    def force(self, id: StreamId, entry: StreamEntry, time_ms: int, count: int | None) -> None:
        """Makes an entry pending that is not."""
        if count is None:  # the delivery that is claimed, and the claim
            count = 1 if self._just_id else 2
        self._taken(id, self._group.add_delivery(id, self._consumer, time_ms, count), entry)

    def _taken(self, id: StreamId, delivery: Delivery, entry: StreamEntry) -> None:
        self._consumer.active_ms = self._call.now_ms
        self._has_claimed = True
        self.replies.append(id_reply(id) if self._just_id else entry_reply(entry))
        self._told.append(told_claim(self._name, self._group_name, self._group, id, delivery))

    def forget(self, id: StreamId, delivery: Delivery) -> None:
        """An entry is pending that was deleted from the stream: it is not pending any more."""
        self._told.append(told_claim(self._name, self._group_name, self._group, id, delivery))
        self._group.acknowledge(id)

    def tell(self, moved: bool = False) -> None:
        """To be called at the end; `moved` when the group's last id was set."""
        if self._told or moved:
            record_silently(self._call, self._name)
        if moved and not self._told:
            self._told.append(told_position(self._name, self._group_name, self._group))
        if self._is_new and not self._has_claimed:
            self._told.insert(0, told_consumer(self._name, self._group_name, self._consumer_name))
        if self._told:
            self._call.rewrite(*self._told)


class _ClaimOptions:
    """Of XCLAIM, behind the ids."""

    __slots__ = ("count", "force", "just_id", "last_id", "time_ms")

    def __init__(self, argv: list[bytes], start: int, now_ms: int) -> None:
        """Raises CommandError."""
        self.force = self.just_id = False
        self.count: int | None = None
        self.last_id = MIN_ID
        time_ms = now_ms
        at = start
        while at < len(argv):
            word, more = argv[at].upper(), len(argv) - at - 1
            if word == b"FORCE":
                self.force = True
            elif word == b"JUSTID":
                self.just_id = True
            elif more and word in (b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID"):
                at += 1
                if word == b"LASTID":
                    self.last_id = exact_id(argv[at])
                else:
                    number = integer(argv[at], b"ERR Invalid %b option argument for XCLAIM" % word)
                    if word == b"RETRYCOUNT":
                        self.count = number if number >= 0 else None
                    else:
                        time_ms = now_ms - number if word == b"IDLE" else number
            else:
                raise CommandError(b"ERR Unrecognized XCLAIM option '%b'" % argv[at])
            at += 1
        # What lies in the future, or before 1970, comes from a wrong clock: no reason to fail.
        self.time_ms = time_ms if 0 <= time_ms <= now_ms else now_ms


@command(
    b"XCLAIM", arity=-6, group="stream", since="5.0.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(log N) with N being the number of messages in the PEL of the consumer group.",
    categories=_STREAM, tips=["nondeterministic_output"],
)  # fmt: skip
def xclaim(call: Call, argv: list[bytes]) -> bytes:
    """Makes pending entries those of another consumer; returns those it got."""
    stream, group = group_of(call, argv[1], argv[2])
    min_idle_ms = integer(argv[4], b"ERR Invalid min-idle-time argument for XCLAIM")
    ids: list[StreamId] = []
    for text in argv[5:]:
        id = parse_id(text)
        if id is None:
            break
        ids.append(id)
    options = _ClaimOptions(argv, 5 + len(ids), call.now_ms)
    moved = options.last_id > group.last_id
    if moved:
        group.last_id = options.last_id
    claims = _Claims(call, argv, stream, group, max(min_idle_ms, 0), options.just_id)
    for id in ids:
        delivery, entry = group.pending.get(id), stream.get(id)
        if entry is None:
            if delivery is not None:
                claims.forget(id, delivery)
        elif delivery is not None:
            claims.claim(id, delivery, entry, options.time_ms, options.count)
        elif options.force:
            claims.force(id, entry, options.time_ms, options.count)
    claims.tell(moved)
    return array(claims.replies)


@command(
    b"XAUTOCLAIM", arity=-6, group="stream", since="6.2.0", flags=WRITE | FAST, keys=[key(1, RW | DELETE)],
    complexity="O(1) if COUNT is small.", categories=_STREAM, tips=["nondeterministic_output"],
)  # fmt: skip
def xautoclaim(call: Call, argv: list[bytes]) -> bytes:
    """Makes entries that are pending for long those of another consumer; returns where to go on, the entries
    it got, and the ids of those that are deleted.
    """
    min_idle_ms = integer(argv[4], b"ERR Invalid min-idle-time argument for XAUTOCLAIM")
    start = low_id(argv[5])
    count, just_id = _COUNT, False
    at = 6
    while at < len(argv):
        word = argv[at].upper()
        if word == b"COUNT" and at + 1 < len(argv):
            at += 1
            count = within(argv[at], 1, _COUNT_MAX, b"ERR COUNT must be > 0")
        elif word == b"JUSTID":
            just_id = True
        else:
            raise syntax_error()
        at += 1
    stream, group = group_of(call, argv[1], argv[2])
    claims = _Claims(call, argv, stream, group, max(min_idle_ms, 0), just_id)
    gone: list[tuple[StreamId, Delivery]] = []
    following = MIN_ID
    for attempt, (id, delivery) in enumerate(group.pending_from(start)):
        if attempt == count * _ATTEMPTS or len(claims.replies) + len(gone) == count:
            following = id
            break
        entry = stream.get(id)
        if entry is None:
            gone.append((id, delivery))
        else:
            claims.claim(id, delivery, entry, call.now_ms)
    for id, delivery in gone:
        claims.forget(id, delivery)
    claims.tell()
    return array([id_reply(following), array(claims.replies), array([id_reply(id) for id, _ in gone])])
