"""ctl.plan.allocate"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.plan.allocate import even_ranges


def test_three_primaries_get_the_ranges_of_every_tutorial() -> None:
    assert even_ranges(3) == [(0, 5460), (5461, 10922), (10923, 16383)]


@given(st.integers(1, 16384))
def test_ranges_follow_each_other_cover_all_and_differ_by_one(count: int) -> None:
    ranges = even_ranges(count)
    assert len(ranges) == count
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 16383
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(ranges))
    sizes = {last - first + 1 for first, last in ranges}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [0, 16385])
def test_impossible_counts_are_our_mistake(count: int) -> None:
    with pytest.raises(AssertionError):
        even_ranges(count)
