"""One node more, or one less: which primary a new replica is for, and what must be done before a node can go.

A replica is for the primary that needs it most: the one with the fewest that are alive; among equals one on
another host, then one in another availability zone, than primary and replicas there are; then the one with
most slots. A zone is what a node tells in INFO (availability_zone); where it tells none, only hosts count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctl.plan.change import Attach, Join, Leave, Move, Start, Step, Stop
from ctl.plan.moves import moves_of, owners_of, refuse_unless_settled
from ctl.plan.steps import PlanError
from ctl.snapshot import Address, ClusterSnapshot, Member, NodeView


def zone_of(view: NodeView | None) -> str:
    """The availability zone that a node tells; empty for none."""
    return view.info.get("availability_zone", "") if view else ""


def neediest(
    snapshot: ClusterSnapshot, host: str, zone: str, *, but: str = "", added: Mapping[str, int] | None = None
) -> Member:
    """The primary that a replica on `host` in `zone` is best for; not `but`. Raises PlanError for none.

    `added` counts replicas that the same plan gives to a primary already.
    """
    able = [m for m in snapshot.primaries if m.healthy and m.line.slots and m.node_id != but]
    if not able:
        raise PlanError("there is no primary with slots that answers, so none that a replica could follow")

    def need(primary: Member) -> tuple[int, int, int, int]:
        replicas = [r for r in snapshot.replicas_of(primary.node_id) if r.healthy and r.node_id != but]
        shard = [primary, *replicas]
        return (
            len(replicas) + (added or {}).get(primary.node_id, 0),
            sum(member.host == host for member in shard),
            sum(zone != "" and zone_of(member.view) == zone for member in shard),
            -len(primary.line.slots),
        )

    return min(able, key=need)


def plan_add(
    snapshot: ClusterSnapshot, address: Address, view: NodeView | None, primary: Member | None, *, start: bool
) -> tuple[Step, ...]:
    """`view` is the new node's, None for one to be started (`start`); `primary`: whose replica it is."""
    node = view.myself.node_id if view else ""
    if any(member.node_id == node or member.address == address for member in snapshot.members):
        raise PlanError(f"{address} is a member of the cluster already")
    steps: list[Step] = [Start(address)] if start else []
    steps.append(Join(node, address))
    if primary is not None:
        steps.append(Attach(node, address, primary.node_id, None))
    return tuple(steps)


def plan_remove(snapshot: ClusterSnapshot, member: Member, own_ports: Sequence[int]) -> tuple[Step, ...]:
    """Its slots to the others, its replicas to other primaries, then everybody forgets it.

    `own_ports` are those of processes that ctl started: such a node is stopped. Raises PlanError.
    """
    steps: list[Step] = []
    if member.line.slots:
        refuse_unless_settled(snapshot)
        steps += _emptied(snapshot, member)
    added: dict[str, int] = {}
    for replica in snapshot.replicas_of(member.node_id):
        if not replica.reachable:
            raise PlanError(
                f"its replica {replica.name} does not answer: {replica.reason}",
                "Bring it back, or remove it first.",
            )
        to = neediest(snapshot, replica.host, zone_of(replica.view), but=member.node_id, added=added)
        added[to.node_id] = added.get(to.node_id, 0) + 1
        steps.append(Attach(replica.node_id, replica.address, to.node_id, member.node_id))
    steps.append(Leave(member.node_id, member.address))
    if member.address is not None and member.address.port in own_ports:
        steps.append(Stop(member.address, remove=True))
    return tuple(steps)


def _emptied(snapshot: ClusterSnapshot, member: Member) -> tuple[Move, ...]:
    """Dealt so that the others are even after it; never between the others."""
    others = [m for m in snapshot.primaries if m.healthy and m.line.slots and m.node_id != member.node_id]
    if not others:
        raise PlanError(
            f"{member.name} owns all slots, and there is no other primary to take them",
            "Add one first: `ctl cluster add-node`.",
        )
    to: dict[int, str] = {}
    slots = sorted(member.line.slots)
    for node, count in filled({m.node_id: len(m.line.slots) for m in others}, len(slots)).items():
        to.update(dict.fromkeys(slots[:count], node))
        slots = slots[count:]
    return moves_of(owners_of(snapshot), to)


def filled(levels: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of `count` each takes, to be as even as can be: the emptiest are filled up first."""
    heights = dict(levels)
    while count:
        low = min(heights.values())
        lowest = [node for node, height in heights.items() if height == low]
        above = [height - low for height in heights.values() if height > low]
        step = max(min([*above, count // len(lowest)]), 1)
        for node in lowest:
            take = min(step, count)
            heights[node] += take
            count -= take
    return {node: heights[node] - level for node, level in levels.items()}
