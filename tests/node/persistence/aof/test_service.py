"""What is written when, what is synced when, and what happens when the disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from node.app import Node
from node.guards import Guard
from node.lifecycle import ShutdownError
from node.persistence.aof import service
from node.persistence.aof.errors import AofError
from node.persistence.aof.rewrites import BackOff
from node.startup import load_data

Written = Callable[[], list[list[bytes]]]


class Disk:
    """Stands between the node and the disk: counts, refuses, takes a part."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.takes: int | None = None  # of each write so many bytes; None: all
        self.sync_fails = False
        self.truncate_fails = False
        self._write, self._sync, self._truncate = os.write, os.fdatasync, os.ftruncate
        patch.setattr(os, "write", self.write)
        patch.setattr(os, "fdatasync", self.sync)
        patch.setattr(os, "ftruncate", self.truncate)

    def write(self, descriptor: int, data: bytes) -> int:
        if descriptor < 3 or self.takes is None:
            return self._write(descriptor, data)
        if not self.takes:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken, self.takes = min(self.takes, len(data)), 0
        return self._write(descriptor, data[:taken])

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        self._sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.truncate_fails:
            raise OSError(errno.EIO, "Input/output error")
        self._truncate(descriptor, size)


@pytest.fixture
def disk(node: Node, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def increment(node: Node, tmp_path: Path) -> Path:
    return tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"


def _config(client: Any, name: str, value: str) -> None:
    assert client.call("CONFIG", "SET", name, value) == b"OK"


# What is written


def test_changes_are_written_at_the_turns_end_with_their_database(client: Any, written: Written) -> None:
    client.call("SET", "a", "1")
    client.call("GET", "a")
    client.call("SELECT", 2)
    client.call("SETEX", "b", 100, "x")
    client.call("DEL", "nothing")
    due = client.node.clock.now_ms + 100_000
    assert written() == [
        [b"SELECT", b"0"],
        [b"SET", b"a", b"1"],
        [b"SELECT", b"2"],
        [b"SET", b"b", b"x", b"PXAT", b"%d" % due],
    ]


def test_a_transaction_is_written_whole(client: Any, written: Written) -> None:
    for words in (("MULTI",), ("SET", "a", "1"), ("GET", "a"), ("INCR", "a"), ("EXEC",)):
        client.call(*words)
    assert written()[1:] == [[b"MULTI"], [b"SET", b"a", b"1"], [b"INCR", b"a"], [b"EXEC"]]


def test_expired_keys_are_written_as_deleted(client: Any, written: Written) -> None:
    node = client.node
    client.call("PSETEX", "a", 10, "x")
    node.clock.update = lambda: node.clock.now_ms
    node.clock.now_ms += 20
    client.call("GET", "a")
    assert written()[-1] == [b"DEL", b"a"]


def test_times_are_annotated_once_a_second(client: Any, increment: Path) -> None:
    node = client.node
    node.clock.update = lambda: node.clock.now_ms
    _config(client, "appendfsync", "no")
    _config(client, "aof-timestamp-enabled", "yes")
    for _ in range(3):
        for _ in range(3):
            client.call("INCR", "a")
            node.reactor.settle()
        node.clock.now_ms += 1000
    stamps = [line for line in increment.read_bytes().splitlines() if line.startswith(b"#")]
    first_s = node.clock.now_ms // 1000 - 3
    assert stamps == [b"#TS:%d" % (first_s + n) for n in range(3)]


def test_without_an_aof_nobody_is_told(make_node: Callable[..., Node]) -> None:
    """The hook costs nothing when it is not used."""
    node = make_node()
    trio.run(load_data, node)
    assert node.aof.feed not in node.after.tellers
    assert node.aof.flush not in node.reactor.before_flush
    assert not Path(node.aof.directory.path).exists()


# What is synced


def test_always_syncs_once_a_turn(client: Any, disk: Disk, written: Written) -> None:
    _config(client, "appendfsync", "always")
    for number in range(100):
        client.call("SET", f"k{number}", "x")
    assert disk.syncs == 0
    assert len(written()) == 101
    assert disk.syncs == 1
    client.node.reactor.settle()
    assert disk.syncs == 1
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]


def test_no_and_everysec_sync_nothing_in_the_turn(client: Any, disk: Disk) -> None:
    for policy in ("no", "everysec"):
        _config(client, "appendfsync", policy)
        client.call("SET", "a", policy)
        client.node.reactor.settle()
    assert disk.syncs == 0


async def test_everysec_syncs_in_a_thread_once_a_second(client: Any, disk: Disk, autojump_clock: Any) -> None:
    aof = client.node.aof
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aof.run)
        client.call("SET", "a", "1")
        client.node.reactor.settle()
        synced = trio.Event()
        aof.on_synced.append(synced.set)
        await synced.wait()
        assert disk.syncs == 1
        aof.on_synced.clear()
        client.call("SET", "a", "2")
        client.node.reactor.settle()
        assert not aof.syncing, "the second is not over"
        nursery.cancel_scope.cancel()


