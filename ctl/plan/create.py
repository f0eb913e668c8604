"""The plan that makes one cluster of nodes that know nothing yet.

The order is what makes it quick and safe. Distinct epochs first, since a node accepts SET-CONFIG-EPOCH only
while it knows no other, and without it the primaries would settle their collisions one gossip round at a
time. Slots next, so that the first gossip already carries the whole map. Then everybody meets everybody: with
one introduction each, a node would hear of the others only by gossip, a second or two later. REPLICATE is
sent at once and again while the answer is that the primary is unknown. Nothing counts as done before every
node says ok and gives the same map.

A node tells its slots and role in the header of its own messages and nowhere else, the messages of a
handshake are not read for them, and after it a redis-server sends one ping a second to a node of its choice:
left alone, six nodes need up to eight seconds until each has heard each. A MEET between nodes that know each
other is read like a ping and sent at once, so a second round of introductions makes that a fraction of a
second.

Source: the Redis cluster specification; CLUSTER SET-CONFIG-EPOCH, ADDSLOTSRANGE, MEET, REPLICATE.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from ctl.plan.allocate import even_ranges
from ctl.plan.anti_affinity import assign_replicas, deal
from ctl.plan.steps import Await, Plan, PlanError, Send, Stage, Step, first_unmet
from ctl.snapshot import ClusterSnapshot, NodeView
from gossip.slots import SlotSet

PAIRWISE_MEET_MAX = 30
PRIMARY_UNKNOWN = "ERR Unknown node"


@dataclass(frozen=True, slots=True)
class Shard:
    """One primary with its slots and the replicas it is to have."""

    primary: NodeView
    slots: tuple[int, int]
    replicas: tuple[NodeView, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Who is to be what. `notes` names what had to be given up."""

    shards: tuple[Shard, ...]
    notes: tuple[str, ...]

    @property
    def nodes(self) -> list[NodeView]:
        return [shard.primary for shard in self.shards] + [r for shard in self.shards for r in shard.replicas]


def refuse_unless_empty(nodes: Iterable[NodeView]) -> None:
    """Raises PlanError that names every node that holds keys, owns slots, or knows other nodes."""
    refused = [f"{node.address} {why}" for node in nodes if (why := _occupied(node))]
    if refused:
        raise PlanError(
            f"not empty: {'; '.join(refused)}",
            "A node that may lose its data can be emptied with FLUSHALL and CLUSTER RESET HARD.",
        )


def _occupied(node: NodeView) -> str | None:
    if node.others:
        count = len(node.others)
        return f"is in a cluster already (it knows {count} other node{'s' if count > 1 else ''})"
    if node.myself.slots:
        return f"owns {len(node.myself.slots)} slots"
    if node.key_count:
        return f"holds {node.key_count} keys"
    return None


def in_cluster(node: NodeView) -> bool:
    """Whether it has been joined to others, or serves slots alone."""
    return bool(node.others or node.myself.slots)


def primary_count(node_count: int, replicas_per_primary: int) -> int:
    """How many of the nodes become primaries. Raises PlanError when there are too few for one."""
    needed = replicas_per_primary + 1
    if node_count < needed:
        raise PlanError(
            f"{node_count} node{'s are' if node_count != 1 else ' is'} too few for a primary"
            f" with {replicas_per_primary} replica{'s' if replicas_per_primary != 1 else ''}",
            f"At least {needed} are needed, {3 * needed} for fail-over.",
        )
    return node_count // needed


def plan_layout(nodes: Sequence[NodeView], replicas_per_primary: int) -> Layout:
    """Assigns roles, slots and primaries. Raises PlanError when there are too few nodes.

    Nodes that are over (7 nodes with one replica each) become further replicas.
    """
    count = primary_count(len(nodes), replicas_per_primary)
    dealt = deal(nodes, [node.address.host for node in nodes])
    primaries, rest = dealt[:count], dealt[count:]
    # Slots go by address, so that the table reads in order, whichever host was dealt first.
    primaries.sort(key=lambda node: nodes.index(node))
    assigned = assign_replicas([p.address.host for p in primaries], [r.address.host for r in rest])
    shards = tuple(
        Shard(primary, slots, tuple(r for r, to in zip(rest, assigned, strict=True) if to == index))
        for index, (primary, slots) in enumerate(zip(primaries, even_ranges(count), strict=True))
    )
    return Layout(shards, _notes(shards))


def _notes(shards: Sequence[Shard]) -> tuple[str, ...]:
    notes = []
    if len(shards) < 3:
        notes.append(
            "Fewer than three primaries: when one fails there is no majority to promote its replica."
        )
    hosts = {node.address.host for shard in shards for node in (shard.primary, *shard.replicas)}
    if len(hosts) > 1:
        notes += [
            f"{replica.address} is on the same host as its primary {shard.primary.address}."
            for shard in shards
            for replica in shard.replicas
            if replica.address.host == shard.primary.address.host
        ]
    return tuple(notes)


