"""The group hash. Replies, option by option, are compared with redis-server in tests/compat."""

from __future__ import annotations

from collections import Counter

import pytest

from node.keyspace.changes import EventClass
from node.resp.encode import RESP3
from node.values.split_dict import BUCKET_KEYS

HASH, GENERIC = EventClass.HASH, EventClass.GENERIC


def fill(client, count: int) -> dict[bytes, bytes]:
    """A hash `h` of `count` fields."""
    fields = {b"field:%d" % n: b"%d" % n for n in range(count)}
    client.call("HSET", "h", *(word for pair in fields.items() for word in pair))
    return fields


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["HSET", "h", "a", "1"], [(HASH, b"hset", b"h")]),
        (["HMSET", "h", "new", "1", "other", "2"], [(HASH, b"hset", b"h")]),
        (["HSETNX", "h", "new", "1"], [(HASH, b"hset", b"h")]),
        (["HSETNX", "h", "a", "1"], []),
        (["HINCRBY", "h", "a", "1"], [(HASH, b"hincrby", b"h")]),
        (["HINCRBYFLOAT", "h", "a", "1"], [(HASH, b"hincrbyfloat", b"h")]),
        (["HDEL", "h", "a", "b"], [(HASH, b"hdel", b"h")]),
        (["HDEL", "h", "none"], []),
        (["HDEL", "h", "a", "b", "c"], [(HASH, b"hdel", b"h"), (GENERIC, b"del", b"h")]),
        (["HGETALL", "h"], []),
    ],
)
def test_events(client, events, words, expected):
    client.call("HSET", "h", "a", "1", "b", "2", "c", "3")
    events.clear()
    client.call(*words)
    assert events == expected


@pytest.mark.parametrize(
    "words",
    [
        ["HSET", "s", "a", "1"],
        ["HINCRBY", "s", "a", "1"],
        ["HINCRBY", "new", "a", "x"],
        ["HINCRBYFLOAT", "new", "a", "x"],
        ["HINCRBY", "h", "text", "1"],
        ["HINCRBYFLOAT", "h", "text", "1"],
        ["HSET", "new", "a", "1", "b"],
        ["HDEL", "s", "a"],
    ],
)
def test_a_command_that_fails_changes_nothing(client, events, told, words):
    client.call("SET", "s", "v")
    client.call("HSET", "h", "text", "abc")
    events.clear()
    told.clear()
    client.error(*words)
    assert (events, told) == ([], [])
    assert client.call("EXISTS", "new") == 0
    assert client.call("HGET", "h", "text") == b"abc"


def test_the_outcome_of_hincrbyfloat_is_told(client, told):
    client.call("HINCRBYFLOAT", "h", "f", "10.5")
    client.call("HINCRBYFLOAT", "h", "f", "0.1")
    assert told == [[b"HSET", b"h", b"f", b"10.5"], [b"HSET", b"h", b"f", b"10.6"]]


def test_hgetall_is_a_map_in_resp3(client):
    client.call("HSET", "h", "a", "1")
    assert client.raw("HGETALL", "h") == b"*2\r\n$1\r\na\r\n$1\r\n1\r\n"
    client.session.call.reply = RESP3
    assert client.raw("HGETALL", "h") == b"%1\r\n$1\r\na\r\n$1\r\n1\r\n"
    assert client.raw("HGETALL", "missing") == b"%0\r\n"


@pytest.mark.parametrize("size", [10, 2000])
def test_hscan_walks_through_all(client, size):
    fields = fill(client, size)
    found: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, page = client.call("HSCAN", "h", cursor, "COUNT", 50)
        found += page
        assert len(page) <= max(2 * size if size == 10 else 0, 2 * 50 * 5)
        if cursor == b"0":
            break
    assert dict(zip(found[::2], found[1::2], strict=True)) == fields


def test_hscan_without_values(client):
    client.call("HSET", "h", "a", "1", "b", "2", "novalues", "3")
    assert client.call("HSCAN", "h", "0", "NOVALUES") == [b"0", [b"a", b"b", b"novalues"]]
    assert client.call("HSCAN", "h", "0", "match", "NOVALUES", "novalues") == [b"0", []]
    assert client.call("HSCAN", "h", "0", "NOVALUES", "MATCH", "novalues", "NOVALUES") == [
        b"0",
        [b"novalues"],
    ]


@pytest.mark.parametrize("size", [7, 700])
def test_hrandfield_returns_different_fields(client, size):
    fields = fill(client, size)
    for count in (1, 3, size - 1, size, size + 1):
        found = client.call("HRANDFIELD", "h", count)
        assert len(set(found)) == len(found) == min(count, size)
        assert set(found) <= set(fields)
    found = client.call("HRANDFIELD", "h", 3, "WITHVALUES")
    assert all(fields[found[at]] == found[at + 1] for at in (0, 2, 4))


@pytest.mark.parametrize("size", [7, 700])
def test_hrandfield_with_a_negative_count_repeats(client, size):
    fields = fill(client, size)
    found = client.call("HRANDFIELD", "h", -2 * size)
    assert len(found) == 2 * size
    assert len(set(found)) < 2 * size
    assert set(found) <= set(fields)


def test_hrandfield_pairs_are_arrays_in_resp3(client):
    client.call("HSET", "h", "a", "1")
    client.session.call.reply = RESP3
    assert client.raw("HRANDFIELD", "h", -1, "WITHVALUES") == b"*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"


def test_hrandfield_refuses_a_reply_that_no_memory_holds(client):
    client.call("HSET", "h", "a", "1")
    assert client.error("HRANDFIELD", "h", -(2**62)) == "ERR value is out of range"


@pytest.mark.parametrize("size", [5, BUCKET_KEYS + 30])
def test_every_field_is_as_likely(client, size):
    fields = fill(client, size)
    draws = 40 * size
    counts = Counter(client.call("HRANDFIELD", "h", -draws))
    assert set(counts) == set(fields)
    chi_squared = sum((counts[field] - 40) ** 2 / 40 for field in fields)
    # Its mean is size - 1, its variance twice that: ten standard deviations never happen.
    assert chi_squared < size + 10 * (2 * size) ** 0.5


def test_thresholds_follow_config_set(client):
    client.call("HSET", "before", "a", "1", "b", "2")
    client.call("CONFIG", "SET", "hash-max-listpack-entries", "1")
    client.call("HSET", "h", "a", "1", "b", "2")
    assert client.call("OBJECT", "ENCODING", "h") == b"hashtable"
    assert client.call("OBJECT", "ENCODING", "before") == b"listpack"
    client.call("SELECT", "3")
    client.call("HSET", "h", "a", "1", "b", "2")
    assert client.call("OBJECT", "ENCODING", "h") == b"hashtable"
