"""Whatever happens while a snapshot is written, the one before it is whole."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DEADLINE_S = 60.0


def client_of(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=DEADLINE_S, retry=Retry(NoBackoff(), 0))


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail("not in time")
        time.sleep(0.005)


def write_generation(client: redis.Redis, generation: int, count: int = 3000) -> None:
    """All keys say which generation they are of."""
    with client.pipeline(transaction=True) as pipe:
        for n in range(count):
            pipe.set(f"key:{n}", generation)
        pipe.execute()


def generation_of(client: redis.Redis) -> int:
    values = set(client.mget(f"key:{n}" for n in range(3000)))
    assert len(values) == 1, "the file holds keys of several moments"
    return int(values.pop() or b"0")


def saved(client: redis.Redis) -> bool:
    return not client.info("persistence")["rdb_bgsave_in_progress"]


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_9_at_any_moment_of_bgsave(shoal_node, tmp_path: Path, rounds: int) -> None:
    """The last save that was said to be done, or the one that was being made, is what a restart finds."""
    rng = random.Random(rounds)
    data = tmp_path / "data"
    data.mkdir()
    done = generation = 0
    for _ in range(rounds):
        node = shoal_node("--dir", str(data))
        client = client_of(node.port)
        found = generation_of(client)
        assert found in (done, generation)
        done = found
        for _ in range(rng.randrange(1, 4)):
            generation += 1
            write_generation(client, generation)
            client.execute_command("BGSAVE")
            if rng.random() < 0.5:
                until(lambda client=client: saved(client))
                done = generation
            else:
                time.sleep(rng.random() * 0.02)  # the moment is the test
                break
        node.process.kill()
        node.process.wait()
        until(lambda: orphans(data) == [])
    assert generation > rounds // 2


def orphans(data: Path) -> list[int]:
    """Processes whose working directory is that of a node started here."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def test_an_orphan_does_not_replace_what_its_parents_successor_saved(shoal_node, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    node = shoal_node("--dir", str(data))
    client = client_of(node.port)
    write_generation(client, 1)
    client.execute_command("BGSAVE")
    node.process.kill()
    node.process.wait()
    second = shoal_node("--dir", str(data))
    client = client_of(second.port)
    write_generation(client, 2)
    client.execute_command("SAVE")
    until(lambda: orphans(data) == [second.process.pid])
    second.process.kill()
    second.process.wait()
    third = shoal_node("--dir", str(data))
    assert generation_of(client_of(third.port)) == 2
    assert sorted(name for name in os.listdir(data) if not name.startswith(".")) == ["dump.rdb"]


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(shoal_node, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    node = shoal_node("--dir", str(data), "--rdbcompression", "no", "--save", "3600 1000000")
    client = client_of(node.port)
    client.set("k", "v")
    client.execute_command("SAVE")
    before = (data / "dump.rdb").read_bytes()
    client.set("big", bytes(200_000))
    unlimited = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
    client.execute_command("BGSAVE")
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    for refused in (["SET", "k", "other"], ["PING"], ["DEL", "k"], ["LPUSH", "l", "x"]):
        with pytest.raises(redis.ResponseError, match=r"^MISCONF"):
            client.execute_command(*refused)
    with client.pipeline() as pipe, pytest.raises(redis.ResponseError):
        pipe.set("k", "other").execute()
    assert client.get("k") == b"v"
    assert (data / "dump.rdb").read_bytes() == before
    with pytest.raises(redis.ResponseError, match="File too large"):
        client.execute_command("SAVE")
    assert (data / "dump.rdb").read_bytes() == before
    assert "File too large" in node.logged()
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, unlimited)
    client.execute_command("SAVE")
    assert client.ping()
    assert client.set("k", "other")
    assert sorted(name for name in os.listdir(data) if not name.startswith(".")) == ["dump.rdb"]


def test_a_child_that_is_killed_is_a_failed_save(shoal_node, tmp_path: Path) -> None:
    node = shoal_node()
    client = client_of(node.port)
    for n in range(40):
        client.set(f"big:{n}", os.urandom(1 << 20))
    client.execute_command("SAVE")
    before = os.stat(node.directory / "dump.rdb").st_mtime_ns
    client.execute_command("BGSAVE")
    log = node.wait_for_log("Background saving started by pid")
    child = int(log.split("Background saving started by pid ")[1].split()[0])
    os.kill(child, signal.SIGKILL)
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    assert os.stat(node.directory / "dump.rdb").st_mtime_ns == before
    assert "terminated by signal 9" in node.wait_for_log("Background saving error")
    with pytest.raises(redis.ResponseError, match=r"^MISCONF"):
        client.set("k", "v")
    client.config_set("stop-writes-on-bgsave-error", "no")
    assert client.set("k", "v")
