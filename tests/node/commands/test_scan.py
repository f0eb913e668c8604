"""SCAN, KEYS and RANDOMKEY."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.slots import key_slot
from node.keyspace.changes import Changes
from node.keyspace.database import BUCKET_KEYS, PARTITION_KEYS, Database, Policy
from node.keyspace.scan import scan


@pytest.fixture
def database() -> Database:
    return Database(0, Changes(), Policy())


def fill(database: Database, names: list[bytes]) -> None:
    for name in names:
        database.put(name, key_slot(name), 1)


def walk(database: Database, count: int) -> list[list[bytes]]:
    """What each call of a whole scan returns."""
    cursor, pages = 0, []
    while True:
        cursor, names = scan(database, cursor, count)
        pages.append(names)
        if not cursor:
            return pages


TAGGED = [b"{tag}%d" % number for number in range(5 * PARTITION_KEYS)]
SPREAD = [b"key:%d" % number for number in range(3000)]


@pytest.mark.parametrize("names", [[], SPREAD[:1], SPREAD[:10], SPREAD, TAGGED[: PARTITION_KEYS - 1], TAGGED])
@pytest.mark.parametrize("count", [1, 10, 1000, 10**9])
def test_a_whole_scan_returns_each_key_once(database, names, count):
    fill(database, names)
    if count == 1:
        names = names[:500]
        database.clear()
        fill(database, names)
    found = [name for page in walk(database, count) for name in page]
    assert sorted(found) == sorted(names)


def test_few_keys_are_one_page(database):
    fill(database, SPREAD[:9])
    assert len(walk(database, 10)) == 1


@pytest.mark.parametrize("names", [SPREAD, TAGGED])
def test_a_page_is_about_as_long_as_asked_for(database, names):
    fill(database, names)
    pages = walk(database, 50)
    assert max(map(len, pages)) < 50 * 4
    assert all(len(page) >= 50 for page in pages[:-1])


def test_a_call_costs_what_it_returns_and_not_what_there_is(database):
    """Of a slot with tens of thousands of keys, a call looks at one or two dicts of at most BUCKET_KEYS."""
    fill(database, TAGGED)
    partition = database.slots[key_slot(b"tag")]
    for bits in range(4):
        bucket, _ = partition.bucket(bits)
        assert len(bucket) <= BUCKET_KEYS


def test_a_scan_ends_though_all_keys_go_meanwhile(database):
    fill(database, TAGGED)
    cursor, _ = scan(database, 0, 10)
    for name in TAGGED:
        database.remove(name, key_slot(name))
    for _ in range(20):
        cursor, names = scan(database, cursor, 10)
        assert names == []
        if not cursor:
            return
    pytest.fail("the scan does not end")


@given(cursor=st.integers(0, 2**64 - 1), count=st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_any_number_is_a_cursor(cursor, count):
    database = Database(0, Changes(), Policy())
    fill(database, SPREAD[:300] + TAGGED[:300])
    for _ in range(3):
        cursor, names = scan(database, cursor, count)
        assert 0 <= cursor < 2**64
        assert set(names) <= set(SPREAD + TAGGED)


@given(data=st.data(), tagged=st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_is_there_all_the_time_is_returned(data, tagged):
    """Redis's guarantee, with keys that come and go and slots that are split between the calls."""
    pool = TAGGED if tagged else SPREAD
    database = Database(0, Changes(), Policy())
    size = data.draw(st.integers(0, len(pool)))
    staying = pool[: size // 2]
    fill(database, pool[:size])
    found: set[bytes] = set()
    cursor = 0
    while True:
        cursor, names = scan(database, cursor, data.draw(st.sampled_from([5, 40, 300, 3000])))
        found |= set(names)
        if not cursor:
            break
        first = data.draw(st.integers(size // 2, len(pool)))
        changed = pool[first : first + data.draw(st.integers(0, 2000))]
        if data.draw(st.booleans()):
            fill(database, changed)
        else:
            for name in changed:
                database.remove(name, key_slot(name))
    assert set(staying) <= found
    database.check()


def scan_all(client, *options: str | bytes | int) -> set[bytes]:
    cursor, found = b"0", set()
    while True:
        cursor, names = client.call("SCAN", cursor, *options)
        found |= set(names)
        if cursor == b"0":
            return found


def test_match_and_type_filter_what_is_returned(client):
    client.call("MSET", *(word for name in SPREAD[:100] for word in (name, b"v")))
    assert scan_all(client, "MATCH", "key:1?") == {b"key:1%d" % digit for digit in range(10)}
    assert scan_all(client, "TYPE", "string", "COUNT", "7") == set(SPREAD[:100])
    assert scan_all(client, "TYPE", "zset") == scan_all(client, "TYPE", "nonsense") == set()


def test_the_empty_key_is_scanned(client):
    client.call("SET", "", "v")
    assert scan_all(client) == scan_all(client, "MATCH", "*") == {b""}


@pytest.mark.parametrize("options", [[], ["TYPE", "string"]])
def test_expired_keys_are_not_returned_but_removed(client, advance, options):
    client.call("SET", "over", "v", "PX", "10")
    client.call("SET", "there", "v")
    advance(11)
    assert scan_all(client, *options) == {b"there"}
    assert client.node.databases[0].count == 1


def test_keys_on_a_replica_leaves_expired_keys_out_and_in_place(client, advance):
    client.call("SET", "over", "v", "PX", "10")
    client.call("SET", "there", "v")
    client.node.policy.expires = False
    advance(11)
    assert client.call("KEYS", "*") == [b"there"]
    assert scan_all(client) == {b"there"}
    assert client.node.databases[0].count == 2


@pytest.mark.parametrize("cursor", ["x", " 0", "0 ", "1.0", "-", "18446744073709551616", "9" * 5000])
def test_what_is_no_cursor(client, cursor):
    assert client.error("SCAN", cursor) == "ERR invalid cursor"


@pytest.mark.parametrize(
    "options",
    [["COUNT", "0"], ["COUNT", "-1"], ["COUNT"], ["MATCH"], ["TYPE"], ["WHAT", "x"], ["MATCH", "a", "b"]],
)
def test_options_that_are_none(client, options):
    assert client.error("SCAN", "0", *options) == "ERR syntax error"


def test_randomkey_is_any_key_that_is_there(client, advance):
    assert client.call("RANDOMKEY") is None
    client.call("MSET", "a", "1", "b", "2")
    client.call("SET", "over", "v", "PX", "10")
    advance(11)
    assert {client.call("RANDOMKEY") for _ in range(100)} == {b"a", b"b"}


def test_randomkey_on_a_replica_where_everything_is_over(client, advance):
    client.call("SET", "over", "v", "PX", "10")
    client.node.policy.expires = False
    advance(11)
    assert client.call("RANDOMKEY") == b"over"
