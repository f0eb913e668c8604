"""A client's connection: bytes in, requests served, bytes out; never waits.

The reactor calls `readable` and `writable`. Replies gather in `_out` during the turn and leave together at
its end (`flush`); what the socket does not take stays and is sent when it is writable again. While the
session is blocked, requests that came behind the blocking one wait here, nothing more is read, and only the
end of the connection is noticed. A session that may go on is served again when the turn's commands are done
(`go_on`), never inside the command that set it free.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from typing import Protocol

from node.command.session import Session
from node.config.special import BufferLimit
from node.observe.stats import Stats
from node.resp.encode import error
from node.resp.request import Request, RequestParser

READ_BYTES = 64 * 1024
READ_BIG_BYTES = 1024 * 1024
SEND_BYTES = 128 * 1024
JOIN_BYTES = 16 * 1024
_READING = select.EPOLLIN
_NOT_READING = select.EPOLLRDHUP
_CLOSED = (ConnectionResetError, BrokenPipeError, TimeoutError, ConnectionAbortedError)


class Socket(Protocol):
    """What a connection needs of its socket: a plain one, or node.tls.socket's."""

    def fileno(self) -> int: ...
    def recv(self, limit_bytes: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...
    def close(self) -> None: ...


class Serve(Protocol):
    """The dispatcher's `serve`."""

    def __call__(self, session: Session, requests: list[Request], out: list[bytes], /) -> int: ...


class Host(Protocol):
    """What a connection needs of the reactor."""

    serve: Serve
    stats: Stats

    def has_output(self, connection: Connection, /) -> None: ...
    def interested(self, connection: Connection, mask: int) -> None: ...
    def has_pushes(self, connection: Connection) -> None: ...
    def may_go_on(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection, reason: str) -> None: ...
    def query_buffer_limit_bytes(self) -> int: ...
    def query_limit_exceeded(self, session: Session) -> None: ...
    def output_limit(self, session: Session) -> BufferLimit: ...
    def output_limit_exceeded(self, session: Session) -> None: ...
    def protocol_error(self, session: Session, text: str) -> None: ...
    def now_ms(self) -> int: ...


class Connection:
    """One client socket, non-blocking. Implements the session's Transport."""

    __slots__ = (
        "_closing",
        "_host",
        "_mask",
        "_on_sent",
        "_out",
        "_queued",
        "_read_bytes",
        "_soft_since_ms",
        "_stats",
        "_unsent",
        "_unsent_bytes",
        "_waiting",
        "fd",
        "on_close",
        "parser",
        "session",
        "socket",
    )

    session: Session

    def __init__(self, sock: Socket, host: Host, parser: RequestParser) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.parser = parser
        self._host = host
        self._stats = host.stats
        self._mask = _READING
        self._read_bytes = READ_BYTES
        self._out: list[bytes] = []
        self._unsent: deque[bytes] = deque()  # what the socket has not taken, before all of _out
        self._unsent_bytes = 0
        self._on_sent: list[Callable[[], None]] = []
        self._queued = False  # whether the reactor knows that there is output
        self._waiting: list[Request] = []
        self._closing = False  # once the output is sent
        self._soft_since_ms = 0
        self.on_close: Callable[[], None] | None = None

    # The reactor's side

    def readable(self) -> None:
        try:
            data = self.socket.recv(self._read_bytes)
        except BlockingIOError:
            return
        except _CLOSED as broken:
            self.fail(str(broken))
            return
        if not data:
            self.fail("the client closed the connection")
            return
        stats, parser = self._stats, self.parser
        stats.reads_processed += 1
        stats.input_bytes += len(data)
        requests = parser.feed(data)
        if requests:
            self._read_bytes = READ_BYTES
            self._serve(requests)
        else:
            self.session.last_seen_ms = self._host.now_ms()  # a replica that loads sends empty lines
            self._read_bytes = READ_BIG_BYTES  # a long request; many short ones would take too long at once
            # What is left behind a whole request is less than a chunk, and so below any limit.
            if parser.is_waiting and parser.pending_bytes() > self._host.query_buffer_limit_bytes():
                self._host.query_limit_exceeded(self.session)
                self.fail("the query buffer limit was exceeded")
        if parser.error is not None:
            self._protocol_error()

    def _serve(self, requests: list[Request]) -> None:
        session = self.session
        done = self._host.serve(session, requests, self._out)
        if self._out and not self._queued:
            self._queued = True
            self._host.has_output(self)
        if session.blocked is not None:
            self._waiting = requests[done:]
            self._watch(_NOT_READING)

    def _protocol_error(self) -> None:
        if self.session.blocked is not None or self._closing or self.fd < 0:
            return  # earlier requests come first; the error is met again when they are done
        text = self.parser.error or b""
        self._host.protocol_error(self.session, text.decode("utf-8", "backslashreplace"))
        self.send(error(b"ERR " + text))
        self.close(after_output=True)

    def hung_up(self) -> None:
        """The client is gone, noticed while nothing is read from it."""
        self.fail("the client closed the connection")

    def writable(self) -> None:
        """What gathered in this turn leaves at its end, when the AOF has been written, and not before."""
        if not self._queued:
            self.flush()

    def flush(self) -> None:
        """Sends what is there as far as the socket takes it."""
        self._queued = False
        out = self._out
        if self._unsent:
            self._keep(b"".join(out))
            out.clear()
            self._send_unsent()
            return
        if not out or self.fd < 0:
            if self._closing:
                self.fail("closed after the last reply")
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        sent = self._send(data)
        if sent == len(data):
            out.clear()
            if self._mask != _READING or self._closing or self._on_sent or self._soft_since_ms:
                self._all_sent()
        elif sent >= 0:
            out.clear()
            self._keep(data, sent)
            self._set_mask(self._mask | select.EPOLLOUT)
            self.check_output_limit()

    def _send(self, data: bytes) -> int:
        """How much the socket took; -1 when the connection is gone."""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            return 0
        except _CLOSED as broken:
            self.fail(str(broken))
            return -1
        self._stats.writes_processed += 1
        self._stats.output_bytes += sent
        return sent

    def _keep(self, data: bytes, start: int = 0) -> None:
        """Queues what must wait for the socket, `data` from `start` on, in pieces that are neither tiny nor
        huge: a client that reads slowly must not cost a copy of all that waits each time it reads a little.
        """
        unsent = self._unsent
        size = len(data) - start
        self._unsent_bytes += size
        if unsent and len(unsent[-1]) + size <= JOIN_BYTES:
            unsent[-1] += data[start:]
        else:
            unsent.extend([data[at : at + SEND_BYTES] for at in range(start, len(data), SEND_BYTES)])

    def _send_unsent(self) -> None:
        unsent = self._unsent
        while unsent:
            piece = unsent[0]
            sent = self._send(piece)
            if sent < 0:
                return
            self._unsent_bytes -= sent
            if sent < len(piece):
                unsent[0] = piece[sent:]
                self.check_output_limit()
                return
            unsent.popleft()
        self._all_sent()

    def _all_sent(self) -> None:
        self._soft_since_ms = 0
        if self._closing:
            self.fail("closed after the last reply")
        elif self._mask & select.EPOLLOUT:
            self._set_mask(self._mask & ~select.EPOLLOUT)
        if self._on_sent:
            callbacks, self._on_sent = self._on_sent, []
            for callback in callbacks:
                callback()

    def check_output_limit(self) -> None:
        """Also called by the cron: a client that reads nothing is told of by no event."""
        limit = self._host.output_limit(self.session)
        size = self._unsent_bytes
        if limit.hard_bytes and size > limit.hard_bytes:
            self._over_output_limit()
        elif limit.soft_bytes and size > limit.soft_bytes:
            now_ms = self._host.now_ms()
            self._soft_since_ms = self._soft_since_ms or now_ms
            if now_ms - self._soft_since_ms > limit.soft_seconds * 1000:
                self._over_output_limit()
        else:
            self._soft_since_ms = 0

    def _over_output_limit(self) -> None:
        self._host.output_limit_exceeded(self.session)
        self.fail("the output buffer limit was exceeded")

    def _watch(self, reading: int) -> None:
        self._set_mask(reading | (self._mask & select.EPOLLOUT))

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
        self._unsent.clear()
        self._unsent_bytes = 0
        self._on_sent.clear()
        self._waiting.clear()
        if self.on_close is not None:
            self.on_close()
            self.on_close = None
        self.session.end()

    # The session's side (Transport)

    def send(self, data: bytes) -> None:
        if self.fd < 0:
            return
        self._out.append(data)
        if not self._queued:
            self._queued = True
            self._host.has_output(self)

    def push(self, data: bytes) -> None:
        if self.fd < 0:
            return
        self._out.append(data)
        if not self._queued:
            self._queued = True
            self._host.has_pushes(self)

    def close(self, after_output: bool) -> None:
        self.session.closing = True
        if not after_output:
            self.fail("closed by the server")
            return
        self._closing = True
        self._waiting.clear()
        self._watch(_NOT_READING)
        if not self._queued:
            self._queued = True
            self._host.has_output(self)

    def resume(self) -> None:
        self._host.may_go_on(self)

    def go_on(self) -> None:
        """Serves what waited while the session was blocked; called when no command is running."""
        if self.fd < 0 or self._closing or self.session.blocked is not None:
            return
        waiting, self._waiting = self._waiting, []
        self._watch(_READING)
        if waiting:
            self._serve(waiting)
        if self.parser.error is not None:
            self._protocol_error()

    def trust(self) -> None:
        self.parser.authenticated = True

    def when_sent(self, callback: Callable[[], None]) -> None:
        if self._out or self._unsent:
            self._on_sent.append(callback)
        else:
            callback()

    def output_bytes(self) -> int:
        return self._unsent_bytes + sum(map(len, self._out))

    def output_parts(self) -> int:
        return len(self._unsent) + len(self._out)

    def pending_bytes(self) -> int:
        return self.parser.pending_bytes() + sum(len(a) for request in self._waiting for a in request)

    def descriptor(self) -> int:
        return self.fd

    def waits_for(self) -> str:
        return ("r" if self._mask & _READING else "") + ("w" if self._mask & select.EPOLLOUT else "")
