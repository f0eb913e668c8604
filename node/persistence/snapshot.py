"""Snapshots of the whole data set, as RDB: all of it at one moment, while clients go on being served.

Two ways to one cut. *In line*: a small data set is serialised between two commands, within bounds of keys,
bytes and time. *Forked*: a child process sees memory as it was at the fork and writes it to a pipe; the
parent reads the pipe at the pace of whoever consumes it, and the pipe's own buffer holds the child back. The
child does nothing else: it keeps no descriptor but the pipe and the standard ones, collects no garbage (which
would copy pages), runs no trio and ends with `os._exit`.

Measured (Python 3.11, two cores): 0.5 us a small key; a fork takes 4 to 8 ms at a million keys, so up to
`INLINE_KEYS_MAX` keys stopping for the serialisation is the shorter stop. Strings are not compressed: LZF in
Python costs eight times the serialisation.

Source: the RDB format as `node.rdb.file` describes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import trio

from node.keyspace.database import Database
from node.log import Log
from node.rdb.file import Entry, RdbWriter

INLINE_KEYS_MAX = 10_000
INLINE_BYTES_SURE = 256 * 1024  # so much is always made in line
INLINE_BYTES_MAX = 4 << 20
INLINE_BUDGET_S = 0.005
PIECE_BYTES = 128 * 1024
PIPE_BYTES = 1 << 20
_KEYS_AT_ONCE = 512
_DESCRIPTOR_MAX = 1 << 20


class StreamPosition(NamedTuple):
    """Where the replication stream stands at the cut: selected database, replication id, offset."""

    db: int
    replid: bytes
    offset: int


class SnapshotError(Exception):
    """The child failed: how it ended."""


class Snapshots:
    """Makes snapshots of a node's databases."""

    def __init__(
        self, databases: Sequence[Database], log: Log, cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        self._databases = databases
        self._log = log
        self._cpu_s = cpu_s
        self.inline_keys_max = INLINE_KEYS_MAX

    def in_line(self, position: StreamPosition | None = None) -> bytes | None:
        """The whole file at once; None when the data set is too large to stop for it."""
        if sum(database.count for database in self._databases) > self.inline_keys_max:
            return None
        end_s = self._cpu_s() + INLINE_BUDGET_S
        pieces: list[bytes] = []
        size = 0
        for piece in serialise(self._databases, position):
            pieces.append(piece)
            size += len(piece)
            if size > INLINE_BYTES_MAX or (size > INLINE_BYTES_SURE and self._cpu_s() > end_s):
                return None
        return b"".join(pieces)

    def fork(self, position: StreamPosition | None = None) -> SnapshotChild:
        """Cuts now, and gives the child whose pipe the file comes from. Raises OSError."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pid = os.fork()
        except OSError:
            os.close(read_end)
            os.close(write_end)
            raise
        if pid == 0:
            _run_child(write_end, serialise(self._databases, position), self._log)
        os.close(write_end)
        return SnapshotChild(pid, read_end)


def serialise(databases: Sequence[Database], position: StreamPosition | None) -> Iterator[bytes]:
    """The file in pieces of up to some hundred keys each. Nothing may change before the last one is taken."""
    writer = RdbWriter(compress=False)
    replication = None if position is None else (position.db, position.replid, position.offset)
    yield writer.begin(created_at_s=int(time.time()), used_memory_bytes=0, replication=replication)
    for database in databases:
        if not database.count:
            continue
        deadlines = database.deadlines.at
        yield writer.select(database.index, key_count=database.count, expire_count=len(deadlines))
        entries: list[Entry] = []
        for partition in database.slots:
            if not partition:
                continue
            for key, value in partition.items():
                entries.append((key, value, deadlines.get(key), None, None))
                if len(entries) == _KEYS_AT_ONCE:
                    yield writer.keys(entries)
                    entries.clear()
        yield writer.keys(entries)
    yield writer.end()


class SnapshotChild:
    """A process that writes a snapshot to a pipe. Whoever made it calls `finish` or `kill` in the end."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
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
        return status


def _run_child(pipe: int, pieces: Iterator[bytes], log: Log) -> NoReturn:
    """All that the child does. Its exit status says whether the file is whole."""
    status = 1
    try:
        gc.disable()
        _forget_parent(pipe)
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
        status = 0
    except BrokenPipeError:
        pass  # nobody wants the rest
    except BaseException:  # noqa: BLE001  nothing may leave this function in the child
        log.warning("The snapshot failed: " + traceback.format_exc().strip())
    finally:
        os._exit(status)


def _forget_parent(pipe: int) -> None:
    """Drops what a copy of the process must not hold: its signal handling, and every socket and file.

    A client's socket that stays open here would not be closed for the client when the parent closes it.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group
    os.closerange(3, pipe)
    os.closerange(pipe + 1, _DESCRIPTOR_MAX)


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
