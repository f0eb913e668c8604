"""Times to live, by a clock that only the test moves."""

from __future__ import annotations

import pytest

FAR_S = 33_177_117_420


@pytest.fixture
def told(client):
    """What replicas are told."""
    commands = []
    client.node.after.tellers.append(lambda _db, words: commands.append(b" ".join(words)))
    return commands


@pytest.fixture
def events(client):
    """(event, key) of everything that has changed."""
    seen = []
    client.node.after.watchers.append(lambda log: seen.extend(change[1:3] for change in log))
    return seen


@pytest.mark.parametrize(("command", "amount"), [("EXPIRE", 1), ("PEXPIRE", 1000)])
def test_a_key_is_gone_when_its_time_is_over(client, advance, events, told, command, amount):
    client.call("SET", "k", "v")
    assert client.call(command, "k", amount) == 1
    advance(999)
    assert (client.call("PTTL", "k"), client.call("TTL", "k"), client.call("GET", "k")) == (1, 0, b"v")
    events.clear()
    told.clear()
    advance(2)
    assert client.call("GET", "k") is None
    assert events == [(b"expired", b"k")]
    assert told == [b"DEL k"]
    assert client.node.databases[0].expired_total == 1


def test_every_way_to_say_when_means_the_same_time(client):
    now_ms = client.node.clock.now_ms
    at_s = now_ms // 1000 + 100
    client.call("SET", "k", "v")
    client.call("EXPIREAT", "k", at_s)
    assert client.call("PEXPIRETIME", "k") == at_s * 1000
    client.call("PEXPIREAT", "k", at_s * 1000 + 500)
    assert client.call("PEXPIRETIME", "k") == at_s * 1000 + 500
    assert client.call("EXPIRETIME", "k") == at_s + 1


@pytest.mark.parametrize("command", ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"])
def test_no_key_and_no_deadline(client, command):
    client.call("SET", "k", "v")
    assert client.call(command, "missing") == -2
    assert client.call(command, "k") == -1


@pytest.mark.parametrize(
    ("words", "old_s", "new_s", "expected"),
    [
        (["NX"], None, 5, 1), (["NX"], 5, 9, 0),
        (["XX"], None, 5, 0), (["XX"], 5, 9, 1),
        (["GT"], None, 5, 0), (["GT"], 5, 9, 1), (["GT"], 5, 5, 0), (["GT"], 9, 5, 0),
        (["LT"], None, 5, 1), (["LT"], 5, 9, 0), (["LT"], 5, 5, 0), (["LT"], 9, 5, 1),
        (["XX", "LT"], None, 5, 0), (["XX", "LT"], 9, 5, 1), (["XX", "GT"], 5, 9, 1), (["gt", "xx"], 9, 5, 0),
    ],
)  # fmt: skip
def test_conditions(client, words, old_s, new_s, expected):
    client.call("SET", "k", "v")
    if old_s is not None:
        client.call("EXPIREAT", "k", FAR_S + old_s)
    assert client.call("EXPIREAT", "k", FAR_S + new_s, *words) == expected
    final_s = new_s if expected else old_s
    assert client.call("EXPIRETIME", "k") == (-1 if final_s is None else FAR_S + final_s)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["1", "NX", "XX"], "ERR NX and XX, GT or LT options at the same time are not compatible"),
        (["1", "NX", "GT"], "ERR NX and XX, GT or LT options at the same time are not compatible"),
        (["1", "LT", "GT"], "ERR GT and LT options at the same time are not compatible"),
        (["1", "never"], "ERR Unsupported option never"),
        (["x"], "ERR value is not an integer or out of range"),
        (["9223372036854775807"], "ERR invalid expire time in 'expire' command"),
        (["-9223372036854775808"], "ERR invalid expire time in 'expire' command"),
    ],
)
def test_refusals_change_nothing(client, arguments, text):
    client.call("SET", "k", "v")
    assert client.error("EXPIRE", "k", *arguments) == text
    assert client.call("TTL", "k") == -1


@pytest.mark.parametrize("command", [["EXPIRE", "k", "0"], ["PEXPIRE", "k", "-1"], ["EXPIREAT", "k", "1"]])
def test_a_deadline_in_the_past_is_a_del(client, events, told, command):
    client.call("SET", "k", "v")
    events.clear()
    told.clear()
    assert client.call(*command) == 1
    assert events == [(b"del", b"k")]
    assert told == [b"DEL k"]


def test_replicas_are_told_the_deadline_with_its_conditions(client, told):
    client.call("SET", "k", "v")
    told.clear()
    client.call("EXPIRE", "k", "10", "NX")
    assert told == [b"PEXPIREAT k %d NX" % (client.node.clock.now_ms + 10_000)]


def test_persist(client, events):
    client.call("SET", "k", "v", "EX", "10")
    events.clear()
    assert client.call("PERSIST", "k") == 1
    assert client.call("PERSIST", "k") == 0
    assert client.call("PERSIST", "missing") == 0
    assert events == [(b"persist", b"k")]


def test_a_replica_hides_what_is_over_and_waits_for_its_primary(client, advance, events):
    client.call("SET", "k", "v", "PX", "10")
    events.clear()
    client.node.policy.expires = False
    advance(11)
    assert client.call("GET", "k") is None
    assert client.call("TTL", "k") == -2
    assert (events, client.node.databases[0].count) == ([], 1)


def test_for_commands_of_the_primary_nothing_is_over(client, advance):
    """Clocks differ: what the primary still counts on must be there for its commands."""
    client.call("SET", "n", "41", "PX", "10")
    client.node.policy.expires = False
    advance(11)
    client.node.policy.obeys = True
    assert client.call("INCR", "n") == 42
    assert client.call("PEXPIREAT", "n", "1") == 1
    client.node.policy.obeys = False
    assert client.call("EXISTS", "n") == 0
    assert client.node.databases[0].count == 1
