"""Commands of the group sorted-set on single members. Ranges are in `zsets_range.py`, unions and their kin in
`zsets_algebra.py`, what takes the first or last entries in `zsets_pop.py`.

A sorted set whose last member goes takes its key with it. Replicas are told these commands as they came.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from node.command.args import WRONG_TYPE, finite_float, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import ACCESS, DELETE, DENYOOM, FAST, READONLY, RO, RW, UPDATE, WRITE, command
from node.commands.access import check_repeats, drop_if_empty, peek_own, random_count, read_own
from node.commands.scan import ScanOptions, cursor_argument
from node.errors import CommandError
from node.integers import INT64_MAX
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, ONE, ZERO, Encoder, array, bulk, bulks, format_double
from node.values.limits import Limits
from node.values.ranking import Entry
from node.values.zsets import ADDED, SAME, Zset

ZSET = EventClass.ZSET
ZSET_CATEGORY = ["sortedset"]
_RNG = random.Random()
_EXACT_DIGITS = 15


def entries_reply(reply: Encoder, entries: Sequence[Entry], with_scores: bool) -> bytes:
    """Members, with their scores behind them in RESP2, in pairs with them in RESP3."""
    if not with_scores:
        return bulks([member for _, member in entries])
    if reply.version > 2:
        return pairs_reply(reply, entries)
    return array([part for score, member in entries for part in (bulk(member), reply.double(score))])


def pairs_reply(reply: Encoder, entries: Sequence[Entry]) -> bytes:
    """Members in pairs with their scores."""
    return array([b"*2\r\n" + bulk(member) + reply.double(score) for score, member in entries])


# ZADD

_NX, _XX, _GT, _LT, _CH, _INCR = (1 << bit for bit in range(6))
_ZADD_WORDS = {b"NX": _NX, b"XX": _XX, b"GT": _GT, b"LT": _LT, b"CH": _CH, b"INCR": _INCR}


@command(
    b"ZADD", arity=-4, group="sorted-set", since="1.2.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], categories=ZSET_CATEGORY,
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted set.",
)  # fmt: skip
def zadd(call: Call, argv: list[bytes]) -> bytes:
    """Adds members with scores to a sorted set, or changes the scores of those that are there."""
    limits = call.db.limits
    if len(argv) == 4 and argv[2][:1] <= b"9" and limits.zset_max_listpack_entries:
        text = argv[2]
        score = float(text) if text.isdigit() and len(text) <= _EXACT_DIGITS else finite_float(text)
        return _add_one(call, argv[1], score, argv[3], limits)
    return _add(call, argv, 0)


def _add_one(call: Call, name: bytes, score: float, member: bytes, limits: Limits) -> bytes:
    """What nearly all ZADDs are: one member, no options."""
    db = call.db
    value = db.peek(name, call.slot, call.now_ms)
    if type(value) is not Zset:
        if value is not None:
            raise CommandError(WRONG_TYPE)
        value = Zset.create(1, len(member), limits)
        db.put(name, call.slot, value)
    outcome = value.set(member, score, limits)
    if outcome != SAME:
        call.changes.log.append((ZSET, b"zadd", name, db.index))
    return ONE if outcome == ADDED else ZERO


@command(
    b"ZINCRBY", arity=4, group="sorted-set", since="1.2.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], categories=ZSET_CATEGORY,
    complexity="O(log(N)) where N is the number of elements in the sorted set.",
)  # fmt: skip
def zincrby(call: Call, argv: list[bytes]) -> bytes:
    """Adds to the score of a member of a sorted set; one that is not there has 0."""
    return _add(call, argv, _INCR)


def _add(call: Call, argv: list[bytes], flags: int) -> bytes:
    at = 2
    while at < len(argv) and (flag := _ZADD_WORDS.get(argv[at].upper())):
        flags |= flag
        at += 1
    count = len(argv) - at
    if not count or count % 2:
        raise syntax_error()
    if flags:
        _check_options(flags, count // 2)
    scores = [finite_float(text) for text in argv[at::2]]
    name, db = argv[1], call.db
    value = peek_own(call, name, Zset)
    if value is None:
        if flags & _XX:
            return call.reply.null if flags & _INCR else ZERO
        value = Zset.create(len(scores), len(argv[at + 1]), db.limits)
        db.put(name, call.slot, value)
    else:
        value.reserve(len(scores), db.limits)
    if flags & _INCR:
        return _increment(call, name, value, scores[0], argv[at + 1], flags)
    added, changed = _set_all(call, value, scores, argv[at + 1 :: 2], flags)
    if added or changed:
        call.changes.log.append((ZSET, b"zadd", name, db.index))
    return encode.integer(added + changed if flags & _CH else added)


def _check_options(flags: int, count: int) -> None:
    """Raises CommandError for options that exclude each other."""
    if flags & _NX and flags & _XX:
        raise CommandError(b"ERR XX and NX options at the same time are not compatible")
    if (flags & (_NX | _GT | _LT)).bit_count() > 1:
        raise CommandError(b"ERR GT, LT, and/or NX options at the same time are not compatible")
    if flags & _INCR and count > 1:
        raise CommandError(b"ERR INCR option supports a single increment-element pair")


def _set_all(
    call: Call, value: Zset, scores: list[float], members: list[bytes], flags: int
) -> tuple[int, int]:
    """How many members have been added, and how many other scores have been changed."""
    added = changed = 0
    limits = call.db.limits
    conditional = flags & ~_CH
    for score, member in zip(scores, members, strict=True):
        if conditional and not _wanted(value.score(member), score, flags):
            continue
        outcome = value.set(member, score, limits)
        if outcome == ADDED:
            added += 1
        elif outcome != SAME:
            changed += 1
    return added, changed


def _wanted(old: float | None, score: float, flags: int) -> bool:
    """Whether a member that has the score `old` (None: is not there) is to get another."""
    if old is None:
        return not flags & _XX
    return not (flags & _NX or (flags & _GT and score <= old) or (flags & _LT and score >= old))


def _increment(call: Call, name: bytes, value: Zset, increment: float, member: bytes, flags: int) -> bytes:
    old = value.score(member)
    score = increment if old is None else old + increment
    if old is not None and flags & _NX:
        return call.reply.null
    if score != score:
        raise CommandError(b"ERR resulting score is not a number (NaN)")
    if not _wanted(old, score, flags):
        return call.reply.null
    if value.set(member, score, call.db.limits) != SAME:
        call.changed(ZSET, b"zincr", name)
    return call.reply.double(score)


# Members


@command(
    b"ZREM", arity=-3, group="sorted-set", since="1.2.0", flags=WRITE | FAST, keys=[key(1, RW | DELETE)],
    complexity="O(M*log(N)) with N being the number of elements in the sorted set and M the number of "
    "elements to be removed.",
    categories=ZSET_CATEGORY,
)  # fmt: skip
def zrem(call: Call, argv: list[bytes]) -> bytes:
    """Removes members from a sorted set; returns how many there were."""
    value = peek_own(call, argv[1], Zset)
    if value is None:
        return ZERO
    removed = sum(value.remove(member) for member in argv[2:])
    if removed:
        call.changed(ZSET, b"zrem", argv[1])
        drop_if_empty(call, argv[1], value)
    return encode.integer(removed)


@command(
    b"ZCARD", arity=2, group="sorted-set", since="1.2.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=ZSET_CATEGORY,
)  # fmt: skip
def zcard(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members a sorted set has, 0 when there is none."""
    value = read_own(call, argv[1], Zset)
    return ZERO if value is None else encode.integer(len(value))


