"""Every part of a node, made in an order in which each finds what it is made of.

Nothing here touches a socket or a file of data. What the parts are to each other beyond their making is hung
in by the modules whose names end in `_wiring`; `node.app` puts all together.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence

from gossip.slots import SLOT_COUNT
from node.acl.service import Acl
from node.aof_wiring import make_aof
from node.blocking import Blocking
from node.clients import Clients
from node.clock import Clock
from node.cluster.access import ClusterAccess
from node.cluster.service import Cluster
from node.cluster_wiring import DataHost, cluster_hands, key_exists
from node.command.call import Call
from node.config import table as directives
from node.config.config import Config
from node.config.file import Line
from node.eviction import Eviction
from node.faults import Faults
from node.guards import Guard, Guards
from node.identity import Identity
from node.keysizes import KeySizes
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.keyspace.disposal import Disposal
from node.lifecycle import Lifecycle
from node.log import open_log
from node.migration.access import MigrationAccess
from node.migration.leftovers import Leftovers
from node.migration.service import Migrations
from node.migration_wiring import make_migrations
from node.modules.service import Modules
from node.moving.flight import KeysInFlight, WritesHeld
from node.moving.loads import Loads
from node.moving.service import Moving
from node.moving.targets import Targets
from node.notifications import Notifications
from node.observe.access import Accesses
from node.observe.commandstats import Timing
from node.observe.info import Info
from node.observe.latency import Latency
from node.observe.memory import MemoryWatch
from node.observe.memory_report import MemoryReport
from node.observe.monitor import Monitors
from node.observe.slot_counters import SlotCounters
from node.observe.slowlog import SlowLog
from node.observe.stats import Stats
from node.persistence.child import Forks
from node.persistence.libraries import Libraries
from node.persistence.loading import Loading
from node.persistence.reload import Reload
from node.persistence.saving import Saving
from node.persistence.snapshot import Snapshots
from node.pubsub import PubSub
from node.pushes import Pushes
from node.replication.service import Replication
from node.scripting.service import Scripting
from node.server.after import After
from node.server.cron import Cron
from node.server.dispatch import Dispatcher
from node.server.loop import Reactor
from node.server.server import Server
from node.table_wiring import command_table
from node.timers import Timers
from node.tls.contexts import Tls
from node.tracking import Tracking
from node.transactions import Transactions


class Parts:
    """The parts of one node."""

    def __init__(self, config: Config, lines: Mapping[str, Sequence[Line]]) -> None:
        """`lines` are those of the configuration that are no directives, by their first word.

        Raises ConfigFileError and CannotStartError for what they, or the file of users, say.
        """
        self.config = config
        self.log = open_log(config, self._role_letter)
        self.migrations: Migrations | None = None
        self._make_foundation()
        self._make_sessions()
        self._make_observers()
        self._make_storage()
        self._make_cluster_side()
        self._make_serving(lines)

    def new_call(self) -> Call:
        """The surroundings of a new session's commands."""
        return Call(self.databases, self.changes, self.served, self.clock.now_ms)

    def is_importing(self) -> bool:
        """Whether keys are on their way that the stream has told and a snapshot of the databases lacks."""
        return self.migrations is not None and self.migrations.is_staging

    def is_replica(self) -> bool:
        """Also before it follows anybody: while the data are loaded."""
        if not self.replication.is_primary:
            return True
        if not self.loading.active:
            return False
        if self.cluster is not None:
            return self.cluster.core.state.me.is_replica
        return self.config[directives.REPLICAOF] is not None

    def _role_letter(self) -> str:
        return "S" if self.is_replica() else "M"

    def _make_foundation(self) -> None:
        """What the data are, and what time it is."""
        config = self.config
        self.clock = Clock()
        self.stats = Stats()
        self.guards = Guards()
        self.changes = Changes()
        self.policy = Policy()
        self.databases = [
            Database(index, self.changes, self.policy) for index in range(config[directives.DATABASES])
        ]
        self.disposal = Disposal()
        self.reactor = Reactor(self.clock)
        self.timers = Timers(self.clock, self.reactor.settle)
        self.faults = Faults(lambda ms, heal: self.timers.at(self.clock.update() + ms, heal))
        self.identity = Identity(config)
        self.tls = Tls(config, self.log)

    def _make_sessions(self) -> None:
        """Clients, and what they wait for and hear."""
        config = self.config
        self.clients = Clients(self.clock, self.guards, self.timers)
        self.lifecycle = Lifecycle(self.log, config, self.clients)
        self.acl = Acl(config, self.log, self.clock, self.clients)
        self.after = After(self.changes)
        self.blocking = Blocking(self.clock, self.clients, self.after.watchers)
        self.transactions = Transactions(self.clock, self.databases, self.after.watchers)
        self.pushes = Pushes()
        self.pubsub = PubSub(self.clock, self.clients, self.timers, self.pushes)
        self.notifications = Notifications(
            config, self.databases, self.changes, self.after.watchers, self.pubsub
        )
        self.tracking = Tracking(
            config,
            self.clock,
            self.clients,
            self.timers,
            self.pushes,
            self.after.watchers,
            self.reactor.before_flush,
        )
        self.key_sizes = KeySizes(self.databases, self.clock, self.clients, self.timers)

    def _make_observers(self) -> None:
        config = self.config
        self.slot_counters = SlotCounters()
        self.timing = Timing(config)
        self.slow_log = SlowLog(config)
        self.latency = Latency(config)
        self.monitors = Monitors(self.pushes.send)
        self.info = Info()
        self.memory = MemoryWatch()
        self.memory_report = MemoryReport(self.memory, self.databases, self.clients.__iter__)
        self.cron = Cron(
            self.clock,
            self.stats,
            self.databases,
            self.policy,
            self.after.apply_expired,
            self.reactor.settle,
            self.disposal,
        )

    def _make_storage(self) -> None:
        """Files, replicas, and functions, which both keep."""
        config = self.config
        self.forks = Forks(self.log)
        self.loading = Loading(self.guards)
        self.snapshots = Snapshots(self.databases, self.log, forks=self.forks)
        self.replication = Replication(
            config,
            self.log,
            self.clock,
            self.stats,
            self.guards,
            self.clients,
            self.timers,
            self.databases,
            self.changes,
            self.policy,
            self.disposal,
            self.after.tellers,
            self.snapshots,
            self.new_call,
            self.reactor.settle,
            self.loading,
        )
        self.reactor.before_flush.append(self.replication.primary.flush)
        self.aof = make_aof(self)
        self.saving = Saving(
            config,
            self.log,
            self.clock,
            self.guards,
            self.changes,
            self.forks,
            self.snapshots,
            self.reactor.settle,
        )
        self.libraries = Libraries()
        self.scripting = Scripting(config, self.log, self.guards, self.stats)

    def _make_cluster_side(self) -> None:
        """The cluster, and what moves keys between nodes; MIGRATE does so outside of clusters too."""
        host = DataHost(self.clock, self.databases[0], self.replication)
        self.on_routes_changed: list[Callable[[], None]] = []
        self.leftovers = Leftovers(self.databases[0], self.after.tell)
        self.cluster = self._make_cluster(host) if self.config[directives.CLUSTER_ENABLED] else None
        if self.cluster is not None:
            self.migrations = self._make_migrations(self.cluster)
        self.loads = Loads(self.clients, self.reactor.settle)
        self.moving = self._make_moving()
        self.cluster_access = ClusterAccess(
            self.config, self.cluster, host, lambda: Guard.LOADING in self.guards
        )
        self.served = self.cluster.router.served if self.cluster else bytearray(b"\x01" * SLOT_COUNT)

    def _make_cluster(self, host: DataHost) -> Cluster:
        hands = cluster_hands(
            self.clock,
            self.databases[0],
            self.leftovers.take,
            self.transactions.recheck,
            self.clients,
            self.lifecycle,
            self.log,
            self.replication,
            self._routes_changed,
        )
        hands.deliver.append(self.pubsub.receive)
        rng = random.Random(secrets.randbits(64))
        cluster = Cluster(self.config, self.log, host, hands, key_exists, rng, self.tls.for_bus)
        self.reactor.before_turn.append(cluster.wake)
        self.reactor.before_flush.append(cluster.end_of_turn)
        return cluster

    def _routes_changed(self) -> None:
        for follow in self.on_routes_changed:
            follow()

    def _make_migrations(self, cluster: Cluster) -> Migrations:
        return make_migrations(
            self.config,
            self.log,
            self.clock,
            self.guards,
            self.databases[0],
            self.changes,
            self.after,
            self.reactor,
            self.timers,
            self.clients,
            self.cron,
            self.replication,
            self.snapshots,
            self.leftovers,
            cluster,
        )

    def _make_moving(self) -> Moving:
        slots = self.cluster.router if self.cluster is not None else WritesHeld(self.guards)
        return Moving(
            self.clock,
            self.clients,
            self.changes,
            KeysInFlight(self.clients, self.after.watchers, slots),
            self.disposal,
            Targets(lambda: self.config[directives.BIND_SOURCE_ADDR]),
            self.after.apply_expired,
            self.reactor.settle,
            is_replica=lambda: not self.replication.is_primary,
            in_cluster=self.cluster is not None,
        )

    def _make_serving(self, lines: Mapping[str, Sequence[Line]]) -> None:
        """The commands, and what runs them."""
        config = self.config
        self.accesses = Accesses(config, self.clock, self.databases)
        self.reload = Reload(
            config,
            self.log,
            self.clock,
            self.databases,
            self.accesses,
            self.saving,
            self.libraries,
            self.is_replica,
        )
        self.modules = Modules(config, self.log, self.clients)
        self.modules.categories = self.acl.categories
        self.modules.on_change = [self.acl.bind, self.accesses.wrap_all]
        services = self._services()
        self.table = command_table(services, lines, self.acl, self.modules, by_slot=self.cluster is not None)
        self.eviction = Eviction(
            config,
            self.log,
            self.stats,
            self.guards,
            self.databases,
            self.changes,
            self.disposal,
            self.memory,
            self.accesses.rank,
            self.reactor.before_turn,
            self.after.apply_expired,
            lambda ms, work: self.timers.at(self.clock.update() + ms, work),
        )
        self.dispatcher = Dispatcher(
            self.table,
            self.clock,
            self.changes,
            self.after,
            self.guards,
            self.stats,
            self.clients.block,
            self.pushes,
            self.timing,
        )
        self.server = Server(
            config,
            self.log,
            self.clock,
            self.stats,
            self.reactor,
            self.clients,
            self.dispatcher,
            self.new_call,
            self.acl,
            self.tls,
        )

    def _services(self) -> list[object]:
        """What commands may need: see node.command.spec."""
        return [
            self.cluster_access,
            self.modules,
            MigrationAccess(self.migrations),
            self.moving,
            self.loads,
            self.replication,
            self.aof,
            self.saving,
            self.reload,
            self.forks,
            self.blocking,
            self.transactions,
            self.scripting,
            self.pubsub,
            self.tracking,
            self.key_sizes,
            self.clients,
            self.config,
            self.accesses,
            self.memory_report,
            self.lifecycle,
            self.identity,
            self.acl,
            self.stats,
            self.info,
            self.slot_counters,
            self.timing,
            self.slow_log,
            self.latency,
            self.monitors,
            self.disposal,
            self.policy,
            self.cron,
            self.log,
            self.faults,
        ]
