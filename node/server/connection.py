"""A client's connection: bytes in, requests served, bytes out; never waits.

The reactor calls `readable` and `writable`. Replies gather in `_out` during the turn and leave together at
its end (`flush`); what the socket does not take stays and is sent when it is writable again. While the
session is blocked, requests that came behind the blocking one wait here and nothing more is read.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Protocol

from node.command.session import Session
from node.config.special import BufferLimit
from node.resp.encode import error
from node.resp.request import Request, RequestParser

READ_BYTES = 64 * 1024
READ_BIG_BYTES = 1024 * 1024
_CLOSED = (ConnectionResetError, BrokenPipeError, TimeoutError, ConnectionAbortedError)


class Serve(Protocol):
    """The dispatcher's `serve`."""

    def __call__(self, session: Session, requests: list[Request], out: list[bytes], /) -> int: ...


class Host(Protocol):
    """What a connection needs of the reactor."""

    serve: Serve

    def interested(self, connection: Connection, mask: int) -> None: ...
    def has_output(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection, reason: str) -> None: ...
    def count_io(self, input_bytes: int, output_bytes: int) -> None: ...
    def query_buffer_limit_bytes(self) -> int: ...
    def output_limit(self, session: Session) -> BufferLimit: ...
    def now_ms(self) -> int: ...


class Connection:
    """One client socket, non-blocking. Implements the session's Transport."""

    __slots__ = (
        "_closing",
        "_host",
        "_mask",
        "_out",
        "_out_bytes",
        "_queued",
        "_soft_since_ms",
        "_waiting",
        "fd",
        "on_close",
        "parser",
        "session",
        "socket",
    )

    session: Session

    def __init__(self, sock: socket.socket, host: Host, parser: RequestParser) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.parser = parser
        self._host = host
        self._mask = select.EPOLLIN
        self._out: list[bytes] = []
        self._out_bytes = 0  # unsent since the last flush
        self._queued = False  # whether the reactor knows that there is output
        self._waiting: list[Request] = []
        self._closing = False  # after the output
        self._soft_since_ms = 0
        self.on_close: Callable[[], None] | None = None

    # The reactor's side

    def readable(self) -> None:
        size = READ_BIG_BYTES if self.parser.is_waiting else READ_BYTES
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return
        except _CLOSED as broken:
            self.fail(str(broken))
            return
        if not data:
            self.fail("the client closed the connection")
            return
        self._host.count_io(len(data), 0)
        parser = self.parser
        requests = parser.feed(data)
        if requests:
            self._serve(requests)
        if parser.error is not None and self.fd >= 0:
            self._protocol_error()
        elif parser.is_waiting and parser.pending_bytes() > self._host.query_buffer_limit_bytes():
            self.fail("the query buffer limit was exceeded")

    def _serve(self, requests: list[Request]) -> None:
        done = self._host.serve(self.session, requests, self._out)
        if self._out and not self._queued:
            self._queued = True
            self._host.has_output(self)
        if done < len(requests) or self.session.blocked is not None:
            self._waiting = requests[done:]
            self._set_mask(self._mask & ~select.EPOLLIN)

    def _protocol_error(self) -> None:
        if self._waiting:
            return  # earlier requests come first; the error is met again when they are done
        self.send(error(b"ERR " + (self.parser.error or b"")))
        self.close(after_output=True)

    def writable(self) -> None:
        self.flush()

    def flush(self) -> None:
        """Sends what is there as far as the socket takes it."""
        self._queued = False
        out = self._out
        if not out or self.fd < 0:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except _CLOSED as broken:
            self.fail(str(broken))
            return
        self._host.count_io(0, sent)
        if sent == len(data):
            out.clear()
            self._out_bytes = 0
            self._soft_since_ms = 0
            if self._closing:
                self.fail("closed after the last reply")
            elif self._mask & select.EPOLLOUT:
                self._set_mask(self._mask & ~select.EPOLLOUT)
            return
        self._out = [data[sent:]]
        self._out_bytes = len(data) - sent
        self._set_mask(self._mask | select.EPOLLOUT)
        self._check_output_limit()

    def _check_output_limit(self) -> None:
        limit = self._host.output_limit(self.session)
        size = self._out_bytes
        if limit.hard_bytes and size > limit.hard_bytes:
            self.fail("the output buffer limit was exceeded")
        elif limit.soft_bytes and size > limit.soft_bytes:
            now_ms = self._host.now_ms()
            self._soft_since_ms = self._soft_since_ms or now_ms
            if now_ms - self._soft_since_ms > limit.soft_seconds * 1000:
                self.fail("the soft output buffer limit was exceeded for too long")
        else:
            self._soft_since_ms = 0

    def _set_mask(self, mask: int) -> None:
        if mask != self._mask and self.fd >= 0:
            self._mask = mask
            self._host.interested(self, mask)

    def fail(self, reason: str) -> None:
        """Ends the connection at once."""
        if self.fd < 0:
            return
        self._host.closed(self, reason)
        self.fd = -1
        self.socket.close()
        self._out.clear()
        self._waiting.clear()
        if self.on_close is not None:
            self.on_close()

    # The session's side (Transport)

    def send(self, data: bytes) -> None:
        if self.fd < 0:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if not self._queued:
            self._queued = True
            self._host.has_output(self)

    def close(self, after_output: bool) -> None:
        if not after_output or not self._out:
            self.fail("closed by the server")
            return
        self._closing = True
        self._set_mask(self._mask & ~select.EPOLLIN)

    def resume(self) -> None:
        if self.fd < 0 or self._closing:
            return
        waiting, self._waiting = self._waiting, []
        self._set_mask(self._mask | select.EPOLLIN)
        if waiting:
            self._serve(waiting)
        if self.parser.error is not None:
            self._protocol_error()

    def trust(self) -> None:
        self.parser.authenticated = True

    def output_bytes(self) -> int:
        return sum(map(len, self._out))

    def pending_bytes(self) -> int:
        return self.parser.pending_bytes() + sum(len(a) for request in self._waiting for a in request)