@command(
    b"ZSCORE", arity=3, group="sorted-set", since="1.2.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(1)", categories=ZSET_CATEGORY,
)  # fmt: skip
def zscore(call: Call, argv: list[bytes]) -> bytes:
    """Returns the score of a member of a sorted set."""
    value = read_own(call, argv[1], Zset)
    score = None if value is None else value.score(argv[2])
    return call.reply.null if score is None else call.reply.double(score)


@command(
    b"ZMSCORE", arity=-3, group="sorted-set", since="6.2.0", flags=READONLY | FAST,
    keys=[key(1, RO | ACCESS)], categories=ZSET_CATEGORY,
    complexity="O(N) where N is the number of members being requested.",
)  # fmt: skip
def zmscore(call: Call, argv: list[bytes]) -> bytes:
    """Returns the scores of members of a sorted set; null for one that is not there."""
    value = read_own(call, argv[1], Zset)
    reply = call.reply
    scores = [None if value is None else value.score(member) for member in argv[2:]]
    return array([reply.null if score is None else reply.double(score) for score in scores])


def _rank(call: Call, argv: list[bytes], title: bytes, reverse: bool) -> bytes:
    if len(argv) > 4:
        raise CommandError(b"ERR wrong number of arguments for '%b' command" % title)
    with_score = len(argv) == 4
    if with_score and argv[3].upper() != b"WITHSCORE":
        raise syntax_error()
    value = read_own(call, argv[1], Zset)
    rank = None if value is None else value.rank(argv[2])
    if value is None or rank is None:
        return call.reply.null_array if with_score else call.reply.null
    number = encode.integer(len(value) - 1 - rank if reverse else rank)
    if not with_score:
        return number
    return array([number, call.reply.double(value.slice(rank, rank + 1)[0][0])])


