"""Tables of many keys: dicts by the bits of hashes."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.values.split_dict import BUCKET_KEYS, SplitDict, Table, pop_random, random_key, sample_keys, scan


def _keys(start: int, stop: int) -> list[bytes]:
    return [b"key:%d" % number for number in range(start, stop)]


def test_it_behaves_as_a_dict() -> None:
    table: SplitDict[int] = SplitDict(dict.fromkeys(_keys(0, 5000), 1))
    table.check()
    for number, key in enumerate(_keys(3000, 8000)):
        table[key] = number
    assert len(table) == 8000
    assert dict(table.items()) == {
        **dict.fromkeys(_keys(0, 3000), 1),
        **{key: number for number, key in enumerate(_keys(3000, 8000))},
    }
    assert table[b"key:2999"] == 1
    assert table.get(b"key:8000") is None
    assert b"key:7999" in table
    assert table.pop(b"key:8000") is None
    assert sum(table.values()) == 3000 + 4999 * 5000 // 2
    table.check()


def test_buckets_are_joined_as_keys_go() -> None:
    table = SplitDict(dict.fromkeys(_keys(0, 20_000), True))
    buckets = sum(1 for _ in table.buckets())
    twin = table.copy()
    for key in _keys(50, 20_000):
        assert table.pop(key)
    table.check()
    assert buckets > 20_000 // BUCKET_KEYS
    assert sum(1 for _ in table.buckets()) == 1
    assert len(twin) == 20_000
    twin.check()


def test_keys_that_share_many_bits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However alike hashes are, the directory does not grow without end."""
    monkeypatch.setattr("node.values.split_dict._DEPTH_MAX", 4)
    table = SplitDict(dict.fromkeys(_keys(0, 200), True))
    for key in _keys(200, 5000):
        table[key] = True
    table.check()
    assert sorted(table) == sorted(_keys(0, 5000))
    assert sum(1 for _ in table.buckets()) == 16


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2000), st.integers(1, 300), st.integers(0, 2**32))
def test_a_scan_meets_everything_that_stays(size: int, count: int, seed: int) -> None:
    """Keys that come and go meanwhile, in numbers that split and join buckets, do not matter."""
    rng = Random(seed)
    table: Table[bool] = dict.fromkeys(_keys(0, size), True)
    if len(table) > BUCKET_KEYS:
        table = SplitDict(table)
    others = [b"%d:%d" % (seed, number) for number in range(4000)]
    met: list[bytes] = []
    cursor = steps = 0
    while True:
        cursor, found = scan(table, cursor, count)
        met += found
        if not cursor:
            break
        if isinstance(table, SplitDict):
            for key in rng.sample(others, 400):
                if rng.random() < 0.5:
                    table[key] = True
                else:
                    table.pop(key)
        steps += 1
        assert steps < 10_000
    assert set(met) >= set(_keys(0, size))
    if isinstance(table, SplitDict):
        table.check()


def test_a_scan_returns_about_as_many_as_asked_for() -> None:
    table = SplitDict(dict.fromkeys(_keys(0, 50_000), True))
    cursor, sizes = 0, []
    while True:
        cursor, found = scan(table, cursor, 10)
        sizes.append(len(found))
        if not cursor:
            break
    assert sum(sizes) == 50_000
    assert max(sizes) < 100
    assert sum(sizes) / len(sizes) > 5


@pytest.mark.parametrize("cursor", [1, 12345, 2**47, 2**64 - 1, -1])
def test_any_cursor_comes_to_an_end(cursor: int) -> None:
    table = SplitDict(dict.fromkeys(_keys(0, 1000), True))
    for _ in range(10_000):
        cursor, _found = scan(table, cursor, 10)
        if not cursor:
            return
    pytest.fail("the scan goes on and on")


@pytest.mark.parametrize("size", [1, 5, 170, 171, 1000])
def test_random_keys_are_fair(size: int) -> None:
    """No key is far from its share, in a table that has grown and shrunk unevenly."""
    table: Table[bool] = dict.fromkeys(_keys(0, size), True)
    if size > BUCKET_KEYS:
        table = SplitDict(dict.fromkeys(_keys(0, 20 * size), True))
        for key in _keys(size, 20 * size):
            table.pop(key)
    rng = Random(1)
    share = 200
    times = Counter(random_key(table, rng) for _ in range(share * size))
    assert set(times) == set(_keys(0, size))
    assert all(abs(number - share) < 6 * share**0.5 for number in times.values())


@pytest.mark.parametrize("count", [0, 1, 50, 300, 700, 999, 1000, 2000])
def test_samples_are_of_different_keys(count: int) -> None:
    table = SplitDict(dict.fromkeys(_keys(0, 1000), True))
    sample = sample_keys(table, Random(2), count)
    assert len(set(sample)) == len(sample) == min(count, 1000)
    assert set(sample) <= set(table)


@pytest.mark.parametrize("size", [3, 5000])
def test_popping_at_random_takes_each_key_once(size: int) -> None:
    table: Table[bool] = dict.fromkeys(_keys(0, size), True)
    if size > BUCKET_KEYS:
        table = SplitDict(table)
    rng = Random(5)
    popped = [pop_random(table, rng) for _ in range(size - 2)]
    if isinstance(table, SplitDict):
        table.check()
    assert sorted([*popped, *table]) == sorted(_keys(0, size))


def test_what_is_put_and_what_is_put_only_when_new() -> None:
    table: SplitDict[int] = SplitDict({})
    assert [table.put(key, 1) for key in (b"a", b"b", b"a")] == [True, True, False]
    assert table.put_new(b"a", 2) == 1
    assert table.put_new(b"c", 3) is None
    assert dict(table.items()) == {b"a": 1, b"b": 1, b"c": 3}
    for key in _keys(0, 1000):
        assert table.put_new(key, 4) is None
    table.check()
