"""Commands of the group sorted-set on ranges: of ranks, of scores, of members.

A range is worked out as a span of ranks (`node.values.zsets`), for returning, storing, counting and removing
alike. Bounds of scores are read as C's strtod reads them, which is more lenient than for other numbers.

Source: the pages of these commands; t_zset.c of Redis 7.2 for what counts as a bound.
"""

from __future__ import annotations

from collections.abc import Callable

from node.command.args import c_float, integer, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    OW,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    command,
)
from node.commands.access import drop_if_empty, peek_own, read_at, read_own, store
from node.commands.zsets import ZSET, ZSET_CATEGORY, entries_reply
from node.errors import CommandError
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, ZERO
from node.values.zsets import NO_MEMBERS, LexRange, ScoreRange, Span, Zset, narrow

FindSpan = Callable[[Zset], Span]

_NOT_SCORE = b"ERR min or max is not a float"
_NOT_LEX = b"ERR min or max not valid string range item"
_LIMIT_ALONE = b"ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
_SCORES_BYLEX = b"ERR syntax error, WITHSCORES not supported in combination with BYLEX"
_SPACE = b" \t\n\v\f\r"


# Bounds


def score_range(low: bytes, high: bytes) -> ScoreRange:
    """Two bounds of scores; one behind `(` is not in the range itself. Raises CommandError."""
    low_open, high_open = low.startswith(b"("), high.startswith(b"(")
    return ScoreRange(_score(low[low_open:]), _score(high[high_open:]), low_open, high_open)


def _score(text: bytes) -> float:
    text = text.partition(b"\0")[0]
    score = c_float(text.lstrip(_SPACE)) if text else 0.0
    if score is None:
        raise CommandError(_NOT_SCORE)
    return score


def lex_range(low: bytes, high: bytes) -> LexRange:
    """Two bounds of members: `[m`, `(m` for one that is not in the range itself, `-` and `+` for none.

    Raises CommandError.
    """
    if not (_is_lex(low) and _is_lex(high)):
        raise CommandError(_NOT_LEX)
    if low == b"+" or high == b"-":
        return NO_MEMBERS
    return LexRange(
        None if low == b"-" else low[1:],
        None if high == b"+" else high[1:],
        low.startswith(b"("),
        high.startswith(b"("),
    )


def _is_lex(text: bytes) -> bool:
    return text in (b"-", b"+") or text.startswith((b"[", b"("))


def _by_rank(first: bytes, last: bytes, reverse: bool) -> FindSpan:
    start, stop = integer(first), integer(last)
    return lambda value: value.rank_span(start, stop, reverse=reverse)


def _by_score(low: bytes, high: bytes) -> FindSpan:
    scores = score_range(low, high)
    return lambda value: value.score_span(scores)


def _by_lex(low: bytes, high: bytes) -> FindSpan:
    members = lex_range(low, high)
    return lambda value: value.lex_span(members)


# Returning and storing


class _Range:
    """What ZRANGE and its kin are asked for: `[BYSCORE|BYLEX] [REV] [WITHSCORES] [LIMIT offset count]`."""

    __slots__ = ("by", "count", "offset", "reverse", "span", "with_scores")

    def __init__(self, words: list[bytes], by: bytes, reverse: bool, free: bool, store: bool) -> None:
        """`words` are the bounds and what follows; only where `free` do options say by what to range and in
        which direction, only where not `store` may scores be asked for. Raises CommandError.
        """
        self.by = by
        self.reverse = reverse
        self.with_scores = False
        self.offset, self.count = 0, -1
        rest = iter(words[2:])
        left = len(words) - 2
        for argument in rest:
            left -= 1
            word = argument.upper()
            if word == b"WITHSCORES" and not store:
                self.with_scores = True
            elif word == b"LIMIT" and left >= 2:
                self.offset, self.count = integer(next(rest)), integer(next(rest))
                left -= 2
            elif free and word == b"REV" and not self.reverse:
                self.reverse = True
            elif free and word in (b"BYSCORE", b"BYLEX") and not self.by:
                self.by = word
            else:
                raise syntax_error()
        self._check()
        self.span = self._find(words[0], words[1])

    def _check(self) -> None:
        if self.by in (b"BYRANK", b"") and self.count != -1:
            raise CommandError(_LIMIT_ALONE)
        if self.by == b"BYLEX" and self.with_scores:
            raise CommandError(_SCORES_BYLEX)

    def _find(self, low: bytes, high: bytes) -> FindSpan:
        if self.by in (b"BYRANK", b""):
            return _by_rank(low, high, self.reverse)
        if self.reverse:
            low, high = high, low
        find = _by_score(low, high) if self.by == b"BYSCORE" else _by_lex(low, high)
        if self.offset == 0 and self.count < 0:
            return find
        return lambda value: narrow(find(value), self.offset, self.count, reverse=self.reverse)


