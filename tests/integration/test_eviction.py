"""maxmemory on real processes: memory stays at the limit, replicas stay equal, hit rates are Redis's."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import time
from pathlib import Path
from types import ModuleType

import hiredis
import pytest

MB = 1 << 20
DEADLINE_S = 60.0
BATCH = 200


def info(client, name: str) -> str:
    text = client.call("INFO", "everything").decode()
    return next(line.split(":", 1)[1] for line in text.split("\r\n") if line.startswith(f"{name}:"))


def write(client, first: int, count: int, size: int) -> None:
    """Keys of different sizes, up to twice `size` bytes, in pipelines."""
    pack = hiredis.pack_command
    for start in range(first, first + count, BATCH):
        numbers = range(start, start + BATCH)
        client.send(b"".join(pack(("SET", f"k{n}", "v" * (n * 7919 % (2 * size)))) for n in numbers))
        for _ in numbers:
            assert client.reply() == b"OK"


def test_memory_stays_at_the_limit_and_the_replica_equal(shoal_node):
    """A writer of four times what fits, and then a limit that is lowered."""
    debug = ("--enable-debug-command", "local", "--save", "")
    primary = shoal_node(*debug, "--maxmemory-policy", "allkeys-lru", "--repl-diskless-sync-delay", "0")
    client = primary.connect()
    replica = shoal_node(*debug, "--replicaof", f"127.0.0.1 {primary.port}")
    copy = replica.connect()
    limit = int(info(client, "used_memory")) + 12 * MB
    client.call("CONFIG", "SET", "maxmemory", limit)
    most = 0
    for part in range(10):
        write(client, part * 8000, 8000, 250)
        most = max(most, int(info(client, "used_memory")))
    assert limit * 0.9 < most < limit * 1.05
    assert int(info(client, "used_memory_rss")) < limit * 1.6
    assert int(info(client, "evicted_keys")) > 20_000
    client.call("CONFIG", "SET", "maxmemory", limit - 6 * MB)
    deadline_s = time.monotonic() + DEADLINE_S
    while int(info(client, "used_memory")) > limit - 6 * MB:
        assert time.monotonic() < deadline_s
    assert client.call("WAIT", 1, 20_000) == 1
    assert client.call("DBSIZE") == copy.call("DBSIZE") > 3000
    assert client.call("DEBUG", "DIGEST") == copy.call("DEBUG", "DIGEST")
    assert info(copy, "evicted_keys") == "0"
    client.close()
    copy.close()


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[1] / "bench" / "eviction.py"
    spec = importlib.util.spec_from_file_location("bench_eviction", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_hit_rates_are_those_of_redis_or_better(bench, shoal_node, start_redis, policy):
    """At most one point less, with as many keys."""
    ours = bench.measure(shoal_node().port, policy, 10_000, 200_000)
    theirs = bench.measure(start_redis().port, policy, 10_000, 200_000)
    assert 0.9 < ours.keys / theirs.keys < 1.1
    assert ours.hit_rate > theirs.hit_rate - 0.01


@pytest.mark.slow
def test_a_limit_of_100_mb(shoal_node):
    node = shoal_node("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    client = node.connect()
    for part in range(15):
        write(client, part * 20_000, 20_000, 250)
        assert int(info(client, "used_memory")) < 104 * MB
    assert int(info(client, "used_memory")) > 95 * MB
    assert int(info(client, "used_memory_rss")) < 140 * MB
    client.close()


def test_redis_cli_finds_big_keys_by_memory(shoal_node):
    node = shoal_node()
    client = node.connect()
    client.call("SET", "small", "v")
    client.call("SET", "big", "v" * 100_000)
    found = subprocess.run(
        ["redis-cli", "-p", str(node.port), "--memkeys"], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"Biggest +string found .*big.* has 100\d{3} bytes", found), found
    client.close()
