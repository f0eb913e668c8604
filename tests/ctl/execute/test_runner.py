"""ctl.execute.runner and gather, against real nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from ctl.errors import UnreachableError
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import gather, gather_only
from ctl.execute.runner import PlanStoppedError, run
from ctl.plan.steps import Await, Event, Plan, Send, Stage, StageDone, StageStarted, Waiting
from ctl.snapshot import Address
from node.resp.client import ReplyError


def plan_of(*steps: Send | Await) -> Plan:
    return Plan("test", (Stage("try", steps),))


@pytest.fixture
def node(start_redis: Callable[..., Any]) -> Address:
    server = start_redis("--cluster-enabled", "yes")
    return Address(server.host, server.port)


async def test_stages_are_told_and_run_in_order(node: Address) -> None:
    events: list[Event] = []
    plan = Plan(
        "test",
        (
            Stage("epoch", (Send(node, ("CLUSTER", "SET-CONFIG-EPOCH", 7)),)),
            Stage(
                "slots",
                (Send(node, ("CLUSTER", "ADDSLOTSRANGE", 0, 9)), Send(node, ("CLUSTER", "DELSLOTS", 3))),
            ),
        ),
    )
    async with Fleet(Credentials()) as fleet:
        await run(plan, fleet, events.append, timeout_s=10)
        snapshot = await gather(fleet, [node])
    assert snapshot.members[0].line.config_epoch == 7
    assert snapshot.members[0].line.slots.ranges() == [(0, 2), (4, 9)]
    assert [(type(event), event.title) for event in events if not isinstance(event, Waiting)] == [  # type: ignore[union-attr]
        (StageStarted, "epoch"),
        (StageDone, "epoch"),
        (StageStarted, "slots"),
        (StageDone, "slots"),
    ]


async def test_a_refusal_stops_the_plan_and_names_node_and_command(node: Address) -> None:
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(PlanStoppedError) as caught:
            await run(plan_of(Send(node, ("CLUSTER", "NONSENSE"))), fleet, lambda _: None, timeout_s=10)
    assert caught.value.text.startswith(f"{node} refused CLUSTER NONSENSE: ERR")
    assert caught.value.stage == "try"


async def test_a_refusal_to_retry_is_retried_until_the_time_is_over(node: Address) -> None:
    command = Send(node, ("CLUSTER", "REPLICATE", "0" * 40), retry_on="ERR Unknown node")
    events: list[Event] = []
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(PlanStoppedError, match=r"not done in time, at: try .*Unknown node"):
            await run(plan_of(command), fleet, events.append, timeout_s=0.2)
    assert sum(isinstance(event, Waiting) for event in events) > 1


class Answering:
    """A fleet whose nodes give these replies, one after the other."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Address, tuple[Any, ...]]] = []

    async def call(self, node: Address, *words: Any) -> str:
        await trio.lowlevel.checkpoint()
        self.asked.append((node, words))
        reply = self.replies.pop(0)
        if reply != "OK":
            raise ReplyError(reply)
        return reply


async def test_a_node_that_loads_gets_the_command_again(autojump_clock: object) -> None:
    """A replica that has just been given its primary loads, and answers CLUSTER MEET by LOADING too."""
    where = Address("10.0.0.1", 7000)
    loading = "LOADING Redis is loading the dataset in memory"
    fleet: Any = Answering(loading, loading, "OK")
    events: list[Event] = []
    await run(plan_of(Send(where, ("CLUSTER", "MEET", "10.0.0.2", 7001))), fleet, events.append, timeout_s=10)
    assert fleet.asked == [(where, ("CLUSTER", "MEET", "10.0.0.2", 7001))] * 3
    assert Waiting(f"{where} says {loading}") in events


async def test_a_node_that_loads_for_ever_is_named(autojump_clock: object) -> None:
    fleet: Any = Answering(*["LOADING x"] * 10_000)
    with pytest.raises(PlanStoppedError, match=r"not done in time, at: try \(10.0.0.1:7000 says LOADING x\)"):
        await run(plan_of(Send(Address("10.0.0.1", 7000), ("PING",))), fleet, lambda _: None, timeout_s=10)


async def test_what_is_awaited_is_looked_at_until_it_is_there(node: Address) -> None:
    looks: list[int] = []

    def unmet(snapshot: object) -> str | None:
        looks.append(1)
        return "not yet" if len(looks) < 3 else None

    async with Fleet(Credentials()) as fleet:
        await run(plan_of(Await("it", (node,), unmet)), fleet, lambda _: None, timeout_s=10)
    assert len(looks) == 3


async def test_a_node_that_does_not_answer_stops_the_plan(free_port: Callable[[], int]) -> None:
    nobody = Address("127.0.0.1", free_port())
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(PlanStoppedError, match=f"{nobody}: connection refused") as caught:
            await run(plan_of(Send(nobody, ("PING",))), fleet, lambda _: None, timeout_s=10)
    assert caught.value.status == 3


async def test_nodes_that_do_not_answer_are_recorded(node: Address, free_port: Callable[[], int]) -> None:
    nobody = Address("127.0.0.1", free_port())
    async with Fleet(Credentials()) as fleet:
        snapshot = await gather(fleet, [node, nobody])
        assert snapshot.unreachable == {nobody: "connection refused"}
        assert [view.address for view in snapshot.views] == [node]
        with pytest.raises(UnreachableError, match=f"^{nobody}: connection refused$"):
            await gather(fleet, [nobody])


async def test_a_server_that_is_no_cluster_node(start_redis: Callable[..., Any]) -> None:
    server = start_redis()
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(UnreachableError, match="cluster support disabled") as caught:
            await gather(fleet, [Address(server.host, server.port)])
    assert "--cluster-enabled yes" in caught.value.hint


async def test_a_broken_connection_is_made_anew(node: Address) -> None:
    async with Fleet(Credentials()) as fleet:
        await (await fleet.client(node)).aclose()
        assert (await gather_only(fleet, [node])).views
