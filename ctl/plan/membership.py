"""The plans of steps that change who is a member: to join, to attach to a primary, to leave.

To join is what creation does, for one node: it is introduced to all, and again in both directions once the
handshakes are over, since only later messages carry roles and slots. To leave is to be forgotten by all
within a minute, the time for which a node that was forgotten is not taken back from the gossip of others; it
is told to forget as well (a soft reset), so that it does not come back by itself.

Source: CLUSTER MEET, REPLICATE, FORGET, RESET.
"""

from __future__ import annotations

from collections.abc import Sequence

from ctl.plan.create import PAIRWISE_MEET_MAX, PRIMARY_UNKNOWN, meet_command
from ctl.plan.steps import Await, Plan, Send, Stage, first_unmet
from ctl.snapshot import Address, ClusterSnapshot, NodeView


def plan_join(members: Sequence[NodeView], newcomer: NodeView) -> Plan:
    """Of views that answer; `newcomer` may know some of them already."""
    near = list(members[:1] if len(members) > PAIRWISE_MEET_MAX else members)
    known_to_all = Await(
        "every node knows every other",
        tuple(view.address for view in (*members, newcomer)),
        lambda snapshot: _strangers(snapshot, newcomer.myself.node_id, len(members) + 1),
    )
    agreed = Await(
        "every node is linked with the new one",
        known_to_all.nodes,
        lambda snapshot: _unlinked(snapshot, newcomer.myself.node_id),
    )
    meet = [Send(member.address, meet_command(newcomer)) for member in near]
    again = [Send(newcomer.address, meet_command(member)) for member in near]
    return Plan(
        f"join {newcomer.address}",
        (
            Stage("join", (*meet, known_to_all)),
            Stage("spread the map", (*meet, *again)),
            Stage("agree", (agreed,)),
        ),
    )


def _strangers(snapshot: ClusterSnapshot, newcomer: str, count: int) -> str | None:
    unmet = [f"{where} does not answer: {why}" for where, why in snapshot.unreachable.items()]
    for view in snapshot.views:
        known = {line.node_id for line in view.lines if not line.in_handshake}
        if newcomer not in known:
            unmet.append(f"{view.address} does not know the new node yet")
        if view.myself.node_id == newcomer and len(known) < count:
            unmet.append(f"{view.address} knows {len(known)} of {count} nodes")
    return first_unmet(unmet)


def _unlinked(snapshot: ClusterSnapshot, newcomer: str) -> str | None:
    wanted = next((v.owners() for v in snapshot.views if v.myself.node_id != newcomer), {})
    unmet = [f"{where} does not answer: {why}" for where, why in snapshot.unreachable.items()]
    for view in snapshot.views:
        links = [line for line in view.others if newcomer in (line.node_id, view.myself.node_id)]
        if not all(line.link_up for line in links if not line.failed and not line.suspected):
            unmet.append(f"{view.address} is still connecting")
        if view.myself.node_id == newcomer and view.owners() != wanted:
            unmet.append(f"{view.address} has not heard of all slots yet")
        if view.myself.node_id == newcomer and not view.state_ok:
            unmet.append(f"{view.address} says cluster_state:fail")
    return first_unmet(unmet)


def plan_attach(nodes: Sequence[Address], replica: NodeView, primary_id: str) -> Plan:
    """`replica` is to follow `primary_id` and be in step; `nodes` all answer."""
    replicate = Send(replica.address, ("CLUSTER", "REPLICATE", primary_id), retry_on=PRIMARY_UNKNOWN)
    heard = Await(
        "every node knows whose replica it is",
        tuple(nodes),
        lambda snapshot: _unattached(snapshot, replica.myself.node_id, primary_id),
    )
    return Plan(
        f"attach {replica.address}", (Stage("attach", (replicate,)), Stage("synchronise replicas", (heard,)))
    )


def _unattached(snapshot: ClusterSnapshot, replica: str, primary: str) -> str | None:
    unmet = []
    for view in snapshot.views:
        line = next((line for line in view.lines if line.node_id == replica), None)
        if line is None or line.primary_id != primary:
            unmet.append(f"{view.address} has not heard whose replica it is")
        if view.myself.node_id == replica and view.info.get("master_link_status") != "up":
            unmet.append(f"{view.address} is still synchronising")
    return first_unmet(unmet)


def plan_leave(snapshot: ClusterSnapshot, node: str) -> Plan:
    """Of all that answer and know it, and of the node itself where it answers."""
    stay = [view for view in snapshot.views if view.myself.node_id != node]
    leaving = [view for view in snapshot.views if view.myself.node_id == node and view.others]
    forget = [
        Send(view.address, ("CLUSTER", "FORGET", node))
        for view in stay
        if node in {line.node_id for line in view.lines}
    ]
    gone = Await(
        "nobody knows it any more",
        tuple(view.address for view in stay),
        lambda now: first_unmet(
            [
                f"{view.address} still knows it"
                for view in now.views
                if node in {line.node_id for line in view.lines}
            ]
        ),
    )
    reset = [Send(view.address, ("CLUSTER", "RESET", "SOFT")) for view in leaving]
    return Plan("leave", (Stage("forget", (*forget, *reset)), Stage("agree", (gone,))))
