"""ctl.execute.processes"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ctl.execute.processes import Process, is_running, send_signal, spawn, terminate

STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
OBEDIENT = "import signal; print('ready', flush=True); signal.pause()"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    processes: list[Process] = []

    def start(program: str) -> Process:
        processes.append(spawn([sys.executable, "-c", program], tmp_path / f"log{len(processes)}"))
        return processes[-1]

    yield start
    for process in processes:
        send_signal(process, signal.SIGKILL)
        while is_running(process):
            os.sched_yield()


async def printed(log: Path, text: str) -> None:
    with trio.fail_after(10):
        while text not in log.read_text():
            await trio.sleep(0.005)


async def test_a_process_has_its_own_session_and_logs_what_it_prints(
    started: Callable[[str], Process], tmp_path: Path
) -> None:
    process = started(OBEDIENT)
    await printed(tmp_path / "log0", "ready")
    assert is_running(process)
    assert os.getsid(process.pid) == process.pid


async def test_terminate_waits_for_the_end(started: Callable[[str], Process]) -> None:
    process = started(OBEDIENT)
    assert await terminate([process], timeout_s=10, kill=False) == []
    assert not is_running(process)


async def test_a_process_that_ignores_sigterm_is_reported_or_killed(
    started: Callable[[str], Process], tmp_path: Path
) -> None:
    process = started(STUBBORN)
    await printed(tmp_path / "log0", "ready")
    assert await terminate([process], timeout_s=0.05, kill=False) == [process]
    assert await terminate([process], timeout_s=0.05, kill=True) == []
    assert not is_running(process)


async def test_a_process_id_in_use_by_another_is_not_signalled(
    started: Callable[[str], Process], tmp_path: Path
) -> None:
    """The same id with another start time, as after a reboot or a wrap of process ids."""
    process = started(OBEDIENT)
    await printed(tmp_path / "log0", "ready")
    stranger = replace(process, birth=process.birth + "1")
    assert not is_running(stranger)
    assert await terminate([stranger], timeout_s=1, kill=True) == []
    assert is_running(process)


async def test_a_program_that_ends_at_once_does_not_run(started: Callable[[str], Process]) -> None:
    process = started("raise SystemExit(3)")
    with trio.fail_after(10):
        while is_running(process):
            await trio.sleep(0.005)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn([str(tmp_path / "none")], tmp_path / "log")
