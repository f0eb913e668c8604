"""What a change of the slot map, or a fault on purpose, means to those who wait, listen and talk to peers,
and how peers are talked to.
"""

from __future__ import annotations

from gossip.admin import FailoverMode
from gossip.slots import SlotSet
from node.cluster.service import Cluster
from node.cluster_wiring import end_lost_waits
from node.errors import CommandError
from node.parts import Parts


def wire_routes(parts: Parts) -> None:
    _let_faults_reach(parts)
    _speak_tls(parts)
    cluster = parts.cluster
    if cluster is None:
        return
    me = cluster.core.state.me
    parts.replication.expected_replicas = lambda: sum(not each.unreachable for each in me.replicas)
    parts.replication.follower.on_empty_primary = lambda: _take_over(parts, cluster)
    parts.on_routes_changed.append(lambda: _follow_routes(parts, cluster))


def _follow_routes(parts: Parts, cluster: Cluster) -> None:
    """Looks after those who wait for keys, but later: a command may be running."""
    if parts.migrations is not None:
        parts.migrations.routes_changed()
    if parts.slot_counters.totals is not None:
        primary = cluster.core.state.my_primary
        slots = SlotSet() if primary is None else primary.slots
        parts.slot_counters.forget(slots.__contains__)
    router = cluster.router
    if parts.blocking.key_count:
        parts.timers.at(parts.clock.now_ms, lambda: end_lost_waits(parts.blocking, router))
    if parts.pubsub.has_shard_channels:
        parts.timers.at(parts.clock.now_ms, lambda: parts.pubsub.leave_slots(router.keeps_channels))
    if parts.tracking.has_keys:
        parts.timers.at(parts.clock.now_ms, lambda: parts.tracking.leave_slots(router.keeps_channels))


def _take_over(parts: Parts, cluster: Cluster) -> None:
    """Our primary has lost its data, and we have them: see replica-refuse-empty-primary."""
    try:
        cluster.order(lambda core, now_ms: core.failover(FailoverMode.FORCE, now_ms))
    except CommandError as refused:
        parts.log.warning(f"No fail-over: {refused.text.decode()}")


def _speak_tls(parts: Parts) -> None:
    """As tls-replication and tls-cluster say, each time a connection is made."""
    parts.replication.follower.tls = parts.tls.to_primary
    parts.moving.targets.tls = parts.tls.to_node
    if parts.migrations is not None:
        parts.migrations.tls = parts.tls.to_primary


def _let_faults_reach(parts: Parts) -> None:
    """Where faults on purpose (DEBUG FAULT) take effect."""
    faults, follower = parts.faults, parts.replication.follower
    parts.aof.before_sync = faults.before_sync
    parts.moving.targets.may_reach = follower.may_reach = faults.may_reach

    def leave_primary(_peers: frozenset[str]) -> None:
        if follower.primary is not None and not faults.may_reach(*follower.primary):
            follower.drop()

    faults.on_cut.append(leave_primary)
    faults.on_cut.append(lambda _peers: parts.moving.targets.cut_off())
    if parts.migrations is not None:
        parts.migrations.cut = lambda: faults.cut
        faults.on_cut.append(parts.migrations.cut_off)
    if parts.cluster is not None:
        parts.cluster.slow_syncs(faults.before_sync)
        faults.on_cut.append(parts.cluster.cut_off)
        faults.on_healed.append(parts.cluster.join)
