"""Who comes back: replicas and primaries that restart from their files, replicas that were too slow."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

KINDS = ["shoal→shoal", "redis→shoal", "shoal→redis"]


def slow(kinds: str) -> Any:
    """One of the parameters that only `make soak` takes."""
    return pytest.param(kinds, marks=pytest.mark.slow)


@pytest.mark.parametrize("kinds", [KINDS[0], *map(slow, KINDS[1:])])
def test_a_replica_goes_on_from_its_file(lab: Any, kinds: str) -> None:
    """The snapshot says where in the stream it stands: what was missed meanwhile comes from the backlog."""
    primary, replica, proxy = lab.pair(kinds)
    with redis.Redis(port=primary.port, db=3) as other:
        other.set("elsewhere", "1")
        lab.in_step(primary, replica)
        replica.end(save=True)
        other.set("elsewhere", "2")
    primary.call("SET", "missed", "x")
    replica.arguments = ("--replicaof", f"127.0.0.1 {proxy.port}")
    replica.begin()
    lab.in_step(primary, replica)
    assert replica.call("GET", "missed") == b"x"
    stats = primary.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (1, 1)


@pytest.mark.parametrize("kinds", [*map(slow, KINDS[:2]), KINDS[2]])
def test_a_primary_goes_on_from_its_file(lab: Any, kinds: str) -> None:
    """Its replica has not missed anything, and is spared a snapshot; the history has a new name."""
    primary, replica, _ = lab.pair(kinds)
    primary.call("SET", "k", "v")
    lab.in_step(primary, replica)
    before = primary.info("replication")["master_replid"]
    primary.end(save=True)
    primary.begin()
    lab.in_step(primary, replica)
    said = primary.info("replication")
    assert said["master_replid"] != before
    assert said["master_replid2"] == before
    assert primary.info("stats")["sync_full"] == 0
    primary.call("SET", "k", "w")
    lab.in_step(primary, replica)


@pytest.mark.slow
def test_a_killed_replica_is_made_anew(lab: Any) -> None:
    """Without a file it has nothing to go on from."""
    primary, replica, proxy = lab.pair("shoal→shoal")
    primary.call("SET", "k", "v")
    lab.in_step(primary, replica)
    replica.end()
    replica.arguments = ("--replicaof", f"127.0.0.1 {proxy.port}")
    replica.begin()
    lab.in_step(primary, replica)
    assert primary.info("stats")["sync_full"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["shoal→shoal", "shoal→redis"])
def test_a_replica_too_slow_is_dropped_and_comes_back(lab: Any, kinds: str) -> None:
    """client-output-buffer-limit: the primary's memory is not the replica's queue."""
    limit = ("--client-output-buffer-limit", "replica 2mb 0 0")
    first, _, second = kinds.partition("→")
    primary, replica = lab.server(first, *limit), lab.server(second)
    proxy = lab.proxy(primary)
    replica.follow(proxy.port)
    lab.wait_until(replica.is_linked, "the replica is connected")
    proxy.stall()
    with lab.workload(primary.port, seed=1):
        for n in range(30):
            primary.call("SET", f"large:{n}", "x" * 1_000_000)
    lab.wait_until(lambda: primary.info("replication")["connected_slaves"] == 0, "it is dropped")
    assert "output buffer limits" in primary.logged()
    proxy.go_on()
    lab.in_step(primary, replica)
    assert primary.info("stats")["sync_full"] == 2


@pytest.mark.slow
def test_writes_stop_while_no_replica_listens(lab: Any) -> None:
    """min-replicas-to-write: too few, or silent for longer than min-replicas-max-lag."""
    primary, replica, proxy = lab.pair("shoal→shoal", "--min-replicas-max-lag", "1")
    primary.call("CONFIG", "SET", "min-replicas-to-write", 1)

    def is_refused() -> bool:
        try:
            primary.call("SET", "k", "v")
        except redis.ResponseError as refused:
            return str(refused) == "NOREPLICAS Not enough good replicas to write."
        return False

    lab.wait_until(lambda: not is_refused(), "it is heard of")
    proxy.stall()
    lab.wait_until(is_refused, "it is silent")
    assert primary.info("replication")["min_slaves_good_slaves"] == 0
    assert primary.call("GET", "k") == b"v"
    proxy.go_on()
    lab.wait_until(lambda: not is_refused(), "it is back")
    lab.in_step(primary, replica)


@pytest.mark.slow
def test_stale_data_are_hidden_when_so_configured(lab: Any) -> None:
    """replica-serve-stale-data no: MASTERDOWN while the link is down, and data again when it is up."""
    primary, replica, proxy = lab.pair("shoal→shoal")
    replica.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    primary.call("SET", "k", "v")
    lab.in_step(primary, replica)
    proxy.is_open = False
    proxy.cut()
    lab.wait_until(lambda: not replica.is_linked(), "the link is down")
    with pytest.raises(redis.RedisError, match=r"MASTERDOWN|Link with MASTER is down"):
        replica.call("GET", "k")
    assert replica.info("replication")["master_link_status"] == "down"
    proxy.is_open = True
    lab.wait_until(replica.is_linked, "the link is up")
    assert replica.call("GET", "k") == b"v"


def test_wait_is_answered_by_the_acknowledgement(lab: Any) -> None:
    """Twenty writes, each waited for, take far less than twenty of the seconds between heartbeats."""
    primary, _, _ = lab.pair("shoal→shoal")
    begin_s = time.monotonic()
    for n in range(20):
        primary.call("SET", "k", n)
        assert primary.call("WAIT", 1, 5000) == 1
    assert time.monotonic() - begin_s < 8
