"""Unions, intersections and differences of sorted sets; a plain set counts as one whose scores are all 1.

Sources are taken from the smallest to the largest, as Redis does: the order shows where floating-point sums
round, or are those of infinities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node.command.args import WRONG_TYPE, finite_float, integer, syntax_error, within
from node.command.call import Call
from node.command.keyspec import counted_keys, key
from node.command.spec import ACCESS, DENYOOM, OW, READONLY, RO, UPDATE, WRITE, command
from node.commands.access import store
from node.commands.zsets import ZSET, ZSET_CATEGORY, entries_reply
from node.errors import CommandError
from node.integers import INT64_MAX
from node.resp import encode
from node.values.ranking import Entry
from node.values.sets import Set
from node.values.zsets import Zset

Aggregate = Callable[[float, float], float]
Scores = dict[bytes, float]


def _sum(total: float, score: float) -> float:
    total += score
    return total if total == total else 0.0  # the sum of both infinities


# What is no number after its weight (0 times infinity) loses every comparison.
_AGGREGATES: dict[bytes, Aggregate] = {
    b"SUM": _sum,
    b"MIN": lambda total, score: score if score < total else total,
    b"MAX": lambda total, score: score if score > total else total,
}


class _Source:
    """A sorted set, a set, or nothing, with its weight."""

    __slots__ = ("value", "weight")

    def __init__(self, value: Zset | Set | None) -> None:
        self.value = value
        self.weight = 1.0

    def __len__(self) -> int:
        return 0 if self.value is None else len(self.value)

    def entries(self) -> Iterable[Entry]:
        value = self.value
        if value is None:
            return ()
        return value if isinstance(value, Zset) else [(1.0, member) for member in value]

    def score(self, member: bytes) -> float | None:
        value = self.value
        if isinstance(value, Zset):
            return value.score(member)
        return 1.0 if value is not None and member in value else None


class _Operands:
    """The sources of a request and the options behind them."""

    __slots__ = ("aggregate", "limit", "sources", "with_scores")

    def __init__(
        self, call: Call, argv: list[bytes], numkeys_at: int, title: bytes, words: Iterable[bytes]
    ) -> None:
        """`words` are the options that this command has. Raises CommandError."""
        numkeys = integer(argv[numkeys_at])
        if numkeys < 1:
            raise CommandError(b"ERR at least 1 input key is needed for '%b' command" % title)
        first = numkeys_at + 1
        if numkeys > len(argv) - first:
            raise syntax_error()
        self.sources = [_source(call, name) for name in argv[first : first + numkeys]]
        self.aggregate: Aggregate = _sum
        self.with_scores = False
        self.limit = 0
        self._options(argv[first + numkeys :], words)

    def _options(self, rest: list[bytes], words: Iterable[bytes]) -> None:
        at = 0
        while at < len(rest):
            word = rest[at].upper()
            left = len(rest) - at - 1
            at += 1
            if word not in words:
                raise syntax_error()
            if word == b"WEIGHTS" and left >= len(self.sources):
                for source in self.sources:
                    source.weight = finite_float(rest[at], b"ERR weight value is not a float")
                    at += 1
            elif word == b"AGGREGATE" and left and (aggregate := _AGGREGATES.get(rest[at].upper())):
                self.aggregate = aggregate
                at += 1
            elif word == b"WITHSCORES":
                self.with_scores = True
            elif word == b"LIMIT" and left:
                self.limit = within(rest[at], 0, INT64_MAX, b"ERR LIMIT can't be negative")
                at += 1
            else:
                raise syntax_error()

    def by_size(self) -> list[_Source]:
        return sorted(self.sources, key=len)


def _source(call: Call, name: bytes) -> _Source:
    value = call.read(name)
    if value is not None and not isinstance(value, (Zset, Set)):
        raise CommandError(WRONG_TYPE)
    return _Source(value)


# The operations


def _union(operands: _Operands) -> Scores:
    scores: Scores = {}
    aggregate = operands.aggregate
    for source in operands.by_size():
        weight = source.weight
        for score, member in source.entries():
            score = _weighted(score, weight)
            old = scores.get(member)
            scores[member] = score if old is None else aggregate(old, score)
    return scores


def _intersection(operands: _Operands) -> Scores:
    smallest, *others = operands.by_size()
    aggregate = operands.aggregate
    scores: Scores = {}
    for score, member in smallest.entries():
        total = _weighted(score, smallest.weight)
        for other in others:
            found = other.score(member)
            if found is None:
                break
            total = aggregate(total, found * other.weight)
        else:
            scores[member] = total
    return scores


def _weighted(score: float, weight: float) -> float:
    score *= weight
    return score if score == score else 0.0


def _difference(operands: _Operands) -> Scores:
    first, *others = operands.sources
    others = [other for other in others if len(other)]
    return {
        member: score
        for score, member in first.entries()
        if not any(other.score(member) is not None for other in others)
    }


_STORED_WORDS = frozenset((b"WEIGHTS", b"AGGREGATE"))
_WORDS = _STORED_WORDS | {b"WITHSCORES"}
_READ_KEYS = [counted_keys(1, RO | ACCESS)]
_STORE_KEYS = [key(1, OW | UPDATE), counted_keys(2, RO | ACCESS)]


def _reply(call: Call, operands: _Operands, scores: Scores) -> bytes:
    entries = sorted((score, member) for member, score in scores.items())
    return entries_reply(call.reply, entries, operands.with_scores)


def _store(call: Call, target: bytes, scores: Scores, event: bytes) -> bytes:
    value = Zset.from_entries(((score, member) for member, score in scores.items()), call.db.limits)
    return encode.integer(store(call, target, value, ZSET, event))


_UNION_COMPLEXITY = (
    "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of "
    "elements in the resulting sorted set."
)
_INTER_COMPLEXITY = (
    "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input "
    "sorted sets and M being the number of elements in the resulting sorted set."
)
_DIFF_COMPLEXITY = (
    "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of "
    "the first set, and K is the size of the result set."
)


@command(
    b"ZUNION", arity=-3, group="sorted-set", since="6.2.0", flags=READONLY, keys=_READ_KEYS,
    complexity=_UNION_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zunion(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of any of several sorted sets, with their scores added up."""
    operands = _Operands(call, argv, 1, b"zunion", _WORDS)
    return _reply(call, operands, _union(operands))


