"""ctl.execute.failover: what a replica says that passes is waited out. (The verb is tested on real nodes.)"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute import failover
from ctl.plan.failover import Failover, plan_failover
from node.resp.client import ConnectionLost, ReplyError

NO_LINK = ReplyError("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE")


class Replica:
    """A fleet with one node, which answers like this, and at last in the same way for ever."""

    def __init__(self, *replies: Exception | None) -> None:
        self._replies = list(replies)
        self.asked: list[tuple[str, ...]] = []

    async def call(self, _node: object, *words: str) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(words)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if reply is not None:
            raise reply
        return b"OK"


@pytest.fixture
def planned(clusters: Any) -> Failover:
    return plan_failover(clusters.build(*clusters.three_shards()), "7003", "graceful")


async def command(planned: Failover, fleet: Any) -> None:
    assert planned.replica.address is not None
    await failover._command(planned, fleet, planned.replica.address)


async def test_a_bus_link_that_is_made_anew_is_waited_for(planned: Failover, autojump_clock: object) -> None:
    """Soon after another fail-over a replica has no link to its new primary for a moment."""
    fleet = Replica(NO_LINK, NO_LINK, None)
    await command(planned, fleet)
    assert fleet.asked == [("CLUSTER", "FAILOVER")] * 3


async def test_a_replica_that_loads_is_waited_for(planned: Failover, autojump_clock: object) -> None:
    fleet = Replica(ReplyError("LOADING x"), NO_LINK, ReplyError("LOADING x"), None)
    await command(planned, fleet)
    assert len(fleet.asked) == 4


async def test_a_primary_that_stays_away_is_told(planned: Failover, autojump_clock: object) -> None:
    fleet = Replica(NO_LINK)
    began = trio.current_time()
    with pytest.raises(CtlError, match=r"10\.0\.0\.4:7003 refused CLUSTER FAILOVER: ERR Master is down"):
        await command(planned, fleet)
    assert trio.current_time() - began == pytest.approx(failover.INTRODUCE_S, abs=0.1)


async def test_another_refusal_is_told_at_once(planned: Failover) -> None:
    fleet = Replica(ReplyError("ERR You should send CLUSTER FAILOVER to a replica"))
    with pytest.raises(CtlError, match="to a replica"):
        await command(planned, fleet)
    assert len(fleet.asked) == 1


async def test_a_replica_that_is_gone_is_told_at_once(planned: Failover) -> None:
    with pytest.raises(UnreachableError, match="closed the connection"):
        await command(planned, Replica(ConnectionLost("10.0.0.4:7003", "closed the connection")))
