"""What is counted, timed and told of a node: INFO's fields, metrics, monitors, and the events of LATENCY."""

from __future__ import annotations

from collections.abc import Callable

from node.config import table as directives
from node.guards import Guard
from node.observe.metrics import NodeMetrics, exposition
from node.observe.never import add_never
from node.observe.sections import Observed, add_sections
from node.parts import Parts
from node.replication.info import info_lines


def observe(parts: Parts) -> Callable[[], bytes]:
    """Wires it, and returns what the metrics endpoint answers."""
    parts.identity.is_replica = parts.is_replica
    parts.timing.on_slow += [parts.slow_log.hear, parts.latency.hear]
    parts.cron.every_second.append(parts.memory.sample)
    parts.cron.every_second.append(lambda: parts.timing.compact(parts.table))
    parts.cron.on_expired = lambda took_ms: parts.latency.add(b"expire-cycle", took_ms)
    parts.forks.on_fork = lambda took_ms: parts.latency.add(b"fork", took_ms)
    _tell_in_info(parts)
    _let_monitor(parts)
    _count_by_slot(parts)
    return exposition(NodeMetrics(parts.info, parts.table, parts.slow_log, parts.latency))


def _tell_in_info(parts: Parts) -> None:
    info = parts.info
    info.add("persistence", parts.loading.info)
    info.add("persistence", parts.saving.info)
    info.add("persistence", parts.reload.info)
    info.add("stats", parts.forks.info)
    observed = Observed(
        parts.config,
        parts.identity,
        parts.stats,
        parts.memory,
        parts.databases,
        parts.disposal,
        parts.table,
        parts.clients.__iter__,
        parts.clients.blocked,
    )
    add_sections(info, observed)
    info.add("clients", parts.transactions.info)
    info.add("clients", parts.tracking.info_clients)
    info.add("clients", parts.pubsub.info_clients)
    info.add("clients", parts.blocking.info)
    info.add("stats", parts.pubsub.info_stats)
    info.add("stats", parts.tracking.info_stats)
    info.add("stats", parts.acl.info)
    info.add("stats", lambda: (("migrate_cached_sockets", parts.moving.targets.count),))
    if parts.migrations is not None:
        info.add("stats", parts.migrations.info)
    info.add("modules", parts.modules.info)
    info.add("memory", parts.scripting.info_memory)
    info.add("stats", parts.scripting.info_stats)
    info.add("memory", parts.eviction.info_memory)
    info.add("stats", parts.eviction.info_stats)
    info.add("keysizes", parts.key_sizes.fields)
    info.add("replication", lambda: info_lines(parts.replication, parts.config, parts.clock.now_ms))
    add_never(info)


def _let_monitor(parts: Parts) -> None:
    """Every command goes the full path, and is told, while somebody monitors."""
    runs = parts.scripting.runs

    def on_change(anybody: bool) -> None:
        parts.dispatcher.monitor = parts.monitors.feed if anybody else None
        parts.guards.set(Guard.MONITORED, anybody)

    parts.clients.on_removed.append(parts.monitors.remove)
    parts.monitors.on_change = on_change
    parts.monitors.in_script = lambda session: runs.current is not None and runs.current.session is session


def _count_by_slot(parts: Parts) -> None:
    """Counters by slot, as long as they are wanted."""
    if parts.cluster is None:
        return
    counters, dispatcher = parts.slot_counters, parts.dispatcher

    def apply(enabled: bool) -> None:
        counters.enable(enabled)
        dispatcher.runner = counters.counted(dispatcher.run) if enabled else dispatcher.run
        parts.guards.set(Guard.SLOT_STATS, enabled)

    parts.config.on_change(directives.CLUSTER_SLOT_STATS_ENABLED, apply)
    apply(parts.config[directives.CLUSTER_SLOT_STATS_ENABLED])