@command(
    b"ZUNIONSTORE", arity=-4, group="sorted-set", since="2.0.0", flags=WRITE | DENYOOM, keys=_STORE_KEYS,
    complexity="O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the "
    "number of elements in the resulting sorted set.",
    categories=ZSET_CATEGORY,
)  # fmt: skip
def zunionstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores what ZUNION would return as a sorted set; returns how many members it has."""
    return _store(
        call, argv[1], _union(_Operands(call, argv, 2, b"zunionstore", _STORED_WORDS)), b"zunionstore"
    )


@command(
    b"ZINTER", arity=-3, group="sorted-set", since="6.2.0", flags=READONLY, keys=_READ_KEYS,
    complexity=_INTER_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zinter(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members that several sorted sets have in common, with their scores added up."""
    operands = _Operands(call, argv, 1, b"zinter", _WORDS)
    return _reply(call, operands, _intersection(operands))


@command(
    b"ZINTERSTORE", arity=-4, group="sorted-set", since="2.0.0", flags=WRITE | DENYOOM, keys=_STORE_KEYS,
    complexity=_INTER_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zinterstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores what ZINTER would return as a sorted set; returns how many members it has."""
    operands = _Operands(call, argv, 2, b"zinterstore", _STORED_WORDS)
    return _store(call, argv[1], _intersection(operands), b"zinterstore")


@command(
    b"ZINTERCARD", arity=-3, group="sorted-set", since="7.0.0", flags=READONLY, keys=_READ_KEYS,
    complexity="O(N*K) worst case with N being the smallest input sorted set, K being the number of input "
    "sorted sets.",
    categories=ZSET_CATEGORY,
)  # fmt: skip
def zintercard(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members several sorted sets have in common, or that they are as many as a limit."""
    operands = _Operands(call, argv, 1, b"zintercard", (b"LIMIT",))
    smallest, *others = operands.by_size()
    count = 0
    for _, member in smallest.entries():
        if all(other.score(member) is not None for other in others):
            count += 1
            if count == operands.limit:
                break
    return encode.integer(count)


@command(
    b"ZDIFF", arity=-3, group="sorted-set", since="6.2.0", flags=READONLY, keys=_READ_KEYS,
    complexity=_DIFF_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zdiff(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of the first of several sorted sets that none of the others has."""
    operands = _Operands(call, argv, 1, b"zdiff", (b"WITHSCORES",))
    return _reply(call, operands, _difference(operands))


@command(
    b"ZDIFFSTORE", arity=-4, group="sorted-set", since="6.2.0", flags=WRITE | DENYOOM, keys=_STORE_KEYS,
    complexity=_DIFF_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zdiffstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores what ZDIFF would return as a sorted set; returns how many members it has."""
    return _store(call, argv[1], _difference(_Operands(call, argv, 2, b"zdiffstore", ())), b"zdiffstore")
