"""Carries out repairs. The largest: slots get their owner, everybody else's keys of them, and are closed.

That is decided by what the nodes say now, in this order:

    1  slots that another node owns are moved forward (`slot_move.Mover`), once their colliding keys are
       dealt with;
    2  slots that nobody owns are claimed by the owner-to-be, with a new epoch so that all believe it;
    3  other primaries' keys are sent to the owner. Such a node imports the slot for as long as that takes:
       MIGRATE and reads of a foreign slot are refused otherwise. Clients are not affected, since nobody
       sends them there;
    4  the slot is made stable wherever it is open, and all nodes have to agree.

A key that is on both sides: the same value twice is sent with REPLACE, which leaves one. With two values
`keep` decides, else the key stays on both sides. MIGRATE without REPLACE refuses a
key that is there already, so one that appears meanwhile is never overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctl.errors import UnreachableError
from ctl.execute.copies import asking, keys_of, read_copy
from ctl.execute.gather import refused
from ctl.execute.runner import run
from ctl.execute.site import Site, addresses, primary_addresses
from ctl.execute.slot_move import (
    CALL_TIMEOUT_S,
    MIGRATE_TIMEOUT_MS,
    Command,
    Mover,
    Route,
    agreed,
    auth_words,
    groups,
    route_between,
)
from ctl.execute.survey import count_keys_in
from ctl.plan.create import meet_command
from ctl.plan.fix import same
from ctl.plan.repairs import Bump, Introduce, Keep, Settle
from ctl.plan.steps import Await, Plan, Stage
from ctl.snapshot import Address, ClusterSnapshot, Member, NodeView
from gossip.slots import SlotSet
from node.resp.client import LinkError, ReplyError

KEYS_AT_ONCE = 500
ADD_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Answering:
    """A member with the view that it has just given."""

    member: Member
    view: NodeView

    @property
    def name(self) -> str:
        return self.member.name


async def mend(site: Site, step: Settle | Bump | Introduce) -> None:
    """Raises CtlError, UnreachableError; doing it again finishes what was begun."""
    mender = Mender(site)
    try:
        match step:
            case Settle():
                await mender.settle(step)
            case Bump():
                await mender.bump(step)
            case Introduce():
                await mender.introduce(step)
    except LinkError as error:
        raise UnreachableError(str(error), "`ctl cluster fix` goes on when it answers again.") from error


class Mender:
    """Carries out repairs at a site. Raises CtlError, LinkError."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._fleet = site.fleet

    async def bump(self, step: Bump) -> None:
        snapshot = await self._site.look()
        node = self._answering(snapshot, step.node)
        self._site.guard()
        await self._call(node.view.address, "CLUSTER", "BUMPEPOCH")
        owners = dict.fromkeys(node.view.myself.slots, step.node)
        await agreed(self._fleet, addresses(snapshot), owners, self._site.say)

    async def introduce(self, step: Introduce) -> None:
        """Returns when the node knows the other for what it is."""
        snapshot = await self._site.look()
        node, other = self._answering(snapshot, step.node), self._answering(snapshot, step.other)
        self._site.guard()
        await self._call(node.view.address, *meet_command(other.view))

        def unmet(seen: ClusterSnapshot) -> str | None:
            known = {line.node_id for view in seen.views for line in view.others if not line.in_handshake}
            return None if step.other in known else f"{node.name} has not got to know {other.name}"

        wait = Await(f"{node.name} knows {other.name}", (node.view.address,), unmet)
        plan = Plan("introduce", (Stage(wait.title, (wait,)),))
        await run(plan, self._fleet, lambda _: None, timeout_s=self._site.timeout_s)

    def _answering(self, snapshot: ClusterSnapshot, node: str) -> Answering:
        member = snapshot.member(node)
        if member is None or member.view is None:
            raise UnreachableError(f"{self._site.roster.name(node)} does not answer")
        return Answering(member, member.view)

    async def settle(self, step: Settle) -> None:
        snapshot = await self._site.look()
        owner = snapshot.member(step.owner)
        if owner is None or owner.view is None or not owner.is_primary:
            raise UnreachableError(f"{self._site.roster.name(step.owner)} is no primary that answers")
        waiting = SlotSet()
        for member in snapshot.primaries:
            held = member.line.slots & step.slots - owner.line.slots
            if member != owner and held:
                waiting |= await self._forward(snapshot, member, owner, held, step.keep)
        await self._claim(owner, step.slots - snapshot.covered)
        slots = step.slots - waiting
        snapshot = await self._site.look()
        for member in snapshot.primaries:
            if member.node_id != step.owner and member.view is not None:
                slots -= await self._sweep(snapshot, member, owner, slots, step.keep)
        await self._close(snapshot, slots)
        await agreed(self._fleet, addresses(snapshot), dict.fromkeys(slots, step.owner), self._site.say)

    async def _forward(
        self, snapshot: ClusterSnapshot, source: Member, target: Member, slots: SlotSet, keep: Keep
    ) -> SlotSet:
        """Finishes moves to the target. Returns the slots that wait for a decision about a key."""
        if source.view is None:
            raise UnreachableError(f"{source.name} does not answer: {source.reason}")
        route = route_between(snapshot, source.node_id, target.node_id)
        mover = Mover(
            self._fleet, primary_addresses(snapshot), self._site.credentials, guard=self._site.guard
        )
        waiting = SlotSet()
        for group in groups(slots):
            ready = []
            for slot in group:
                # Its copy can be read, and replaced, only while the target imports the slot.
                await self._setslot(route.target, slot, "IMPORTING", source.node_id)
                if await self._reconcile(route, slot, keep):
                    waiting |= SlotSet([slot])
                else:
                    ready.append(slot)
            if ready:
                await mover.move(route, ready)
        return waiting

    async def _claim(self, owner: Member, slots: SlotSet) -> None:
        """ADDSLOTS where the owner knows of no other, else SETSLOT; then an epoch that all believe."""
        if not slots:
            return
        assert owner.view is not None
        address = owner.view.address
        known = SlotSet()
        for owned in owner.view.owners().values():
            known |= owned
        self._site.guard()
        free = list(slots - known)
        for start in range(0, len(free), ADD_AT_ONCE):
            await self._call(address, "CLUSTER", "ADDSLOTS", *free[start : start + ADD_AT_ONCE])
        for slot in slots & known:
            await self._setslot(address, slot, "NODE", owner.node_id)
        await self._call(address, "CLUSTER", "BUMPEPOCH")

    async def _sweep(
        self, snapshot: ClusterSnapshot, holder: Member, owner: Member, slots: SlotSet, keep: Keep
    ) -> SlotSet:
        """The holder's keys of `slots` to their owner. Returns those of which it has to keep some."""
        assert holder.view is not None
        assert owner.view is not None
        address = holder.view.address
        counts = await count_keys_in(self._fleet, address, list(slots)) or {}
        held = [slot for slot, number in counts.items() if number]
        if not held:
            return SlotSet()
        route = route_between(snapshot, holder.node_id, owner.node_id)
        waiting = SlotSet()
        for slot in held:
            was_open = slot in holder.line.importing
            await self._setslot(address, slot, "IMPORTING", owner.node_id)
            left = await self._reconcile(route, slot, keep)
            await self._send_all(route, slot, set(left))
            if left and was_open:
                waiting |= SlotSet([slot])
            else:
                await self._setslot(address, slot, "STABLE")
        return waiting

    async def _reconcile(self, route: Route, slot: int, keep: Keep) -> list[bytes]:
        """Makes one copy of every key of `slot` that is on both sides; returns those that it may not."""
        ours = set(await self._keys(route.source, slot))
        both = sorted(ours.intersection(await self._keys(route.target, slot))) if ours else []
        left = []
        for key in both:
            match await self._survivor(route, key, keep):
                case "source":
                    await self._migrate(route, [key], "REPLACE")
                case "target":
                    self._site.guard()
                    [reply] = await asking(self._fleet, route.source, [("DEL", key)])
                    if isinstance(reply, ReplyError):
                        raise refused(route.source, "DEL", reply)
                case _:
                    left.append(key)
                    self._site.say(f"key {key!r} stays on {route.source} and on {route.target}")
        return left

    async def _survivor(self, route: Route, key: bytes, keep: Keep) -> Keep:
        here = await read_copy(self._fleet, route.source, route.source_id, key)
        there = await read_copy(self._fleet, route.target, route.target_id, key)
        if same(here, there):
            return "source"
        if keep != "newer":
            return keep
        if here.idle_s is None or there.idle_s is None or here.idle_s == there.idle_s:
            return ""
        return "source" if here.idle_s < there.idle_s else "target"

    async def _keys(self, address: Address, slot: int) -> list[bytes]:
        counted = await self._fleet.call(address, "CLUSTER", "COUNTKEYSINSLOT", slot)
        assert isinstance(counted, int), counted
        return await keys_of(self._fleet, address, slot, counted) if counted else []

    async def _send_all(self, route: Route, slot: int, but: set[bytes]) -> None:
        """All keys of `slot` but some, which stay."""
        while True:
            listed = await keys_of(self._fleet, route.source, slot, KEYS_AT_ONCE + len(but))
            keys = [key for key in listed if key not in but]
            if not keys:
                return
            await self._migrate(route, keys)

    async def _migrate(self, route: Route, keys: Sequence[bytes], *options: str) -> None:
        self._site.guard()
        where = (route.reach.host, route.reach.port, "", 0, MIGRATE_TIMEOUT_MS)
        words: Command = ("MIGRATE", *where, *options, *auth_words(self._site.credentials), "KEYS", *keys)
        try:
            await self._fleet.call(route.source, *words, timeout_s=CALL_TIMEOUT_S)
        except ReplyError as error:
            raise refused(route.source, f"to migrate to {route.reach}", error) from error

    async def _close(self, snapshot: ClusterSnapshot, slots: SlotSet) -> None:
        for view in snapshot.views:
            if view.myself.is_primary:
                for slot in SlotSet([*view.myself.migrating, *view.myself.importing]) & slots:
                    await self._setslot(view.address, slot, "STABLE")

    async def _setslot(self, address: Address, slot: int, *words: str) -> None:
        self._site.guard()
        await self._call(address, "CLUSTER", "SETSLOT", slot, *words)

    async def _call(self, address: Address, *words: str | int) -> None:
        try:
            await self._fleet.call(address, *words)
        except ReplyError as error:
            raise refused(address, " ".join(map(str, words[:4])), error) from error
