"""A node's life: sockets are opened, the data loaded, all services run until a shutdown is requested."""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio

from gossip.slots import SLOT_COUNT, SlotSet
from node.aof_wiring import end_at_once, load_aof, reload_aof
from node.cluster.settings import bus_port
from node.collector import short_pauses
from node.config import table as directives
from node.lifecycle import ShutdownError
from node.observe.metrics_http import serve_metrics
from node.parts import Parts
from node.persistence.aof.errors import AofError
from node.persistence.files import InUseError
from node.persistence.rdb import LoadError
from node.persistence.saving import SaveError
from node.replication.void import has_lost_data
from node.server import banner
from node.server.listen import tcp_listeners
from node.server.process import CannotStartError, PidFile, ServiceManager, fit_open_files
from node.server.signals import shutdown_signals
from node.tls.contexts import TlsError


def wire_saving(parts: Parts) -> None:
    """When the node saves by itself: at save points, and last of all."""
    parts.saving.position = lambda: None if parts.is_importing() else parts.replication.position()
    parts.saving.is_replica = lambda: not parts.replication.is_primary
    parts.saving.die = end_at_once(parts.log)
    parts.aof.reload = lambda: reload_aof(parts)
    parts.cron.every_100ms.append(parts.saving.tick)
    parts.lifecycle.final_save = lambda wanted: _save_last(parts, wanted)


def _save_last(parts: Parts, wanted: bool | None) -> None:
    """Raises ShutdownError."""
    if parts.loading.active:
        return  # the file has more than we do
    if parts.aof.is_starting:
        raise ShutdownError("Writing initial AOF, can't exit.")
    try:
        parts.saving.save_last(wanted)
    except SaveError as failed:
        raise ShutdownError(f"Error trying to save the DB, can't exit: {failed}") from None


async def load_data(parts: Parts) -> None:
    """From the append-only file, if there shall be one, else the snapshot. Raises AofError, LoadError.

    Who turns appendonly on in the file finds the snapshot's data in it: redis-server begins with nothing.
    """
    is_replica = parts.is_replica()
    if parts.cluster is not None:
        parts.loading.on_progress.append(parts.cluster.wake)  # time passes, and the node is not paused
    appends, found = parts.config[directives.APPENDONLY], False
    if appends:
        found = await load_aof(parts)
    if not found:
        loader = await parts.reload.at_start(parts.loading)
        if loader is not None and (position := loader.position()) is not None:
            parts.replication.restart_from(position, is_replica, loader.expired)
    if appends:
        parts.aof.begin()
    if parts.cluster is not None:
        slots = SlotSet(slot for slot in range(SLOT_COUNT) if parts.databases[0].slot_count(slot))
        parts.cluster.order(lambda core, now_ms: core.adopt_keys(slots, now_ms))
        if has_lost_data(parts.config, parts.databases, parts.replication.position()):
            parts.cluster.order(lambda core, now_ms: core.lost_data(now_ms))


class Life:
    """One run of a node."""

    def __init__(self, parts: Parts, metrics: Callable[[], bytes]) -> None:
        self._parts = parts
        self._metrics = metrics
        self._manager = ServiceManager(parts.config, parts.log)
        self._failed: CannotStartError | None = None

    async def run(self, pid_file: PidFile) -> int:
        """Until a shutdown is requested; returns the exit status. Raises ListenError, CannotStartError."""
        parts = self._parts
        config, log = parts.config, parts.log
        with shutdown_signals(config, parts.lifecycle, log), short_pauses():
            fit_open_files(config, log)
            self._prepare_saving()
            self._prepare_tls()
            pid_file.write()
            banner.say_mode(log, config, parts.identity)
            banner.say_warnings(log, config)
            parts.server.listen()
            bus_listeners = self._bus_listeners()
            metrics_listeners = self._metrics_listeners()
            log.notice("Server initialized")
            parts.memory.started()
            try:
                await self._serve(bus_listeners, metrics_listeners, pid_file)
            finally:
                parts.aof.close()
                parts.saving.close()
        log.warning("Shoal is now ready to exit, bye bye...")
        return parts.lifecycle.exit_status

    async def _serve(
        self, bus_listeners: list[socket.socket], metrics_listeners: list[socket.socket], pid_file: PidFile
    ) -> None:
        parts = self._parts
        parts.loading.expect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parts.reactor.run)
            nursery.start_soon(parts.timers.run)
            nursery.start_soon(parts.aof.run)
            nursery.start_soon(parts.saving.run)
            nursery.start_soon(self._start, nursery, bus_listeners)
            if metrics_listeners:
                nursery.start_soon(serve_metrics, metrics_listeners, self._metrics)
            await parts.lifecycle.wait()
            self._manager.say_stopping()
            pid_file.remove()
            parts.reactor.settle()
            parts.server.stop_listening()
            nursery.cancel_scope.cancel()
        if self._failed is not None:
            raise self._failed

    async def _start(self, nursery: trio.Nursery, bus_listeners: list[socket.socket]) -> None:
        """Loads the data, then goes on as a node that has them."""
        parts = self._parts
        try:
            await load_data(parts)
        except (AofError, LoadError) as wrong:
            self._failed = CannotStartError(str(wrong))
            nursery.cancel_scope.cancel()
            return
        if (primary := parts.config[directives.REPLICAOF]) is not None:
            parts.replication.follow(*primary)  # before the first client is served
        parts.loading.ready()
        nursery.start_soon(parts.cron.run)
        nursery.start_soon(parts.moving.run)
        nursery.start_soon(parts.loads.run)
        if parts.cluster is not None:
            nursery.start_soon(parts.cluster.run, bus_listeners)
        if parts.migrations is not None:
            nursery.start_soon(parts.migrations.run)
        nursery.start_soon(parts.replication.run)
        banner.say_ready(parts.log, parts.config)
        self._manager.say_ready()

    def _prepare_saving(self) -> None:
        """Raises CannotStartError."""
        saving = self._parts.saving
        try:
            saving.prepare()
        except InUseError as taken:
            raise CannotStartError(str(taken)) from None
        except OSError as failed:
            self._parts.log.warning(f"No data can be saved to {saving.path}: {failed.strerror}")

    def _prepare_tls(self) -> None:
        """Raises CannotStartError."""
        try:
            self._parts.tls.configure()
        except TlsError as wrong:
            raise CannotStartError(f"Failed to configure TLS: {wrong}") from None

    def _metrics_listeners(self) -> list[socket.socket]:
        """Raises ListenError."""
        config = self._parts.config
        if not config[directives.METRICS_PORT]:
            return []
        addresses, port = config[directives.METRICS_BIND], config[directives.METRICS_PORT]
        return tcp_listeners(addresses, port, config[directives.TCP_BACKLOG])

    def _bus_listeners(self) -> list[socket.socket]:
        """Raises ListenError."""
        config = self._parts.config
        if self._parts.cluster is None:
            return []
        return tcp_listeners(config[directives.BIND], bus_port(config), config[directives.TCP_BACKLOG])
