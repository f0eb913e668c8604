"""Sorted sets against sorted lists of plain dicts."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.values.limits import DEFAULT, Limits
from node.values.zsets import (
    ADDED,
    CHANGED,
    NO_MEMBERS,
    SAME,
    Entry,
    LexRange,
    ScoreRange,
    Zset,
    narrow,
)

_SCORES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, math.inf, -math.inf, 5e-324, 1e308]) | st.floats(
    allow_nan=False
)
_MEMBERS = st.sampled_from([b"a", b"b", b"ab", b"", b"\xff", b"\xfe\xfd", b"a\0", b"x" * 9]) | st.binary(
    max_size=3
)
_INDICES = st.integers(-12, 12)


class ZsetMachine(RuleBasedStateMachine):
    """A sorted set and the scores it should hold."""

    @initialize(
        limits=st.sampled_from(
            [DEFAULT, Limits(zset_max_listpack_entries=5), Limits(zset_max_listpack_value=8)]
        ),
        hint=st.integers(1, 7),
        length=st.integers(1, 9),
    )
    def begin(self, limits: Limits, hint: int, length: int) -> None:
        self.limits = limits
        self.zset = Zset.create(hint, length, limits)
        self.model: dict[bytes, float] = {}
        self.is_table = hint > limits.zset_max_listpack_entries or length > limits.zset_max_listpack_value

    def entries(self) -> list[Entry]:
        return sorted((score, member) for member, score in self.model.items())

    @rule(member=_MEMBERS, score=_SCORES)
    def set_one(self, member: bytes, score: float) -> None:
        old = self.model.get(member)
        expected = ADDED if old is None else SAME if old == score else CHANGED
        assert self.zset.set(member, score, self.limits) == expected
        if old is None:
            self.is_table |= len(self.model) >= self.limits.zset_max_listpack_entries
            self.is_table |= len(member) > self.limits.zset_max_listpack_value
        if expected != SAME:  # so 0 stays where -0 is given
            self.model[member] = score if self.is_table else score + 0.0  # which makes -0 0

    @rule(hint=st.integers(1, 7))
    def reserve(self, hint: int) -> None:
        self.is_table |= hint > self.limits.zset_max_listpack_entries
        self.zset.reserve(hint, self.limits)

    @rule(member=_MEMBERS)
    def remove(self, member: bytes) -> None:
        assert self.zset.remove(member) == (self.model.pop(member, None) is not None)

    @rule(first=_INDICES, last=_INDICES, reverse=st.booleans())
    def remove_by_rank(self, first: int, last: int, reverse: bool) -> None:
        entries = self.entries()
        removed = self.zset.remove_slice(*self.zset.rank_span(first, last, reverse=reverse), reverse=reverse)
        assert removed == _by_index(entries[::-1] if reverse else entries, first, last)
        for _, member in removed:
            del self.model[member]

    @rule(least=st.booleans())
    def pop(self, least: bool) -> None:
        if self.model:
            entry = self.entries()[0 if least else -1]
            assert self.zset.pop(least=least) == entry
            del self.model[entry[1]]

    @rule()
    def go_on_with_a_copy(self) -> None:
        copy, original = self.zset.copy(), self.zset
        original.remove_slice(0, len(original))
        self.zset = copy

    @rule(member=_MEMBERS, first=_INDICES, last=_INDICES)
    def read(self, member: bytes, first: int, last: int) -> None:
        entries = self.entries()
        assert self.zset.score(member) == self.model.get(member)
        ranks = {name: rank for rank, (_, name) in enumerate(entries)}
        assert self.zset.rank(member) == ranks.get(member)
        assert self.zset.slice(*self.zset.rank_span(first, last)) == _by_index(entries, first, last)
        assert list(self.zset) == entries
        assert sorted(self.zset.scan(0, 1000)[1]) == entries
        assert len(set(self.zset.sample(Random(1), 3))) == min(3, len(entries))
        if entries:
            assert self.zset.random_entry(Random(first)) in entries
            assert set(self.zset.random_entries(Random(first), 4)) <= set(entries)

    @rule(
        low=_SCORES,
        high=_SCORES,
        low_open=st.booleans(),
        high_open=st.booleans(),
        offset=st.integers(-1, 3),
        count=st.integers(-1, 3),
        reverse=st.booleans(),
    )
    def read_by_score(
        self, low: float, high: float, low_open: bool, high_open: bool, offset: int, count: int, reverse: bool
    ) -> None:
        found = [
            (score, member)
            for score, member in self.entries()
            if (low < score if low_open else low <= score) and (score < high if high_open else score <= high)
        ]
        start, stop = self.zset.score_span(ScoreRange(low, high, low_open, high_open))
        assert stop - start == len(found)
        assert self.zset.slice(start, stop) == found
        if reverse:
            found.reverse()
        expected = [] if offset < 0 else found[offset:] if count < 0 else found[offset : offset + count]
        span = narrow((start, stop), offset, count, reverse=reverse)
        assert self.zset.slice(*span, reverse=reverse) == expected

    @invariant()
    def agrees(self) -> None:
        self.zset.check()
        assert len(self.zset) == len(self.model)
        assert self.zset.encoding() == (b"skiplist" if self.is_table else b"listpack")
        signs = {member: math.copysign(1, score) for member, score in self.model.items()}
        assert {member: math.copysign(1, score) for score, member in self.zset.entries()} == signs


def _by_index(entries: list[Entry], first: int, last: int) -> list[Entry]:
    size = len(entries)
    start = max(first + size, 0) if first < 0 else first
    stop = last + size if last < 0 else last
    return entries[start : stop + 1] if stop >= 0 else []


TestZset = ZsetMachine.TestCase
TestZset.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("limits", [DEFAULT, Limits(zset_max_listpack_entries=0)])
def test_ranges_of_members(limits: Limits) -> None:
    names = [b"", b"a", b"a\0", b"aa", b"b", b"\xff"]
    value = Zset.from_entries([(7.0, name) for name in names], limits)
    bounds = [None, b"", b"a", b"a\0", b"a\0\0", b"ab", b"\xff", b"\xff\xff"]
    for low in bounds:
        for high in bounds:
            for low_open in (False, True):
                for high_open in (False, True):
                    start, stop = value.lex_span(LexRange(low, high, low_open, high_open))
                    assert [member for _, member in value.slice(start, stop)] == [
                        name
                        for name in names
                        if (low is None or (low < name if low_open else low <= name))
                        and (high is None or (name < high if high_open else name <= high))
                    ]
                    assert start <= stop
    start, stop = value.lex_span(NO_MEMBERS)
    assert start == stop
    assert Zset.create(1000, 1, limits).lex_span(LexRange(b"a", None)) == (0, 0)


@pytest.mark.parametrize(
    ("size", "member", "encoding"),
    [
        (128, b"", b"listpack"),
        (129, b"", b"skiplist"),
        (1, b"x" * 63, b"listpack"),
        (1, b"x" * 64, b"skiplist"),
    ],
)
def test_encodings_of_loaded_sets(size: int, member: bytes, encoding: bytes) -> None:
    entries = [(float(n % 7), b"%d%b" % (n, member)) for n in range(size)]
    value = Zset.from_entries(entries, DEFAULT)
    value.check()
    assert value.encoding() == encoding
    assert value.entries() == sorted(entries)


@pytest.mark.parametrize(("entries", "texts"), [(128, ["0.0", "0.0"]), (0, ["-0.0", "0.0"])])
def test_minus_zero_is_zero_and_stays_minus_zero_in_a_table_only(entries: int, texts: list[str]) -> None:
    """Redis writes a whole score into a listpack as an integer."""
    limits = Limits(zset_max_listpack_entries=entries)
    value = Zset()
    value.set(b"b", 0.0, limits)
    value.set(b"a", -0.0, limits)
    assert [member for _, member in value.entries()] == [b"a", b"b"]
    assert value.set(b"b", -0.0, limits) == SAME
    assert [str(score) for score, _ in value.entries()] == texts
    assert [str(score) for score, _ in Zset.from_entries(value, limits).entries()] == texts


def test_thousands_of_members() -> None:
    rng = Random(5)
    model = {b"m:%d" % n: float(rng.randrange(500)) for n in range(4000)}
    value = Zset()
    for member, score in model.items():
        value.set(member, score, DEFAULT)
    for member in rng.sample(sorted(model), 2000):
        model[member] += 1000
        assert value.set(member, model[member], DEFAULT) == CHANGED
    value.check()
    entries = sorted((score, member) for member, score in model.items())
    assert value.entries() == entries
    assert [value.rank(member) for _, member in entries[::100]] == list(range(0, 4000, 100))
    assert value.remove_slice(10, 3000, reverse=True) == entries[10:3000][::-1]
    value.check()
    met = []
    cursor = 0
    while True:
        cursor, found = value.scan(cursor, 10)
        met += found
        if not cursor:
            break
    assert sorted(met) == entries[:10] + entries[3000:]
    assert len(set(value.sample(rng, 500))) == 500


@pytest.mark.parametrize("size", [20, 400])
def test_every_entry_is_chosen_as_often(size: int) -> None:
    value = Zset.from_entries([(1.0, b"%d" % n) for n in range(size)], DEFAULT)
    rng = Random(6)
    times = Counter(value.random_entry(rng) for _ in range(100 * size))
    assert len(times) == size
    assert all(abs(number - 100) < 60 for number in times.values())


def test_small_sets_take_little_memory() -> None:
    assert Zset.from_entries([(n, b"m:%d" % n) for n in range(10)], DEFAULT).memory_bytes() < 400
    full = Zset.from_entries([(n, b"member:%d" % n) for n in range(10_000)], DEFAULT)
    assert 1_000_000 < full.memory_bytes() < 1_500_000
