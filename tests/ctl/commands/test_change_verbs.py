"""The verbs that change a cluster, on six nodes of ours and on six redis-servers, with clients that go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis.cluster import RedisCluster

ROOT = Path(__file__).parents[3]
# A ctl whose lease is short, so that what it leaves when it is killed is over soon.
SHORT_LEASE = "import ctl.execute.lock as l; l.LEASE_S = 0.8; from ctl.cli import main; main()"


def ports(made: Any) -> list[int]:
    return [node.port for node in made.cluster.nodes]


def slot_counts(made: Any) -> dict[int, int]:
    nodes = made.json("status")["nodes"]
    return {int(n["address"].rpartition(":")[2]): n["slot_count"] for n in nodes if n["role"] == "primary"}


@contextmanager
def writers(port: int, count: int = 2) -> Iterator[None]:
    """redis-py clients that count up keys of all slots; every error and every lost count fails the test."""
    errors: list[str] = []
    ended = threading.Event()
    run = time.time_ns()

    def count_up(number: int) -> None:
        acknowledged: dict[str, int] = {}
        with RedisCluster(host="127.0.0.1", port=port) as client:
            turn = 0
            while not ended.is_set():
                turn += 1
                key = f"count:{run}:{number}:{turn % 700}"
                try:
                    acknowledged[key] = acknowledged.get(key, 0) + 1
                    value = client.incr(key)
                    if value != acknowledged[key]:
                        errors.append(f"{key} is {value}, not {acknowledged[key]}")
                except Exception as error:  # noqa: BLE001  whatever a client sees is what is tested
                    errors.append(repr(error))
            for key, value in acknowledged.items():
                if int(client.get(key) or 0) != value:
                    errors.append(f"{key} ended as {client.get(key)!r}, not {value}")
            if not acknowledged:
                errors.append("nothing was written")

    threads = [threading.Thread(target=count_up, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert errors == []


def fill(made: Any, count: int) -> None:
    with RedisCluster(host="127.0.0.1", port=ports(made)[0]) as client:
        pipeline = client.pipeline()
        for number in range(count):
            pipeline.set(f"key:{number}", number)
        pipeline.hset("large", mapping={f"field:{n}": n for n in range(3000)})
        pipeline.execute()


def verify(made: Any, count: int) -> None:
    with RedisCluster(host="127.0.0.1", port=ports(made)[0]) as client:
        pipeline = client.pipeline()
        for number in range(count):
            pipeline.get(f"key:{number}")
        assert pipeline.execute() == [b"%d" % number for number in range(count)]
        assert client.hlen("large") == 3000


def quiet_check(made: Any) -> None:
    """No problem is found, once news that are under way have arrived."""
    deadline = time.monotonic() + 60
    while not (found := made.json("check", status=None))["ok"]:
        assert time.monotonic() < deadline, found["findings"]
        time.sleep(0.05)


@pytest.mark.parametrize("way", [(), ("--no-atomic",)], ids=["best", "migrate"])
def test_a_reshard_there_and_back_is_not_felt_by_clients(made: Any, way: tuple[str, ...]) -> None:
    first, *_ = ports(made)
    fill(made, 2000)
    with writers(first):
        done = made.json("reshard", "--yes", "--from", "all", "--to", str(first), "--slots", "300", *way)
        assert (done["done"], done["slots"]) == (True, 300)
        assert done["keys"] > 0
        back = made.json("rebalance", "--yes", *way)
        assert back["slots"] >= 250
    assert max(slot_counts(made).values()) - min(slot_counts(made).values()) <= 120
    verify(made, 2000)
    quiet_check(made)


def test_a_dry_run_shows_steps_keys_bytes_and_risks_and_changes_nothing(made: Any) -> None:
    fill(made, 200)
    before = slot_counts(made)
    first, second, *_ = ports(made)
    text = made("reshard", "--from", str(second), "--to", str(first), "--slots", "300", "--dry-run")
    assert f"move 300 slots from 127.0.0.1:{second} to 127.0.0.1:{first}" in text
    assert " keys, about " in text
    assert "!  " in text
    document = made.json("reshard", "--from", "all", "--to", str(first), "--slots", "300", "--dry-run")
    assert (document["done"], document["slots"], len(document["steps"])) == (False, 300, 2)
    assert slot_counts(made) == before


def test_mistakes_are_told_before_anything_is_changed(made: Any) -> None:
    before = slot_counts(made)
    first, second, _, replica, *_ = map(str, ports(made))
    refusals = [
        (("--to", first), 2, "give either --slots or --slot"),
        (("--to", first, "--slots", "5"), 2, "--slots needs --from"),
        (("--to", first, "--slots", "5", "--slot", "3"), 2, "give either"),
        (("--from", "all", "--to", first, "--slots", "17000"), 1, "17000 slots cannot be moved"),
        (("--from", "all", "--to", replica, "--slots", "5"), 1, "is a replica and cannot take slots"),
        (("--from", f"{second},{second}", "--to", first, "--slots", "5"), 1, "named twice"),
        (("--from", second, "--to", first, "--slot", "16383"), 1, "not of the sources named"),
        (("--from", "all", "--to", first, "--slots", "5"), 2, "Add --yes"),
    ]
    for words, status, text in refusals:
        assert text in made("reshard", *words, status=status)
    assert slot_counts(made) == before
    assert "nothing is unfinished" in made("resume")


def test_a_plan_is_written_and_applied_once(made: Any, tmp_path: Path) -> None:
    first, second, *_ = ports(made)
    plan = tmp_path / "plan.json"
    words = ("--from", str(second), "--to", str(first), "--slots", "20")
    assert "written to" in made("reshard", *words, "--out", str(plan))
    assert plan.stat().st_mode & 0o777 == 0o600
    damaged = tmp_path / "damaged.json"
    damaged.write_text(plan.read_text().replace('"reshard"', '"rehash"'))
    assert "is damaged" in made("apply", str(damaged), "--yes", status=1)
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({**json.loads(plan.read_text()), "format": 9}))
    assert "format 9" in made("apply", str(newer), "--yes", status=1)
    assert "cannot read" in made("apply", str(tmp_path / "none"), "--yes", status=2)
    assert "20 slots moved" in made("apply", str(plan), "--yes")
    assert "has changed since the plan was made" in made("apply", str(plan), "--yes", status=1)
    made("rebalance", "--yes", "--threshold", "0")


def test_slots_are_evened_out_by_keys(made: Any) -> None:
    """Four hundred keys in three slots of one node: one of them goes to each of the others."""
    first, *_ = ports(made)
    with RedisCluster(host="127.0.0.1", port=first) as client:
        client.flushall(target_nodes=RedisCluster.PRIMARIES)
        tags = [tag for tag in map(str, range(3000)) if client.keyslot(tag) < 5000][:3]
        for tag in tags:
            for number in range(100):
                client.set(f"{{{tag}}}:{number}", number)
        done = made.json("rebalance", "--by", "keys", "--yes")
        assert done["slots"] == 2
        assert [client.get(f"{{{tag}}}:9") for tag in tags] == [b"9"] * 3
        keys = [n["keys"] for n in made.json("status")["nodes"] if n["role"] == "primary"]
        assert keys == [100, 100, 100]
        assert "nothing to do" in made("rebalance", "--by", "keys")
    made("rebalance", "--yes", "--threshold", "0")


def test_a_setting_is_set_on_all_nodes_or_on_none(made: Any) -> None:
    made("set-config", "--yes", "hash-max-listpack-entries", "77")
    replies = made.json("call", "CONFIG", "GET", "hash-max-listpack-entries")
    assert {reply[1] for reply in replies.values()} == {"77"}
    for node in made.cluster.nodes:
        assert "hash-max-listpack-entries 77" in (made.cluster.node_directory(node) / "node.conf").read_text()
    assert "knows no directive no-such" in made("set-config", "--yes", "no-such", "1", status=1)
    refused = made("set-config", "--yes", "hash-max-listpack-entries", "78", "maxmemory", "x", status=1)
    assert "refused CONFIG SET" in refused
    replies = made.json("call", "CONFIG", "GET", "hash-max-listpack-entries")
    assert {reply[1] for reply in replies.values()} == {"77"}
    assert "nothing is unfinished" in made("resume")
    assert "has no value" in made("set-config", "--yes", "maxmemory", status=1)
    masked = made("set-config", "requirepass", "secret", "--dry-run")
    assert "***" in masked
    assert "secret" not in masked


@pytest.mark.slow
def test_the_cluster_grows_by_a_shard_and_shrinks_again(made: Any) -> None:
    fill(made, 500)
    first, *_, last = ports(made)
    # redis-py fails at an ASK that names a node it has not met (its get_node returns None), and only MIGRATE
    # makes nodes send one.
    atomic = made.json("nodes")[0]["server"].startswith("shoal")
    with writers(first, 1) if atomic else nullcontext():
        added = made.json("add-node", "--yes")
        new = ports(made)[-1]
        assert new > last
        assert added["done"] is True
        assert slot_counts(made)[new] == 0
        made("add-node", "--yes", "--replica-of", str(new))
        made("rebalance", "--yes", "--use-empty")
        assert slot_counts(made)[new] == 4096
        assert "is a member of the cluster already" in made("add-node", f"127.0.0.1:{new}", status=1)
        quiet_check(made)
        made("remove-node", str(new), "--yes")
    replica = ports(made)[-1]
    assert new not in ports(made)
    assert not (made.directory / str(new)).exists()
    assert sum(slot_counts(made).values()) == 16384
    made("remove-node", str(replica), "--yes")
    assert len(ports(made)) == 6
    verify(made, 500)
    quiet_check(made)


@pytest.mark.slow
def test_a_ctl_that_is_killed_is_resumed_or_rolled_back(made: Any) -> None:
    """A real kill -9, in the middle of a real run; then its lock has to end by itself."""
    fill(made, 3000)
    first, second, *_ = ports(made)
    for verb in ("resume", "rollback"):
        before = slot_counts(made)
        words = (
            "reshard",
            "--yes",
            "--no-atomic",
            "--from",
            str(second),
            "--to",
            str(first),
            "--slots",
            "900",
        )
        command = [sys.executable, "-c", SHORT_LEASE, "cluster", *words, "--dir", str(made.directory)]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 60
            while not any('"slots"' in p.read_text() for p in made.directory.glob("ctl-journal/*.journal")):
                assert process.poll() is None
                assert time.monotonic() < deadline
            os.kill(process.pid, signal.SIGKILL)
        assert "a reshard was not finished" in made(
            "reshard", "--yes", "--from", str(second), "--to", str(first), "--slots", "3", status=1
        )
        done = made.json(verb, "--yes")
        assert done["direction"] == ("done" if verb == "resume" else "rolled back")
        moved = slot_counts(made)[first] - before[first]
        assert moved == (900 if verb == "resume" else 0)
    verify(made, 3000)
    made("rebalance", "--yes", "--threshold", "0")
    quiet_check(made)
