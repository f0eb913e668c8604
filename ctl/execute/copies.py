"""Keys that more than one node holds: which they are, and whether their copies are the same.

A node serves a key of a slot that it does not own only after ASKING, and only while it imports the slot.
Where it does not, nothing but the key's name is known (`Copy` without a digest).

The digest of a copy is that of its DUMP payload, without version and checksum. Sets, hashes and sorted sets
have no order of their own there (each server draws another hash seed), so theirs is that of their members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ctl.execute.fleet import Fleet
from ctl.plan.fix import Collision, Copy
from ctl.snapshot import Address, Member
from ctl.survey import Survey
from node.resp.client import Reply, ReplyError

DUMP_TRAILER_BYTES = 10
DIGEST_LENGTH = 12
UNORDERED = {b"set": ("SMEMBERS",), b"hash": ("HGETALL",), b"zset": ("ZRANGE", "0", "-1", "WITHSCORES")}


async def find_collisions(fleet: Fleet, survey: Survey, slots: Iterable[int]) -> list[Collision]:
    """Keys of `slots` that several answering primaries hold. Raises LinkError, ReplyError."""
    found = []
    for slot in slots:
        holders = survey.holders(slot)
        if len(holders) < 2:
            continue
        by_key: dict[bytes, list[Member]] = {}
        for member, number in holders.items():
            assert member.view is not None
            for key in await keys_of(fleet, member.view.address, slot, number):
                by_key.setdefault(key, []).append(member)
        for key, members in by_key.items():
            if len(members) > 1:
                found.append(await _collision(fleet, slot, key, members))
    return found


async def _collision(fleet: Fleet, slot: int, key: bytes, members: Sequence[Member]) -> Collision:
    copies = []
    for member in members:
        assert member.view is not None
        copies.append(await read_copy(fleet, member.view.address, member.node_id, key))
    return Collision(slot, key, tuple(copies))


async def keys_of(fleet: Fleet, address: Address, slot: int, limit: int) -> list[bytes]:
    """Up to `limit` keys of `slot` that the node holds. Raises LinkError, ReplyError."""
    reply = await fleet.call(address, "CLUSTER", "GETKEYSINSLOT", slot, limit)
    assert isinstance(reply, list), reply
    return [key for key in reply if isinstance(key, bytes)]


async def asking(
    fleet: Fleet, address: Address, commands: Sequence[Sequence[str | int | bytes]]
) -> list[Reply]:
    """Replies of `commands`, each after an ASKING, which holds for one command only. Raises LinkError."""
    interleaved: list[Sequence[str | int | bytes]] = []
    for command in commands:
        interleaved += [("ASKING",), command]
    return (await fleet.pipeline(address, interleaved))[1::2]


async def read_copy(fleet: Fleet, address: Address, node_id: str, key: bytes) -> Copy:
    """What the node tells of its copy. Raises LinkError."""
    # OBJECT first, since reading a key makes it used just now.
    idle, kind, dump, ttl = await asking(
        fleet, address, [("OBJECT", "IDLETIME", key), ("TYPE", key), ("DUMP", key), ("PTTL", key)]
    )
    if not isinstance(dump, bytes):
        return Copy(node_id)
    # TYPE answers with a simple string, which arrives as bytes like any other.
    name = kind if isinstance(kind, bytes) else b""
    return Copy(
        node=node_id,
        kind=name.decode(),
        digest=await _digest(fleet, address, key, name, dump),
        size_bytes=len(dump) - DUMP_TRAILER_BYTES,
        ttl_ms=ttl if isinstance(ttl, int) and ttl >= 0 else None,
        idle_s=idle if isinstance(idle, int) else None,
    )


async def _digest(fleet: Fleet, address: Address, key: bytes, kind: bytes, dump: bytes) -> str:
    content = dump[:-DUMP_TRAILER_BYTES]
    if kind in UNORDERED:
        name, *rest = UNORDERED[kind]
        [reply] = await asking(fleet, address, [(name, key, *rest)])
        if not isinstance(reply, ReplyError):
            content = kind + b"".join(_members(kind, reply))
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]


def _members(kind: bytes, reply: Reply) -> list[bytes]:
    """Members, or pairs, framed by their lengths and in an order of their own."""
    assert isinstance(reply, list), reply
    words = [word for word in reply if isinstance(word, bytes)]
    framed = [b"%d:%b" % (len(word), word) for word in words]
    if kind == b"set":
        return sorted(framed)
    return sorted(a + b for a, b in zip(framed[::2], framed[1::2], strict=True))
