"""ctl.execute.change: whatever stops a change, it can be finished and it can be undone.

The ctl that dies is simulated: after so many commands that change something every call of it fails and its
journal gets no more lines. Its lock is left to the test, which does what the lease would do in time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from ctl.errors import CtlError
from ctl.execute import change as change_module
from ctl.execute import lock, move_step
from ctl.execute.change import Where, leftover, resume, rollback, run_change
from ctl.execute.fleet import Credentials, Fleet, telling
from ctl.execute.journal import Unfinished, unfinished
from ctl.execute.move_step import open_slots
from ctl.plan.change import Change, Move, Roster
from ctl.plan.steps import PlanError
from gossip.slots import SlotSet, key_slot

KEYS = 12
# One more for each of the two groups that the third primary has not heard of in time, and is told.
STEPS = range(10, 13)
CHANGING = ("MIGRATE", "SETSLOT", "FORGET", "MEET", "RESET")


class Died(BaseException):
    """The end of this ctl."""


class Fuse:
    """Burns after `left` pipelines of commands that change something; None: never."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.dead = False

    def count(self, commands: Any) -> None:
        if self.dead:
            raise Died
        if self.left is None or not any(word in CHANGING for command in commands for word in command[:2]):
            return
        if self.left == 0:
            self.dead = True
            raise Died
        self.left -= 1


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fuse:
    """With small groups, and journals below `tmp_path`."""
    fuse = Fuse()

    class DyingFleet(Fleet):
        async def pipeline(self, address: Any, commands: Any, **options: Any) -> Any:
            fuse.count(commands)
            return await super().pipeline(address, commands, **options)

        async def call(self, address: Any, *words: Any, **options: Any) -> Any:
            fuse.count([words])
            return await super().call(address, *words, **options)

    release = lock.Lock.release

    async def release_unless_dead(self: lock.Lock) -> None:
        if not fuse.dead:
            await release(self)

    monkeypatch.setattr(change_module, "Fleet", DyingFleet)
    monkeypatch.setattr(lock.Lock, "release", release_unless_dead)
    monkeypatch.setattr(move_step, "GROUP_SLOTS", 2)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return fuse


class Scene:
    """A move of three slots from b to a, and their keys."""

    def __init__(self, three: Any) -> None:
        self.three = three
        self.where = Where((three.addresses[0],), Credentials(), None, 20)
        self.slots = SlotSet([6001, 6002, 6003])

    async def prepare(self) -> Change:
        """Slots at b, closed, with keys."""
        snapshot = await self.three.look()
        by_port = {member.address.port: member for member in snapshot.primaries}
        self.a, self.b, _ = (by_port[address.port] for address in self.three.addresses)
        if not self.slots - self.a.line.slots:
            back = Change("reshard", "", Roster.of(snapshot), (self._move(self.a, self.b),))
            await run_change(self.where, back, lambda _: None)
            snapshot = await self.three.look()
        assert not open_slots(snapshot)
        self.keys: dict[bytes, bytes] = {}
        for slot in self.slots:
            self.keys.update(await self.three.put(self.b.address, slot, KEYS))
        return Change("reshard", "move 3 slots", Roster.of(snapshot), (self._move(self.b, self.a),))

    def _move(self, giver: Any, taker: Any) -> Move:
        return Move(giver.node_id, taker.node_id, self.slots, 3 * KEYS, None)

    async def found(self) -> Unfinished | None:
        snapshot = await self.three.look()
        found = unfinished(self.where.journals, snapshot)
        assert len(found) <= 1
        return found[0] if found else leftover(snapshot)

    async def verify(self, owner: Any) -> None:
        """`owner` has the slots in everybody's eyes, and all keys; nothing is open or remembered."""
        snapshot = await self.three.look()
        for view in snapshot.views:
            assert not self.slots - view.owners()[owner.node_id]
        assert not open_slots(snapshot)
        assert await self.three.values(owner.address, self.keys) == self.keys
        assert await self.found() is None
        for address in self.three.addresses:
            for slot in self.slots:
                count = await self.three.call(address, "CLUSTER", "COUNTKEYSINSLOT", slot)
                assert count == (KEYS if address == owner.address else 0)


async def quietly(scene: Scene, function: Callable[[], Any]) -> None:
    """Runs it until it dies, and until its lease would be over."""
    try:
        await function()
    except BaseExceptionGroup as group:
        if not isinstance(telling(group), Died):
            raise
    for member in (await scene.three.look()).primaries:
        if key_slot(lock.KEY) in member.line.slots:
            await scene.three.call(member.address, "DEL", lock.KEY)


async def test_a_change_runs_to_its_end(three: Any, fuse: Fuse) -> None:
    scene = Scene(three)
    change = await scene.prepare()
    result = await run_change(scene.where, change, lambda _: None)
    assert (result.slots, result.keys, result.atomic_slots) == (3, 3 * KEYS, 0)
    await scene.verify(scene.a)


