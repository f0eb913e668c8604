"""Client-side caching with real processes: through redis-py, on a replica, and across a move of slots."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis
from redis.cache import CacheConfig

from gossip.slots import key_slot

DEADLINE_S = 20.0


def wait_until(condition: Callable[[], Any], what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


def tracker(node: Any, *words: str | int) -> Any:
    client = node.connect()
    client.call("HELLO", 3)
    assert client.call("CLIENT", "TRACKING", "ON", *words) == b"OK"
    return client


def told(client: Any) -> Any:
    """The keys of the next push."""
    kind, keys = client.reply()
    assert kind == b"invalidate"
    return keys


def test_redis_py_keeps_what_it_reads(shoal_node) -> None:
    """A hit asks nobody; every kind of change is seen, as is what the client itself changes."""
    port = shoal_node().port
    with (
        redis.Redis(port=port, protocol=3, cache_config=CacheConfig()) as cached,
        redis.Redis(port=port) as plain,
    ):
        plain.mset({"a": 1, "b": 2})
        plain.hset("h", "f", "v")
        for _ in range(3):
            assert [cached.get("a"), cached.mget("a", "b"), cached.hgetall("h")] == [
                b"1", [b"1", b"2"], {b"f": b"v"},
            ]  # fmt: skip
        stats = plain.info("commandstats")
        assert [stats[f"cmdstat_{name}"]["calls"] for name in ("get", "mget", "hgetall")] == [1, 1, 1]
        plain.set("a", 3)
        wait_until(lambda: cached.get("a") == b"3", "a change is told")
        assert cached.mget("a", "b") == [b"3", b"2"]
        cached.set("a", 4)
        assert cached.get("a") == b"4"
        plain.hdel("h", "f")
        wait_until(lambda: cached.hgetall("h") == {}, "a removal is told")
        plain.pexpire("b", 1)
        wait_until(lambda: cached.get("b") is None, "expiry is told")
        assert cached.get("a") == b"4"
        plain.flushall()
        wait_until(lambda: cached.get("a") is None, "an emptied database is told")


def test_readers_of_a_replica_are_told(shoal_node) -> None:
    """Of what its primary changes, and of another data set."""
    primary, replica = shoal_node(), shoal_node()
    writer, orders = primary.connect(), replica.connect()
    writer.call("SET", "k", 1)
    orders.call("REPLICAOF", "127.0.0.1", primary.port)
    wait_until(lambda: orders.call("GET", "k") == b"1", "the replica has the data")
    reader, listener = tracker(replica), tracker(replica, "BCAST")
    assert reader.call("GET", "k") == b"1"
    writer.call("SET", "k", 2)
    assert told(reader) == told(listener) == [b"k"]
    assert reader.call("GET", "k") == b"2"
    writer.call("SET", "k", 3, "PX", 1)
    assert told(reader) == told(listener) == [b"k"]
    assert told(listener) == [b"k"], "the primary says when a key is over"
    orders.call("REPLICAOF", "NO", "ONE")
    writer.call("SET", "other", 1)
    orders.call("REPLICAOF", "127.0.0.1", shoal_node().port)
    assert told(reader) is None
    assert told(listener) is None


def test_slots_that_go_are_told(shoal_node) -> None:
    """Of all their keys that were read, and of those that were not there when they were."""
    one, other = (shoal_node("--cluster-enabled", "yes") for _ in range(2))
    orders, taker = one.connect(), other.connect()
    orders.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    orders.call("CLUSTER", "MEET", "127.0.0.1", other.port)
    for each in (orders, taker):
        for sign in (b"cluster_state:ok", b"cluster_known_nodes:2"):
            wait_until(
                lambda each=each, sign=sign: sign in each.call("CLUSTER", "INFO"), "they are one cluster"
            )
    taker_id = taker.call("CLUSTER", "MYID")
    reader = tracker(one)

    slot = key_slot(b"nothing")
    reader.call("GET", "nothing")
    for each in (taker, orders):
        assert each.call("CLUSTER", "SETSLOT", slot, "NODE", taker_id) == b"OK"
    assert told(reader) == [b"nothing"]

    slot = key_slot(b"{moves}")
    orders.call("SET", "{moves}:1", 1)
    orders.call("SET", "stays", 1)
    reader.call("MGET", "{moves}:1", "{moves}:2")
    reader.call("GET", "stays")
    assert orders.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", taker_id) == b"OK"
    assert sorted(told(reader) + told(reader)) == [b"{moves}:1", b"{moves}:2"]
    orders.call("SET", "stays", 2)
    assert told(reader) == [b"stays"], "and nothing else"
