"""The doors clients come in by: a plain and a TLS port, on all addresses of `bind`.

Behind the TLS port stands the handshake. It is a source of the reactor like a connection, and there is no
session before it is over; as many as may be clients may be in it, each for at most HANDSHAKE_TIMEOUT_S, so
that whoever connects and says nothing holds nothing for long.
"""

from __future__ import annotations

from typing import Protocol

from node.config import table as directives
from node.config.config import Config
from node.config.directive import ConfigError, Directive
from node.log import Log
from node.server.listen import Accepted, Listener, ListenError, tcp_listeners
from node.server.loop import Reactor
from node.tls.socket import TlsSocket

HANDSHAKE_TIMEOUT_S = 10.0


class TcpDoor:
    """The listening sockets of the port that `port` names."""

    def __init__(
        self,
        port: Directive[int],
        accepts_per_turn: Directive[int],
        config: Config,
        log: Log,
        reactor: Reactor,
        accepted: Accepted,
    ) -> None:
        self._port = port
        self._accepts_per_turn = accepts_per_turn
        self._config = config
        self._log = log
        self._reactor = reactor
        self._accepted = accepted
        self._listeners: list[Listener] = []
        self._bound: tuple[tuple[str, ...], int] = ((), 0)
        config.on_change_of((directives.BIND, port), self._open_again)

    @property
    def is_open(self) -> bool:
        return bool(self._listeners)

    def open(self) -> None:
        """Raises ListenError."""
        self._listen(self._config[directives.BIND], self._config[self._port])

    def close(self) -> None:
        for listener in self._listeners:
            self._reactor.remove(listener.socket.fileno())
            listener.close()
        self._listeners.clear()

    def _listen(self, addresses: tuple[str, ...], port: int) -> None:
        config, per_turn = self._config, self._accepts_per_turn
        if port:
            for each in tcp_listeners(addresses, port, config[directives.TCP_BACKLOG]):
                listener = Listener(each, self._accepted, lambda: config[per_turn], self._log.warning)
                self._listeners.append(listener)
                self._reactor.add(each.fileno(), listener)
        self._bound = (addresses, port)

    def _open_again(self) -> None:
        """After CONFIG SET. Raises ConfigError, with the old sockets open again."""
        before = self._bound
        self.close()
        try:
            self.open()
        except ListenError as failed:
            self._log.warning(str(failed))
            self._listen(*before)
            if before[1] != self._config[self._port]:
                raise ConfigError("Unable to listen on this port. Check server logs.") from None
            raise ConfigError("Failed to bind to specified addresses.") from None


class Ended(Protocol):
    """Called once, with why there is no connection, None when there is one."""

    def __call__(self, handshake: Handshake, failure: str | None, /) -> None: ...


class Handshake:
    """A connection to the TLS port that is not one yet; times are trio's."""

    __slots__ = ("_ended", "_reactor", "address", "deadline_s", "local_address", "socket")

    def __init__(
        self,
        socket: TlsSocket,
        address: str,
        local_address: str,
        reactor: Reactor,
        deadline_s: float,
        ended: Ended,
    ) -> None:
        self.socket = socket
        self.address = address
        self.local_address = local_address
        self.deadline_s = deadline_s
        self._reactor = reactor
        self._ended: Ended | None = ended
        reactor.add(socket.fileno(), self)

    def readable(self) -> None:
        if self._ended is None:
            return  # the event was for the connection that this has become
        try:
            events = self.socket.handshake()
        except OSError as failed:
            self.end(str(failed))
            return
        if events:
            self._reactor.modify(self.socket.fileno(), events)
        else:
            self.end(None)

    writable = readable

    def hung_up(self) -> None:
        self.end("the connection was closed during the TLS handshake")

    def end(self, failure: str | None) -> None:
        """No longer watched from here on; a failure closes the socket."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        self._reactor.remove(self.socket.fileno())
        if failure is not None:
            self.socket.close()
        ended(self, failure)
