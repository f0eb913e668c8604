"""The group set. Replies, option by option, are compared with redis-server in tests/compat."""

from __future__ import annotations

from collections import Counter

import pytest

from node.keyspace.changes import EventClass
from node.resp.encode import RESP3
from node.values.split_dict import BUCKET_KEYS

SET, GENERIC = EventClass.SET, EventClass.GENERIC
SADDED = [(SET, b"sadd", b"s")]
INTSET, LISTPACK, TABLE = b"intset", b"listpack", b"hashtable"
BIG = BUCKET_KEYS + 30


def members(size: int, integers: bool) -> set[bytes]:
    return {b"%d" % n if integers else b"member:%d" % n for n in range(size)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["SADD", "s", "d", "e"], SADDED),
        (["SADD", "s", "a"], []),
        (["SADD", "s", "a", "b"], []),
        (["SREM", "s", "a", "b"], [(SET, b"srem", b"s")]),
        (["SREM", "s", "x"], []),
        (["SREM", "s", "a", "b", "c"], [(SET, b"srem", b"s"), (GENERIC, b"del", b"s")]),
        (["SPOP", "s"], [(SET, b"spop", b"s")]),
        (["SPOP", "s", "2"], [(SET, b"spop", b"s")]),
        (["SPOP", "s", "0"], []),
        (["SPOP", "s", "3"], [(SET, b"spop", b"s"), (GENERIC, b"del", b"s")]),
        (["SMOVE", "s", "t", "a"], [(SET, b"srem", b"s"), (SET, b"sadd", b"t")]),
        (["SMOVE", "s", "t", "x"], []),
        (["SMOVE", "s", "s", "a"], []),
        (["SMOVE", "part", "s", "a"], [(SET, b"srem", b"part"), (GENERIC, b"del", b"part")]),
        (["SUNIONSTORE", "d", "s", "part"], [(SET, b"sunionstore", b"d")]),
        (["SINTERSTORE", "d", "s", "part"], [(SET, b"sinterstore", b"d")]),
        (["SDIFFSTORE", "d", "s", "part"], [(SET, b"sdiffstore", b"d")]),
        (["SDIFFSTORE", "s", "part", "s"], [(GENERIC, b"del", b"s")]),
        (["SDIFFSTORE", "none", "part", "s"], []),
    ],
)
def test_events(client, events, words, expected):
    client.call("SADD", "s", "a", "b", "c")
    client.call("SADD", "part", "a")
    events.clear()
    client.call(*words)
    assert events == expected


def test_what_spop_took_is_told(client, told):
    client.call("SADD", "s", *range(3000))
    told.clear()
    one = client.call("SPOP", "s")
    assert told == [[b"SREM", b"s", one]]
    told.clear()
    many = client.call("SPOP", "s", 2500)
    assert (told.pop(0), told.pop()) == ([b"MULTI"], [b"EXEC"])
    assert [words[:2] for words in told] == [[b"SREM", b"s"]] * 3
    assert [member for words in told for member in words[2:]] == many
    told.clear()
    client.call("SPOP", "s", 500)
    assert told == [[b"DEL", b"s"]]
    client.call("SADD", "s", "last")
    told.clear()
    client.call("SPOP", "s")
    assert told == [[b"SREM", b"s", b"last"]]


@pytest.mark.parametrize(
    "words",
    [["SADD", "k", "x"], ["SUNIONSTORE", "new", "s", "k"], ["SMOVE", "s", "k", "a"], ["SPOP", "s", "-1"]],
)
def test_a_command_that_fails_changes_nothing(client, events, words):
    client.call("SET", "k", "v")
    client.call("SADD", "s", "a")
    events.clear()
    client.error(*words)
    assert not events
    assert client.call("EXISTS", "new") == 0
    assert client.call("SMEMBERS", "s") == [b"a"]


@pytest.mark.parametrize(
    ("added", "encoding"),
    [
        ([["1"]], INTSET),
        ([["a"]], LISTPACK),
        ([["1"], ["a"]], LISTPACK),
        ([["a"], ["1"]], LISTPACK),
        ([["1", "a"]], LISTPACK),
        ([range(512)], INTSET),
        ([range(513)], TABLE),
        ([range(512), ["512"]], TABLE),
        ([range(128), ["a"]], TABLE),
        ([range(127), ["a"]], LISTPACK),
        ([[f"m{n}" for n in range(128)]], LISTPACK),
        ([[f"m{n}" for n in range(129)]], TABLE),
        ([["m" * 64]], LISTPACK),
        ([["m" * 65]], TABLE),
        ([["1"], ["m" * 65]], TABLE),
    ],
)
def test_encodings_at_the_thresholds_of_redis_7_2(client, added, encoding):
    for some in added:
        client.call("SADD", "s", *some)
    assert client.call("OBJECT", "ENCODING", "s") == encoding
    expected = {str(member).encode() for some in added for member in some}
    assert client.call("SCARD", "s") == len(expected)
    assert set(client.call("SMEMBERS", "s")) == expected


