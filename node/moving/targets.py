"""Connections to the nodes that keys are moved to, kept for a while: a reshard is thousands of MIGRATEs.

Two that go to one node at the same time have a connection each. One that nobody has used for 10 s is closed,
and above 64 the one that has been idle longest makes room. What was selected on a connection is remembered,
so that SELECT is sent only when it must be.

Source: https://redis.io/commands/migrate/; figures of Redis 7.2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import hiredis
import trio

from node.resp.client import Reply, ReplyError
from node.resp.stream import BufferedStream, ConnectError, ConnectionLost, TimedOut, TlsClient, connect

CONNECTIONS_MAX = 64
IDLE_MAX_S = 10.0
NO_DATABASE = -1

Address = tuple[str, int]


class WriteFailed(Exception):  # noqa: N818  the name says what happened
    """What was to be sent could not be; `timed_out` when the peer did not take it in time."""

    def __init__(self, timed_out: bool) -> None:
        super().__init__()
        self.timed_out = timed_out


class ReadFailed(WriteFailed):
    """No answer, or no whole one."""


class Target:
    """One connection. Each wait, for room to send or for a reply, ends after the time-out given."""

    def __init__(self, address: Address, stream: BufferedStream) -> None:
        self.address = address
        self.database = NO_DATABASE
        self.idle_since_s = 0.0
        self._stream = stream
        self._replies = hiredis.Reader(replyError=ReplyError)

    async def send(self, pieces: Iterable[bytes], timeout_s: float) -> None:
        """Raises WriteFailed."""
        try:
            for piece in pieces:
                with trio.fail_after(timeout_s):
                    await self._stream.send(piece)
        except trio.TooSlowError:
            raise WriteFailed(timed_out=True) from None
        except ConnectionLost:
            raise WriteFailed(timed_out=False) from None

    async def reply(self, timeout_s: float) -> Reply:
        """The next reply; an error is returned as a ReplyError. Raises ReadFailed."""
        try:
            while (reply := self._replies.gets()) is False:
                with trio.fail_after(timeout_s):
                    self._replies.feed(await self._stream.read_some())
        except trio.TooSlowError:
            raise ReadFailed(timed_out=True) from None
        except (ConnectionLost, hiredis.ProtocolError):
            raise ReadFailed(timed_out=False) from None
        assert reply is None or isinstance(reply, bytes | int | list | ReplyError), f"not RESP2: {reply!r}"
        return reply

    def cut(self) -> None:
        """Ends it from outside: its user gets WriteFailed or ReadFailed."""
        self._stream.cut()

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):
            await self._stream.aclose()


class Targets:
    """All connections of a node, idle and in use."""

    def __init__(
        self, source_address: Callable[[], str], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._source_address = source_address
        self._now_s = now_s
        self.may_reach: Callable[[str, int], bool] = lambda _host, _port: True
        self.tls: Callable[[], TlsClient | None] = lambda: None
        self._idle: list[Target] = []  # the one used last stands last
        self._used: set[Target] = set()

    @property
    def count(self) -> int:
        return len(self._idle) + len(self._used)

    async def take(self, address: Address, timeout_s: float) -> Target:
        """A connection for one user; it is given back or dropped afterwards. Raises ConnectError."""
        if not self.may_reach(*address):
            raise ConnectError("{}:{}".format(*address), "cut off by DEBUG FAULT")
        for at in reversed(range(len(self._idle))):
            if self._idle[at].address == address:
                target = self._idle.pop(at)
                self._used.add(target)
                return target
        if self.count >= CONNECTIONS_MAX and self._idle:
            await self.drop(self._idle.pop(0))
        host, port = address
        stream = await connect(
            host, port, timeout_s=timeout_s, local_host=self._source_address() or None, tls=self.tls()
        )
        target = Target(address, stream)
        self._used.add(target)
        return target

    def give_back(self, target: Target) -> None:
        target.idle_since_s = self._now_s()
        self._used.discard(target)
        self._idle.append(target)

    async def drop(self, target: Target) -> None:
        """Closes one that is in use, or that was taken from those that are idle."""
        self._used.discard(target)
        await target.aclose()

    def cut_off(self) -> None:
        """Ends all connections that may not be any more (`may_reach`)."""
        for target in (*self._idle, *self._used):
            if not self.may_reach(*target.address):
                target.cut()

    async def drop_idle(self, older_than_s: float = IDLE_MAX_S) -> None:
        """Closes those that have been idle for so long."""
        now_s = self._now_s()
        old = [target for target in self._idle if now_s - target.idle_since_s >= older_than_s]
        self._idle = [target for target in self._idle if target not in old]
        for target in old:
            await self.drop(target)


__all__ = ["Address", "ConnectError", "ReadFailed", "Target", "Targets", "TimedOut", "WriteFailed"]
