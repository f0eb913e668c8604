"""A node that starts with data: nobody sees them before all are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from gossip.slots import key_slot
from node.app import Node
from node.config import table as directives
from node.config.config import Config
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.log import Log
from node.persistence.loading import Pace
from node.persistence.snapshot import Snapshots
from node.server.process import PidFile

KEYS = 100_000


@pytest.fixture
def config(tmp_path: Path, free_port: Callable[[], int]) -> Config:
    database = Database(0, Changes(), Policy())
    for n in range(KEYS):
        key = b"key:%d" % n
        database.put(key, key_slot(key), b"value")
    (tmp_path / "dump.rdb").write_bytes(b"".join(Snapshots([database], Log()).pieces()))
    config = Config()
    config.store(directives.DIR, str(tmp_path))
    config.store(directives.PORT, free_port())
    config.store(directives.BIND, ("127.0.0.1",))
    config.store(directives.SAVE, ())
    return config


async def ask(stream: trio.SocketStream, line: bytes) -> bytes:
    await stream.send_all(line + b"\r\n")
    return await stream.receive_some(1 << 16)


async def test_clients_hear_loading_until_everything_is_there(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = trio.Event()

    async def breathe(_pace: Pace) -> None:
        await go_on.wait()

    monkeypatch.setattr(Pace, "breathe", breathe)
    node = Node(config)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run, PidFile(config, node.log))
            await trio.testing.wait_all_tasks_blocked()
            stream = await trio.open_tcp_stream("127.0.0.1", config[directives.PORT])
            assert 0 < node.databases[0].count < KEYS
            for request in (b"GET key:1", b"SET k v", b"PING", b"DBSIZE", b"KEYS *"):
                assert (await ask(stream, request)).startswith(b"-LOADING ")
            told = await ask(stream, b"INFO persistence")
            size = (Path(config[directives.DIR]) / "dump.rdb").stat().st_size
            assert b"\r\nloading:1\r\n" in told
            assert b"\r\nloading_total_bytes:%d\r\n" % size in told
            assert b"\r\nloading_loaded_bytes:262144\r\n" in told
            go_on.set()
            while (answer := await ask(stream, b"DBSIZE")).startswith(b"-LOADING "):
                await trio.sleep(0.001)
            assert answer == b":%d\r\n" % KEYS
            assert b"\r\nloading:0\r\n" in await ask(stream, b"INFO persistence")
            await stream.aclose()
            node.lifecycle.request_shutdown("the test is over")
    assert node.lifecycle.exit_status == 0


async def test_a_shutdown_while_data_are_loaded_saves_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the data would replace all of them."""
    config.store(directives.SAVE, directives.SAVE.default)
    path = Path(config[directives.DIR]) / "dump.rdb"
    before = path.read_bytes()

    async def breathe(_pace: Pace) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Pace, "breathe", breathe)
    node = Node(config)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run, PidFile(config, node.log))
            await trio.testing.wait_all_tasks_blocked()
            assert node.loading.active
            node.lifecycle.request_shutdown("because")
    assert path.read_bytes() == before
