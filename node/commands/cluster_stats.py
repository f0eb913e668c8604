"""CLUSTER SLOT-STATS: counters by slot.

Keys are counted always, and memory is estimated from a few keys of a slot whenever it is asked for. The rest
(`node.observe.slot_counters`) costs every command something and is there while cluster-slot-stats-enabled is
yes.

Source: https://valkey.io/commands/cluster-slot-stats/; memory-bytes is of Redis 8.2, operations our own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice

from node.cluster.access import ClusterAccess
from node.command.args import SYNTAX, bounded
from node.command.call import Call
from node.command.spec import LOADING, STALE, command
from node.commands.cluster_admin import slot_argument
from node.errors import CommandError
from node.keyspace.database import Database
from node.observe.slot_counters import COUNTED, SlotCounters
from node.resp.encode import array, bulk
from node.resp.encode import integer as number

MAX_LIMIT = 16384
SAMPLED_KEYS_MAX = 16
SAMPLED_KEYS_ALL = 16384
"""At most so many keys of all slots of a request are looked at, and at least one of each slot."""
_ENTRY_BYTES = 100  # of a key in a dict
_DEADLINE_BYTES = 150


@command(
    b"CLUSTER|SLOT-STATS", arity=-4, group="cluster", since="8.0.0", flags=LOADING | STALE,
    complexity="O(N) where N is the total number of slots based on arguments. "
    "O(N*log(N)) with ORDERBY subcommand.",
    tips=["nondeterministic_output", "request_policy:all_shards"], needs=(ClusterAccess, SlotCounters),
)  # fmt: skip
def slot_stats(access: ClusterAccess, counters: SlotCounters, call: Call, argv: list[bytes]) -> bytes:
    """Returns an array of slot usage statistics for slots assigned to the current node."""
    mine = access.cluster.core.state.my_primary
    owned = list(mine.slots) if mine is not None else []
    form = argv[2].upper()
    if form == b"SLOTSRANGE" and len(argv) == 5:
        first, last = slot_argument(argv[3]), slot_argument(argv[4])
        if first > last:
            raise CommandError(b"ERR Start slot number %d is greater than end slot number %d" % (first, last))
        return _render(call, counters, [slot for slot in owned if first <= slot <= last])
    if form == b"ORDERBY":
        metric = _metric(call.databases[0], counters, argv[3].lower().decode("latin-1"), len(owned))
        limit, descending = _order(argv)
        values = {slot: metric(slot) for slot in owned}
        ranked = sorted(owned, key=lambda slot: (-values[slot] if descending else values[slot], slot))
        return _render(call, counters, ranked[:limit])
    raise CommandError(SYNTAX)


def _metric(database: Database, counters: SlotCounters, name: str, slots: int) -> Callable[[int], int]:
    """What to order by. Raises CommandError for what is not counted."""
    if name == "key-count":
        return database.slot_count
    if name == "memory-bytes":
        samples = _samples(slots)
        return lambda slot: _memory_bytes(database, slot, samples)
    if name in COUNTED and counters.totals is not None:
        return counters.totals[name].__getitem__
    raise CommandError(b"ERR Unrecognized sort metric for ORDERBY.")


def _order(argv: list[bytes]) -> tuple[int, bool]:
    """(limit, descending) of `ORDERBY metric [LIMIT n] [ASC|DESC]`. Raises CommandError."""
    limit, descending = MAX_LIMIT, True
    position = 4
    seen: set[bytes] = set()
    while position < len(argv):
        word = argv[position].upper()
        if word == b"LIMIT" and position + 1 < len(argv):
            wrong = b"ERR Limit has to lie in between 1 and 16384 (maximum number of slots)."
            limit = bounded(argv[position + 1], 1, MAX_LIMIT, wrong)
            position += 1
        elif word in (b"ASC", b"DESC"):
            descending = word == b"DESC"
        else:
            raise CommandError(SYNTAX)
        kind = b"LIMIT" if word == b"LIMIT" else b"DIRECTION"
        if kind in seen:
            raise CommandError(b"ERR Multiple filters of the same type are disallowed.")
        seen.add(kind)
        position += 1
    return limit, descending


def _samples(slots: int) -> int:
    """Of how many keys of each slot the size is looked at."""
    return max(1, min(SAMPLED_KEYS_MAX, SAMPLED_KEYS_ALL // max(1, slots)))


def _memory_bytes(database: Database, slot: int, samples: int) -> int:
    """An estimate of what keys and values of a slot take."""
    partition = database.slots[slot]
    if not partition:
        return 0
    sizes = [_entry_bytes(database, key, value) for key, value in islice(partition.items(), samples)]
    return sum(sizes) * len(partition) // len(sizes)


def _entry_bytes(database: Database, key: bytes, value: object) -> int:
    measure = getattr(value, "memory_bytes", None)
    size: int = sys.getsizeof(value) if measure is None else measure()
    deadline_bytes = _DEADLINE_BYTES if database.deadlines.at and key in database.deadlines.at else 0
    return sys.getsizeof(key) + _ENTRY_BYTES + size + deadline_bytes


def _render(call: Call, counters: SlotCounters, slots: list[int]) -> bytes:
    database = call.databases[0]
    samples = _samples(len(slots))
    totals = counters.totals or {}
    rows = []
    for slot in slots:
        fields = [(bulk(b"key-count"), number(database.slot_count(slot)))]
        fields += [(bulk(name.encode()), number(counts[slot])) for name, counts in totals.items()]
        fields.append((bulk(b"memory-bytes"), number(_memory_bytes(database, slot, samples))))
        rows.append(array([number(slot), call.reply.map(fields)]))
    return array(rows)