@command(
    b"ZRANK", arity=-3, group="sorted-set", since="2.0.0", flags=READONLY | FAST,
    keys=[key(1, RO | ACCESS)], complexity="O(log(N))", categories=ZSET_CATEGORY,
)  # fmt: skip
def zrank(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members of a sorted set come before one, by score."""
    return _rank(call, argv, b"zrank", reverse=False)


@command(
    b"ZREVRANK", arity=-3, group="sorted-set", since="2.0.0", flags=READONLY | FAST,
    keys=[key(1, RO | ACCESS)], complexity="O(log(N))", categories=ZSET_CATEGORY,
)  # fmt: skip
def zrevrank(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members of a sorted set come after one, by score."""
    return _rank(call, argv, b"zrevrank", reverse=True)


# Any members


@command(
    b"ZRANDMEMBER", arity=-2, group="sorted-set", since="6.2.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the number of members returned", categories=ZSET_CATEGORY,
    tips=["nondeterministic_output"],
)  # fmt: skip
def zrandmember(call: Call, argv: list[bytes]) -> bytes:
    """Returns random members of a sorted set: different ones, or with a negative count any."""
    if len(argv) == 2:
        value = read_own(call, argv[1], Zset)
        return call.reply.null if value is None else bulk(value.random_entry(_RNG)[1])
    count = random_count(argv[2])
    with_scores = len(argv) == 4 and argv[3].upper() == b"WITHSCORES"
    if len(argv) > 3 and not with_scores:
        raise syntax_error()
    if with_scores and abs(count) > INT64_MAX // 2:
        raise CommandError(b"ERR value is out of range")
    value = read_own(call, argv[1], Zset)
    if value is None or not count:
        return EMPTY_ARRAY
    if count > 0:
        return entries_reply(call.reply, value.sample(_RNG, count), with_scores)
    check_repeats(-count)
    return entries_reply(call.reply, value.random_entries(_RNG, -count), with_scores)


@command(
    b"ZSCAN", arity=-3, group="sorted-set", since="2.8.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    categories=ZSET_CATEGORY, tips=["nondeterministic_output"],
)  # fmt: skip
def zscan(call: Call, argv: list[bytes]) -> bytes:
    """Returns some of the members of a sorted set with their scores, and the cursor to go on with."""
    cursor = cursor_argument(argv[2])
    value = read_own(call, argv[1], Zset)
    if value is None:
        return array([bulk(b"0"), EMPTY_ARRAY])
    options = ScanOptions(argv[3:])
    cursor, entries = value.scan(cursor, options.count)
    if options.matches is not None:
        matches = options.matches
        entries = [entry for entry in entries if matches(entry[1])]
    # Redis prints the scores of a skiplist with all digits here, 0.1 as 0.10000000000000001.
    text = _all_digits if value.encoding() == b"skiplist" else format_double
    return array(
        [bulk(b"%d" % cursor), bulks([part for score, member in entries for part in (member, text(score))])]
    )


def _all_digits(score: float) -> bytes:
    return b"%.17g" % score
