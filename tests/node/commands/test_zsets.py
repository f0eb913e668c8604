"""The group sorted-set: what is recorded, and what Redis 7.2 has and 7.0 has not. Replies, option by option,
are compared with redis-server 7.0 in tests/compat.
"""

from __future__ import annotations

from collections import Counter

import pytest

from node.keyspace.changes import EventClass


@pytest.fixture
def events(client):
    """(class, event, key) of everything that has changed."""
    seen = []
    client.node.after.watchers.append(lambda log: seen.extend(change[:3] for change in log))
    return seen


def event(name, key=b"z"):
    return (EventClass.GENERIC if name == b"del" else EventClass.ZSET, name, key)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("ZADD z 1 a", []),
        ("ZADD z 5 a 6 new", [event(b"zadd")]),
        ("ZADD z XX 5 new", []),
        ("ZADD z INCR 1 a", [event(b"zincr")]),
        ("ZINCRBY z 0 a", []),
        ("ZINCRBY new 1 a", [event(b"zincr", b"new")]),
        ("ZREM z a none", [event(b"zrem")]),
        ("ZREM z none", []),
        ("ZREM z a b c", [event(b"zrem"), event(b"del")]),
        ("ZREMRANGEBYRANK z 0 0", [event(b"zremrangebyrank")]),
        ("ZREMRANGEBYSCORE z 1 9", [event(b"zremrangebyscore"), event(b"del")]),
        ("ZREMRANGEBYLEX z - +", [event(b"zremrangebylex"), event(b"del")]),
        ("ZREMRANGEBYSCORE z 8 9", []),
        ("ZPOPMIN z", [event(b"zpopmin")]),
        ("ZPOPMAX z 9", [event(b"zpopmax"), event(b"del")]),
        ("ZPOPMAX z 0", []),
        ("ZMPOP 2 none z MIN", [event(b"zpopmin")]),
        ("BZPOPMAX none z 0", [event(b"zpopmax")]),
        ("BZMPOP 0 1 z MIN COUNT 3", [event(b"zpopmin"), event(b"del")]),
        ("ZRANGESTORE out z 0 1", [event(b"zrangestore", b"out")]),
        ("ZUNIONSTORE out 1 z", [event(b"zunionstore", b"out")]),
        ("ZINTERSTORE out 1 z", [event(b"zinterstore", b"out")]),
        ("ZDIFFSTORE out 1 z", [event(b"zdiffstore", b"out")]),
        ("ZINTERSTORE out 1 none", []),
        ("ZINTERSTORE z 1 none", [event(b"del")]),
    ],
)
def test_changes_are_recorded_by_redis_names(client, events, request_, expected):
    client.call("ZADD", "z", 1, "a", 2, "b", 3, "c")
    events.clear()
    client.raw(*request_.split())
    assert events == expected
    client.session.call.db.check()


@pytest.mark.parametrize(
    ("score", "printed"),
    [
        ("0.1", b"0.1"),
        ("1e17", b"100000000000000000"),
        ("4611686018427387904", b"4611686018427387904"),
        ("9223372036854775808", b"9223372036854776000"),
        ("1e20", b"1e+20"),
        ("0.000001", b"0.000001"),
        ("0.0000001", b"1e-7"),
        ("3.0e-310", b"3e-310"),
        ("123456.78901234", b"1.2345678901234e+5"),
        ("1234.5678901234", b"1234.5678901234"),
        ("-0.00012345678", b"-1.2345678e-4"),
        ("1e308", b"1e+308"),
        ("-inf", b"-inf"),
    ],
)
def test_scores_are_printed_as_redis_7_2_prints_them(client, score, printed):
    """Recorded from fpconv, which Redis 7.2 prints with."""
    client.call("ZADD", "z", score, "a")
    assert client.call("ZSCORE", "z", "a") == printed
    client.call("HELLO", 3)
    assert client.raw("ZSCORE", "z", "a") == b",%b\r\n" % printed


