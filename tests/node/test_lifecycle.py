"""The end of a node: waiting for replicas, giving up, being forced."""

from __future__ import annotations

import pytest
import trio

from node.app import Node
from node.config.config import Config
from node.config.table import SAVE, SHUTDOWN_TIMEOUT
from node.lifecycle import ShutdownError, ShutdownOptions


@pytest.fixture
def ending_node():
    config = Config()
    config.store(SAVE, ())
    return Node(config)


@pytest.fixture
def lifecycle(ending_node):
    return ending_node.lifecycle


async def test_it_ends_at_once_when_nothing_lags(lifecycle, autojump_clock):
    done = []
    lifecycle.before_exit.append(lambda: done.append(1))
    lifecycle.request_shutdown("because")
    await lifecycle.wait()
    assert done == [1]
    assert trio.current_time() == pytest.approx(0, abs=0.01)


async def test_it_waits_for_replicas_with_writes_held_back(ending_node, lifecycle, autojump_clock):
    lagging = ["127.0.0.1:7"]
    lifecycle.lagging.append(lambda: list(lagging))
    async with trio.open_nursery() as nursery:
        lifecycle.request_shutdown("because")
        nursery.start_soon(lifecycle.wait)
        await trio.sleep(3)
        pause = ending_node.clients.paused()
        assert pause is not None
        assert not pause.all_commands
        lagging.clear()
    assert 3 <= trio.current_time() < 3.1


async def test_it_waits_no_longer_than_shutdown_timeout(ending_node, lifecycle, autojump_clock):
    ending_node.config.store(SHUTDOWN_TIMEOUT, 7)
    lifecycle.lagging.append(lambda: ["127.0.0.1:7"])
    lifecycle.request_shutdown("because")
    await lifecycle.wait()
    assert trio.current_time() == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("how", ["now", "no time-out", "failure"])
async def test_it_does_not_wait_when_it_is_not_to(ending_node, lifecycle, autojump_clock, how):
    lifecycle.lagging.append(lambda: ["127.0.0.1:7"])
    if how == "no time-out":
        ending_node.config.store(SHUTDOWN_TIMEOUT, 0)
    if how == "failure":
        lifecycle.request_shutdown("the disk is full", exit_status=1)
    else:
        lifecycle.request_shutdown("because", options=ShutdownOptions(now=how == "now"))
    await lifecycle.wait()
    assert trio.current_time() == pytest.approx(0, abs=0.01)
    assert lifecycle.exit_status == (1 if how == "failure" else 0)


async def test_abort_while_it_waits(ending_node, lifecycle, autojump_clock):
    lifecycle.lagging.append(lambda: ["127.0.0.1:7"])
    failed = []
    lifecycle.on_failure.append(lambda: failed.append(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifecycle.wait)
        lifecycle.request_shutdown("because")
        await trio.sleep(1)
        assert lifecycle.abort()
        assert failed == [1]
        assert ending_node.clients.paused() is None
        await trio.sleep(100)
        assert not lifecycle.is_ending
        nursery.cancel_scope.cancel()


async def test_a_failing_save_keeps_the_node_alive_unless_forced(lifecycle, autojump_clock):
    def save(_wanted: bool | None) -> None:
        raise ShutdownError("the disk is full")

    lifecycle.final_save = save
    lifecycle.request_shutdown("because")
    with trio.move_on_after(10) as scope:
        await lifecycle.wait()
    assert scope.cancelled_caught
    assert not lifecycle.is_ending
    lifecycle.request_shutdown("because", options=ShutdownOptions(force=True))
    await lifecycle.wait()


async def test_the_first_request_counts(lifecycle, autojump_clock):
    lifecycle.request_shutdown("first", exit_status=3)
    lifecycle.request_shutdown("second", exit_status=4)
    await lifecycle.wait()
    assert lifecycle.exit_status == 3
