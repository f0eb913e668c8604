"""ctl.execute.restore_routes: commands find their node, whatever the cluster does meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio

from ctl.errors import UnreachableError
from ctl.execute import restore_routes
from ctl.execute.restore_routes import Routes
from ctl.snapshot import Address
from node.resp.client import ConnectionLost, Reply, ReplyError

Answering = Callable[[Address, Sequence[Sequence[Any]]], list[Reply]]


class Nodes:
    """A fleet whose nodes answer as a function says."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.asked: list[tuple[int, list[Any]]] = []

    async def pipeline(self, node: Address, commands: Sequence[Sequence[Any]], **_: Any) -> list[Reply]:
        await trio.lowlevel.checkpoint()
        self.asked += [(node.port, list(command)) for command in commands]
        return self._answer(node, commands)


@pytest.fixture
def made(clusters: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answering], tuple[Routes, Nodes]]:
    """Routes of three primaries on ports 7000, 7001 and 7002; a new look finds what there was."""

    def make(answer: Answering) -> tuple[Routes, Nodes]:
        snapshot = clusters.build(*clusters.three_shards())

        async def gather(*_: Any) -> Any:
            await trio.lowlevel.checkpoint()
            return snapshot

        monkeypatch.setattr(restore_routes, "gather", gather)
        nodes = Nodes(answer)
        fleet: Any = nodes
        return Routes(fleet, snapshot, patience_s=10), nodes

    return make


async def test_each_goes_to_the_owner_of_its_slot_and_answers_keep_their_order(made: Any) -> None:
    routes, nodes = made(lambda node, commands: [b"%d" % node.port for _ in commands])
    answers = await routes.send([16383, 0, 6000, 1], [("A",), ("B",), ("C",), ("D",)])
    assert [answer.reply for answer in answers] == [b"7002", b"7000", b"7001", b"7000"]
    assert not any(answer.again for answer in answers)
    assert [words for port, words in nodes.asked if port == 7000] == [["B"], ["D"]]


async def test_moved_is_followed_and_remembered(made: Any) -> None:
    def answer(node: Address, commands: Sequence[Any]) -> list[Reply]:
        return [ReplyError("MOVED 5 10.0.0.2:7001") if node.port == 7000 else b"OK" for _ in commands]

    routes, nodes = made(answer)
    for _ in range(2):
        assert [answer.reply for answer in await routes.send([5], [("A",)])] == [b"OK"]
    assert [port for port, _ in nodes.asked] == [7000, 7001, 7001]


async def test_ask_is_followed_once(made: Any) -> None:
    def answer(node: Address, commands: Sequence[Any]) -> list[Reply]:
        return [ReplyError("ASK 5 10.0.0.2:7001") if node.port == 7000 else b"OK" for _ in commands]

    routes, nodes = made(answer)
    await routes.send([5], [("A",)])
    assert nodes.asked == [(7000, ["A"]), (7001, ["ASKING"]), (7001, ["A"])]
    assert routes.owner(5).port == 7000


async def test_what_passes_is_waited_for(made: Any, autojump_clock: object) -> None:
    replies: list[Reply] = [
        ReplyError("TRYAGAIN x"),
        ReplyError("LOADING x"),
        ReplyError("CLUSTERDOWN x"),
        b"OK",
    ]
    routes, _ = made(lambda _node, _commands: [replies.pop(0)])
    [answer] = await routes.send([5], [("A",)])
    assert (answer.reply, answer.again) == (b"OK", False)


async def test_a_lost_link_is_told_and_the_command_sent_again(made: Any, autojump_clock: object) -> None:
    lost = [True]

    def answer(_node: Address, commands: Sequence[Any]) -> list[Reply]:
        if lost:
            lost.pop()
            raise ConnectionLost("there", "closed the connection")
        return [b"OK" for _ in commands]

    routes, _ = made(answer)
    [answer_] = await routes.send([5], [("A",)])
    assert (answer_.reply, answer_.again) == (b"OK", True)


async def test_what_may_not_be_sent_twice_is_not(made: Any, autojump_clock: object) -> None:
    def answer(_node: Address, _commands: Sequence[Any]) -> list[Reply]:
        raise ConnectionLost("there", "closed the connection")

    routes, nodes = made(answer)
    with pytest.raises(UnreachableError, match="closed the connection"):
        await routes.send([5], [("INCR",)], once=True)
    assert len(nodes.asked) == 1


async def test_patience_ends(made: Any, autojump_clock: object) -> None:
    routes, nodes = made(lambda _node, commands: [ReplyError("LOADING x") for _ in commands])
    with pytest.raises(UnreachableError, match="LOADING"):
        await routes.send([5], [("A",)])
    assert 10 < len(nodes.asked) < 40


async def test_other_errors_are_answers(made: Any) -> None:
    routes, _ = made(lambda _node, commands: [ReplyError("BUSYKEY x") for _ in commands])
    [answer] = await routes.send([5], [("A",)])
    assert isinstance(answer.reply, ReplyError)
