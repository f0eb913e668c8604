"""What atomic slot migration needs of the rest of the node, and where it is hung in."""

from __future__ import annotations

from collections.abc import Callable

from node.clients import Clients
from node.clock import Clock
from node.cluster.service import Cluster
from node.config.config import Config
from node.guards import Guards
from node.keyspace.changes import Changes
from node.keyspace.database import Database
from node.log import Log
from node.migration.feed import Feed
from node.migration.hold import Hold
from node.migration.leftovers import Leftovers
from node.migration.service import Hands, Migrations
from node.persistence.snapshot import Snapshots
from node.replication.service import Replication
from node.server.after import After
from node.server.cron import Cron
from node.server.loop import Reactor
from node.timers import Timers


def make_migrations(
    config: Config,
    log: Log,
    clock: Clock,
    guards: Guards,
    database: Database,
    changes: Changes,
    after: After,
    reactor: Reactor,
    timers: Timers,
    clients: Clients,
    cron: Cron,
    replication: Replication,
    snapshots: Snapshots,
    leftovers: Leftovers,
    cluster: Cluster,
) -> Migrations:
    """For a node in cluster mode; its table of commands is handed over later."""

    def later(delay_ms: int, callback: Callable[[], None]) -> None:
        timers.at(clock.now_ms + delay_ms, callback)

    hands = Hands(
        tell=after.tell,
        watchers=after.watchers,
        settle=reactor.settle,
        after=later,
        may_fork=lambda: snapshots.may_fork,
        fork=snapshots.fork_writer,
        replicated=lambda then: _when_replicated(replication, then),
        is_primary=lambda: replication.is_primary,
        unix_ms=clock.update,
    )
    hold = Hold(cluster.router, clients.end_block)
    feed = Feed(after.tellers)
    migrations = Migrations(
        config, log, guards, database, changes, cluster, hold, feed, leftovers, hands
    )  # fmt: skip
    replication.primary.may_cut = lambda: not migrations.is_staging
    replication.on_role_change.append(migrations.role_changed)
    replication.on_data_replaced.append(migrations.data_replaced)
    replication.on_link_session.append(migrations.link_session)
    clients.on_removed.append(migrations.session_closed)
    cron.every_second.append(migrations.every_second)
    return migrations


def _when_replicated(replication: Replication, then: Callable[[], None]) -> None:
    """Calls back when all replicas that say how far they are have what was told until now."""
    online = [each for each in replication.primary.replicas.online() if each.acknowledges]
    if not online:
        then()
        return
    replication.when_acknowledged(replication.offset(), len(online), lambda _count: then())