def plan_create(layout: Layout) -> Plan:
    """The steps that turn empty nodes into the cluster of `layout`."""
    return Plan(
        title=f"create a cluster of {len(layout.nodes)} nodes",
        stages=(
            Stage("assign epochs and slots", tuple(_identities(layout))),
            Stage("join", tuple(_introductions(layout.nodes))),
            Stage("attach replicas", (*_attachments(layout), _acquaintance(layout))),
            Stage("spread the map", tuple(_reintroductions(layout.nodes))),
            Stage("agree", (_agreement(layout),)),
            Stage("synchronise replicas", (_synchronised(layout),)),
        ),
        notes=layout.notes,
    )


def _identities(layout: Layout) -> list[Step]:
    steps: list[Step] = [
        Send(node.address, ("CLUSTER", "SET-CONFIG-EPOCH", number))
        for number, node in enumerate(layout.nodes, start=1)
    ]
    steps += [
        Send(shard.primary.address, ("CLUSTER", "ADDSLOTSRANGE", *shard.slots)) for shard in layout.shards
    ]
    return steps


def _introductions(nodes: Sequence[NodeView]) -> list[Step]:
    """Everybody meets everybody; in large clusters everybody meets the first."""
    pairs = combinations(nodes, 2) if len(nodes) <= PAIRWISE_MEET_MAX else ((nodes[0], n) for n in nodes[1:])
    return [Send(a.address, meet_command(b)) for a, b in pairs]


def _reintroductions(nodes: Sequence[NodeView]) -> list[Step]:
    """A second MEET in both directions between all, now that roles are settled."""
    if len(nodes) > PAIRWISE_MEET_MAX:
        return []
    return [Send(a.address, meet_command(b)) for a, b in permutations(nodes, 2)]


def meet_command(node: NodeView) -> tuple[str | int, ...]:
    """MEET with the bus port only where it is not the usual one: port + 10000."""
    bus_port = node.myself.bus_port
    usual = bus_port in (0, node.address.port + 10_000)
    return ("CLUSTER", "MEET", node.address.host, node.address.port, *([] if usual else [bus_port]))


def _attachments(layout: Layout) -> list[Step]:
    return [
        Send(
            replica.address, ("CLUSTER", "REPLICATE", shard.primary.myself.node_id), retry_on=PRIMARY_UNKNOWN
        )
        for shard in layout.shards
        for replica in shard.replicas
    ]


def _acquaintance(layout: Layout) -> Await:
    return Await(
        "every node knows every other",
        tuple(node.address for node in layout.nodes),
        lambda snapshot: first_unmet([_strangers(layout, view) for view in snapshot.views]),
    )


def _agreement(layout: Layout) -> Await:
    return Await(
        "every node says cluster_state:ok and gives the same map",
        tuple(node.address for node in layout.nodes),
        lambda snapshot: disagreement(layout, snapshot),
    )


def _synchronised(layout: Layout) -> Await:
    return Await(
        "every replica is online",
        tuple(replica.address for shard in layout.shards for replica in shard.replicas),
        unsynchronised,
    )


def disagreement(layout: Layout, snapshot: ClusterSnapshot) -> str | None:
    """What still keeps the cluster from being that of `layout` in the view of every node; None when nothing
    does.
    """
    return first_unmet(
        [f"{address} does not answer: {why}" for address, why in snapshot.unreachable.items()]
        + [_view_unmet(layout, view) for view in snapshot.views]
    )


def _view_unmet(layout: Layout, view: NodeView) -> str | None:
    if strangers := _strangers(layout, view):
        return strangers
    known = {line.node_id: line for line in view.lines if not line.in_handshake}
    for shard in layout.shards:
        primary_id = shard.primary.myself.node_id
        if known[primary_id].slots != SlotSet.from_ranges([shard.slots]):
            return f"{view.address} has not heard of the slots of {shard.primary.address}"
        for replica in shard.replicas:
            if known[replica.myself.node_id].primary_id != primary_id:
                return f"{view.address} has not heard that {replica.address} is a replica"
    if not all(line.link_up for line in view.others):
        return f"{view.address} is still connecting to others"
    return None if view.state_ok else f"{view.address} says cluster_state:fail"


def _strangers(layout: Layout, view: NodeView) -> str | None:
    ids = {node.myself.node_id for node in layout.nodes}
    missing = len(ids - {line.node_id for line in view.lines if not line.in_handshake})
    return f"{view.address} does not know {missing} of the others yet" if missing else None


def unsynchronised(snapshot: ClusterSnapshot) -> str | None:
    """The first of the answering replicas whose link to its primary is not up yet."""
    return first_unmet(
        [f"{address} does not answer: {why}" for address, why in snapshot.unreachable.items()]
        + [
            f"{view.address} is still synchronising"
            for view in snapshot.views
            if view.info.get("master_link_status") != "up"
        ]
    )