async def killed_everywhere(three: Any, fuse: Fuse, go_on: Callable[..., Any]) -> int:
    """Kills a ctl before each of its changing commands and lets `go_on` follow; how many there were."""
    for count in range(100):
        scene = Scene(three)
        fuse.left, fuse.dead = None, False
        change = await scene.prepare()
        fuse.left = count
        with trio.fail_after(20):
            await quietly(
                scene, lambda scene=scene, change=change: run_change(scene.where, change, lambda _: None)
            )
            if not fuse.dead:
                return count
            fuse.left, fuse.dead = None, False
            found = await scene.found()
            assert found is not None
            await go_on(scene.where, found, lambda _: None)
            await scene.verify(scene.a if go_on is resume else scene.b)
    raise AssertionError("it never came to its end")


async def test_a_ctl_killed_at_any_step_is_finished_by_resume(three: Any, fuse: Fuse) -> None:
    assert await killed_everywhere(three, fuse, resume) in STEPS


async def test_a_ctl_killed_at_any_step_is_undone_by_rollback(three: Any, fuse: Fuse) -> None:
    assert await killed_everywhere(three, fuse, rollback) in STEPS


async def test_a_resume_that_is_killed_too_is_resumed(three: Any, fuse: Fuse) -> None:
    scene = Scene(three)
    change = await scene.prepare()
    fuse.left = 2
    await quietly(scene, lambda: run_change(scene.where, change, lambda _: None))
    for _ in range(20):
        fuse.dead, fuse.left = False, 3
        found = await scene.found()
        assert found is not None
        await quietly(scene, lambda found=found: resume(scene.where, found, lambda _: None))
        if not fuse.dead:
            break
    fuse.dead, fuse.left = False, None
    await scene.verify(scene.a)


async def test_without_a_journal_open_slots_tell_enough(three: Any, fuse: Fuse) -> None:
    """Two slots are open, one with its keys on both sides of the move."""
    for go_on in (resume, rollback):
        scene = Scene(three)
        fuse.left, fuse.dead = None, False
        change = await scene.prepare()
        fuse.left = 3
        await quietly(
            scene, lambda scene=scene, change=change: run_change(scene.where, change, lambda _: None)
        )
        fuse.left, fuse.dead = None, False
        found = await scene.found()
        assert found is not None
        assert found.path is not None
        found.path.unlink()
        found = await scene.found()
        assert found is not None
        assert found.path is None
        assert str(found.change.moves[0].slots) == "6001-6002"
        await go_on(scene.where, found, lambda _: None)
        scene.slots = SlotSet([6001, 6002])
        scene.keys = {key: value for key, value in scene.keys.items() if await _slot_of(three, key) != 6003}
        await scene.verify(scene.a if go_on is resume else scene.b)
        if go_on is resume:
            scene.slots = SlotSet([6001, 6002])
            back = Change("reshard", "", Roster.of(await three.look()), (scene._move(scene.a, scene.b),))
            await run_change(scene.where, back, lambda _: None)


async def _slot_of(three: Any, key: bytes) -> Any:
    return await three.call(three.addresses[0], "CLUSTER", "KEYSLOT", key)


async def test_an_unfinished_change_comes_first(three: Any, fuse: Fuse) -> None:
    scene = Scene(three)
    change = await scene.prepare()
    fuse.left = 0
    await quietly(scene, lambda: run_change(scene.where, change, lambda _: None))
    fuse.left, fuse.dead = None, False
    with pytest.raises(BaseExceptionGroup) as caught:
        await run_change(scene.where, change, lambda _: None)
    error = telling(caught.value)
    assert isinstance(error, CtlError)
    assert "a reshard was not finished: move 3 slots" in error.text
    found = await scene.found()
    assert found is not None
    await rollback(scene.where, found, lambda _: None)
    await scene.verify(scene.b)


async def test_a_plan_of_a_map_that_has_changed_is_refused(three: Any, fuse: Fuse) -> None:
    scene = Scene(three)
    change = await scene.prepare()
    await run_change(scene.where, change, lambda _: None)
    with pytest.raises(BaseExceptionGroup) as caught:
        await run_change(scene.where, change, lambda _: None)
    error = telling(caught.value)
    assert isinstance(error, PlanError)
    assert "the cluster has changed since the plan was made" in error.text


async def test_ctrl_c_stops_between_groups_and_can_be_resumed(three: Any, fuse: Fuse) -> None:
    scene = Scene(three)
    change = await scene.prepare()
    with trio.CancelScope() as scope, pytest.raises(BaseExceptionGroup) as caught:
        await run_change(
            scene.where, change, lambda event: scope.cancel() if "lots_done" in repr(event) else None
        )
    error = telling(caught.value)
    assert isinstance(error, CtlError)
    assert error.status == 130
    assert "resume" in error.hint
    assert not open_slots(await three.look())
    found = await scene.found()
    assert found is not None
    await resume(scene.where, found, lambda _: None)
    await scene.verify(scene.a)
