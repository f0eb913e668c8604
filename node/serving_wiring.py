"""What happens to commands: the gates they pass, who is told of what they did, who waits for what they do."""

from __future__ import annotations

from node.config import table as directives
from node.config.limits import COLLECTION_LIMITS, limits_of
from node.parts import Parts
from node.server import gates
from node.server.dispatch import Gate


def wire_serving(parts: Parts) -> None:
    after, blocking, transactions = parts.after, parts.blocking, parts.transactions
    blocking.apply = after.apply_waited
    blocking.refusal = parts.acl.refusal_after_wait
    after.serve_waiting = blocking.serve
    transactions.units = parts.dispatcher
    transactions.refusal = parts.acl.refusal_in_exec
    parts.clients.on_removed.append(transactions.unwatch)
    parts.replication.on_data_replaced += [transactions.all_replaced, parts.tracking.all_changed]
    parts.replication.dispatcher = parts.dispatcher
    parts.replication.follower.prepare = parts.loads.prepare
    parts.replication.follower.note_use = parts.accesses.loaded
    parts.snapshots.usage = parts.accesses.usage
    if parts.migrations is not None:
        parts.migrations.table = parts.table
    parts.dispatcher.discard = transactions.discard
    parts.modules.units = parts.dispatcher
    parts.dispatcher.on_read = parts.tracking.read
    parts.dispatcher.end_caching = parts.tracking.end_of_command
    parts.dispatcher.gates += _gates(parts)
    parts.pubsub.pass_on = lambda *told: _pass_on(parts, *told)
    parts.cron.every_second.append(parts.server.tend)
    _follow_settings(parts)


def _gates(parts: Parts) -> list[Gate]:
    return [
        gates.authentication(parts.acl),
        gates.in_transaction,
        gates.permission(parts.acl),
        gates.routing(parts.cluster.router.route if parts.cluster else None),
        *([] if parts.cluster else [_redirecting(parts)]),
        parts.eviction.gate,
        gates.writable_file(parts.guards, lambda: parts.aof.error),
        gates.subscriber_mode,
        gates.monitoring,
        gates.conditions(parts.guards),
        gates.busy(parts.guards, parts.scripting.runs.busy_text),
        gates.pausing(parts.clients, parts.guards),
        *([parts.migrations.gate] if parts.migrations else []),
        gates.in_flight(parts.moving.flight),
    ]


def _redirecting(parts: Parts) -> Gate:
    return gates.redirecting(parts.clients, parts.guards, lambda: parts.replication.follower.primary)


def _pass_on(parts: Parts, db_index: int, channel: bytes, message: bytes, sharded: bool) -> None:
    """What is published here is so elsewhere."""
    if parts.cluster is not None:
        parts.cluster.publish(channel, message, sharded)
    elif parts.after.tellers:
        parts.after.tell_replicas(db_index, [b"SPUBLISH" if sharded else b"PUBLISH", channel, message])


def _follow_settings(parts: Parts) -> None:
    """Databases get the thresholds of compact collections, and the cron its effort, now and whenever CONFIG
    SET changes them.
    """

    def apply() -> None:
        limits = limits_of(parts.config)
        for database in parts.databases:
            database.limits = limits

    parts.config.on_change_of(COLLECTION_LIMITS, apply)
    apply()
    effort = directives.ACTIVE_EXPIRE_EFFORT
    parts.config.on_change(effort, parts.cron.follow_effort)
    parts.cron.follow_effort(parts.config[effort])
