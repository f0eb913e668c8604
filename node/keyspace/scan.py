"""SCAN: the keys of a database a few at a time, without remembering who walks.

The cursor says where to go on: a slot, and a position among the hashes of its keys, which are gone through as
`node.values.split_dict` does: there is the reason why a key that is there all the time is met at least once.

A step takes a group of about as many keys as the client asked for. To take it out of its dict the whole dict
is looked at, and none has more than `PARTITION_KEYS` keys: a call costs O(COUNT) and that.

The order of slots and hashes is that of this process: a cursor means nothing to another one. Source:
https://redis.io/commands/scan/.
"""

from __future__ import annotations

from itertools import compress

from gossip.slots import SLOT_COUNT
from node.keyspace.database import Database
from node.values.split_dict import POSITION_MASK, STEPS_PER_KEY, scan_step

_SLOT_BITS = 14
_SLOTS_AT_ONCE = 512


def scan(database: Database, cursor: int, count: int) -> tuple[int, list[bytes]]:
    """The next keys, `count` or more where there are as many, those included whose time is over.

    Returns the cursor for the next call, 0 at the end, and the keys. Any integer is a cursor.
    """
    slot = cursor & SLOT_COUNT - 1
    position = cursor >> _SLOT_BITS & POSITION_MASK
    found: list[bytes] = []
    steps = 0
    while True:
        partition = database.slots[slot]
        if partition:
            while True:
                position = scan_step(partition, position, count, found)
                steps += 1
                if not position or len(found) >= count or steps >= count * STEPS_PER_KEY:
                    break
            if position:
                return position << _SLOT_BITS | slot, found
        position = 0
        following = _next_slot(database, slot + 1)
        if following is None:
            return 0, found
        slot = following
        if len(found) >= count or steps >= count * STEPS_PER_KEY:
            return slot, found


def _next_slot(database: Database, start: int) -> int | None:
    """The first slot from `start` on that has keys."""
    slots = database.slots
    for first in range(start, SLOT_COUNT, _SLOTS_AT_ONCE):
        last = min(first + _SLOTS_AT_ONCE, SLOT_COUNT)
        for slot in compress(range(first, last), slots[first:last]):
            return slot
    return None
