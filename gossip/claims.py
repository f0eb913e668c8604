"""Who owns which slot: roles and claims in what members say of themselves, and corrections of stale ones.

Every heartbeat claims slots under its sender's config epoch (a replica repeats its primary's claim, which
binds nobody). We rebind a claimed slot when it has no owner, when its owner stopped claiming it, or when
the claim's epoch is greater than the owner's. Slots we are importing stay as they are: an operator is at
work there. But when the other side of an open slot fails over, the slot goes on being open towards the one
that has taken its place, which may claim it. A replica has open slots only as far as its primary tells it,
and believes claims to them as to any.

When the claim takes the last slot of the shard we are in, a fail-over has happened or the slots have moved,
and we become a replica of the claimer: that is how an old primary comes back, and how the other replicas of
a failed primary find the new one. If both have happened while we were away, and the slots that moved are the
last that we hear of, it is still our shard's new primary that we follow. When we merely lose some slots, the
keys in them are deleted.

Who claims slots that are known here to belong to another node under a greater epoch gets an UPDATE about
that node. So a node that was away learns the truth from whomever it reaches, even if the new owner cannot
reach it.

A primary that calls itself a replica has given up its slots. If it follows a node of its own shard, that node
took them over, and we move them without waiting for the new primary's own word: clients see no gap.

Source: the Redis cluster specification, "Hash slots configuration propagation" and "UPDATE messages"; for
fail-overs in the midst of a move, Valkey 8.
"""

from __future__ import annotations

from gossip.context import Context
from gossip.effects import LogLevel, SlotsLost
from gossip.failover import Roles
from gossip.member import NO_SLOTS, Member
from gossip.messages import Header, Update
from gossip.slots import SlotSet
from gossip.speaker import Speaker


