"""A database: keys and values by hash slot, and deadlines.

Partitioning by slot makes counting, listing, scanning, sampling, migrating and snapshotting a slot cheap; a
partition is an ordinary dict, made when its slot gets its first key, and a `SplitDict` once it has more than
`PARTITION_KEYS`. Strings are stored as they are: `bytes`, or `int` when they are an integer in canonical
form. A key whose deadline has passed is as good as gone for every method here: on a primary it is removed at
once and reported, on a replica (whose primary decides) it only is not seen.

Fields of hashes have deadlines too, which are the hash's own affair. `field_deadlines` says of each such key
when to look: not after the first of its fields is due, a little before perhaps where that field has gone.
"""

from __future__ import annotations

import random
import sys
from binascii import crc_hqx
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any

from gossip.slots import SLOT_COUNT, TAG_START, key_slot
from node.keyspace.changes import Changes
from node.keyspace.expire import Deadlines
from node.values.hashes import Hash
from node.values.limits import DEFAULT
from node.values.split_dict import SplitDict, Table, random_key

Value = Any
"""`bytes`, `int`, or an object of `node.values`."""

Partition = Table[Value]

PARTITION_KEYS = 1024
"""Keys up to which a slot is one dict. Fewer would make SCAN cheaper, but a table costs every access some
100 ns, and so only slots of more keys than that pay: those of a hash tag, or of a keyspace of many millions.
"""
BUCKET_KEYS = 682
"""Keys of a bucket of such a table: what a dict of 1024 places holds before it grows."""

_BARE_DICT_BYTES = 400
_PLACE_BYTES = 160  # four times what an entry needs
_LONGEST_FIRST = 8
_RANDOM_TRIES = 100


class Policy:
    """What role and settings let databases do; one object shared by all databases of a node."""

    __slots__ = ("active_expiry", "expires", "obeys")

    def __init__(self) -> None:
        self.expires = True  # False on replicas: keys whose time is over are hidden, not removed
        self.active_expiry = True  # False after DEBUG SET-ACTIVE-EXPIRE 0: keys expire when they are touched
        self.obeys = False  # True while a command of the primary runs: no key's time is over then


