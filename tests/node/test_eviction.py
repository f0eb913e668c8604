"""maxmemory at work: what is evicted, who is refused, who is told."""

from __future__ import annotations

import sys

import pytest

from node import eviction as module
from node.guards import Guard
from node.keyspace.sizes import value_bytes
from node.observe.memory import Usage

KB = 1024
OOM = "OOM command not allowed when used memory > 'maxmemory'."
VALUE = "x" * 1000


@pytest.fixture
def used(node, monkeypatch):
    """Memory is what keys and values take, and every look is due."""

    def bytes_now() -> int:
        return sum(
            sys.getsizeof(key) + value_bytes(value)
            for database in node.databases
            for partition in database.slots
            if partition
            for key, value in partition.items()
        )

    monkeypatch.setattr(module, "private_bytes", bytes_now)
    monkeypatch.setattr(node.memory, "look", lambda _share=1.0: Usage(bytes_now(), bytes_now()))
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "QUIET_LOOK_S", 0.0)
    monkeypatch.setattr(node.memory, "cost_s", 0.0)
    return bytes_now


@pytest.fixture
def limit(client, used):
    """Sets limit and policy, and takes as many turns as it needs to obey."""

    def apply(limit_bytes: int, policy: str = "noeviction", **others: str) -> None:
        settings = {"maxmemory": str(limit_bytes), "maxmemory-policy": policy}
        settings |= {name.replace("_", "-"): value for name, value in others.items()}
        assert client.call("CONFIG", "SET", *[word for pair in settings.items() for word in pair]) == b"OK"
        for _ in range(200):
            for wake in client.node.reactor.before_turn:
                wake()

    return apply


def fill(client, count: int, prefix: str = "k") -> None:
    for number in range(count):
        client.call("SET", f"{prefix}{number}", VALUE)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_as_many_keys_go_as_must(client, limit, used, policy):
    fill(client, 200)
    limit(100 * KB, policy)
    assert 95 * KB < used() <= 100 * KB
    evicted = 200 - client.call("DBSIZE")
    assert client.node.stats.evicted_keys == evicted > 0
    assert f"evicted_keys:{evicted}\r\n".encode() in client.call("INFO", "stats")
    client.node.databases[0].check()
    assert client.call("SET", "one-more", "v") == b"OK"


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])
def test_keys_without_deadline_stay_and_writers_are_refused(client, limit, policy):
    fill(client, 50)
    for number in range(20):
        client.call("EXPIRE", f"k{number}", 1000)
    limit(10 * KB, policy)
    assert client.call("DBSIZE") == 30
    assert client.error("SET", "k", "v") == OOM
    assert client.node.guards.held == {Guard.MEMORY}


def test_the_longest_unused_go(client, limit, advance):
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory-samples", "50")
    fill(client, 100)
    for number in range(50):
        advance(1000)
        client.call("GET", f"k{number}")
    limit(50 * KB, "allkeys-lru", maxmemory_samples="50")
    kept = {int(key[1:]) for key in client.call("KEYS", "*")}
    assert len([number for number in kept if number < 50]) > 0.9 * len(kept)


def test_the_least_used_go(client, limit):
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "maxmemory-samples", "50")
    fill(client, 100)
    for number in range(50):
        for _ in range(30):
            client.call("GET", f"k{number}")
    limit(50 * KB, "allkeys-lfu", maxmemory_samples="50")
    kept = {int(key[1:]) for key in client.call("KEYS", "*")}
    assert len([number for number in kept if number < 50]) > 0.9 * len(kept)


def test_without_eviction_writers_are_refused_and_all_else_is_served(client, limit):
    """Only what may need memory: DENYOOM."""
    fill(client, 50)
    client.call("RPUSH", "list", "a", "b")
    limit(10 * KB)
    for request in (["SET", "k", "v"], ["APPEND", "k1", "v"], ["LPUSH", "list", "c"], ["INCR", "n"]):
        assert client.error(*request) == OOM
    assert client.call("GET", "k1") == VALUE.encode()
    assert client.call("LPOP", "list") == b"a"
    assert client.call("EXPIRE", "k1", 100) == 1
    assert client.call("DBSIZE") == 51


def test_a_write_passes_as_soon_as_there_is_room(client, limit):
    fill(client, 50)
    limit(50 * KB)
    assert client.error("SET", "k", "v") == OOM
    client.call("DEL", *(f"k{number}" for number in range(20)))
    assert client.call("SET", "k", "v") == b"OK"
    assert not client.node.guards.held


def test_a_higher_limit_or_none_lets_writers_go_on(client, limit):
    fill(client, 50)
    limit(10 * KB)
    assert client.error("SET", "k", "v") == OOM
    limit(0)
    assert client.call("SET", "k", "v") == b"OK"
    assert client.node.eviction.turn not in client.node.reactor.before_turn


