"""A node killed at any step of ctl's reshard: ctl stops and says how to go on, and `resume` finishes it.

Before each command of ctl that changes something the source or the target of the move gets SIGKILL. Nodes
without replicas are started again, with their append-only file; where there are replicas, one takes over, and
ctl goes on before the killed node is back. Then no key is lost, none is there twice, and nothing is open.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from ctl.errors import CtlError
from ctl.execute import change as change_module
from ctl.execute import local, lock, move_step, slot_move
from ctl.execute.change import Where, leftover, resume, run_change
from ctl.execute.create import LocalSpec, create_local
from ctl.execute.fleet import Credentials, Fleet, concurrently, telling
from ctl.execute.gather import gather
from ctl.execute.journal import unfinished
from ctl.execute.local import OWN_SERVER, LocalCluster, LocalNode
from ctl.execute.move_step import open_slots
from ctl.plan.change import Change, Move, Roster
from ctl.snapshot import Address, ClusterSnapshot, Member, NodeView
from gossip.slots import SlotSet, key_slot

KEYS = 8
CHANGING = ("MIGRATE", "SETSLOT")
DEADLINE_S = 60.0
OPTIONS = (("save", '""'), ("cluster-node-timeout", "1000"))
DURABLE = (("appendonly", "yes"), ("appendfsync", "everysec"))
SLOTS = SlotSet([6001, 6002, 6003])
# A group is opened at the target and at the source, its keys are sent, it is closed at the target and at the
# source; others have heard of it then. Groups have 2 slots and 1. Shoal nodes get a MIGRATE for each slot,
# and those with replicas a SETSLOT for each, on connections of their own: so many steps by replicas.
# Who has not heard in time is told, by a step more for each group or, with replicas, for each slot.
STEPS = {0: range(11, 14), 1: range(15, 19)}
STEPS_OF_REDIS = range(10, 13)
WITH_REPLICAS_MIGRATE, WITH_REPLICAS_CLOSE_SOURCE = 4, 8
ALONE_CLOSE_TARGET = 4

MakeScene = Callable[..., Awaitable["Scene"]]


class Executioner(Fleet):
    """Calls `strike` once: before the command that changes something whose turn it is, or right after it was
    sent (`amid`).
    """

    left: int | None = None
    amid = False
    strike: Callable[[], None] = staticmethod(lambda: None)

    async def pipeline(self, address: Any, commands: Any, **options: Any) -> Any:
        kind = type(self)
        if not kind._is_due(commands):
            return await super().pipeline(address, commands, **options)
        if not kind.amid:
            kind.strike()
            return await super().pipeline(address, commands, **options)
        sent = partial(super().pipeline, address, commands, **options)
        replies = []

        async def send() -> None:
            replies.extend(await sent())

        async def strike() -> None:
            await trio.lowlevel.checkpoint()
            kind.strike()

        await concurrently([send, strike])
        return replies

    @classmethod
    def _is_due(cls, commands: Any) -> bool:
        changes = any(word in CHANGING for command in commands for word in command[:2])
        if cls.left is None or not changes:
            return False
        cls.left -= 1
        if cls.left >= 0:
            return False
        cls.left = None
        return True


class Scene:
    """A cluster, and a move of three slots from its second shard to its first."""

    def __init__(self, cluster: LocalCluster, replicas: int) -> None:
        self.cluster = cluster
        self.replicas = replicas
        self.where = Where((cluster.addresses[2],), Credentials(), None, 30, atomic=False)

    async def look(self) -> ClusterSnapshot:
        async with Fleet(Credentials()) as fleet:
            return await gather(fleet, self.cluster.addresses)

    async def call(self, node: Address, *words: str | int | bytes) -> Any:
        async with Fleet(Credentials()) as fleet:
            return await fleet.call(node, *words)

    def node(self, address: Address) -> LocalNode:
        return next(node for node in self.cluster.nodes if self.cluster.address(node) == address)

    def kill(self, member: Member) -> None:
        process = self.node(member.address).process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)

    async def revive(self, member: Member) -> None:
        """Starts it again; returns when all are well again."""
        self.cluster = local.launch(self.cluster, [self.node(member.address)])
        await self.well(None)

    async def well(self, gone: Member | None) -> None:
        """Returns when every node but `gone` is content, with as many primaries as ever."""
        while True:
            snapshot = await self.look()
            views = [view for view in snapshot.views if gone is None or view.address != gone.address]
            wanted = len(self.cluster.nodes) - (gone is not None)
            primaries = [view for view in views if view.myself.is_primary and view.myself.slots]
            if len(views) == wanted and len(primaries) == 3 and all(map(_content, views)):
                return
            await trio.sleep(0.05)

    def owner(self, snapshot: ClusterSnapshot, slot: int) -> Member:
        return next(member for member in snapshot.primaries if slot in member.line.slots)

    async def prepare(self) -> Change:
        """The slots at the second shard, closed, with keys; nothing else."""
        snapshot = await self.look()
        self.taker, self.giver = self.owner(snapshot, 0), self.owner(snapshot, 6000)
        if not SLOTS - self.taker.line.slots:
            back = Change("reshard", "", Roster.of(snapshot), (self._move(self.taker, self.giver),))
            await run_change(self.where, back, lambda _: None)
            snapshot = await self.look()
        assert not open_slots(snapshot)
        self.keys = {key: b"value of " + key for slot in SLOTS for key in self.keys_of(slot, KEYS)}
        async with Fleet(Credentials()) as fleet:
            address = self.giver.address
            assert address is not None
            await fleet.pipeline(address, [("SET", key, value) for key, value in self.keys.items()])
        return Change("reshard", "move 3 slots", Roster.of(snapshot), (self._move(self.giver, self.taker),))

    def _move(self, giver: Member, taker: Member) -> Move:
        return Move(giver.node_id, taker.node_id, SLOTS, 3 * KEYS, None)

    async def run(self, change: Change) -> None:
        """Each way to stop is a CtlError that says how to go on."""
        try:
            await run_change(self.where, change, lambda _: None)
        except BaseExceptionGroup as group:
            error = telling(group)
            assert isinstance(error, CtlError), repr(error)
            assert "resume" in error.hint, (error.text, error.hint)

    async def finish(self) -> None:
        """What an operator does then. There may be nothing left to do."""
        snapshot = await self.look()
        found = next(iter(unfinished(self.where.journals, snapshot)), None) or leftover(snapshot)
        if found is not None:
            await resume(self.where, found, lambda _: None)

    async def verify(self) -> None:
        """The taker's shard has the slots in everybody's eyes, and all keys; nothing is open."""
        snapshot = await self.look()
        owner = self.owner(snapshot, 0)
        for view in snapshot.views:
            assert not SLOTS - view.owners()[owner.node_id], view.address
        assert not open_slots(snapshot)
        assert not unfinished(self.where.journals, snapshot)
        assert owner.address is not None
        async with Fleet(Credentials()) as fleet:
            found = await fleet.pipeline(owner.address, [("GET", key) for key in self.keys])
        assert dict(zip(self.keys, found, strict=True)) == self.keys
        for view in snapshot.views:
            of_owner = owner.node_id in (view.myself.node_id, view.myself.primary_id)
            for slot in SLOTS:
                count = await self.call(view.address, "CLUSTER", "COUNTKEYSINSLOT", slot)
                assert count == (KEYS if of_owner else 0), (view.address, slot)
            assert b"[" not in await self.call(view.address, "CLUSTER", "NODES"), view.address

    def keys_of(self, slot: int, count: int) -> list[bytes]:
        tag = next(b"%d" % number for number in range(1 << 20) if key_slot(b"%d" % number) == slot)
        return [b"{%b}:%d" % (tag, number) for number in range(count)]


def _content(view: NodeView) -> bool:
    """It serves, and a replica is in step."""
    line = view.myself
    in_step = line.is_primary or view.info.get("master_link_status") == "up"
    return view.state_ok and in_step and not any(other.suspected for other in view.others)


@pytest.fixture
def executioner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Executioner]:
    """With small groups, journals below `tmp_path`, and a ctl that gives up soon."""
    monkeypatch.setattr(change_module, "Fleet", Executioner)
    monkeypatch.setattr(move_step, "GROUP_SLOTS", 2)
    monkeypatch.setattr(slot_move, "AGREE_TIMEOUT_S", 3.0)
    monkeypatch.setattr(lock, "LEASE_S", 3.0)
    monkeypatch.setattr(Executioner, "left", None)
    monkeypatch.setattr(Executioner, "amid", False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Executioner


@pytest.fixture(scope="module")
def make_scene(
    tmp_path_factory: pytest.TempPathFactory, free_run: Callable[[int], int]
) -> Iterator[MakeScene]:
    """Clusters of three shards, by server and replicas, shared by the tests of this module."""
    scenes: dict[tuple[str, int], Scene] = {}

    async def make(server: tuple[str, ...] = OWN_SERVER, replicas: int = 0) -> Scene:
        which = (server[0], replicas)
        if which not in scenes:
            count = 3 * (1 + replicas)
            directives = OPTIONS if replicas else OPTIONS + DURABLE
            directory = tmp_path_factory.mktemp("killed") / "shoal"
            spec = LocalSpec(
                directory, "127.0.0.1", free_run(count), count, replicas, server, directives, Credentials()
            )
            cluster, _ = await create_local(spec, lambda _: None, timeout_s=30)
            scenes[which] = Scene(cluster, replicas)
        return scenes[which]

    yield make
    for scene in scenes.values():
        trio.run(lambda scene=scene: local.stop(scene.cluster.nodes, timeout_s=0.5, kill=True))


async def killed(scene: Scene, executioner: type[Executioner], victim: str, step: int) -> bool:
    """Kills the victim at the step of that number; whether ctl came so far."""
    change = await scene.prepare()
    member = scene.giver if victim == "source" else scene.taker
    executioner.left, executioner.strike = step, staticmethod(lambda: scene.kill(member))
    with trio.fail_after(DEADLINE_S):
        await scene.run(change)
        if executioner.left is not None:
            executioner.left = None
            return False
        if scene.replicas:
            await scene.well(member)
            await scene.finish()
            await scene.revive(member)
        else:
            await scene.revive(member)
            await scene.finish()
        await scene.verify()
    return True


async def killed_everywhere(scene: Scene, executioner: type[Executioner], victim: str) -> int:
    """How many steps there were."""
    for step in range(100):
        if not await killed(scene, executioner, victim, step):
            return step
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize(
    ("victim", "step"), [("source", WITH_REPLICAS_MIGRATE), ("target", WITH_REPLICAS_CLOSE_SOURCE)]
)
async def test_a_replica_takes_over_in_the_midst_of_a_move(
    make_scene: MakeScene, executioner: type[Executioner], victim: str, step: int
) -> None:
    """It knows which slots are open, and whose they have become; and the other side knows it."""
    assert await killed(await make_scene(replicas=1), executioner, victim, step)


async def test_a_target_comes_back_before_it_has_the_slots(
    make_scene: MakeScene, executioner: type[Executioner]
) -> None:
    assert await killed(await make_scene(), executioner, "target", ALONE_CLOSE_TARGET)


@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("victim", ["source", "target"])
@pytest.mark.slow
async def test_a_node_killed_before_any_step(
    make_scene: MakeScene, executioner: type[Executioner], victim: str, replicas: int
) -> None:
    assert (
        await killed_everywhere(await make_scene(replicas=replicas), executioner, victim) in STEPS[replicas]
    )


@pytest.mark.parametrize("victim", ["source", "target"])
@pytest.mark.slow
async def test_a_node_killed_amid_any_step(
    make_scene: MakeScene, executioner: type[Executioner], victim: str
) -> None:
    executioner.amid = True
    assert await killed_everywhere(await make_scene(), executioner, victim) in STEPS[0]


@pytest.mark.parametrize("victim", ["source", "target"])
@pytest.mark.slow
async def test_a_redis_server_killed_before_any_step(
    make_scene: MakeScene, executioner: type[Executioner], victim: str, redis_server_path: str
) -> None:
    scene = await make_scene(server=(redis_server_path,))
    assert await killed_everywhere(scene, executioner, victim) in STEPS_OF_REDIS