def _reply(call: Call, name: bytes, wanted: _Range) -> bytes:
    value = read_own(call, name, Zset)
    if value is None:
        return EMPTY_ARRAY
    start, stop = wanted.span(value)
    entries = value.slice(start, stop, reverse=wanted.reverse)
    return entries_reply(call.reply, entries, wanted.with_scores)


_RANGE_COMPLEXITY = (
    "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned."
)
_LIMITED_COMPLEXITY = (
    "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being "
    "returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider "
    "it O(log(N))."
)
_READ_KEYS = [key(1, RO | ACCESS)]


@command(
    b"ZRANGE", arity=-4, group="sorted-set", since="1.2.0", flags=READONLY, keys=_READ_KEYS,
    complexity=_RANGE_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zrange(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a sorted set in a range of ranks, scores or members."""
    return _reply(call, argv[1], _Range(argv[2:], b"", reverse=False, free=True, store=False))


@command(
    b"ZREVRANGE", arity=-4, group="sorted-set", since="1.2.0", flags=READONLY, keys=_READ_KEYS,
    complexity=_RANGE_COMPLEXITY, categories=ZSET_CATEGORY, deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `REV` argument",
)  # fmt: skip
def zrevrange(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a sorted set in a range of ranks, counted from the greatest score."""
    return _reply(call, argv[1], _Range(argv[2:], b"BYRANK", reverse=True, free=False, store=False))


@command(
    b"ZRANGEBYSCORE", arity=-4, group="sorted-set", since="1.0.5", flags=READONLY, keys=_READ_KEYS,
    complexity=_LIMITED_COMPLEXITY, categories=ZSET_CATEGORY, deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `BYSCORE` argument",
)  # fmt: skip
def zrangebyscore(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a sorted set in a range of scores."""
    return _reply(call, argv[1], _Range(argv[2:], b"BYSCORE", reverse=False, free=False, store=False))


@command(
    b"ZREVRANGEBYSCORE", arity=-4, group="sorted-set", since="2.2.0", flags=READONLY, keys=_READ_KEYS,
    complexity=_LIMITED_COMPLEXITY, categories=ZSET_CATEGORY, deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `REV` and `BYSCORE` arguments",
)  # fmt: skip
def zrevrangebyscore(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a sorted set in a range of scores, the greatest first."""
    return _reply(call, argv[1], _Range(argv[2:], b"BYSCORE", reverse=True, free=False, store=False))


@command(
    b"ZRANGEBYLEX", arity=-4, group="sorted-set", since="2.8.9", flags=READONLY, keys=_READ_KEYS,
    complexity=_LIMITED_COMPLEXITY, categories=ZSET_CATEGORY, deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `BYLEX` argument",
)  # fmt: skip
def zrangebylex(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a sorted set of one score in a range of members."""
    return _reply(call, argv[1], _Range(argv[2:], b"BYLEX", reverse=False, free=False, store=False))


@command(
    b"ZREVRANGEBYLEX", arity=-4, group="sorted-set", since="2.8.9", flags=READONLY, keys=_READ_KEYS,
    complexity=_LIMITED_COMPLEXITY, categories=ZSET_CATEGORY, deprecated_since="6.2.0",
    replaced_by="`ZRANGE` with the `REV` and `BYLEX` arguments",
)  # fmt: skip
def zrevrangebylex(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of a sorted set of one score in a range of members, the last first."""
    return _reply(call, argv[1], _Range(argv[2:], b"BYLEX", reverse=True, free=False, store=False))


@command(
    b"ZRANGESTORE", arity=-5, group="sorted-set", since="6.2.0", flags=WRITE | DENYOOM,
    keys=[key(1, OW | UPDATE), key(2, RO | ACCESS)], categories=ZSET_CATEGORY,
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements stored into the destination key.",
)  # fmt: skip
def zrangestore(call: Call, argv: list[bytes]) -> bytes:
    """Stores the members that ZRANGE would return as another sorted set; returns how many they are."""
    wanted = _Range(argv[3:], b"", reverse=False, free=True, store=True)
    value = read_at(call, argv[2], Zset)
    found = [] if value is None else value.slice(*wanted.span(value))
    stored = Zset.from_entries(found, call.db.limits)
    return encode.integer(store(call, argv[1], stored, ZSET, b"zrangestore"))


# Counting and removing


@command(
    b"ZCOUNT", arity=4, group="sorted-set", since="2.0.0", flags=READONLY | FAST, keys=_READ_KEYS,
    complexity="O(log(N)) with N being the number of elements in the sorted set.", categories=ZSET_CATEGORY,
)  # fmt: skip
def zcount(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members of a sorted set are in a range of scores."""
    return _count(call, argv[1], _by_score(argv[2], argv[3]))


@command(
    b"ZLEXCOUNT", arity=4, group="sorted-set", since="2.8.9", flags=READONLY | FAST, keys=_READ_KEYS,
    complexity="O(log(N)) with N being the number of elements in the sorted set.", categories=ZSET_CATEGORY,
)  # fmt: skip
def zlexcount(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members of a sorted set of one score are in a range of members."""
    return _count(call, argv[1], _by_lex(argv[2], argv[3]))


def _count(call: Call, name: bytes, find: FindSpan) -> bytes:
    value = read_own(call, name, Zset)
    if value is None:
        return ZERO
    start, stop = find(value)
    return encode.integer(stop - start)


_REMOVE_COMPLEXITY = (
    "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed "
    "by the operation."
)
_REMOVE_KEYS = [key(1, RW | DELETE)]


@command(
    b"ZREMRANGEBYRANK", arity=4, group="sorted-set", since="2.0.0", flags=WRITE, keys=_REMOVE_KEYS,
    complexity=_REMOVE_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zremrangebyrank(call: Call, argv: list[bytes]) -> bytes:
    """Removes the members of a sorted set in a range of ranks; returns how many there were."""
    return _remove(call, argv[1], _by_rank(argv[2], argv[3], reverse=False), b"zremrangebyrank")


@command(
    b"ZREMRANGEBYSCORE", arity=4, group="sorted-set", since="1.2.0", flags=WRITE, keys=_REMOVE_KEYS,
    complexity=_REMOVE_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zremrangebyscore(call: Call, argv: list[bytes]) -> bytes:
    """Removes the members of a sorted set in a range of scores; returns how many there were."""
    return _remove(call, argv[1], _by_score(argv[2], argv[3]), b"zremrangebyscore")


@command(
    b"ZREMRANGEBYLEX", arity=4, group="sorted-set", since="2.8.9", flags=WRITE, keys=_REMOVE_KEYS,
    complexity=_REMOVE_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zremrangebylex(call: Call, argv: list[bytes]) -> bytes:
    """Removes the members of a sorted set of one score in a range of members; returns how many there were."""
    return _remove(call, argv[1], _by_lex(argv[2], argv[3]), b"zremrangebylex")


def _remove(call: Call, name: bytes, find: FindSpan, event: bytes) -> bytes:
    value = peek_own(call, name, Zset)
    if value is None:
        return ZERO
    removed = value.remove_slice(*find(value))
    if removed:
        call.changed(ZSET, event, name)
        drop_if_empty(call, name, value)
    return encode.integer(len(removed))
