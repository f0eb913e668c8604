"""redis-py's own commands for every data type, through its cluster client, on a cluster of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.cluster import ClusterNode, RedisCluster

CTL = str(Path(sys.executable).with_name("ctl"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[RedisCluster]:
    directory = str(tmp_path_factory.mktemp("types") / "cluster")

    def ctl(*args: str) -> str:
        done = subprocess.run(
            [CTL, "cluster", *args, "--dir", directory, "--yes"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = json.loads(ctl("create", "--json", "--base-port", str(free_port())))
    addresses = [node["address"].rsplit(":", 1) for node in made["nodes"]]
    nodes = [ClusterNode(host, int(port)) for host, port in addresses]
    with RedisCluster(startup_nodes=nodes, decode_responses=True) as client:
        yield client
    ctl("destroy")


def test_lists(client: RedisCluster) -> None:
    assert client.rpush("list", "a", "b", "c") == 3
    assert client.lmove("list", "list", "LEFT", "RIGHT") == "a"
    assert client.lrange("list", 0, -1) == ["b", "c", "a"]
    assert client.lpos("list", "a") == 2


def test_hashes(client: RedisCluster) -> None:
    assert client.hset("hash", mapping={"a": 1, "b": 2}) == 2
    assert client.hincrby("hash", "a", 5) == 6
    assert client.hgetall("hash") == {"a": "6", "b": "2"}
    assert client.hexpire("hash", 100, "a") == [1]
    assert 0 < client.httl("hash", "a", "b")[0] <= 100


def test_sets(client: RedisCluster) -> None:
    assert client.sadd("{set}1", "a", "b", "c") == 3
    assert client.sadd("{set}2", "b", "c", "d") == 3
    assert client.sinter("{set}1", "{set}2") == {"b", "c"}
    assert client.spop("{set}1") in {"a", "b", "c"}


def test_sorted_sets(client: RedisCluster) -> None:
    assert client.zadd("zset", {"a": 1, "b": 2.5, "c": float("inf")}) == 3
    assert client.zrange("zset", 0, -1, withscores=True)[1] in (("b", 2.5), ["b", 2.5])
    assert client.zrank("zset", "c") == 2
    assert client.zpopmin("zset")[0][0] == "a"


def test_streams(client: RedisCluster) -> None:
    first = client.xadd("stream", {"field": "value"})
    assert client.xrange("stream") == [(first, {"field": "value"})]
    assert client.xgroup_create("stream", "group", id="0")
    assert client.xreadgroup("group", "me", {"stream": ">"})
    assert client.xpending("stream", "group")["pending"] == 1
    assert client.xack("stream", "group", first) == 1


def test_bitmaps_hyperloglog_and_geo(client: RedisCluster) -> None:
    assert client.setbit("bits", 7, 1) == 0
    assert client.bitcount("bits") == 1
    assert client.pfadd("hll", *range(1000)) == 1
    assert 980 <= client.pfcount("hll") <= 1020
    assert client.geoadd("geo", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert round(client.geodist("geo", "Palermo", "Catania", unit="km")) == 166


def test_scan_finds_every_key_of_every_node(client: RedisCluster) -> None:
    names = {f"scan:{number}" for number in range(500)}
    for name in names:
        client.set(name, 1)
    assert set(client.scan_iter(match="scan:*", count=50)) == names


def test_a_blocked_client_gets_what_another_pushes(client: RedisCluster) -> None:
    got: list[object] = []
    waiter = threading.Thread(target=lambda: got.append(client.blpop("queue", timeout=10)))
    waiter.start()
    client.rpush("queue", "job")
    waiter.join(15)
    assert got
    assert list(got[0]) == ["queue", "job"]  # type: ignore[call-overload]
