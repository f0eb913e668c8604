"""SORT and SORT_RO. Replies, option by option, are compared with redis-server in tests/compat."""

from __future__ import annotations

import pytest

from node.app import Node
from node.config.config import Config
from node.config.table import CLUSTER_ENABLED, DIR
from node.keyspace.changes import EventClass

GENERIC, LIST = EventClass.GENERIC, EventClass.LIST


def test_what_is_stored_is_recorded_and_told(client, events, told):
    client.call("RPUSH", "l", "3", "1", "2")
    client.call("SET", "d", "v")
    events.clear()
    told.clear()
    assert client.call("SORT", "l", "STORE", "d") == 3
    assert events == [(LIST, b"sortstore", b"d")]
    assert told == [[b"SORT", b"l", b"STORE", b"d"]]
    assert client.call("LRANGE", "d", 0, -1) == [b"1", b"2", b"3"]
    events.clear()
    assert client.call("SORT", "none", "STORE", "d") == 0
    assert events == [(GENERIC, b"del", b"d")]
    events.clear()
    assert client.call("SORT", "none", "STORE", "d") == 0
    assert not events


def test_a_set_is_stored_in_an_order_of_its_own(client):
    """Every replica must come to the same list, whatever the order of its hashes."""
    names = [f"m{n}" for n in range(300)]
    client.call("SADD", "s", *names)
    client.call("SORT", "s", "BY", "nosort", "STORE", "d")
    assert client.call("LRANGE", "d", 0, -1) == sorted(name.encode() for name in names)
    client.call("SORT", "s", "BY", "nosort", "DESC", "LIMIT", 0, 5, "STORE", "d")
    assert client.call("LRANGE", "d", 0, -1) == sorted((name.encode() for name in names), reverse=True)[:5]
    client.call("SORT", "s", "BY", "weight_*", "ALPHA", "STORE", "d")
    assert client.call("LRANGE", "d", 0, -1) == sorted(name.encode() for name in names)


def test_an_error_stores_nothing(client, events):
    client.call("RPUSH", "l", "a")
    client.call("SET", "d", "v")
    events.clear()
    text = "ERR One or more scores can't be converted into double"
    assert client.error("SORT", "l", "STORE", "d") == text
    assert not events
    assert client.call("GET", "d") == b"v"


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (b"1e999", False),
        (b"-1e999", False),
        (b"1e-999", False),
        (b"0e-999", True),
        (b"1e308", True),
        (b"2.2250738585072014e-308", True),
        (b"0x1p-2000", False),
        (b"0x1p2000", False),
        (b"0x1.8p1", True),
        (b"nan(1)", False),
        (b"in", False),
        (b"1__0", False),
        (b"\xd9\xa1", False),
        (b"\t\n 5", True),
        (b"5 ", False),
        (b"9" * 400, False),
        (b"1" * 200, True),
        (b"infinity", True),
        (b"\0x", True),
        (b" \0", False),
        (b".", False),
        (b"+", False),
        (b"1e5 ", False),
    ],
)
def test_what_strtod_takes_for_a_number(client, text, valid):
    client.call("RPUSH", "l", text)
    if valid:
        assert client.call("SORT", "l") == [text]
    else:
        assert client.error("SORT", "l") == "ERR One or more scores can't be converted into double"


def test_patterns_reach_no_expired_key(client, advance):
    client.call("RPUSH", "l", "1", "2")
    client.call("SET", "w_1", "5", "PX", "10")
    advance(10)
    assert client.call("SORT", "l", "GET", "w_*") == [None, None]
    assert client.call("EXISTS", "w_1") == 0


def test_patterns_are_refused_in_a_cluster(tmp_path):
    """The keys that a pattern reaches may be anywhere; a BY that reaches none is allowed."""
    config = Config()
    config.store(CLUSTER_ENABLED, True)
    config.store(DIR, str(tmp_path))
    node = Node(config)
    table, call = node.table, node.new_call()

    def run(*words: bytes) -> str:
        command = table.lookup(words[0])
        assert command is not None
        with pytest.raises(Exception, match="SORT") as caught:
            command.run(call, list(words))
        return str(caught.value)

    assert run(b"SORT", b"l", b"BY", b"w_*") == "ERR BY option of SORT denied in Cluster mode."
    assert run(b"SORT_RO", b"l", b"GET", b"#") == "ERR GET option of SORT denied in Cluster mode."
    sort = table.lookup(b"SORT")
    assert sort is not None
    assert sort.run(call, [b"SORT", b"l", b"BY", b"nosort"]) == b"*0\r\n"


def test_sorting_a_long_list(client):
    numbers = [str((n * 7919) % 10007) for n in range(10007)]
    client.call("RPUSH", "l", *numbers)
    assert client.call("SORT", "l", "LIMIT", 5, 3) == [b"5", b"6", b"7"]
    assert client.call("SORT", "l", "DESC", "LIMIT", 0, 1) == [b"10006"]
