"""ctl.execute.slot_move: groups of slots between real nodes."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.errors import CtlError
from ctl.execute import slot_move
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.slot_move import Batch, BothSidesError, Moved, Mover, Route, agreed, groups, route_between
from ctl.snapshot import Address
from node.resp.client import ReplyError

SLOTS = [100, 101, 102]


def test_groups_are_ascending_and_bounded() -> None:
    assert list(groups([5, 1, 3], 2)) == [[1, 3], [5]]


def test_pipelines_are_bounded_and_a_large_batch_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_move, "PIPELINE_KEYS", 4)
    monkeypatch.setattr(slot_move, "PIPELINE_BYTES", 100)
    small = [Batch(1, [b"k"] * 2, 10) for _ in range(3)]
    large = Batch(2, [b"big"], 5000)
    assert list(slot_move._pipelines([*small[:2], large, small[2]])) == [small[:2], [large], [small[2]]]


async def ends(three: Any) -> tuple[Route, list[Address]]:
    snapshot = await three.look()
    owner = {slot: m for m in snapshot.primaries for slot in m.line.slots}
    source = owner[SLOTS[0]]
    target = next(m for m in snapshot.primaries if m.node_id != source.node_id)
    return route_between(snapshot, source.node_id, target.node_id), three.addresses


async def test_all_keys_arrive_and_all_nodes_agree(three: Any) -> None:
    route, nodes = await ends(three)
    keys = {}
    for slot in SLOTS:
        keys.update(await three.put(route.source, slot, 450))
    told: list[Moved] = []
    async with Fleet(Credentials()) as fleet:
        await Mover(fleet, nodes, Credentials(), told.append).move(route, SLOTS)
        await agreed(fleet, nodes, dict.fromkeys(SLOTS, route.target_id))
    assert await three.values(route.target, keys) == keys
    assert [await three.call(route.source, "CLUSTER", "COUNTKEYSINSLOT", slot) for slot in SLOTS] == [0] * 3
    assert sum(each.keys for each in told) == len(keys)
    assert sum(each.slots for each in told) == 3
    assert sum(each.size_bytes for each in told) > 50 * len(keys)


async def test_moving_again_is_harmless(three: Any) -> None:
    route, nodes = await ends(three)
    async with Fleet(Credentials()) as fleet:
        mover = Mover(fleet, nodes, Credentials())
        await mover.move(route, SLOTS)
        await mover.move(route, SLOTS)
        await agreed(fleet, nodes, dict.fromkeys(SLOTS, route.target_id))


async def test_a_slot_of_a_third_node_is_not_touched(three: Any) -> None:
    route, nodes = await ends(three)
    snapshot = await three.look()
    third = next(m for m in snapshot.primaries if m.node_id not in (route.source_id, route.target_id))
    theirs = next(iter(third.line.slots))
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(CtlError, match=f"slots {theirs} are owned neither by"):
            await Mover(fleet, nodes, Credentials()).move(route, [theirs])


async def test_a_large_key_is_a_batch_of_its_own(three: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    route, nodes = await ends(three)
    keys = await three.put(route.source, SLOTS[0], 20)
    large = next(iter(keys))
    await three.call(route.source, "SET", large, b"x" * 200_000)
    monkeypatch.setattr(slot_move, "BATCH_BYTES", 10_000)
    told: list[Moved] = []
    async with Fleet(Credentials()) as fleet:
        await Mover(fleet, nodes, Credentials(), told.append).move(route, SLOTS)
    assert [each.keys for each in told if each.size_bytes > 200_000] == [1]


async def test_a_copy_that_a_cut_off_move_left_is_replaced_when_that_is_known(three: Any) -> None:
    """Between the target's answer and the deletion at the source, the key is on both sides."""
    route, nodes = await ends(three)
    slot = SLOTS[0]
    keys = await three.put(route.source, slot, 3)
    first, second, _ = keys
    await three.call(route.target, "CLUSTER", "SETSLOT", slot, "IMPORTING", route.source_id)
    await three.call(route.source, "CLUSTER", "SETSLOT", slot, "MIGRATING", route.target_id)
    copy = ("MIGRATE", route.reach.host, route.reach.port, "", 0, 5000, "COPY", "KEYS", first, second)
    await three.call(route.source, *copy)
    await three.call(route.source, "SET", second, "newer")
    keys[second] = b"newer"
    async with Fleet(Credentials()) as fleet:
        mover = Mover(fleet, nodes, Credentials())
        with pytest.raises(BothSidesError, match="with different values") as caught:
            await mover.move(route, [slot])
        assert caught.value.key == second
        # Neither was changed.
        assert await three.values(route.source, {second: b""}) == {second: b"newer"}
        await mover.move(route, [slot], resumed=True)
    assert await three.values(route.target, keys) == keys


