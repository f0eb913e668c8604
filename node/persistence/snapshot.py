"""Snapshots of the whole data set, as RDB: all of it at one moment, while clients go on being served.

Two ways to one cut. *In line*: a small data set is serialised between two commands, within bounds of keys,
bytes and time. *Forked*: a child process (`node.persistence.child`) sees memory as it was at the fork. It
writes a file, or for replicas a pipe; the parent reads that at the pace of whoever consumes it, and the
pipe's own buffer holds the child back.

A third way was measured and left: slot by slot inside of this process, where a slot not yet written is
written before its first change. It takes no memory for copies, and a third of the clients' throughput while
it lasts, where the child takes a processor of its own (figures in ARCHITECTURE.md).

Measured (Python 3.11, two cores): 0.2 us a small key; a fork takes 4 to 8 ms at a million keys, so up to
`INLINE_KEYS_MAX` keys stopping for the serialisation is the shorter stop. Strings for replicas are not
compressed: LZF in Python costs many times the serialisation.

No hints about slots are written: Redis 7.0 does not load a file that has them.

Source: the RDB format as `node.rdb.file` describes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import trio

from node.keyspace.database import Database
from node.log import Log
from node.observe.memory import usage
from node.persistence.child import Forks, run_child
from node.rdb.file import RdbWriter, Usage
from node.rdb.primitives import Compressor

INLINE_KEYS_MAX = 10_000
INLINE_BYTES_SURE = 256 * 1024  # so much is always made in line
INLINE_BYTES_MAX = 4 << 20
INLINE_BUDGET_S = 0.005
PIECE_BYTES = 128 * 1024
PIPE_BYTES = 1 << 20
CHILD_KIND = "sync"


class StreamPosition(NamedTuple):
    """Where the replication stream stands at the cut: selected database, replication id, offset."""

    db: int
    replid: bytes
    offset: int


class SnapshotError(Exception):
    """The child failed: how it ended."""


class Snapshots:
    """Makes snapshots of a node's databases.

    The application may set `functions`, the sources of all libraries, and `usage`, what is known of the last
    use of a database's keys.
    """

    def __init__(
        self,
        databases: Sequence[Database],
        log: Log,
        cpu_s: Callable[[], float] = time.thread_time,
        forks: Forks | None = None,
    ) -> None:
        self._databases = databases
        self._log = log
        self._cpu_s = cpu_s
        self._forks = forks or Forks(log)
        self.inline_keys_max = INLINE_KEYS_MAX
        self.functions: Callable[[], list[bytes]] = list
        self.usage: Callable[[Database], Usage | None] = lambda _database: None

    @property
    def key_count(self) -> int:
        return sum(database.count for database in self._databases)

    @property
    def may_fork(self) -> bool:
        """Whether no other child is there."""
        return not self._forks.kind

    def pieces(
        self,
        position: StreamPosition | None = None,
        *,
        aof_base: bool = False,
        compress: bool | Compressor = False,
        checksum: bool = True,
        wrote: Callable[[int], None] = lambda _keys: None,
    ) -> Iterator[bytes]:
        """The file in bounded pieces. Nothing may change before the last one is taken.

        `wrote` is told how many more keys are done.
        """
        writer = RdbWriter(compress=compress, checksum=checksum)
        replication = None if position is None else (position.db, position.replid, position.offset)
        yield writer.begin(
            created_at_s=int(time.time()),
            used_memory_bytes=usage().used_bytes,
            aof_base=aof_base,
            replication=replication,
        )
        for code in self.functions():
            yield writer.function(code)
        for database in self._databases:
            if database.count:
                yield from _keys(database, writer, self.usage(database), wrote)
        yield writer.end()

    def in_line(self, position: StreamPosition | None = None) -> bytes | None:
        """The whole file at once; None when the data set is too large to stop for it."""
        if self.key_count > self.inline_keys_max:
            return None
        end_s = self._cpu_s() + INLINE_BUDGET_S
        pieces: list[bytes] = []
        size = 0
        for piece in self.pieces(position):
            pieces.append(piece)
            size += len(piece)
            if size > INLINE_BYTES_MAX or (size > INLINE_BYTES_SURE and self._cpu_s() > end_s):
                return None
        return b"".join(pieces)

    def fork(self, position: StreamPosition | None = None) -> SnapshotChild:
        """Cuts now, and gives the child whose pipe the file comes from. Raises OSError.

        There must be no other child (`may_fork`).
        """
        return self.fork_writer(self.pieces(position))

    def fork_writer(self, pieces: Iterator[bytes]) -> SnapshotChild:
        """The same of `pieces`, which the child makes of memory as it is now."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._forks.claim(CHILD_KIND)
        try:
            pid = self._forks.fork()
        except OSError:
            self._forks.release()
            os.close(read_end)
            os.close(write_end)
            raise
        if pid == 0:
            run_child(write_end, lambda: _send(write_end, pieces), self._log)
        os.close(write_end)
        return SnapshotChild(pid, read_end, self._forks.release)


def _keys(
    database: Database, writer: RdbWriter, usage: Usage | None, wrote: Callable[[int], None]
) -> Iterator[bytes]:
    deadlines = database.deadlines.at
    yield writer.select(database.index, key_count=database.count, expire_count=len(deadlines))
    for partition in database.slots:
        if partition:
            items = iter(partition.items())
            while piece := writer.table(items, deadlines, usage):
                yield piece
            wrote(len(partition))


def _send(pipe: int, pieces: Iterator[bytes]) -> None:
    """What the child of a synchronisation does."""
    os.set_blocking(pipe, True)
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            _write(pipe, b"".join(waiting))
            waiting.clear()
            size = 0
    _write(pipe, b"".join(waiting))


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


class SnapshotChild:
    """A process that writes a snapshot to a pipe. Whoever made it calls `finish` or `kill` in the end."""

    def __init__(self, pid: int, pipe: int, on_end: Callable[[], None]) -> None:
        self.pid = pid
        self._on_end = on_end
        self._reaped = False
        self._pipe = trio.lowlevel.FdStream(pipe)
        with contextlib.suppress(OSError):  # above the user's limit: the pipe keeps its size
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    async def read(self) -> bytes:
        """The next bytes, none at the end: then `finish` tells whether the file is whole."""
        return await self._pipe.receive_some(PIECE_BYTES)

    async def finish(self) -> None:
        """Waits for the end of the process. Raises SnapshotError when it failed or was killed."""
        status = await self._reap()
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            raise SnapshotError(f"terminated by signal {-code}")
        if code:
            raise SnapshotError(f"exit status {code}")

    async def kill(self) -> None:
        """Ends the process, whatever it is doing; nothing happens when it has ended."""
        if not self._reaped:
            os.kill(self.pid, signal.SIGKILL)
            await self._reap()

    async def _reap(self) -> int:
        with trio.CancelScope(shield=True):
            await self._pipe.aclose()
            _, status = await trio.to_thread.run_sync(os.waitpid, self.pid, 0)
            self._reaped = True
            self._on_end()
        return status
