"""Sorted set values: members with scores, in the order of (score, member).

A sorted set of few short members is two parallel sequences in that order: the members in one packed `bytes`
(`packed.py`) and the scores in an array. A member is found by one `bytes.find`, its rank is the number of
separators before it, a score's place a binary search. Beyond the limits a table finds the score of a member
and a `Ranking` everything that has to do with order, in O(log n). It never goes back.

Ranges are spans of ranks, `(start, stop)` with `stop` excluded: `rank_span`, `score_span` and `lex_span` find
one, `narrow` applies LIMIT, `slice` and `remove_slice` take what is in it, and its width is what ZCOUNT asks
for. Scores are never NaN; -0.0 equals 0.0 and is kept as it came by a table, while the packed form, like
Redis's listpack, makes it 0.0.

Source: the pages of the sorted set commands; t_zset.c of Redis 7.2 for when encodings change.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random
from typing import ClassVar, NamedTuple, TypeAlias

from node.values import packed, split_dict
from node.values.limits import Limits
from node.values.packed import SEPARATOR, escape
from node.values.ranking import Entry, Ranking
from node.values.split_dict import BUCKET_KEYS, SplitDict, Table

Span: TypeAlias = tuple[int, int]
"""Ranks from the first to before the second."""

SAME = 0
ADDED = 1
CHANGED = 2

_OBJECT_BYTES = 64
_FLOAT_BYTES = 24


class ScoreRange(NamedTuple):
    """Scores from `low` to `high`; an open end is not in it itself."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False


class LexRange(NamedTuple):
    """Members from `low` to `high`, None where there is no bound; an open end is not in it itself."""

    low: bytes | None
    high: bytes | None
    low_open: bool = False
    high_open: bool = False


NO_MEMBERS = LexRange(b"", b"", high_open=True)
"""The range that begins at `+` or ends at `-`."""


def narrow(span: Span, offset: int, count: int, *, reverse: bool = False) -> Span:
    """What LIMIT leaves of a span: `count` ranks (all when negative) behind the first `offset`.

    With `reverse` both count from the span's end. A negative offset leaves nothing.
    """
    start, stop = span
    if offset < 0:
        return start, start
    if reverse:
        stop = max(stop - offset, start)
        return (start if count < 0 else max(stop - count, start)), stop
    start = min(start + offset, stop)
    return start, (stop if count < 0 else min(start + count, stop))


