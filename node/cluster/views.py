"""What CLUSTER's reading subcommands tell: the core's state as plain facts for node.commands.cluster.

Source: https://redis.io/commands/cluster-slots/, cluster-shards, cluster-nodes, cluster-info and
cluster-links.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gossip.member import Member
from gossip.messages import MessageType
from gossip.nodes_conf import node_line, record_of
from gossip.slots import SLOT_COUNT
from node.cluster.endpoints import Audience
from node.cluster.service import Cluster

_MESSAGE_NAMES = {
    MessageType.PING: "ping",
    MessageType.PONG: "pong",
    MessageType.MEET: "meet",
    MessageType.FAIL: "fail",
    MessageType.PUBLISH: "publish",
    MessageType.FAILOVER_AUTH_REQUEST: "auth-req",
    MessageType.FAILOVER_AUTH_ACK: "auth-ack",
    MessageType.UPDATE: "update",
    MessageType.MFSTART: "mfstart",
    MessageType.MODULE: "module",
    MessageType.PUBLISHSHARD: "publishshard",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node as CLUSTER SLOTS names it: `host` None means "the one you asked"."""

    host: str | None
    port: int
    node_id: str
    metadata: list[tuple[str, str]]


def endpoint(member: Member, told: Audience) -> Endpoint:
    """How clients of an audience find a member."""
    metadata: list[tuple[str, str]] = []
    if told.kind != "ip":
        metadata.append(("ip", told.ip(member)))
    if told.kind != "hostname" and member.hostname:
        metadata.append(("hostname", member.hostname))
    return Endpoint(told.host(member), told.port(member), member.node_id, metadata)


def slot_ranges(cluster: Cluster) -> Iterable[tuple[int, int, list[Member]]]:
    """(first, last, primary and its healthy replicas) of every served range, ascending."""
    found = []
    for primary in cluster.core.state.primaries():
        serving = [primary, *(r for r in primary.replicas if not r.failed and not r.no_address)]
        found += [(first, last, serving) for first, last in primary.slots.ranges()]
    return sorted(found, key=lambda entry: entry[0])


def node_lines(cluster: Cluster, members: Iterable[Member], told: Audience) -> list[str]:
    """Lines of CLUSTER NODES."""
    state = cluster.core.state
    return [
        node_line(replace(record_of(state, member), ip=told.ip(member), port=told.port(member)))
        for member in members
    ]


def shards(cluster: Cluster) -> list[list[Member]]:
    """Members by shard, each with its primary first; those in a handshake belong to none."""
    by_shard: dict[str, list[Member]] = {}
    state = cluster.core.state
    for member in state.members.values():
        if not member.handshake:
            by_shard.setdefault((member.primary or member).node_id, []).append(member)
    return [sorted(members, key=lambda m: not m.is_primary) for members in by_shard.values()]


def health(member: Member, loading: bool) -> str:
    """`online`, `failed` or `loading`, as CLUSTER SHARDS tells it."""
    if member.unreachable:
        return "failed"
    if loading if member.myself else member.is_replica and member.offset == 0:
        return "loading"
    return "online"


def info_lines(cluster: Cluster) -> list[str]:
    """Lines of CLUSTER INFO."""
    core, state = cluster.core, cluster.core.state
    pfail = sum(len(m.slots) for m in state.primaries() if m.pfail)
    failed = sum(len(m.slots) for m in state.primaries() if m.failed)
    assigned = len(state.assigned)
    mine = state.my_primary or state.me
    lines = [
        f"cluster_state:{'ok' if core.ok else 'fail'}",
        f"cluster_slots_assigned:{assigned}",
        f"cluster_slots_ok:{assigned - pfail - failed}",
        f"cluster_slots_pfail:{pfail}",
        f"cluster_slots_fail:{failed}",
        f"cluster_known_nodes:{len(state.members)}",
        f"cluster_size:{state.size}",
        f"cluster_current_epoch:{state.current_epoch}",
        f"cluster_my_epoch:{mine.config_epoch}",
    ]
    for direction, counts in (("sent", core.sent), ("received", core.received)):
        for kind, name in _MESSAGE_NAMES.items():
            if counts[kind]:
                lines.append(f"cluster_stats_messages_{name}_{direction}:{counts[kind]}")
        lines.append(f"cluster_stats_messages_{direction}:{sum(counts.values())}")
    lines.append(f"total_cluster_links_buffer_limit_exceeded:{cluster.bus.limit_exceeded_count}")
    return lines


@dataclass(frozen=True, slots=True)
class LinkView:
    """One entry of CLUSTER LINKS."""

    outbound: bool
    node_id: str
    created_ms: int
    events: str
    send_buffer_bytes: int


def links(cluster: Cluster) -> list[LinkView]:
    """Open links whose peer is known."""
    found = []
    for link in cluster.core.links:
        if link.member is None or not (link.inbound or link.is_open):
            continue
        waiting = cluster.bus.send_buffer_bytes(link.id)
        events = "rw" if waiting else "r"
        found.append(LinkView(not link.inbound, link.member.node_id, link.created_ms, events, waiting))
    return found


def valid_slot(number: int) -> bool:
    return 0 <= number < SLOT_COUNT
