"""CLUSTER, READONLY, READWRITE and ASKING: the reading half. What changes the cluster is in cluster_admin.py.

Source: https://redis.io/commands/?group=cluster
"""

from __future__ import annotations

from gossip.errors import ClusterError
from gossip.member import Member
from gossip.slots import key_slot
from node.cluster import views
from node.cluster.access import ClusterAccess
from node.cluster.endpoints import Audience, audience
from node.command.args import integer
from node.command.call import Call
from node.command.help import help_reply
from node.command.spec import ADMIN, FAST, LOADING, STALE, command, container
from node.errors import CommandError
from node.resp.encode import OK, array, bulk, bulks
from node.resp.encode import integer as number

ANY_TIME = LOADING | STALE

container(b"CLUSTER", group="cluster", since="3.0.0", summary="A container for Redis Cluster commands.")

_HELP = (
    "ADDSLOTS <slot> [<slot> ...]", "    Assign slots to this node.",
    "ADDSLOTSRANGE <first> <last> [<first> <last> ...]", "    Assign ranges of slots to this node.",
    "CANCELSLOTMIGRATIONS [ALL]", "    End all atomic migrations away from this node.",
    "BUMPEPOCH", "    Give this node a config epoch of its own, above all others.",
    "COUNT-FAILURE-REPORTS <node-id>", "    How many primaries report the node as failing.",
    "COUNTKEYSINSLOT <slot>", "    How many keys of the slot are here.",
    "DELSLOTS <slot> [<slot> ...]", "    Unassign slots, in this node's view.",
    "DELSLOTSRANGE <first> <last> [<first> <last> ...]", "    Unassign ranges of slots, in this node's view.",
    "FAILOVER [FORCE|TAKEOVER]", "    Make this replica the primary of its shard.",
    "FLUSHSLOTS", "    Unassign all slots of this node; it must be empty.",
    "FORGET <node-id>", "    Remove a node from this node's view.",
    "GETKEYSINSLOT <slot> <count>", "    Up to so many keys of the slot.",
    "GETSLOTMIGRATIONS", "    Atomic migrations of slots from and to this node.",
    "INFO", "    The state of the cluster and counters of the bus.",
    "KEYSLOT <key>", "    The slot of a key.",
    "LINKS", "    The bus links of this node.",
    "MEET <ip> <port> [<bus-port>]", "    Join this node and another one.",
    "MIGRATESLOTS SLOTSRANGE <first> <last> [<first> <last> ...] NODE <node-id> [SLOTSRANGE ...]",
    "    Move slots with their keys to another node at one go.",
    "MYID", "    The id of this node.",
    "MYSHARDID", "    The id of this node's shard.",
    "NODES", "    The nodes as this node sees them, a line each.",
    "REPLICAS <node-id>", "    The replicas of a primary.",
    "REPLICATE <node-id>", "    Make this node a replica of that one.",
    "RESET [HARD|SOFT]", "    Leave the cluster; HARD also takes a new id and forgets the epochs.",
    "SAVECONFIG", "    Write nodes.conf.",
    "SET-CONFIG-EPOCH <epoch>", "    Give a new node its config epoch.",
    "SETSLOT <slot> (IMPORTING|MIGRATING|NODE <node-id>|STABLE) [TIMEOUT <ms>]",
    "    Set a slot's state, at the replicas first; fail when they do not acknowledge it in time (2 s).",
    "SHARDS", "    The shards with their slots and nodes.",
    "SLOTS", "    Ranges of slots with the nodes that serve them.",
    "SLOT-STATS (SLOTSRANGE <first> <last>|ORDERBY <metric> [LIMIT <n>] [ASC|DESC])", "    Counters by slot.",
)  # fmt: skip


