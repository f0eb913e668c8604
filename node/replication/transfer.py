"""A snapshot from a forked child on its way to replicas.

To replicas that know the end mark (capability eof) it goes as it comes: `$EOF:` and 40 random bytes, the
file, the same bytes again. All get it together, at the pace of the slowest; one that takes nothing for
repl-timeout is dropped. Otherwise its length has to be told first (`$<length>`): the file is gathered in a
temporary one, which has no name.

Source: Redis's replication protocol, "disk-less" and "disk-backed" synchronisation.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from typing import IO, Protocol

import trio

from node.log import Log
from node.persistence.snapshot import PIECE_BYTES, SnapshotChild, SnapshotError, Snapshots, StreamPosition
from node.replication.replicas import Replica


class Side(Protocol):
    """What a transfer needs of the primary's side."""

    def cut(self, replicas: list[Replica]) -> StreamPosition: ...
    def finish(self, replica: Replica, starts_on_ack: bool) -> None: ...
    def transfer_ended(self) -> None: ...
    def stall_timeout_s(self) -> float: ...


class Transfer:
    """One snapshot for the replicas that waited when it was started."""

    def __init__(
        self,
        side: Side,
        snapshots: Snapshots,
        log: Log,
        settle: Callable[[], None],
        replicas: list[Replica],
        directory: str | None,
    ) -> None:
        """`directory` is where the file is gathered, None to send it as it comes."""
        self._side = side
        self._snapshots = snapshots
        self._log = log
        self._settle = settle
        self._replicas = replicas
        self._directory = directory
        self._gathering = directory is not None

    def spooling(self) -> list[Replica]:
        """Replicas that hear nothing while the file is gathered."""
        return self._left() if self._gathering else []

    def _left(self) -> list[Replica]:
        return [replica for replica in self._replicas if not replica.gone]

    async def run(self) -> None:
        """The task. Failures are logged, and the replicas dropped: they come again."""
        try:
            await self._run()
        except (SnapshotError, OSError) as failed:
            self._log.warning(f"SYNC failed. BGSAVE child returned an error: {failed}")
            for replica in self._left():
                replica.session.transport.close(after_output=False)
        finally:
            self._side.transfer_ended()
            self._settle()

    async def _run(self) -> None:
        self._replicas = self._left()
        if not self._replicas:
            return
        directory = self._directory
        target = "replicas sockets" if directory is None else "disk"
        self._log.notice(f"Starting BGSAVE for SYNC with target: {target}")
        child = self._snapshots.fork(self._side.cut(self._replicas))
        self._log.notice(f"Background RDB transfer started by pid {child.pid}")
        ended = False
        try:
            if directory is None:
                ended = await self._to_sockets(child)
            else:
                with tempfile.TemporaryFile(prefix="shoal-sync-", dir=directory) as file:
                    ended = await self._to_file(child, file)
                    await self._from_file(file)
        finally:
            if not ended:
                await child.kill()

    async def _to_sockets(self, child: SnapshotChild) -> bool:
        """True when the child has ended by itself."""
        mark = secrets.token_hex(20).encode()
        await self._send(b"$EOF:%b\r\n" % mark)
        while piece := await child.read():
            await self._send(piece)
            if not self._left():
                self._log.notice("Diskless rdb transfer, last replica dropped, killing fork child.")
                return False
        await child.finish()
        await self._send(mark)
        self._log.notice(
            f"Diskless rdb transfer, done reading from pipe, {len(self._left())} replicas still up."
        )
        for replica in self._left():
            self._side.finish(replica, starts_on_ack=True)
        return True

    async def _to_file(self, child: SnapshotChild, file: IO[bytes]) -> bool:
        while piece := await child.read():
            await trio.to_thread.run_sync(file.write, piece)
            if not self._left():
                return False
        await child.finish()
        self._log.notice("DB saved on disk")
        return True

    async def _from_file(self, file: IO[bytes]) -> None:
        if not self._left():
            return
        self._gathering = False
        size = file.tell()
        file.seek(0)
        await self._send(b"$%d\r\n" % size)
        while self._left() and (piece := file.read(PIECE_BYTES)):
            await self._send(piece)
        for replica in self._left():
            self._side.finish(replica, starts_on_ack=False)

    async def _send(self, data: bytes) -> None:
        """Gives all the next bytes, and waits until every socket has taken them."""
        for replica in self._left():
            replica.session.transport.send(data)
        self._settle()
        for replica in self._left():
            if not await replica.drained(self._side.stall_timeout_s()):
                self._log.warning(f"Disconnecting timedout replica (full sync): {replica.name}")
                replica.session.transport.close(after_output=False)
        await trio.lowlevel.checkpoint()
