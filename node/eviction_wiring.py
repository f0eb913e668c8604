"""Where memory is looked after: when keys may be evicted, and what of the memory taken does not count."""

from __future__ import annotations

from node.client_eviction import ClientEviction
from node.config import table as directives
from node.guards import Guard
from node.parts import Parts


def wire_eviction(parts: Parts) -> None:
    eviction = parts.eviction
    eviction.is_replica = parts.is_replica
    eviction.is_allowed = lambda: _may_evict(parts)
    eviction.not_counted_bytes = lambda: _not_counted_bytes(parts)
    parts.accesses.bind(parts.table)
    parts.memory_report.aof_bytes = lambda: parts.aof.buffer_bytes
    parts.memory_report.backlog_bytes = lambda: len(parts.replication.stream.backlog or ())
    clients = ClientEviction(parts.config, parts.log, parts.stats, parts.clients.__iter__)
    parts.cron.every_100ms += [eviction.tick, clients.tick]


def _may_evict(parts: Parts) -> bool:
    """Not while others rely on the data as they are, and on a replica perhaps never."""
    if parts.is_replica() and parts.config[directives.REPLICA_IGNORE_MAXMEMORY]:
        return False
    if Guard.LOADING in parts.guards or Guard.PAUSED in parts.guards or parts.after.in_unit:
        return False
    return parts.migrations is None or not parts.migrations.is_holding


def _not_counted_bytes(parts: Parts) -> int:
    """Memory that more eviction would only make more of."""
    replicas = sum(session.transport.output_bytes() for session in parts.clients if session.is_replica)
    return replicas + parts.aof.buffer_bytes
