"""What must hold in every run of the simulator.

Always (`Safety`):
    a voter gives one vote an epoch, crashes and restarts included
    a vote is never sent before it is on disk, safe from a power failure
    an epoch in which votes are asked for is on disk first, so that no later life asks in it again
    no two nodes own one slot under the same config epoch, as long as all epochs come from elections
    each node's own views agree (`ClusterState.check`)

After the faults are over and time has passed (`unsettled`):
    every slot has one owner, all nodes agree on members, roles, owners and epochs, nobody is suspected,
    no two primaries have one config epoch, and every node says the cluster is ok

Source: the Redis cluster specification, "Replica election and promotion" and "Hash slots configuration
propagation".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gossip import nodes_conf
from gossip.core import Core
from gossip.member import Member
from gossip.messages import AuthAck, AuthRequest, Message, NodeId
from gossip.slots import SLOT_COUNT, SlotSet


class InvariantError(AssertionError):
    """The core broke a rule of the protocol."""


class Safety:
    """Rules that hold at every moment; `about_to_send` sees each message before it is sent.

    `epochs_are_elected` says that nobody makes an epoch without a majority, on which the rule of one owner
    under one config epoch depends.
    """

    def __init__(self) -> None:
        self.epochs_are_elected = True
        self._votes: dict[tuple[int, int], int] = {}

    def about_to_send(self, sender: int, receiver: int, message: Message, durable: bytes | None) -> None:
        """Nodes are numbers here; `durable` is the nodes.conf that a power failure would leave the sender.

        Raises InvariantError.
        """
        if isinstance(message, AuthAck):
            epoch = message.header.current_epoch
            earlier = self._votes.setdefault((sender, epoch), receiver)
            if earlier != receiver:
                raise InvariantError(f"{sender} votes for {receiver} and {earlier} in epoch {epoch}")
            on_disk = nodes_conf.parse(durable).last_vote_epoch if durable else 0
            if on_disk < epoch:
                raise InvariantError(f"{sender} sends a vote of epoch {epoch} with {on_disk} on disk")
        elif isinstance(message, AuthRequest):
            epoch = message.header.current_epoch
            on_disk = nodes_conf.parse(durable).current_epoch if durable else 0
            if on_disk < epoch:
                raise InvariantError(f"{sender} asks for votes in epoch {epoch} with {on_disk} on disk")

    def sample(self, cores: Sequence[Core]) -> None:
        """Look at all running nodes at one moment. Raises InvariantError, or AssertionError of the state."""
        claims: dict[int, list[tuple[NodeId, SlotSet]]] = {}
        for core in cores:
            core.state.check()
            me = core.state.me
            if not (self.epochs_are_elected and me.is_primary and me.slots):
                continue
            for other, slots in claims.setdefault(me.config_epoch, []):
                if slots & me.slots:
                    raise InvariantError(
                        f"{me.node_id} and {other} own slots {slots & me.slots} in epoch {me.config_epoch}"
                    )
            claims[me.config_epoch].append((me.node_id, me.slots))


def unsettled(cores: Sequence[Core]) -> str | None:
    """What still differs from a cluster at rest, or None; all cores run and reach each other."""
    return next(_differences(cores), None)


def _differences(cores: Sequence[Core]) -> Iterator[str]:
    by_name = {core.state.me.node_id: core for core in cores}
    owned = SlotSet()
    epochs: dict[int, NodeId] = {}
    for name, core in by_name.items():
        me = core.state.me
        if owned & me.slots:
            yield f"slots {owned & me.slots} of {name} have another owner"
        owned |= me.slots
        if me.is_primary:
            if me.config_epoch in epochs:
                yield f"{name} and {epochs[me.config_epoch]} have config epoch {me.config_epoch}"
            epochs[me.config_epoch] = name
    if len(owned) != SLOT_COUNT:
        yield f"slots {SlotSet.all() - owned} have no owner"
    for name, core in by_name.items():
        if not core.ok:
            yield f"{name} says the cluster is not ok"
        known = {member.node_id for member in core.state.members.values() if not member.handshake}
        if known != by_name.keys():
            missing, extra = by_name.keys() - known, known - by_name.keys()
            yield f"{name} misses {sorted(missing)} and has {sorted(extra)} too many"
            continue
        for other in by_name.values():
            difference = _misjudged(core.state.members[other.state.me.node_id], other.state.me)
            if difference:
                yield f"{name} thinks that {other.state.me.node_id} {difference}"


def _misjudged(seen: Member, real: Member) -> str | None:
    """How a node seen from another differs from what it says itself."""
    if seen.unreachable:
        return "is down"
    if (seen.is_primary, seen.is_replica) != (real.is_primary, real.is_replica):
        return "is " + ("a primary" if seen.is_primary else "a replica")
    if seen.slots != real.slots:
        return f"owns {seen.slots or 'nothing'}"
    primaries = [one.primary.node_id if one.primary else None for one in (seen, real)]
    if primaries[0] != primaries[1]:
        return f"follows {primaries[0]}"
    if real.is_primary and seen.config_epoch != real.config_epoch:
        return f"has config epoch {seen.config_epoch}"
    return None
