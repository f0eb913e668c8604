"""Rankings against sorted lists."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.values import ranking
from node.values.ranking import Entry, Ranking

_SCORES = st.sampled_from([0.0, 1.0, 1.5, -2.0, math.inf, -math.inf])
_MEMBERS = st.binary(max_size=1)


class RankingMachine(RuleBasedStateMachine):
    """A ranking in tiny chunks, and the entries it should have."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        for name, value in (("CHUNK_ENTRIES", 8), ("_FILLED_ENTRIES", 6), ("_JOIN_BELOW", 2)):
            self._patch.setattr(ranking, name, value)

    def teardown(self) -> None:
        self._patch.undo()

    @initialize(entries=st.sets(st.tuples(_SCORES, _MEMBERS), max_size=60))
    def begin(self, entries: set[Entry]) -> None:
        self.model = sorted(entries)
        self.ranking = Ranking(self.model)

    @rule(entries=st.lists(st.tuples(_SCORES, _MEMBERS), max_size=20))
    def add(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry not in self.model:
                self.ranking.add(*entry)
                insort(self.model, entry)

    @rule(seed=st.integers(), count=st.integers(0, 12))
    def remove(self, seed: int, count: int) -> None:
        for entry in Random(seed).sample(self.model, min(count, len(self.model))):
            self.ranking.remove(*entry)
            self.model.remove(entry)

    @rule(least=st.booleans(), count=st.integers(0, 10))
    def pop(self, least: bool, count: int) -> None:
        for _ in range(min(count, len(self.model))):
            assert self.ranking.pop(least=least) == self.model.pop(0 if least else -1)

    @rule(start=st.integers(0, 70), width=st.integers(1, 30))
    def delete(self, start: int, width: int) -> None:
        if start < len(self.model):
            stop = min(start + width, len(self.model))
            self.ranking.delete(start, stop)
            del self.model[start:stop]

    @rule()
    def go_on_with_a_copy(self) -> None:
        original, self.ranking = self.ranking, self.ranking.copy()
        if self.model:
            original.delete(0, original.count)

    @rule(entry=st.tuples(_SCORES, _MEMBERS), start=st.integers(0, 70), width=st.integers(1, 30))
    def ask(self, entry: Entry, start: int, width: int) -> None:
        scores = [score for score, _ in self.model]
        assert self.ranking.rank(*entry) == bisect_left(self.model, entry)
        assert self.ranking.rank_of_score(entry[0], above=False) == sum(s < entry[0] for s in scores)
        assert self.ranking.rank_of_score(entry[0], above=True) == sum(s <= entry[0] for s in scores)
        if start < len(self.model):
            assert self.ranking.entry(start) == self.model[start]
            assert self.ranking.slice(start, start + width) == self.model[start : start + width]
            assert self.ranking.first_score() == scores[0]

    @invariant()
    def agrees(self) -> None:
        self.ranking.check()
        assert list(self.ranking) == self.model


TestRanking = RankingMachine.TestCase
TestRanking.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_entries_that_come_in_order_fill_their_chunks() -> None:
    value = Ranking([])
    for number in range(10 * ranking.CHUNK_ENTRIES):
        value.add(float(number), b"m")
    value.check()
    assert value.memory_bytes() < 1.3 * 16 * value.count


def test_the_first_and_the_last_are_found_without_counting_all() -> None:
    """Who takes from the ends only never pays for ranks."""
    value = Ranking([(float(number), b"m") for number in range(5000)])
    assert value.slice(0, 10) == [(float(number), b"m") for number in range(10)]
    assert value.entry(4999) == (4999.0, b"m")
    assert not value._sizes
    assert value.rank(2500.0, b"m") == 2500
    assert value._sizes
