"""CLUSTER SETSLOT is told to the replicas first, by real processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

DEADLINE_S = 20.0
SLOT = 77
OPTIONS = ("--cluster-enabled", "yes", "--save", "", "--cluster-node-timeout", "30000")


def wait_until(condition: Callable[[], Any], what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.01)


class Shard:
    """A primary with all slots, an empty one, and replicas of the first."""

    def __init__(self, primary: Any, other: Any) -> None:
        self.node, self.other_node = primary, other
        self.primary, self.other = primary.connect(), other.connect()
        self.id, self.other_id = (c.call("CLUSTER", "MYID").decode() for c in (self.primary, self.other))
        self.primary.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        self.meet(other.port)
        wait_until(lambda: self.other_id in self.map(), "they have met")

    def meet(self, port: int) -> None:
        assert self.primary.call("CLUSTER", "MEET", "127.0.0.1", port) == b"OK"

    def map(self) -> str:
        return str(self.primary.call("CLUSTER", "NODES"), "ascii")

    def setslot(self, *words: str | int) -> str:
        reply = self.primary.call("CLUSTER", "SETSLOT", SLOT, *words)
        return reply.decode() if isinstance(reply, bytes) else str(reply)

    def add_replica(self, replica: Any) -> None:
        """`replica` is a client of it."""
        wait_until(lambda: self.other_id in str(replica.call("CLUSTER", "NODES")), "it has been introduced")
        wait_until(lambda: replica.call("CLUSTER", "REPLICATE", self.id) == b"OK", "it knows its primary")
        wait_until(lambda: b"master_link_status:up" in replica.call("INFO", "replication"), "it is in step")
        ready = b"state=online"
        wait_until(lambda: ready in self.primary.call("INFO", "replication"), "its primary knows")


@pytest.fixture
def shard(start_node: Callable[..., Any]) -> Shard:
    nodes = [start_node(*OPTIONS) for _ in range(2)]
    for node in nodes:
        node.wait_for_log("Ready to accept connections")
    return Shard(*nodes)


def test_the_replica_has_it_first(shard: Shard, shoal_node: Callable[..., Any]) -> None:
    node = shoal_node(*OPTIONS)
    replica = node.connect()
    shard.meet(node.port)
    shard.add_replica(replica)
    is_open = f"[{SLOT}->-{shard.other_id}]"
    assert shard.setslot("MIGRATING", shard.other_id, "TIMEOUT", 15_000) == "OK"
    assert is_open in str(replica.call("CLUSTER", "NODES"))
    refused = replica.call("CLUSTER", "SETSLOT", SLOT, "STABLE")
    assert str(refused) == "ERR Please use SETSLOT only with masters."

    node.process.send_signal(signal.SIGSTOP)
    try:
        refused = shard.setslot("STABLE", "TIMEOUT", 100)
        assert refused == "NOREPLICAS Not enough good replicas to write."
        assert is_open in shard.map(), "nothing was done"
    finally:
        node.process.send_signal(signal.SIGCONT)
    assert shard.setslot("STABLE", "TIMEOUT", 15_000) == "OK"
    assert is_open not in shard.map()
    assert is_open not in str(replica.call("CLUSTER", "NODES"))
    assert "sending an error to its primary" not in node.logged()


def test_what_is_no_order(shard: Shard) -> None:
    for words, error in (
        (("STABLE", "TIMEOUT", "x"), "ERR timeout is not an integer or out of range"),
        (("STABLE", "TIMEOUT", -1), "ERR timeout is negative"),
        (("STABLE", "TIMEOUT"), "ERR Invalid CLUSTER SETSLOT action"),
        (("STABLE", "NOW", 1), "ERR Invalid CLUSTER SETSLOT action"),
        (("NODE",), "ERR Invalid CLUSTER SETSLOT action"),
        (("NODE", "f" * 40, "TIMEOUT", 100), "ERR Unknown node"),
    ):
        assert shard.setslot(*words).startswith(error), words


def test_redis_server_is_not_told(shard: Shard, start_redis: Callable[..., Any]) -> None:
    """It would refuse the order in its primary's stream; it hears of it by gossip, as from redis-server."""
    server = start_redis("--cluster-enabled", "yes", "--cluster-node-timeout", "30000")
    replica = shard.node.connect(("127.0.0.1", server.port))
    shard.meet(server.port)
    shard.add_replica(replica)
    assert shard.setslot("MIGRATING", shard.other_id) == "OK"
    assert f"[{SLOT}->-{shard.other_id}]" in shard.map()
    before = replica.call("INFO", "errorstats")
    shard.primary.call("SET", "{06S}", "v")
    wait_until(lambda: shard.primary.call("WAIT", 1, 1000) == 1, "the stream goes on")
    assert replica.call("INFO", "errorstats") == before
