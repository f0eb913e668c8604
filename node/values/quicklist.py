"""A list of very many elements, quick at both ends and compact in between.

The elements near either end are in Python lists, `_head` (the first element last) and `_tail`, where pushing
and popping costs next to nothing. All between them are in chunks of about `CHUNK_ITEMS`: one packed `bytes`
(`packed.py`) each, or a tuple where elements are so long that packing saves little. When an end has gathered
`END_ITEMS` its inner half is packed; when one is empty the next chunk is unpacked. An element in the middle
is found by a binary search among the sums of the chunks' counts.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice
from typing import TypeAlias

from node.values import packed
from node.values.packed import escape

Chunk: TypeAlias = bytes | tuple[bytes, ...]

CHUNK_ITEMS = 128
END_ITEMS = 2 * CHUNK_ITEMS
# A chunk of more bytes is not packed: an object's 33 bytes matter less than copying.
_PACKED_BYTES_MAX = 1 << 14
_SPARSE_ITEMS = CHUNK_ITEMS // 8


def _chunk(items: list[bytes]) -> Chunk:
    return packed.pack(items) if sum(map(len, items)) <= _PACKED_BYTES_MAX else tuple(items)


def _items(chunk: Chunk) -> list[bytes]:
    return packed.unpack(chunk) if isinstance(chunk, bytes) else list(chunk)


def _without(items: list[bytes], item: bytes, limit: int, *, from_end: bool) -> list[bytes]:
    """The items less the first (last) `limit` that equal `item`."""
    left = []
    for one in reversed(items) if from_end else items:
        if limit and one == item:
            limit -= 1
        else:
            left.append(one)
    if from_end:
        left.reverse()
    return left


class Quicklist:
    """A list of byte strings; indices are those of the list, never negative."""

    __slots__ = ("_chunks", "_counts", "_head", "_starts", "_tail", "count")

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        self.count = 0
        self._head: list[bytes] = []
        self._tail: list[bytes] = []
        self._chunks: list[Chunk] = []
        self._counts: list[int] = []  # of items in each chunk
        self._starts: list[int] | None = None  # sums of `_counts`, made when they are needed
        for item in items:
            self.push_right(item)

    # Ends

    def push_left(self, item: bytes) -> None:
        head = self._head
        head.append(item)
        self.count += 1
        if len(head) >= END_ITEMS:
            self._pack_head()

    def push_right(self, item: bytes) -> None:
        tail = self._tail
        tail.append(item)
        self.count += 1
        if len(tail) >= END_ITEMS:
            self._pack_tail()

    def pop_left(self) -> bytes:
        """The list must not be empty."""
        if not self._head:
            self._fill_head()
        self.count -= 1
        return self._head.pop()

    def pop_right(self) -> bytes:
        """The list must not be empty."""
        if not self._tail:
            self._fill_tail()
        self.count -= 1
        return self._tail.pop()

    def drop_left(self, number: int) -> None:
        """Removes the first `number` elements, at most all."""
        self.count -= number
        drop = 0
        if number >= len(self._head):
            number -= len(self._head)
            self._head = []
            while drop < len(self._chunks) and number >= self._counts[drop]:
                number -= self._counts[drop]
                drop += 1
            del self._chunks[:drop], self._counts[:drop]
            self._starts = None
            if number and self._chunks:
                self._fill_head()
        if self._head:
            del self._head[len(self._head) - number :]
        else:
            del self._tail[:number]

    def drop_right(self, number: int) -> None:
        """Removes the last `number` elements, at most all."""
        self.count -= number
        if number >= len(self._tail):
            number -= len(self._tail)
            self._tail = []
            keep = len(self._chunks)
            while keep and number >= self._counts[keep - 1]:
                keep -= 1
                number -= self._counts[keep]
            del self._chunks[keep:], self._counts[keep:]
            self._starts = None
            if number and self._chunks:
                self._fill_tail()
        if self._tail:
            del self._tail[len(self._tail) - number :]
        else:
            del self._head[:number]

    def _pack_head(self) -> None:
        inner = self._head[:CHUNK_ITEMS]
        del self._head[:CHUNK_ITEMS]
        inner.reverse()
        self._chunks.insert(0, _chunk(inner))
        self._counts.insert(0, len(inner))
        self._starts = None

    def _pack_tail(self) -> None:
        self._chunks.append(_chunk(self._tail[:CHUNK_ITEMS]))
        self._counts.append(CHUNK_ITEMS)
        del self._tail[:CHUNK_ITEMS]
        self._starts = None

    def _fill_head(self) -> None:
        if self._chunks:
            self._head = _items(self._chunks.pop(0))
            del self._counts[0]
            self._starts = None
        else:
            half = (len(self._tail) + 1) // 2
            self._head = self._tail[:half]
            del self._tail[:half]
        self._head.reverse()

    def _fill_tail(self) -> None:
        if self._chunks:
            self._tail = _items(self._chunks.pop())
            self._counts.pop()
            self._starts = None
        else:
            half = (len(self._head) + 1) // 2
            self._tail = self._head[:half]
            del self._head[:half]
            self._tail.reverse()

    # Anywhere

    def __iter__(self) -> Iterator[bytes]:
        yield from reversed(self._head)
        for chunk in self._chunks:
            yield from _items(chunk)
        yield from self._tail

    def get(self, index: int) -> bytes:
        _, (items, at) = self._locate(index)
        return items[at]

    def set(self, index: int, item: bytes) -> None:
        place, (items, at) = self._locate(index)
        items[at] = item
        if place is not None:
            self._chunks[place] = _chunk(items)

    def insert(self, index: int, item: bytes) -> None:
        """Puts `item` before the element at `index`, or at the end."""
        if index == self.count:
            self.push_right(item)
            return
        place, (items, at) = self._locate(index)
        self.count += 1
        if place is not None:
            items.insert(at, item)
            self._replace(place, items)
            return
        items.insert(at + (items is self._head), item)
        if len(self._head) >= END_ITEMS:
            self._pack_head()
        if len(self._tail) >= END_ITEMS:
            self._pack_tail()

    def slice(self, start: int, stop: int) -> list[bytes]:
        """The elements from `start` to before `stop`, both within the list."""
        head, tail = self._head, self._tail
        found: list[bytes] = []
        if start < len(head):
            found = head[max(len(head) - stop, 0) : len(head) - start]
            found.reverse()
        tail_start = self.count - len(tail)
        at = max(start, len(head))
        inner_stop = min(stop, tail_start)
        if at < inner_stop:
            starts = self._chunk_starts()
            place = bisect_right(starts, at - len(head)) - 1
            while at < inner_stop:
                first = starts[place] + len(head)
                found += _items(self._chunks[place])[at - first : inner_stop - first]
                place += 1
                at = starts[place] + len(head)
        if stop > tail_start:
            found += tail[max(start - tail_start, 0) : stop - tail_start]
        return found

    def find(self, item: bytes, *, reverse: bool = False) -> Iterator[int]:
        """The indices of the elements equal to `item`, ascending, or descending."""
        key = b"\xff%b\xff" % escape(item)
        segments = self._segments(key, item)
        if reverse:
            for start, items in reversed(list(segments)):
                yield from (start + at for at in range(len(items) - 1, -1, -1) if items[at] == item)
        else:
            for start, items in segments:
                yield from (start + at for at, one in enumerate(items) if one == item)

    def _segments(self, key: bytes, item: bytes) -> Iterator[tuple[int, list[bytes]]]:
        """Those runs of elements that have `item` among them, each with the index of its first."""
        if item in self._head:
            yield 0, self._head[::-1]
        start = len(self._head)
        for chunk, count in zip(self._chunks, self._counts, strict=True):
            if (key if isinstance(chunk, bytes) else item) in chunk:
                yield start, _items(chunk)
            start += count
        if item in self._tail:
            yield start, self._tail

    def remove(self, item: bytes, limit: int, *, from_end: bool = False) -> int:
        """Removes up to `limit` elements equal to `item`, the first ones or the last ones; says how many."""
        before = self.count
        order = [self._remove_from_head, self._remove_from_chunks, self._remove_from_tail]
        for remove_from in reversed(order) if from_end else order:
            remove_from(item, limit - (before - self.count), from_end)
        if len(self._chunks) > 1 and sum(self._counts) < _SPARSE_ITEMS * len(self._chunks):
            fresh = Quicklist(list(self))
            self._head, self._tail, self._starts = fresh._head, fresh._tail, None
            self._chunks, self._counts = fresh._chunks, fresh._counts
        return before - self.count

    def _remove_from_head(self, item: bytes, limit: int, from_end: bool) -> None:
        if limit and item in self._head:
            left = _without(self._head, item, limit, from_end=not from_end)
            self.count -= len(self._head) - len(left)
            self._head = left

    def _remove_from_tail(self, item: bytes, limit: int, from_end: bool) -> None:
        if limit and item in self._tail:
            left = _without(self._tail, item, limit, from_end=from_end)
            self.count -= len(self._tail) - len(left)
            self._tail = left

    def _remove_from_chunks(self, item: bytes, limit: int, from_end: bool) -> None:
        key = b"\xff%b\xff" % escape(item)
        places = range(len(self._chunks))
        for place in reversed(places) if from_end else places:
            if not limit:
                break
            chunk = self._chunks[place]
            if (key if isinstance(chunk, bytes) else item) in chunk:
                items = _items(chunk)
                left = _without(items, item, limit, from_end=from_end)
                limit -= len(items) - len(left)
                self.count -= len(items) - len(left)
                self._chunks[place] = _chunk(left)
                self._counts[place] = len(left)
                self._starts = None
        if 0 in self._counts:
            kept = [place for place in places if self._counts[place]]
            self._chunks = [self._chunks[place] for place in kept]
            self._counts = [self._counts[place] for place in kept]

    def _replace(self, place: int, items: list[bytes]) -> None:
        """Puts other items in place of a chunk's; very many make two chunks."""
        middle = len(items) if len(items) < END_ITEMS else len(items) // 2
        parts = [items[:middle], items[middle:]] if middle < len(items) else [items]
        self._chunks[place : place + 1] = map(_chunk, parts)
        self._counts[place : place + 1] = map(len, parts)
        self._starts = None

    def _chunk_starts(self) -> list[int]:
        starts = self._starts
        if starts is None:
            starts = self._starts = list(accumulate(self._counts, initial=0))
        return starts

    def _locate(self, index: int) -> tuple[int | None, tuple[list[bytes], int]]:
        """Where the element at `index` is: its chunk (None at the ends), the list it is in, its place there.

        The list of a chunk is a copy.
        """
        head, tail = self._head, self._tail
        if index < len(head):
            return None, (head, len(head) - 1 - index)
        tail_start = self.count - len(tail)
        if index >= tail_start:
            return None, (tail, index - tail_start)
        index -= len(head)
        starts = self._chunk_starts()
        place = bisect_right(starts, index) - 1
        return place, (_items(self._chunks[place]), index - starts[place])

    # As a whole

    def copy(self) -> Quicklist:
        """A list of its own with the same elements."""
        other = Quicklist()
        other.count = self.count
        other._head = self._head.copy()
        other._tail = self._tail.copy()
        other._chunks = self._chunks.copy()
        other._counts = self._counts.copy()
        return other

    def memory_bytes(self, samples: int) -> int:
        """The memory it takes; the size of elements that are not packed is that of `samples` (0: all)."""
        loose = [self._head, *(chunk for chunk in self._chunks if isinstance(chunk, tuple)), self._tail]
        count = sum(map(len, loose))
        sizes = [sys.getsizeof(item) for item in islice(chain.from_iterable(loose), samples or None)]
        total = sum(map(sys.getsizeof, (self._chunks, self._counts, self._head, self._tail, *self._chunks)))
        return total + (sum(sizes) * count // len(sizes) if sizes else 0)

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._chunks) == len(self._counts)
        for chunk, count in zip(self._chunks, self._counts, strict=True):
            assert len(_items(chunk)) == count
            assert 0 < count < END_ITEMS
        assert len(self._head) < END_ITEMS
        assert len(self._tail) < END_ITEMS
        assert len(self._head) + sum(self._counts) + len(self._tail) == self.count
        assert self._starts in (None, list(accumulate(self._counts, initial=0)))
