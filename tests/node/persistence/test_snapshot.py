"""Snapshots show the data of one moment, in line or from a child."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import trio

from gossip.slots import key_slot
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.log import Log
from node.persistence import snapshot
from node.persistence.snapshot import SnapshotChild, SnapshotError, Snapshots, StreamPosition
from node.rdb.file import Aux, Key, RdbReader


@pytest.fixture
def databases() -> list[Database]:
    changes, policy = Changes(), Policy()
    return [Database(index, changes, policy) for index in range(3)]


@pytest.fixture
def put(databases: list[Database]) -> Callable[..., None]:
    def put(key: bytes, value: Any, index: int = 0) -> None:
        databases[index].put(key, key_slot(key), value)

    return put


@pytest.fixture
def snapshots(databases: list[Database]) -> Snapshots:
    return Snapshots(databases, Log())


def contents(file: bytes) -> dict[tuple[int, bytes], tuple[Any, int | None]]:
    reader = RdbReader()
    items = [*reader.feed(file), *reader.close()]
    return {(item.db, item.key): (item.value, item.expire_at_ms) for item in items if type(item) is Key}


async def whole(child: SnapshotChild) -> bytes:
    pieces = []
    while piece := await child.read():
        pieces.append(piece)
    await child.finish()
    return b"".join(pieces)


def test_in_line(databases: list[Database], put: Callable[..., None], snapshots: Snapshots) -> None:
    put(b"k", b"v")
    put(b"n", 5, 2)
    databases[2].set_deadline(b"n", 1234567890123)
    file = snapshots.in_line(StreamPosition(0, b"a" * 40, 77))
    assert file is not None
    assert contents(file) == {(0, b"k"): (b"v", None), (2, b"n"): (5, 1234567890123)}
    aux = {item.name: item.value for item in RdbReader().feed(file) if type(item) is Aux}
    assert (aux[b"repl-id"], aux[b"repl-offset"]) == (b"a" * 40, b"77")


@pytest.mark.parametrize(("keys", "size"), [(10_001, 1), (5, 1 << 20)])
def test_large_data_sets_are_not_made_in_line(
    put: Callable[..., None], snapshots: Snapshots, keys: int, size: int
) -> None:
    for n in range(keys):
        put(b"%d" % n, b"x" * size)
    assert snapshots.in_line() is None


def test_in_line_gives_up_when_it_takes_too_long(databases: list[Database], put: Callable[..., None]) -> None:
    """But never for a small file, however slow the machine is."""
    ticks = iter(range(100_000))
    snapshots = Snapshots(databases, Log(), lambda: float(next(ticks)))
    put(b"k", b"v")
    assert snapshots.in_line() is not None
    put(b"large", b"v" * snapshot.INLINE_BYTES_SURE)
    assert snapshots.in_line() is None


async def test_a_child_shows_the_moment_of_the_fork(put: Callable[..., None], snapshots: Snapshots) -> None:
    for n in range(20_000):
        put(b"%d" % n, b"before" * 20)
    child = snapshots.fork()
    for n in range(20_000):
        put(b"%d" % n, b"after")
    found = contents(await whole(child))
    assert len(found) == 20_000
    assert {value for value, _ in found.values()} == {b"before" * 20}


async def test_a_child_that_is_killed_is_told(put: Callable[..., None], snapshots: Snapshots) -> None:
    for n in range(100):
        put(b"%d" % n, b"x" * 100_000)
    child = snapshots.fork()
    await child.read()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(SnapshotError, match="signal 9"):
        await whole(child)


async def test_a_child_that_fails_is_told(put: Callable[..., None], snapshots: Snapshots, capfd: Any) -> None:
    put(b"k", object())
    with pytest.raises(SnapshotError, match="exit status 1"):
        await whole(snapshots.fork())
    assert "The child process failed" in capfd.readouterr().out


async def test_a_child_can_be_ended_early(put: Callable[..., None], snapshots: Snapshots) -> None:
    """It is reaped; ending it twice does nothing."""
    for n in range(100):
        put(b"%d" % n, b"x" * 100_000)
    child = snapshots.fork()
    await child.kill()
    await child.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_a_child_holds_none_of_the_parents_sockets(
    put: Callable[..., None], snapshots: Snapshots
) -> None:
    """A client whose socket the parent closes must see the end, while the child still runs."""
    for n in range(100):
        put(b"%d" % n, b"x" * 100_000)
    ours, theirs = trio.socket.socketpair()
    child = snapshots.fork()
    await child.read()
    ours.close()
    with trio.fail_after(5):
        assert await theirs.recv(1) == b""
    theirs.close()
    await child.kill()
