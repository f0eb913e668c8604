"""The operator's orders: what the CLUSTER subcommands ask of the core.

Each raises ClusterError, with the text Redis replies, when it cannot be carried out, and has then changed
nothing. What an order changes is saved, and told to other nodes by heartbeats as everything else.

Source: the pages of the CLUSTER subcommands.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from gossip.context import Context
from gossip.effects import FlushAll, LogLevel, SlotsLost
from gossip.election import Candidate
from gossip.epochs import Epochs
from gossip.errors import ClusterError
from gossip.failover import ManualFailover, Roles
from gossip.handshake import Handshake
from gossip.member import Member
from gossip.messages import NodeId
from gossip.slots import SlotSet
from gossip.speaker import Speaker
from gossip.state import random_node_id


class SlotAction(Enum):
    """What CLUSTER SETSLOT does to a slot."""

    MIGRATING = "MIGRATING"
    IMPORTING = "IMPORTING"
    STABLE = "STABLE"
    NODE = "NODE"


class FailoverMode(Enum):
    """How CLUSTER FAILOVER goes about it; see `gossip.failover`."""

    NORMAL = "NORMAL"
    FORCE = "FORCE"
    TAKEOVER = "TAKEOVER"


class Admin:
    def __init__(
        self,
        ctx: Context,
        speaker: Speaker,
        handshake: Handshake,
        epochs: Epochs,
        roles: Roles,
        manual: ManualFailover,
        candidate: Candidate,
    ) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self._handshake = handshake
        self._epochs = epochs
        self._roles = roles
        self._manual = manual
        self._candidate = candidate

    def member(self, node_id: NodeId) -> Member:
        """Raises ClusterError for a node not known."""
        member = self._ctx.state.members.get(node_id)
        if member is None:
            raise ClusterError(f"Unknown node {node_id}")
        return member

    # members

    def forget(self, node_id: NodeId) -> None:
        ctx = self._ctx
        if node_id not in ctx.state.members and ctx.state.is_forgotten(node_id, ctx.now_ms):
            return
        member = self.member(node_id)
        if member.myself:
            raise ClusterError("I tried hard but I can't forget myself...")
        if member is ctx.me.primary:
            raise ClusterError("Can't forget my master!")
        ctx.state.drop_old_forgotten(ctx.now_ms)
        ctx.state.forgotten[node_id] = ctx.now_ms + ctx.settings.forget_ttl_ms
        self._handshake.forget(member)

    def replicas(self, node_id: NodeId) -> list[Member]:
        member = self.member(node_id)
        if member.is_replica:
            raise ClusterError("The specified node is not a master")
        return list(member.replicas)

    # slots

    def add_slots(self, slots: Iterable[int]) -> None:
        added = self._distinct(slots, must_be_owned=False)
        if self._ctx.me.is_replica:
            raise ClusterError("Please use ADDSLOTS only with masters.")
        self._give(added, self._ctx.me)

    def del_slots(self, slots: Iterable[int]) -> None:
        self._give(self._distinct(slots, must_be_owned=True), None)

    def flush_slots(self) -> None:
        if self._ctx.host.has_keys():
            raise ClusterError("DB must be empty to perform CLUSTER FLUSHSLOTS.")
        self._ctx.state.assign(self._ctx.me.slots, None)
        self._changed()

    def _distinct(self, slots: Iterable[int], *, must_be_owned: bool) -> SlotSet:
        seen: set[int] = set()
        for slot in slots:
            if (slot in self._ctx.state.assigned) is not must_be_owned:
                raise ClusterError(f"Slot {slot} is already {'unassigned' if must_be_owned else 'busy'}")
            if slot in seen:
                raise ClusterError(f"Slot {slot} specified multiple times")
            seen.add(slot)
        return SlotSet(seen)

    def _give(self, slots: SlotSet, owner: Member | None) -> None:
        for slot in slots:
            self._ctx.state.importing.pop(slot, None)
        self._ctx.state.assign(slots, owner)
        self._changed()

    def set_slot(self, slot: int, action: SlotAction, node_id: NodeId = "", *, told: bool = False) -> None:
        """`told`: our primary has the order, and tells us; it has looked whether it makes sense."""
        peer = self.check_set_slot(slot, action, node_id, told=told)
        state = self._ctx.state
        if peer is None:
            state.importing.pop(slot, None)
            state.migrating.pop(slot, None)
        elif action is SlotAction.MIGRATING:
            state.migrating[slot] = peer
        elif action is SlotAction.IMPORTING:
            state.import_from(slot, peer)
        else:
            self._hand_over(slot, peer)
        self._changed()

    def check_set_slot(
        self, slot: int, action: SlotAction, node_id: NodeId = "", *, told: bool = False
    ) -> Member | None:
        """The member named, None for STABLE. Raises ClusterError for what `set_slot` would refuse."""
        ctx = self._ctx
        if ctx.me.is_replica and not told:
            raise ClusterError("Please use SETSLOT only with masters.")
        mine = slot in ctx.me.slots
        match action:
            case SlotAction.STABLE:
                return None
            case SlotAction.MIGRATING:
                if not mine and not told:
                    raise ClusterError(f"I'm not the owner of hash slot {slot}")
                return self._slot_peer(node_id, "I don't know about node")
            case SlotAction.IMPORTING:
                if mine:
                    raise ClusterError(f"I'm already the owner of hash slot {slot}")
                return self._slot_peer(node_id, "I don't know about node")
            case SlotAction.NODE:
                owner = self._slot_peer(node_id, "Unknown node")
                if mine and owner is not ctx.me and ctx.host.count_keys_in_slot(slot):
                    raise ClusterError(
                        f"Can't assign hashslot {slot} to a different node"
                        " while I still hold keys for this hash slot."
                    )
                return owner

    def _slot_peer(self, node_id: NodeId, unknown: str) -> Member:
        member = self._ctx.state.members.get(node_id)
        if member is None:
            raise ClusterError(f"{unknown} {node_id}")
        if member.is_replica:
            raise ClusterError("Target node is not a master")
        return member

    def _hand_over(self, slot: int, owner: Member) -> None:
        """CLUSTER SETSLOT NODE: end a migration here, or the import of a slot that is ours from now on.

        A replica does the same for its primary, and leaves it to that to take a new epoch and tell others.
        """
        ctx = self._ctx
        state, me = ctx.state, ctx.me
        was_mine = slot in me.slots
        if not ctx.host.count_keys_in_slot(slot):
            state.migrating.pop(slot, None)
        if slot not in owner.slots or slot in state.unclaimed:
            state.assign(SlotSet([slot]), owner)
            # Once one side has let go of a slot, only the other's disk knows who has it.
            ctx.save(fsync=True)
        if was_mine and owner is not me and not me.slots and ctx.settings.allow_replica_migration:
            text = f"Configuration change detected. Reconfiguring myself as a replica of {owner.label}"
            ctx.log(LogLevel.NOTICE, text)
            self._roles.follow(owner)
        if owner is not state.my_primary or state.importing.pop(slot, None) is None:
            return
        if owner is me:
            if self._epochs.bump():
                ctx.log(LogLevel.NOTICE, f"configEpoch updated after importing slot {slot}")
            self._speaker.broadcast_pong()

    def adopt_keys(self, slots: SlotSet) -> None:
        """Keys were loaded at start: make the configuration agree with them.

        A slot with keys and no owner becomes ours. Keys of a slot that we gave to another node, which the
        files still had, are deleted, as they were (or were about to be) when it was given. In any other
        slot of another node nobody can know how they came here: it is marked as importing, as Redis 7 does,
        so that nothing is lost and tools see the problem; Valkey deletes them. A replica's keys are its
        primary's business.
        """
        ctx = self._ctx
        if ctx.me.is_replica:
            return
        unexplained = slots - ctx.me.slots
        if old := unexplained & ctx.state.given & ctx.state.assigned:
            ctx.local.append(SlotsLost(old))
        for slot in unexplained - old:
            owner = ctx.state.owner(slot)
            if slot in ctx.state.importing:
                continue
            if owner is None:
                text = f"I have keys for unassigned slot {slot}. Taking responsibility for it."
                ctx.state.assign(SlotSet([slot]), ctx.me)
            else:
                text = (
                    f"I have keys for slot {slot}, but the slot is assigned to another node."
                    " Setting it to importing state."
                )
                ctx.state.import_from(slot, owner)
            ctx.log(LogLevel.NOTICE, text)
            self._changed()

    # roles

    def replicate(self, node_id: NodeId) -> None:
        ctx = self._ctx
        primary = self.member(node_id)
        if primary.myself:
            raise ClusterError("Can't replicate myself")
        if primary.is_replica:
            raise ClusterError("I can only replicate a master, not a replica.")
        if ctx.me.is_primary and (ctx.me.slots or ctx.host.has_keys()):
            raise ClusterError("To set a master the node must be empty and without assigned slots.")
        self._roles.follow(primary)

    def failover(self, mode: FailoverMode) -> None:
        ctx = self._ctx
        primary = ctx.me.primary
        if ctx.me.is_primary:
            raise ClusterError("You should send CLUSTER FAILOVER to a replica")
        if primary is None:
            raise ClusterError("I'm a replica but my master is unknown to me")
        linked = primary.link is not None and primary.link.is_open
        if mode is FailoverMode.NORMAL and (primary.failed or not linked):
            raise ClusterError("Master is down or failed, please use CLUSTER FAILOVER FORCE")
        self._candidate.reset()
        if mode is FailoverMode.TAKEOVER:
            ctx.log(LogLevel.NOTICE, "Taking over the master (user request).")
            self._epochs.bump()
            self._roles.promote()
        elif mode is FailoverMode.FORCE:
            ctx.log(LogLevel.NOTICE, "Forced failover user request accepted.")
            self._manual.start(may_ask=True)
        else:
            ctx.log(LogLevel.NOTICE, "Manual failover user request accepted.")
            self._manual.start(may_ask=False)

    def reset(self, *, hard: bool) -> None:
        """Leave the cluster; with `hard`, under a new name and with all epochs at 0."""
        ctx = self._ctx
        state, me = ctx.state, ctx.me
        if me.is_primary and ctx.host.has_keys():
            raise ClusterError("CLUSTER RESET can't be called with master nodes containing keys")
        self._candidate.reset()
        self._manual.reset()
        if me.is_replica:
            self._roles.step_up()
            ctx.local.append(FlushAll())
            me.shard_id = random_node_id(ctx.rng)
        state.close_slots()
        state.assign(state.assigned, None)
        for member in list(state.members.values()):
            if not member.myself:
                self._handshake.forget(member)
        state.forgotten.clear()
        if hard:
            state.current_epoch = state.last_vote_epoch = me.config_epoch = 0
            state.rename(me, random_node_id(ctx.rng))
            me.shard_id = random_node_id(ctx.rng)
            ctx.log(LogLevel.NOTICE, "configEpoch set to 0 via CLUSTER RESET HARD")
            ctx.log(LogLevel.NOTICE, f"Node hard reset, now I'm {me.node_id}")
        ctx.save(fsync=True)
        ctx.recheck()

    def _changed(self) -> None:
        self._ctx.save()
        self._ctx.recheck()