class Claims:
    def __init__(self, ctx: Context, speaker: Speaker, roles: Roles) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self._roles = roles

    # roles

    def learn_role(self, sender: Member, header: Header) -> None:
        """Take over what a heartbeat says of its sender's role."""
        ctx = self._ctx
        if not header.replica_of:
            if not sender.is_primary:
                ctx.state.make_primary(sender)
                ctx.save()
                ctx.recheck()
            return
        primary = ctx.state.members.get(header.replica_of)
        if primary is sender or (primary is not None and primary.handshake):
            primary = None
        if not sender.is_replica and not self._step_down(sender, primary, header):
            return
        if primary is not None and sender.primary is not primary:
            ctx.state.follow(sender, primary)
            ctx.state.set_shard(primary, primary.shard_id)
            ctx.save()
            ctx.recheck()

    def _step_down(self, sender: Member, primary: Member | None, header: Header) -> bool:
        """A node that was not a replica calls itself one; False when that is old news."""
        ctx = self._ctx
        shard_mate = primary is not None and (
            primary.primary is sender or primary.shard_id == sender.shard_id
        )
        if sender.slots and shard_mate and sender.config_epoch > header.config_epoch:
            text = f"Ignore stale message from {sender.label} in shard {sender.shard_id}"
            ctx.log(LogLevel.NOTICE, text)
            return False
        if sender.slots:
            heir = primary if shard_mate and primary is not None and not primary.myself else None
            self._bequeath(sender, heir, header.config_epoch)
        ctx.state.make_replica(sender, None)
        ctx.save()
        ctx.recheck()
        return True

    def _bequeath(self, former: Member, heir: Member | None, epoch: int) -> None:
        """The slots of a primary that steps down go to the one it follows, or to nobody."""
        ctx = self._ctx
        slots = former.slots
        if heir is None:
            text = (
                f"Node {former.label} is no longer master of shard {former.shard_id};"
                f" removed all {len(slots)} slot(s) it used to own"
            )
        else:
            ctx.state.make_primary(heir)
            heir.config_epoch = epoch
            text = (
                f"A failover occurred in shard {former.shard_id}; node {former.label} lost"
                f" {len(slots)} slot(s) to node {heir.label} with a config epoch of {epoch}"
            )
        ctx.state.assign(slots, heir)
        ctx.log(LogLevel.NOTICE, text)

    # slots

    def compare(self, sender: Member, header: Header) -> None:
        """Hold a heartbeat's claim against what we know: believe the newer, correct the older."""
        stands_for = sender if sender.is_primary else sender.primary
        doubt = self._ctx.state.unclaimed
        if stands_for is None or (stands_for.slots == header.slots and not doubt):
            return
        if sender.is_primary:
            self.rebind(sender, header.config_epoch, header.slots)
        for owner, _ in self._ctx.state.owners_of(header.slots - self._ctx.state.unclaimed):
            if owner is not sender and owner.config_epoch > header.config_epoch:
                text = (
                    f"Node {sender.node_id} has old slots configuration, sending an UPDATE message"
                    f" about {owner.node_id}"
                )
                self._ctx.log(LogLevel.VERBOSE, text)
                self._speaker.update(sender.link, owner)

    def updated(self, message: Update) -> None:
        """A member corrects our picture of a node."""
        ctx = self._ctx
        about = ctx.state.members.get(message.node)
        if about is None or about.handshake or about.config_epoch >= message.config_epoch:
            return
        if about.myself:
            ctx.log(LogLevel.NOTICE, "Discarding UPDATE message about myself.")
            return
        if about.is_replica:
            ctx.state.make_primary(about)
            ctx.recheck()
        about.config_epoch = message.config_epoch
        ctx.save(fsync=True)
        self.rebind(about, message.config_epoch, message.slots)

    def rebind(self, claimer: Member, epoch: int, claimed: SlotSet) -> None:
        """Give the claimer the slots that its epoch entitles it to, and draw the consequences for us."""
        ctx = self._ctx
        state = ctx.state
        assert not claimer.myself
        mine = state.my_primary
        state.unclaimed = (state.unclaimed | (claimer.slots - claimed)) - (claimer.slots & claimed)
        wanted = claimed - claimer.slots - self._reserved(claimer)
        gained = wanted - state.assigned
        from_us = NO_SLOTS
        for owner, part in state.owners_of(wanted):
            taken = part if owner.config_epoch < epoch else part & state.unclaimed
            gained = gained | taken
            if owner is mine:
                from_us = taken
        if gained:
            state.assign(gained, claimer)
            ctx.save(fsync=True)
            ctx.recheck()
        self._redirect_open_slots(claimer, epoch, gained, from_us)
        self._consequences(claimer, claimed, from_us)

    def _reserved(self, claimer: Member) -> SlotSet:
        """Slots that we import and that the claimer has no business with."""
        state = self._ctx.state
        if state.me.is_replica or not state.importing:
            return NO_SLOTS
        return SlotSet(slot for slot, peer in state.importing.items() if not _same_shard(peer, claimer))

    def _redirect_open_slots(self, claimer: Member, epoch: int, gained: SlotSet, from_us: SlotSet) -> None:
        """The other side of an open slot has failed over to the claimer; for a replica: the move is over."""
        state = self._ctx.state
        for slot, peer in list(state.migrating.items()):
            if slot in from_us and state.me.is_replica and not _same_shard(state.me, claimer):
                del state.migrating[slot]
            elif self._has_taken_over(peer, claimer, epoch):
                state.migrating[slot] = claimer
                self._redirected(slot, claimer)
        for slot, peer in list(state.importing.items()):
            if slot in gained:
                if not _same_shard(peer, claimer):
                    del state.importing[slot]
                elif peer is not claimer:
                    state.importing[slot] = claimer
                    self._redirected(slot, claimer)

    def _has_taken_over(self, peer: Member, claimer: Member, epoch: int) -> bool:
        newer = peer is not claimer and (peer.is_replica or peer.config_epoch < epoch)
        return newer and _same_shard(peer, claimer)

    def _redirected(self, slot: int, claimer: Member) -> None:
        text = f"A failover occurred on the other side of open slot {slot}, which is now {claimer.label}"
        self._ctx.log(LogLevel.NOTICE, text)
        self._ctx.save(fsync=True)
        self._ctx.recheck()

    def _consequences(self, claimer: Member, claimed: SlotSet, from_us: SlotSet) -> None:
        ctx = self._ctx
        me, mine = ctx.me, ctx.state.my_primary
        whole_shard = ctx.settings.allow_replica_migration or claimed == from_us
        if from_us and mine is not None and not mine.slots and whole_shard:
            heir = self._heir(claimer)
            ctx.log(
                LogLevel.NOTICE,
                f"Configuration change detected. Reconfiguring myself as a replica of {heir.label}",
            )
            self._roles.follow(heir)
        elif from_us and me.is_primary:
            for slot in from_us:
                ctx.state.migrating.pop(slot, None)
            ctx.local.append(SlotsLost(from_us))
        self.leave_sub_replica()

    def _heir(self, claimer: Member) -> Member:
        """Whom to follow after the claimer took our last slot: the primary that our shard has, if it has one
        with slots.
        """
        me = self._ctx.me
        heirs = [m for m in self._ctx.state.voters() if not m.myself and _same_shard(m, me)]
        return max(heirs, key=lambda member: member.config_epoch, default=claimer)

    def leave_sub_replica(self) -> None:
        """Our primary has become a replica itself: follow its primary, unless that is us."""
        ctx = self._ctx
        primary = ctx.me.primary
        above = primary.primary if primary is not None else None
        if above is not None and not above.myself:
            ctx.log(
                LogLevel.NOTICE,
                f"I'm a sub-replica! Reconfiguring myself as a replica of grandmaster {above.label}",
            )
            self._roles.follow(above)


def _same_shard(one: Member, other: Member) -> bool:
    """Whether they are the same member, or stand for the same slots."""
    if one is other or one.primary is other or other.primary is one:
        return True
    return bool(one.shard_id) and one.shard_id == other.shard_id