def test_a_write_waits_for_a_sync_for_two_seconds(
    client: Any, disk: Disk, increment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = client.node
    now_s = [1000.0]
    monkeypatch.setattr(service.time, "monotonic", lambda: now_s[0])
    client.call("SET", "a", "1")
    node.reactor.settle()
    assert node.aof.syncing, "the thread has been asked, and never answers here"
    size = increment.stat().st_size
    client.call("SET", "b", "1")
    for step_s in (0.0, 1.0, 0.9):
        now_s[0] += step_s
        node.reactor.settle()
        assert increment.stat().st_size == size
    assert node.aof.delayed_fsync == 0
    now_s[0] += 0.2
    node.aof.tick()
    assert increment.stat().st_size > size
    assert node.aof.delayed_fsync == 1


def test_a_child_that_writes_may_have_the_disk(client: Any, disk: Disk) -> None:
    _config(client, "appendfsync", "always")
    _config(client, "no-appendfsync-on-rewrite", "yes")
    node = client.node
    node.forks.claim("rdb")
    client.call("SET", "a", "1")
    node.reactor.settle()
    assert disk.syncs == 0
    node.forks.release()
    client.call("SET", "a", "1")
    node.reactor.settle()
    assert disk.syncs == 1


# When the disk refuses


def test_half_a_command_is_taken_back_and_writes_are_refused_until_there_is_space(
    client: Any, disk: Disk, increment: Path, written: Written
) -> None:
    node = client.node
    _config(client, "appendfsync", "no")
    client.call("SET", "a", "1")
    written()
    before = increment.read_bytes()
    client.call("SET", "b", "1")
    disk.takes = 10
    node.reactor.settle()
    assert increment.read_bytes() == before
    assert client.error("SET", "c", "1") == (
        "MISCONF Errors writing to the AOF file: No space left on device"
    )
    assert client.error("PING").startswith("MISCONF")
    assert client.call("GET", "b") == b"1"
    with pytest.raises(AofError):
        node.aof.rewrite()
    disk.takes = None
    node.aof.tick()
    assert client.call("SET", "c", "1") == b"OK"
    assert written()[-2:] == [[b"SET", b"b", b"1"], [b"SET", b"c", b"1"]]


def test_what_cannot_be_taken_back_is_gone_on_from(
    client: Any, disk: Disk, increment: Path, written: Written
) -> None:
    node = client.node
    client.call("SET", "a", "x" * 100)
    disk.takes, disk.truncate_fails = 10, True
    node.reactor.settle()
    assert increment.stat().st_size == 10
    disk.takes = None
    node.aof.tick()
    assert written() == [[b"SELECT", b"0"], [b"SET", b"a", b"x" * 100]]


class EndError(Exception):
    """The process would have ended."""


@pytest.fixture
def deadly(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would end the process raises EndError."""

    def die(why: str) -> None:
        raise EndError(why)

    monkeypatch.setattr(node.aof, "_hands", node.aof._hands._replace(die=die))


@pytest.mark.usefixtures("deadly")
def test_a_replica_that_cannot_write_ends_unless_it_may_go_on(client: Any, disk: Disk) -> None:
    """It has been told to keep what it cannot keep: replica-ignore-disk-write-errors."""
    node = client.node
    _config(client, "appendfsync", "no")
    node.replication.follow("127.0.0.1", 1)
    _config(client, "replica-ignore-disk-write-errors", "yes")
    for _ in range(2):
        disk.takes = 0
        node.after.tell(0, [b"SET", b"a", b"1"])
        node.reactor.settle()
    _config(client, "replica-ignore-disk-write-errors", "no")
    with pytest.raises(EndError, match="Replica was unable to write command to disk"):
        node.reactor.settle()
    disk.takes = None


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize("fault", ["write", "sync"])
def test_with_always_the_node_ends(client: Any, disk: Disk, fault: str) -> None:
    aof = client.node.aof
    _config(client, "appendfsync", "always")
    client.call("SET", "a", "1")
    disk.takes, disk.sync_fails = (0, False) if fault == "write" else (None, True)
    with pytest.raises(EndError, match="'always'"):
        client.node.reactor.settle()
    assert not aof.is_safe(aof.fed)
    disk.takes, disk.sync_fails = None, False


async def test_a_sync_that_fails_refuses_writes_until_one_succeeds(
    client: Any, disk: Disk, autojump_clock: Any
) -> None:
    node = client.node
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.aof.run)
        disk.sync_fails = True
        client.call("SET", "a", "1")
        node.reactor.settle()
        while not node.aof.error:
            await trio.sleep(0.01)
        assert "Input/output error" in client.error("SET", "a", "1")
        assert Guard.APPEND_ONLY in node.guards
        disk.sync_fails = False
        node.aof.hurry()
        while node.aof.error:
            await trio.sleep(0.01)
        assert client.call("SET", "a", "1") == b"OK"
        nursery.cancel_scope.cancel()


# Rewrites


def test_a_rewrite_waits_for_another_child(client: Any) -> None:
    client.node.forks.claim("rdb")
    assert client.call("BGREWRITEAOF") == b"Background append only file rewriting scheduled"
    assert client.node.aof.scheduled
    client.node.forks.release()


def test_nobody_exits_while_the_first_base_is_in_the_making(client: Any) -> None:
    node = client.node
    _config(client, "appendonly", "no")
    node.forks.claim("rdb")
    _config(client, "appendonly", "yes")
    with pytest.raises(ShutdownError, match="Writing initial AOF"):
        node.lifecycle.final_save(None)
    node.forks.release()


def test_automatic_rewrites_wait_longer_after_each_failure() -> None:
    now_s = [0.0]
    said: list[str] = []
    back_off = BackOff(said.append, lambda: now_s[0])
    for _ in range(2):
        back_off.failed()
        assert not back_off.holds()
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        back_off.failed()
        assert back_off.holds()
        assert said[-1].endswith(f"will retry in {minutes} minutes")
        now_s[0] += minutes * 60 - 1
        assert back_off.holds()
        now_s[0] += 1
        assert not back_off.holds()
    back_off.reset()
    assert not back_off.holds()
    for _ in range(3):
        back_off.failed()
    assert back_off.holds()
    assert said[-1].endswith("will retry in 1 minutes")
