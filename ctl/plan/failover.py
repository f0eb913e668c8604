"""Which replica is to be promoted, and whether the way asked for can work.

Three ways, as CLUSTER FAILOVER knows them. Graceful: the primary holds its writes until the replica has all
of them, so nothing is lost; needs the primary. Force: an election without the primary's consent; what the
replica has not received is lost. Takeover: the replica promotes itself without asking anybody, for a cluster
that has lost the majority of its primaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctl.plan.steps import PlanError
from ctl.snapshot import Address, ClusterSnapshot, Member
from gossip.slots import SlotSet, key_slot

Mode = Literal["graceful", "force", "takeover"]


@dataclass(frozen=True, slots=True)
class Failover:
    """`replica` is to take the place of `primary`."""

    replica: Member
    primary: Member
    mode: Mode

    @property
    def command(self) -> tuple[str, ...]:
        return ("CLUSTER", "FAILOVER", *([] if self.mode == "graceful" else [self.mode.upper()]))


def plan_failover(snapshot: ClusterSnapshot, name: str, mode: Mode) -> Failover:
    """`name` is the replica to promote, or a primary whose most advanced replica is.

    Raises PlanError when there is no such node, or the way asked for cannot work.
    """
    member = find_one(snapshot, name)
    replica = best_replica(snapshot, member) if member.is_primary else member
    primary = snapshot.member(replica.line.primary_id or "")
    if not replica.reachable:
        raise PlanError(f"{replica.name} does not answer: {replica.reason}", "Name another replica.")
    if primary is None:
        raise PlanError(f"{replica.name} is a replica of a node that nobody knows")
    if mode == "graceful" and not primary.healthy:
        raise PlanError(
            f"its primary {primary.name} does not answer, so a graceful fail-over cannot be agreed with it",
            "Use --force; what the replica has not received is lost.",
        )
    if mode == "graceful" and replica.link_state != "up":
        raise PlanError(
            f"{replica.name} is not in step with its primary (link {replica.link_state or 'unknown'})",
            "Wait until its link is up, see `ctl cluster status`.",
        )
    return Failover(replica, primary, mode)


def find_one(snapshot: ClusterSnapshot, name: str) -> Member:
    """The member that `name` (address, port, host name, id or its beginning) means. Raises PlanError."""
    found = snapshot.find(name)
    if not found:
        raise PlanError(
            f"no node {name} in the cluster", f"Its nodes: {', '.join(m.name for m in snapshot.members)}."
        )
    if len(found) > 1:
        raise PlanError(f"{name} may mean {', '.join(m.name for m in found)}", "Give a whole address or id.")
    return found[0]


def best_replica(snapshot: ClusterSnapshot, primary: Member) -> Member:
    """The replica that answers and has received most, the first of equals. Raises PlanError for none."""
    able = [replica for replica in snapshot.replicas_of(primary.node_id) if replica.reachable]
    if not able:
        raise PlanError(f"{primary.name} has no replica that answers", "Without one nobody can take over.")
    return max(able, key=lambda replica: (replica.link_state == "up", replica.replication_offset or 0))


def uninformed(failover: Failover, snapshot: ClusterSnapshot) -> list[Address]:
    """Where the answering nodes are that do not know the replica as one of the primary."""
    wanted = (failover.replica.node_id, failover.primary.node_id)
    return [
        view.address
        for view in snapshot.views
        if wanted not in {(line.node_id, line.primary_id) for line in view.lines}
    ]


def unlinked(failover: Failover, snapshot: ClusterSnapshot) -> str | None:
    """Without a bus link to its primary a replica refuses a graceful fail-over. None when it is there."""
    for view in snapshot.views:
        if failover.mode == "graceful" and view.myself.node_id == failover.replica.node_id:
            up = {line.node_id for line in view.lines if line.link_up}
            if failover.primary.node_id not in up:
                return f"{view.address} has no bus link to its primary"
    return None


def unsettled(failover: Failover, snapshot: ClusterSnapshot) -> str | None:
    """The first answering node that does not yet see the replica in its primary's place; None when all do."""
    for view in snapshot.views:
        line = next((line for line in view.lines if line.node_id == failover.replica.node_id), None)
        if line is None or not line.is_primary:
            return f"{view.address} has not heard of the promotion"
        if failover.primary.line.slots - line.slots:
            return f"{view.address} has not heard who owns the slots now"
    return None


def probe_key(slots: SlotSet, word: str) -> bytes:
    """A key that nobody else uses and that belongs to one of `slots` (not empty): `{n}:word`."""
    assert slots, "no slots to probe"
    return next(
        key for number in range(1 << 30) if key_slot(key := b"{%d}:%b" % (number, word.encode())) in slots
    )
