"""The server's front: who may connect, and what a connection needs of its host.

Source: redis.conf's chapters on maxclients, protected-mode, timeout and client buffers.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable

from node.acl.service import Acl
from node.clients import Clients
from node.clock import Clock
from node.command.call import Call
from node.command.client_line import client_line
from node.command.locality import is_local
from node.command.session import Session
from node.config import table as directives
from node.config.config import Config
from node.config.directive import ConfigError
from node.config.limits import replica_output_limit
from node.config.special import BufferLimit
from node.log import Log
from node.observe.stats import Stats
from node.resp.request import RequestParser
from node.server.connection import Connection, Serve
from node.server.dispatch import Dispatcher
from node.server.listen import (
    AT_MAX_CLIENTS,
    PROTECTED,
    Listener,
    ListenError,
    set_tcp_options,
    tcp_listeners,
    unix_listener,
)
from node.server.loop import Reactor

HTTP_LOG_PERIOD_S = 60.0


class Server:
    """Accepts connections and gives them sessions; the host of every connection."""

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        stats: Stats,
        reactor: Reactor,
        clients: Clients,
        dispatcher: Dispatcher,
        new_call: Callable[[], Call],
        acl: Acl,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._stats = stats
        self._reactor = reactor
        self._clients = clients
        self._new_call = new_call
        self._acl = acl
        self._tcp: list[Listener] = []
        self._unix: list[Listener] = []
        self._unix_path = ""
        self._bound: tuple[tuple[str, ...], int] = ((), 0)
        self._http_logged_s = -math.inf
        self.serve: Serve = dispatcher.serve
        dispatcher.on_http = self._abort_http
        dispatcher.on_queue = self._check_queue
        config.on_change_of((directives.BIND, directives.PORT), self._listen_again)

    # Listening

    def listen(self) -> None:
        """Opens the listening sockets. Raises ListenError when one cannot be had."""
        config = self._config
        self._listen_tcp(config[directives.BIND], config[directives.PORT])
        if config[directives.UNIXSOCKET]:
            path = self._unix_path = config.resolve(config[directives.UNIXSOCKET])
            mode, group = config[directives.UNIXSOCKETPERM], config[directives.UNIXSOCKETGROUP]
            listener = unix_listener(path, mode, group, config[directives.TCP_BACKLOG])
            self._unix.append(self._serve_listener(listener))
        if not self._tcp and not self._unix:
            raise ListenError("Configured to not listen anywhere, exiting.")

    def _listen_tcp(self, addresses: tuple[str, ...], port: int) -> None:
        if port:
            for listener in tcp_listeners(addresses, port, self._config[directives.TCP_BACKLOG]):
                self._tcp.append(self._serve_listener(listener))
        self._bound = (addresses, port)

    def _serve_listener(self, listener: socket.socket) -> Listener:
        config = self._config
        served = Listener(
            listener,
            self._accepted,
            lambda: config[directives.MAX_NEW_CONNECTIONS_PER_CYCLE],
            self._log.warning,
        )
        self._reactor.add(listener.fileno(), served)
        return served

    def stop_listening(self) -> None:
        """Closes the listening sockets and removes the unix socket's file."""
        self._close(self._tcp)
        if self._unix:
            self._close(self._unix)
            self._log.notice("Removing the unix socket file.")
            try:
                os.unlink(self._unix_path)
            except OSError as failed:
                self._log.warning(f"Error removing the unix socket file: {failed.strerror}")

    def _close(self, listeners: list[Listener]) -> None:
        for listener in listeners:
            self._reactor.remove(listener.socket.fileno())
            listener.close()
        listeners.clear()

    def _listen_again(self) -> None:
        """After CONFIG SET of bind or port. Raises ConfigError, with the old sockets open again."""
        before = self._bound
        self._close(self._tcp)
        try:
            self._listen_tcp(self._config[directives.BIND], self._config[directives.PORT])
        except ListenError as failed:
            self._log.warning(str(failed))
            self._listen_tcp(*before)
            if before[1] != self._config[directives.PORT]:
                raise ConfigError("Unable to listen on this port. Check server logs.") from None
            raise ConfigError("Failed to bind to specified addresses.") from None

    def _accepted(self, client: socket.socket, address: str, local_address: str) -> None:
        refusal = self._refusal(address)
        if refusal is not None:
            self._stats.connections_rejected += 1
            try:
                client.send(refusal)
            except OSError as broken:
                self._log.verbose(f"Error sending the refusal to {address}: {broken}")
            client.close()
            return
        self._stats.connections_received += 1
        self._log.verbose(f"Accepted {address}")
        if client.family != socket.AF_UNIX:
            set_tcp_options(client, self._config[directives.TCP_KEEPALIVE])
        self.connect(client, address, local_address)

    def _refusal(self, address: str) -> bytes | None:
        config = self._config
        if len(self._clients.sessions) >= config[directives.MAXCLIENTS]:
            return AT_MAX_CLIENTS
        protected = config[directives.PROTECTED_MODE] and not self._acl.required
        if protected and not is_local(address.encode()):
            return PROTECTED
        return None

    def connect(self, client: socket.socket, address: str, local_address: str) -> Connection:
        """Makes a served connection of a socket."""
        parser = RequestParser(self._config[directives.PROTO_MAX_BULK_LEN])
        connection = Connection(client, self, parser)
        session = Session(
            next(self._clients.next_ids),
            self._new_call(),
            connection,
            address.encode(),
            local_address.encode(),
        )
        connection.session = session
        parser.authenticated = False
        self._acl.begin(session)
        self._clients.add(session)
        self._reactor.add(client.fileno(), connection)
        return connection

    # The connections' host

    def interested(self, connection: Connection, mask: int) -> None:
        self._reactor.modify(connection.fd, mask)

    def has_output(self, connection: Connection) -> None:
        self._reactor.has_output(connection)

    def has_pushes(self, connection: Connection) -> None:
        self._reactor.has_pushes(connection)

    def may_go_on(self, connection: Connection) -> None:
        self._reactor.may_go_on(connection)

    def closed(self, connection: Connection, reason: str) -> None:
        session = connection.session
        self._reactor.remove(connection.fd)
        self._clients.remove(session)
        if self._log.verboses:
            self._log.verbose(f"Client id={session.id} addr={session.address.decode()} closed: {reason}")

    def count_read(self, size: int) -> None:
        self._stats.reads_processed += 1
        self._stats.input_bytes += size

    def count_written(self, size: int) -> None:
        self._stats.writes_processed += 1
        self._stats.output_bytes += size

    def query_limit_exceeded(self, session: Session) -> None:
        self._stats.query_buffer_disconnections += 1
        line = self._line(session)
        self._log.warning(f"Closing client that reached max query buffer length: {line}")

    def output_limit_exceeded(self, session: Session) -> None:
        self._stats.output_buffer_disconnections += 1
        line = self._line(session)
        self._log.warning(
            f"Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
        )

    def _check_queue(self, session: Session) -> None:
        """What MULTI has queued counts as input that was not processed yet."""
        queue = session.queue
        if queue is not None and queue.size_bytes > self.query_buffer_limit_bytes():
            self.query_limit_exceeded(session)
            session.transport.close(after_output=False)

    def protocol_error(self, session: Session, text: str) -> None:
        if self._log.verboses:
            self._log.verbose(f"{text} from client: {self._line(session)}")

    def _abort_http(self, session: Session) -> None:
        """Ends a connection that speaks HTTP; says so in the log, at most once a minute."""
        now_s = time.monotonic()
        if now_s - self._http_logged_s > HTTP_LOG_PERIOD_S:
            self._http_logged_s = now_s
            self._log.warning(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands "
                "to Shoal. This is likely due to an attacker attempting to use Cross Protocol Scripting to "
                f"compromise your instance. Connection from {session.address.decode()} aborted."
            )
        session.transport.close(after_output=False)

    def _line(self, session: Session) -> str:
        return client_line(session, self._clock.now_ms).decode("utf-8", "backslashreplace")

    def query_buffer_limit_bytes(self) -> int:
        return self._config[directives.CLIENT_QUERY_BUFFER_LIMIT]

    def output_limit(self, session: Session) -> BufferLimit:
        if session.is_replica:
            return replica_output_limit(self._config)
        limits = self._config[directives.CLIENT_OUTPUT_BUFFER_LIMIT]
        return limits.normal if session.subscriptions is None else limits.pubsub

    def now_ms(self) -> int:
        return self._clock.now_ms

    def tend(self) -> None:
        """Closes clients that do not read, and idle ones; called by the cron every second."""
        for session in self._clients:
            if isinstance(session.transport, Connection):
                session.transport.check_output_limit()
        self._close_idle()

    def _close_idle(self) -> None:
        """Closes clients that have been silent for longer than `timeout`."""
        timeout_ms = self._config[directives.TIMEOUT] * 1000
        if not timeout_ms:
            return
        for session in self._clients:
            waits = session.blocked is not None or session.subscriptions is not None
            spared = waits or session.is_replica or session.from_primary
            if not spared and self._clock.now_ms - session.last_seen_ms > timeout_ms:
                self._log.verbose("Closing idle client")
                session.transport.close(after_output=False)
