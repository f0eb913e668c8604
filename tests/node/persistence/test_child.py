"""Children work alone, one at a time, and tell how it goes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from node.log import Log
from node.persistence import child as module
from node.persistence.child import ChildError, Forks, Reporter, unshared_bytes

DEADLINE_S = 10.0


@pytest.fixture
def forks() -> Forks:
    return Forks(Log())


async def test_work_is_done_in_another_process(forks: Forks, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = forks.start("rdb", lambda _reporter: file.write_text(f"{os.getpid()}") and None)
    assert forks.kind == "rdb"
    await child.wait()
    assert int(file.read_text()) == child.pid != os.getpid()
    assert (forks.total, forks.latest_us > 0) == (1, True)
    assert dict(forks.info())["total_forks"] == 1


async def test_what_changes_after_the_fork_is_not_seen(forks: Forks, tmp_path: Path) -> None:
    data = ["before"]
    file = tmp_path / "seen"
    go = tmp_path / "go"

    def work(reporter: Reporter) -> None:
        while not go.exists():
            time.sleep(0.001)
        file.write_text(data[0])

    child = forks.start("rdb", work)
    data[0] = "after"
    go.write_text("")
    await child.wait()
    assert file.read_text() == "before"


async def test_reports_keys_and_copied_memory(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last report is of the end, and touched memory is seen in it."""
    monkeypatch.setattr(module, "_REPORT_PERIOD_S", 0.0)
    block = bytearray(32 << 20)

    def work(reporter: Reporter) -> None:
        reporter.wrote(5)
        block[:] = bytes(len(block))
        reporter.wrote(2)

    child = forks.start("rdb", work)
    await child.wait()
    assert child.keys_done == 7
    assert child.cow_bytes >= 32 << 20
    assert child.cow_peak_bytes >= child.cow_bytes


async def test_a_failure_is_told_with_how_the_child_ended(
    forks: Forks, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(reporter: Reporter) -> None:
        raise OSError(28, "No space left on device")

    child = forks.start("rdb", fail)
    with pytest.raises(ChildError, match="exit status 1"):
        await child.wait()
    assert "No space left on device" in capfd.readouterr().out
    forks.release()
    child = forks.start("rdb", lambda _reporter: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(ChildError, match="signal 11"):
        await child.wait()


async def test_a_killed_child_is_gone_at_once(forks: Forks) -> None:
    child = forks.start("rdb", lambda _reporter: time.sleep(60))
    child.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.kill()
    with pytest.raises(ChildError, match="signal 9"):
        await child.wait()


def test_a_child_whose_parent_has_died_ends(tmp_path: Path) -> None:
    """It must not go on beside the parent's successor."""
    told, release = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        us = os.getpid()
        if os.fork() == 0:
            reporter = Reporter(told[1], us)
            os.read(release[0], 1)  # until our parent has died
            try:
                reporter.wrote(1)
                os.write(told[1], b"goes on")
            except OSError:
                os.write(told[1], b"ends")
        os._exit(0)
    os.waitpid(parent, 0)
    os.write(release[1], b"x")
    assert os.read(told[0], 100) == b"ends"
    for end in (*told, *release):
        os.close(end)


def test_one_child_at_a_time(forks: Forks) -> None:
    forks.claim("aof")
    with pytest.raises(AssertionError, match="aof"):
        forks.claim("rdb")
    forks.release()
    forks.claim("rdb")


def test_own_memory_is_told() -> None:
    held = bytearray(os.urandom(8 << 20))
    assert unshared_bytes() > len(held)
