"""A primary's snapshot on disk, whole, before the old data go: so that never both are in memory.

The file has no name, and is gone with the process. It is looked over before anything is given up for it:
that it is an RDB of a version we read, and that its checksum is right.
"""

from __future__ import annotations

import tempfile
from typing import IO

import trio

from node.persistence.loading import Pace
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbError
from node.rdb.file import RdbReader
from node.replication.handshake import Refused
from node.replication.receive import MARK_BYTES

WRITE_BYTES = 1 << 20
PIECE_BYTES = 256 * 1024
_HEAD_BYTES = 9  # the word REDIS and the version
_SUM_BYTES = 8
_FIRST_VERSION_WITH_SUM = 5


class Spool:
    """A sink (`node.replication.receive`), then the file in pieces. Raises Refused when the disk fails."""

    def __init__(self, directory: str, *, has_mark: bool) -> None:
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._written_bytes = 0
        self._left_bytes = 0
        self._pace = Pace()
        self._tail = b""
        self._mark_bytes = MARK_BYTES if has_mark else 0
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(prefix="shoal-sync-", dir=directory)  # noqa: SIM115
        except OSError as failed:
            raise Refused(
                f"Opening the temp file needed for MASTER <-> REPLICA synchronization: {failed.strerror}"
            ) from failed

    @property
    def ended(self) -> bool:
        """Never: nobody has read it."""
        return False

    @property
    def rest(self) -> bytes:
        """The mark, if one ends the file."""
        return self._tail

    @property
    def size_bytes(self) -> int:
        """Of the file, without the mark."""
        return self._written_bytes - self._mark_bytes

    def discard(self) -> None:
        self._file.close()

    async def feed(self, data: bytes) -> bool:
        """The next bytes of the file; False, since nothing is known of its end."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._mark_bytes:
            self._tail = (self._tail + data)[-MARK_BYTES:]
        if self._waiting_bytes >= WRITE_BYTES:
            await self._write()
        return False

    async def close(self) -> None:
        """All has been fed."""
        await self._write()

    async def _write(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._written_bytes += len(data)
        try:
            await trio.to_thread.run_sync(self._put, data)
        except OSError as failed:
            raise Refused(
                "Write error writing the DB dump file needed for MASTER <-> REPLICA synchronization: "
                f"{failed.strerror}"
            ) from failed

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()

    async def look_over(self) -> None:
        """Raises RdbError when the file is none, or damaged."""
        crc, last, head = 0, b"", b""
        self.rewind()
        while piece := await self.read():
            head = head or piece[:_HEAD_BYTES]
            both = last + piece
            crc = crc64(both[:-_SUM_BYTES], crc)
            last = both[-_SUM_BYTES:]
        for _ in RdbReader().feed(head):
            pass
        if len(head) < _HEAD_BYTES or self.size_bytes < _HEAD_BYTES + _SUM_BYTES:
            raise RdbError(self.size_bytes, "the file ends too soon")
        told = int.from_bytes(last, "little")
        if int(head[5:]) >= _FIRST_VERSION_WITH_SUM and told and told != crc:
            raise RdbError(self.size_bytes - _SUM_BYTES, "wrong checksum")

    def rewind(self) -> None:
        """The next `read` begins at the beginning."""
        self._left_bytes = self.size_bytes
        self._file.seek(0)

    async def read(self) -> bytes:
        """The next piece of the file, none at its end; lets others run before. Raises Refused."""
        await self._pace.breathe()
        try:
            piece = self._file.read(min(PIECE_BYTES, self._left_bytes))
        except OSError as failed:
            raise Refused(
                f"Reading the temp file of the MASTER <-> REPLICA synchronization: {failed.strerror}"
            ) from failed
        self._left_bytes -= len(piece)
        return piece
