"""Commands of the group stream on entries. Reading many streams and waiting is in `streams_read.py`, consumer
groups are in `streams_groups.py`, XINFO is in `streams_info.py`.

What replicas are told: XADD with the id that the entry got, trimming always exactly, by what it left.
"""

from __future__ import annotations

from node.command.args import NO_SUCH_KEY, WRONG_TYPE, integer, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    command,
)
from node.commands.access import peek_own, read_own
from node.commands.streams_shared import (
    INVALID_ID,
    STREAM,
    entries_reply,
    exact_id,
    high_id,
    low_id,
)
from node.errors import CommandError
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, OK, ZERO, bulk
from node.values.streams import Stream
from node.values.streams_ids import (
    MAX_ID,
    MIN_ID,
    SEQ_MAX,
    StreamId,
    format_id,
    next_id,
    parse_id,
    parse_ms,
)
from node.values.streams_nodes import ENTRY_BYTES_MAX

_STREAM = ["stream"]
_LIMIT_MAX = 1_000_000
_LIMIT_WITHOUT_NODES = 10_000
_NODES_AT_ONCE = 100
_NOT_ABOVE = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"
_BOTH = b"ERR syntax error, MAXLEN and MINID options at the same time are not compatible"


class _Options:
    """What stands between the key of XADD or XTRIM and the id of the new entry, that id included.

    `at` is the position of the id, `id` the id when it is given whole, `ms` its milliseconds when the
    sequence is left open; with neither all of it is. `strategy` is MAXLEN or MINID, empty for no trimming,
    and `keep` the length or id behind it; `approximate` when whole nodes may stay, and then no more than
    `limit` entries go (0: no such limit).
    """

    __slots__ = ("approximate", "at", "create", "id", "keep", "limit", "ms", "strategy")

    def __init__(self) -> None:
        self.at = 2
        self.id: StreamId | None = None
        self.ms: int | None = None
        self.create = True
        self.strategy = b""
        self.keep = 0
        self.approximate = False
        self.limit: int | None = None

    def trim(self, stream: Stream) -> int:
        """Trims, and returns how many entries went."""
        limit, whole_nodes = self.limit or 0, self.approximate
        if self.strategy == b"MAXLEN":
            return stream.trim_to_length(self.keep, limit=limit, whole_nodes=whole_nodes)
        return stream.trim_below(self.keep, limit=limit, whole_nodes=whole_nodes)

    def told(self, stream: Stream) -> list[bytes]:
        """The words by which others trim to what is here."""
        if self.strategy == b"MAXLEN":
            return [self.strategy, b"=", b"%d" % stream.length]
        return [self.strategy, b"=", format_id(stream.first_id if stream.length else MAX_ID)]


_NO_OPTIONS = _Options()


