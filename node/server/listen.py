"""Listening sockets: binding, accepting, and what a connection meets before its first request.

Source: redis.conf's chapters on bind, protected-mode, maxclients, unixsocket and tcp-keepalive.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

ACCEPTS_PER_TURN = 64

AT_MAX_CLIENTS = b"-ERR max number of clients reached\r\n"
PROTECTED = (
    b"-DENIED Shoal is running in protected mode because protected mode is enabled and no password is set "
    b"for the default user. In this mode connections are only accepted from the loopback interface. To connect "
    b"from other hosts, set a password for the default user, or disable protected mode with 'CONFIG SET "
    b"protected-mode no' from a loopback connection (or --protected-mode no at the start) if the node cannot "
    b"be reached from outside networks.\r\n"
)


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


def tcp_listeners(addresses: tuple[str, ...], port: int, backlog: int) -> list[socket.socket]:
    """Sockets listening on every address, `*` and `-::*` being all interfaces of a family.

    An address with a leading `-` may be missing on this machine. Raises ListenError for any other failure.
    """
    listeners: list[socket.socket] = []
    try:
        for written in addresses:
            optional = written.startswith("-")
            try:
                listeners.append(_tcp_listener(written.lstrip("-"), port, backlog))
            except OSError as failed:
                if not optional:
                    shown = written if ":" not in written else f"[{written}]"
                    raise ListenError(
                        f"Could not create server TCP listening socket {shown}:{port}: "
                        f"bind: {failed.strerror}"
                    ) from failed
    except ListenError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _tcp_listener(address: str, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host = {"*": "", "::*": "::"}.get(address, address)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def unix_listener(path: str, mode: int, backlog: int) -> socket.socket:
    """A listening unix socket; a stale file of a former process is replaced. Raises ListenError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        if mode:
            os.chmod(path, mode)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as failed:
        listener.close()
        raise ListenError(f"Could not create the unix socket {path}: {failed.strerror}") from failed
    return listener


class Listener:
    """A listening socket as the reactor sees it; `accepted` takes each new connection."""

    def __init__(self, listener: socket.socket, accepted: Callable[[socket.socket, str, str], None]) -> None:
        self.socket = listener
        self._accepted = accepted

    def readable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, peer = self.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            client.setblocking(False)
            if self.socket.family == socket.AF_UNIX:
                path = self.socket.getsockname()
                self._accepted(client, f"{path}:0", f"{path}:0")
            else:
                self._accepted(client, _written(peer), _written(client.getsockname()))

    def writable(self) -> None:
        raise AssertionError("a listening socket is never writable")


def _written(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: str) -> bool:
    """Whether a peer, as written in CLIENT LIST, is of this machine."""
    return address.startswith(("127.", "[::1]", "/", "[::ffff:127.")) or address.endswith(":0")


def set_tcp_options(client: socket.socket, keepalive_s: int) -> None:
    """No delay; with a period, keepalive probes that notice a dead peer after about twice that."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive_s:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, keepalive_s // 3))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
