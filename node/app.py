"""The composition root: every part of a node is made and wired here, and nowhere else.

`build` makes a node of a configuration without touching a socket; `run` opens them and lives until a shutdown
is requested. What one service needs of another is handed over here as a callable.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Mapping, Sequence

import trio

from gossip.admin import FailoverMode
from gossip.slots import SLOT_COUNT, SlotSet
from node.acl.files import AclFileError
from node.acl.service import Acl
from node.aof_wiring import load_aof, make_aof
from node.blocking import Blocking
from node.client_eviction import ClientEviction
from node.clients import Clients
from node.clock import Clock
from node.cluster.access import ClusterAccess
from node.cluster.service import Cluster
from node.cluster.settings import bus_port
from node.cluster_wiring import DataHost, cluster_hands, end_lost_waits, key_exists
from node.collector import short_pauses
from node.command.call import Call
from node.command.registry import Table, freeze
from node.command.renames import RenameError, rename
from node.command.session import Session
from node.command.spec import DECLARED
from node.commands import load_all
from node.config import table as directives
from node.config.config import Config
from node.config.file import ConfigFileError, Line
from node.config.limits import COLLECTION_LIMITS, limits_of
from node.errors import CommandError
from node.eviction import Eviction
from node.faults import Faults
from node.guards import Guard, Guards
from node.identity import Identity
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.keyspace.disposal import Disposal
from node.lifecycle import Lifecycle, ShutdownError
from node.log import open_log
from node.migration.access import MigrationAccess
from node.migration.leftovers import Leftovers
from node.migration.service import Migrations
from node.migration_wiring import make_migrations
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
from node.observe.metrics import NodeMetrics, exposition
from node.observe.metrics_http import serve_metrics
from node.observe.monitor import Monitors
from node.observe.never import add_never
from node.observe.sections import Observed, add_sections
from node.observe.slot_counters import SlotCounters
from node.observe.slowlog import SlowLog
from node.observe.stats import Stats
from node.persistence.aof.errors import AofError
from node.persistence.child import Forks
from node.persistence.files import InUseError
from node.persistence.libraries import Libraries
from node.persistence.loading import Loading
from node.persistence.rdb import LoadError
from node.persistence.reload import Reload
from node.persistence.saving import SaveError, Saving
from node.persistence.snapshot import Snapshots
from node.pubsub import PubSub
from node.pushes import Pushes
from node.replication.info import info_lines
from node.replication.service import Replication
from node.scripting.service import Scripting
from node.server import banner, gates
from node.server.after import After
from node.server.cron import Cron
from node.server.dispatch import Dispatcher
from node.server.listen import tcp_listeners
from node.server.loop import Reactor
from node.server.process import CannotStartError, PidFile, ServiceManager, fit_open_files
from node.server.server import Server
from node.server.signals import shutdown_signals
from node.timers import Timers
from node.transactions import Transactions


class Node:
    """All parts of one node, wired."""

    def __init__(self, config: Config, lines: Mapping[str, Sequence[Line]] | None = None) -> None:
        """`lines` are those of the configuration that are no directives, by their first word.

        Raises ConfigFileError and CannotStartError for what they, or the file of users, say.
        """
        self.config = config
        self._lines = lines or {}
        self.log = open_log(config, self._role_letter)
        self.migrations: Migrations | None = None
        self.clock = Clock()
        self.stats = Stats()
        self.guards = Guards()
        self.changes = Changes()
        self.policy = Policy()
        self.databases = [
            Database(index, self.changes, self.policy) for index in range(config[directives.DATABASES])
        ]
        self.reactor = Reactor(self.clock)
        self.timers = Timers(self.clock, self.reactor.settle)
        self.clients = Clients(self.clock, self.guards, self.timers)
        self.faults = Faults(lambda ms, heal: self.timers.at(self.clock.update() + ms, heal))
        self.lifecycle = Lifecycle(self.log, config, self.clients)
        self.identity = Identity(config)
        self.acl = Acl(config, self.log, self.clock, self.clients)
        self.after = After(self.changes)
        self.blocking = Blocking(self.clock, self.clients, self.after.watchers)
        self.blocking.apply = self.after.apply_waited
        self.after.serve_waiting = self.blocking.serve
        self.transactions = Transactions(self.clock, self.databases, self.after.watchers)
        self.clients.on_removed.append(self.transactions.unwatch)
        self.pushes = Pushes()
        self.pubsub = PubSub(self.clock, self.clients, self.timers, self.pushes)
        self.notifications = Notifications(
            config, self.databases, self.changes, self.after.watchers, self.pubsub
        )
        self.disposal = Disposal()
        self.slot_counters = SlotCounters()
        self.timing = Timing(config)
        self.slow_log = SlowLog(config)
        self.latency = Latency(config)
        self.timing.on_slow += [self.slow_log.hear, self.latency.hear]
        self.monitors = Monitors(self.pushes.send)
        self.clients.on_removed.append(self.monitors.remove)
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
        self.saving.position = lambda: None if self.is_importing() else self.replication.position()
        self.lifecycle.final_save = self._save_last
        self.cron.every_100ms.append(self.saving.tick)
        self.libraries = Libraries()
        self.scripting = Scripting(config, self.log, self.guards, self.stats)
        self.libraries.give, self.libraries.take = self.scripting.texts, self.scripting.take
        self.snapshots.functions = lambda: self.libraries.give()
        self.replication.follower.take_functions = lambda sources: self.libraries.take(sources)
        self.replication.follower.on_empty_primary = self._take_over
        host = DataHost(self.clock, self.databases[0], self.replication)
        self.leftovers = Leftovers(self.databases[0], self.after.tell)
        self.cluster = self._make_cluster(host)
        self.migrations = self._make_migrations()
        if self.migrations is not None:
            self.info.add("stats", self.migrations.info)
        self.loads = Loads(self.clients, self.reactor.settle)
        self.replication.follower.prepare = self.loads.prepare
        self.moving = self._make_moving()
        self.cluster_access = ClusterAccess(config, self.cluster, host, lambda: Guard.LOADING in self.guards)
        self.served = self.cluster.router.served if self.cluster else bytearray(b"\x01" * SLOT_COUNT)
        self.accesses = Accesses(config, self.clock, self.databases)
        self.snapshots.usage = self.accesses.usage
        self.replication.follower.note_use = self.accesses.loaded
        self.reload = Reload(
            config,
            self.log,
            self.clock,
            self.databases,
            self.accesses,
            self.saving,
            self.libraries,
            self._is_replica,
        )
        self.table = self._command_table()
        self.accesses.bind(self.table)
        self.eviction = self._make_eviction()
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
        self.replication.dispatcher = self.dispatcher
        if self.migrations is not None:
            self.migrations.table = self.table
        self.transactions.units = self.dispatcher
        self._wire_scripts()
        self.transactions.refusal = self.acl.refusal_in_exec
        self.blocking.refusal = self.acl.refusal_after_wait
        self.dispatcher.discard = self.transactions.discard
        self.replication.on_data_replaced.append(self.transactions.all_replaced)
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
        )
        self.pubsub.pass_on = self._pass_on
        self.cron.every_second.append(self.server.tend)
        self._failed_start: CannotStartError | None = None
        self._set_gates()
        self._let_faults_reach()
        self._observe()
        self._follow_limits()
        self.metrics = exposition(NodeMetrics(self.info, self.table, self.slow_log, self.latency))

    def new_call(self) -> Call:
        """The surroundings of a new session's commands."""
        return Call(self.databases, self.changes, self.served, self.clock.now_ms)

    def is_importing(self) -> bool:
        """Whether keys are on their way that the stream has told and a snapshot of the databases lacks."""
        return self.migrations is not None and self.migrations.is_staging

    def _role_letter(self) -> str:
        return "S" if self._is_replica() else "M"

    def _is_replica(self) -> bool:
        """Also before it follows anybody: while the data are loaded."""
        if not self.replication.is_primary:
            return True
        if not self.loading.active:
            return False
        if self.cluster is not None:
            return self.cluster.core.state.me.is_replica
        return self.config[directives.REPLICAOF] is not None

    def _command_table(self) -> Table:
        load_all()
        services: Mapping[type, object] = {type(part): part for part in self._services()}
        table = freeze(DECLARED, services, by_slot=self.cluster is not None)
        self.acl.bind(table)
        self._rename_commands(table)
        try:
            self.acl.load_at_start(self._lines.get("user", ()))
        except AclFileError as wrong:
            raise CannotStartError(f"Aborting startup because of ACL errors: {wrong}") from None
        return table

    def _rename_commands(self, table: Table) -> None:
        """Raises ConfigFileError."""
        for line in self._lines.get("rename-command", ()):
            try:
                _, name, new_name = line.words
                rename(table, name, new_name)
            except ValueError:
                raise ConfigFileError("Bad directive or wrong number of arguments", line) from None
            except RenameError as refused:
                raise ConfigFileError(str(refused), line) from None

    def _services(self) -> list[object]:
        """What commands may need: see node.command.spec."""
        return [
            self,
            self.cluster_access,
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

    def _make_cluster(self, host: DataHost) -> Cluster | None:
        if not self.config[directives.CLUSTER_ENABLED]:
            return None
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
        cluster = Cluster(self.config, self.log, host, hands, key_exists, rng)
        self.reactor.before_turn.append(cluster.wake)
        self.reactor.before_flush.append(cluster.end_of_turn)
        me = cluster.core.state.me
        self.replication.expected_replicas = lambda: sum(not each.unreachable for each in me.replicas)
        return cluster

    def _make_migrations(self) -> Migrations | None:
        if self.cluster is None:
            return None
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
            self.cluster,
        )

    def _make_moving(self) -> Moving:
        slots = self.cluster.router if self.cluster is not None else WritesHeld(self.guards)
        moving = Moving(
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
        self.info.add("stats", lambda: [("migrate_cached_sockets", moving.targets.count)])
        return moving

    def _let_faults_reach(self) -> None:
        """Where faults on purpose (DEBUG FAULT) take effect."""
        faults, follower = self.faults, self.replication.follower
        self.aof.before_sync = faults.before_sync
        self.moving.targets.may_reach = follower.may_reach = faults.may_reach

        def leave_primary(_peers: frozenset[str]) -> None:
            if follower.primary is not None and not faults.may_reach(*follower.primary):
                follower.drop()

        faults.on_cut.append(leave_primary)
        if self.cluster is not None:
            self.cluster.slow_syncs(faults.before_sync)
            faults.on_cut.append(self.cluster.cut_off)
            faults.on_healed.append(self.cluster.join)

    def _pass_on(self, db_index: int, channel: bytes, message: bytes, sharded: bool) -> None:
        """What is published here is so elsewhere."""
        if self.cluster is not None:
            self.cluster.publish(channel, message, sharded)
        elif self.after.tellers:
            self.after.tell_replicas(db_index, [b"SPUBLISH" if sharded else b"PUBLISH", channel, message])

    def _routes_changed(self) -> None:
        """Looks after those who wait for keys, but later: a command may be running."""
        cluster = self.cluster
        if self.migrations is not None:
            self.migrations.routes_changed()
        if cluster is not None and self.slot_counters.totals is not None:
            primary = cluster.core.state.my_primary
            slots = SlotSet() if primary is None else primary.slots
            self.slot_counters.forget(slots.__contains__)
        if cluster is not None and self.blocking.key_count:
            router = cluster.router
            self.timers.at(self.clock.now_ms, lambda: end_lost_waits(self.blocking, router))
        if cluster is not None and self.pubsub.has_shard_channels:
            keeps = cluster.router.keeps_channels
            self.timers.at(self.clock.now_ms, lambda: self.pubsub.leave_slots(keeps))

    def _observe(self) -> None:
        self.identity.is_replica = self._is_replica
        observed = Observed(
            self.config,
            self.identity,
            self.stats,
            self.memory,
            self.databases,
            self.disposal,
            self.table,
            self.clients.__iter__,
            self.clients.blocked,
        )
        self.info.add("persistence", self.loading.info)
        self.info.add("persistence", self.saving.info)
        self.info.add("persistence", self.reload.info)
        self.info.add("stats", self.forks.info)
        add_sections(self.info, observed)
        self._count_by_slot()
        self.info.add("clients", self.transactions.info)
        self.info.add("clients", self.pubsub.info_clients)
        self.info.add("stats", self.pubsub.info_stats)
        self.info.add("stats", self.acl.info)
        add_never(self.info)
        self.info.add("clients", lambda: (("total_blocking_keys", self.blocking.key_count),))
        self.info.add("replication", lambda: info_lines(self.replication, self.config, self.clock.now_ms))
        self.cron.every_second.append(self.memory.sample)
        self.cron.every_second.append(lambda: self.timing.compact(self.table))
        self.monitors.on_change = self._monitor
        runs = self.scripting.runs
        self.monitors.in_script = lambda session: runs.current is not None and runs.current.session is session
        self.cron.on_expired = lambda took_ms: self.latency.add(b"expire-cycle", took_ms)
        self.forks.on_fork = lambda took_ms: self.latency.add(b"fork", took_ms)

    def _monitor(self, anybody: bool) -> None:
        """Every command goes the full path, and is told, while somebody monitors."""
        self.dispatcher.monitor = self.monitors.feed if anybody else None
        self.guards.set(Guard.MONITORED, anybody)

    def _count_by_slot(self) -> None:
        """Counters by slot, as long as they are wanted."""
        if self.cluster is None:
            return

        def apply(enabled: bool) -> None:
            self.slot_counters.enable(enabled)
            run = self.dispatcher.run
            self.dispatcher.runner = self.slot_counters.counted(run) if enabled else run
            self.guards.set(Guard.SLOT_STATS, enabled)

        self.config.on_change(directives.CLUSTER_SLOT_STATS_ENABLED, apply)
        apply(self.config[directives.CLUSTER_SLOT_STATS_ENABLED])

    def _wire_scripts(self) -> None:
        runs = self.scripting.runs
        runs.units, runs.table = self.dispatcher, self.table
        if self.cluster is not None:
            runs.route = self.cluster.router.route
        runs.write_gates += [
            gates.writable_file(self.guards, lambda: self.aof.error),
            gates.conditions(self.guards),
        ]
        runs.serve_others = self._serve_others
        runs.is_ending = lambda: self.lifecycle.is_ending
        runs.drop_unit, runs.tell = self.after.drop_unit, self.after.tell_only
        runs.forbidden = self.acl.refusal_of_script
        runs.may_run = lambda session, command, argv: self.acl.denial(session, command, argv) is None
        self.info.add("memory", self.scripting.info_memory)
        self.info.add("stats", self.scripting.info_stats)

    def _serve_others(self, running: Session) -> None:
        """While a command of `running` runs for long: the dispatcher is entered again, in its midst."""
        pushes = self.pushes
        current, held = pushes.current, pushes.held[:]
        pushes.held.clear()
        self.reactor.pump(running.transport.descriptor())
        pushes.current = current
        pushes.held += held

    def _make_eviction(self) -> Eviction:
        eviction = Eviction(
            self.config,
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
        eviction.is_replica = self._is_replica
        eviction.is_allowed = self._may_evict
        eviction.not_counted_bytes = self._not_counted_bytes
        self.memory_report.aof_bytes = lambda: self.aof.buffer_bytes
        self.memory_report.backlog_bytes = lambda: len(self.replication.stream.backlog or ())
        clients = ClientEviction(self.config, self.log, self.stats, self.clients.__iter__)
        self.cron.every_100ms += [eviction.tick, clients.tick]
        self.info.add("memory", eviction.info_memory)
        self.info.add("stats", eviction.info_stats)
        return eviction

    def _may_evict(self) -> bool:
        """Not while others rely on the data as they are, and on a replica perhaps never."""
        if self._is_replica() and self.config[directives.REPLICA_IGNORE_MAXMEMORY]:
            return False
        if Guard.LOADING in self.guards or Guard.PAUSED in self.guards or self.after.in_unit:
            return False
        return self.migrations is None or not self.migrations.is_holding

    def _not_counted_bytes(self) -> int:
        """Memory that more eviction would only make more of."""
        replicas = sum(s.transport.output_bytes() for s in self.clients if s.is_replica)
        return replicas + self.aof.buffer_bytes

    def _set_gates(self) -> None:
        self.dispatcher.gates += [
            gates.authentication(self.acl),
            gates.in_transaction,
            gates.permission(self.acl),
            gates.routing(self.cluster.router.route if self.cluster else None),
            self.eviction.gate,
            gates.writable_file(self.guards, lambda: self.aof.error),
            gates.subscriber_mode,
            gates.monitoring,
            gates.conditions(self.guards),
            gates.busy(self.guards, self.scripting.runs.busy_text),
            gates.pausing(self.clients, self.guards),
            *([self.migrations.gate] if self.migrations else []),
            gates.in_flight(self.moving.flight),
        ]

    def _follow_limits(self) -> None:
        """Databases get the thresholds of compact collections, and the cron its effort, now and whenever
        CONFIG SET changes them.
        """

        def apply() -> None:
            limits = limits_of(self.config)
            for database in self.databases:
                database.limits = limits

        self.config.on_change_of(COLLECTION_LIMITS, apply)
        apply()
        effort = directives.ACTIVE_EXPIRE_EFFORT
        self.config.on_change(effort, self.cron.follow_effort)
        self.cron.follow_effort(self.config[effort])

    async def run(self, pid_file: PidFile) -> int:
        """Serves until a shutdown is requested; returns the exit status.

        Raises ListenError, CannotStartError.
        """
        with shutdown_signals(self.config, self.lifecycle, self.log), short_pauses():
            fit_open_files(self.config, self.log)
            self._prepare_saving()
            pid_file.write()
            banner.say_mode(self.log, self.config, self.identity)
            banner.say_warnings(self.log, self.config)
            self.server.listen()
            bus_listeners = self._bus_listeners() if self.cluster is not None else []
            metrics_listeners = self._metrics_listeners()
            self.log.notice("Server initialized")
            self.memory.started()
            try:
                await self._serve(bus_listeners, metrics_listeners, pid_file)
            finally:
                self.aof.close()
                self.saving.close()
        self.log.warning("Shoal is now ready to exit, bye bye...")
        return self.lifecycle.exit_status

    async def _serve(
        self, bus_listeners: list[socket.socket], metrics_listeners: list[socket.socket], pid_file: PidFile
    ) -> None:
        manager = ServiceManager(self.config, self.log)
        self.loading.expect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.reactor.run)
            nursery.start_soon(self.timers.run)
            nursery.start_soon(self.aof.run)
            nursery.start_soon(self.saving.run)
            nursery.start_soon(self._start, nursery, manager, bus_listeners)
            if metrics_listeners:
                nursery.start_soon(serve_metrics, metrics_listeners, self.metrics)
            await self.lifecycle.wait()
            manager.say_stopping()
            pid_file.remove()
            self.reactor.settle()
            self.server.stop_listening()
            nursery.cancel_scope.cancel()
        if self._failed_start is not None:
            raise self._failed_start

    async def _start(
        self, nursery: trio.Nursery, manager: ServiceManager, bus_listeners: list[socket.socket]
    ) -> None:
        """Loads the data, then goes on as a node that has them."""
        try:
            await self._load_data()
        except (AofError, LoadError) as wrong:
            self._failed_start = CannotStartError(str(wrong))
            nursery.cancel_scope.cancel()
            return
        if (primary := self.config[directives.REPLICAOF]) is not None:
            self.replication.follow(*primary)  # before the first client is served
        self.loading.ready()
        nursery.start_soon(self.cron.run)
        nursery.start_soon(self.moving.run)
        nursery.start_soon(self.loads.run)
        if self.cluster is not None:
            nursery.start_soon(self.cluster.run, bus_listeners)
        if self.migrations is not None:
            nursery.start_soon(self.migrations.run)
        nursery.start_soon(self.replication.run)
        banner.say_ready(self.log, self.config)
        manager.say_ready()

    async def _load_data(self) -> None:
        """From the append-only file, if there shall be one, else the snapshot. Raises AofError, LoadError.

        Who turns appendonly on in the file finds the snapshot's data in it: redis-server begins with nothing.
        """
        is_replica = self._is_replica()
        if self.cluster is not None:
            self.loading.on_progress.append(self.cluster.wake)  # time passes, and the node is not paused
        appends, found = self.config[directives.APPENDONLY], False
        if appends:
            found = await load_aof(self)
        if not found:
            loader = await self.reload.at_start(self.loading)
            if loader is not None and (position := loader.position()) is not None:
                self.replication.restart_from(position, is_replica, loader.expired)
        if appends:
            self.aof.begin()
        if self.cluster is not None:
            slots = SlotSet(slot for slot in range(SLOT_COUNT) if self.databases[0].slot_count(slot))
            self.cluster.order(lambda core, now_ms: core.adopt_keys(slots, now_ms))

    def _take_over(self) -> None:
        """Our primary has lost its data, and we have them: see replica-refuse-empty-primary."""
        if self.cluster is None:
            return
        try:
            self.cluster.order(lambda core, now_ms: core.failover(FailoverMode.FORCE, now_ms))
        except CommandError as refused:
            self.log.warning(f"No fail-over: {refused.text.decode()}")

    def _prepare_saving(self) -> None:
        """Raises CannotStartError."""
        try:
            self.saving.prepare()
        except InUseError as taken:
            raise CannotStartError(str(taken)) from None
        except OSError as failed:
            self.log.warning(f"No data can be saved to {self.saving.path}: {failed.strerror}")

    def _save_last(self, wanted: bool | None) -> None:
        """Raises ShutdownError."""
        if self.loading.active:
            return  # the file has more than we do
        if self.aof.is_starting:
            raise ShutdownError("Writing initial AOF, can't exit.")
        try:
            self.saving.save_last(wanted)
        except SaveError as failed:
            raise ShutdownError(f"Error trying to save the DB, can't exit: {failed}") from None

    def _metrics_listeners(self) -> list[socket.socket]:
        """Raises ListenError."""
        if not self.config[directives.METRICS_PORT]:
            return []
        addresses, port = self.config[directives.METRICS_BIND], self.config[directives.METRICS_PORT]
        return tcp_listeners(addresses, port, self.config[directives.TCP_BACKLOG])

    def _bus_listeners(self) -> list[socket.socket]:
        """Raises ListenError."""
        backlog = self.config[directives.TCP_BACKLOG]
        return tcp_listeners(self.config[directives.BIND], bus_port(self.config), backlog)