def test_thresholds_follow_config_set(client):
    client.call("CONFIG", "SET", "set-max-intset-entries", "1", "set-max-listpack-value", "2")
    client.call("SADD", "a", "1", "2")
    client.call("SADD", "b", "abc")
    client.call("CONFIG", "SET", "set-max-listpack-entries", "1")
    client.call("SADD", "c", "x", "y")
    assert [client.call("OBJECT", "ENCODING", key) for key in "abc"] == [LISTPACK, TABLE, TABLE]


def test_replies_are_sets_in_resp3(client):
    client.call("SADD", "s", "1")
    client.session.call.reply = RESP3
    for words in (["SMEMBERS", "s"], ["SINTER", "s"], ["SUNION", "s"], ["SDIFF", "s"], ["SPOP", "s", "1"]):
        assert client.raw(*words) == b"~1\r\n$1\r\n1\r\n"
        assert client.raw(words[0], "missing", *words[2:]) == b"~0\r\n"
    client.call("SADD", "s", "1")
    assert client.raw("SRANDMEMBER", "s", "1") == b"*1\r\n$1\r\n1\r\n"


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("size", [6, BIG, 1500])
def test_random_members_are_different_or_repeated(client, size, integers):
    everything = members(size, integers)
    client.call("SADD", "s", *everything)
    for count in (1, 2, size // 2, size - 1, size, size + 5):
        found = client.call("SRANDMEMBER", "s", count)
        assert len(set(found)) == len(found) == min(size, count)
        assert set(found) <= everything
    found = client.call("SRANDMEMBER", "s", -3 * size)
    assert len(found) == 3 * size
    assert set(found) <= everything
    for count in (1, 2, size // 2):
        popped = set(client.call("SPOP", "s", count))
        assert len(popped) == count
        assert popped <= everything
        everything -= popped
        assert set(client.call("SMEMBERS", "s")) == everything


def is_even(counts: Counter[bytes], expected: set[bytes], draws: int) -> bool:
    """A chi-squared test; its bound is ten standard deviations above the mean, which never happens."""
    mean = draws / len(expected)
    total = sum((counts[member] - mean) ** 2 / mean for member in expected)
    return set(counts) <= expected and total < len(expected) + 10 * (2 * len(expected)) ** 0.5


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("size", [5, BIG])
def test_every_member_is_as_likely(client, size, integers):
    everything = members(size, integers)
    client.call("SADD", "s", *everything)
    draws = 40 * size
    assert is_even(Counter(client.call("SRANDMEMBER", "s", -draws)), everything, draws)
    single = Counter(client.call("SRANDMEMBER", "s") for _ in range(draws))
    assert is_even(single, everything, draws)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_member_is_as_likely_to_be_popped(client, count):
    everything = members(5, integers=False)
    counts: Counter[bytes] = Counter()
    for _ in range(300):
        client.call("SADD", "s", *everything)
        counts.update(client.call("SPOP", "s", count))
    assert is_even(counts, everything, 300 * count)


def test_srandmember_refuses_a_reply_that_no_memory_holds(client):
    client.call("SADD", "s", "a")
    assert client.error("SRANDMEMBER", "s", -(2**62)) == "ERR value is out of range"


@pytest.mark.parametrize("size", [10, 2000])
def test_sscan_walks_through_all(client, size):
    everything = members(size, integers=False)
    client.call("SADD", "s", *everything)
    found: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, page = client.call("SSCAN", "s", cursor, "COUNT", 50, "MATCH", "member:*")
        assert len(page) <= 250
        found += page
        if cursor == b"0":
            break
    assert sorted(found) == sorted(everything)


SIZES = [0, 3, 200, 900]


@pytest.mark.parametrize("first", SIZES)
@pytest.mark.parametrize("second", SIZES)
def test_algebra_of_sets_of_all_encodings(client, first, second):
    a = members(first, integers=True)
    b = {member for member in members(second, integers=True) if int(member) % 3} | {b"text"}
    c = {b"%d" % n for n in range(0, 1000, 2)} | {b"text"}
    for key, values in zip("abc", (a, b, c), strict=True):
        if values:
            client.call("SADD", key, *values)
    for words, expected in [
        (["SINTER", "a", "b", "c"], a & b & c),
        (["SINTER", "c", "b", "b"], b & c),
        (["SUNION", "a", "b", "c"], a | b | c),
        (["SDIFF", "a", "b", "c"], a - b - c),
        (["SDIFF", "c", "a"], c - a),
        (["SDIFF", "b", "c", "none", "a"], b - c - a),
    ]:
        found = client.call(*words)
        assert len(found) == len(expected)
        assert set(found) == expected
        name, *keys = words
        assert client.call(f"{name}STORE", "d", *keys) == len(expected)
        assert set(client.call("SMEMBERS", "d")) == expected
    assert client.call("SINTERCARD", 3, "a", "b", "c") == len(a & b & c)
    assert client.call("SINTERCARD", 3, "c", "b", "b", "LIMIT", 5) == min(5, len(b & c))
    client.node.databases[0].check()
