"""Entries of (score, member) in their order, for big sorted sets: found, put in, taken out and counted in
O(log n).

The entries are in chunks of some hundred, and a chunk is two parallel sequences: an array of scores and a
list of members. So a search compares doubles that lie side by side, and looks at members only among equal
scores; a list of tuples would take 80 bytes an entry more, and miss the cache with every comparison. A full
chunk is split, two small neighbours are joined. `_highest` and `_last` repeat each chunk's last score and
member, to find the chunk by.

How many entries come before a chunk tells a Fenwick tree over the chunks' sizes. It is made when a rank in
the middle is first asked for and dropped when chunks come or go, so who never asks never pays for it, and who
asks always pays for a new one once in some hundred changes.

Source: P. M. Fenwick, "A new data structure for cumulative frequency tables" (1994).
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

Entry: TypeAlias = tuple[float, bytes]
"""Score and member: as entries are ordered."""

CHUNK_ENTRIES = 512
_FILLED_ENTRIES = 384  # of chunks that are made full, so that not every insertion splits one
_JOIN_BELOW = CHUNK_ENTRIES // 4


class Ranking:
    """No entry is there twice; scores are no NaN. Ranks count from 0."""

    __slots__ = ("_highest", "_last", "_members", "_scores", "_sizes", "count")

    def __init__(self, entries: list[Entry]) -> None:
        """`entries` are in order."""
        self.count = 0
        self._scores: list[array[float]] = []
        self._members: list[list[bytes]] = []
        self._highest: list[float] = []
        self._last: list[bytes] = []
        self._sizes: list[int] = []  # the Fenwick tree, from 1 on; empty while it is not there
        for start in range(0, len(entries), _FILLED_ENTRIES):
            chunk = entries[start : start + _FILLED_ENTRIES]
            scores = array("d", [score for score, _ in chunk])
            self._insert_chunk(len(self._members), scores, [member for _, member in chunk])
        self.count = len(entries)

    # Asking

    def __iter__(self) -> Iterator[Entry]:
        """The entries in order; there must be no change meanwhile."""
        return zip(chain.from_iterable(self._scores), chain.from_iterable(self._members), strict=True)

    def dismantle(self) -> Iterator[None]:
        """Frees the entries chunk by chunk; the ranking must not be used any more."""
        while self._members:
            self._members.pop()
            self._scores.pop()
            yield

    def rank(self, score: float, member: bytes) -> int:
        """How many entries come before this one, which need not be there."""
        if not self.count:
            return 0
        at, place = self._place(score, member)
        return self._before(at) + place

    def rank_of_score(self, score: float, *, above: bool) -> int:
        """How many entries have a score below `score`; with `above`, not above it."""
        bisect = bisect_right if above else bisect_left
        at = bisect(self._highest, score)
        if at == len(self._highest):
            return self.count
        return self._before(at) + bisect(self._scores[at], score)

    def entry(self, rank: int) -> Entry:
        """The entry of that rank, which must be there."""
        at, place = self._locate(rank)
        return self._scores[at][place], self._members[at][place]

    def first_score(self) -> float:
        """The least score. There must be an entry."""
        return self._scores[0][0]

    def slice(self, start: int, stop: int) -> list[Entry]:
        """The entries from the rank `start`, which must be there, to before `stop`."""
        at, place = self._locate(start)
        wanted = stop - start
        found: list[Entry] = []
        while True:
            end = place + wanted - len(found)
            found += zip(self._scores[at][place:end], self._members[at][place:end], strict=True)
            at, place = at + 1, 0
            if len(found) == wanted or at == len(self._members):
                return found

    # Changing

    def add(self, score: float, member: bytes) -> None:
        """Puts in an entry that is not there."""
        self.count += 1
        if not self._members:
            self._insert_chunk(0, array("d", [score]), [member])
            return
        at, place = self._place(score, member)
        members = self._members[at]
        size = len(members)
        if place == size:  # behind all others
            if size >= CHUNK_ENTRIES:
                self._insert_chunk(at + 1, array("d", [score]), [member])
                return
            self._highest[at], self._last[at] = score, member
        self._scores[at].insert(place, score)
        members.insert(place, member)
        if self._sizes:
            self._resized(at, 1)
        if size >= CHUNK_ENTRIES:
            self._split(at)

    def remove(self, score: float, member: bytes) -> None:
        """Takes out an entry that is there."""
        at, place = self._place(score, member)
        assert self._members[at][place] == member
        self._take(at, place)

    def pop(self, *, least: bool) -> Entry:
        """Takes out the first (last) entry and returns it. There must be one."""
        return self._take(0, 0) if least else self._take(len(self._members) - 1, -1)

    def delete(self, start: int, stop: int) -> None:
        """Takes out the entries from the rank `start`, which must be there, to before `stop`."""
        at, place = self._locate(start)
        left = stop - start
        self.count -= left
        first = at
        while left:
            members = self._members[at]
            end = min(place + left, len(members))
            left -= end - place
            del members[place:end], self._scores[at][place:end]
            at, place = at + 1, 0
        for index in range(at - 1, first - 1, -1):
            self._chunk_shrunk(index)
        self._sizes.clear()

    def _take(self, at: int, place: int) -> Entry:
        self.count -= 1
        scores, members = self._scores[at], self._members[at]
        score, member = scores.pop(place), members.pop(place)
        if self._sizes:
            self._resized(at, -1)
        if len(members) < _JOIN_BELOW or place == len(members) or place < 0:
            self._chunk_shrunk(at)
        return score, member

    # Chunks

    def _place(self, score: float, member: bytes) -> tuple[int, int]:
        """The chunk of an entry and its place there, or where it would stand. There must be a chunk."""
        highest = self._highest
        at = bisect_left(highest, score)
        if at < len(highest) and highest[at] == score:
            at = bisect_left(self._last, member, at, bisect_right(highest, score, at))
        if at == len(highest):
            return at - 1, len(self._members[-1])
        scores = self._scores[at]
        place = bisect_left(scores, score)
        if scores[place] == score:
            place = bisect_left(self._members[at], member, place, bisect_right(scores, score, place))
        return at, place

    def _insert_chunk(self, at: int, scores: array[float], members: list[bytes]) -> None:
        self._scores.insert(at, scores)
        self._members.insert(at, members)
        self._highest.insert(at, scores[-1])
        self._last.insert(at, members[-1])
        self._sizes.clear()

    def _remove_chunk(self, at: int) -> None:
        del self._scores[at], self._members[at], self._highest[at], self._last[at]
        self._sizes.clear()

    def _split(self, at: int) -> None:
        half = CHUNK_ENTRIES // 2
        scores, members = self._scores[at], self._members[at]
        self._insert_chunk(at + 1, scores[half:], members[half:])
        del scores[half:], members[half:]
        self._highest[at], self._last[at] = scores[-1], members[-1]

    def _chunk_shrunk(self, at: int) -> None:
        """Removes a chunk that is empty, joins one that is small with the next, and notes its new end."""
        scores, members = self._scores[at], self._members[at]
        if not members:
            self._remove_chunk(at)
            return
        if len(members) < _JOIN_BELOW and at + 1 < len(self._members):
            following = self._members[at + 1]
            if len(members) + len(following) <= CHUNK_ENTRIES // 2:
                scores += self._scores[at + 1]
                members += following
                self._remove_chunk(at + 1)
        self._highest[at], self._last[at] = scores[-1], members[-1]

    # Ranks

    def _locate(self, rank: int) -> tuple[int, int]:
        """The chunk of the entry of that rank, which must be there, and its place in it."""
        if rank < len(self._members[0]):
            return 0, rank
        from_end = self.count - rank
        if from_end <= len(self._members[-1]):
            return len(self._members) - 1, len(self._members[-1]) - from_end
        sizes = self._counted()
        at, bit = 0, 1 << len(self._members).bit_length() - 1
        while bit:
            following = at + bit
            if following < len(sizes) and sizes[following] <= rank:
                at = following
                rank -= sizes[following]
            bit >>= 1
        return at, rank

    def _before(self, at: int) -> int:
        """How many entries the chunks before this one have."""
        if not at:
            return 0
        sizes = self._counted()
        total = 0
        while at:
            total += sizes[at]
            at &= at - 1
        return total

    def _counted(self) -> list[int]:
        sizes = self._sizes
        if not sizes:
            sizes += [0, *map(len, self._members)]
            for at in range(1, len(sizes)):
                above = at + (at & -at)
                if above < len(sizes):
                    sizes[above] += sizes[at]
        return sizes

    def _resized(self, at: int, change: int) -> None:
        sizes = self._sizes
        at += 1
        while at < len(sizes):
            sizes[at] += change
            at += at & -at

    # As a whole

    def copy(self) -> Ranking:
        """A ranking of its own with the same entries."""
        other = Ranking([])
        other.count = self.count
        other._scores = [scores[:] for scores in self._scores]
        other._members = [members.copy() for members in self._members]
        other._highest, other._last = self._highest.copy(), self._last.copy()
        return other

    def memory_bytes(self) -> int:
        """The memory it takes, members not counted."""
        chunks = sum(map(sys.getsizeof, self._scores)) + sum(map(sys.getsizeof, self._members))
        return chunks + 4 * sys.getsizeof(self._members)

    def check(self) -> None:
        """Asserts the invariants: order, sizes of chunks, their ends, the tree."""
        entries = list(self)
        assert entries == sorted(set(entries))
        assert len(entries) == self.count
        for scores, members in zip(self._scores, self._members, strict=True):
            assert 0 < len(scores) == len(members) <= CHUNK_ENTRIES
        assert self._highest == [scores[-1] for scores in self._scores]
        assert self._last == [members[-1] for members in self._members]
        if self._sizes:
            sizes = self._sizes.copy()
            self._sizes.clear()
            assert self._counted() == sizes
