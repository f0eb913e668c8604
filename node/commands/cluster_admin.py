"""CLUSTER subcommands that change the cluster: arguments are checked here, the rules are the gossip core's.
SETSLOT has a file of its own.

Source: https://redis.io/commands/?group=cluster
"""

from __future__ import annotations

from collections.abc import Iterable

from gossip.admin import FailoverMode
from gossip.slots import SLOT_COUNT
from node.cluster.access import ClusterAccess
from node.command.args import SYNTAX, integer
from node.command.call import Call
from node.command.spec import ADMIN, NO_ASYNC_LOADING, NOSCRIPT, STALE, command
from node.errors import CommandError
from node.integers import parse_integer
from node.resp.encode import OK, simple

ADMINISTRATION = ADMIN | STALE | NO_ASYNC_LOADING
BUS_PORT_OFFSET = 10_000
_BY_RANGE = "O(N) where N is the total number of the slots between the start slot and end slot arguments."


def slot_argument(text: bytes) -> int:
    """A slot number. Raises CommandError."""
    slot = parse_integer(text)
    if slot is None or not 0 <= slot < SLOT_COUNT:
        raise CommandError(b"ERR Invalid or out of range slot")
    return slot


def node_argument(text: bytes) -> str:
    """A node id as the core looks it up; one that is no id is simply not known."""
    return text.decode("latin-1")


def _ranges(argv: list[bytes]) -> Iterable[int]:
    """Slots of `<first> <last>` pairs. Raises CommandError."""
    if len(argv) % 2:
        name = b"|".join(argv[:2]).lower()
        raise CommandError(b"ERR wrong number of arguments for '%b' command" % name)
    slots: list[int] = []
    for position in range(2, len(argv), 2):
        first, last = slot_argument(argv[position]), slot_argument(argv[position + 1])
        if first > last:
            raise CommandError(b"ERR start slot number %d is greater than end slot number %d" % (first, last))
        slots += range(first, last + 1)
    return slots


