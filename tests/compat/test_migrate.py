"""MIGRATE between a node and redis-server 7.0, every type and encoding, and its errors on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from node.rdb.value import load_payload
from node.values.digest import value_digest

ERRORS = """
SET k v
MIGRATE
MIGRATE 127.0.0.1 1 k 0
MIGRATE 127.0.0.1 1 nope 0 100
MIGRATE 127.0.0.1 1 "" 0 100 KEYS nope nope2
MIGRATE 127.0.0.1 1 "" 0 100 KEYS
MIGRATE 127.0.0.1 1 nope x 100
MIGRATE 127.0.0.1 1 nope 0 x
MIGRATE 127.0.0.1 1 nope x y
MIGRATE 127.0.0.1 1 nope 0 100 FOO
MIGRATE 127.0.0.1 1 nope 0 100 COPY COPY REPLACE
MIGRATE 127.0.0.1 1 nope 0 100 AUTH
MIGRATE 127.0.0.1 1 nope 0 100 AUTH2 a
MIGRATE 127.0.0.1 1 nope 0 100 KEYS a
MIGRATE 127.0.0.1 1 "" 0 100 AUTH keys KEYS nope
MIGRATE 127.0.0.1 1 "" 0 100 copy keys nope
MIGRATE 127.0.0.1 1 k 0 100
MIGRATE 127.0.0.1 1 "" 0 100 KEYS k nope
MIGRATE 127.0.0.1 0 k 0 100
MIGRATE 127.0.0.1 x k 0 100
MIGRATE 127.0.0.1 1 k 0 -5
GET k
COMMAND GETKEYS MIGRATE h 1 k 0 5
COMMAND GETKEYS MIGRATE h 1 "" 0 5 KEYS a b
COMMAND GETKEYS MIGRATE h 1 "" 0 5 AUTH keys KEYS a b
COMMAND GETKEYSANDFLAGS MIGRATE h 1 "" 0 5 COPY REPLACE KEYS a b
RESTORE-ASKING
RESTORE-ASKING k 0 x
RESTORE-ASKING k 0 x REPLACE
RESTORE-ASKING k 0 x FOO
"""


@pytest.mark.parametrize("protocol", [2, 3])
def test_errors(run_script: Callable[[str, int], None], protocol: int) -> None:
    run_script(ERRORS, protocol)


NEWER_ENCODINGS = (b"list small", b"set small")
"""Encoded as Redis 7.2 does it."""


class Servers:
    """A node and a redis-server with clients of redis-py."""

    def __init__(self, pair: Any) -> None:
        self.ours, self.theirs = (_client(wire) for wire in (pair.ours, pair.theirs))


def _client(wire: Any) -> redis.Redis:
    host, port = wire.socket.getpeername()
    return redis.Redis(host=host, port=port)


@pytest.fixture
def both(pair: Any) -> Iterator[Servers]:
    pair.start(2)
    servers = Servers(pair)
    yield servers
    servers.ours.close()
    servers.theirs.close()


def _fill(server: redis.Redis) -> None:
    numbers = range(1000)
    server.set("int", 12345)
    server.set("negative", -(2**63))
    server.set("embstr", "short")
    server.set("raw", "x" * 100)
    server.set("binary", bytes(range(256)))
    server.set("huge", b"compressible " * 30_000)
    server.set("expiring", "v", px=900_000)
    server.rpush("list small", "a", 1, "")
    server.rpush("list big", *numbers, "y" * 20_000, *numbers)
    server.sadd("set ints", 1, -5, 2**40)
    server.sadd("set many ints", *range(2000))
    server.sadd("set small", "a", "b")
    server.sadd("set big", *(f"member:{number}" for number in numbers))
    server.zadd("zset small", {"a": 1.5, "b": float("inf"), "c": -3})
    server.zadd("zset big", {f"member:{number}": number / 4 for number in numbers})
    server.hset("hash small", mapping={"f": "v", "n": 1})
    server.hset("hash big", mapping={f"field:{number}": number for number in range(30_000)})
    for number in range(1, 400):
        server.xadd("stream", {"field": number, f"f{number % 3}": "v"}, id=f"{number}-1")
    server.xdel("stream", "7-1")
    server.xgroup_create("stream", "group", "0")
    server.xreadgroup("group", "consumer", {"stream": ">"}, count=10)
    server.xack("stream", "group", "3-1")
    server.pfadd("hyperloglog", *numbers)
    server.geoadd("geo", (13.361389, 38.115556, "Palermo"))
    server.setbit("bits", 1000, 1)


def _seen(server: redis.Redis) -> dict[bytes, tuple[object, ...]]:
    """Type, encoding and content of everything."""
    seen = {}
    for key in server.scan_iter():
        dumped = server.dump(key)
        assert dumped is not None
        encoding = None if key in NEWER_ENCODINGS else server.object("encoding", key)
        seen[key] = (server.type(key), encoding, _content(dumped), server.pttl(key) > 0)
    return seen


def _content(dumped: bytes) -> bytes:
    value: Any = load_payload(dumped)
    return value_digest(value, expires=False)


@pytest.mark.parametrize("direction", ["to redis", "from redis"])
def test_every_type_goes_there_and_back(both: Servers, direction: str) -> None:
    first, second = (both.ours, both.theirs) if direction == "to redis" else (both.theirs, both.ours)
    _fill(first)
    before = _seen(first)
    pending = first.xpending_range("stream", "group", "-", "+", 100)
    assert len(before) == 21
    for source, target in ((first, second), (second, first)):
        port = target.connection_pool.connection_kwargs["port"]
        keys = source.keys()
        assert source.migrate("127.0.0.1", port, keys, 0, 10_000) == b"OK"
        assert source.dbsize() == 0
        assert _seen(target) == before
    ids = [(entry["message_id"], entry["times_delivered"]) for entry in pending]
    again = first.xpending_range("stream", "group", "-", "+", 100)
    assert [(entry["message_id"], entry["times_delivered"]) for entry in again] == ids


@pytest.mark.parametrize("direction", ["to redis", "from redis"])
def test_errors_of_the_target_are_passed_on(both: Servers, direction: str) -> None:
    source, target = (both.ours, both.theirs) if direction == "to redis" else (both.theirs, both.ours)
    port = target.connection_pool.connection_kwargs["port"]
    source.mset({"a": 1, "b": 2})
    target.set("a", 3)
    with pytest.raises(redis.ResponseError, match="replied with error: BUSYKEY"):
        source.migrate("127.0.0.1", port, ["a", "b"], 0, 1000)
    assert source.keys() == [b"a"]
    with pytest.raises(redis.ResponseError, match="replied with error: ERR DB index is out of range"):
        source.migrate("127.0.0.1", port, ["a"], 99, 1000)
    with pytest.raises(redis.ResponseError, match="replied with error: ERR AUTH <password> called without"):
        source.migrate("127.0.0.1", port, ["a"], 0, 1000, auth="wrong")
    assert source.migrate("127.0.0.1", port, ["a"], 0, 1000, replace=True, copy=True) == b"OK"
    assert source.get("a") == target.get("a") == b"1"
    assert source.migrate("127.0.0.1", port, ["a"], 3, 1000) == b"OK"
    assert target.execute_command("MOVE", "a", 3) == 0
