"""A partition of very many keys: what a slot's dict becomes when a hash tag gathers thousands of keys in it.

Walking one big dict in pieces is not possible (there is no way to enter it in the middle), copying it or
growing it stops everything else. So the keys are spread over dicts of at most `BUCKET_KEYS` by the low bits
of their hash. A dict that is full is split in two by one more bit, which takes some 100 microseconds; the
others stay. `_directory` has an entry for every value of the bits in use, so several entries share a dict
that uses fewer of them (extendible hashing: Fagin, Nievergelt, Pippenger, Strong, 1979).

The class has those methods of dict that the keyspace uses, so that who has a partition need not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

BUCKET_KEYS = 1024
_DEPTH_MAX = 24  # hashes that agree in more bits than this are left together


class SplitDict:
    """Keys to values, in buckets by hash."""

    __slots__ = ("_count", "_directory", "_mask")

    def __init__(self, items: dict[bytes, Any]) -> None:
        self._count = len(items)
        self._mask = 0
        self._directory: list[dict[bytes, Any]] = [items]
        self._split(0)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return key in self._directory[hash(key) & self._mask]

    def __iter__(self) -> Iterator[bytes]:
        for bucket in self._buckets():
            yield from bucket

    def items(self) -> Iterator[tuple[bytes, Any]]:
        for bucket in self._buckets():
            yield from bucket.items()

    def get(self, key: bytes) -> Any:
        return self._directory[hash(key) & self._mask].get(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        index = hash(key) & self._mask
        bucket = self._directory[index]
        before = len(bucket)
        bucket[key] = value
        if len(bucket) != before:
            self._count += 1
            if before >= BUCKET_KEYS:
                self._split(index)

    def pop(self, key: bytes, default: None) -> Any:
        value = self._directory[hash(key) & self._mask].pop(key, default)
        if value is not None:
            self._count -= 1
            if not self._count:
                self._directory = [{}]
                self._mask = 0
        return value

    def bucket(self, position: int) -> tuple[dict[bytes, Any], int]:
        """The dict of all keys whose hash has the low bits of `position`, and how many bits those are."""
        index = position & self._mask
        return self._directory[index], self._depth(index)

    def nth(self, index: int) -> bytes:
        """The key at `index` in the order of iteration."""
        for bucket in self._buckets():
            if index < len(bucket):
                return next(islice(bucket, index, None))
            index -= len(bucket)
        raise IndexError(index)

    def _buckets(self) -> Iterator[dict[bytes, Any]]:
        """Each dict once: the first of its entries is the one without bits beyond its depth."""
        for index, bucket in enumerate(self._directory):
            if index >> self._depth(index) == 0:
                yield bucket

    def _depth(self, index: int) -> int:
        """How many bits the bucket at `index` uses: the entry that differs in the last of them is another."""
        directory = self._directory
        depth = self._mask.bit_length()
        while depth and directory[index ^ 1 << depth - 1] is directory[index]:
            depth -= 1
        return depth

    def _split(self, index: int) -> None:
        depth = self._depth(index)
        if depth == _DEPTH_MAX:
            return
        bit = 1 << depth
        if bit > self._mask:
            self._directory += self._directory
            self._mask = self._mask << 1 | 1
        full = self._directory[index]
        low, high = {}, {}
        for key, value in full.items():
            if hash(key) & bit:
                high[key] = value
            else:
                low[key] = value
        for entry in range(index & bit - 1, len(self._directory), bit):
            self._directory[entry] = high if entry & bit else low

    def check(self) -> None:
        """Asserts that every key is where its hash says, and that the count is right."""
        assert len(self._directory) == self._mask + 1
        for index, bucket in enumerate(self._directory):
            depth = self._depth(index)
            assert all((hash(key) ^ index) & (1 << depth) - 1 == 0 for key in bucket)
        assert sum(map(len, self._buckets())) == self._count
