"""Faults on purpose: who is cut off, for how long, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from node.faults import Faults


class Later:
    """Timers that are run by hand."""

    def __init__(self) -> None:
        self.waiting: list[Pending] = []

    def after(self, ms: int, callback: Callable[[], None]) -> Pending:
        pending = Pending(self, ms, callback)
        self.waiting.append(pending)
        return pending


class Pending:
    def __init__(self, later: Later, ms: int, callback: Callable[[], None]) -> None:
        self.later, self.ms, self.callback = later, ms, callback

    def cancel(self) -> None:
        if self in self.later.waiting:
            self.later.waiting.remove(self)


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def faults(later: Later) -> Faults:
    return Faults(later.after)


def test_peers_are_cut_off_until_the_time_is_over(faults: Faults, later: Later) -> None:
    told: list[tuple[str, frozenset[str]]] = []
    faults.on_cut.append(lambda peers: told.append(("cut", peers)))
    faults.on_healed.append(lambda peers: told.append(("healed", peers)))
    peers = frozenset(("a" * 40, "127.0.0.1:7000"))
    faults.cut_off(peers, 500)
    assert not faults.may_reach("127.0.0.1", 7000)
    assert faults.may_reach("127.0.0.1", 7001)
    [timer] = later.waiting
    assert timer.ms == 500
    timer.callback()
    assert faults.may_reach("127.0.0.1", 7000)
    assert told == [("cut", peers), ("healed", peers)]


def test_the_latest_cut_counts_and_one_timer_is_left(faults: Faults, later: Later) -> None:
    faults.cut_off(frozenset(("h:1",)), 500)
    faults.cut_off(frozenset(("h:2",)), 600)
    assert faults.may_reach("h", 1)
    assert not faults.may_reach("h", 2)
    assert [timer.ms for timer in later.waiting] == [600]


def test_healing_ends_everything_and_may_be_repeated(faults: Faults, later: Later) -> None:
    healed: list[frozenset[str]] = []
    faults.on_healed.append(healed.append)
    faults.cut_off(frozenset(("h:1",)), 500)
    faults.slow_down(50, 500)
    faults.heal()
    faults.heal()
    assert (faults.cut, faults.sync_delay_ms, later.waiting) == (frozenset(), 0, [])
    assert len(healed) == 1


def test_a_sync_takes_longer_while_the_disk_is_slow(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s: list[float] = []
    monkeypatch.setattr(time, "sleep", slept_s.append)
    faults.before_sync()
    assert not any(slept_s)
    faults.slow_down(30, 500)
    faults.before_sync()
    assert slept_s[-1] == 0.03
