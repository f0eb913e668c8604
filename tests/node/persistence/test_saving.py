"""Saving: what is saved when, and that nothing is lost when it fails."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from gossip.slots import key_slot
from node.clock import Clock
from node.config import table as directives
from node.config.config import Config
from node.config.special import SavePoint
from node.guards import Guard, Guards
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.log import Log
from node.persistence import saving as module
from node.persistence.child import Forks
from node.persistence.files import InUseError
from node.persistence.rdb import RdbFile, RdbLoader
from node.persistence.saving import SaveError, Saving
from node.persistence.snapshot import Snapshots, StreamPosition

DEADLINE_S = 15.0


class Bench:
    """A database and what saves it, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = Config()
        self.config.store(directives.DIR, str(directory))
        self.guards = Guards()
        self.changes = Changes()
        self.database = Database(0, self.changes, Policy())
        log = Log()
        self.forks = Forks(log)
        self.snapshots = Snapshots([self.database], log, forks=self.forks)
        self.saving = Saving(
            self.config, log, Clock(), self.guards, self.changes, self.forks, self.snapshots, lambda: None
        )

    def set(self, directive: bytes, value: bytes) -> None:
        self.config.set_many([(directive, value)], allow_protected=True)

    def put(self, key: bytes, value: bytes) -> None:
        self.database.put(key, key_slot(key), value)
        self.changes.total += 1

    def saved(self, name: str = "dump.rdb") -> dict[bytes, object]:
        """What the file holds."""
        database = Database(0, Changes(), Policy())
        RdbFile(str(self.directory / name), Log()).load_now(RdbLoader([database], now_ms=None))
        return {key: value for part in database.slots for key, value in (part or {}).items()}

    def files(self) -> list[str]:
        return sorted(name for name in os.listdir(self.directory) if not name.startswith("."))

    def told(self) -> dict[str, object]:
        return dict(self.saving.info())

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(DEADLINE_S):
            while not condition():
                await trio.sleep(0.002)

    async def child_ends(self) -> None:
        await self.until(lambda: not self.forks.kind)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.saving.close()


@pytest.fixture
async def running(bench: Bench, nursery: trio.Nursery) -> Bench:
    nursery.start_soon(bench.saving.run)
    await trio.testing.wait_all_tasks_blocked()
    return bench


@contextmanager
def full_disk(size: int = 50_000) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# In the foreground


def test_save(bench: Bench) -> None:
    bench.put(b"k", b"v")
    assert bench.told()["rdb_changes_since_last_save"] == 1
    bench.saving.save_now()
    assert bench.saved() == {b"k": b"v"}
    assert bench.files() == ["dump.rdb"]
    assert bench.told()["rdb_changes_since_last_save"] == 0
    assert bench.told()["rdb_saves"] == 1


def test_the_position_of_the_stream_and_functions_are_in_the_file(bench: Bench) -> None:
    bench.saving.position = lambda: StreamPosition(1, b"b" * 40, 9)
    bench.snapshots.functions = lambda: [b"#!lua"]
    bench.saving.save_now()
    loader = RdbLoader([bench.database], now_ms=None)
    RdbFile(bench.saving.path, Log()).load_now(loader)
    assert loader.position() == StreamPosition(1, b"b" * 40, 9)
    assert loader.functions == [b"#!lua"]


