"""Asks the nodes what an explanation rests on: the key, the keys of the slot, reports of failure."""

from __future__ import annotations

from functools import partial

from ctl.execute.copies import asking, keys_of
from ctl.execute.fleet import Fleet, concurrently
from ctl.plan.explain import UNREAD, KeyCopy
from ctl.snapshot import ClusterSnapshot, Member, NodeView
from node.resp.client import LinkError, Reply, ReplyError

LISTED_KEYS = 10_000


async def count_keys(fleet: Fleet, snapshot: ClusterSnapshot, slot: int) -> dict[str, int]:
    """Keys of `slot` by the id of the primary that holds them; those that cannot tell are left out."""
    counts: dict[str, int] = {}

    async def one(member: Member, view: NodeView) -> None:
        try:
            [reply] = await fleet.pipeline(view.address, [("CLUSTER", "COUNTKEYSINSLOT", slot)])
        except LinkError:
            return
        if isinstance(reply, int):
            counts[member.node_id] = reply

    await concurrently(partial(one, m, m.view) for m in snapshot.primaries if m.view is not None)
    return counts


async def failure_reports(fleet: Fleet, snapshot: ClusterSnapshot, node_id: str) -> dict[str, int]:
    """Reports about a node that each other counts, by the id of who was asked."""
    reports: dict[str, int] = {}

    async def one(view: NodeView) -> None:
        try:
            [reply] = await fleet.pipeline(view.address, [("CLUSTER", "COUNT-FAILURE-REPORTS", node_id)])
        except LinkError:
            return
        if isinstance(reply, int):
            reports[view.myself.node_id] = reply

    others = (view for view in snapshot.views if view.myself.node_id != node_id)
    await concurrently(partial(one, view) for view in others)
    return {node: reports[node] for node in sorted(reports)}


async def find_key(
    fleet: Fleet, snapshot: ClusterSnapshot, key: bytes, slot: int, counts: dict[str, int]
) -> list[KeyCopy]:
    """What each answering node says of the key, in the order of members."""
    copies: dict[str, KeyCopy] = {}

    async def one(member: Member, view: NodeView) -> None:
        try:
            if member.is_primary:
                copies[member.node_id] = await _at_primary(
                    fleet, view, key, slot, counts.get(member.node_id, 0)
                )
            else:
                copies[member.node_id] = await _at_replica(fleet, view, key)
        except LinkError as error:
            copies[member.node_id] = KeyCopy(member.node_id, refusal=error.reason)

    await concurrently(partial(one, m, m.view) for m in snapshot.members if m.view is not None)
    return [copies[member.node_id] for member in snapshot.members if member.node_id in copies]


async def _at_primary(fleet: Fleet, view: NodeView, key: bytes, slot: int, held: int) -> KeyCopy:
    """Read where the node serves the slot; where it does not, all that can be told is whether the name is
    among its keys.
    """
    node_id = view.myself.node_id
    kind, ttl, encoding, size = await asking(
        fleet,
        view.address,
        [("TYPE", key), ("PTTL", key), ("OBJECT", "ENCODING", key), ("MEMORY", "USAGE", key)],
    )
    if isinstance(kind, ReplyError):
        if kind.code != "MOVED":
            return KeyCopy(node_id, refusal=kind.text)
        try:
            stray = held and key in await keys_of(fleet, view.address, slot, min(held, LISTED_KEYS))
        except ReplyError:
            stray = False
        return KeyCopy(node_id, kind=UNREAD if stray else "")
    return KeyCopy(
        node_id,
        kind=_kind(kind),
        encoding=encoding.decode() if isinstance(encoding, bytes) else "",
        ttl_ms=ttl if isinstance(ttl, int) and ttl >= 0 else None,
        size_bytes=size if isinstance(size, int) else None,
    )


async def _at_replica(fleet: Fleet, view: NodeView, key: bytes) -> KeyCopy:
    """READONLY makes it serve the slots of its primary."""
    _, kind, _ = await fleet.pipeline(view.address, [("READONLY",), ("TYPE", key), ("READWRITE",)])
    if isinstance(kind, ReplyError):
        return KeyCopy(view.myself.node_id, refusal="" if kind.code == "MOVED" else kind.text)
    return KeyCopy(view.myself.node_id, kind=_kind(kind))


def _kind(reply: Reply) -> str:
    return reply.decode() if isinstance(reply, bytes) and reply != b"none" else ""
