"""While data are loaded clients wait, and INFO tells how far it is."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from node.guards import Guard, Guards
from node.persistence import loading as module
from node.persistence.loading import Loading, Pace


def test_guard_holds_from_the_first_expectation_to_the_end() -> None:
    guards = Guards()
    loading = Loading(guards)
    assert not loading.active
    loading.expect()
    assert Guard.LOADING in guards
    loading.begin(1000)
    assert loading.active
    loading.end()
    assert loading.active, "the node has not started"
    loading.ready()
    assert Guard.LOADING not in guards
    loading.begin(1000)
    assert loading.active
    loading.end()
    assert Guard.LOADING not in guards


def test_info_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(module.time, "time", lambda: now_s)
    loading = Loading(Guards())
    assert dict(loading.info()) == {"loading": 0, "async_loading": 0}
    loading.begin(4000)
    now_s = 1_010.0
    loading.progress(1000, 777)
    assert dict(loading.info()) == {
        "loading": 1,
        "async_loading": 0,
        "loading_start_time": 1000,
        "loading_total_bytes": 4000,
        "loading_rdb_used_mem": 777,
        "loading_loaded_bytes": 1000,
        "loading_loaded_perc": "25.00",
        "loading_eta_seconds": 30,
    }
    loading.end()
    assert "loading_total_bytes" not in dict(loading.info())


def test_progress_is_told_to_those_who_must_not_sleep() -> None:
    loading = Loading(Guards())
    told: list[Any] = []
    loading.on_progress.append(lambda: told.append(1))
    loading.begin(10)
    loading.progress(5)
    assert told == [1]


async def test_others_have_their_turn_when_a_slice_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        pace = Pace()
        before = turns
        await pace.breathe()
        assert turns == before
        now_s += module.SLICE_S
        await pace.breathe()
        await trio.lowlevel.checkpoint()
        assert turns > before
        nursery.cancel_scope.cancel()


def test_data_loaded_beside_those_that_are_served_keep_nobody_waiting() -> None:
    guards = Guards()
    loading = Loading(guards)
    loading.begin(500, beside=True)
    assert Guard.LOADING not in guards
    told = dict(loading.info())
    assert (told["loading"], told["async_loading"], told["loading_total_bytes"]) == (0, 1, 500)
    loading.end()
    assert dict(loading.info()) == {"loading": 0, "async_loading": 0}