async def test_who_does_not_answer_ends_it(three: Any, free_port: Any) -> None:
    route, nodes = await ends(three)
    gone = Route(
        route.source_id, route.source, route.target_id, Address("127.0.0.1", free_port()), route.reach
    )
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(CtlError, match="connection refused") as caught:
            await Mover(fleet, nodes, Credentials()).move(gone, SLOTS)
    assert caught.value.status == 3


async def test_the_guard_is_asked_before_anything_is_changed(three: Any) -> None:
    route, nodes = await ends(three)

    def refuse() -> None:
        raise CtlError("the lock is lost")

    async with Fleet(Credentials()) as fleet:
        with pytest.raises(CtlError, match="the lock is lost"):
            await Mover(fleet, nodes, Credentials(), guard=refuse).move(route, SLOTS)
    for node in nodes:
        nodes_text = await three.call(node, "CLUSTER", "NODES")
        assert b"[" not in nodes_text


async def test_a_map_that_does_not_come_is_named(three: Any) -> None:
    _, nodes = await ends(three)
    async with Fleet(Credentials()) as fleet:
        with pytest.raises(CtlError, match="has not heard who owns slots 100 now"):
            await agreed(fleet, nodes, {100: "f" * 40}, timeout_s=0.1)


class Recorder(Fleet):
    """Notes what is sent, and on which lane; every MIGRATE succeeds."""

    def __init__(self) -> None:
        super().__init__(Credentials())
        self.sent: list[tuple[int, str]] = []

    async def pipeline(self, address: Any, commands: Any, *, timeout_s: Any = None, lane: int = 0) -> Any:
        self.sent += [(lane, command[0]) for command in commands]
        return [b"OK" if command[0] == "MIGRATE" else 100 for command in commands]


@pytest.mark.parametrize("ours", [True, False])
async def test_a_shoal_source_is_not_measured_and_migrates_on_several_lanes(ours: bool) -> None:
    """MIGRATE stops a redis-server, so its keys are sent in batches of known size, one after another."""
    node = Address("127.0.0.1", 7000)
    route = Route("a" * 40, node, "b" * 40, Address("127.0.0.1", 7001), Address("127.0.0.1", 7001))
    told: list[Moved] = []
    fleet = Recorder()
    mover = Mover(fleet, [node], Credentials(), told.append)
    if ours:
        mover._in_slices.add(node)
    listed = {slot: [b"%d:%d" % (slot, number) for number in range(3)] for slot in range(6)}
    batches = await mover._batches(node, listed, 70.0)
    assert await mover._send(route, batches, own_copies=False) == ([], 18)
    migrated = [lane for lane, name in fleet.sent if name == "MIGRATE"]
    assert len(migrated) == 6
    assert set(migrated) == (set(range(slot_move.LANES)) if ours else {0})
    assert ("MEMORY" in {name for _, name in fleet.sent}) is not ours
    assert sum(each.size_bytes for each in told) == 18 * (70 if ours else 100)


class Forgetful(Fleet):
    """A node that misses a replica's word for so many pipelines."""

    def __init__(self, count: int) -> None:
        super().__init__(Credentials())
        self.left = count

    async def pipeline(self, address: Any, commands: Any, **options: Any) -> Any:
        self.left -= 1
        missed = ReplyError("NOREPLICAS Not enough good replicas to write.")
        return [missed if self.left >= 0 and number == 1 else b"OK" for number in range(len(commands))]


async def test_a_replica_that_dies_while_slots_are_opened_does_not_end_the_move() -> None:
    node = Address("127.0.0.1", 7000)
    await Mover(Forgetful(2), [node], Credentials()).stable(node, SLOTS)
    with pytest.raises(CtlError, match="refused CLUSTER SETSLOT 101 STABLE: NOREPLICAS"):
        await Mover(Forgetful(3), [node], Credentials()).stable(node, SLOTS)
