"""A non-blocking socket that speaks TLS, with the four methods of a plain one that its users need.

OpenSSL never sees the socket: what arrives is put into a memory buffer in one piece, decrypted to the last
record, and handed over whole. So nothing readable is left inside that an epoll would not tell of, a record
costs one system call and not two, and whoever reads and writes need not know which kind of socket he has.

Sending keeps OpenSSL's rule: what was encrypted must leave as it is. When the socket takes only a part,
`send` raises BlockingIOError like a plain one and must be called again with data that begin with the same
bytes; it then counts them as sent once their last encrypted byte has left.

Errors of the peer are ConnectionAbortedError with OpenSSL's reason in words.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress

from node.resp.stream import reason_of

RECEIVE_BYTES = 64 * 1024
ENCRYPT_BYTES = 128 * 1024  # at most what a connection keeps as one piece


class TlsSocket:
    """One connection; call `handshake` until it returns 0, then use it like a socket."""

    __slots__ = ("_incoming", "_outgoing", "_owed_bytes", "_socket", "_ssl", "_unsent")

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._socket = plain
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._unsent = b""  # encrypted
        self._owed_bytes = 0  # how much of the caller's data is in it

    def fileno(self) -> int:
        return self._socket.fileno()

    def handshake(self) -> int:
        """Goes on as far as it can; returns the epoll events to wait for, 0 when it is done.

        Raises OSError when it failed; the peer has been told why as far as its socket took that.
        """
        with suppress(BlockingIOError):
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionAbortedError("the connection was closed during the TLS handshake")
            self._incoming.write(data)
        done = True
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError as failed:
            with suppress(OSError):
                self._push()
            raise ConnectionAbortedError(handshake_failure(failed)) from None
        if not self._push():
            return select.EPOLLOUT
        return 0 if done else select.EPOLLIN

    @property
    def holds_data(self) -> bool:
        """Whether something came behind the handshake, which `recv` gives without waiting."""
        return self._incoming.pending > 0

    def recv(self, limit_bytes: int) -> bytes:
        """What has arrived, decrypted; none at the end. Raises BlockingIOError when that is nothing yet."""
        incoming = self._incoming
        if not incoming.pending:
            data = self._socket.recv(limit_bytes)
            if not data:
                return b""
            incoming.write(data)
        plain = self._decrypt(limit_bytes)
        if self._outgoing.pending:
            self._push()
        return plain

    def _decrypt(self, limit_bytes: int) -> bytes:
        """All that is in the buffer: a record gives no more bytes than it has, so `limit_bytes` hold it."""
        incoming, read = self._incoming, self._ssl.read
        pieces: list[bytes] = []
        try:
            pieces.append(read(limit_bytes))
            while incoming.pending and pieces[-1]:
                pieces.append(read(limit_bytes))
        except ssl.SSLWantReadError:
            if not pieces:
                raise BlockingIOError from None
        except ssl.SSLError as broken:
            if not any(pieces):
                raise ConnectionAbortedError(reason_of(broken)) from None
            # What came before counts; OpenSSL says the same again to the next read.
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def send(self, data: bytes | bytearray) -> int:
        """How many bytes of `data` have left. Raises BlockingIOError, and then see above."""
        if self._unsent or self._owed_bytes:
            if not self._push():
                raise BlockingIOError
            if self._owed_bytes:
                sent, self._owed_bytes = self._owed_bytes, 0
                return sent
        size = len(data)
        if size > ENCRYPT_BYTES:
            size = ENCRYPT_BYTES
            data = data[:size]
        try:
            self._ssl.write(data)
        except ssl.SSLError as broken:
            raise ConnectionAbortedError(reason_of(broken)) from None
        if not self._push():
            self._owed_bytes = size
            raise BlockingIOError
        return size

    def _push(self) -> bool:
        """Sends what is encrypted; whether all of it has left."""
        unsent = self._unsent
        if self._outgoing.pending:
            unsent += self._outgoing.read()
        if unsent:
            try:  # noqa: SIM105  suppress() takes as long as all else here
                unsent = unsent[self._socket.send(unsent) :]
            except BlockingIOError:
                pass
            self._unsent = unsent
        return not unsent

    def close(self) -> None:
        """Says good-bye if the socket takes it, and closes."""
        if not self._unsent:
            with suppress(OSError, ValueError):
                self._ssl.unwrap()
            with suppress(OSError):
                self._push()
        self._socket.close()


def handshake_failure(error: ssl.SSLError) -> str:
    """Why there is no connection, and for plain text what that means."""
    said = reason_of(error)
    plain = error.reason in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE")
    return f"{said} (the other side does not speak TLS here?)" if plain else said
