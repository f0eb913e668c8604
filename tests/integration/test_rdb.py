"""Snapshots of real processes: saved, loaded, exchanged with redis-server."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DEADLINE_S = 20.0
FIXTURES = Path(__file__).parents[1] / "fixtures" / "rdb"
DEBUG = ("--enable-debug-command", "yes")


def client_of(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=DEADLINE_S, retry=Retry(NoBackoff(), 0))


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail("not in time")
        time.sleep(0.01)


def digest(client: redis.Redis) -> str:
    return str(client.execute_command("DEBUG", "DIGEST"))


def fill(client: redis.Redis) -> None:
    """Every type in every encoding, with and without expiry, in two databases."""
    rng = random.Random(5)
    words = [rng.randbytes(rng.randrange(1, 40)) for _ in range(600)]
    pipe = client.pipeline(transaction=False)
    for n, number in enumerate((0, 7, -7, 127, 128, -129, 40_000, 1 << 31, -(1 << 40), (1 << 63) - 1)):
        pipe.set(f"int:{n}", number)
    pipe.set("1234", "a key that is a number")
    pipe.set("", "an empty key").set("empty", "").set("embstr", "x" * 44).set("raw", "x" * 45)
    pipe.set("compressible", "text and text " * 300).set("long", rng.randbytes(70_000))
    pipe.setbit("bits", 4000, 1)
    pipe.pfadd("hll:sparse", *range(10)).pfadd("hll:dense", *range(5000))
    pipe.rpush("list:small", *words[:5]).rpush("list:big", *words, *range(300), b"z" * 9000)
    pipe.sadd("set:ints", *range(50)).sadd("set:listpack", *words[:20]).sadd("set:big", *words, *range(500))
    pipe.hset("hash:small", mapping={b"f%d" % n: word for n, word in enumerate(words[:20])})
    pipe.hset("hash:big", mapping={word: b"%d" % n for n, word in enumerate(words)})
    scores = [0.5, -3.25, 1e300, float("inf"), float("-inf"), 0, 17]
    pipe.zadd("zset:small", {b"m%d" % n: score for n, score in enumerate(scores)})
    pipe.zadd("zset:big", {word: rng.randrange(-4000, 4000) / 8 for word in words})
    for n in range(300):
        pipe.xadd("stream", {"field": n, f"own{n % 7}": words[n]}, id=f"{n // 3}-{n % 3 + 1}")
    pipe.xdel("stream", "5-1", "99-3")
    pipe.xgroup_create("stream", "readers", "10-1")
    pipe.xreadgroup("readers", "alice", {"stream": ">"}, count=7)
    pipe.xack("stream", "readers", "10-2")
    pipe.xgroup_createconsumer("stream", "readers", "bob")
    pipe.xadd("stream:empty", {"a": 1}, id="7-7").xtrim("stream:empty", maxlen=0)
    for n in range(100):
        pipe.set(f"expiring:{n}", n, ex=1000 + n)
    pipe.pexpireat("list:small", 4_000_000_000_000).pexpireat("hash:big", 4_000_000_000_000)
    pipe.execute()
    client.execute_command("SELECT", 9)
    client.set("in another database", "v")
    client.execute_command("SELECT", 0)


@pytest.fixture
def shoal(shoal_node, tmp_path: Path) -> Callable[..., redis.Redis]:
    def start(directory: Path, *arguments: str) -> redis.Redis:
        directory.mkdir(exist_ok=True)
        node = shoal_node("--dir", str(directory), *DEBUG, *arguments)
        client = client_of(node.port)
        client.node = node
        return client

    return start


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


def end(client: redis.Redis, *how: str) -> None:
    with suppress(redis.ConnectionError):
        client.execute_command("SHUTDOWN", *how)
    assert client.node.exit_status() == 0


def test_a_restart_brings_everything_back(shoal, data: Path) -> None:
    first = shoal(data)
    fill(first)
    before, size = digest(first), first.dbsize()
    end(first)
    second = shoal(data)
    assert (digest(second), second.dbsize()) == (before, size)
    told = second.info("persistence")
    assert (told["loading"], told["rdb_changes_since_last_save"]) == (0, 0)
    assert told["rdb_last_load_keys_loaded"] == size + 1
    assert second.object("encoding", "set:ints") == b"intset"


def test_bgsave_and_kill_9_bring_the_last_save_back(shoal, data: Path) -> None:
    first = shoal(data)
    fill(first)
    before = digest(first)
    assert first.execute_command("BGSAVE")
    until(lambda: not first.info("persistence")["rdb_bgsave_in_progress"])
    first.set("after", "the save")
    first.node.process.kill()
    first.node.process.wait()
    assert digest(shoal(data)) == before


def test_sigterm_saves_when_there_are_save_points(shoal, data: Path) -> None:
    for points, saved in (("", False), ("3600 1", True)):
        client = shoal(data, "--save", points)
        client.set("k", "v")
        client.node.process.send_signal(signal.SIGTERM)
        assert client.node.exit_status() == 0
        assert (data / "dump.rdb").exists() == saved
        assert sorted(os.listdir(data)) == (["dump.rdb"] if saved else [])


def test_a_shutdown_whose_save_fails_is_given_up_unless_forced(shoal, data: Path) -> None:
    client = shoal(data)
    client.set("k", "v")
    (data / "dump.rdb").mkdir()
    with pytest.raises(redis.ResponseError, match="Errors trying to SHUTDOWN"):
        client.execute_command("SHUTDOWN", "SAVE")
    assert client.get("k") == b"v"
    with suppress(redis.ConnectionError):
        client.execute_command("SHUTDOWN", "SAVE", "FORCE")
    assert client.node.exit_status() == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_file_ends_the_start_and_is_left_alone(start_node, data: Path, damage: str) -> None:
    image = (FIXTURES / "redis-7.0.15.rdb").read_bytes()
    if damage == "cut":
        image = image[:-100]
    elif damage == "flipped":
        image = image[:50_000] + bytes([image[50_000] ^ 1]) + image[50_001:]
    else:
        image = b"no database at all"
    (data / "dump.rdb").write_bytes(image)
    node = start_node("--dir", str(data))
    assert node.exit_status() == 1
    log = node.logged()
    assert f"{data}/dump.rdb" in log
    assert "at byte" in log
    assert "Traceback" not in log
    assert (data / "dump.rdb").read_bytes() == image
    check = subprocess.run(
        [sys.executable, "-m", "node", "check-rdb", str(data / "dump.rdb")], capture_output=True, text=True
    )
    assert check.returncode == 1
    assert "RDB ERROR DETECTED" in check.stdout


def test_a_file_that_may_not_be_read_ends_the_start(start_node, data: Path) -> None:
    (data / "dump.rdb").mkdir()
    node = start_node("--dir", str(data))
    assert node.exit_status() == 1
    assert "Is a directory" in node.logged()


def test_two_nodes_do_not_save_to_one_file(shoal, start_node, data: Path) -> None:
    first = shoal(data)
    second = start_node("--dir", str(data))
    assert second.exit_status() == 1
    assert "Another process saves its data" in second.logged()
    third = shoal(data, "--dbfilename", "third.rdb")
    assert third.execute_command("SAVE")
    first.node.process.kill()
    first.node.process.wait()
    fourth = shoal(data)  # a lock dies with its process
    assert fourth.ping()


def test_the_functions_of_a_file_are_not_lost(shoal, data: Path) -> None:
    """Nobody runs them here yet."""
    shutil.copy(FIXTURES / "redis-7.0.15.rdb", data / "dump.rdb")
    client = shoal(data)
    client.execute_command("SAVE")
    assert b"#!lua name=mylib" in (data / "dump.rdb").read_bytes()


def test_expired_keys_are_gone_on_a_primary(shoal, data: Path) -> None:
    client = shoal(data)
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    client.set("soon", "gone", px=1)
    client.set("k", "v")
    until(lambda: client.pttl("k") == -1 and client.exists("soon") == 0)
    client.set("soon", "gone", px=1)
    client.execute_command("SAVE")
    client.node.process.kill()
    client.node.process.wait()
    again = shoal(data)
    assert again.keys() == [b"k"]
    told = again.info("persistence")
    assert told["rdb_last_load_keys_loaded"] == 1
    assert told["rdb_last_load_keys_expired"] in (0, 1)


def test_keys_beyond_the_configured_databases(shoal, start_node, data: Path) -> None:
    client = shoal(data)
    client.execute_command("SELECT", 9)
    client.set("k", "v")
    end(client)
    node = start_node("--dir", str(data), "--databases", "4")
    assert node.exit_status() == 1
    assert "keys of database 9, and there are 4 here" in node.logged()


@pytest.mark.parametrize("options", [(), ("NOSAVE",), ("NOSAVE", "NOFLUSH", "MERGE")])
def test_debug_reload(shoal, data: Path, options: tuple[str, ...]) -> None:
    client = shoal(data)
    fill(client)
    before = digest(client)
    client.execute_command("SAVE")
    if options:
        client.set("int:1", "changed")
    assert client.execute_command("DEBUG", "RELOAD", *options)
    assert digest(client) == before


def test_debug_reload_without_flush_refuses_keys_that_are_there(shoal, data: Path) -> None:
    client = shoal(data)
    client.set("k", "v")
    with pytest.raises(redis.ResponseError, match="Error trying to load the RDB dump"):
        client.execute_command("DEBUG", "RELOAD", "NOFLUSH")
    with pytest.raises(redis.ResponseError, match="only supports"):
        client.execute_command("DEBUG", "RELOAD", "NONSENSE")


# With redis-server


def test_redis_server_loads_ours_and_we_load_its(shoal, start_redis, data: Path) -> None:
    ours = shoal(data)
    fill(ours)
    before = digest(ours)
    groups = ours.xinfo_groups("stream")
    pending = ours.xpending_range("stream", "readers", "-", "+", 100)
    end(ours)
    theirs = start_redis("--dir", str(data), *DEBUG)
    other = client_of(theirs.port)
    assert digest(other) == before
    assert other.xinfo_groups("stream") == groups
    still = other.xpending_range("stream", "readers", "-", "+", 100)
    assert [(each["message_id"], each["consumer"]) for each in still] == [
        (each["message_id"], each["consumer"]) for each in pending
    ]
    assert other.pttl("list:small") > 0
    other.execute_command(
        "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)"
    )
    other.set("made by", "redis-server")
    between = digest(other)
    other.execute_command("SAVE")
    theirs.process.kill()
    theirs.process.wait()
    again = shoal(data)
    assert digest(again) == between
    again.execute_command("SAVE")
    end(again)
    last = start_redis("--dir", str(data), *DEBUG)
    assert digest(client_of(last.port)) == between
    assert len(client_of(last.port).execute_command("FUNCTION", "LIST")) == 1


def test_each_value_has_the_digest_of_redis_server(shoal, start_redis, data: Path) -> None:
    ours, theirs = shoal(data), client_of(start_redis(*DEBUG).port)
    fill(ours)
    fill(theirs)
    keys = sorted(ours.keys())
    assert keys == sorted(theirs.keys())
    for server in (ours, theirs):
        server.zadd("zset:decimal", {"a": 0.1, "b": -1 / 3, "c": 1e-7, "d": 123456789.123})
    keys.append(b"zset:decimal")
    keys.append(b"none")
    told = [server.execute_command("DEBUG", "DIGEST-VALUE", *keys) for server in (ours, theirs)]
    assert dict(zip(keys, told[0], strict=True)) == dict(zip(keys, told[1], strict=True))


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_uses_of_keys_survive_in_both_directions(shoal, start_redis, data: Path, policy: str) -> None:
    arguments = ("--maxmemory-policy", policy)
    idle = ("IDLETIME", 500) if policy.endswith("lru") else ("FREQ", 77)
    question = "IDLETIME" if policy.endswith("lru") else "FREQ"
    ours = shoal(data, *arguments)
    ours.set("k", "v")
    payload = ours.dump("k")
    ours.execute_command("RESTORE", "used", 0, payload, *idle)
    end(ours)
    theirs = start_redis("--dir", str(data), *arguments)
    other = client_of(theirs.port)
    assert 0 <= other.execute_command("OBJECT", question, "used") - idle[1] <= 5
    other.execute_command("RESTORE", "used too", 0, payload, *idle)
    other.execute_command("SAVE")
    theirs.process.kill()
    theirs.process.wait()
    again = shoal(data, *arguments)
    for key in ("used", "used too"):
        assert 0 <= again.execute_command("OBJECT", question, key) - idle[1] <= 5


def test_check_rdb_counts_by_type(shoal, data: Path) -> None:
    client = shoal(data)
    fill(client)
    client.execute_command("SAVE")
    check = subprocess.run(
        [sys.executable, "-m", "node", "check-rdb", str(data / "dump.rdb")], capture_output=True, text=True
    )
    assert check.returncode == 0
    assert "2 of type stream" in check.stdout
    assert "102 keys with an expiry" in check.stdout
    assert "Checksum OK" in check.stdout


# With replication


def linked(client: redis.Redis) -> bool:
    with suppress(redis.BusyLoadingError):
        role = client.execute_command("ROLE")
        return role[0] == b"slave" and role[3] == b"connected"
    return False


def in_step(primary: redis.Redis, replica: redis.Redis) -> bool:
    offsets = [each.info("replication")["master_repl_offset"] for each in (primary, replica)]
    return linked(replica) and offsets[0] == offsets[1]


@pytest.mark.parametrize("primary_is", ["shoal", "redis"])
def test_a_replica_that_restarts_goes_on_from_its_file(
    shoal, start_redis, data: Path, tmp_path: Path, primary_is: str
) -> None:
    if primary_is == "shoal":
        primary = shoal(tmp_path / "primary", "--save", "")
        port = primary.node.port
    else:
        port = start_redis(*DEBUG).port
        primary = client_of(port)
    fill(primary)
    follow = ("--replicaof", f"127.0.0.1 {port}")
    replica = shoal(data, *follow)
    until(lambda: in_step(primary, replica))
    primary.execute_command("SELECT", 9)
    primary.set("k", 1)  # the stream is in database 9 now
    until(lambda: in_step(primary, replica))
    end(replica, "SAVE")
    primary.set("k", 2)
    again = shoal(data, *follow)
    until(lambda: in_step(primary, again))
    assert digest(again) == digest(primary)
    stats = primary.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (1, 1)


def test_redis_server_goes_on_from_the_file_of_our_replica(
    shoal, start_redis, data: Path, tmp_path: Path
) -> None:
    primary = shoal(tmp_path / "primary", "--save", "")
    follow = ("--replicaof", f"127.0.0.1 {primary.node.port}")
    primary.set("k", 1)
    replica = shoal(data, *follow)
    until(lambda: in_step(primary, replica))
    end(replica, "SAVE")
    primary.set("k", 2)
    theirs = client_of(start_redis("--dir", str(data), *DEBUG, *follow).port)
    until(lambda: in_step(primary, theirs))
    assert primary.info("stats")["sync_partial_ok"] == 1
    assert digest(theirs) == digest(primary)


def test_the_replicas_of_a_primary_that_restarts_go_on(shoal, data: Path, tmp_path: Path) -> None:
    """Keys that expired meanwhile are gone there too."""
    primary = shoal(data)
    port = primary.node.port
    replica = shoal(tmp_path / "replica", "--replicaof", f"127.0.0.1 {port}")
    primary.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    fill(primary)
    primary.set("soon", "gone", px=100)
    until(lambda: in_step(primary, replica))
    until(lambda: replica.exists("soon") == 0)  # hidden there
    end(primary, "SAVE")
    again = shoal(data, "--port", str(port))
    again_client = client_of(port)
    until(lambda: in_step(again_client, replica))
    assert again_client.info("stats")["sync_full"] == 0
    assert digest(again_client) == digest(replica)
    assert again.node.process.poll() is None
