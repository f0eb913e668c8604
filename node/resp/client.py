"""A RESP client for trio: replica links, slot migration, and ctl's only door into this package.

One connection, RESP2, replies in the order of commands. Tasks may share a client: a lock keeps each command
(or pipeline) and its replies together. An error reply raises ReplyError and leaves the connection usable. A
time-out, a cancellation between command and reply, or a broken stream closes it, since what comes next could
not be told from the answer that was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeAlias

import hiredis
import trio

from node.resp.stream import (
    BufferedStream,
    ConnectError,
    ConnectionLost,
    LinkError,
    TimedOut,
    TlsClient,
    TlsFailed,
    connect,
    reason_of,
)

__all__ = [
    "BufferedStream",
    "Client",
    "ConnectError",
    "ConnectionLost",
    "LinkError",
    "Reply",
    "ReplyError",
    "TimedOut",
    "TlsClient",
    "TlsFailed",
    "connect",
    "encode_command",
    "reason_of",
]

Argument: TypeAlias = bytes | str | int | float


class ReplyError(Exception):
    """An error reply. `text` is the line without its minus sign, `code` its first word: `MOVED`, `ERR`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.code = text.partition(" ")[0]


Reply: TypeAlias = "bytes | int | ReplyError | list[Reply] | None"


def encode_command(args: Sequence[Argument]) -> bytes:
    """A command as an array of bulk strings; text is encoded as UTF-8, numbers as decimals."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Client:
    """One connection. Made by `Client.connect`, or around a BufferedStream with nothing unread."""

    def __init__(self, stream: BufferedStream, *, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._lock = trio.Lock()
        self._closed = False

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        timeout_s: float,
        username: str | None = None,
        password: str | None = None,
        local_host: str | None = None,
        tls: TlsClient | None = None,
    ) -> Self:
        """Connects, over TLS with `tls`, and authenticates when there is a password. A `host` with a slash is
        a unix socket's path.

        `timeout_s` holds for the connection and, unless a call says otherwise, for each call. Raises
        ConnectError, ReplyError when the password is refused, or what `call` raises.
        """
        stream = await connect(host, port, timeout_s=timeout_s, local_host=local_host, tls=tls)
        client = cls(stream, timeout_s=timeout_s)
        if password is not None:
            try:
                await client.call(b"AUTH", *([username] if username else []), password)
            except BaseException:
                await client.aclose()
                raise
        return client

    @property
    def peer(self) -> str:
        return self._stream.peer

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def stream(self) -> BufferedStream:
        """The bytes beneath, for a handshake that leaves request and reply (PSYNC).

        Only between calls: bytes that the reply parser already holds would be missed, so their presence is
        our own mistake and asserts.
        """
        assert not self._reader.has_data(), "replies unread"
        return self._stream

    async def call(self, *args: Argument, timeout_s: float | None = None) -> Reply:
        """One command's reply. Raises ReplyError for an error reply, ConnectionLost, TimedOut."""
        [reply] = await self.pipeline([args], timeout_s=timeout_s)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def pipeline(
        self, commands: Sequence[Sequence[Argument]], *, timeout_s: float | None = None
    ) -> list[Reply]:
        """The replies of all `commands`, sent at once; an error reply stands in its place as a ReplyError.

        `timeout_s` is for the whole. Raises ConnectionLost, TimedOut. Keep pipelines below some thousand
        commands: nothing is read until all is sent.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        request = b"".join(map(encode_command, commands))
        async with self._lock:
            if self._closed:
                raise ConnectionLost(self.peer, "connection is closed")
            try:
                with trio.fail_after(limit_s):
                    await self._stream.send(request)
                    return [await self._receive() for _ in commands]
            except trio.TooSlowError:
                await self.aclose()
                raise TimedOut(self.peer, f"no answer within {limit_s:g} s") from None
            except BaseException:
                await self.aclose()
                raise

    async def aclose(self) -> None:
        """Closes the connection, at once. May be called again, and while another task waits for a reply."""
        self._closed = True
        with trio.CancelScope(shield=True):
            await self._stream.aclose()

    async def _receive(self) -> Reply:
        try:
            while (reply := self._reader.gets()) is False:
                self._reader.feed(await self._stream.read_some())
        except hiredis.ProtocolError as error:
            raise ConnectionLost(self.peer, f"does not speak RESP ({error})") from error
        return _checked(reply)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _checked(reply: object) -> Reply:
    assert reply is None or isinstance(reply, bytes | int | list | ReplyError), f"not RESP2: {reply!r}"
    return reply
