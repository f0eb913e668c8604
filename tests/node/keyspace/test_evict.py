"""Which key each policy gives up, on made-up data."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest

from gossip.slots import key_slot
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.keyspace.evict import POOL_KEYS, Choice, Victims, choice_of

POLICIES = [f"{keys}-{order}" for keys in ("allkeys", "volatile") for order in ("lru", "lfu", "random")] + [
    "volatile-ttl"
]


def make(index: int, count: int) -> Database:
    """Keys k0, k1, … of which no deadline."""
    database = Database(index, Changes(), Policy())
    for number in range(count):
        key = b"k%d" % number
        database.put(key, key_slot(key), number)
    return database


def number_of(_database: Database, key: bytes) -> int:
    """The higher the number, the sooner it goes."""
    return int(key[1:])


def evict(victims: Victims, policy: str, count: int, samples: int = 5) -> list[tuple[int, bytes]]:
    found = []
    choice = choice_of(policy)
    assert choice is not None
    for _ in range(count):
        victim = victims.next(choice, samples, number_of)
        if victim is None:
            break
        database, key = victim
        assert database.remove(key, key_slot(key)) is not None
        found.append((database.index, key))
    return found


def test_names_of_policies():
    assert choice_of("noeviction") is None
    assert choice_of("allkeys-lru") == Choice(False, "lru")
    assert choice_of("volatile-ttl") == Choice(True, "ttl")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_key_that_may_go_goes_and_no_other(policy):
    """To the last, in several databases; each victim existed (evict asserts it)."""
    databases = [make(0, 300), make(1, 0), make(2, 50)]
    for key in (b"k3", b"k7", b"k40"):
        databases[2].set_deadline(key, 1000)
    gone = set(evict(Victims(databases, random.Random(1)), policy, 1000))
    if policy.startswith("volatile"):
        assert gone == {(2, b"k3"), (2, b"k7"), (2, b"k40")}
    else:
        assert len(gone) == 350
    for database in databases:
        database.check()


@pytest.mark.parametrize("policy", [each for each in POLICIES if each.startswith("volatile")])
def test_without_deadlines_there_is_nothing_volatile(policy):
    assert evict(Victims([make(0, 100)], random.Random(1)), policy, 1) == []


@pytest.mark.parametrize("count", [400, 20_000])
def test_the_next_to_end_go_first(count):
    """Among all databases, whatever else is known of the keys."""
    databases = [make(0, count), make(1, count)]
    order = list(range(count))
    random.Random(3).shuffle(order)
    for rank, number in enumerate(order):
        databases[number % 2].set_deadline(b"k%d" % number, 10_000 + rank * 100)
    soon = set(order[: count // 2])
    gone = evict(Victims(databases, random.Random(1)), "volatile-ttl", count // 10)
    assert sum(int(key[1:]) in soon for _, key in gone) > 0.97 * len(gone)


@pytest.mark.parametrize("count", [500, 40_000])
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lfu"])
def test_the_pool_comes_close_to_the_true_order(policy, count):
    """Of the tenth that goes, nearly all are of the worse half, and most of the worst fifth."""
    database = make(0, count)
    for number in range(count):
        database.set_deadline(b"k%d" % number, 10_000)
    gone = [int(key[1:]) for _, key in evict(Victims([database], random.Random(2)), policy, count // 10)]
    assert sum(number >= count // 2 for number in gone) > 0.97 * len(gone)
    assert sum(number >= count * 8 // 10 for number in gone) > 0.6 * len(gone)


def test_more_samples_come_closer():
    def mean(samples: int) -> float:
        gone = evict(Victims([make(0, 5000)], random.Random(2)), "allkeys-lru", 500, samples)
        return sum(int(key[1:]) for _, key in gone) / len(gone)

    assert mean(1) < mean(5) < mean(20)


def test_few_keys_with_a_deadline_among_many_are_found():
    """One in a thousand: they are taken with one pass, and all are found."""
    database = make(0, 20_000)
    volatile = {b"k%d" % number for number in range(0, 20_000, 1000)}
    for key in volatile:
        database.set_deadline(key, 1000)
    gone = evict(Victims([database], random.Random(1)), "volatile-lru", 1000)
    assert {key for _, key in gone} == volatile


def test_random_takes_turns_between_databases():
    gone = evict(Victims([make(0, 50), make(1, 50)], random.Random(1)), "allkeys-random", 20)
    assert Counter(index for index, _ in gone) == {0: 10, 1: 10}


def test_a_key_of_the_pool_that_is_gone_is_passed_over():
    database = make(0, 2000)
    victims = Victims([database], random.Random(1))
    evict(victims, "allkeys-lru", 1)
    for number in range(1000, 2000):
        key = b"k%d" % number
        database.remove(key, key_slot(key))
    gone = evict(victims, "allkeys-lru", POOL_KEYS)
    assert len(gone) == POOL_KEYS
    assert all(int(key[1:]) < 1000 for _, key in gone)


def test_a_key_that_lost_its_deadline_is_volatile_no_more():
    database = make(0, 2000)
    for number in range(2000):
        database.set_deadline(b"k%d" % number, 1000)
    victims = Victims([database], random.Random(1))
    evict(victims, "volatile-lru", 1)
    for number in range(1000, 2000):
        database.clear_deadline(b"k%d" % number)
    assert all(int(key[1:]) < 1000 for _, key in evict(victims, "volatile-lru", POOL_KEYS))


def test_random_keys_are_as_likely_each():
    """Also those of fuller slots: slot 0 of `{}` tags holds a quarter of all here."""
    database = make(0, 6000)
    for number in range(2000):
        key = b"{tag%d}%d" % (number % 50, number)
        database.put(key, key_slot(key), 1)
    rng = random.Random(4)
    tagged = total = 0
    for _ in range(4000):
        for key in database.random_keys(rng, 5):
            tagged += key.startswith(b"{")
            total += 1
    assert 0.17 < tagged / total < 0.33


def test_a_slot_gives_back_what_keys_that_are_gone_have_held():
    """A dict does not shrink by itself; an empty one goes."""
    database = Database(0, Changes(), Policy())
    keys = [b"{t}%d" % number for number in range(1000)]
    slot = key_slot(keys[0])
    for key in keys:
        database.put(key, slot, 1)
    full = sys.getsizeof(database.slots[slot])
    for key in keys[:-3]:
        database.remove(key, slot)
        database.trim(slot)
    assert set(database.keys()) == set(keys[-3:])
    assert sys.getsizeof(database.slots[slot]) < full / 10
    for key in keys[-3:]:
        database.remove(key, slot)
        database.trim(slot)
    assert database.slots[slot] is None
    database.check()