def test_file_and_directory_are_those_configured_now(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    bench.set(b"dbfilename", b"other.rdb")
    bench.saving.save_now()
    assert bench.files() == ["other.rdb", "sub"]
    bench.config.store(directives.DIR, str(tmp_path / "sub"))
    bench.saving.save_now()
    assert sorted(os.listdir(tmp_path / "sub")) == [".other.rdb.lock", "other.rdb"]


def test_a_save_that_fails_leaves_the_old_file(bench: Bench) -> None:
    bench.put(b"k", b"v")
    bench.saving.save_now()
    bench.put(b"big", bytes(100_000))
    with full_disk(), pytest.raises(SaveError, match="File too large"):
        bench.saving.save_now()
    assert bench.saved() == {b"k": b"v"}
    assert bench.files() == ["dump.rdb"]
    assert bench.told()["rdb_changes_since_last_save"] == 1


def test_without_rdbchecksum_there_is_none(bench: Bench) -> None:
    bench.config.store(directives.RDBCHECKSUM, False)
    bench.saving.save_now()
    assert Path(bench.saving.path).read_bytes()[-8:] == bytes(8)


# Two processes


def test_a_second_process_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.saving.prepare()
    second = Bench(tmp_path)
    with pytest.raises(InUseError, match=r"dump\.rdb"):
        second.saving.prepare()
    with pytest.raises(SaveError, match="Another process"):
        second.saving.save_now()
    second.config.store(directives.DBFILENAME, "second.rdb")
    second.saving.save_now()
    second.saving.close()


def test_who_saves_nothing_takes_no_lock(bench: Bench, tmp_path: Path) -> None:
    bench.set(b"save", b"")
    bench.saving.prepare()
    assert os.listdir(tmp_path) == []


def test_the_next_process_removes_what_a_killed_one_left(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "temp-dump.rdb-77").write_bytes(b"half")
    bench.saving.prepare()
    assert bench.files() == []


# In the background


async def test_bgsave_saves_the_moment_it_was_asked_for(running: Bench) -> None:
    for n in range(5000):
        running.put(b"%d" % n, b"old")
    running.saving.save_in_background()
    assert running.told()["rdb_bgsave_in_progress"] == 1
    assert running.told()["current_save_keys_total"] == 5000
    running.put(b"1", b"new")
    await running.child_ends()
    assert set(running.saved().values()) == {b"old"}
    told = running.told()
    assert told["rdb_last_bgsave_status"] == "ok"
    assert told["rdb_changes_since_last_save"] == 1
    assert isinstance(told["rdb_last_cow_size"], int)
    assert told["rdb_last_cow_size"] > 0
    assert (told["rdb_bgsave_in_progress"], told["current_save_keys_total"]) == (0, 0)
    assert running.files() == ["dump.rdb"]


async def test_strings_are_compressed_if_so_configured(running: Bench) -> None:
    running.put(b"k", b"text and text and " * 500)
    sizes = []
    for wanted in (b"yes", b"no"):
        running.set(b"rdbcompression", wanted)
        running.saving.save_in_background()
        await running.child_ends()
        sizes.append(os.path.getsize(running.saving.path))
        assert running.saved() == {b"k": b"text and text and " * 500}
    assert sizes[0] < 1000 < 9000 < sizes[1]


async def test_a_killed_child_is_a_failure_and_leaves_the_old_file(running: Bench) -> None:
    running.put(b"k", b"v")
    running.saving.save_now()
    running.snapshots.functions = lambda: time.sleep(60) or []  # type: ignore[func-returns-value]
    running.saving.save_in_background()
    child = running.saving._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    await running.child_ends()
    assert running.told()["rdb_last_bgsave_status"] == "err"
    assert Guard.DISK in running.guards
    assert running.saved() == {b"k": b"v"}
    assert running.files() == ["dump.rdb"]


async def test_a_full_disk_stops_writes_until_a_save_succeeds(
    running: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.put(b"k", bytes(100_000))
    running.set(b"rdbcompression", b"no")
    with full_disk():
        running.saving.save_in_background()
        await running.child_ends()
    assert Guard.DISK in running.guards
    assert running.files() == []
    running.set(b"stop-writes-on-bgsave-error", b"no")
    assert Guard.DISK not in running.guards
    running.set(b"stop-writes-on-bgsave-error", b"yes")
    running.set(b"save", b"")
    assert Guard.DISK not in running.guards  # who asked for no saves has no use for them
    running.set(b"save", b"100 1")
    assert Guard.DISK in running.guards
    running.saving.scheduled = True
    running.saving.tick()
    assert not running.forks.kind, "not again so soon"
    now_s = time.monotonic() + module.RETRY_DELAY_S
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s)
    running.saving.tick()
    await running.child_ends()
    assert Guard.DISK not in running.guards
    assert running.told()["rdb_last_bgsave_status"] == "ok"
    assert running.saved() == {b"k": bytes(100_000)}


async def test_a_save_of_ours_kills_no_trust_in_the_disk(running: Bench) -> None:
    """A child that is ended because it is outdated is no failure, and its file is gone."""
    running.snapshots.functions = lambda: time.sleep(60) or []  # type: ignore[func-returns-value]
    running.saving.save_in_background()
    running.snapshots.functions = list
    running.saving.kill_child()
    running.saving.save_in_background()  # at once
    await running.child_ends()
    assert running.told()["rdb_last_bgsave_status"] == "ok"
    assert running.files() == ["dump.rdb"]


async def test_no_process_to_be_had(running: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(running.forks, "fork", fork)
    with pytest.raises(SaveError, match="Resource temporarily unavailable"):
        running.saving.save_in_background()
    assert running.told()["rdb_last_bgsave_status"] == "err"
    assert running.forks.kind == ""


# When


@pytest.mark.parametrize(
    ("points", "changes", "since_s", "due"),
    [
        ("60 10", 9, 100, False),
        ("60 10", 10, 59, False),
        ("60 10", 10, 62, True),
        ("3600 1 60 10", 1, 100, False),
        ("3600 1 60 10", 1, 3602, True),
        ("", 1000, 100_000, False),
        ("0 0", 0, 100, False),
    ],
)
async def test_save_points(running: Bench, points: str, changes: int, since_s: int, due: bool) -> None:
    """So many changes and more than so many seconds since the last save."""
    words = [int(word) for word in points.split()]
    running.config.store(
        directives.SAVE, tuple(SavePoint(*pair) for pair in zip(words[::2], words[1::2], strict=True))
    )
    running.changes.total += changes
    running.saving.last_save_s = int(time.time()) - since_s
    running.saving.tick()
    assert bool(running.forks.kind) == due
    await running.child_ends()


async def test_a_scheduled_save_begins_when_the_other_child_has_ended(running: Bench) -> None:
    running.forks.claim("aof")
    running.saving.scheduled = True
    running.saving.tick()
    running.forks.release()
    assert running.files() == []
    running.saving.tick()
    assert running.forks.kind == "rdb"
    await running.child_ends()
    assert running.files() == ["dump.rdb"]


async def test_nothing_is_saved_by_itself_while_data_are_loaded(running: Bench) -> None:
    running.guards.set(Guard.LOADING, True)
    running.saving.scheduled = True
    running.saving.tick()
    assert not running.forks.kind


# At the end


@pytest.mark.parametrize(
    ("points", "wanted", "saves"),
    [(b"60 1", None, True), (b"", None, False), (b"60 1", False, False), (b"", True, True)],
)
def test_the_last_save(bench: Bench, points: bytes, wanted: bool | None, saves: bool) -> None:
    bench.set(b"save", points)
    bench.saving.save_last(wanted)
    assert bench.files() == (["dump.rdb"] if saves else [])


def test_a_last_save_that_fails_is_told(bench: Bench) -> None:
    bench.put(b"k", bytes(100_000))
    with full_disk(), pytest.raises(SaveError):
        bench.saving.save_last(True)


async def test_the_last_save_ends_a_child(running: Bench) -> None:
    running.snapshots.functions = lambda: time.sleep(60) or []  # type: ignore[func-returns-value]
    running.saving.save_in_background()
    child = running.saving._child
    assert child is not None
    running.snapshots.functions = list
    running.put(b"k", b"v")
    running.saving.save_last(True)
    with suppress(ProcessLookupError):
        os.kill(child.pid, 0)
        pytest.fail("the child lives")
    assert running.saved() == {b"k": b"v"}
    assert running.files() == ["dump.rdb"]


async def test_flushing_all_empties_the_file_too(running: Bench) -> None:
    bench = running
    bench.put(b"k", b"v")
    bench.saving.save_now()
    bench.database.clear()
    bench.saving.flushed()
    assert bench.saved() == {}
    bench.set(b"save", b"")
    bench.put(b"k", b"v")
    bench.saving.save_now()
    bench.saving.flushed()
    assert bench.saved() == {b"k": b"v"}


# A replica that cannot save


class EndError(Exception):
    """The process would have ended."""


@pytest.fixture
def replica(bench: Bench) -> Bench:
    """Whose last snapshot has failed."""

    def die(why: str) -> None:
        raise EndError(why)

    bench.saving.is_replica, bench.saving.die = lambda: True, die
    bench.saving._fail("Background saving error")
    assert Guard.DISK in bench.guards
    return bench


def test_it_ends_with_the_next_write_of_its_primary(replica: Bench) -> None:
    """It cannot refuse what its primary wrote, and was told to keep it. A failure alone is no reason."""
    for _ in range(3):
        replica.saving.tick()
    replica.put(b"k", b"v")
    with pytest.raises(EndError, match="Replica was unable to write command to disk"):
        replica.saving.tick()


def test_it_goes_on_when_told_so_and_says_it_now_and_then(
    replica: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    replica.set(b"replica-ignore-disk-write-errors", b"yes")
    for _ in range(3):
        replica.put(b"k", b"v")
        replica.saving.tick()
    assert capfd.readouterr().out.count("unable to write to disk") == 1


def test_a_primary_refuses_instead(replica: Bench) -> None:
    replica.saving.is_replica = lambda: False
    replica.put(b"k", b"v")
    replica.saving.tick()


def test_snapshots_that_need_not_succeed_end_nothing(replica: Bench) -> None:
    """stop-writes-on-bgsave-error no."""
    replica.set(b"stop-writes-on-bgsave-error", b"no")
    replica.put(b"k", b"v")
    replica.saving.tick()
