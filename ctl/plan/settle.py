"""The plan that waits for a cluster that is there already: nothing is sent, all of it has to be well.

Nodes that were just started again find each other within seconds, and until then the cluster refuses
commands. What will not come by waiting, that there are more nodes than were named, ends it at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ctl.plan.steps import Await, Plan, PlanError, Stage, first_unmet
from ctl.snapshot import Address, ClusterSnapshot, NodeView


def plan_settle(addresses: Sequence[Address]) -> Plan:
    """For a cluster of exactly these nodes."""
    wait = Await("the cluster that is there is well", tuple(addresses), unsettled)
    return Plan(f"find a cluster of {len(addresses)} nodes", (Stage("find the cluster", (wait,)),))


def unsettled(snapshot: ClusterSnapshot) -> str | None:
    """What keeps these nodes from being one cluster that serves all slots; None when nothing does.

    Raises PlanError when they are in a cluster with others.
    """
    if snapshot.unreachable:
        return first_unmet([f"{where} does not answer: {why}" for where, why in snapshot.unreachable.items()])
    _refuse_others(snapshot)
    ids = {view.myself.node_id for view in snapshot.views}
    return first_unmet(
        [_unmet_of(view, ids) for view in snapshot.views]
        + [
            f"{view.address} and {snapshot.views[0].address} disagree who owns which slots"
            for view in snapshot.views
            if view.owners() != snapshot.views[0].owners()
        ]
        + [f"{member.name} is failed in the eyes of others" for member in snapshot.failed]
        + [f"{len(snapshot.uncovered)} slots have no owner" if snapshot.uncovered else None]
    )


def _refuse_others(snapshot: ClusterSnapshot) -> None:
    named = {view.myself.node_id for view in snapshot.views}
    others = {
        line.node_id: str(line.address or line.node_id)
        for view in snapshot.views
        for line in view.others
        if line.node_id not in named and not line.in_handshake
    }
    if others:
        raise PlanError(
            f"these nodes are in a cluster with others: {', '.join(sorted(others.values()))}",
            "Name all of its nodes, or empty ones.",
        )


def _unmet_of(view: NodeView, ids: set[str]) -> str | None:
    missing = len(ids - {line.node_id for line in view.lines if not line.in_handshake})
    if missing:
        return f"{view.address} does not know {missing} of the others"
    if not all(line.link_up for line in view.others):
        return f"{view.address} is still connecting to others"
    if not view.state_ok:
        return f"{view.address} says cluster_state:fail"
    if not view.myself.is_primary and view.info.get("master_link_status") != "up":
        return f"{view.address} is still synchronising"
    return None
