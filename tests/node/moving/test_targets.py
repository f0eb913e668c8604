"""Connections to targets, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from node.moving import targets
from node.moving.targets import ConnectError, ReadFailed, Target, Targets, WriteFailed
from node.resp.stream import BufferedStream

HERE = ("127.0.0.1", 7000)
THERE = ("127.0.0.1", 7001)


@pytest.fixture
async def connections(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Targets]:
    """Those of a node; the other ends are open and silent."""
    ends: list[trio.SocketStream] = []

    async def connect(host: str, port: int, **_: Any) -> BufferedStream:
        ours, theirs = (trio.SocketStream(each) for each in trio.socket.socketpair())
        ends.append(theirs)
        return BufferedStream(ours, f"{host}:{port}")

    monkeypatch.setattr(targets, "connect", connect)
    made = Targets(lambda: "")
    yield made
    await made.drop_idle(0)
    for end in ends:
        await end.aclose()


async def test_one_that_is_used_is_not_given_to_another(connections: Targets) -> None:
    first = await connections.take(HERE, 1)
    second = await connections.take(HERE, 1)
    assert connections.count == 2
    connections.give_back(first)
    assert await connections.take(HERE, 1) is first
    for target in (first, second):
        await connections.drop(target)
    assert connections.count == 0


async def test_who_is_cut_off_is_talked_to_no_more(connections: Targets) -> None:
    """Whoever waits for its answer fails at once, and not by time-out; others go on."""
    used, idle, other = [await connections.take(at, 1) for at in (HERE, HERE, THERE)]
    connections.give_back(idle)
    failures: list[WriteFailed] = []

    async def wait_for(target: Target) -> None:
        try:
            await target.reply(30)
        except ReadFailed as failed:
            failures.append(failed)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for, used)
            await trio.testing.wait_all_tasks_blocked()
            connections.may_reach = lambda _host, port: port != HERE[1]
            connections.cut_off()
    assert [failed.timed_out for failed in failures] == [False]
    with pytest.raises(ConnectError, match="cut off by DEBUG FAULT"):
        await connections.take(HERE, 1)
    await other.send([b"PING"], 1)
    connections.may_reach = lambda _host, _port: True
    again = await connections.take(HERE, 1)
    assert again is idle
    with pytest.raises(WriteFailed):
        await again.reply(30)
    for target in (used, again, other):
        await connections.drop(target)
