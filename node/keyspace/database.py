"""A database: keys and values by hash slot, and deadlines.

Partitioning by slot makes counting, listing, scanning, sampling, migrating and snapshotting a slot cheap; a
partition is an ordinary dict, made when its slot gets its first key, and a `SplitDict` once it has thousands
of keys. Strings are stored as they are: `bytes`,
or `int` when they are an integer in canonical form. A key whose deadline has passed is as good as gone for
every method here: on a primary it is removed at once and reported, on a replica (whose primary decides) it
only is not seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from gossip.slots import SLOT_COUNT, key_slot
from node.keyspace.changes import Changes
from node.keyspace.expire import Deadlines
from node.keyspace.partition import BUCKET_KEYS, SplitDict

Value = Any
"""`bytes`, `int`, or an object of `node.values`."""

Partition = dict[bytes, Value] | SplitDict


class Policy:
    """What role and settings let databases do; one object shared by all databases of a node."""

    __slots__ = ("active_expiry", "expires", "obeys")

    def __init__(self) -> None:
        self.expires = True  # False on replicas: keys whose time is over are hidden, not removed
        self.active_expiry = True  # False after DEBUG SET-ACTIVE-EXPIRE 0: keys expire when they are touched
        self.obeys = False  # True while a command of the primary runs: no key's time is over then


class Database:
    """One numbered database. `slots[n]` is the partition of slot n, None while it never had a key."""

    __slots__ = (
        "_changes",
        "_policy",
        "accesses",
        "count",
        "deadlines",
        "expired_total",
        "hits",
        "index",
        "misses",
        "slots",
    )

    def __init__(self, index: int, changes: Changes, policy: Policy) -> None:
        self.index = index
        self.slots: list[Partition | None] = [None] * SLOT_COUNT
        self.deadlines = Deadlines()
        self.accesses: dict[bytes, int] | None = None  # kept by node.observe.access while it is needed
        self.count = 0
        self.hits = 0
        self.misses = 0
        self.expired_total = 0
        self._changes = changes
        self._policy = policy

    # Reading

    def read(self, key: bytes, slot: int, now_ms: int) -> Value | None:
        """The value a client reads, None when there is none; counts a hit or a miss."""
        partition = self.slots[slot]
        if partition is not None:
            value = partition.get(key)
            if value is not None:
                at = self.deadlines.at
                if not at or key not in at or at[key] > now_ms or not self._expire(key, slot):
                    self.hits += 1
                    return value
        self.misses += 1
        return None

    def peek(self, key: bytes, slot: int, now_ms: int) -> Value | None:
        """The value for a command that will write or only inspect: like `read`, without counting."""
        partition = self.slots[slot]
        if partition is None:
            return None
        value = partition.get(key)
        if value is not None:
            at = self.deadlines.at
            if at and key in at and at[key] <= now_ms and self._expire(key, slot):
                return None
        return value

    def deadline(self, key: bytes) -> int | None:
        """When `key` expires, Unix milliseconds; None when it does not."""
        return self.deadlines.at.get(key)

    def is_over(self, deadline_ms: int, now_ms: int) -> bool:
        """Whether a key that gets this deadline now is to be removed instead; never so on a replica."""
        return deadline_ms <= now_ms and self._policy.expires

    def _expire(self, key: bytes, slot: int) -> bool:
        """Called for a key whose time is over; whether it is gone or hidden now."""
        if self._policy.obeys:
            return False
        if self._policy.expires:
            self.remove(key, slot)
            self.expired_total += 1
            self._changes.key_expired(self.index, key)
        return True

    # Writing

    def put(self, key: bytes, slot: int, value: Value) -> None:
        """Stores a value and clears the key's deadline, as SET does."""
        partition = self.slots[slot]
        if partition is None:
            partition = self.slots[slot] = {}
        before = len(partition)
        partition[key] = value
        if len(partition) != before:
            self.count += 1
            if before == BUCKET_KEYS:
                self._split(slot)
        elif self.deadlines.at:
            self.deadlines.discard(key)

    def update(self, key: bytes, slot: int, value: Value) -> None:
        """Stores a value and keeps the key's deadline."""
        partition = self.slots[slot]
        if partition is None:
            partition = self.slots[slot] = {}
        before = len(partition)
        partition[key] = value
        if len(partition) != before:
            self.count += 1
            if before == BUCKET_KEYS:
                self._split(slot)

    def _split(self, slot: int) -> None:
        partition = self.slots[slot]
        if isinstance(partition, dict):
            self.slots[slot] = SplitDict(partition)

    def remove(self, key: bytes, slot: int) -> Value | None:
        """Removes a key with its deadline; returns its value, None when there was none."""
        partition = self.slots[slot]
        if partition is None:
            return None
        value = partition.pop(key, None)
        if value is not None:
            self.count -= 1
            if self.deadlines.at:
                self.deadlines.discard(key)
            if self.accesses:
                self.accesses.pop(key, None)
        return value

    def set_deadline(self, key: bytes, deadline_ms: int) -> None:
        """The key must exist."""
        self.deadlines.set(key, deadline_ms)

    def clear_deadline(self, key: bytes) -> bool:
        """False when the key had none."""
        return self.deadlines.discard(key)

    def clear(self) -> None:
        self.slots = [None] * SLOT_COUNT
        self.deadlines = Deadlines()
        self.count = 0
        if self.accesses:
            self.accesses = {}

    def clear_slot(self, slot: int) -> int:
        """Drops every key of a slot in silence; returns how many there were."""
        partition = self.slots[slot]
        if not partition:
            return 0
        if self.deadlines.at:
            for key in partition:
                self.deadlines.discard(key)
        if self.accesses:
            for key in partition:
                self.accesses.pop(key, None)
        self.slots[slot] = None
        self.count -= len(partition)
        return len(partition)

    def swap_contents(self, other: Database) -> None:
        """SWAPDB: the two keep their numbers and counters and exchange all else."""
        self.slots, other.slots = other.slots, self.slots
        self.deadlines, other.deadlines = other.deadlines, self.deadlines
        self.count, other.count = other.count, self.count
        self.accesses, other.accesses = other.accesses, self.accesses

    # Walking

    def slot_count(self, slot: int) -> int:
        partition = self.slots[slot]
        return len(partition) if partition else 0

    def slot_keys(self, slot: int, limit: int) -> list[bytes]:
        """Up to `limit` keys of a slot."""
        return list(islice(self.slots[slot] or (), limit))

    def keys(self) -> Iterator[bytes]:
        """Every key, those whose time is over too. The database must not change meanwhile."""
        for partition in self.slots:
            if partition:
                yield from partition

    def random_key(self, rng: random.Random) -> bytes | None:
        """A key chosen evenly among all, None when there is none."""
        if not self.count:
            return None
        target = rng.randrange(self.count)
        for partition in self.slots:
            if partition:
                if target < len(partition):
                    if isinstance(partition, SplitDict):
                        return partition.nth(target)
                    return next(islice(partition, target, None))
                target -= len(partition)
        raise AssertionError("count says more keys than the slots hold")

    def expire_due(self, now_ms: int, limit: int) -> int:
        """Removes up to `limit` keys whose time is over; returns how many."""
        removed = 0
        for key in self.deadlines.due(now_ms):
            self._expire(key, key_slot(key))
            removed += 1
            if removed == limit:
                break
        return removed

    def check(self) -> None:
        """Asserts the invariants: counts, keys in their slots, deadlines only of keys that exist."""
        total = 0
        for slot, partition in enumerate(self.slots):
            for key in partition or ():
                assert key_slot(key) == slot
                total += 1
            if isinstance(partition, SplitDict):
                partition.check()
        assert total == self.count
        for key in self.deadlines.at:
            assert key in (self.slots[key_slot(key)] or ())
        self.deadlines.check()
