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

_BUCKET_BITS = 6


class Deadlines:
    """Key → Unix time in milliseconds, with an index by time. Behaves as a read-only mapping for lookups."""

    __slots__ = ("_buckets", "_heap", "at")

    def __init__(self) -> None:
        self.at: dict[bytes, int] = {}
        self._buckets: dict[int, bytes | set[bytes]] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self.at)

    def set(self, key: bytes, deadline_ms: int) -> None:
        self.discard(key)
        self.at[key] = deadline_ms
        number = deadline_ms >> _BUCKET_BITS
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
        bucket = self._buckets[number]
        if isinstance(bucket, set):
            bucket.discard(key)
            if not bucket:
                del self._buckets[number]
        else:
            del self._buckets[number]
        return True

    def clear(self) -> None:
        self.at.clear()
        self._buckets.clear()
        self._heap.clear()

    def due(self, now_ms: int) -> Iterator[bytes]:
        """Takes out keys whose deadline has passed, one at a time; the caller may stop after any."""
        heap, buckets = self._heap, self._buckets
        current = now_ms >> _BUCKET_BITS
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
        while self._heap and self._heap[0] not in self._buckets:
            heappop(self._heap)
        return (self._heap[0] + 1) << _BUCKET_BITS if self._heap else None

    def check(self) -> None:
        """Asserts that index and deadlines say the same."""
        filed = {}
        for number, bucket in self._buckets.items():
            assert number in self._heap, f"bucket {number} is not in the heap"
            for key in bucket if isinstance(bucket, set) else (bucket,):
                filed[key] = number
        assert filed == {key: ms >> _BUCKET_BITS for key, ms in self.at.items()}
