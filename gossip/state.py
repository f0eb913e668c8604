"""The cluster as this node knows it: who its members are, and who owns which slot.

Everything in a nodes.conf file is here, and nothing that knows time or sends messages. Roles and slots are
changed through these methods only, which keep four views of one truth in step: a primary's `slots`, the union
`assigned`, the owner by slot, and the two ends of the replica relation.

A slot in `given` was ours, and another node has owned it since: what data of it a restart brings back is old.

A slot in `unclaimed` still stands with an owner that has stopped claiming it (it handed the slot over, and
the new owner has not spoken yet): clients are still sent there, but we tell nobody else that it owns it, and
any claim may take it.

Source: the Redis cluster specification, "Hash slots configuration propagation".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random

from gossip.member import NO_SLOTS, Member
from gossip.messages import NodeId
from gossip.slots import SLOT_COUNT, SlotSet

_NODE_ID = re.compile(r"[0-9a-f]{40}\Z")


def is_node_id(text: str) -> bool:
    """Whether this is what a node may be called: 40 lower-case hexadecimal digits."""
    return _NODE_ID.match(text) is not None


def random_node_id(rng: Random) -> NodeId:
    return f"{rng.getrandbits(160):040x}"


class ClusterState:
    """Members by id, slot owners, open slots and epochs. `me` is always one of the members.

    `migrating` and `importing` map a slot to the member on its other side; `forgotten` maps the id of a node
    that must not come back by hearsay to the Unix milliseconds when it may.
    """

    def __init__(self, me: Member) -> None:
        me.myself = True
        self.me = me
        self.members: dict[NodeId, Member] = {me.node_id: me}
        self.assigned = NO_SLOTS
        self.unclaimed = NO_SLOTS
        self.given = NO_SLOTS
        self.migrating: dict[int, Member] = {}
        self.importing: dict[int, Member] = {}
        self.current_epoch = 0
        self.last_vote_epoch = 0
        self.forgotten: dict[NodeId, int] = {}
        self.tls_first = False  # whether members' first port is the one over TLS
        self._order: list[Member] = [me]
        self._owners: list[Member | None] | None = None
        self._size = 0

    @classmethod
    def fresh(cls, rng: Random) -> ClusterState:
        """A node's state at its very first start: a primary with a new name, alone, without slots."""
        return cls(Member(random_node_id(rng), shard_id=random_node_id(rng), is_primary=True))

    # members

    def add(self, member: Member) -> None:
        assert member.node_id not in self.members, member.node_id
        self.members[member.node_id] = member
        self._order.append(member)

    def remove(self, member: Member) -> None:
        """Forget all about a member: its slots, open slots, replicas' ties and failure reports."""
        assert not member.myself
        self.assign(member.slots, None)
        self.follow(member, None)
        for replica in member.replicas:
            replica.primary = None
        member.replicas.clear()
        for open_slots in (self.migrating, self.importing):
            for slot in [slot for slot, peer in open_slots.items() if peer is member]:
                del open_slots[slot]
        del self.members[member.node_id]
        self._order.remove(member)
        for other in self._order:
            other.failure_reports.pop(member.node_id, None)

    def rename(self, member: Member, node_id: NodeId) -> None:
        assert node_id not in self.members, node_id
        del self.members[member.node_id]
        member.node_id = node_id
        self.members[node_id] = member

    def lead_with(self, *, tls: bool) -> None:
        """From now on members' first port is the one over TLS, or the other; where only one is known, it is
        taken for that one.
        """
        if tls == self.tls_first:
            return
        self.tls_first = tls
        for member in self.others():
            if member.plain_port:
                member.port, member.plain_port = member.plain_port, member.port

    def random_member(self, rng: Random) -> Member:
        """Any member, ourselves included."""
        return self._order[int(rng.random() * len(self._order))]

    def others(self) -> Iterator[Member]:
        """Every member but us whose name we know."""
        return (member for member in self._order if not (member.myself or member.handshake))

    def primaries(self) -> Iterator[Member]:
        return (member for member in self._order if member.is_primary)

    def voters(self) -> Iterator[Member]:
        """The primaries that serve slots: those whose majority decides."""
        return (member for member in self._order if member.is_primary and member.slots)

    # roles

    @property
    def my_primary(self) -> Member | None:
        """Whose slots we stand for: us, our primary, or None when we follow a node unknown."""
        return self.me.primary if self.me.is_replica else self.me

    def siblings(self) -> list[Member]:
        """The other replicas of our primary."""
        primary = self.me.primary
        return [] if primary is None else [replica for replica in primary.replicas if not replica.myself]

    def shard(self) -> list[Member]:
        """The other members that stand for the same slots as we do."""
        primary = self.my_primary
        if primary is None:
            return []
        return [member for member in (primary, *primary.replicas) if not member.myself]

    def make_primary(self, member: Member) -> None:
        if member.primary is not None and not member.myself:
            member.migrate_to = True
        self.follow(member, None)
        member.is_replica, member.is_primary = False, True

    def make_replica(self, member: Member, primary: Member | None) -> None:
        """Turn a member without slots into a replica; `primary` None: of a node we do not know."""
        assert not member.slots
        assert primary is not member
        if member.myself:
            self.given = NO_SLOTS  # our data are its primary's from now on
        member.is_primary, member.is_replica = False, True
        member.migrate_to = False
        self.follow(member, primary)

    def follow(self, member: Member, primary: Member | None) -> None:
        """Set whom a member replicates, on both ends."""
        if member.primary is not None:
            member.primary.replicas.remove(member)
            if not member.primary.replicas:
                member.primary.migrate_to = False
        member.primary = primary
        if primary is not None:
            primary.replicas.append(member)
            primary.migrate_to = True

    def set_shard(self, member: Member, shard_id: str) -> bool:
        """Give a member's whole shard one id; whether that changed anything."""
        primary = member.primary or member
        changed = False
        for one in (primary, *primary.replicas):
            changed |= one.shard_id != shard_id
            one.shard_id = shard_id
        return changed

    # slots

    def assign(self, slots: SlotSet, owner: Member | None) -> None:
        """Give slots to `owner` (None: to nobody), whoever had them."""
        if not slots:
            return
        if owner is self.me:
            self.given = self.given - slots
        elif owner is not None:
            self.given = self.given | (self.me.slots & slots)
        for holder, held in self.owners_of(slots):
            holder.slots = holder.slots - held
            self._size -= not holder.slots
        self.unclaimed = self.unclaimed - slots
        self.assigned = self.assigned - slots
        if owner is not None:
            if not owner.slots and any(member.replicas for member in self.primaries()):
                owner.migrate_to = True
            self._size += not owner.slots
            owner.slots = owner.slots | slots
            self.assigned = self.assigned | slots
        self._owners = None

    def owners_of(self, slots: SlotSet) -> list[tuple[Member, SlotSet]]:
        """Those that own any of `slots`, each with its part."""
        return [(member, part) for member in self._order if member.slots and (part := member.slots & slots)]

    def owner(self, slot: int) -> Member | None:
        return self.owners()[slot]

    def owners(self) -> list[Member | None]:
        """The owner by slot number; built when asked for, and not to be changed by the caller."""
        if self._owners is None:
            owners: list[Member | None] = [None] * SLOT_COUNT
            for member in self._order:
                for first, last in member.slots.ranges():
                    owners[first : last + 1] = [member] * (last + 1 - first)
            self._owners = owners
        return self._owners

    def import_from(self, slot: int, peer: Member) -> None:
        """Keys of this slot come from `peer`, so those that are here are not old."""
        self.importing[slot] = peer
        self.given = self.given - SlotSet([slot])

    def close_slots(self) -> None:
        """End every migration and import of ours."""
        self.migrating.clear()
        self.importing.clear()

    # epochs

    @property
    def size(self) -> int:
        """How many primaries serve slots."""
        return self._size

    @property
    def quorum(self) -> int:
        """How many of them are a majority."""
        return self.size // 2 + 1

    def greatest_epoch(self) -> int:
        return max(self.current_epoch, max(member.config_epoch for member in self._order))

    # forgotten nodes

    def is_forgotten(self, node_id: NodeId, now_ms: int) -> bool:
        until_ms = self.forgotten.get(node_id)
        if until_ms is None:
            return False
        if until_ms <= now_ms:
            del self.forgotten[node_id]
            return False
        return True

    def drop_old_forgotten(self, now_ms: int) -> None:
        for node_id in [name for name, until_ms in self.forgotten.items() if until_ms <= now_ms]:
            del self.forgotten[node_id]

    def check(self) -> None:
        """Assert that all views agree; for tests and the simulator."""
        assert self.members[self.me.node_id] is self.me
        assert set(self._order) == set(self.members.values())
        union = NO_SLOTS
        for name, member in self.members.items():
            assert name == member.node_id
            assert not (union & member.slots), f"slots of {name} have two owners"
            assert not (member.slots and member.is_replica), f"{name} is a replica with slots"
            assert not (member.pfail and member.failed)
            union = union | member.slots
            assert all(replica.primary is member for replica in member.replicas)
            assert member.primary is None or member in member.primary.replicas
        assert union == self.assigned
        assert self._size == sum(1 for _ in self.voters())
        assert not (self.unclaimed - self.assigned)
        assert not (self.given & (self.me.slots | slots_of(self.importing)))


def slots_of(open_slots: Iterable[int]) -> SlotSet:
    """The set of some slot numbers; free of cost when there are none."""
    numbers = list(open_slots)
    return SlotSet(numbers) if numbers else NO_SLOTS
