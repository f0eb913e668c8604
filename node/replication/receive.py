"""The snapshot behind +FULLRESYNC, off the wire.

    $<length>\r\n, then so many bytes                     (the primary had the whole file)
    $EOF:<40 bytes>\r\n, the file, the same 40 bytes       (it made it while sending)

Empty lines may come before, while the primary prepares. Where the file goes, into a loader or first to disk,
is the business of the sink that is opened when the first line is known.

Source: Redis's replication protocol, "disk-less" and "disk-backed" synchronisation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from node.integers import parse_integer
from node.log import Log
from node.replication.handshake import Refused, reply_line, shown
from node.resp.stream import BufferedStream

MARK_BYTES = 40


class Sink(Protocol):
    """Takes the file. One that reads it knows where it `ended`, and keeps the `rest`; another takes the mark
    for a part of it, and has it as `rest`.
    """

    @property
    def ended(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...
    async def feed(self, data: bytes) -> bool: ...
    async def close(self) -> None: ...


OpenSink = Callable[[int, bool], Sink]
"""Called with the length of the file, 0 when it is not known, and whether a mark ends it."""


class Receiver:
    """Progress is in `bytes_read` and `total_bytes` (0 while the length is not known)."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], connection: BufferedStream, open_sink: OpenSink, log: Log
    ) -> None:
        self._read = read
        self._connection = connection
        self._open_sink = open_sink
        self._log = log
        self.bytes_read = 0
        self.total_bytes = 0

    async def run(self, timeout_s: float) -> bytes:
        """Receives the whole file; returns what came behind it. Raises Refused, LinkError, RdbError."""
        line = b""
        while not line:
            line = await reply_line(self._connection, timeout_s)
        if line.startswith(b"-"):
            raise Refused(f"MASTER aborted replication with an error: {shown(line)}")
        if line.startswith(b"$EOF:") and len(line) == len(b"$EOF:") + MARK_BYTES:
            sink = self._open_sink(0, True)
            self._log.notice("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF")
            return await self._until(line[-MARK_BYTES:], sink)
        length = parse_integer(line[1:]) if line.startswith(b"$") else None
        if length is None or length < 0:
            raise Refused(
                f"Bad protocol from MASTER, the first byte is not '$' (we received '{shown(line)}'), "
                "are you sure the host and port are right?"
            )
        sink = self._open_sink(length, False)
        self._log.notice(f"MASTER <-> REPLICA sync: receiving {length} bytes from master")
        return await self._exactly(length, sink)

    async def _exactly(self, length: int, sink: Sink) -> bytes:
        self.total_bytes = length
        rest = b""
        while self.bytes_read < length:
            data = await self._read()
            data, rest = data[: length - self.bytes_read], data[length - self.bytes_read :]
            self.bytes_read += len(data)
            if sink.ended:
                raise Refused("the snapshot of the master ends before its length")
            await sink.feed(data)
        await sink.close()
        return rest

    async def _until(self, mark: bytes, sink: Sink) -> bytes:
        """The sink may hold the last record back until it hears that nothing more comes, or know no end: so
        the mark is looked for at the end of what has been received, where it is as long as the primary waits
        for us.
        """
        tail = rest = b""
        ended = False
        while len(rest) < MARK_BYTES:
            data = await self._read()
            self.bytes_read += len(data)
            if ended:
                rest += data
                continue
            tail = (tail + data)[-MARK_BYTES:]
            ended = await sink.feed(data)
            if not ended and tail == mark:
                await sink.close()
                ended = True
            if ended:
                rest = sink.rest
        if rest[:MARK_BYTES] != mark:
            raise Refused("Replication stream EOF marker is broken")
        return rest[MARK_BYTES:]
