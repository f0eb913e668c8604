"""The server's front: who may connect, and what a connection needs of its host.

Source: redis.conf's chapters on maxclients, protected-mode, timeout and client buffers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from node.clients import Clients
from node.clock import Clock
from node.command.call import Call
from node.command.session import Session
from node.config import table as directives
from node.config.config import Config
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
    is_loopback,
    set_tcp_options,
    tcp_listeners,
    unix_listener,
)
from node.server.loop import Reactor


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
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._stats = stats
        self._reactor = reactor
        self._clients = clients
        self._new_call = new_call
        self._listeners: list[socket.socket] = []
        self.serve: Serve = dispatcher.serve
        for directive in (directives.BIND, directives.PORT):
            config.on_change_of((directive,), self._listen_again)

    # Listening

    def listen(self) -> None:
        """Opens the listening sockets. Raises ListenError when one cannot be had."""
        config = self._config
        backlog = config[directives.TCP_BACKLOG]
        self._listeners = []
        if config[directives.PORT]:
            self._listeners += tcp_listeners(config[directives.BIND], config[directives.PORT], backlog)
        path = config[directives.UNIXSOCKET]
        if path:
            self._listeners.append(unix_listener(path, config[directives.UNIXSOCKETPERM], backlog))
        for listener in self._listeners:
            self._reactor.add(listener.fileno(), Listener(listener, self._accepted))

    def stop_listening(self) -> None:
        for listener in self._listeners:
            self._reactor.remove(listener.fileno())
            listener.close()
        self._listeners.clear()

    def _listen_again(self) -> None:
        self.stop_listening()
        self.listen()

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
        if client.family != socket.AF_UNIX:
            set_tcp_options(client, self._config[directives.TCP_KEEPALIVE])
        self.connect(client, address, local_address)

    def _refusal(self, address: str) -> bytes | None:
        config = self._config
        if len(self._clients.sessions) >= config[directives.MAXCLIENTS]:
            return AT_MAX_CLIENTS
        protected = config[directives.PROTECTED_MODE] and not config[directives.REQUIREPASS]
        if protected and not is_loopback(address):
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
        session.authenticated = parser.authenticated = not self._config[directives.REQUIREPASS]
        session.update_guard()
        connection.session = session
        self._clients.add(session)
        self._reactor.add(client.fileno(), connection)
        return connection

    # The connections' host

    def interested(self, connection: Connection, mask: int) -> None:
        self._reactor.modify(connection.fd, mask)

    def has_output(self, connection: Connection) -> None:
        self._reactor.has_output(connection)

    def closed(self, connection: Connection, reason: str) -> None:
        session = connection.session
        self._reactor.remove(connection.fd)
        self._clients.remove(session)
        self._log.debug(f"Client id={session.id} addr={session.address.decode()} closed: {reason}")

    def count_io(self, input_bytes: int, output_bytes: int) -> None:
        self._stats.input_bytes += input_bytes
        self._stats.output_bytes += output_bytes

    def query_buffer_limit_bytes(self) -> int:
        return self._config[directives.CLIENT_QUERY_BUFFER_LIMIT]

    def output_limit(self, session: Session) -> BufferLimit:
        limits = self._config[directives.CLIENT_OUTPUT_BUFFER_LIMIT]
        return limits.replica if session.is_replica else limits.normal

    def now_ms(self) -> int:
        return self._clock.now_ms

    def close_idle(self) -> None:
        """Closes clients that have been silent for longer than `timeout`; called by the cron every second."""
        timeout_ms = self._config[directives.TIMEOUT] * 1000
        if not timeout_ms:
            return
        for session in self._clients:
            spared = session.is_replica or session.from_primary or session.blocked is not None
            if not spared and self._clock.now_ms - session.last_seen_ms > timeout_ms:
                self._log.verbose("Closing idle client")
                session.transport.close(after_output=False)
