"""What keys take in memory: estimates, from the sizes of the objects they are made of.

Of a big collection a few elements are looked at and stand for all. What the allocators round up to, and what
several keys share, is not seen.
"""

from __future__ import annotations

import sys

from node.keyspace.database import Database, Value

_ENTRY_BYTES = 36  # of a dict, its spare places included
_DEADLINE_BYTES = 2 * _ENTRY_BYTES + 32  # by key and by time, and the number


def value_bytes(value: Value, samples: int = 5) -> int:
    """A value; of collections `samples` elements are measured, all with 0."""
    if isinstance(value, bytes | int | bytearray):
        return sys.getsizeof(value)
    size: int = value.memory_bytes(samples)
    return size


def key_bytes(database: Database, key: bytes, value: Value, samples: int = 5) -> int:
    """A key with its value and what the database keeps of both."""
    size = sys.getsizeof(key) + _ENTRY_BYTES + value_bytes(value, samples)
    if key in database.deadlines.at:
        size += _DEADLINE_BYTES
    if database.accesses and key in database.accesses:
        size += _ENTRY_BYTES
    return size


def table_bytes(database: Database) -> int:
    """The tables of all keys, without keys and values."""
    size = sys.getsizeof(database.slots)
    for partition in database.slots:
        if isinstance(partition, dict):
            size += sys.getsizeof(partition)
        elif partition is not None:
            size += partition.table_bytes()
    return size


def deadlines_bytes(database: Database) -> int:
    """What is kept of deadlines."""
    return len(database.deadlines.at) * _DEADLINE_BYTES
