"""CLUSTER SLOT-STATS: counters by slot.

Keys are counted always. CPU time and network bytes by slot would cost every command something, and are not
collected; asking to order by them is an error, as it is in Valkey while cluster-slot-stats-enabled is no.

Source: https://valkey.io/commands/cluster-slot-stats/
"""

from __future__ import annotations

from node.cluster.access import ClusterAccess
from node.command.args import SYNTAX, bounded
from node.command.call import Call
from node.command.spec import LOADING, STALE, command
from node.commands.cluster_admin import slot_argument
from node.errors import CommandError
from node.resp.encode import array, bulk
from node.resp.encode import integer as number

MAX_LIMIT = 16384


@command(
    b"CLUSTER|SLOT-STATS", arity=-4, group="cluster", since="8.0.0", flags=LOADING | STALE,
    complexity="O(N) where N is the total number of slots based on arguments. "
    "O(N*log(N)) with ORDERBY subcommand.",
    tips=["nondeterministic_output", "request_policy:all_shards"], needs=ClusterAccess,
)  # fmt: skip
def slot_stats(access: ClusterAccess, call: Call, argv: list[bytes]) -> bytes:
    """Returns an array of slot usage statistics for slots assigned to the current node."""
    mine = access.cluster.core.state.my_primary
    owned = mine.slots if mine is not None else ()
    form = argv[2].upper()
    if form == b"SLOTSRANGE" and len(argv) == 5:
        first, last = slot_argument(argv[3]), slot_argument(argv[4])
        if first > last:
            raise CommandError(b"ERR Start slot number %d is greater than end slot number %d" % (first, last))
        return _render(call, [slot for slot in range(first, last + 1) if slot in owned])
    if form == b"ORDERBY":
        limit, descending = _order(argv)
        database = call.databases[0]
        ranked = sorted(owned, key=database.slot_count, reverse=descending)
        return _render(call, ranked[:limit])
    raise CommandError(SYNTAX)


def _order(argv: list[bytes]) -> tuple[int, bool]:
    """(limit, descending) of `ORDERBY metric [LIMIT n] [ASC|DESC]`. Raises CommandError."""
    if argv[3].lower() != b"key-count":
        raise CommandError(b"ERR Unrecognized sort metric for ORDERBY.")
    limit, descending = MAX_LIMIT, True
    position = 4
    seen: set[bytes] = set()
    while position < len(argv):
        word = argv[position].upper()
        kind = b"LIMIT" if word == b"LIMIT" else b"DIRECTION"
        if kind in seen:
            raise CommandError(SYNTAX)
        seen.add(kind)
        if word == b"LIMIT" and position + 1 < len(argv):
            wrong = b"ERR Limit has to lie in between 1 and 16384 (maximum number of slots)."
            limit = bounded(argv[position + 1], 1, MAX_LIMIT, wrong)
            position += 1
        elif word in (b"ASC", b"DESC"):
            descending = word == b"DESC"
        else:
            raise CommandError(SYNTAX)
        position += 1
    return limit, descending


def _render(call: Call, slots: list[int]) -> bytes:
    database = call.databases[0]
    return array(
        [
            array([number(slot), call.reply.map([(bulk(b"key-count"), number(database.slot_count(slot)))])])
            for slot in slots
        ]
    )
