"""Background processes that outlive ctl, and how to know one again.

A process id alone is not enough: the system gives it to another process some day, and a signal meant for a
node would hit a stranger. So a process is known by its id and its birth: the boot it belongs to and its start
in that boot, in clock ticks (field 22 of /proc/PID/stat). A zombie counts as gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

LOOK_EVERY_S = 0.02
KILL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    birth: str


def spawn(command: Sequence[str], log: Path) -> Process:
    """Starts `command` in a session of its own; what it prints is appended to `log`. Raises OSError."""
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        pid = os.posix_spawn(
            command[0],
            list(command),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=[],
            # Python ignores these two, and what is ignored stays so in a child.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    finally:
        os.close(null)
        os.close(output)
    return Process(pid, _birth(pid) or "")


def is_running(process: Process) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return process.birth != "" and _birth(process.pid) == process.birth


def send_signal(process: Process, number: signal.Signals) -> None:
    """To this process or none."""
    if is_running(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def terminate(processes: Iterable[Process], *, timeout_s: float, kill: bool) -> list[Process]:
    """SIGTERM, then waits until all are gone; returns those that still run after `timeout_s`.

    With `kill` these get SIGKILL and are waited for.
    """
    waiting = [process for process in processes if is_running(process)]
    for process in waiting:
        send_signal(process, signal.SIGTERM)
    waiting = await _wait_gone(waiting, timeout_s)
    if waiting and kill:
        for process in waiting:
            send_signal(process, signal.SIGKILL)
        waiting = await _wait_gone(waiting, KILL_TIMEOUT_S)
    return waiting


async def _wait_gone(processes: list[Process], timeout_s: float) -> list[Process]:
    deadline = trio.current_time() + timeout_s
    while processes := [process for process in processes if is_running(process)]:
        if trio.current_time() >= deadline:
            return processes
        await trio.sleep(LOOK_EVERY_S)
    return []


def _birth(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, field 2, stands in parentheses and may hold anything, blanks and parentheses too.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else f"{boot}:{fields[18]}"
