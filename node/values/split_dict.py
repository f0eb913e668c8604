"""A table of very many keys: what the dict of a collection becomes when it has hundreds of them.

One big dict cannot be entered in the middle, so neither walked in pieces (SCAN) nor sampled, and growing it
stops everything else. So the keys are spread over dicts of a limited size, the table's `bucket_keys`, by the
low bits of their hash. A dict that is full is split in two by one more bit, and two that have become nearly
empty are joined again; either takes some 10 microseconds a hundred keys, and the others stay. `_directory`
has an entry for every value of the bits in use, so several entries share a dict that uses fewer of them
(extendible hashing: Fagin, Nievergelt, Pippenger, Strong, 1979).

The class has those methods of dict that collections use; a `Table` is either, and the functions take both.

**Scanning.** A cursor is a position among the hashes, gone through with their bits reversed: 0, half, a
quarter, three quarters, … of the low bits. In that order the keys that share the low n bits of their hash
are neighbours for every n, so a step may take a coarse group or a fine one, and dicts may be split and joined
between two calls: what is later in the order is later at every fineness. Hence the guarantee that what is
there all the time is returned at least once (https://redis.io/commands/scan/; the order is Pieter
Noordhuis's).

**Sampling.** An entry of the directory, chosen evenly, and a place in its dict, chosen evenly among as many
as a full one has for each of its entries; where there is no key at that place, again. So each key has the
same chance, and as dicts are never nearly empty a few tries do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Generic, TypeAlias, TypeVar

V = TypeVar("V")

BUCKET_KEYS = 170  # of collections; what a dict of 256 places holds before it grows
_DEPTH_MAX = 24  # hashes that agree in more bits than this are left together
POSITION_MASK = (1 << 48) - 1
STEPS_PER_KEY = 10  # groups without keys are steps too


class SplitDict(Generic[V]):
    """Keys to values that are never None, in buckets by hash."""

    __slots__ = ("_bucket_keys", "_count", "_depths", "_directory", "_join_below", "_mask")

    def __init__(self, items: dict[bytes, V], bucket_keys: int = BUCKET_KEYS) -> None:
        """Takes `items` over. Buckets have up to `bucket_keys` keys."""
        depth = (len(items) // bucket_keys).bit_length()
        self._bucket_keys = bucket_keys
        self._join_below = bucket_keys // 4
        self._count = len(items)
        self._mask = mask = (1 << depth) - 1
        self._directory: list[dict[bytes, V]] = [items] if not depth else [{} for _ in range(mask + 1)]
        self._depths = bytearray([depth]) * (mask + 1)
        if depth:
            directory = self._directory
            for key, value in items.items():
                directory[hash(key) & mask][key] = value
            for index in range(mask + 1):
                if len(self._directory[index]) > bucket_keys:
                    self._split(index)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return key in self._directory[hash(key) & self._mask]

    def __iter__(self) -> Iterator[bytes]:
        for bucket in self.buckets():
            yield from bucket

    def items(self) -> Iterator[tuple[bytes, V]]:
        for bucket in self.buckets():
            yield from bucket.items()

    def values(self) -> Iterator[V]:
        for bucket in self.buckets():
            yield from bucket.values()

    def get(self, key: bytes) -> V | None:
        return self._directory[hash(key) & self._mask].get(key)

    def __getitem__(self, key: bytes) -> V:
        return self._directory[hash(key) & self._mask][key]

    def __setitem__(self, key: bytes, value: V) -> None:
        self.put(key, value)

    def put(self, key: bytes, value: V) -> bool:
        """Stores a value; True when the key is new."""
        index = hash(key) & self._mask
        bucket = self._directory[index]
        before = len(bucket)
        bucket[key] = value
        if len(bucket) == before:
            return False
        self._count += 1
        if before >= self._bucket_keys:
            self._split(index)
        return True

    def put_new(self, key: bytes, value: V) -> V | None:
        """Puts in a key that is not there; returns the value it has when it is."""
        index = hash(key) & self._mask
        bucket = self._directory[index]
        old = bucket.get(key)
        if old is not None:
            return old
        bucket[key] = value
        self._count += 1
        if len(bucket) > self._bucket_keys:
            self._split(index)
        return None

    def pop(self, key: bytes, default: V | None = None) -> V | None:
        index = hash(key) & self._mask
        bucket = self._directory[index]
        value = bucket.pop(key, None)
        if value is None:
            return default
        self._count -= 1
        if len(bucket) < self._join_below:
            self._join(index)
        return value

    def copy(self) -> SplitDict[V]:
        """A table of its own with the same items."""
        other: SplitDict[V] = SplitDict({}, self._bucket_keys)
        other._count = self._count
        other._mask = self._mask
        other._depths = self._depths.copy()
        copies: list[dict[bytes, V]] = []
        for index, bucket in enumerate(self._directory):
            first = index & (1 << self._depths[index]) - 1
            copies.append(bucket.copy() if first == index else copies[first])
        other._directory = copies
        return other

    def bucket(self, position: int) -> tuple[dict[bytes, V], int]:
        """The dict of all keys whose hash has the low bits of `position`, and how many bits those are."""
        index = position & self._mask
        return self._directory[index], self._depths[index]

    def buckets(self) -> Iterator[dict[bytes, V]]:
        """Each dict once: the first of its entries is the one without bits beyond its depth."""
        depths = self._depths
        for index, bucket in enumerate(self._directory):
            if index >> depths[index] == 0:
                yield bucket

    def random_key(self, rng: Random) -> bytes:
        """A key, each with the same chance. There must be one."""
        return self._random_place(rng)[1]

    def pop_random(self, rng: Random) -> bytes:
        """Removes such a key and returns it."""
        index, key = self._random_place(rng)
        bucket = self._directory[index]
        del bucket[key]
        self._count -= 1
        if len(bucket) < self._join_below:
            self._join(index)
        return key

    def _random_place(self, rng: Random) -> tuple[int, bytes]:
        """An entry of the directory and a key of its dict."""
        directory, depths, size = self._directory, self._depths, self._mask + 1
        if size == 1:
            return 0, _random_key(directory[0], rng)
        most = self._bucket_keys * size
        while True:
            place = rng.random() * size
            index = int(place)
            bucket = directory[index]
            nth = int((place - index) * (most >> depths[index]))
            if nth < len(bucket):
                return index, next(islice(bucket, nth, None))

    def dismantle(self) -> Iterator[None]:
        """Frees the keys dict by dict; the table must not be used any more."""
        directory = self._directory
        while directory:
            directory.pop().clear()
            yield

    def table_bytes(self) -> int:
        """Memory of the table, without keys and values."""
        buckets = sum(map(sys.getsizeof, self.buckets()))
        return buckets + sys.getsizeof(self._directory) + sys.getsizeof(self._depths)

    def _split(self, index: int) -> None:
        depth = self._depths[index]
        if depth == _DEPTH_MAX:
            return
        bit = 1 << depth
        if bit > self._mask:
            self._directory += self._directory
            self._depths += bytes(self._depths)
            self._mask = self._mask << 1 | 1
        low: dict[bytes, V] = {}
        high: dict[bytes, V] = {}
        for key, value in self._directory[index].items():
            if hash(key) & bit:
                high[key] = value
            else:
                low[key] = value
        for entry in range(index & bit - 1, len(self._directory), bit):
            self._directory[entry] = high if entry & bit else low
            self._depths[entry] = depth + 1
        for half, first in ((low, index & bit - 1), (high, index & bit - 1 | bit)):
            if len(half) > self._bucket_keys:  # nearly all in one half, or there were very many
                self._split(first)

    def _join(self, index: int) -> None:
        """Joins the bucket with the one that differs in its last bit, while both together have few keys."""
        directory, depths = self._directory, self._depths
        joined_max = self._bucket_keys // 2
        while depth := depths[index]:
            bit = 1 << depth - 1
            mine, other = directory[index], directory[index ^ bit]
            if depths[index ^ bit] != depth or len(mine) + len(other) > joined_max:
                return
            joined = {**mine, **other}
            for entry in range(index & bit - 1, len(directory), bit):
                directory[entry] = joined
                depths[entry] = depth - 1
            if bit << 1 > self._mask and depth not in depths:
                self._halve()
                index &= self._mask

    def _halve(self) -> None:
        deepest = max(self._depths)
        self._mask = (1 << deepest) - 1
        del self._directory[1 << deepest :]
        del self._depths[1 << deepest :]

    def check(self) -> None:
        """Asserts that every key is where its hash says, and that the count is right."""
        assert len(self._directory) == len(self._depths) == self._mask + 1
        assert max(self._depths) == self._mask.bit_length()
        for index, bucket in enumerate(self._directory):
            low_bits = (1 << self._depths[index]) - 1
            assert bucket is self._directory[index & low_bits]
            assert all((hash(key) ^ index) & low_bits == 0 for key in bucket)
        assert sum(map(len, self.buckets())) == self._count


Table: TypeAlias = dict[bytes, V] | SplitDict[V]


def _random_key(keys: dict[bytes, V], rng: Random) -> bytes:
    return next(islice(keys, int(rng.random() * len(keys)), None))


def random_key(table: Table[V], rng: Random) -> bytes:
    """A key of a table that is not empty, each with the same chance."""
    return _random_key(table, rng) if isinstance(table, dict) else table.random_key(rng)


def pop_random(table: Table[V], rng: Random) -> bytes:
    """Removes a key of a table that is not empty, each with the same chance, and returns it."""
    if not isinstance(table, dict):
        return table.pop_random(rng)
    key = _random_key(table, rng)
    del table[key]
    return key


def sample_keys(table: Table[V], rng: Random, count: int) -> list[bytes]:
    """`count` different keys, all where there are fewer, every choice with the same chance."""
    size = len(table)
    if count >= size:
        return list(table)
    if count * 2 > size:
        left_out = set(sample_keys(table, rng, size - count))
        return [key for key in table if key not in left_out]
    if count * 5 > size:
        return rng.sample(list(table), count)
    chosen: dict[bytes, None] = {}
    while len(chosen) < count:
        chosen[random_key(table, rng)] = None
    return list(chosen)


def scan(table: Table[V], cursor: int, count: int) -> tuple[int, list[bytes]]:
    """The next keys, about `count`, and the cursor to go on with, 0 at the end. Any integer is a cursor.

    O(count + keys of a bucket).
    """
    position = cursor & POSITION_MASK
    found: list[bytes] = []
    for _ in range(count * STEPS_PER_KEY):
        position = scan_step(table, position, count, found)
        if not position or len(found) >= count:
            break
    return position, found


def scan_step(table: Table[V], position: int, count: int, found: list[bytes]) -> int:
    """Adds the group of keys at `position` to `found`; returns the position behind it, 0 at the end."""
    bucket, depth = (table, 0) if isinstance(table, dict) else table.bucket(position)
    wanted = depth + max(0, (len(bucket) // count).bit_length() - 1)
    # A group coarser than the one the position was made for would have keys of before in it.
    bits = max(wanted, position.bit_length())
    if bits == depth:
        found += bucket
    else:
        mask = (1 << bits) - 1
        low = position & mask
        found += [key for key in bucket if hash(key) & mask == low]
    # One more, in a number of `bits` bits whose highest bit is the lowest.
    bit = 1 << bits >> 1
    while position & bit:
        position ^= bit
        bit >>= 1
    return position | bit
