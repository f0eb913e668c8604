"""What a move will cost: its keys, counted, and its bytes, from the nodes' own statistics or from a sample.

Keys come from CLUSTER COUNTKEYSINSLOT. Bytes from CLUSTER SLOT-STATS where it tells `memory-bytes`, else from
some keys of some of the slots: MEMORY USAGE, or the length of DUMP where a node has no such command.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ctl.errors import UnreachableError
from ctl.execute.atomic_move import knows_atomic
from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.gather import refused
from ctl.plan.change import Move
from ctl.snapshot import Address, ClusterSnapshot
from gossip.slots import SLOT_COUNT, SlotSet
from node.resp.client import LinkError, Reply, ReplyError

COUNT_AT_ONCE = 1000
SAMPLE_SLOTS = 200
SAMPLE_KEYS = 5
RANGES_MAX = 16

Loads = dict[int, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Costs:
    """`moves` with what they cost; `atomic` when every pair of nodes can hand slots over in one step."""

    moves: tuple[Move, ...]
    atomic: bool


async def costs_of(fleet: Fleet, snapshot: ClusterSnapshot, moves: Sequence[Move]) -> Costs:
    """Raises CtlError when a source does not answer."""
    found: dict[int, Move] = {}

    async def one(index: int, move: Move) -> None:
        address = _address(snapshot, move.source)
        counts = await count_keys(fleet, address, move.slots)
        keys = sum(counts.values())
        size_bytes = await _bytes_of(fleet, address, move.slots, counts)
        found[index] = replace(move, keys=keys, size_bytes=size_bytes)

    try:
        await concurrently(partial(one, index, move) for index, move in enumerate(moves))
        ends = {_address(snapshot, node) for move in moves for node in (move.source, move.target)}
        atomic = bool(moves) and await knows_atomic(fleet, sorted(ends))
    except LinkError as error:
        raise UnreachableError(str(error)) from error
    return Costs(tuple(found[index] for index in range(len(moves))), atomic)


def _address(snapshot: ClusterSnapshot, node: str) -> Address:
    member = snapshot.member(node)
    assert member is not None
    if member.view is None:
        raise UnreachableError(f"{member.name} does not answer: {member.reason}")
    return member.view.address


async def count_keys(fleet: Fleet, address: Address, slots: SlotSet) -> dict[int, int]:
    """Keys by slot. Raises CtlError, LinkError."""
    counts: dict[int, int] = {}
    ordered = list(slots)
    for start in range(0, len(ordered), COUNT_AT_ONCE):
        some = ordered[start : start + COUNT_AT_ONCE]
        replies = await fleet.pipeline(address, [("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in some])
        for slot, reply in zip(some, replies, strict=True):
            if isinstance(reply, ReplyError):
                raise refused(address, "CLUSTER COUNTKEYSINSLOT", reply)
            counts[slot] = reply if isinstance(reply, int) else 0
    return counts


async def slot_stats(fleet: Fleet, address: Address, slots: SlotSet) -> Loads | None:
    """What CLUSTER SLOT-STATS tells of `slots` and perhaps others that the node owns, by slot and name.

    None where the node has none. Raises LinkError.
    """
    ranges = slots.ranges()
    if len(ranges) > RANGES_MAX:
        ranges = [(0, SLOT_COUNT - 1)]
    replies = await fleet.pipeline(
        address, [("CLUSTER", "SLOT-STATS", "SLOTSRANGE", *pair) for pair in ranges]
    )
    entries: list[Reply] = []
    for reply in replies:
        if isinstance(reply, ReplyError):
            return None
        assert isinstance(reply, list), reply
        entries += reply
    loads: Loads = {}
    for entry in entries:
        assert isinstance(entry, list), entry
        slot, metrics = entry
        assert isinstance(slot, int), slot
        assert isinstance(metrics, list), metrics
        loads[slot] = {
            name.decode(): value
            for name, value in zip(metrics[::2], metrics[1::2], strict=True)
            if isinstance(name, bytes) and isinstance(value, int)
        }
    return loads


async def _bytes_of(fleet: Fleet, address: Address, slots: SlotSet, counts: dict[int, int]) -> int | None:
    total = sum(counts.values())
    if not total:
        return 0
    stats = await slot_stats(fleet, address, slots)
    if stats and all("memory-bytes" in stats.get(slot, {}) for slot in slots):
        return sum(stats[slot]["memory-bytes"] for slot in slots)
    mean = await mean_key_bytes(fleet, address, [slot for slot, count in counts.items() if count])
    return round(mean * total) if mean is not None else None


async def mean_key_bytes(fleet: Fleet, address: Address, slots: Sequence[int]) -> float | None:
    """Of some keys of some of `slots`; the same ones each time. None where the node cannot tell."""
    chosen = random.Random(0).sample(list(slots), min(len(slots), SAMPLE_SLOTS))
    listed = await fleet.pipeline(
        address, [("CLUSTER", "GETKEYSINSLOT", slot, SAMPLE_KEYS) for slot in chosen]
    )
    keys = [key for reply in listed if isinstance(reply, list) for key in reply if isinstance(key, bytes)]
    for words, size_of in ((("MEMORY", "USAGE"), _number), (("DUMP",), _length)):
        replies = await fleet.pipeline(address, [(*words, key) for key in keys])
        sizes = [size for reply in replies if (size := size_of(reply)) is not None]
        if sizes:
            return sum(sizes) / len(sizes)
    return None


def _number(reply: Reply) -> int | None:
    return reply if isinstance(reply, int) else None


def _length(reply: Reply) -> int | None:
    return len(reply) if isinstance(reply, bytes) else None
