"""A rolling restart: one node after the other, replicas first, each primary after its replica took over.

It is no fault but what every operator does on a day of upgrades, and so it is to be done without a client
noticing. Before the next node is touched, the last must follow again and all nodes must agree.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ctl.errors import CtlError
from ctl.execute import local
from ctl.execute.drill.faults import local_node, run_command, start_again
from ctl.execute.failover import run_failover
from ctl.execute.fleet import Fleet
from ctl.execute.gather import gather
from ctl.execute.local import LocalCluster
from ctl.plan.drill import Drill
from ctl.plan.failover import best_replica, plan_failover
from ctl.snapshot import Address, ClusterSnapshot, Member

STEP_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.05


class Rolling:
    """A Fault whose injection is the whole restart; `on_step` is told of each step when it begins.

    With `commands` (stop, start) nodes of other machines are restarted by the operator's commands.
    """

    def __init__(
        self,
        drill: Drill,
        cluster: LocalCluster | None,
        commands: tuple[str, str] | None,
        fleet: Fleet,
        on_step: Callable[[str, str], None],
        interrupted: trio.Event,
    ) -> None:
        self._drill = drill
        self._cluster = cluster
        self._commands = commands
        self._fleet = fleet
        self._on_step = on_step
        self._interrupted = interrupted
        self._down: Member | None = None

    async def check(self) -> None:
        """Raises CtlError for a node that ctl cannot restart."""
        if self._commands is None:
            assert self._cluster is not None, "a local cluster or commands"
            for member in self._drill.victims:
                local_node(self._cluster, member)

    async def inject(self) -> None:
        """Restarts all, or stops between two of them when the user wants to."""
        for member in self._drill.victims:
            if self._interrupted.is_set():
                return
            await self._hand_over(member)
            await self._restart(member)

    async def heal(self) -> None:
        """Starts what was stopped and not started."""
        if self._down is not None:
            await self._start(self._down)

    async def _hand_over(self, member: Member) -> None:
        """A primary with slots gives them to its replica, where it has one."""
        snapshot = await gather(self._fleet, self._addresses())
        now = snapshot.member(member.node_id)
        if now is None or not now.is_primary or not now.line.slots or not snapshot.replicas_of(now.node_id):
            return
        replica = best_replica(snapshot, now)
        assert replica.address is not None, "it answers"
        self._on_step(member.name, f"{replica.name} takes over from {member.name}")
        failover = plan_failover(snapshot, str(replica.address), "graceful")
        observers = [view.address for view in snapshot.views]
        await run_failover(failover, self._fleet, observers, lambda _: None, timeout_s=STEP_TIMEOUT_S)

    async def _restart(self, member: Member) -> None:
        self._on_step(member.name, f"stop {member.name}")
        self._down = member
        if self._commands is not None:
            await run_command(self._commands[0], member)
        else:
            assert self._cluster is not None, "a local cluster or commands"
            left = await local.stop([local_node(self._cluster, member)])
            if left:
                raise CtlError(f"{member.name} did not end when asked to")
        await self._start(member)
        self._on_step(member.name, f"{member.name} answers again")
        await until_well(self._fleet, self._addresses(), len(self._addresses()), STEP_TIMEOUT_S)

    async def _start(self, member: Member) -> None:
        if self._commands is not None:
            await run_command(self._commands[1], member)
        else:
            assert self._cluster is not None, "a local cluster or commands"
            assert member.address is not None, "a local node has one"
            await start_again(self._cluster, [member.address.port], self._fleet)
        self._down = None

    def _addresses(self) -> list[Address]:
        [everybody] = self._drill.sides
        return [member.address for member in everybody if member.address]


async def until_well(fleet: Fleet, seeds: list[Address], count: int, timeout_s: float) -> None:
    """Returns when `count` nodes answer, nobody is held for failed, all agree on the owners of all slots, and
    every replica follows. Raises CtlError saying what is missing when the time is over.
    """
    missing = "no node answers"
    with trio.move_on_after(timeout_s):
        while True:
            try:
                missing = unwell(await gather(fleet, seeds), count)
            except CtlError as error:
                missing = error.text
            if not missing:
                return
            await trio.sleep(LOOK_EVERY_S)
    raise CtlError(f"after {timeout_s:g} s the cluster is not well again: {missing}")


def unwell(snapshot: ClusterSnapshot, count: int) -> str:
    """The first thing that is missing; empty for nothing."""
    if len(snapshot.views) < count:
        return f"{count - len(snapshot.views)} nodes do not answer"
    for member in snapshot.members:
        if member.failed_by or member.suspected_by:
            return f"{member.name} is held for failed"
        if not member.is_primary and member.link_state != "up":
            return f"{member.name} does not follow its primary"
    if snapshot.uncovered:
        return f"{len(snapshot.uncovered)} slots have no owner"
    if not all(view.state_ok for view in snapshot.views):
        return "a node says cluster_state:fail"
    owners = snapshot.views[0].owners()
    if any(view.owners() != owners for view in snapshot.views):
        return "nodes do not agree who owns what"
    return ""