class Database:
    """One numbered database. `slots[n]` is the partition of slot n, None while it never had a key.

    `_longest` is what no dict in `slots` is longer than, and `_split_slots` are the slots that have a table
    in place of a dict: `random_key` needs them, and putting keys keeps them at no cost.
    """

    __slots__ = (
        "_changes",
        "_longest",
        "_policy",
        "_split_slots",
        "accesses",
        "count",
        "deadlines",
        "expired_fields_total",
        "expired_total",
        "field_deadlines",
        "hits",
        "index",
        "limits",
        "misses",
        "slots",
    )

    def __init__(self, index: int, changes: Changes, policy: Policy) -> None:
        self.index = index
        self.slots: list[Partition | None] = [None] * SLOT_COUNT
        self.deadlines = Deadlines()
        self.field_deadlines = Deadlines()
        self.limits = DEFAULT  # up to where collections are compact; kept up to date by node.app
        self.accesses: dict[bytes, int] | None = None  # kept by node.observe.access while it is needed
        self.count = 0
        self.hits = 0
        self.misses = 0
        self.expired_total = 0
        self.expired_fields_total = 0
        self._changes = changes
        self._policy = policy
        self._longest = _LONGEST_FIRST
        self._split_slots: set[int] = set()

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
            if self.remove(key, slot) is None:
                return True  # its slot has been lifted out
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
            if before == self._longest:
                self._outgrown(slot)
        elif self.deadlines.at or self.field_deadlines.at:
            self.deadlines.discard(key)
            self.field_deadlines.discard(key)

    def put_all(self, keys: list[bytes], values: list[Value]) -> None:
        """Stores values for keys of any slots as `put` does, in less time than one by one."""
        slots = self.slots
        has_deadlines = self.deadlines.at or self.field_deadlines.at
        for key, value in zip(keys, values, strict=True):
            slot = crc_hqx(key, 0) & 16383 if TAG_START not in key else key_slot(key)
            partition = slots[slot]
            if partition is None or has_deadlines:
                self.put(key, slot, value)
                continue
            before = len(partition)
            partition[key] = value
            if len(partition) != before:
                self.count += 1
                if before == self._longest:
                    self._outgrown(slot)

    def adopt(self, key: bytes, slot: int, value: Value, deadline_ms: int | None) -> None:
        """Stores a value that was made elsewhere (another key, a file), whose fields may have deadlines."""
        self.put(key, slot, value)
        if deadline_ms is not None:
            self.deadlines.set(key, deadline_ms)
        if type(value) is Hash:
            self._watch_fields(key, value)

    def adopt_strings(self, keys: list[bytes], values: list[bytes | int]) -> int:
        """Stores values without deadlines under keys that are not there; returns how many of them were."""
        slots = self.slots
        longest = self._longest
        there = 0
        for key, value, crc in zip(keys, values, map(crc_hqx, keys, repeat(0)), strict=False):
            slot = crc & 16383 if TAG_START not in key else key_slot(key)
            partition = slots[slot]
            if partition is None:
                slots[slot] = {key: value}
                continue
            before = len(partition)
            partition[key] = value
            if len(partition) == before:
                there += 1
            elif before == longest:
                self._outgrown(slot)
                longest = self._longest
        self.count += len(keys) - there
        return there

    def update(self, key: bytes, slot: int, value: Value) -> None:
        """Stores a value and keeps the key's deadline."""
        partition = self.slots[slot]
        if partition is None:
            partition = self.slots[slot] = {}
        before = len(partition)
        partition[key] = value
        if len(partition) != before:
            self.count += 1
            if before == self._longest:
                self._outgrown(slot)

    def _outgrown(self, slot: int) -> None:
        partition = self.slots[slot]
        if not isinstance(partition, dict):
            return
        if self._longest < PARTITION_KEYS:
            self._longest = min(self._longest * 2, PARTITION_KEYS)
        else:
            self.slots[slot] = SplitDict(partition, BUCKET_KEYS)
            self._split_slots.add(slot)

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
            if self.field_deadlines.at:
                self.field_deadlines.discard(key)
            if self.accesses:
                self.accesses.pop(key, None)
        return value

    def trim(self, slot: int) -> None:
        """Gives back what a slot's dict holds for keys that are gone, where that is most of it: a dict never
        shrinks by itself.
        """
        partition = self.slots[slot]
        if not partition:
            self.slots[slot] = None
            self._split_slots.discard(slot)
        elif type(partition) is dict and sys.getsizeof(partition) > _BARE_DICT_BYTES + _PLACE_BYTES * len(
            partition
        ):
            self.slots[slot] = dict(partition)

    def set_deadline(self, key: bytes, deadline_ms: int) -> None:
        """The key must exist."""
        self.deadlines.set(key, deadline_ms)

    def clear_deadline(self, key: bytes) -> bool:
        """False when the key had none."""
        return self.deadlines.discard(key)

    # Deadlines of fields

    def fields_ms(self, now_ms: int) -> int:
        """The time by which a replica hides fields from its clients; 0, which hides none, while the primary's
        commands run.
        """
        return 0 if self._policy.obeys else now_ms

    def set_field_deadline(self, key: bytes, value: Hash, field: bytes, deadline_ms: int) -> None:
        """`value` is the hash at `key`, and has the field."""
        value.set_deadline(field, deadline_ms)
        due_ms = self.field_deadlines.at.get(key)
        if due_ms is None or deadline_ms < due_ms:
            self.field_deadlines.set(key, deadline_ms)

    def expire_fields(self, key: bytes, slot: int, now_ms: int, limit: int = sys.maxsize) -> bool:
        """Removes up to `limit` fields of a hash whose time is over; True when the key went with the last.

        Called for keys of which `field_deadlines` says so. Nothing is removed on a replica.
        """
        if not self._policy.expires or self._policy.obeys:
            return False
        partition = self.slots[slot]
        value = None if partition is None else partition.get(key)
        assert type(value) is Hash, "only hashes have fields that expire"
        over = value.expire_due(now_ms, limit)
        emptied = not len(value)
        if emptied:
            self.remove(key, slot)
        else:
            self._watch_fields(key, value)
        if over:
            self.expired_fields_total += len(over)
            self._changes.fields_expired(self.index, key, over, emptied)
        return emptied

    def _watch_fields(self, key: bytes, value: Hash) -> None:
        due_ms = value.next_deadline()
        if due_ms is None:
            self.field_deadlines.discard(key)
        else:
            self.field_deadlines.set(key, due_ms)

    def clear(self) -> None:
        self.slots = [None] * SLOT_COUNT
        self.deadlines = Deadlines()
        self.field_deadlines = Deadlines()
        self.count = 0
        self._longest = _LONGEST_FIRST
        self._split_slots = set()
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
        if self.field_deadlines.at:
            for key in partition:
                self.field_deadlines.discard(key)
        if self.accesses:
            for key in partition:
                self.accesses.pop(key, None)
        self.slots[slot] = None
        self._split_slots.discard(slot)
        self.count -= len(partition)
        return len(partition)

    def lift_slot(self, slot: int) -> Partition | None:
        """Takes a slot's keys out at once, out of sight; `forget_lifted` is to follow for each of them."""
        partition = self.slots[slot]
        if not partition:
            return None
        self.slots[slot] = None
        self._split_slots.discard(slot)
        self.count -= len(partition)
        if self.field_deadlines.at:
            for key in partition:
                self.field_deadlines.discard(key)
        return partition

    def forget_lifted(self, key: bytes) -> None:
        """What is known of a key beside its value."""
        if self.deadlines.at:
            self.deadlines.discard(key)
        if self.accesses:
            self.accesses.pop(key, None)

    def absorb(self, other: Database) -> None:
        """Moves all of another database in here, whose slots are empty here: at once, however many keys."""
        for slot, partition in enumerate(other.slots):
            if not partition:
                continue
            assert not self.slots[slot], "the slot has keys here"
            self.slots[slot] = partition
            if not isinstance(partition, dict):
                self._split_slots.add(slot)
        self.count += other.count
        self._longest = max(self._longest, other._longest)
        self.deadlines.absorb(other.deadlines)
        self.field_deadlines.absorb(other.field_deadlines)
        other.slots, other.count = [], 0

    def swap_contents(self, other: Database) -> None:
        """SWAPDB: the two keep their numbers and counters and exchange all else."""
        self.slots, other.slots = other.slots, self.slots
        self.deadlines, other.deadlines = other.deadlines, self.deadlines
        self.field_deadlines, other.field_deadlines = other.field_deadlines, self.field_deadlines
        self.count, other.count = other.count, self.count
        self._longest, other._longest = other._longest, self._longest
        self._split_slots, other._split_slots = other._split_slots, self._split_slots
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
        target = int(rng.random() * self.count)
        for slot in self._split_slots:
            partition = self.slots[slot]
            assert partition is not None
            if target < len(partition):
                return random_key(partition, rng)
            target -= len(partition)
        return self._random_key_in_dicts(rng, target)

    @property
    def is_sparse(self) -> bool:
        """Whether slots are so empty that to look for a random key is to look at many of them."""
        return self.count * _RANDOM_TRIES < SLOT_COUNT * self._longest

    def random_keys(self, rng: random.Random, count: int) -> list[bytes]:
        """`count` keys or a few more, perhaps some twice: each as likely, in little more time than one.

        Those of one slot come together, at even steps: hashes put keys of all ages into each slot, and steps
        spread over them. A slot is taken as often as its keys make up for. Only for one that is not sparse.
        """
        slots, longest = self.slots, self._longest
        keys: list[bytes] = []
        for _ in range(0 if self._split_slots else _RANDOM_TRIES * count):
            place = rng.random() * SLOT_COUNT
            slot = int(place)
            partition = slots[slot]
            if partition and (size := max(count, len(partition))) > (place - slot) * longest:
                there = list(partition)
                if size == count:
                    keys += there
                else:
                    first, step = int(rng.random() * size), size // count
                    keys += [there[(first + nth) % size] for nth in range(0, count * step, step)]
                if len(keys) >= count:
                    return keys
        return [key for _ in range(count) if (key := self.random_key(rng)) is not None]

    def _random_key_in_dicts(self, rng: random.Random, target: int) -> bytes:
        """A key of the slots that are one dict; `target` is a random number below how many they have.

        A slot and a place in it are tried, each place with the same chance and as many to each slot as the
        longest has. With few keys that is hopeless, but then counting up to the target is quick.
        """
        slots, longest = self.slots, self._longest
        for _ in range(0 if self.is_sparse else _RANDOM_TRIES):
            place = rng.random() * SLOT_COUNT
            slot = int(place)
            partition = slots[slot]
            if type(partition) is dict:
                nth = int((place - slot) * longest)
                if nth < len(partition):
                    return next(islice(partition, nth, None))
        partitions: Iterator[Partition] = filter(None, slots)
        for partition in partitions:
            if type(partition) is dict:
                if target < len(partition):
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

    def expire_due_fields(self, now_ms: int, limit: int) -> int:
        """Removes fields whose time is over, up to `limit` of up to `limit` hashes; returns of how many."""
        visited = 0
        for key in self.field_deadlines.due(now_ms):
            self.expire_fields(key, key_slot(key), now_ms, limit)
            visited += 1
            if visited == limit:
                break
        return visited

    def check(self) -> None:
        """Asserts the invariants: counts, keys in their slots, deadlines only of keys that exist."""
        total = 0
        for slot, partition in enumerate(self.slots):
            for key in partition or ():
                assert key_slot(key) == slot
                total += 1
            if isinstance(partition, SplitDict):
                partition.check()
            assert isinstance(partition, SplitDict) == (slot in self._split_slots)
            assert not isinstance(partition, dict) or len(partition) <= self._longest <= PARTITION_KEYS
        assert total == self.count
        for key in self.deadlines.at:
            assert key in (self.slots[key_slot(key)] or ())
        self.deadlines.check()
        for key, due_ms in self.field_deadlines.at.items():
            value = (self.slots[key_slot(key)] or {}).get(key)
            assert type(value) is Hash
            assert due_ms <= (value.next_deadline() or due_ms)
        for partition in self.slots:
            for key, value in (partition or {}).items():
                assert type(value) is not Hash or not value.has_deadlines or key in self.field_deadlines.at
        self.field_deadlines.check()
