"""A buffered byte stream over trio: what a replica link needs beneath RESP.

A PSYNC handshake mixes lines (`+FULLRESYNC …`), a bulk of announced length with no trailing CRLF, a bulk that
ends at a random mark, and then a command stream without end. Each wants a different way of reading from the
same bytes, so the buffer is a class of its own and knows no replies; `node.resp.client` puts a reply parser
on top.

Three ways to fail: ConnectError (never got there), ConnectionLost (it ended or broke), TimedOut (no answer in
time). All are LinkError and name the peer.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

import trio

RECEIVE_BYTES = 64 * 1024
LINE_BYTES_MAX = 64 * 1024


class LinkError(Exception):
    """A connection failed. `peer` is `host:port` or the path of a socket, `reason` a phrase."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"{peer}: {reason}")
        self.peer = peer
        self.reason = reason


class ConnectError(LinkError):
    """No connection could be made."""


class TlsFailed(ConnectError):  # noqa: N818
    """The other end was there, and TLS could not be agreed on."""


class ConnectionLost(LinkError):  # noqa: N818  the name says what happened, like trio's Cancelled
    """The connection ended, broke, or carried what is not RESP; it is closed."""


class TimedOut(LinkError):  # noqa: N818
    """No answer in time; the connection is closed, for a late answer could be taken for the next one's."""


def reason_of(error: OSError) -> str:
    """`connection refused` and the like: the system's phrase in lower case, without its number."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or error.strerror or type(error).__name__).replace("_", " ").lower()
    if error.errno is None:
        return str(error) or type(error).__name__
    phrase = os.strerror(error.errno)
    return phrase[0].lower() + phrase[1:]


class BufferedStream:
    """Lines, exact counts and whatever is there, from one trio stream. One task reads at a time."""

    def __init__(self, stream: trio.abc.Stream, peer: str) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self.peer = peer

    async def send(self, data: bytes) -> None:
        """Raises ConnectionLost."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._lost(error) from error

    async def read_line(self, limit_bytes: int = LINE_BYTES_MAX) -> bytes:
        """The next line without its CRLF (or bare LF).

        Raises ConnectionLost, also for a line longer than `limit_bytes`.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit_bytes:
                raise ConnectionLost(self.peer, f"sent a line of more than {limit_bytes} bytes")
            await self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    async def read_exactly(self, count: int) -> bytes:
        """`count` bytes. Raises ConnectionLost when the stream ends before."""
        while len(self._buffer) < count:
            await self._fill()
        return self._take(count)

    async def read_some(self, limit_bytes: int = RECEIVE_BYTES) -> bytes:
        """At least one and at most `limit_bytes` bytes: those buffered, else the next to come.

        Raises ConnectionLost at the end of the stream.
        """
        if not self._buffer:
            await self._fill()
        return self._take(min(limit_bytes, len(self._buffer)))

    def cut(self) -> None:
        """Ends the connection from outside: whoever reads or sends, now or later, gets ConnectionLost."""
        under = self._stream.transport_stream if isinstance(self._stream, trio.SSLStream) else self._stream
        if isinstance(under, trio.SocketStream):
            with suppress(OSError):
                under.socket.shutdown(socket.SHUT_RDWR)

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _fill(self) -> None:
        try:
            received = await self._stream.receive_some(RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._lost(error) from error
        if not received:
            raise ConnectionLost(self.peer, "closed the connection")
        self._buffer += received

    def _lost(self, error: Exception) -> ConnectionLost:
        cause = error.__cause__
        return ConnectionLost(
            self.peer, reason_of(cause) if isinstance(cause, OSError) else "connection is closed"
        )


@dataclass(frozen=True, slots=True)
class TlsClient:
    """How to speak TLS: `server_name` is told to the server (SNI) and, when the context checks names, what
    its certificate must be for; None is the host that is connected to.
    """

    context: ssl.SSLContext
    server_name: str | None = None


async def connect(
    host: str,
    port: int,
    *,
    timeout_s: float,
    local_host: str | None = None,
    tls: TlsClient | None = None,
) -> BufferedStream:
    """A TCP connection, without Nagle's delay; over TLS with `tls`. A `host` with a slash is the path of a
    unix socket, which is never over TLS.

    `local_host` is the address to connect from. Raises ConnectError.
    """
    peer = host if "/" in host else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with trio.fail_after(timeout_s):
            if "/" in host:
                return BufferedStream(await trio.open_unix_socket(host), peer)
            stream = await trio.open_tcp_stream(host, port, local_address=local_host)
            return BufferedStream(stream if tls is None else await _secured(stream, host, tls), peer)
    except trio.TooSlowError:
        raise ConnectError(peer, f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise ConnectError(peer, reason_of(_root(error))) from error
    except trio.BrokenResourceError as error:
        said = reason_of(error.__cause__) if isinstance(error.__cause__, OSError) else "connection was closed"
        raise TlsFailed(peer, f"TLS handshake failed: {said}") from error
    except ValueError as error:
        raise ConnectError(peer, str(error)) from error


async def _secured(plain: trio.SocketStream, host: str, tls: TlsClient) -> trio.abc.Stream:
    """Raises trio.BrokenResourceError."""
    stream = trio.SSLStream(
        plain, tls.context, server_hostname=tls.server_name or host, https_compatible=True
    )
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


def _root(error: OSError) -> OSError:
    """The system's own error where trio wraps those of several addresses.

    Of several, the first that is not "no such host or route" says most: a name often resolves to an address
    family that the machine does not have.
    """
    cause = error.__cause__
    causes = cause.exceptions if isinstance(cause, BaseExceptionGroup) else [cause]
    errors = [each for each in causes if isinstance(each, OSError)]
    telling = [
        each
        for each in errors
        if each.errno not in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
    ]
    return (telling or errors or [error])[0]
