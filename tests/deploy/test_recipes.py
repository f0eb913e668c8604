"""Each recipe of deploy/recipes does what its first lines say, through redis-py on a cluster of ours."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from redis.cluster import ClusterNode, RedisCluster

RECIPES = Path(__file__).parents[2] / "deploy" / "recipes"
CTL = str(Path(sys.executable).with_name("ctl"))
DEADLINE_S = 10.0


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.01)


class Source:
    """What stands behind a cache: counts loads, may be slow or fail."""

    def __init__(self) -> None:
        self.value = b"first"
        self.loads = 0
        self.gate = threading.Event()
        self.gate.set()

    def load(self, name: str) -> bytes:
        self.loads += 1
        value = self.value
        assert self.gate.wait(DEADLINE_S)
        return value


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[RedisCluster]:
    directory = str(tmp_path_factory.mktemp("recipes") / "cluster")

    def ctl(*args: str) -> str:
        done = subprocess.run(
            [CTL, "cluster", *args, "--dir", directory, "--yes"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    three = ("--nodes", "3", "--replicas", "0")
    made = json.loads(ctl("create", "--json", *three, "--base-port", str(free_port())))
    addresses = [node["address"].rsplit(":", 1) for node in made["nodes"]]
    with RedisCluster(startup_nodes=[ClusterNode(host, int(port)) for host, port in addresses]) as client:
        yield client
    ctl("destroy")


@pytest.fixture
def source() -> Source:
    return Source()


def test_every_recipe_is_in_the_table_and_tested_here() -> None:
    files = {path.stem for path in RECIPES.glob("*.py")}
    listed = {line.split("[")[1].split(".py]")[0] for line in _table_lines()}
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert files == listed
    assert files <= tested


def _table_lines() -> list[str]:
    return [line for line in (RECIPES / "README.md").read_text().splitlines() if line.startswith("| [")]


def test_client_cache(redis: RedisCluster) -> None:
    """A hit asks nobody; a change by somebody else, a deadline and FLUSHALL end it."""
    cache = recipe("client_cache").LocalCache(list(redis.get_primaries()))
    names = [f"cached:{nth}" for nth in range(9)]  # on every node
    for name in names:
        redis.set(name, "first")
        assert cache.get(name) == b"first"
    asked = _times_called(redis, "get")
    assert [cache.get(name) for name in names * 5] == [b"first"] * 45
    assert _times_called(redis, "get") == asked
    assert cache.size == len(names)
    for name in names:
        redis.set(name, "second", px=300_000)
        wait_for(lambda name=name: cache.get(name) == b"second")
    redis.pexpire(names[0], 1)
    wait_for(lambda: cache.get(names[0]) is None)
    redis.flushall()
    wait_for(lambda: cache.get(names[1]) is None)
    cache.close()


def _times_called(redis: RedisCluster, name: str) -> int:
    told = redis.info("commandstats", target_nodes=RedisCluster.PRIMARIES)
    return sum(each[f"cmdstat_{name}"]["calls"] for each in told.values())


def test_cache_aside(redis: RedisCluster, source: Source) -> None:
    cache = recipe("cache_aside").CacheAside(redis, source.load)
    assert [cache.get("aside"), cache.get("aside"), source.loads] == [b"first", b"first", 1]
    source.value = b"second"
    cache.invalidate("aside")
    assert cache.get("aside") == b"second"


def test_a_late_reader_does_not_cache_what_a_writer_has_replaced(redis: RedisCluster, source: Source) -> None:
    cache = recipe("cache_aside").CacheAside(redis, source.load)
    source.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(cache.get, "raced")
        wait_for(lambda: source.loads == 1)
        source.value = b"second"
        cache.invalidate("raced")
        source.gate.set()
        assert late.result(DEADLINE_S) == b"first"
    assert cache.get("raced") == b"second"


def test_write_through(redis: RedisCluster) -> None:
    loads: list[str] = []

    def load(name: str) -> tuple[bytes, int]:
        loads.append(name)
        return b"from the database", 7

    cache = recipe("write_through").WriteThrough(redis, lambda _, value: 8 if value == b"new" else 5, load)
    assert cache.get("through") == b"from the database"
    cache.put("through", b"new")
    cache.put("through", b"old, and late")
    assert [cache.get("through"), loads] == [b"new", ["through"]]


def test_write_behind(redis: RedisCluster) -> None:
    cache = recipe("write_behind").WriteBehind(redis, "shard-0")
    rows: dict[str, bytes] = {}

    def broken(batch: object) -> None:
        raise ConnectionError

    for value in (b"1", b"2"):
        cache.put("user", value)
    assert cache.get("user") == b"2"
    with pytest.raises(ConnectionError):
        cache.save_batch("dies", broken, wait_ms=10)
    assert cache.save_batch("takes over", rows.update, wait_ms=10, idle_ms=0) == 2
    assert rows == {"user": b"2"}
    assert cache.save_batch("takes over", rows.update, wait_ms=10, idle_ms=0) == 0


def test_refresh_ahead(redis: RedisCluster, source: Source) -> None:
    with ThreadPoolExecutor(1) as threads:
        early = recipe("refresh_ahead").RefreshAhead(
            redis, source.load, threads, ttl_ms=60_000, ahead_ms=60_000
        )
        assert early.get("ahead") == b"first"
        source.value = b"second"
        source.gate.clear()
        assert [early.get("ahead"), early.get("ahead")] == [b"first", b"first"]
        source.gate.set()
        wait_for(lambda: early.get("ahead") == b"second")
    late = recipe("refresh_ahead").RefreshAhead(redis, source.load, threads, ahead_ms=0)
    assert late.get("ahead") == b"second"


def test_stampede_lock(redis: RedisCluster, source: Source) -> None:
    cache = recipe("stampede_lock").StampedeLock(redis, source.load, load_limit_ms=10_000)
    source.gate.clear()
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(cache.get, "crowd") for _ in range(8)]
        wait_for(lambda: source.loads == 1)
        source.gate.set()
        assert [caller.result(DEADLINE_S) for caller in waiting] == [b"first"] * 8
    assert source.loads == 1


def test_a_dead_loader_holds_nobody_up(redis: RedisCluster, source: Source) -> None:
    redis.set("stampede:{widow}:lock", "of a dead caller", px=100)
    cache = recipe("stampede_lock").StampedeLock(redis, source.load, load_limit_ms=100)
    assert cache.get("widow") == b"first"


def test_early_expiration(redis: RedisCluster, source: Source) -> None:
    now_s, chance = 1000.0, 1.0

    def slow_load(name: str) -> bytes:
        nonlocal now_s
        now_s += 2
        return source.load(name)

    cache = recipe("early_expiration").EarlyExpiration(
        redis, slow_load, ttl_s=60, now_s=lambda: now_s, random_unit=lambda: chance
    )
    cache.get("early")
    now_s += 55
    cache.get("early")
    assert source.loads == 1
    chance = 0.01  # -2 s * ln 0.01 = 9.2 s ahead, past the 5 s that are left
    cache.get("early")
    assert source.loads == 2


def test_two_ttls(redis: RedisCluster, source: Source) -> None:
    cache = recipe("two_ttls").TwoTtls(redis, source.load, soft_ms=60_000, retry_ms=60_000)
    assert [cache.get("two"), cache.get("two"), source.loads] == [b"first", b"first", 1]
    redis.delete("soft:{two}:fresh")
    source.value = b"second"
    source.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        loader = threads.submit(cache.get, "two")
        wait_for(lambda: source.loads == 2)
        assert cache.get("two") == b"first"
        source.gate.set()
        assert loader.result(DEADLINE_S) == b"second"
    assert cache.get("two") == b"second"


def test_fenced_lock(redis: RedisCluster) -> None:
    module = recipe("fenced_lock")
    first, second = module.FencedLock(redis, "fence"), module.FencedLock(redis, "fence")
    register = module.FencedRegister(redis, "fence")
    old = first.acquire()
    assert second.acquire() is None
    assert first.extend()
    redis.delete("lock:{fence}")  # as if its time had run out
    new = second.acquire()
    assert new > old
    assert [first.extend(), first.release()] == [False, False]
    assert [register.write(b"new", new), register.write(b"late", old), register.read()] == [
        True,
        False,
        b"new",
    ]
    assert second.release()


def test_rate_limiter(redis: RedisCluster) -> None:
    limiter = recipe("rate_limiter").RateLimiter(redis, period_ms=200, burst=3)
    assert [limiter.take("caller") for _ in range(3)] == [0, 0, 0]
    assert 0 < limiter.take("caller") <= 200
    assert limiter.take("another") == 0
    wait_for(lambda: limiter.take("caller") == 0)


def test_leaderboard(redis: RedisCluster) -> None:
    module = recipe("leaderboard")
    board, other = module.Leaderboard(redis, "one"), module.Leaderboard(redis, "two")
    assert [board.report(f"p{score}", score) for score in range(5)] == [True] * 5
    assert [board.report("p4", 1), board.report("p0", 9), board.rank("p0"), board.rank("nobody")] == [
        False,
        True,
        0,
        None,
    ]
    assert board.around("p3", 1) == [("p4", 4.0), ("p3", 3.0), ("p2", 2.0)]
    other.report("guest", 5)
    assert module.merged_top([board, other], 3) == [("p0", 9.0), ("guest", 5.0), ("p4", 4.0)]


def test_job_queue(redis: RedisCluster) -> None:
    module = recipe("job_queue")
    queue = module.JobQueue(redis, "work", idle_ms=0, max_deliveries=2, max_length=2)
    queue.put(b"good")
    job = queue.take("one", wait_ms=10)
    assert job.payload == b"good"
    queue.done(job)
    queue.put(b"poison")
    taken = [queue.take(worker, wait_ms=10) for worker in ("one", "two", "three")]
    assert [job and job.payload for job in taken] == [b"poison", b"poison", None]
    assert [job.payload for job in queue.dead()] == [b"poison"]
    queue.put(b"a")
    queue.put(b"b")
    with pytest.raises(OverflowError):
        queue.put(b"c")
