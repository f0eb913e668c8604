"""How long a shard took no writes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ctl.plan.drill_history import Outcome, Write
from ctl.plan.drill_outage import Outage, outage


def of(done_ms: Sequence[float], failed_ms: Sequence[float] = (), end_ms: float = 100.0) -> Outage:
    writes = [
        Write("k", at, ms - 1, ms, outcome)
        for outcome, times in ((Outcome.OK, done_ms), (Outcome.REFUSED, failed_ms))
        for at, ms in enumerate(times)
    ]
    return outage("s", "clients", writes, 0.0, end_ms, expected=True)


def test_the_longest_time_between_two_acknowledged_writes_after_the_fault() -> None:
    found = of([-60, -20, -10, 40, 50, 90])
    assert (found.longest_ms, found.begin_ms, found.end_ms, found.over) == (50, -10, 40, True)
    assert found.usual_ms == 40


def test_what_was_before_the_fault_does_not_count() -> None:
    assert of([-90, -10, 5, 10]).longest_ms == 15


def test_a_shard_that_never_came_back() -> None:
    found = of([-5, 5, 10], failed_ms=[20, 60])
    assert (found.longest_ms, found.end_ms, found.over) == (90, 100, False)
    assert (found.acked, found.attempts) == (3, 5)


def test_no_write_at_all_after_the_fault() -> None:
    found = of([-20, -5])
    assert (found.longest_ms, found.begin_ms, found.end_ms) == (105, -5, 100)


def test_a_long_time_that_is_over_before_a_short_one_that_is_not() -> None:
    found = of([-5, 60, 90], failed_ms=[95])
    assert (found.longest_ms, found.over) == (65, True)


def test_a_shard_without_a_write_before_the_fault_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="before the fault"):
        of([5, 10])