class Zset:
    """Members with scores. Empty only before its first member and after its last: its key has to go."""

    __slots__ = ("_members", "_ranked", "_scores", "_table")

    type_name: ClassVar[bytes] = b"zset"

    def __init__(self) -> None:
        self._members = packed.EMPTY  # with `_scores` all, while the two others are None
        self._scores: array[float] = array("d")
        self._table: Table[float] | None = None
        self._ranked: Ranking | None = None

    @classmethod
    def create(cls, size_hint: int, member_bytes: int, limits: Limits) -> Zset:
        """An empty set in the encoding that ZADD of `size_hint` members, one this long, begins with."""
        new = cls()
        if size_hint > limits.zset_max_listpack_entries or member_bytes > limits.zset_max_listpack_value:
            new._to_table({})
        return new

    @classmethod
    def from_entries(cls, entries: Iterable[Entry], limits: Limits) -> Zset:
        """A set in the most compact encoding allowed; the last entry of a member counts."""
        new = cls()
        scores = {member: score for score, member in entries}
        longest = max(map(len, scores), default=0)
        if len(scores) > limits.zset_max_listpack_entries or longest > limits.zset_max_listpack_value:
            new._to_table(scores)
        else:
            ordered = sorted((score, member) for member, score in scores.items())
            new._members = packed.pack([member for _, member in ordered])
            new._scores = array("d", [score + 0.0 for score, _ in ordered])
        return new

    # Reading

    def __len__(self) -> int:
        return len(self._scores) if self._ranked is None else self._ranked.count

    def score(self, member: bytes) -> float | None:
        """The score of a member, None when there is none."""
        if self._table is not None:
            return self._table.get(member)
        text = self._members
        at = text.find(b"\xff%b\xff" % (member if member.isascii() else escape(member)))
        return None if at < 0 else self._scores[text.count(SEPARATOR, 0, at)]

    def rank(self, member: bytes) -> int | None:
        """How many entries come before the member's, None when there is none."""
        table, ranked = self._table, self._ranked
        if table is None or ranked is None:
            text = self._members
            at = text.find(b"\xff%b\xff" % (member if member.isascii() else escape(member)))
            return None if at < 0 else text.count(SEPARATOR, 0, at)
        score = table.get(member)
        return None if score is None else ranked.rank(score, member)

    def entries(self) -> list[Entry]:
        """All, in order."""
        return self.slice(0, len(self))

    def __iter__(self) -> Iterator[Entry]:
        """The entries in order; the set must not change meanwhile."""
        return iter(self.entries()) if self._ranked is None else iter(self._ranked)

    def slice(self, start: int, stop: int, *, reverse: bool = False) -> list[Entry]:
        """The entries of a span of ranks; with `reverse`, the last one first."""
        if start >= stop:
            return []
        if self._ranked is not None:
            found = self._ranked.slice(start, stop)
        else:
            found = list(zip(self._scores[start:stop], self._packed_slice(start, stop), strict=True))
        if reverse:
            found.reverse()
        return found

    def rank_span(self, first: int, last: int, *, reverse: bool = False) -> Span:
        """The span from the index `first` to the index `last`, both included, negative ones from the end.

        With `reverse` indices count from the entry with the greatest score.
        """
        size = len(self)
        start = max(first + size, 0) if first < 0 else first
        stop = (last + size if last < 0 else min(last, size - 1)) + 1
        if start >= stop:
            return 0, 0
        return (size - stop, size - start) if reverse else (start, stop)

    def score_span(self, scores: ScoreRange) -> Span:
        """The span of a range of scores."""
        low, high, low_open, high_open = scores
        start = self._first_from(low, low_open)
        return start, max(start, self._first_from(high, not high_open))

    def _first_from(self, score: float, above: bool) -> int:
        """The rank of the first entry with `score` or more; with `above`, more."""
        ranked = self._ranked
        if ranked is None:
            return bisect_right(self._scores, score) if above else bisect_left(self._scores, score)
        return ranked.rank_of_score(score, above=above)

    def lex_span(self, members: LexRange) -> Span:
        """The span of a range of members; as in Redis, it makes sense where all scores are the same."""
        low, high, low_open, high_open = members
        start = 0 if low is None else self._first_member_from(low, low_open)
        stop = len(self) if high is None else self._first_member_from(high, not high_open)
        return start, max(start, stop)

    def _first_member_from(self, member: bytes, above: bool) -> int:
        ranked = self._ranked
        if ranked is None:
            names = packed.unpack(self._members)
            return bisect_right(names, member) if above else bisect_left(names, member)
        if not ranked.count:
            return 0
        # No member lies between one and the same with a zero byte behind it.
        return ranked.rank(ranked.first_score(), member + b"\0" if above else member)

    def scan(self, cursor: int, count: int) -> tuple[int, list[Entry]]:
        """Some entries, and the cursor to go on with, 0 at the end.

        About `count` of a set in a table, all of a packed one in their order. What is there during the whole
        scan is returned at least once.
        """
        table = self._table
        if table is None:
            return 0, self.entries()
        following, found = split_dict.scan(table, cursor, count)
        return following, [(table[member], member) for member in found]

    def random_entry(self, rng: Random) -> Entry:
        """An entry, each with the same chance. The set must not be empty."""
        rank = int(rng.random() * len(self))
        if self._ranked is None:
            return self._scores[rank], self._packed_slice(rank, rank + 1)[0]
        return self._ranked.entry(rank)

    def random_entries(self, rng: Random, count: int) -> list[Entry]:
        """`count` times an entry, the same more than once perhaps. The set must not be empty."""
        size = len(self)
        if self._ranked is not None:
            entry = self._ranked.entry
            return [entry(int(rng.random() * size)) for _ in range(count)]
        entries = self.entries()
        return [entries[int(rng.random() * size)] for _ in range(count)]

    def sample(self, rng: Random, count: int) -> list[Entry]:
        """`count` different entries, all where there are fewer."""
        table = self._table
        if table is None:
            entries = self.entries()
            return entries if count >= len(entries) else rng.sample(entries, count)
        return [(table[member], member) for member in split_dict.sample_keys(table, rng, count)]

    # Writing

    def reserve(self, size_hint: int, limits: Limits) -> None:
        """Called before `size_hint` members are added, as ZADD does: very many make it a table at once."""
        if self._table is None and size_hint > limits.zset_max_listpack_entries:
            self._to_table({member: score for score, member in self.entries()})

    def set(self, member: bytes, score: float, limits: Limits) -> int:
        """Gives a member a score, which is no NaN: ADDED when it is new, CHANGED, or SAME."""
        table, ranked = self._table, self._ranked
        if table is None or ranked is None:
            return self._set_packed(member, score, limits)
        if isinstance(table, SplitDict):
            old = table.put_new(member, score)
        else:
            old = table.get(member)
            if old is None:
                table[member] = score
                if len(table) > BUCKET_KEYS:
                    self._table = SplitDict(table)
        if old is None:
            ranked.add(score, member)
            return ADDED
        if old == score:
            return SAME
        ranked.remove(old, member)
        table[member] = score
        ranked.add(score, member)
        return CHANGED

    def remove(self, member: bytes) -> bool:
        """False when it is not there."""
        if self._table is not None and self._ranked is not None:
            score = self._table.pop(member, None)
            if score is None:
                return False
            self._ranked.remove(score, member)
            return True
        rank = self.rank(member)
        if rank is None:
            return False
        self._remove_packed(rank, rank + 1)
        return True

    def pop(self, *, least: bool) -> Entry:
        """Removes and returns the first (last) entry. The set must not be empty."""
        if self._table is None or self._ranked is None:
            rank = 0 if least else len(self._scores) - 1
            return self.remove_slice(rank, rank + 1)[0]
        entry = self._ranked.pop(least=least)
        self._table.pop(entry[1], None)
        return entry

    def remove_slice(self, start: int, stop: int, *, reverse: bool = False) -> list[Entry]:
        """Removes the entries of a span of ranks and returns them; with `reverse`, the last one first."""
        removed = self.slice(start, stop, reverse=reverse)
        if not removed:
            return removed
        if self._table is None or self._ranked is None:
            self._remove_packed(start, stop)
            return removed
        self._ranked.delete(start, start + len(removed))
        for _, member in removed:
            self._table.pop(member, None)
        return removed

    def _set_packed(self, member: bytes, score: float, limits: Limits) -> int:
        text, scores = self._members, self._scores
        escaped = member if member.isascii() else escape(member)
        at = text.find(b"\xff%b\xff" % escaped)
        if at >= 0:
            rank = text.count(SEPARATOR, 0, at)
            if scores[rank] == score:
                return SAME
            self._members = text[:at] + text[at + len(escaped) + 1 :]
            del scores[rank]
            self._insert_packed(member, escaped, score)
            return CHANGED
        if len(scores) < limits.zset_max_listpack_entries and len(member) <= limits.zset_max_listpack_value:
            self._insert_packed(member, escaped, score)
            return ADDED
        self._to_table({name: old for old, name in self.entries()})
        return self.set(member, score, limits)

    def _insert_packed(self, member: bytes, escaped: bytes, score: float) -> None:
        text, scores = self._members, self._scores
        rank = bisect_left(scores, score)
        if rank < len(scores) and scores[rank] == score:
            rank += bisect_left(self._packed_slice(rank, bisect_right(scores, score)), member)
        if rank == len(scores):
            self._members = b"%b%b\xff" % (text, escaped)
        else:
            at = self._offset(rank)
            self._members = b"%b%b\xff%b" % (text[:at], escaped, text[at:])
        scores.insert(rank, score + 0.0)

    def _remove_packed(self, start: int, stop: int) -> None:
        self._members = self._members[: self._offset(start)] + self._members[self._offset(stop) :]
        del self._scores[start:stop]

    def _packed_slice(self, start: int, stop: int) -> list[bytes]:
        """The members of a span of ranks that is not empty."""
        if start == 0 and stop >= len(self._scores):
            return packed.unpack(self._members)
        return packed.unpack(self._members[self._offset(start) - 1 : self._offset(stop)])

    def _offset(self, rank: int) -> int:
        """Where the member of that rank begins among the packed ones, or their end."""
        text = self._members
        if rank >= len(self._scores):
            return len(text)
        return len(text) - len(text.split(SEPARATOR, rank + 1)[-1])

    def _to_table(self, scores: dict[bytes, float]) -> None:
        self._table = scores if len(scores) <= BUCKET_KEYS else SplitDict(scores)
        self._ranked = Ranking(sorted([(score, member) for member, score in scores.items()]))
        self._members = packed.EMPTY
        self._scores = array("d")

    # The value as a whole

    def encoding(self) -> bytes:
        """As OBJECT ENCODING answers: listpack, skiplist."""
        return b"listpack" if self._table is None else b"skiplist"

    def copy(self) -> Zset:
        """A set of its own with the same entries."""
        other = Zset()
        other._members = self._members
        other._scores = self._scores[:]
        other._table = None if self._table is None else self._table.copy()
        other._ranked = None if self._ranked is None else self._ranked.copy()
        return other

    def dismantle(self) -> Iterator[None]:
        """Frees the content in many steps; the value must not be used any more."""
        if isinstance(self._table, SplitDict):
            yield from self._table.dismantle()
        if self._ranked is not None:
            yield from self._ranked.dismantle()

    def memory_bytes(self, samples: int = 5) -> int:
        """An estimate of the memory it takes; the size of members is that of `samples` of them (0: all)."""
        table = self._table
        if table is None:
            return _OBJECT_BYTES + sys.getsizeof(self._members) + sys.getsizeof(self._scores)
        total = sys.getsizeof(table) if isinstance(table, dict) else table.table_bytes()
        total += _FLOAT_BYTES * len(table)
        if self._ranked is not None:
            total += self._ranked.memory_bytes()
        sizes = [sys.getsizeof(member) for member in islice(table, samples or None)]
        return _OBJECT_BYTES + total + (sum(sizes) * len(table) // len(sizes) if sizes else 0)

    def check(self) -> None:
        """Asserts the invariants."""
        entries = self.entries()
        assert entries == sorted(entries)
        assert all(score == score for score, _ in entries)
        assert len({member for _, member in entries}) == len(entries) == len(self)
        if self._table is None or self._ranked is None:
            assert self._table is None
            assert self._ranked is None
            assert packed.pack([member for _, member in entries]) == self._members
            return
        assert self._members == packed.EMPTY
        assert not self._scores
        assert {member: score for score, member in entries} == dict(self._table.items())
        self._ranked.check()
        if isinstance(self._table, SplitDict):
            self._table.check()
        else:
            assert len(self._table) <= BUCKET_KEYS
