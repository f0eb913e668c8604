"""Small clusters of redis-servers for what changes a cluster, and a ctl that dies when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from ctl.execute import local
from ctl.execute.create import LocalSpec, create_local
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import gather
from ctl.execute.local import LocalCluster
from ctl.execute.ports import taken
from ctl.snapshot import Address, ClusterSnapshot
from gossip.slots import key_slot
from node.resp.client import Reply


@dataclass
class Trio:
    """Three primaries, a, b and c, without replicas. Calls are made with a connection each."""

    cluster: LocalCluster

    @property
    def addresses(self) -> list[Address]:
        return self.cluster.addresses

    async def look(self) -> ClusterSnapshot:
        async with Fleet(Credentials()) as fleet:
            return await gather(fleet, self.addresses)

    async def call(self, node: Address, *words: str | int | bytes) -> Reply:
        async with Fleet(Credentials()) as fleet:
            return await fleet.call(node, *words)

    async def put(self, node: Address, slot: int, count: int) -> dict[bytes, bytes]:
        """`count` new keys of `slot`, written to `node`."""
        keys = {key: b"value of " + key for key in keys_of(slot, count)}
        async with Fleet(Credentials()) as fleet:
            await fleet.pipeline(node, [("SET", key, value) for key, value in keys.items()])
        return keys

    async def values(self, node: Address, keys: dict[bytes, bytes]) -> dict[bytes, Reply]:
        async with Fleet(Credentials()) as fleet:
            replies = await fleet.pipeline(node, [("GET", key) for key in keys])
        return dict(zip(keys, replies, strict=True))


def keys_of(slot: int, count: int) -> list[bytes]:
    """Keys of one slot, by a hash tag."""
    tag = next(b"%d" % number for number in range(1 << 20) if key_slot(b"%d" % number) == slot)
    return [b"{%b}:%d" % (tag, number) for number in range(count)]


@pytest.fixture(scope="session")
def free_run(free_port: Callable[[], int]) -> Callable[[int], int]:
    """The first of so many free ports in a row."""

    def find(count: int) -> int:
        return next(port for port in iter(free_port, None) if not taken("127.0.0.1", port, count))

    return find


@pytest.fixture(scope="module")
def three(
    redis_server_path: str, tmp_path_factory: pytest.TempPathFactory, free_run: Callable[[int], int]
) -> Iterator[Trio]:
    """redis-servers, shared by the tests of a module: each leaves all slots closed."""
    directory: Path = tmp_path_factory.mktemp("three") / "shoal"
    server = (redis_server_path,)
    spec = LocalSpec(directory, "127.0.0.1", free_run(3), 3, 0, server, (("save", '""'),), Credentials())

    async def make() -> LocalCluster:
        cluster, _ = await create_local(spec, lambda _: None, timeout_s=30)
        return cluster

    cluster = trio.run(make)
    try:
        yield Trio(cluster)
    finally:
        trio.run(lambda: local.stop(cluster.nodes, timeout_s=0.5, kill=True))
