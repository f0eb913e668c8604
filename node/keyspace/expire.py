"""Deadlines of keys: which key expires when, and which are over.

Expiry is lazy and active. Lazy: a key is looked at when a command touches it. Active: the cron asks `due` for
the keys whose time is over and removes them, a bounded number at a time. For that, keys with a deadline are
also filed in buckets of 64 ms, and a heap holds the buckets' numbers; nothing ever visits keys whose time has
not come. A bucket of one key is the key itself, since in most uses deadlines are spread out and a set would
cost ten times the key.

Source: https://redis.io/commands/expire/, "How Redis expires keys".
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TypeAlias

_BUCKET_BITS = 6
_MOVED_AT_ONCE = 2048

Buckets: TypeAlias = "dict[int, bytes | set[bytes]]"


class Deadlines:
    """Key → Unix time in milliseconds, with an index by time. Behaves as a read-only mapping for lookups.

    `_parts` are indexes of deadlines that were taken in from elsewhere (`absorb`) and have not moved yet.
    """

    __slots__ = ("_buckets", "_heap", "_parts", "at")

    def __init__(self) -> None:
        self.at: dict[bytes, int] = {}
        self._buckets: Buckets = {}
        self._heap: list[int] = []
        self._parts: list[tuple[Buckets, list[int]]] = []

    def __len__(self) -> int:
        return len(self.at)

    def set(self, key: bytes, deadline_ms: int) -> None:
        self.discard(key)
        self.at[key] = deadline_ms
        self._file(key, deadline_ms >> _BUCKET_BITS)

    def _file(self, key: bytes, number: int) -> None:
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = key
            heappush(self._heap, number)
            if len(self._heap) > 2 * len(self._buckets) + 64:
                self._heap = sorted(self._buckets)  # deadlines moved on and left numbers without a bucket
        elif isinstance(bucket, set):
            bucket.add(key)
        else:
            self._buckets[number] = {bucket, key}

    def discard(self, key: bytes) -> bool:
        """Forgets the deadline of `key`; False when it had none."""
        deadline_ms = self.at.pop(key, None)
        if deadline_ms is None:
            return False
        number = deadline_ms >> _BUCKET_BITS
        if not _remove(self._buckets, key, number):
            assert any(_remove(buckets, key, number) for buckets, _ in self._parts), "it is in no bucket"
        return True

    def absorb(self, other: Deadlines) -> None:
        """Takes in the deadlines of other keys, at some 50 ns each; `other` is not to be used again.

        Its index stays a part of its own, which `due` moves over little by little.
        """
        assert not other._parts, "it has taken in nothing itself"
        self.at.update(other.at)
        if other.at:
            self._parts.append((other._buckets, other._heap))

    def _move_some(self) -> None:
        """From the last part to our own index."""
        buckets, _ = self._parts[-1]
        for _ in range(min(_MOVED_AT_ONCE, len(buckets))):
            number, bucket = buckets.popitem()
            for key in bucket if isinstance(bucket, set) else (bucket,):
                self._file(key, number)
        if not buckets:
            del self._parts[-1]

    def clear(self) -> None:
        self.at.clear()
        self._buckets.clear()
        self._heap.clear()
        self._parts.clear()

    def due(self, now_ms: int) -> Iterator[bytes]:
        """Takes out keys whose deadline has passed, one at a time; the caller may stop after any."""
        if self._parts:
            self._move_some()
            for buckets, heap in list(self._parts):
                yield from self._due_in(buckets, heap, now_ms >> _BUCKET_BITS)
        yield from self._due_in(self._buckets, self._heap, now_ms >> _BUCKET_BITS)

    def _due_in(self, buckets: Buckets, heap: list[int], current: int) -> Iterator[bytes]:
        while heap and heap[0] < current:
            number = heap[0]
            while (bucket := buckets.get(number)) is not None:
                if isinstance(bucket, set):
                    # Not the first of an iteration: that passes over the places of all that were removed.
                    key = bucket.pop()
                    if not bucket:
                        del buckets[number]
                else:
                    key = bucket
                    del buckets[number]
                del self.at[key]
                yield key
            heappop(heap)

    def next_ms(self) -> int | None:
        """When the next key may be due, None without deadlines."""
        first = [
            number for buckets, heap in ((self._buckets, self._heap), *self._parts)
            if (number := _first(buckets, heap)) is not None
        ]  # fmt: skip
        return (min(first) + 1) << _BUCKET_BITS if first else None

    def check(self) -> None:
        """Asserts that index and deadlines say the same."""
        filed = {}
        for buckets, heap in ((self._buckets, self._heap), *self._parts):
            for number, bucket in buckets.items():
                assert number in heap, f"bucket {number} is not in the heap"
                for key in bucket if isinstance(bucket, set) else (bucket,):
                    assert key not in filed
                    filed[key] = number
        assert filed == {key: ms >> _BUCKET_BITS for key, ms in self.at.items()}


def _remove(buckets: Buckets, key: bytes, number: int) -> bool:
    """Takes a key out of an index; False when it is not there."""
    bucket = buckets.get(number)
    if isinstance(bucket, set):
        if key not in bucket:
            return False
        bucket.discard(key)
        if bucket:
            return True
    elif bucket != key:
        return False
    del buckets[number]
    return True


def _first(buckets: Buckets, heap: list[int]) -> int | None:
    """The first bucket that is still there."""
    while heap and heap[0] not in buckets:
        heappop(heap)
    return heap[0] if heap else None