def _parse(call: Call, argv: list[bytes], adding: bool) -> _Options:
    """Raises CommandError."""
    options = _Options()
    at = 2
    while at < len(argv) and not (adding and argv[at] == b"*"):
        word, more = argv[at].upper(), len(argv) - at - 1
        if word in (b"MAXLEN", b"MINID") and more:
            at = _parse_strategy(options, argv, at)
        elif word == b"LIMIT" and more:
            at += 1
            options.limit = integer(argv[at])
            if options.limit < 0:
                raise CommandError(b"ERR The LIMIT argument must be >= 0.")
        elif not adding:
            raise syntax_error()
        elif word == b"NOMKSTREAM":
            options.create = False
        else:
            _parse_new_id(options, argv[at])
            break
        at += 1
    options.at = at
    if options.limit and not options.strategy:
        raise CommandError(b"ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
    if not adding and not options.strategy:
        raise CommandError(b"ERR syntax error, XTRIM must be called with a trimming strategy")
    _settle_limit(call, options)
    return options


def _parse_strategy(options: _Options, argv: list[bytes], at: int) -> int:
    """MAXLEN or MINID at `at`; returns the position of its last word."""
    if options.strategy:
        raise CommandError(_BOTH)
    options.strategy = argv[at].upper()
    at += 1
    if argv[at] in (b"~", b"=") and at + 1 < len(argv):
        options.approximate = argv[at] == b"~"
        at += 1
    if options.strategy == b"MINID":
        options.keep = exact_id(argv[at])
        return at
    options.keep = integer(argv[at])
    if options.keep < 0:
        raise CommandError(b"ERR The MAXLEN argument must be >= 0.")
    return at


def _parse_new_id(options: _Options, text: bytes) -> None:
    options.ms = parse_ms(text)
    if options.ms is None:
        options.id = parse_id(text)
        if options.id is None:
            raise CommandError(INVALID_ID)


def _settle_limit(call: Call, options: _Options) -> None:
    """Unless a limit is given, so many nodes may go at once that it does not take long."""
    if call.session.from_primary:
        options.limit = 0  # what it tells us to trim it has trimmed itself
    elif options.limit is not None:
        if not options.approximate:
            raise CommandError(b"ERR syntax error, LIMIT cannot be used without the special ~ option")
    elif options.approximate:
        entries = call.db.limits.stream_node_max_entries
        options.limit = min(_NODES_AT_ONCE * entries or _LIMIT_WITHOUT_NODES, _LIMIT_MAX)


# Adding and removing


@command(
    b"XADD", arity=-5, group="stream", since="5.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE, "UPDATE instead of INSERT because of the optional trimming feature")],
    complexity="O(1) when adding a new entry, O(N) when trimming where N being the number of entries "
    "evicted.",
    categories=_STREAM, tips=["nondeterministic_output"],
)  # fmt: skip
def xadd(call: Call, argv: list[bytes]) -> bytes:
    """Adds an entry to a stream and returns its id; creates the stream when there is none."""
    name = argv[1]
    options = _NO_OPTIONS if argv[2] == b"*" else _parse(call, argv, adding=True)
    items = argv[options.at + 1 :]
    if not items or len(items) & 1:
        raise CommandError(b"ERR wrong number of arguments for 'xadd' command")
    if options.id == MIN_ID:
        raise CommandError(b"ERR The ID specified in XADD must be greater than 0-0")
    db = call.db
    stream = db.peek(name, call.slot, call.now_ms)
    if stream is None:
        if not options.create:
            return call.reply.null
    elif type(stream) is not Stream:
        raise CommandError(WRONG_TYPE)
    id = _new_id(options, MIN_ID if stream is None else stream.last_id, call.now_ms)
    text_bytes = len(items[0]) + len(items[1]) if len(items) == 2 else sum(map(len, items))
    if text_bytes > ENTRY_BYTES_MAX:
        raise CommandError(b"ERR Elements are too large to be stored")
    if stream is None:
        stream = Stream()
        db.put(name, call.slot, stream)
    stream.append(id, items, text_bytes, db.limits)
    changes, text = call.changes, format_id(id)
    changes.log.append((STREAM, b"xadd", name, db.index))
    if options.strategy and options.trim(stream):
        call.changed(STREAM, b"xtrim", name)
    if options.approximate:
        call.rewrite([b"XADD", name, *options.told(stream), text, *items])
    elif options.id is None and changes.tellers:
        told = argv.copy()
        told[options.at] = text
        changes.rewritten = [(db.index, told)]
    return bulk(text)


def _new_id(options: _Options, last: StreamId, now_ms: int) -> StreamId:
    """The id of an entry added behind `last`. Raises CommandError when it cannot be added."""
    if last == MAX_ID:
        raise CommandError(b"ERR The stream has exhausted the last possible ID, unable to add more items")
    ms = options.ms
    if options.id is not None:
        id = options.id
    elif ms is None:
        return next_id(last, now_ms)
    elif ms != last >> 64:
        id = ms << 64
    elif last & SEQ_MAX == SEQ_MAX:
        raise CommandError(_NOT_ABOVE)
    else:
        id = last + 1
    if id <= last:
        raise CommandError(_NOT_ABOVE)
    return id


@command(
    b"XTRIM", arity=-4, group="stream", since="5.0.0", flags=WRITE, keys=[key(1, RW | DELETE)],
    complexity="O(N), with N being the number of evicted entries. Constant times are very small however, "
    "since entries are organized in macro nodes containing multiple entries that can be released with a "
    "single deallocation.",
    categories=_STREAM, tips=["nondeterministic_output"],
)  # fmt: skip
def xtrim(call: Call, argv: list[bytes]) -> bytes:
    """Removes the oldest entries of a stream, beyond a length or below an id; returns how many."""
    name = argv[1]
    options = _parse(call, argv, adding=False)
    stream = peek_own(call, name, Stream)
    if stream is None:
        return ZERO
    removed = options.trim(stream)
    if removed:
        call.changed(STREAM, b"xtrim", name)
        if options.approximate:
            call.rewrite([b"XTRIM", name, *options.told(stream)])
    return encode.integer(removed)


@command(
    b"XDEL", arity=-3, group="stream", since="5.0.0", flags=WRITE | FAST, keys=[key(1, RW | DELETE)],
    complexity="O(1) for each single item to delete in the stream, regardless of the stream size.",
    categories=_STREAM,
)  # fmt: skip
def xdel(call: Call, argv: list[bytes]) -> bytes:
    """Removes entries from a stream by their ids; returns how many there were."""
    name = argv[1]
    stream = peek_own(call, name, Stream)
    if stream is None:
        return ZERO
    ids = [exact_id(text) for text in argv[2:]]
    removed = sum([stream.remove(id) for id in ids])
    if removed:
        call.changed(STREAM, b"xdel", name)
    return encode.integer(removed)


@command(
    b"XSETID", arity=-3, group="stream", since="5.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], complexity="O(1)", categories=_STREAM,
)  # fmt: skip
def xsetid(call: Call, argv: list[bytes]) -> bytes:
    """Sets the last id of a stream and its counts; for replication and copies."""
    name, id = argv[1], exact_id(argv[2])
    entries_added, max_deleted_id = _parse_counts(argv, id)
    stream = peek_own(call, name, Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    if id < stream.max_deleted_id:
        raise CommandError(b"ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if stream.length:
        if id < stream.last_entry_id():
            raise CommandError(b"ERR The ID specified in XSETID is smaller than the target stream top item")
        if entries_added is not None and entries_added < stream.length:
            raise CommandError(
                b"ERR The entries_added specified in XSETID is smaller than the target stream length"
            )
    stream.last_id = id
    if entries_added is not None:
        stream.entries_added = entries_added
    if max_deleted_id:
        stream.max_deleted_id = max_deleted_id
    call.changed(STREAM, b"xsetid", name)
    return OK


def _parse_counts(argv: list[bytes], id: StreamId) -> tuple[int | None, StreamId]:
    """ENTRIESADDED and MAXDELETEDID of XSETID. Raises CommandError."""
    entries_added, max_deleted_id = None, MIN_ID
    for at in range(3, len(argv), 2):
        word = argv[at].upper()
        if at + 1 == len(argv) or word not in (b"ENTRIESADDED", b"MAXDELETEDID"):
            raise syntax_error()
        if word == b"ENTRIESADDED":
            entries_added = integer(argv[at + 1])
            if entries_added < 0:
                raise CommandError(b"ERR entries_added must be positive")
        else:
            max_deleted_id = exact_id(argv[at + 1])
            if id < max_deleted_id:
                raise CommandError(
                    b"ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                )
    return entries_added, max_deleted_id


# Reading one stream


@command(
    b"XLEN", arity=2, group="stream", since="5.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=_STREAM,
)  # fmt: skip
def xlen(call: Call, argv: list[bytes]) -> bytes:
    """Returns the number of entries in a stream."""
    stream = read_own(call, argv[1], Stream)
    return ZERO if stream is None else encode.integer(stream.length)


@command(
    b"XRANGE", arity=-4, group="stream", since="5.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) with N being the number of elements being returned. If N is constant (e.g. always "
    "asking for the first 10 elements with COUNT), you can consider it O(1).",
    categories=_STREAM,
)  # fmt: skip
def xrange_(call: Call, argv: list[bytes]) -> bytes:
    """Returns the entries of a stream within a range of ids."""
    low = low_id(argv[2])
    return _range(call, argv, low, high_id(argv[3]), reverse=False)


@command(
    b"XREVRANGE", arity=-4, group="stream", since="5.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) with N being the number of elements returned. If N is constant (e.g. always asking for "
    "the first 10 elements with COUNT), you can consider it O(1).",
    categories=_STREAM,
)  # fmt: skip
def xrevrange(call: Call, argv: list[bytes]) -> bytes:
    """Returns the entries of a stream within a range of ids, the last one first."""
    low = low_id(argv[3])
    return _range(call, argv, low, high_id(argv[2]), reverse=True)


def _range(call: Call, argv: list[bytes], low: StreamId, high: StreamId, reverse: bool) -> bytes:
    count: int | None = None
    for at in range(4, len(argv), 2):
        if argv[at].upper() != b"COUNT" or at + 1 == len(argv):
            raise syntax_error()
        count = integer(argv[at + 1])
    stream = read_own(call, argv[1], Stream)
    if stream is None:
        return EMPTY_ARRAY
    if count is not None and count <= 0:
        return call.reply.null_array
    return entries_reply(stream.entries(low, high, count, reverse=reverse))
