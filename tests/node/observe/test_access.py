"""Idle times and frequencies: observed only where they are needed, and true as far as they go."""

from __future__ import annotations

import pytest

IS_NOT_LFU = "ERR An LFU maxmemory policy is not selected, access frequency not tracked."
IS_LFU = "ERR An LFU maxmemory policy is selected, idle time not tracked."


@pytest.fixture
def under(client):
    """Sets maxmemory-policy."""

    def choose(policy: str) -> None:
        client.node.config.set_many([(b"maxmemory-policy", policy.encode())])

    return choose


def test_nothing_is_noted_until_somebody_asks(client):
    plain = client.node.table.lookup(b"GET").run
    client.call("SET", "k", "v")
    assert client.node.databases[0].accesses is None
    client.call("OBJECT", "IDLETIME", "k")
    assert client.node.databases[0].accesses == {}
    assert client.node.table.lookup(b"GET").run is not plain


def test_an_idle_time_is_never_too_long(client, advance):
    """What happened before the first question is not known, so time counts from there."""
    client.call("SET", "k", "v")
    advance(60_000)
    assert client.call("OBJECT", "IDLETIME", "k") == 0
    advance(60_000)
    assert client.call("OBJECT", "IDLETIME", "k") == 60


@pytest.mark.parametrize(
    "use",
    [
        ["GET", "k"],
        ["SET", "k", "w"],
        ["TOUCH", "k"],
        ["APPEND", "k", "x"],
        ["MGET", "none", "k"],
        ["DUMP", "k"],
    ],
)
def test_use_ends_idleness(client, advance, under, use):
    under("allkeys-lru")
    client.call("SET", "k", "v")
    advance(60_000)
    assert client.call("OBJECT", "IDLETIME", "k") == 60
    client.call(*use)
    assert client.call("OBJECT", "IDLETIME", "k") == 0


@pytest.mark.parametrize("look", [["EXISTS", "k"], ["TYPE", "k"], ["TTL", "k"], ["OBJECT", "ENCODING", "k"]])
def test_looking_is_no_use(client, advance, under, look):
    under("volatile-lru")
    client.call("SET", "k", "v")
    advance(60_000)
    client.call(*look)
    assert client.call("OBJECT", "IDLETIME", "k") == 60


def test_a_client_with_no_touch_leaves_no_trace_but_by_touch(client, advance, under):
    under("allkeys-lru")
    client.call("SET", "k", "v")
    client.session.no_touch = True
    advance(60_000)
    client.call("GET", "k")
    assert client.call("OBJECT", "IDLETIME", "k") == 60
    client.call("TOUCH", "k")
    assert client.call("OBJECT", "IDLETIME", "k") == 0


@pytest.mark.parametrize("command", [["MOVE", "k", "1"], ["COPY", "k", "k", "DB", "1"]])
def test_a_key_that_arrives_in_another_database_is_in_use(client, advance, under, command):
    under("allkeys-lru")
    client.call("SET", "k", "v")
    advance(60_000)
    client.call(*command)
    client.session.call.db = client.node.databases[1]
    assert client.call("OBJECT", "IDLETIME", "k") == 0


def test_what_is_noted_goes_with_the_key(client, under):
    under("allkeys-lru")
    client.call("MSET", "a", "1", "b", "2", "c", "3")
    accesses = client.node.databases[0].accesses
    client.call("DEL", "a")
    assert set(accesses) == {b"b", b"c"}
    client.call("GET", "missing")
    assert set(accesses) == {b"b", b"c"}


def test_observation_ends_with_the_policy(client, under):
    plain = client.node.table.lookup(b"GET").run
    under("allkeys-lfu")
    client.call("SET", "k", "v")
    under("noeviction")
    assert client.node.databases[0].accesses is None
    assert client.node.table.lookup(b"GET").run is plain


def test_frequency_needs_an_lfu_policy_and_idle_time_another(client, under):
    client.call("SET", "k", "v")
    assert client.error("OBJECT", "FREQ", "k").startswith(IS_NOT_LFU)
    assert client.call("OBJECT", "FREQ", "missing") is None
    under("allkeys-lfu")
    assert client.error("OBJECT", "IDLETIME", "k").startswith(IS_LFU)
    assert client.call("OBJECT", "IDLETIME", "missing") is None


def test_a_frequency_grows_with_use_and_fades_with_time(client, advance, under):
    under("allkeys-lfu")
    client.call("SET", "k", "v")
    first = client.call("OBJECT", "FREQ", "k")
    for _ in range(500):
        client.call("GET", "k")
    used = client.call("OBJECT", "FREQ", "k")
    assert first <= 6 < used < 100
    advance(3 * 60_000)
    assert client.call("OBJECT", "FREQ", "k") == used - 3
    advance(10**9)
    assert client.call("OBJECT", "FREQ", "k") == 0


def test_a_frequency_does_not_fade_without_a_decay_time(client, advance, under):
    under("allkeys-lfu")
    client.node.config.set_many([(b"lfu-decay-time", b"0")])
    client.call("SET", "k", "v")
    before = client.call("OBJECT", "FREQ", "k")
    advance(10**9)
    assert client.call("OBJECT", "FREQ", "k") == before


def test_restore_brings_idle_time_and_frequency(client, under):
    client.call("SET", "k", "v")
    payload = client.call("DUMP", "k")
    under("allkeys-lru")
    client.call("RESTORE", "a", "0", payload, "IDLETIME", "1000")
    assert client.call("OBJECT", "IDLETIME", "a") == 1000
    under("allkeys-lfu")
    client.call("RESTORE", "b", "0", payload, "FREQ", "200")
    assert client.call("OBJECT", "FREQ", "b") == 200
