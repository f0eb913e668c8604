"""Databases: partitions, counts, deadlines, expiry by role."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.slots import key_slot
from node.keyspace.changes import Changes, EventClass
from node.keyspace.database import PARTITION_KEYS, Database, Policy
from node.values.split_dict import SplitDict

SLOT = key_slot(b"tag")
TAGGED = [b"{tag}%d" % number for number in range(4 * PARTITION_KEYS)]


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
def database(changes, policy) -> Database:
    return Database(0, changes, policy)


def put(database: Database, *names: bytes, deadline_ms: int | None = None) -> None:
    for name in names:
        database.put(name, key_slot(name), b"v")
        if deadline_ms is not None:
            database.set_deadline(name, deadline_ms)


def read(database: Database, name: bytes, now_ms: int = 0) -> object:
    return database.read(name, key_slot(name), now_ms)


def test_reading_counts_hits_and_misses_and_peeking_does_not(database):
    put(database, b"a")
    assert read(database, b"a") == b"v"
    assert read(database, b"b") is None
    assert database.peek(b"a", key_slot(b"a"), 0) == b"v"
    assert database.peek(b"c", key_slot(b"c"), 0) is None
    assert (database.hits, database.misses) == (1, 1)


def test_put_clears_a_deadline_and_update_keeps_it(database):
    put(database, b"a", deadline_ms=100)
    database.update(b"a", key_slot(b"a"), b"w")
    assert database.deadline(b"a") == 100
    put(database, b"a")
    assert database.deadline(b"a") is None
    database.check()


def test_a_key_expires_when_it_is_found_to_be_over(database, changes):
    put(database, b"a", deadline_ms=100)
    assert read(database, b"a", 99) == b"v"
    assert read(database, b"a", 100) is None
    assert changes.log == [(EventClass.EXPIRED, b"expired", b"a", 0)]
    assert changes.expired == [(0, [b"DEL", b"a"])]
    assert (database.count, database.expired_total, database.misses) == (0, 1, 1)


def test_a_replica_hides_and_keeps(database, changes, policy):
    put(database, b"a", deadline_ms=100)
    policy.expires = False
    assert read(database, b"a", 100) is None
    assert database.peek(b"a", key_slot(b"a"), 100) is None
    assert (database.count, changes.log) == (1, [])
    assert not database.is_over(1, 100)


def test_a_command_of_the_primary_sees_everything(database, policy):
    put(database, b"a", deadline_ms=100)
    policy.expires, policy.obeys = False, True
    assert read(database, b"a", 100) == b"v"
    assert database.peek(b"a", key_slot(b"a"), 100) == b"v"


def test_expire_due_removes_a_bounded_number(database, changes):
    put(database, *TAGGED[:50], deadline_ms=100)
    put(database, b"later", deadline_ms=10_000)
    assert database.expire_due(1000, 20) == 20
    assert database.expire_due(1000, 100) == 30
    assert database.expire_due(1000, 100) == 0
    assert (database.count, len(changes.expired)) == (1, 50)
    database.check()


def test_clearing_a_slot_is_silent_and_leaves_the_others(database, changes):
    put(database, b"{tag}a", b"{tag}b", b"other", deadline_ms=100)
    assert database.clear_slot(SLOT) == 2
    assert database.clear_slot(SLOT) == 0
    assert (database.count, database.slot_count(SLOT), changes.log) == (1, 0, [])
    database.check()


def test_slot_keys_are_at_most_as_many_as_asked_for(database):
    put(database, *TAGGED[:10])
    assert sorted(database.slot_keys(SLOT, 100)) == sorted(TAGGED[:10])
    assert len(database.slot_keys(SLOT, 3)) == 3
    assert database.slot_keys(SLOT + 1, 3) == []


def test_swapping_exchanges_contents_and_not_numbers(database, changes, policy):
    other = Database(1, changes, policy)
    put(database, b"a", deadline_ms=100)
    put(other, b"b", b"c")
    database.swap_contents(other)
    assert (sorted(database.keys()), list(other.keys())) == ([b"b", b"c"], [b"a"])
    assert (database.index, database.count, other.count, other.deadline(b"a")) == (0, 2, 1, 100)
    database.check()
    other.check()


def test_random_keys_are_chosen_evenly_among_all(database):
    names = [*TAGGED[:20], b"alone"]
    put(database, *names)
    rng = random.Random(7)
    drawn = Counter(database.random_key(rng) for _ in range(21 * 200))
    assert set(drawn) == set(names)
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_random_keys_are_chosen_evenly_among_thousands(database):
    """Where slots are tried, those of one key and of seven each have their share."""
    alone = [b"key:%d" % number for number in range(3000)]
    together = [b"{%d}%d" % (tag, number) for tag in range(100) for number in range(7)]
    put(database, *alone, *together)
    rng = random.Random(7)
    draws = 10_000
    drawn = Counter(database.random_key(rng) for _ in range(draws))
    for names in (together, alone, [name for name in together if name.endswith(b"}0")]):
        expected = draws * len(names) / database.count
        assert abs(sum(drawn[name] for name in names) - expected) < 5 * expected**0.5


def test_random_keys_of_a_split_slot(database):
    put(database, *TAGGED)
    rng = random.Random(7)
    drawn = {database.random_key(rng) for _ in range(2000)}
    assert len(drawn) > 1500
    assert drawn <= set(TAGGED)


def test_random_keys_are_chosen_evenly_whatever_the_size_of_their_slot(database, changes, policy):
    """Slots of one key, of a few and of thousands: none of them is drawn more often than its keys deserve."""
    few = [b"{%d}%d" % (tag, number) for tag in range(500) for number in range(tag % 20)]
    put(database, *few, *TAGGED)
    other = Database(1, changes, policy)
    database.swap_contents(other)
    database.check()
    other.check()
    rng = random.Random(7)
    draws = 10_000
    drawn = Counter(other.random_key(rng) for _ in range(draws))
    for names in (TAGGED, [name for name in few if name.endswith(b"}0")], few):
        expected = draws * len(names) / other.count
        assert abs(sum(drawn[name] for name in names) - expected) < 5 * expected**0.5
    other.clear_slot(SLOT)
    other.check()
    assert other.random_key(rng) in few
    put(database, b"alone")
    assert database.random_key(rng) == b"alone"


def test_a_slot_of_thousands_of_keys_is_split_and_behaves_as_before(database):
    put(database, *TAGGED[:PARTITION_KEYS])
    assert isinstance(database.slots[SLOT], dict)
    put(database, *TAGGED)
    partition = database.slots[SLOT]
    assert isinstance(partition, SplitDict)
    assert (len(partition), database.count, database.slot_count(SLOT)) == (len(TAGGED),) * 3
    assert sorted(database.keys()) == sorted(TAGGED)
    assert dict(partition.items()) == dict.fromkeys(TAGGED, b"v")
    assert TAGGED[0] in partition
    assert b"{tag}x" not in partition
    database.check()
    for name in TAGGED:
        assert database.remove(name, SLOT) == b"v"
    assert database.remove(TAGGED[0], SLOT) is None
    assert database.count == len(partition) == 0
    put(database, b"{tag}again")
    assert read(database, b"{tag}again") == b"v"
    database.check()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(TAGGED) - 1), st.integers(1, 900)), max_size=25))
@settings(max_examples=40, deadline=None)
def test_a_split_slot_holds_what_a_dict_would(steps):
    database = Database(0, Changes(), Policy())
    expected: dict[bytes, int] = {}
    for adding, first, count in steps:
        for name in TAGGED[first : first + count]:
            if adding:
                database.update(name, SLOT, first)
                expected[name] = first
            else:
                assert database.remove(name, SLOT) == expected.pop(name, None)
    assert database.count == len(expected)
    assert {name: database.peek(name, SLOT, 0) for name in database.keys()} == expected  # noqa: SIM118
    database.check()
