"""Asks every node how it fares: the only maker of an Examination.

Keys are sampled on primaries, in database 0, by SCAN from its beginning: slots and hash tables order keys by
a hash, so these are as good as any others, but for keys that share a hash tag. MEMORY USAGE and OBJECT FREQ
do not count as a use of the key. How fast the replication stream grows is seen from two looks at its offset.

What a node does not know or does not tell this user is left out, as in `ctl.execute.survey`.
Sources: the pages of SLOWLOG GET, ACL GETUSER, SCAN, MEMORY USAGE and OBJECT FREQ.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import trio

from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.survey import survey
from ctl.plan.doctor_facts import NO_VITALS, Examination, NodeVitals, SampledKey, SlowCommand
from ctl.snapshot import Address, NodeView, parse_info
from ctl.survey import NodeFacts, parse_time_ms
from node.resp.client import LinkError, Reply

SLOW_ENTRIES = 128
KEYS_AT_ONCE = 100
RATE_WINDOW_S = 1.0


async def examine(fleet: Fleet, seeds: Iterable[Address], *, sample: int) -> Examination:
    """The cluster of `seeds`, with up to `sample` keys of each primary. Raises UnreachableError."""
    surveyed = await survey(fleet, seeds, count_keys=False)
    vitals: dict[str, NodeVitals] = {}

    async def one(view: NodeView) -> None:
        node_id = view.myself.node_id
        try:
            vitals[node_id] = await _vitals(fleet, view, surveyed.facts_of(view), sample)
        except LinkError:
            vitals[node_id] = NO_VITALS

    await concurrently(partial(one, view) for view in surveyed.snapshot.views)
    return Examination(surveyed, vitals)


async def _vitals(fleet: Fleet, view: NodeView, facts: NodeFacts, sample: int) -> NodeVitals:
    begun_s = trio.current_time()
    now, slow, user, replication = await fleet.pipeline(
        view.address,
        [("TIME",), ("SLOWLOG", "GET", SLOW_ENTRIES), ("ACL", "GETUSER", "default"), ("INFO", "replication")],
    )
    keys: tuple[SampledKey, ...] | None = None
    rate: float | None = None
    if view.myself.is_primary:
        policy = view.info.get("maxmemory_policy", "")
        keys = await _sample(fleet, view.address, sample, lfu=policy.endswith("-lfu"))
        await trio.sleep_until(begun_s + RATE_WINDOW_S)
        later = await fleet.call(view.address, "INFO", "replication")
        rate = written_bytes_per_s(replication, later, trio.current_time() - begun_s)
    return NodeVitals(is_open(user, facts), slow_commands(slow, parse_time_ms(now)), keys, rate)


def written_bytes_per_s(before: Reply, after: Reply, elapsed_s: float) -> float | None:
    """From two replies of INFO replication."""
    offsets = [
        parse_info(reply.decode(errors="replace")).get("master_repl_offset", "")
        for reply in (before, after)
        if isinstance(reply, bytes)
    ]
    if len(offsets) < 2 or not all(offset.isdecimal() for offset in offsets):
        return None
    return max(0, int(offsets[1]) - int(offsets[0])) / elapsed_s


def is_open(user: Reply, facts: NodeFacts) -> bool | None:
    """Whether the default user needs no password, of ACL GETUSER; before Redis 6 requirepass alone tells."""
    if isinstance(user, list):
        pairs = dict(zip(map(_bytes, user[::2]), user[1::2], strict=False))
        flags = pairs.get(b"flags")
        return {b"on", b"nopass"} <= set(map(_bytes, flags)) if isinstance(flags, list) else None
    required = (facts.config or {}).get("requirepass")
    return None if required is None else required == ""


def slow_commands(reply: Reply, now_ms: int | None) -> tuple[SlowCommand, ...] | None:
    if not isinstance(reply, list) or now_ms is None:
        return None
    found = []
    for entry in reply:
        match entry:
            case [int(), int(when_s), int(took_us), [bytes(name), *_], *_]:
                age_s = max(0, now_ms // 1000 - when_s)
                found.append(SlowCommand(name.decode(errors="replace").upper(), took_us, age_s))
    return tuple(found)


async def _sample(fleet: Fleet, address: Address, sample: int, *, lfu: bool) -> tuple[SampledKey, ...] | None:
    """None when the node does not let its keys be listed. A key may be met twice, and is taken once."""
    found: dict[bytes, SampledKey] = {}
    cursor: bytes = b"0"
    # A table that has shrunk is mostly empty: so many rounds, whatever they bring.
    for _ in range(4 * sample // KEYS_AT_ONCE + 10):
        if len(found) >= sample:
            break
        match await _scan(fleet, address, cursor):
            case [bytes(cursor), list(listed)]:
                names = [each for each in dict.fromkeys(listed) if isinstance(each, bytes)]
                fresh = [name for name in names if name not in found][: sample - len(found)]
                for start in range(0, len(fresh), KEYS_AT_ONCE):
                    await _weigh(fleet, address, fresh[start : start + KEYS_AT_ONCE], found, lfu=lfu)
            case _:
                return None
        if cursor == b"0":
            break
    return tuple(found.values())


async def _scan(fleet: Fleet, address: Address, cursor: bytes) -> Reply:
    replies = await fleet.pipeline(address, [("SCAN", cursor, "COUNT", KEYS_AT_ONCE)])
    return replies[0]


async def _weigh(
    fleet: Fleet, address: Address, names: list[bytes], found: dict[bytes, SampledKey], *, lfu: bool
) -> None:
    """Adds the sizes, and the frequencies where they are counted, to `found`."""
    if not names:
        return
    sizes = await fleet.pipeline(address, [("MEMORY", "USAGE", name) for name in names])
    counters: list[Reply] = [None] * len(names)
    if lfu:
        counters = await fleet.pipeline(address, [("OBJECT", "FREQ", name) for name in names])
    for name, taken, counter in zip(names, sizes, counters, strict=True):
        found[name] = SampledKey(name, _int(taken), _int(counter))


def _int(reply: Reply) -> int | None:
    return reply if isinstance(reply, int) else None


def _bytes(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else b""
