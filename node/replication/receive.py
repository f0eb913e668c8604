"""The snapshot behind +FULLRESYNC, off the wire and into a loader.

    $<length>\\r\\n, then so many bytes                     (the primary had the whole file)
    $EOF:<40 bytes>\\r\\n, the file, the same 40 bytes       (it made it while sending)

Empty lines may come before, while the primary prepares.

Source: Redis's replication protocol, "disk-less" and "disk-backed" synchronisation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from node.integers import parse_integer
from node.log import Log
from node.replication.handshake import Refused, reply_line, shown
from node.replication.load import SnapshotLoader
from node.resp.stream import BufferedStream

_MARK_BYTES = 40


class Receiver:
    """Progress is in `bytes_read` and `total_bytes` (0 while the length is not known)."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        connection: BufferedStream,
        loader: SnapshotLoader,
        log: Log,
    ) -> None:
        self._read = read
        self._connection = connection
        self._loader = loader
        self._log = log
        self.bytes_read = 0
        self.total_bytes = 0

    async def run(self, timeout_s: float) -> bytes:
        """Loads the whole file; returns what came behind it. Raises Refused, LinkError, RdbError."""
        line = b""
        while not line:
            line = await reply_line(self._connection, timeout_s)
        if line.startswith(b"-"):
            raise Refused(f"MASTER aborted replication with an error: {shown(line)}")
        if line.startswith(b"$EOF:") and len(line) == len(b"$EOF:") + _MARK_BYTES:
            self._log.notice("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser")
            return await self._until(line[-_MARK_BYTES:])
        length = parse_integer(line[1:]) if line.startswith(b"$") else None
        if length is None or length < 0:
            raise Refused(
                f"Bad protocol from MASTER, the first byte is not '$' (we received '{shown(line)}'), "
                "are you sure the host and port are right?"
            )
        self._log.notice(f"MASTER <-> REPLICA sync: receiving {length} bytes from master to parser")
        return await self._exactly(length)

    async def _exactly(self, length: int) -> bytes:
        self.total_bytes = length
        rest = b""
        while self.bytes_read < length:
            data = await self._read()
            data, rest = data[: length - self.bytes_read], data[length - self.bytes_read :]
            self.bytes_read += len(data)
            if self._loader.ended:
                raise Refused("the snapshot of the master ends before its length")
            await self._loader.feed(data)
        await self._loader.close()
        return rest

    async def _until(self, mark: bytes) -> bytes:
        """The loader may hold the last record back until it hears that nothing more comes: so the mark is
        looked for at the end of what has been received, where it is as long as the primary waits for us.
        """
        loader = self._loader
        tail = rest = b""
        ended = False
        while len(rest) < _MARK_BYTES:
            data = await self._read()
            self.bytes_read += len(data)
            if ended:
                rest += data
                continue
            tail = (tail + data)[-_MARK_BYTES:]
            ended = await loader.feed(data)
            if not ended and tail == mark:
                await loader.close()
                ended = True
            if ended:
                rest = loader.rest
        if rest[:_MARK_BYTES] != mark:
            raise Refused("Replication stream EOF marker is broken")
        return rest[_MARK_BYTES:]
