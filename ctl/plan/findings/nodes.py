"""Nodes: whether they answer, know each other, and are connected."""

from __future__ import annotations

from collections.abc import Iterator

from ctl.plan.findings.finding import FIX, Finding, count, names, role
from ctl.snapshot import ClusterSnapshot, Member, NodeView
from ctl.survey import Survey


def failed_nodes(survey: Survey) -> Iterator[Finding]:
    snapshot = survey.snapshot
    for member in snapshot.members:
        if member.failed_by:
            explanation, action = _if_failed(snapshot, member)
            accusers = count(len(member.failed_by), "node")
            yield Finding(
                "error",
                "failed",
                f"{member.name} ({role(member)}) is failed in the eyes of {accusers}"
                + (f": {member.reason}" if member.reason else ""),
                explanation,
                (member.node_id,),
                action,
                member.line.slots,
            )
        elif member.address is None:
            yield Finding(
                "error",
                "no-address",
                f"nobody knows the address of {member.name} ({role(member)})",
                "No node can connect to it before it connects to one of them.",
                (member.node_id,),
                f"Restart it, or: {FIX} --forget {member.node_id[:8]}",
            )
        elif not member.reachable:
            yield Finding(
                "error",
                "unreachable",
                f"{member.name} ({role(member)}) does not answer: {member.reason}",
                "The other nodes do not count it as failed (yet); ctl may lack a route to it.",
                (member.node_id,),
                f"ctl cluster explain --node {member.name}",
            )
        elif member.suspected_by:
            yield Finding(
                "warning",
                "suspected",
                f"{member.name} ({role(member)}) is suspected by {count(len(member.suspected_by), 'node')}",
                "Their pings to its bus port go unanswered; it fails when a majority of primaries agrees.",
                (member.node_id,),
                f"ctl cluster explain --node {member.name}",
            )


def _if_failed(snapshot: ClusterSnapshot, member: Member) -> tuple[str, str]:
    """Why it matters, and what to do."""
    forget = f"{FIX} --forget {member.name}"
    if not member.line.slots:
        return "It serves no slots.", f"Restart it, or remove it for good: {forget}"
    able = [replica for replica in snapshot.replicas_of(member.node_id) if replica.healthy]
    if able:
        return (
            "Its replica should take over by itself; see why it has not: "
            f"ctl cluster explain --node {member.name}",
            f"ctl cluster failover {able[0].name} --force",
        )
    return (
        "It has no replica that could take over: its slots are lost until it is back.",
        f"Restart it. If it will never return: {forget} --cover-uncovered (its keys are lost)",
    )


def refused_addresses(survey: Survey) -> Iterator[Finding]:
    """Seeds that did not answer and that no view tells us about: a local cluster's record names them all."""
    snapshot = survey.snapshot
    known = {member.address for member in snapshot.members}
    for address, reason in snapshot.unreachable.items():
        if address not in known:
            yield Finding(
                "info",
                "not-a-member",
                f"{address} does not answer ({reason}), and no node of the cluster knows it",
                "It was forgotten, or never joined; the record of the local cluster still has it.",
            )


def states(survey: Survey) -> Iterator[Finding]:
    failing = [member for member in survey.snapshot.members if member.view and not member.view.state_ok]
    if failing:
        yield Finding(
            "error",
            "state-fail",
            f"{names(failing)} say{'s' if len(failing) == 1 else ''} cluster_state:fail",
            "Commands are refused there: slots are not covered, or no majority of the primaries is in sight.",
            tuple(member.node_id for member in failing),
            f"ctl cluster explain --node {failing[0].name}",
        )
    for view in survey.snapshot.views:
        if view.info.get("loading") == "1":
            yield Finding(
                "warning",
                "loading",
                f"{view.address} is loading its data set",
                "It refuses most commands until that is done.",
                (view.myself.node_id,),
            )


def membership(survey: Survey) -> Iterator[Finding]:
    snapshot = survey.snapshot
    answering = {view.myself.node_id for view in snapshot.views}
    for view in snapshot.views:
        missing = strangers(snapshot, view)
        if missing:
            yield Finding(
                "error",
                "stranger",
                f"{view.address} does not know {names(missing)}",
                "It does not count them in any vote, and sends no client to them.",
                (view.myself.node_id,),
                FIX
                if any(member.reachable for member in missing)
                else f"Have every node forget the one that left: {FIX} --forget {missing[0].name}",
            )
        if unlinked := _unlinked(view, answering):
            yield Finding(
                "warning",
                "bus-link",
                f"{view.address} has no bus link to {', '.join(unlinked)}",
                "Its connections to their bus ports (client port + 10000) fail or have just begun.",
                (view.myself.node_id,),
                "Look again in some seconds; if it stays, open the bus port between the two.",
            )


def strangers(snapshot: ClusterSnapshot, view: NodeView) -> list[Member]:
    """Members that this view misses."""
    known = {line.node_id for line in view.lines if not line.in_handshake}
    return [member for member in snapshot.members if member.node_id not in known]


def _unlinked(view: NodeView, answering: set[str]) -> list[str]:
    """Peers without a link; those that do not answer ctl either are a finding of their own."""
    down = (line for line in view.others if not line.link_up and line.node_id in answering)
    return [str(line.address) for line in down if not (line.failed or line.suspected or line.in_handshake)]


def handshakes(survey: Survey) -> Iterator[Finding]:
    for view in survey.snapshot.views:
        for line in view.others:
            if line.in_handshake:
                yield Finding(
                    "info",
                    "handshake",
                    f"{view.address} is shaking hands with {line.address or line.node_id[:8]}",
                    "Somebody introduced the two; it is given up when there is no answer in time.",
                    (view.myself.node_id,),
                )
