"""SCAN: walking all keys a few at a time, without remembering who walks.

The cursor says where to go on: a slot, and a position among the hashes of its keys. Positions go through the
hashes with their bits reversed: 0, half, a quarter, three quarters, … of the low bits. In that order the keys
that share the low n bits of their hash are neighbours for every n, so a step may take a coarse group or a
fine one, and a partition may be split (`partition.py`) between two calls: what comes later in the order is
later at every fineness. Hence the guarantee: a key that is there all the time is met at least once. It may be
met twice only where a group got coarser, which never happens here.

A group is chosen to hold about as many keys as the client asked for. To take it out of its dict the whole
dict is looked at, and no dict has more than `BUCKET_KEYS` keys: a call costs O(COUNT) and that.

The order of slots and hashes is that of this process: a cursor means nothing to another one. Source:
https://redis.io/commands/scan/; the reversed order is Pieter Noordhuis's.
"""

from __future__ import annotations

from itertools import compress

from gossip.slots import SLOT_COUNT
from node.keyspace.database import Database, Partition

_SLOT_BITS = 14
_POSITION_MASK = (1 << 32) - 1
_SLOTS_AT_ONCE = 512
_STEPS_PER_KEY = 10  # empty buckets of a partition that has shrunk are steps too


def scan(database: Database, cursor: int, count: int) -> tuple[int, list[bytes]]:
    """The next keys, `count` or more where there are as many, those included whose time is over.

    Returns the cursor for the next call, 0 at the end, and the keys. Any integer is a cursor.
    """
    slot = cursor & SLOT_COUNT - 1
    position = cursor >> _SLOT_BITS & _POSITION_MASK
    found: list[bytes] = []
    steps = 0
    while True:
        partition = database.slots[slot]
        if partition:
            while True:
                position = _step(partition, position, count, found)
                steps += 1
                if not position or len(found) >= count or steps >= count * _STEPS_PER_KEY:
                    break
            if position:
                return position << _SLOT_BITS | slot, found
        position = 0
        following = _next_slot(database, slot + 1)
        if following is None:
            return 0, found
        slot = following
        if len(found) >= count or steps >= count * _STEPS_PER_KEY:
            return slot, found


def _step(partition: Partition, position: int, count: int, found: list[bytes]) -> int:
    """Adds the group of keys at `position` to `found`; returns the position behind it, 0 at the end."""
    bucket, depth = partition.bucket(position) if not isinstance(partition, dict) else (partition, 0)
    wanted = depth + max(0, (len(bucket) // count).bit_length() - 1)
    # A group coarser than the one the position was made for would have keys of before in it.
    bits = max(wanted, position.bit_length())
    if bits == depth:
        found += bucket
    else:
        mask = (1 << bits) - 1
        low = position & mask
        found += [key for key in bucket if hash(key) & mask == low]
    return _advance(position, bits)


def _advance(position: int, bits: int) -> int:
    """Adds one to a number of `bits` bits whose highest bit is the lowest; 0 behind the last one."""
    bit = 1 << bits >> 1
    while position & bit:
        position ^= bit
        bit >>= 1
    return position | bit


def _next_slot(database: Database, start: int) -> int | None:
    """The first slot from `start` on that has keys."""
    slots = database.slots
    for first in range(start, SLOT_COUNT, _SLOTS_AT_ONCE):
        last = min(first + _SLOTS_AT_ONCE, SLOT_COUNT)
        for slot in compress(range(first, last), slots[first:last]):
            return slot
    return None
