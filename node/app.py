"""The composition root: every part of a node is made and wired here, and nowhere else.

`build` makes a node of a configuration without touching a socket; `run` opens them and lives until a shutdown
is requested. What one service needs of another is handed over here as a callable.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Mapping

import trio

from gossip.slots import SLOT_COUNT
from node.blocking import Blocking
from node.clients import Clients
from node.clock import Clock
from node.cluster.access import ClusterAccess
from node.cluster.service import Cluster
from node.cluster.settings import bus_port
from node.cluster_wiring import DataHost, cluster_hands, end_lost_waits, key_exists
from node.collector import short_pauses
from node.command.call import Call
from node.command.registry import Table, freeze
from node.command.spec import DECLARED
from node.commands import load_all
from node.config import table as directives
from node.config.config import Config
from node.config.limits import COLLECTION_LIMITS, limits_of
from node.credentials import Credentials
from node.guards import Guard, Guards
from node.identity import Identity
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.keyspace.disposal import Disposal
from node.lifecycle import Lifecycle
from node.log import open_log
from node.observe.access import Accesses
from node.observe.info import Info
from node.observe.memory import MemoryWatch
from node.observe.never import add_never
from node.observe.sections import Observed, add_sections
from node.observe.stats import Stats
from node.persistence.snapshot import Snapshots
from node.replication.info import info_lines
from node.replication.service import Replication
from node.server import banner, gates
from node.server.after import After
from node.server.cron import Cron
from node.server.dispatch import Dispatcher
from node.server.listen import tcp_listeners
from node.server.loop import Reactor
from node.server.process import PidFile, ServiceManager, fit_open_files
from node.server.server import Server
from node.server.signals import shutdown_signals
from node.timers import Timers


class Node:
    """All parts of one node, wired."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.log = open_log(config, self._role_letter)
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
        self.lifecycle = Lifecycle(self.log, config, self.clients)
        self.identity = Identity(config)
        self.credentials = Credentials(config)
        self.after = After(self.changes)
        self.blocking = Blocking(self.clock, self.clients, self.after.watchers)
        self.blocking.apply = self.after.apply_waited
        self.after.serve_waiting = self.blocking.serve
        self.disposal = Disposal()
        self.info = Info()
        self.memory = MemoryWatch()
        self.cron = Cron(
            self.clock,
            self.stats,
            self.databases,
            self.policy,
            self.after.apply_expired,
            self.reactor.settle,
            self.disposal,
        )
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
            Snapshots(self.databases, self.log),
            self.new_call,
            self.reactor.settle,
        )
        self.reactor.before_flush.append(self.replication.primary.flush)
        host = DataHost(self.clock, self.databases[0], self.replication)
        self.cluster = self._make_cluster(host)
        self.cluster_access = ClusterAccess(config, self.cluster, host, lambda: Guard.LOADING in self.guards)
        self.served = self.cluster.router.served if self.cluster else bytearray(b"\x01" * SLOT_COUNT)
        self.accesses = Accesses(config, self.clock, self.databases)
        self.table = self._command_table()
        self.accesses.bind(self.table)
        self.dispatcher = Dispatcher(
            self.table, self.clock, self.changes, self.after, self.guards, self.stats, self.clients.block
        )
        self.replication.dispatcher = self.dispatcher
        self.server = Server(
            config,
            self.log,
            self.clock,
            self.stats,
            self.reactor,
            self.clients,
            self.dispatcher,
            self.new_call,
            self.credentials,
        )
        self.cron.every_second.append(self.server.tend)
        self._set_gates()
        self._observe()
        self._follow_limits()

    def new_call(self) -> Call:
        """The surroundings of a new session's commands."""
        return Call(self.databases, self.changes, self.served, self.clock.now_ms)

    def _role_letter(self) -> str:
        return "M" if self.replication.is_primary else "S"

    def _command_table(self) -> Table:
        load_all()
        services: Mapping[type, object] = {type(part): part for part in self._services()}
        return freeze(DECLARED, services, by_slot=self.cluster is not None)

    def _services(self) -> list[object]:
        """What commands may need: see node.command.spec."""
        return [
            self,
            self.cluster_access,
            self.replication,
            self.blocking,
            self.clients,
            self.config,
            self.accesses,
            self.lifecycle,
            self.identity,
            self.credentials,
            self.stats,
            self.info,
            self.disposal,
            self.policy,
            self.cron,
            self.log,
        ]

    def _make_cluster(self, host: DataHost) -> Cluster | None:
        if not self.config[directives.CLUSTER_ENABLED]:
            return None
        hands = cluster_hands(
            self.clock,
            self.databases[0],
            self.after.tellers,
            self.clients,
            self.lifecycle,
            self.log,
            self.replication,
            self._routes_changed,
        )
        rng = random.Random(secrets.randbits(64))
        cluster = Cluster(self.config, self.log, host, hands, key_exists, rng)
        self.reactor.before_turn.append(cluster.wake)
        me = cluster.core.state.me
        self.replication.expected_replicas = lambda: sum(not each.unreachable for each in me.replicas)
        return cluster

    def _routes_changed(self) -> None:
        """Looks after those who wait for keys, but later: a command may be running."""
        cluster = self.cluster
        if cluster is not None and self.blocking.key_count:
            router = cluster.router
            self.timers.at(self.clock.now_ms, lambda: end_lost_waits(self.blocking, router))

    def _observe(self) -> None:
        self.identity.is_replica = lambda: not self.replication.is_primary
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
            lambda: Guard.LOADING in self.guards,
            lambda: self.changes.total,
        )
        add_sections(self.info, observed)
        add_never(self.info)
        self.info.add("replication", lambda: info_lines(self.replication, self.config, self.clock.now_ms))
        self.cron.every_second.append(self.memory.sample)

    def _set_gates(self) -> None:
        self.dispatcher.gates += [
            gates.authentication(self.credentials),
            gates.routing(self.cluster.router.route if self.cluster else None),
            gates.conditions(self.guards),
            gates.pausing(self.clients, self.guards),
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
            pid_file.write()
            banner.say_mode(self.log, self.config, self.identity)
            banner.say_warnings(self.log, self.config)
            self.server.listen()
            bus_listeners = self._bus_listeners() if self.cluster is not None else []
            self.log.notice("Server initialized")
            self.memory.started()
            await self._serve(bus_listeners, pid_file)
        self.log.warning("Shoal is now ready to exit, bye bye...")
        return self.lifecycle.exit_status

    async def _serve(self, bus_listeners: list[socket.socket], pid_file: PidFile) -> None:
        manager = ServiceManager(self.config, self.log)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.reactor.run)
            nursery.start_soon(self.timers.run)
            nursery.start_soon(self.cron.run)
            nursery.start_soon(self.replication.run)
            if self.cluster is not None:
                nursery.start_soon(self.cluster.run, bus_listeners)
            banner.say_ready(self.log, self.config)
            manager.say_ready()
            await self.lifecycle.wait()
            manager.say_stopping()
            pid_file.remove()
            self.reactor.settle()
            self.server.stop_listening()
            nursery.cancel_scope.cancel()

    def _bus_listeners(self) -> list[socket.socket]:
        """Raises ListenError."""
        backlog = self.config[directives.TCP_BACKLOG]
        return tcp_listeners(self.config[directives.BIND], bus_port(self.config), backlog)