def test_rank_with_score(client):
    client.call("ZADD", "z", 1, "a", 2.5, "b")
    assert client.call("ZRANK", "z", "b", "WITHSCORE") == [1, b"2.5"]
    assert client.call("ZREVRANK", "z", "b", "withscore") == [0, b"2.5"]
    assert client.raw("ZRANK", "z", "none", "WITHSCORE") == b"*-1\r\n"
    assert client.raw("ZRANK", "none", "a", "WITHSCORE") == b"*-1\r\n"
    assert client.error("ZRANK", "z", "a", "WITHSCORES") == "ERR syntax error"
    wrong = "ERR wrong number of arguments for 'zrevrank' command"
    assert client.error("ZREVRANK", "z", "a", "WITHSCORE", "x") == wrong
    client.call("HELLO", 3)
    assert client.raw("ZRANK", "z", "b", "WITHSCORE") == b"*2\r\n:1\r\n,2.5\r\n"


def test_one_zadd_of_more_members_than_a_listpack_takes_makes_a_skiplist(client):
    """Redis 7.2 looks at the number of arguments, even if they name the same member."""
    client.call("ZADD", "z", *[1, "a"] * 129)
    assert client.call("ZCARD", "z") == 1
    assert client.call("OBJECT", "ENCODING", "z") == b"skiplist"
    client.call("ZADD", "y", 1, "a")
    client.call("ZADD", "y", *[1, "a"] * 129)
    assert client.call("OBJECT", "ENCODING", "y") == b"skiplist"


def test_the_thresholds_may_be_set_while_the_node_runs(client):
    client.call("CONFIG", "SET", "zset-max-listpack-entries", 2, "zset-max-listpack-value", 3)
    client.call("ZADD", "z", 1, "a", 2, "b")
    assert client.call("OBJECT", "ENCODING", "z") == b"listpack"
    client.call("ZADD", "z", 3, "c")
    assert client.call("OBJECT", "ENCODING", "z") == b"skiplist"
    client.call("ZADD", "y", 3, "long")
    assert client.call("OBJECT", "ENCODING", "y") == b"skiplist"


def test_a_refused_increment_changes_nothing(client, events):
    client.call("ZADD", "z", "inf", "a")
    events.clear()
    assert client.error("ZINCRBY", "z", "-inf", "a") == "ERR resulting score is not a number (NaN)"
    assert client.call("ZSCORE", "z", "a") == b"inf"
    assert events == []


def test_random_members_are_fairly_random(client):
    for name, count in (("few", 10), ("many", 300)):
        client.call("ZADD", name, *[word for number in range(count) for word in (number, b"%d" % number)])
        seen = Counter(client.call("ZRANDMEMBER", name, -20 * count))
        assert len(seen) == count
        assert max(seen.values()) < 60
        sample = client.call("ZRANDMEMBER", name, count - 1)
        assert len(set(sample)) == count - 1
        pairs = client.call("ZRANDMEMBER", name, -5, "WITHSCORES")
        assert all(member == score for member, score in zip(pairs[::2], pairs[1::2], strict=True))


def test_more_repeats_than_a_reply_can_hold_are_refused(client):
    client.call("ZADD", "z", 1, "a")
    assert client.error("ZRANDMEMBER", "z", -(1 << 62)) == "ERR value is out of range"


def test_a_scan_returns_all_that_is_there_all_the_time(client):
    client.call("ZADD", "z", *[word for number in range(2000) for word in (number, b"%d" % number)])
    seen, cursor = {}, b"0"
    while True:
        cursor, found = client.call("ZSCAN", "z", cursor, "COUNT", 50)
        assert len(found) < 1000
        seen.update(zip(found[::2], found[1::2], strict=True))
        client.call("ZREM", "z", b"%d" % (len(seen) % 1000))
        client.call("ZADD", "z", 5, f"new{len(seen)}")
        if cursor == b"0":
            break
    assert {b"%d" % number for number in range(1000, 2000)} <= set(seen)


def test_a_scan_prints_scores_of_a_skiplist_with_all_digits_as_redis_does(client):
    client.call("ZADD", "z", 0.1, "a")
    assert client.call("ZSCAN", "z", 0) == [b"0", [b"a", b"0.1"]]
    client.call("ZADD", "z", 1, "x" * 65)
    _, found = client.call("ZSCAN", "z", 0, "MATCH", "a")
    assert found == [b"a", b"0.10000000000000001"]
