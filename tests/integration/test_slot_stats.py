"""CLUSTER SLOT-STATS of a node that owns some slots."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from gossip.slots import key_slot

DEADLINE_S = 20.0
A, B = key_slot(b"{a}"), key_slot(b"{b}")
COUNTED = [b"cpu-usec", b"network-bytes-in", b"network-bytes-out", b"operations"]


@pytest.fixture
def client(shoal_node: Callable[..., Any]) -> Any:
    node = shoal_node("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    client = node.connect()
    assert client.call("CLUSTER", "ADDSLOTS", A, B) == b"OK"
    end_s = time.monotonic() + DEADLINE_S
    while b"cluster_state:ok" not in client.call("CLUSTER", "INFO"):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return client


def _stats(client: Any, slot: int) -> dict[bytes, int]:
    [[found, fields]] = client.call("CLUSTER", "SLOT-STATS", "SLOTSRANGE", slot, slot)
    assert found == slot
    return dict(zip(fields[::2], fields[1::2], strict=True))


def test_keys_and_memory_are_always_told(client: Any) -> None:
    client.call("SET", "{a}1", "v")
    client.call("SET", "{a}2", "v" * 10_000)
    found = _stats(client, A)
    assert list(found) == [b"key-count", b"memory-bytes"]
    assert found[b"key-count"] == 2
    assert 10_000 < found[b"memory-bytes"] < 12_000
    assert _stats(client, B) == {b"key-count": 0, b"memory-bytes": 0}
    rows = client.call("CLUSTER", "SLOT-STATS", "SLOTSRANGE", 0, 16383)
    assert [slot for slot, _ in rows] == sorted((A, B)), "slots of others are not told"


def test_the_rest_is_counted_while_it_is_enabled(client: Any) -> None:
    client.call("SET", "{a}", "before")
    assert client.call("CONFIG", "SET", "cluster-slot-stats-enabled", "yes") == b"OK"
    client.call("SET", "{a}", "v")
    client.call("GET", "{a}")
    client.call("MGET", "{a}", "{a}2")
    client.call("PING")
    client.call("GET", "{b}")
    found = _stats(client, A)
    assert list(found) == [b"key-count", *COUNTED, b"memory-bytes"]
    requests = [("SET", "{a}", "v"), ("GET", "{a}"), ("MGET", "{a}", "{a}2")]
    assert found[b"operations"] == 3
    assert found[b"network-bytes-in"] == sum(len(hiredis.pack_command(words)) for words in requests)
    assert found[b"network-bytes-out"] == len(b"+OK\r\n$1\r\nv\r\n*2\r\n$1\r\nv\r\n$-1\r\n")
    assert _stats(client, B)[b"operations"] == 1
    assert client.call("CONFIG", "RESETSTAT") == b"OK"
    assert _stats(client, A)[b"operations"] == 0


def test_a_transaction_is_one_command(client: Any) -> None:
    client.call("CONFIG", "SET", "cluster-slot-stats-enabled", "yes")
    client.call("MULTI")
    client.call("SET", "{a}", 1)
    client.call("INCR", "{a}")
    assert client.call("EXEC") == [b"OK", 2]
    assert _stats(client, A)[b"operations"] == 1


def test_a_slot_that_goes_away_is_forgotten(client: Any) -> None:
    client.call("CONFIG", "SET", "cluster-slot-stats-enabled", "yes")
    client.call("GET", "{a}")
    client.call("GET", "{b}")
    client.call("CLUSTER", "DELSLOTS", A)
    assert client.call("CLUSTER", "SLOT-STATS", "SLOTSRANGE", A, A) == []
    client.call("CLUSTER", "ADDSLOTS", A)
    assert _stats(client, A)[b"operations"] == 0
    assert _stats(client, B)[b"operations"] == 1


def test_order(client: Any) -> None:
    def order(*words: str | int) -> list[int]:
        return [slot for slot, _ in client.call("CLUSTER", "SLOT-STATS", "ORDERBY", *words)]

    client.call("SET", "{b}1", "v" * 1000)
    client.call("MSET", "{a}1", 1, "{a}2", 2)
    assert order("key-count") == order("KEY-COUNT", "LIMIT", 5, "DESC") == [A, B]
    assert order("key-count", "ASC") == order("key-count", "ASC", "LIMIT", 2) == [B, A]
    assert order("key-count", "LIMIT", 1) == [A]
    assert order("memory-bytes") == [B, A]
    assert str(client.call("CLUSTER", "SLOT-STATS", "ORDERBY", "cpu-usec")) == (
        "ERR Unrecognized sort metric for ORDERBY."
    )
    client.call("CONFIG", "SET", "cluster-slot-stats-enabled", "yes")
    client.call("GET", "{b}1")
    assert order("operations") == order("network-bytes-out") == [B, A]
    client.call("DEL", "{a}1", "{a}2")
    client.call("DEL", "{b}1")
    assert order("key-count") == order("key-count", "ASC") == sorted((A, B)), "equals by their number"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("ORDERBY", "nope"), "ERR Unrecognized sort metric for ORDERBY."),
        (("ORDERBY", "key-count", "LIMIT"), "ERR syntax error"),
        (
            ("ORDERBY", "key-count", "LIMIT", 0),
            "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).",
        ),
        (("ORDERBY", "key-count", "ASC", "DESC"), "ERR Multiple filters of the same type are disallowed."),
        (("SLOTSRANGE", 5, 4), "ERR Start slot number 5 is greater than end slot number 4"),
        (("SLOTSRANGE", 0, 16384), "ERR Invalid or out of range slot"),
        (("FOO", 0, 1), "ERR syntax error"),
    ],
)
def test_errors(client: Any, words: tuple[str | int, ...], text: str) -> None:
    assert str(client.call("CLUSTER", "SLOT-STATS", *words)) == text
