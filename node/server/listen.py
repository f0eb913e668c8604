"""Listening sockets: binding, accepting, and what a connection meets before its first request.

Source: redis.conf's chapters on bind, protected-mode, maxclients, unixsocket and tcp-keepalive.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
from collections.abc import Callable

AT_MAX_CLIENTS = b"-ERR max number of clients reached\r\n"
PROTECTED = (
    b"-DENIED Shoal is running in protected mode because protected mode is enabled and no password is set "
    b"for the default user. In this mode connections are only accepted from the loopback interface. To "
    b"connect from other hosts, set a password for the default user, or disable protected mode with "
    b"'CONFIG SET protected-mode no' from a loopback connection (or --protected-mode no at the start) if the "
    b"node cannot be reached from outside networks.\r\n"
)

_NO_SUCH_ADDRESS = frozenset(
    (
        errno.EADDRNOTAVAIL,
        errno.ENOPROTOOPT,
        errno.EPROTONOSUPPORT,
        errno.ESOCKTNOSUPPORT,
        errno.EPFNOSUPPORT,
        errno.EAFNOSUPPORT,
    )
)
_OUT_OF_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE))


Accepted = Callable[[socket.socket, str, str], None]
"""Takes a new connection, the peer's address and our own."""


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
                if not (optional and failed.errno in _NO_SUCH_ADDRESS):
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


def unix_listener(path: str, mode: int, group: str, backlog: int) -> socket.socket:
    """A listening unix socket; a stale file of a former process is replaced. Raises ListenError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        if group:
            os.chown(path, -1, _group_id(group))
        if mode:
            os.chmod(path, mode)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as failed:
        listener.close()
        raise ListenError(f"Could not create the unix socket {path}: {failed.strerror or failed}") from failed
    return listener


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no group '{name}'") from None


class Listener:
    """A listening socket as the reactor sees it; `accepted` takes each new connection.

    `accepts_per_turn` tells how many are taken in one turn. A descriptor is held in reserve: when the process
    has no other left, it serves to take a connection and end it, which would otherwise keep the listener
    ready and the loop busy.
    """

    def __init__(
        self,
        listener: socket.socket,
        accepted: Accepted,
        accepts_per_turn: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self.socket = listener
        self._accepted = accepted
        self._accepts_per_turn = accepts_per_turn
        self._warn = warn
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        self.socket.close()
        os.close(self._reserve)

    def readable(self) -> None:
        for _ in range(self._accepts_per_turn()):
            try:
                client, peer = self.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as failed:
                if failed.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                self._warn(f"Accepting client connection: {failed.strerror}")
                self._turn_away()
                return
            client.setblocking(False)
            if self.socket.family == socket.AF_UNIX:
                path = self.socket.getsockname()
                self._accepted(client, f"{path}:0", f"{path}:0")
            else:
                self._accepted(client, _written(peer), _written(client.getsockname()))

    def _turn_away(self) -> None:
        os.close(self._reserve)
        try:
            self.socket.accept()[0].close()
        except OSError as failed:
            self._warn(f"Turning a client away: {failed.strerror}")
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def writable(self) -> None:
        raise AssertionError("a listening socket is never writable")

    def hung_up(self) -> None:
        raise AssertionError("a listening socket never hangs up")


def _written(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def set_tcp_options(client: socket.socket, keepalive_s: int) -> None:
    """No delay; with a period, keepalive probes that notice a dead peer after about twice that."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive_s:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, keepalive_s // 3))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
