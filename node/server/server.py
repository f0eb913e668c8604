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
from node.config.limits import replica_output_limit
from node.config.special import BufferLimit
from node.log import Log
from node.observe.stats import Stats
from node.resp.request import SPEAKS_TLS, RequestParser
from node.server.connection import Connection, Serve, Socket
from node.server.dispatch import Dispatcher
from node.server.doors import HANDSHAKE_TIMEOUT_S, Handshake, TcpDoor
from node.server.listen import (
    AT_MAX_CLIENTS,
    PROTECTED,
    Listener,
    ListenError,
    set_tcp_options,
    unix_listener,
)
from node.server.loop import Reactor
from node.tls.contexts import Tls

LOG_PERIOD_S = 60.0


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
        tls: Tls,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._stats = stats
        self._reactor = reactor
        self._clients = clients
        self._new_call = new_call
        self._acl = acl
        self._tls = tls
        per_turn = directives.MAX_NEW_CONNECTIONS_PER_CYCLE
        tls_per_turn = directives.MAX_NEW_TLS_CONNECTIONS_PER_CYCLE
        self._doors = (
            TcpDoor(directives.PORT, per_turn, config, log, reactor, self._accepted),
            TcpDoor(directives.TLS_PORT, tls_per_turn, config, log, reactor, self._accepted_tls),
        )
        self._handshakes: set[Handshake] = set()
        self._unix: list[Listener] = []
        self._unix_path = ""
        self._http_logged_s = self._tls_logged_s = -math.inf
        self.serve: Serve = dispatcher.serve
        self.has_output = reactor.has_output
        self.stats = stats
        dispatcher.on_http = self._abort_http
        dispatcher.on_queue = self._check_queue

    # Listening

    def listen(self) -> None:
        """Opens the listening sockets. Raises ListenError when one cannot be had."""
        config = self._config
        for door in self._doors:
            door.open()
        if config[directives.UNIXSOCKET]:
            path = self._unix_path = config.resolve(config[directives.UNIXSOCKET])
            mode, group = config[directives.UNIXSOCKETPERM], config[directives.UNIXSOCKETGROUP]
            listener = unix_listener(path, mode, group, config[directives.TCP_BACKLOG])
            self._unix.append(self._serve_listener(listener))
        if not self._unix and not any(door.is_open for door in self._doors):
            raise ListenError("Configured to not listen anywhere, exiting.")

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
        for door in self._doors:
            door.close()
        for handshake in list(self._handshakes):
            handshake.end("shutting down")
        if self._unix:
            for listener in self._unix:
                self._reactor.remove(listener.socket.fileno())
                listener.close()
            self._unix.clear()
            self._log.notice("Removing the unix socket file.")
            try:
                os.unlink(self._unix_path)
            except OSError as failed:
                self._log.warning(f"Error removing the unix socket file: {failed.strerror}")

    def _accepted(self, client: socket.socket, address: str, local_address: str) -> None:
        if self._is_refused(client, address):
            return
        self._stats.connections_received += 1
        self._log.verbose(f"Accepted {address}")
        if client.family != socket.AF_UNIX:
            set_tcp_options(client, self._config[directives.TCP_KEEPALIVE])
        self.connect(client, address, local_address)

    def _accepted_tls(self, client: socket.socket, address: str, local_address: str) -> None:
        if len(self._clients.sessions) + len(self._handshakes) >= self._config[directives.MAXCLIENTS]:
            self._stats.connections_rejected += 1  # in silence: nothing can be said before the handshake
            client.close()
            return
        set_tcp_options(client, self._config[directives.TCP_KEEPALIVE])
        deadline_s = time.monotonic() + HANDSHAKE_TIMEOUT_S
        secured = self._tls.for_client(client)
        self._handshakes.add(
            Handshake(secured, address, local_address, self._reactor, deadline_s, self._shaken)
        )

    def _shaken(self, handshake: Handshake, failure: str | None) -> None:
        self._handshakes.discard(handshake)
        address = handshake.address
        if failure is not None:
            self._log.warning(f"Error accepting a client connection: {failure} (addr={address})")
        elif not self._is_refused(handshake.socket, address):
            self._stats.connections_received += 1
            self._log.verbose(f"Accepted {address} (TLS)")
            connection = self.connect(handshake.socket, address, handshake.local_address, over_tls=True)
            if handshake.socket.holds_data:
                connection.readable()

    def _is_refused(self, client: Socket, address: str) -> bool:
        """Whether the client may not come in; it is told why, and its connection ends."""
        refusal = self._refusal(address)
        if refusal is None:
            return False
        self._stats.connections_rejected += 1
        try:
            client.send(refusal)
        except OSError as broken:
            self._log.verbose(f"Error sending the refusal to {address}: {broken}")
        client.close()
        return True

    def _refusal(self, address: str) -> bytes | None:
        config = self._config
        if len(self._clients.sessions) >= config[directives.MAXCLIENTS]:
            return AT_MAX_CLIENTS
        protected = config[directives.PROTECTED_MODE] and not self._acl.required
        if protected and not is_local(address.encode()):
            return PROTECTED
        return None

    def connect(
        self, client: Socket, address: str, local_address: str, *, over_tls: bool = False
    ) -> Connection:
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
        session.over_tls = over_tls
        parser.authenticated = False
        self._acl.begin(session)
        self._clients.add(session)
        self._reactor.add(client.fileno(), connection)
        return connection

    # The connections' host

    def interested(self, connection: Connection, mask: int) -> None:
        self._reactor.modify(connection.fd, mask)

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
        if text.endswith(SPEAKS_TLS.decode()):
            now_s = time.monotonic()
            if now_s - self._tls_logged_s > LOG_PERIOD_S:
                self._tls_logged_s = now_s
                self._log.warning(f"A client speaks TLS to the plain port: {session.address.decode()}")
        elif self._log.verboses:
            self._log.verbose(f"{text} from client: {self._line(session)}")

    def _abort_http(self, session: Session) -> None:
        """Ends a connection that speaks HTTP; says so in the log, at most once a minute."""
        now_s = time.monotonic()
        if now_s - self._http_logged_s > LOG_PERIOD_S:
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
        now_s = time.monotonic()
        for handshake in [each for each in self._handshakes if each.deadline_s < now_s]:
            handshake.end(f"no TLS handshake within {HANDSHAKE_TIMEOUT_S:g} s")

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