@command(
    b"CLUSTER|MEET", arity=-4, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def meet(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Forces a node to handshake with another node."""
    cluster = access.cluster
    if len(argv) > 5:
        raise CommandError(b"ERR wrong number of arguments for 'cluster|meet' command")
    port = parse_integer(argv[3])
    if port is None:
        raise CommandError(b"ERR Invalid base port specified: %b" % argv[3])
    bus_port: int | None = port + BUS_PORT_OFFSET
    if len(argv) == 5:
        bus_port = parse_integer(argv[4])
    if bus_port is None:
        raise CommandError(b"ERR Invalid bus port specified: %b" % argv[4])
    host, to = argv[2].decode("latin-1"), bus_port
    cluster.order(lambda core, now_ms: core.meet(host, port, to, now_ms))
    return OK


@command(
    b"CLUSTER|FORGET", arity=3, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def forget(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Removes a node from the nodes table."""
    access.cluster.order(lambda core, now_ms: core.forget(node_argument(argv[2]), now_ms))
    return OK


@command(
    b"CLUSTER|REPLICATE", arity=3, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def replicate(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Configures a node as replica of a master node."""
    access.cluster.order(lambda core, now_ms: core.replicate(node_argument(argv[2]), now_ms))
    return OK


@command(
    b"CLUSTER|FAILOVER", arity=-2, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def failover(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Forces a replica to perform a manual failover of its master."""
    cluster = access.cluster
    mode = FailoverMode.NORMAL
    if len(argv) > 2:
        wanted = argv[2].upper()
        if len(argv) > 3 or wanted not in (b"FORCE", b"TAKEOVER"):
            raise CommandError(SYNTAX)
        mode = FailoverMode(wanted.decode())
    cluster.order(lambda core, now_ms: core.failover(mode, now_ms))
    return OK


@command(
    b"CLUSTER|RESET", arity=-2, group="cluster", since="3.0.0", flags=ADMIN | STALE | NOSCRIPT,
    complexity="O(N) where N is the number of known nodes. "
    "The command may execute a FLUSHALL as a side effect.",
    needs=ClusterAccess,
)  # fmt: skip
def reset(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Resets a node."""
    cluster = access.cluster
    wanted = argv[2].upper() if len(argv) > 2 else b"SOFT"
    if len(argv) > 3 or wanted not in (b"HARD", b"SOFT"):
        raise CommandError(SYNTAX)
    cluster.order(lambda core, now_ms: core.reset(now_ms, hard=wanted == b"HARD"))
    return OK


@command(
    b"CLUSTER|ADDSLOTS", arity=-3, group="cluster", since="3.0.0", flags=ADMINISTRATION,
    complexity="O(N) where N is the total number of hash slot arguments", needs=ClusterAccess,
)  # fmt: skip
def addslots(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Assigns new hash slots to a node."""
    access.require()
    slots = [slot_argument(text) for text in argv[2:]]
    access.cluster.order(lambda core, now_ms: core.add_slots(slots, now_ms))
    return OK


@command(
    b"CLUSTER|ADDSLOTSRANGE", arity=-4, group="cluster", since="7.0.0", flags=ADMINISTRATION,
    complexity=_BY_RANGE, needs=ClusterAccess,
)  # fmt: skip
def addslotsrange(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Assigns new hash slot ranges to a node."""
    access.require()
    slots = _ranges(argv)
    access.cluster.order(lambda core, now_ms: core.add_slots(slots, now_ms))
    return OK


@command(
    b"CLUSTER|DELSLOTS", arity=-3, group="cluster", since="3.0.0", flags=ADMINISTRATION,
    complexity="O(N) where N is the total number of hash slot arguments", needs=ClusterAccess,
)  # fmt: skip
def delslots(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Sets hash slots as unbound for a node."""
    access.require()
    slots = [slot_argument(text) for text in argv[2:]]
    access.cluster.order(lambda core, now_ms: core.del_slots(slots, now_ms))
    return OK


@command(
    b"CLUSTER|DELSLOTSRANGE", arity=-4, group="cluster", since="7.0.0", flags=ADMINISTRATION,
    complexity=_BY_RANGE, needs=ClusterAccess,
)  # fmt: skip
def delslotsrange(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Sets hash slot ranges as unbound for a node."""
    access.require()
    slots = _ranges(argv)
    access.cluster.order(lambda core, now_ms: core.del_slots(slots, now_ms))
    return OK


@command(
    b"CLUSTER|FLUSHSLOTS", arity=2, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def flushslots(access: ClusterAccess, _call: Call, _argv: list[bytes]) -> bytes:
    """Deletes all slots information from a node."""
    access.cluster.order(lambda core, now_ms: core.flush_slots(now_ms))
    return OK


@command(
    b"CLUSTER|BUMPEPOCH", arity=2, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def bumpepoch(access: ClusterAccess, _call: Call, _argv: list[bytes]) -> bytes:
    """Advances the cluster config epoch."""
    bumped, epoch = access.cluster.order(lambda core, now_ms: core.bump_epoch(now_ms))
    return simple(b"%b %d" % (b"BUMPED" if bumped else b"STILL", epoch))


@command(
    b"CLUSTER|SET-CONFIG-EPOCH", arity=3, group="cluster", since="3.0.0", flags=ADMINISTRATION,
    complexity="O(1)", needs=ClusterAccess,
)  # fmt: skip
def set_config_epoch(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Sets the configuration epoch for a new node."""
    cluster = access.cluster
    epoch = integer(argv[2])
    cluster.order(lambda core, now_ms: core.set_config_epoch(epoch, now_ms))
    return OK


@command(
    b"CLUSTER|SAVECONFIG", arity=2, group="cluster", since="3.0.0", flags=ADMINISTRATION, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def saveconfig(access: ClusterAccess, _call: Call, _argv: list[bytes]) -> bytes:
    """Forces a node to save the cluster configuration to disk."""
    access.cluster.order(lambda core, now_ms: core.save_config(now_ms))
    return OK
