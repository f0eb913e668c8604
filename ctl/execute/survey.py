"""Asks every node more than its view: the only maker of a Survey.

What a node does not know (FUNCTION before Redis 7, GETSLOTMIGRATIONS anywhere but in Valkey 9 and Shoal),
or will not tell this user, is left out. A node that breaks off while it is asked keeps its view and has no
facts.

Keys of slots are counted by CLUSTER COUNTKEYSINSLOT. A node holds none outside its own slots when those of
its own add up to DBSIZE, so the whole cluster costs one count a slot; only where they do not are the other
slots counted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ctl.execute.fleet import Fleet, concurrently
from ctl.execute.gather import gather
from ctl.snapshot import Address, ClusterSnapshot, NodeView
from ctl.survey import (
    NO_FACTS,
    NodeFacts,
    Survey,
    parse_config,
    parse_functions,
    parse_links,
    parse_migrations,
    parse_time_ms,
    parse_users,
)
from gossip.slots import SlotSet
from node.resp.client import LinkError, Reply

COUNTS_AT_ONCE = 1024
QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("CONFIG", "GET", "*"),
    ("FUNCTION", "LIST", "WITHCODE"),
    ("ACL", "LIST"),
    ("CLUSTER", "GETSLOTMIGRATIONS"),
    ("CLUSTER", "LINKS"),
    ("TIME",),
)


async def survey(fleet: Fleet, seeds: Iterable[Address], *, count_keys: bool = True) -> Survey:
    """The cluster of `seeds` with all that its nodes tell. Raises UnreachableError when none answers."""
    return await survey_of(fleet, await gather(fleet, seeds), count_keys=count_keys)


async def survey_of(fleet: Fleet, snapshot: ClusterSnapshot, *, count_keys: bool = True) -> Survey:
    """The facts of the nodes that answered for `snapshot`; `count_keys` looks for keys in foreign slots."""
    facts: dict[str, NodeFacts] = {}
    suspect = snapshot.uncovered | _open_slots(snapshot)

    async def one(view: NodeView) -> None:
        try:
            facts[view.myself.node_id] = await _facts(fleet, view, suspect, count_keys=count_keys)
        except LinkError:
            facts[view.myself.node_id] = NO_FACTS

    await concurrently(partial(one, view) for view in snapshot.views)
    return Survey(snapshot, facts)


def _open_slots(snapshot: ClusterSnapshot) -> SlotSet:
    return SlotSet(
        slot
        for view in snapshot.views
        for slot in (*view.myself.migrating.keys(), *view.myself.importing.keys())
    )


async def _facts(fleet: Fleet, view: NodeView, suspect: SlotSet, *, count_keys: bool) -> NodeFacts:
    config, functions, users, migrations, links, now = await fleet.pipeline(view.address, QUESTIONS)
    counted = await _count(fleet, view, suspect) if view.myself.is_primary and count_keys else None
    return NodeFacts(
        config=parse_config(config),
        functions=parse_functions(functions),
        users=parse_users(users),
        migrations=parse_migrations(migrations),
        links=parse_links(links),
        slot_keys=counted,
        now_ms=parse_time_ms(now),
    )


async def _count(fleet: Fleet, view: NodeView, suspect: SlotSet) -> dict[int, int] | None:
    """Keys by slot, where there are any; None when the node does not count them."""
    own = view.myself.slots
    counts = await count_keys_in(fleet, view.address, sorted(own | suspect))
    size = await fleet.pipeline(view.address, [("DBSIZE",)])
    if counts is None:
        return None
    if size[0] != sum(counts.values()):
        counts |= await count_keys_in(fleet, view.address, list(SlotSet.all() - own - suspect)) or {}
    return {slot: count for slot, count in counts.items() if count}


async def count_keys_in(fleet: Fleet, address: Address, slots: Sequence[int]) -> dict[int, int] | None:
    """Keys by slot; None when the node does not count them. Raises LinkError."""
    counts: dict[int, int] = {}
    for start in range(0, len(slots), COUNTS_AT_ONCE):
        part = slots[start : start + COUNTS_AT_ONCE]
        replies: list[Reply] = await fleet.pipeline(
            address, [("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in part]
        )
        for slot, reply in zip(part, replies, strict=True):
            if not isinstance(reply, int):
                return None
            counts[slot] = reply
    return counts