@command(
    b"CLUSTER|HELP", arity=2, group="cluster", since="5.0.0", flags=ANY_TIME, complexity="O(1)",
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the different subcommands."""
    return help_reply("CLUSTER", _HELP)


@command(
    b"CLUSTER|INFO", arity=2, group="cluster", since="3.0.0", flags=ANY_TIME, complexity="O(1)",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def info(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Returns information about the state of a node."""
    return call.reply.verbatim(_lines(views.info_lines(access.cluster)))


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


@command(
    b"CLUSTER|NODES", arity=2, group="cluster", since="3.0.0", flags=ANY_TIME,
    complexity="O(N) where N is the total number of Cluster nodes",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def nodes(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Returns the cluster configuration for a node."""
    cluster = access.cluster
    lines = views.node_lines(cluster, cluster.core.state.members.values(), _audience(access, call))
    return call.reply.verbatim("".join(f"{line}\n" for line in lines).encode())


def _audience(access: ClusterAccess, call: Call) -> Audience:
    session = call.session
    return audience(access.config, session.address, over_tls=session.over_tls)


@command(
    b"CLUSTER|MYID", arity=2, group="cluster", since="3.0.0", flags=ANY_TIME, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def myid(access: ClusterAccess, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns the ID of a node."""
    return bulk(access.cluster.core.state.me.node_id.encode())


@command(
    b"CLUSTER|MYSHARDID", arity=2, group="cluster", since="7.2.0", flags=ANY_TIME, complexity="O(1)",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def myshardid(access: ClusterAccess, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns the shard ID of a node."""
    return bulk(access.cluster.core.state.me.shard_id.encode())


@command(
    b"CLUSTER|SLOTS", arity=2, group="cluster", since="3.0.0", flags=ANY_TIME,
    complexity="O(N) where N is the total number of Cluster nodes",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def slots(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Returns the mapping of cluster slots to nodes."""
    cluster = access.cluster
    told = _audience(access, call)
    entries = []
    for first, last, members in views.slot_ranges(cluster):
        serving = [_endpoint(call, views.endpoint(member, told)) for member in members]
        entries.append(array([number(first), number(last), *serving]))
    return array(entries)


def _endpoint(call: Call, endpoint: views.Endpoint) -> bytes:
    host = call.reply.null if endpoint.host is None else bulk(endpoint.host.encode())
    metadata = [(bulk(name.encode()), bulk(value.encode())) for name, value in endpoint.metadata]
    return array([host, number(endpoint.port), bulk(endpoint.node_id.encode()), call.reply.map(metadata)])


@command(
    b"CLUSTER|SHARDS", arity=2, group="cluster", since="7.0.0", flags=ANY_TIME,
    complexity="O(N) where N is the total number of cluster nodes",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def shards(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Returns the mapping of cluster slots to shards."""
    entries = []
    for members in views.shards(access.cluster):
        ranges = [number(bound) for pair in members[0].slots.ranges() for bound in pair]
        described = [_shard_node(access, call, member) for member in members]
        entries.append(call.reply.map([(bulk(b"slots"), array(ranges)), (bulk(b"nodes"), array(described))]))
    return array(entries)


def _shard_node(access: ClusterAccess, call: Call, member: Member) -> bytes:
    told = _audience(access, call)
    host = told.host(member)
    plain_port, tls_port = member.port, member.plain_port
    if access.cluster.core.state.tls_first:
        plain_port, tls_port = tls_port, plain_port
    facts: list[tuple[bytes, bytes]] = [(b"id", bulk(member.node_id.encode()))]
    if plain_port:
        facts.append((b"port", number(plain_port)))
    if tls_port:
        facts.append((b"tls-port", number(tls_port)))
    facts += [
        (b"ip", bulk(told.ip(member).encode())),
        (b"endpoint", call.reply.null if host is None else bulk(host.encode())),
    ]
    if member.hostname:
        facts.append((b"hostname", bulk(member.hostname.encode())))
    offset = access.host.offset() if member.myself else member.offset
    facts += [
        (b"role", bulk(b"replica" if member.is_replica else b"master")),
        (b"replication-offset", number(offset)),
        (b"health", bulk(views.health(member, access.is_loading()).encode())),
    ]
    return call.reply.map([(bulk(name), value) for name, value in facts])


@command(
    b"CLUSTER|LINKS", arity=2, group="cluster", since="7.0.0", flags=STALE,
    complexity="O(N) where N is the total number of Cluster nodes",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def links(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Returns a list of all TCP links to and from peer nodes."""
    entries = []
    for link in views.links(access.cluster):
        facts = [
            (b"direction", bulk(b"to" if link.outbound else b"from")),
            (b"node", bulk(link.node_id.encode())),
            (b"create-time", number(link.created_ms)),
            (b"events", bulk(link.events.encode())),
            (b"send-buffer-allocated", number(link.send_buffer_bytes)),
            (b"send-buffer-used", number(link.send_buffer_bytes)),
        ]
        entries.append(call.reply.map([(bulk(name), value) for name, value in facts]))
    return array(entries)


@command(
    b"CLUSTER|KEYSLOT", arity=3, group="cluster", since="3.0.0", flags=STALE,
    complexity="O(N) where N is the number of bytes in the key", needs=ClusterAccess,
)  # fmt: skip
def keyslot(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Returns the hash slot for a key."""
    access.require()
    return number(key_slot(argv[2]))


@command(
    b"CLUSTER|COUNTKEYSINSLOT", arity=3, group="cluster", since="3.0.0", flags=STALE, complexity="O(1)",
    needs=ClusterAccess,
)  # fmt: skip
def countkeysinslot(access: ClusterAccess, call: Call, argv: list[bytes]) -> bytes:
    """Returns the number of keys in a hash slot."""
    access.require()
    slot = integer(argv[2])
    if not views.valid_slot(slot):
        raise CommandError(b"ERR Invalid slot")
    return number(call.databases[0].slot_count(slot))


@command(
    b"CLUSTER|GETKEYSINSLOT", arity=4, group="cluster", since="3.0.0", flags=STALE,
    complexity="O(N) where N is the number of requested keys",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def getkeysinslot(access: ClusterAccess, call: Call, argv: list[bytes]) -> bytes:
    """Returns the key names in a hash slot."""
    access.require()
    slot, limit = integer(argv[2]), integer(argv[3])
    if not views.valid_slot(slot) or limit < 0:
        raise CommandError(b"ERR Invalid slot or number of keys")
    return bulks(call.databases[0].slot_keys(slot, limit))


def _replicas(access: ClusterAccess, call: Call, argv: list[bytes]) -> bytes:
    cluster = access.cluster
    try:
        members = cluster.core.replicas(argv[2].decode("latin-1"))
    except ClusterError as refused:
        raise CommandError(f"{refused.code} {refused}".encode()) from None
    return bulks(line.encode() for line in views.node_lines(cluster, members, _audience(access, call)))


@command(
    b"CLUSTER|REPLICAS", arity=3, group="cluster", since="5.0.0", flags=ADMIN | STALE,
    complexity="O(N) where N is the number of replicas.",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def replicas(access: ClusterAccess, call: Call, argv: list[bytes]) -> bytes:
    """Lists the replica nodes of a master node."""
    return _replicas(access, call, argv)


@command(
    b"CLUSTER|SLAVES", arity=3, group="cluster", since="3.0.0", flags=ADMIN | STALE,
    complexity="O(N) where N is the number of replicas.",
    tips=["nondeterministic_output"], needs=ClusterAccess,
    deprecated_since="5.0.0", replaced_by="`CLUSTER REPLICAS`",
)  # fmt: skip
def slaves(access: ClusterAccess, call: Call, argv: list[bytes]) -> bytes:
    """Lists the replica nodes of a master node."""
    return _replicas(access, call, argv)


@command(
    b"CLUSTER|COUNT-FAILURE-REPORTS", arity=3, group="cluster", since="3.0.0", flags=ADMIN | STALE,
    complexity="O(N) where N is the number of failure reports",
    tips=["nondeterministic_output"], needs=ClusterAccess,
)  # fmt: skip
def count_failure_reports(access: ClusterAccess, _call: Call, argv: list[bytes]) -> bytes:
    """Returns the number of active failure reports active for a node."""
    node_id = argv[2].decode("latin-1")
    return number(access.cluster.order(lambda core, now_ms: core.count_failure_reports(node_id, now_ms)))


@command(
    b"READONLY", arity=1, group="cluster", since="3.0.0", flags=ANY_TIME | FAST, complexity="O(1)",
    categories=["connection"], needs=ClusterAccess,
)  # fmt: skip
def readonly(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Enables read-only queries for a connection to a Redis Cluster replica node."""
    if not _stands_alone(access, call):
        call.served = access.cluster.router.served_readonly
    call.session.readonly = True
    return OK


@command(
    b"READWRITE", arity=1, group="cluster", since="3.0.0", flags=ANY_TIME | FAST, complexity="O(1)",
    categories=["connection"], needs=ClusterAccess,
)  # fmt: skip
def readwrite(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Enables read-write queries for a connection to a Redis Cluster replica node."""
    if not _stands_alone(access, call):
        call.served = access.cluster.router.served
    call.session.readonly = False
    return OK


def _stands_alone(access: ClusterAccess, call: Call) -> bool:
    """A replica outside of clusters has reads to offer, too, to a client that it may redirect (Valkey 8)."""
    return access.installed is None and call.session.follows_redirects


@command(
    b"ASKING", arity=1, group="cluster", since="3.0.0", flags=FAST, complexity="O(1)",
    categories=["connection"], needs=ClusterAccess,
)  # fmt: skip
def asking(access: ClusterAccess, call: Call, _argv: list[bytes]) -> bytes:
    """Signals that a cluster client is following an -ASK redirect."""
    access.require()
    call.session.asking = True
    call.session.update_guard()
    return OK
