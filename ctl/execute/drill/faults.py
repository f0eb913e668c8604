"""How faults are brought about, and ended.

A `Fault` is checked before anything is done (may we, can we), injected, and healed; healing may be called at
any time, also when the injection stopped half-way, and twice. Processes of a local cluster get signals; a
remote one has commands of the operator's, or, where a node may be harmed from inside, DEBUG FAULT. That ends
by itself, so a ctl that was killed leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import trio

from ctl.errors import CtlError, UnreachableError, UsageError
from ctl.execute import local
from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.local import LocalCluster, LocalNode
from ctl.execute.processes import send_signal
from ctl.plan.drill import Drill
from ctl.snapshot import Address, Member
from node.resp.client import LinkError, ReplyError

COMMAND_TIMEOUT_S = 120.0
READY_TIMEOUT_S = 60.0
LONGER_MS = 10_000  # a fault that nobody heals ends so much after its time
_DEBUG_HINT = (
    "Start the nodes with enable-debug-command yes (`ctl cluster create --node-option "
    "enable-debug-command=yes`); redis-server nodes cannot do it."
)


class Fault(Protocol):
    """Raises CtlError from each."""

    async def check(self) -> None: ...
    async def inject(self) -> None: ...
    async def heal(self) -> None: ...


def local_node(cluster: LocalCluster, member: Member) -> LocalNode:
    """Raises CtlError for a member that ctl did not start."""
    fresh = local.load(cluster.directory) or cluster
    found = next((node for node in fresh.nodes if fresh.address(node) == member.address), None)
    if found is None or not found.running:
        raise CtlError(
            f"{member.name} is no process of the cluster in {cluster.directory}",
            "ctl signals only what it has started; name a node of its own.",
        )
    return found


async def start_again(cluster: LocalCluster, ports: Sequence[int], fleet: Fleet) -> None:
    """Starts those that do not run, and returns when they answer."""
    fresh = local.load(cluster.directory) or cluster
    down = [node for node in fresh.nodes if node.port in ports and not node.running]
    fresh = local.launch(fresh, down)
    started = [node for node in fresh.nodes if node.port in {node.port for node in down}]
    try:
        with trio.fail_after(READY_TIMEOUT_S):
            await local.wait_ready(fresh, started, fleet)
    except trio.TooSlowError:
        raise CtlError(f"a node does not answer {READY_TIMEOUT_S:g} s after its start") from None


class Kill:
    """SIGKILL, and a start."""

    def __init__(self, cluster: LocalCluster, member: Member, fleet: Fleet) -> None:
        self._cluster, self._member, self._fleet = cluster, member, fleet
        self._port = 0

    async def check(self) -> None:
        self._port = local_node(self._cluster, self._member).port

    async def inject(self) -> None:
        process = local_node(self._cluster, self._member).process
        assert process is not None, "it runs"
        send_signal(process, signal.SIGKILL)

    async def heal(self) -> None:
        await start_again(self._cluster, [self._port], self._fleet)


class Pause:
    """SIGSTOP, and SIGCONT."""

    def __init__(self, cluster: LocalCluster, member: Member) -> None:
        self._cluster, self._member = cluster, member

    async def check(self) -> None:
        local_node(self._cluster, self._member)

    async def inject(self) -> None:
        self._send(signal.SIGSTOP)

    async def heal(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        process = local_node(self._cluster, self._member).process
        assert process is not None, "it runs"
        send_signal(process, number)


class Commands:
    """Commands of the operator's, run by a shell once for each victim, which DRILL_NODE (host:port),
    DRILL_HOST, DRILL_PORT and DRILL_NODE_ID name.
    """

    def __init__(self, drill: Drill, fault: str, heal: str) -> None:
        self._drill, self._fault, self._heal = drill, fault, heal
        self._harmed: list[Member] = []

    async def check(self) -> None:
        """Nothing can be told of a command before it is run."""

    async def inject(self) -> None:
        for member in self._drill.victims:
            self._harmed.append(member)
            await run_command(self._fault, member)

    async def heal(self) -> None:
        harmed, self._harmed = self._harmed, []
        for member in harmed:
            await run_command(self._heal, member)


async def run_command(command: str, member: Member) -> None:
    """Raises CtlError unless it succeeds."""
    assert member.address is not None, "a drill is of nodes that answer"
    env = {
        **os.environ,
        "DRILL_NODE": str(member.address),
        "DRILL_HOST": member.address.host,
        "DRILL_PORT": str(member.address.port),
        "DRILL_NODE_ID": member.node_id,
    }
    with trio.move_on_after(COMMAND_TIMEOUT_S):
        done = await trio.run_process(
            ["/bin/sh", "-c", command], env=env, check=False, capture_stdout=True, stderr=subprocess.STDOUT
        )
        if done.returncode:
            words = done.stdout.decode(errors="replace").strip().splitlines()
            raise CtlError(
                f"the command for {member.name} failed with status {done.returncode}: "
                f"{words[-1] if words else command}"
            )
        return
    raise CtlError(f"the command for {member.name} did not end in {COMMAND_TIMEOUT_S:g} s")


class Switch:
    """DEBUG FAULT on nodes that allow it; `words` are those of each node."""

    def __init__(self, words: dict[Address, tuple[str | int, ...]], fleet: Fleet) -> None:
        self._words, self._fleet = words, fleet

    async def check(self) -> None:
        """Raises CtlError naming a node that does not allow it, UnreachableError."""
        await concurrently(partial(self._debug, node, "STATUS") for node in self._words)

    async def inject(self) -> None:
        await concurrently(partial(self._debug, node, *words) for node, words in self._words.items())

    async def heal(self) -> None:
        """All that answer are healed; raises the first error afterwards."""
        failed: list[CtlError] = []

        async def one(node: Address) -> None:
            try:
                await self._debug(node, "HEAL")
            except CtlError as error:
                failed.append(error)

        await concurrently(partial(one, node) for node in self._words)
        if failed:
            raise failed[0]

    async def _debug(self, node: Address, *words: str | int) -> None:
        try:
            await self._fleet.call(node, "DEBUG", "FAULT", *words)
        except ReplyError as error:
            raise CtlError(
                f"{node} does not allow DEBUG FAULT ({error.text.split('.')[0]})", _DEBUG_HINT
            ) from None
        except LinkError as error:
            raise UnreachableError(str(error)) from error


def partition(drill: Drill, fleet: Fleet) -> Switch:
    """Every node loses the nodes of all other sides."""
    for_ms = round(drill.duration_s * 1000) + LONGER_MS
    words: dict[Address, tuple[str | int, ...]] = {}
    for side in drill.sides:
        others = [member for other in drill.sides if other is not side for member in other]
        peers = [name for member in others for name in (member.node_id, str(member.address))]
        for member in side:
            assert member.address is not None, "a drill is of nodes that answer"
            words[member.address] = ("CUT-OFF", for_ms, *peers)
    return Switch(words, fleet)


def slow_disk(drill: Drill, fleet: Fleet) -> Switch:
    """Every sync of the victims takes longer."""
    for_ms = round(drill.duration_s * 1000) + LONGER_MS
    words = ("SLOW-SYNC", drill.sync_delay_ms, for_ms)
    return Switch({member.address: words for member in drill.victims if member.address}, fleet)


def fault_for(
    drill: Drill,
    cluster: LocalCluster | None,
    fleet: Fleet,
    fault_command: str | None,
    heal_command: str | None,
) -> Fault:
    """The way that this drill's fault is brought about. Raises UsageError when there is none."""
    if (fault_command is None) != (heal_command is None):
        raise UsageError(
            "--fault-command and --heal-command belong together", "What is broken must be mended."
        )
    if fault_command is not None and heal_command is not None:
        return Commands(drill, fault_command, heal_command)
    if drill.kind == "partition":
        return partition(drill, fleet)
    if drill.kind == "slow-disk":
        return slow_disk(drill, fleet)
    if cluster is None:
        raise UsageError(
            f"ctl has not started these nodes, so it cannot do {drill.kind} by itself",
            "Give --fault-command and --heal-command; they find the node in $DRILL_NODE.",
        )
    return (
        Kill(cluster, drill.victims[0], fleet) if drill.kind == "kill" else Pause(cluster, drill.victims[0])
    )