def test_a_transaction_is_refused_while_queueing_and_at_exec(client, limit, new_client):
    fill(client, 50)
    early = new_client()
    early.call("MULTI")
    early.call("SET", "k", "v")
    reader = new_client()
    reader.call("MULTI")
    reader.call("GET", "k1")
    limit(10 * KB)
    assert early.error("EXEC") == f"EXECABORT Transaction discarded because of: {OOM}"
    assert reader.call("EXEC") == [VALUE.encode()]
    client.call("MULTI")
    assert client.error("GET", "k1") == OOM  # the queue takes memory too
    assert client.error("EXEC").startswith("EXECABORT")


def test_a_watched_key_that_is_evicted_aborts(client, limit, new_client):
    fill(client, 50)
    other = new_client()
    other.call("WATCH", *(f"k{number}" for number in range(50)))
    limit(10 * KB, "allkeys-random")
    other.call("MULTI")
    other.call("PING")
    assert other.call("EXEC") is None


@pytest.mark.parametrize(("lazy", "verb"), [("no", b"DEL"), ("yes", b"UNLINK")])
def test_replicas_and_the_aof_are_told(client, limit, lazy, verb):
    fill(client, 50)
    told: list[list[bytes]] = []
    client.node.after.tellers.append(lambda _index, argv: told.append(argv))
    limit(20 * KB, "allkeys-random", lazyfree_lazy_eviction=lazy)
    left = {b"k%d" % number for number in range(50)} - set(client.call("KEYS", "*"))
    assert sorted(told) == sorted([verb, key] for key in left)
    assert left


def test_evictions_are_notified(client, limit, new_client):
    client.call("CONFIG", "SET", "notify-keyspace-events", "Ee")
    fill(client, 20)
    listener = new_client()
    listener.call("SUBSCRIBE", "__keyevent@0__:evicted")
    before = len(listener.transport.sent)
    limit(10 * KB, "allkeys-random")
    messages = listener.transport.sent[before:]
    assert messages.count(b"__keyevent@0__:evicted") == client.node.stats.evicted_keys > 0


def test_a_replica_leaves_it_to_its_primary(client, limit, monkeypatch):
    fill(client, 50)
    monkeypatch.setattr(client.node, "is_replica", lambda: True)
    limit(10 * KB, "allkeys-random")
    assert client.call("DBSIZE") == 50
    assert not client.node.guards.held
    told: list[list[bytes]] = []
    client.node.after.tellers.append(lambda _index, argv: told.append(argv))
    client.node.eviction.is_replica = lambda: True
    limit(10 * KB, "allkeys-random", replica_ignore_maxmemory="no")
    assert client.call("DBSIZE") < 50
    assert told == []


def test_nothing_is_evicted_while_the_node_is_paused(client, limit):
    fill(client, 50)
    client.call("CLIENT", "PAUSE", 100_000, "WRITE")
    limit(10 * KB, "allkeys-random")
    assert client.node.databases[0].count == 50
    client.call("CLIENT", "UNPAUSE")
    limit(10 * KB, "allkeys-random")
    assert client.node.databases[0].count < 50


def test_what_waits_for_replicas_is_not_counted(client, limit, used):
    fill(client, 50)
    client.node.eviction.not_counted_bytes = lambda: 1 << 20
    limit(10 * KB, "allkeys-random")
    assert client.call("DBSIZE") == 50
    assert b"mem_not_counted_for_evict:1048576\r\n" in client.call("INFO", "memory")


def test_a_lowered_limit_is_obeyed_in_slices(client, used, monkeypatch):
    """One look evicts for its slice of time; the rest is left to later ones."""
    fill(client, 3000)
    now_s = 1000.0

    def monotonic() -> float:
        nonlocal now_s
        now_s += 0.0004
        return now_s

    monkeypatch.setattr(module.time, "monotonic", monotonic)
    later: list[int] = []
    monkeypatch.setattr(client.node.eviction, "_later", lambda ms, _work: later.append(ms))
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", 100 * KB)
    client.node.eviction._goes_on = False
    client.node.eviction.turn()
    assert 2900 < client.call("DBSIZE") < 3000
    assert later[-1] == module.GO_ON_MS
    client.call("CONFIG", "SET", "maxmemory-eviction-tenacity", 100)
    client.node.eviction.turn()
    assert used() <= 100 * KB


def test_what_writers_add_is_made_up_for_at_once(client, limit, used):
    """Even by a turn that adds far more than a slice evicts."""
    limit(300 * KB, "allkeys-lru")
    for _ in range(10):
        for number in range(300):
            client.call("SET", f"{_}:{number}", VALUE)
            client.node.stats.input_bytes += 1050
        client.node.eviction.turn()
        assert used() < 320 * KB


def test_the_time_over_the_limit_is_told(client, limit):
    fill(client, 50)
    limit(10 * KB)
    stats = client.call("INFO", "stats")
    assert b"current_eviction_exceeded_time:" in stats
    limit(100 * KB)
    assert b"current_eviction_exceeded_time:0\r\n" in client.call("INFO", "stats")
    assert client.node.eviction.exceeded_s > 0
