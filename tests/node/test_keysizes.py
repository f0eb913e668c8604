"""INFO keysizes: how many keys are how big, counted when it is asked for."""

from __future__ import annotations

import random

import pytest

from node import keysizes
from node.command.session import Block


@pytest.fixture
def sizes(client, monkeypatch: pytest.MonkeyPatch):
    """What is told, counted at once however slow the machine is."""
    monkeypatch.setattr(keysizes, "_SLICE_S", 3600.0)

    def ask(asking=client) -> dict[str, str]:
        lines = asking.call("INFO", "keysizes").decode().split("\r\n")
        assert lines[0] == "# Keysizes"
        return dict(line.split(":") for line in lines[1:] if line)

    return ask


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends after a few keys."""
    monkeypatch.setattr(keysizes, "_SLICE_S", -1.0)
    monkeypatch.setattr(keysizes, "_PART_KEYS", 3)


def count_on(node) -> None:
    """Lets a count that is under way come to its end."""
    node.clock.now_ms += 1
    while node.timers.run_due(node.clock.now_ms):
        node.clock.now_ms += 1


def test_types_and_their_sizes(client, sizes):
    client.call("MSET", "empty", "", "one", "x", "number", 12345678, "three", "xyz", "long", "x" * 1500)
    client.call("APPEND", "long", "y")
    client.call("RPUSH", "list", *range(5))
    client.call("SADD", "numbers", *range(100))
    client.call("SADD", "words", *"abc")
    client.call("ZADD", "zset", 1, "a")
    client.call("HSET", "hash", *range(4))
    client.call("HSET", "big", *range(4096))
    client.call("XADD", "stream", "*", "f", "v")
    assert sizes() == {
        "db0_distrib_strings_sizes": "0=1,1=1,2=1,8=1,1K=1",
        "db0_distrib_lists_items": "4=1",
        "db0_distrib_sets_items": "2=1,64=1",
        "db0_distrib_zsets_items": "1=1",
        "db0_distrib_hashes_items": "2=1,2K=1",
    }


def test_databases_apart(client, sizes):
    client.call("SET", "k", "v")
    client.call("SELECT", 3)
    client.call("SET", "k", "value")
    assert sizes() == {"db0_distrib_strings_sizes": "1=1", "db3_distrib_strings_sizes": "4=1"}
    client.call("FLUSHALL")
    assert sizes() == {}


@pytest.mark.parametrize(
    ("bits", "bound"),
    [
        (0, "0"),
        (1, "1"),
        (2, "2"),
        (10, "512"),
        (11, "1K"),
        (20, "512K"),
        (21, "1M"),
        (30, "512M"),
        (31, "1G"),
    ],
)
def test_bounds(bits, bound):
    assert keysizes._bound(bits) == bound


def test_a_slot_of_very_many_keys(client, sizes):
    """It has a table of another kind."""
    client.call("MSET", *(word for nth in range(3000) for word in (f"{{tag}}{nth}", "v")))
    assert sizes() == {"db0_distrib_strings_sizes": "1=3000"}


def test_only_by_its_name(client):
    """Not even with everything: it takes time."""
    client.call("SET", "k", "v")
    for words in ((), ("all",), ("everything",), ("default",)):
        assert b"# Keysizes" not in client.call("INFO", *words)
    assert b"# Keyspace" in client.call("INFO", "KEYSIZES", "keyspace")


class TestManyKeys:
    """Who asks waits; nobody else does."""

    @pytest.fixture(autouse=True)
    def keys(self, client, slowly):
        client.call("MSET", *(word for nth in range(50) for word in (nth, "x" * nth)))

    def test_the_reply_comes_when_all_is_counted(self, client, new_client, node):
        assert client.raw("INFO", "keysizes") is None
        assert client.session.blocked is not None
        assert new_client().call("GET", 1) == b"x"
        count_on(node)
        assert client.session.blocked is None
        assert b"strings_sizes:0=1,1=1,2=2,4=4,8=8,16=16,32=18\r\n" in client.transport.sent

    def test_who_asks_meanwhile_gets_a_count_of_its_own(self, client, new_client, node):
        """One that began when it asked: what it has written is in it."""
        client.raw("INFO", "keysizes")
        others = [new_client(), new_client()]
        others[0].call("RPUSH", "list", "a")
        for other in others:
            assert other.raw("INFO", "keysizes") is None
        count_on(node)
        for other in others:
            assert b"lists_items:1=1\r\n" in other.transport.sent
            assert other.session.blocked is None

    def test_who_leaves_is_forgotten(self, client, new_client, node):
        client.raw("INFO", "keysizes")
        other = new_client()
        other.raw("INFO", "keysizes")
        node.clients.remove(client.session)
        count_on(node)
        assert client.transport.sent == b""
        assert b"strings_sizes" in other.transport.sent

    def test_a_transaction_does_not_wait(self, client, node):
        client.call("MULTI")
        client.call("INFO", "keysizes")
        assert client.call("EXEC") == [b"# Keysizes\r\n"]

    def test_it_does_not_count_as_blocked(self, client, new_client):
        client.raw("INFO", "keysizes")
        assert b"blocked_clients:0\r\n" in new_client().call("INFO", "clients")

    def test_keys_that_come_and_go_meanwhile(self, client, new_client, node):
        """Whatever is there all the time is counted once."""
        rng = random.Random(3)
        client.raw("INFO", "keysizes")
        writer = new_client()
        while client.session.blocked is not None:
            key = f"brief:{rng.randrange(100)}"
            writer.call(*rng.choice([("SADD", key, "a"), ("DEL", key), ("SET", f"{{1}}{key}", "")]))
            node.clock.now_ms += 1
            node.timers.run_due(node.clock.now_ms)
        assert b",1=1,2=2,4=4,8=8,16=16,32=18\r\n" in client.transport.sent


def test_the_block_cannot_be_ended_by_others(client, slowly):
    client.call("MSET", *(word for nth in range(9) for word in (nth, "x")))
    client.raw("INFO", "keysizes")
    assert isinstance(client.session.blocked, Block)
    assert not client.session.blocked.may_time_out
