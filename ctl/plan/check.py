"""What is wrong with a cluster: a list of findings from one snapshot.

Three severities. An `error` means that data cannot be reached or that the nodes do not agree what the cluster
is; a `warning`, that the next failure would do so, or that something has begun and not ended; a `note`, that
a choice was made which a reader should know. Errors and warnings are problems, notes are not: a laptop's
cluster stands on one host on purpose.

Each function below looks for one thing and yields its findings; CHECKS is their order, gravest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ctl.snapshot import ClusterSnapshot, Member, NodeView
from gossip.slots import SLOT_COUNT, SlotSet

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable, for scripts; `text` says what is, `explanation` what it means or what to do."""

    severity: Severity
    code: str
    text: str
    explanation: str
    nodes: tuple[str, ...] = ()

    @property
    def is_problem(self) -> bool:
        return self.severity != "note"


def check(snapshot: ClusterSnapshot) -> list[Finding]:
    """All findings, gravest first."""
    findings = [finding for look in CHECKS for finding in look(snapshot)]
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def uncovered_slots(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    if missing := snapshot.uncovered:
        yield Finding(
            "error",
            "uncovered-slots",
            f"{len(missing)} of {SLOT_COUNT} slots have no owner: {shortened(missing)}",
            "Keys of these slots are refused; with cluster-require-full-coverage, all keys are.",
        )


def failed_nodes(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    for member in snapshot.members:
        if member.failed_by:
            yield Finding(
                "error",
                "failed",
                f"{member.name} ({role(member)}) is failed in the eyes of {len(member.failed_by)} nodes"
                + (f": {member.reason}" if member.reason else ""),
                _if_failed(snapshot, member),
                (member.node_id,),
            )
        elif not member.reachable:
            yield Finding(
                "error",
                "unreachable",
                f"{member.name} ({role(member)}) does not answer: {member.reason or 'it has no address'}",
                "The other nodes do not count it as failed (yet); ctl may lack a route to it.",
                (member.node_id,),
            )
        elif member.suspected_by:
            yield Finding(
                "warning",
                "suspected",
                f"{member.name} ({role(member)}) is suspected by {len(member.suspected_by)} nodes",
                "Their pings to its bus port go unanswered; it fails when a majority of primaries agrees.",
                (member.node_id,),
            )


def _if_failed(snapshot: ClusterSnapshot, member: Member) -> str:
    if not member.line.slots:
        return "It serves no slots; restart it, or remove it with CLUSTER FORGET."
    if any(replica.healthy for replica in snapshot.replicas_of(member.node_id)):
        return "Its replica should take over by itself; `ctl cluster failover --force` does it now."
    return "It has no replica that could take over: its slots are lost until it is back."


def refused_addresses(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    """Seeds that did not answer and that no view tells us about."""
    known = {member.address for member in snapshot.members}
    for address, reason in snapshot.unreachable.items():
        if address not in known:
            yield Finding(
                "error",
                "unreachable",
                f"{address} does not answer: {reason}",
                "No node of the cluster knows this address.",
            )


def states(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    for view in snapshot.views:
        if not view.state_ok:
            yield Finding(
                "error",
                "state-fail",
                f"{view.address} says cluster_state:{view.cluster_info.get('cluster_state', 'unknown')}",
                "It refuses commands: slots are not covered, or it does not see a majority of the primaries.",
                (view.myself.node_id,),
            )


def map_disagreement(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    """Each node's map against the one that most nodes have."""
    maps = {view.address: frozenset(view.owners().items()) for view in snapshot.views}
    if len(set(maps.values())) < 2:
        return
    common, _ = Counter(maps.values()).most_common(1)[0]
    for view in snapshot.views:
        if maps[view.address] != common:
            slots = _differing(dict(common), view.owners())
            yield Finding(
                "error",
                "map-disagreement",
                f"{view.address} has another owner than most nodes for slots {shortened(slots)}",
                "Normal for some seconds after a change; if it stays, its bus links do not work.",
                (view.myself.node_id,),
            )


def _differing(one: dict[str, SlotSet], other: dict[str, SlotSet]) -> SlotSet:
    slots = SlotSet()
    for node_id in one.keys() | other.keys():
        a, b = one.get(node_id, SlotSet()), other.get(node_id, SlotSet())
        slots |= (a | b) - (a & b)
    return slots


def membership(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    answering = {view.myself.node_id for view in snapshot.views}
    for view in snapshot.views:
        known = {line.node_id for line in view.lines}
        missing = [member for member in snapshot.members if member.node_id not in known]
        if missing:
            yield Finding(
                "error",
                "stranger",
                f"{view.address} does not know {_names(missing)}",
                "Introduce them with CLUSTER MEET, or have every node forget the one that left.",
                (view.myself.node_id,),
            )
        if unlinked := _unlinked(view, answering):
            yield Finding(
                "warning",
                "bus-link",
                f"{view.address} has no bus link to {', '.join(unlinked)}",
                "Its connections to their bus ports (client port + 10000) fail or have just begun.",
                (view.myself.node_id,),
            )


def _unlinked(view: NodeView, answering: set[str]) -> list[str]:
    """Peers without a link; those that do not answer ctl either are a finding of their own."""
    down = (line for line in view.others if not line.link_up and line.node_id in answering)
    return [str(line.address) for line in down if not (line.failed or line.suspected)]


def epochs(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    shared = Counter(member.line.config_epoch for member in snapshot.primaries if member.line.slots)
    for epoch, count in shared.items():
        if count > 1:
            members = [m for m in snapshot.primaries if m.line.config_epoch == epoch and m.line.slots]
            yield Finding(
                "warning",
                "epoch-collision",
                f"{_names(members)} share configuration epoch {epoch}",
                "Claims to a slot could not be told apart; nodes that see each other settle it in seconds.",
                tuple(member.node_id for member in members),
            )


def open_slots(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    for member in snapshot.members:
        for slots, phrase in ((member.line.migrating, "migrating"), (member.line.importing, "importing")):
            if slots:
                yield Finding(
                    "warning",
                    "open-slots",
                    f"{member.name} has {len(slots)} {phrase} slots: {shortened(SlotSet(slots))}",
                    "A move of slots is under way, or was interrupted and should be finished.",
                    (member.node_id,),
                )


def replication_links(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    for replica in snapshot.replicas:
        if replica.link_state == "down":
            yield Finding(
                "warning",
                "link-down",
                f"{replica.name} has no link to its primary",
                "Writes do not reach it: what it misses is lost should it be promoted.",
                (replica.node_id,),
            )
        elif replica.link_state == "syncing":
            yield Finding(
                "note",
                "syncing",
                f"{replica.name} is receiving the data of its primary",
                "It cannot take over before that is done.",
                (replica.node_id,),
            )


def replica_count(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    for primary in snapshot.primaries:
        if not primary.line.slots:
            yield Finding(
                "note", "empty-primary", f"{primary.name} is a primary without slots", "", (primary.node_id,)
            )
        elif not any(replica.healthy for replica in snapshot.replicas_of(primary.node_id)):
            yield Finding(
                "warning",
                "no-replica",
                f"{primary.name} has no replica that is alive",
                "When it fails, its slots are gone until it is back.",
                (primary.node_id,),
            )


def shared_hosts(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    hosts = {member.host for member in snapshot.members}
    if len(hosts) == 1 and len(snapshot.members) > 1:
        yield Finding(
            "note",
            "one-host",
            f"all {len(snapshot.members)} nodes are on one host, {hosts.pop()}",
            "Good for trying; replicas protect against the end of a process, not of the machine.",
        )
        return
    for replica in snapshot.replicas:
        primary = snapshot.member(replica.line.primary_id or "")
        if primary and primary.host == replica.host:
            yield Finding(
                "warning",
                "same-host",
                f"{replica.name} is on the same host as its primary {primary.name}",
                "The loss of that host would take both.",
                (replica.node_id, primary.node_id),
            )
    yield from _majority_on_one_host(snapshot)


def _majority_on_one_host(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    voters = [member for member in snapshot.primaries if member.line.slots]
    for host, count in Counter(member.host for member in voters).most_common(1):
        if len(voters) > 1 and 2 * count >= len(voters):
            yield Finding(
                "warning",
                "majority-on-one-host",
                f"{count} of {len(voters)} primaries are on {host}",
                "Without that host no majority is left to promote replicas.",
                tuple(member.node_id for member in voters if member.host == host),
            )


def quorum(snapshot: ClusterSnapshot) -> Iterator[Finding]:
    count = sum(1 for member in snapshot.primaries if member.line.slots)
    if 0 < count < 3:
        yield Finding(
            "warning",
            "few-primaries",
            f"{count} primar{'y owns' if count == 1 else 'ies own'} all slots",
            "Fail-over needs the votes of a majority of primaries, which three are needed for.",
        )


CHECKS: tuple[Callable[[ClusterSnapshot], Iterator[Finding]], ...] = (
    uncovered_slots,
    failed_nodes,
    refused_addresses,
    states,
    map_disagreement,
    membership,
    epochs,
    open_slots,
    replication_links,
    replica_count,
    shared_hosts,
    quorum,
)


def shortened(slots: SlotSet, limit: int = 6) -> str:
    """Ranges as operators write them, the first `limit` of them."""
    ranges = slots.ranges()
    text = str(SlotSet.from_ranges(ranges[:limit]))
    return text if len(ranges) <= limit else f"{text} and {len(ranges) - limit} more ranges"


def role(member: Member) -> str:
    return "primary" if member.is_primary else "replica"


def _names(members: list[Member]) -> str:
    return ", ".join(member.name for member in members)
