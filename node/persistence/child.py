"""Child processes that write the data set as it was when they were forked: one at a time.

The child sees memory as it was at the fork, does one piece of work and ends with `os._exit`; its exit status
says whether the work was done. It keeps no descriptor but its pipe and the standard ones, collects no garbage
(which would copy pages), runs no trio, and ends by itself when its parent has died, so that an orphan never
competes with the parent's successor.

The pipe carries reports: how many keys are written, and how much memory the child no longer shares with its
parent. That is what copy-on-write has cost: pages that either of the two has touched since the fork, and
because of reference counts reading is touching. Nobody but the kernel can tell; its sum over a large process
takes milliseconds, so it is asked for once a second at most, and at the end.

Source: https://redis.io/commands/info/, "Persistence"; proc(5), smaps_rollup.
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import trio

from node.log import Log
from node.observe.info import Fields

_REPORT = struct.Struct("<QQ")
_REPORT_PERIOD_S = 1.0
_DESCRIPTOR_MAX = 1 << 20


class ChildError(Exception):
    """The child failed: how it ended."""


class Reporter:
    """The child's side of the pipe."""

    def __init__(self, pipe: int, parent: int) -> None:
        self._pipe = pipe
        self._parent = parent
        self._next_s = time.monotonic() + _REPORT_PERIOD_S
        self.keys = 0

    def wrote(self, keys: int) -> None:
        """So many more keys are written. Raises OSError when there is no parent any more."""
        self.keys += keys
        if time.monotonic() >= self._next_s:
            self.tell()
            self._next_s = time.monotonic() + _REPORT_PERIOD_S
        elif os.getppid() != self._parent:
            raise OSError("the parent process has died")

    def tell(self) -> None:
        with suppress(BlockingIOError):  # a parent that does not listen has reports enough
            os.write(self._pipe, _REPORT.pack(self.keys, unshared_bytes()))


def unshared_bytes() -> int:
    """Memory that this process has written to, or alone still holds, in bytes; 0 where nobody tells."""
    try:
        with open("/proc/self/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Private_Dirty:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # a kernel that has no such file
    return 0


class Child:
    """A process at work: `keys_done` and `cow_bytes` of its last report, `cow_peak_bytes` the greatest."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.started_s = time.monotonic()
        self.keys_done = 0
        self.cow_bytes = 0
        self.cow_peak_bytes = 0
        self.reported_s = self.started_s
        self._pipe = trio.lowlevel.FdStream(pipe)
        self._ended = False
        self._status = 0

    async def wait(self) -> None:
        """Takes reports until the process has ended. Raises ChildError when it failed or was killed."""
        waiting = b""
        while data := await self._pipe.receive_some():
            waiting += data
            whole = len(waiting) - len(waiting) % _REPORT.size
            if whole:
                self._reported(*_REPORT.unpack(waiting[whole - _REPORT.size : whole]))
                waiting = waiting[whole:]
        status = await self._reap()
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            raise ChildError(f"terminated by signal {-code}")
        if code:
            raise ChildError(f"exit status {code}")

    def _reported(self, keys_done: int, cow_bytes: int) -> None:
        self.keys_done = keys_done
        self.cow_bytes = cow_bytes
        self.cow_peak_bytes = max(self.cow_peak_bytes, cow_bytes)
        self.reported_s = time.monotonic()

    def kill(self) -> None:
        """Ends the process, whatever it is doing, and waits for that; nothing happens when it has ended."""
        if not self._ended:
            self._ended = True
            os.kill(self.pid, signal.SIGKILL)
            self._status = os.waitpid(self.pid, 0)[1]

    async def _reap(self) -> int:
        with trio.CancelScope(shield=True):
            await self._pipe.aclose()
            if not self._ended:
                # Its end of the pipe is closed: it has done what it will do.
                self._ended = True
                self._status = (await trio.to_thread.run_sync(os.waitpid, self.pid, 0))[1]
        return self._status


class Forks:
    """The children of one node. `kind` names what the one there is does ("" when there is none)."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.kind = ""
        self.total = 0
        self.latest_us = 0
        self.on_fork: Callable[[float], None] = lambda _took_ms: None  # told how long each fork took

    def info(self) -> Fields:
        """Of INFO stats."""
        yield "total_forks", self.total
        yield "latest_fork_usec", self.latest_us

    def claim(self, kind: str) -> None:
        """From here to `release` nobody else may fork."""
        assert not self.kind, f"a child is there already: {self.kind}"
        self.kind = kind

    def release(self) -> None:
        self.kind = ""

    def fork(self) -> int:
        """os.fork, counted and timed. Raises OSError."""
        start_s = time.monotonic()
        pid = os.fork()
        if pid:
            self.total += 1
            self.latest_us = int((time.monotonic() - start_s) * 1e6)
            self.on_fork(self.latest_us / 1000)
        return pid

    def start(self, kind: str, work: Callable[[Reporter], None]) -> Child:
        """Has a child do `work`, which may raise; whoever asked calls `release` when the child has ended.

        Raises OSError when there can be no process.
        """
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        parent = os.getpid()
        self.claim(kind)
        try:
            pid = self.fork()
        except OSError:
            self.release()
            os.close(read_end)
            os.close(write_end)
            raise
        if pid == 0:
            run_child(write_end, lambda: _report_work(write_end, parent, work), self._log)
        os.close(write_end)
        return Child(pid, read_end)


def _report_work(pipe: int, parent: int, work: Callable[[Reporter], None]) -> None:
    reporter = Reporter(pipe, parent)
    work(reporter)
    reporter.tell()


def run_child(pipe: int, work: Callable[[], None], log: Log) -> NoReturn:
    """All that a child does."""
    status = 1
    try:
        gc.disable()
        _forget_parent(pipe)
        work()
        status = 0
    except BrokenPipeError:
        pass  # nobody wants the rest
    except OSError as failed:
        log.warning(f"The child process failed: {failed.strerror or failed}")
    except BaseException:  # noqa: BLE001  nothing may leave this function in the child
        log.warning("The child process failed: " + traceback.format_exc().strip())
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
