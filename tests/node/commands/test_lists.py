"""The group list: what is recorded, and where Redis 7.2 differs from 7.0. Replies, option by option, are
compared with redis-server 7.0 in tests/compat.
"""

from __future__ import annotations

import pytest

from node.keyspace.changes import EventClass


@pytest.fixture
def events(client):
    """(class, event, key) of everything that has changed."""
    seen = []
    client.node.after.watchers.append(lambda log: seen.extend(change[:3] for change in log))
    return seen


def event(name, key=b"l"):
    return (EventClass.GENERIC if name == b"del" else EventClass.LIST, name, key)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("LPUSH l x y", [event(b"lpush")]),
        ("RPUSHX l x", [event(b"rpush")]),
        ("LPUSHX none x", []),
        ("LPOP l", [event(b"lpop")]),
        ("RPOP l 2", [event(b"rpop")]),
        ("RPOP l 3", [event(b"rpop"), event(b"del")]),
        ("LPOP l 0", []),
        ("LSET l 0 x", [event(b"lset")]),
        ("LINSERT l BEFORE a x", [event(b"linsert")]),
        ("LINSERT l BEFORE none x", []),
        ("LREM l 0 a", [event(b"lrem")]),
        ("LREM l 0 none", []),
        ("LTRIM l 0 -1", [event(b"ltrim")]),
        ("LTRIM l 5 9", [event(b"ltrim"), event(b"del")]),
        ("LMOVE l m LEFT RIGHT", [event(b"rpush", b"m"), event(b"lpop")]),
        ("LMOVE one m LEFT RIGHT", [event(b"rpush", b"m"), event(b"lpop", b"one"), event(b"del", b"one")]),
        ("LMOVE one one LEFT RIGHT", [event(b"rpush", b"one"), event(b"lpop", b"one")]),
        ("LMPOP 2 none l RIGHT COUNT 9", [event(b"rpop"), event(b"del")]),
        ("BLPOP none one 0", [event(b"lpop", b"one"), event(b"del", b"one")]),
        ("BLMOVE l m RIGHT LEFT 0", [event(b"lpush", b"m"), event(b"rpop")]),
    ],
)
def test_changes_are_recorded_by_redis_names(client, events, request_, expected):
    client.call("RPUSH", "l", "a", "b", "c")
    client.call("RPUSH", "one", "a")
    events.clear()
    client.raw(*request_.split())
    assert events == expected
    client.session.call.db.check()


def test_small_lists_are_listpacks_as_in_redis_7_2(client):
    client.call("RPUSH", "l", *range(100))
    assert client.call("OBJECT", "ENCODING", "l") == b"listpack"
    client.call("RPUSH", "l", "x" * 8192)
    assert client.call("OBJECT", "ENCODING", "l") == b"quicklist"
    client.call("RPOP", "l")
    assert client.call("OBJECT", "ENCODING", "l") == b"listpack"


def test_the_threshold_may_be_set_while_the_node_runs(client):
    client.call("CONFIG", "SET", "list-max-listpack-size", 3)
    client.call("RPUSH", "l", "a", "b", "c")
    assert client.call("OBJECT", "ENCODING", "l") == b"listpack"
    client.call("RPUSH", "l", "d")
    assert client.call("OBJECT", "ENCODING", "l") == b"quicklist"


def test_lpos_refuses_the_least_rank(client):
    expected = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    assert client.error("LPOS", "l", "a", "RANK", -(1 << 63)) == expected


def test_a_refused_move_changes_nothing(client, events):
    client.call("RPUSH", "l", "a")
    client.call("SET", "s", "x")
    events.clear()
    assert client.error("LMOVE", "l", "s", "LEFT", "LEFT").startswith("WRONGTYPE")
    assert client.call("LRANGE", "l", 0, -1) == [b"a"]
    assert events == []


def test_a_list_of_a_hundred_thousand_is_walked_from_both_ends(client):
    for start in range(0, 100_000, 1000):
        client.call("RPUSH", "l", *range(start, start + 1000))
    assert client.call("LINDEX", "l", 50_000) == b"50000"
    assert client.call("LRANGE", "l", 49_999, 50_001) == [b"49999", b"50000", b"50001"]
    assert client.call("LPOP", "l", 40_000)[-1] == b"39999"
    assert client.call("RPOP", "l", 40_000)[-1] == b"60000"
    assert client.call("LLEN", "l") == 20_000
