"""What has changed between two looks at a cluster: rates from counters, events from states.

A `Sample` is one look. `events` compares two of them and says in sentences what happened between; what
happens and passes within an interval is not seen. Roles, health, epochs, owners, links and open slots are
compared by node id, so a node that comes back under another address is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ctl.plan.findings.finding import count, role, shortened
from ctl.snapshot import ClusterSnapshot, Member
from ctl.survey import SlotMigration
from gossip.slots import SlotSet

Kind = Literal[
    "state", "joined", "left", "role", "slots", "epoch", "unreachable", "reachable", "failed", "suspected",
    "recovered", "link", "move", "restarted",
]  # fmt: skip
GRAVE: tuple[Kind, ...] = ("unreachable", "failed", "left")
GOOD: tuple[Kind, ...] = ("reachable", "recovered", "joined")


@dataclass(frozen=True, slots=True)
class Moving:
    """Slots open between two nodes, and where their keys are now; None where nobody could be asked."""

    source_id: str
    target_id: str
    slots: SlotSet
    keys_left: int | None
    keys_moved: int | None


@dataclass(frozen=True)
class Sample:
    """One look. `at_s` is the time of day, `clock_s` a clock that never jumps. `silent` says why nobody
    answered; then `snapshot` is the last one that somebody did.
    """

    at_s: float
    clock_s: float
    snapshot: ClusterSnapshot
    moving: tuple[Moving, ...] = ()
    migrations: tuple[SlotMigration, ...] = ()
    silent: str = ""

    def name(self, node_id: str) -> str:
        member = self.snapshot.member(node_id)
        return member.name if member else node_id[:8]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that has changed, a sentence without a full stop. `nodes` are ids."""

    kind: Kind
    text: str
    nodes: tuple[str, ...] = ()

    @property
    def tone(self) -> Literal["grave", "good", "plain"]:
        return "grave" if self.kind in GRAVE else "good" if self.kind in GOOD else "plain"


def ops_per_s(before: Sample | None, now: Sample, member: Member) -> float | None:
    """Commands a second since the sample before; None for a node that was not asked, or started since."""
    earlier = before.snapshot.member(member.node_id) if before else None
    if before is None or earlier is None or earlier.view is None or member.view is None or now.silent:
        return None
    if earlier.view.info.get("run_id") != member.view.info.get("run_id"):
        return None
    counts = [int(view.info.get("total_commands_processed", "0")) for view in (earlier.view, member.view)]
    elapsed_s = now.clock_s - before.clock_s
    return max(0.0, (counts[1] - counts[0]) / elapsed_s) if elapsed_s > 0 else None


def lag_bytes(snapshot: ClusterSnapshot, member: Member) -> int | None:
    """How much of its primary's stream a replica has not received yet. The two were not asked at the very
    same moment, so on a busy primary some of it is what came between.
    """
    primary = snapshot.member(member.line.primary_id or "")
    if primary is None or primary.replication_offset is None or member.replication_offset is None:
        return None
    return max(0, primary.replication_offset - member.replication_offset)


def events(before: Sample, now: Sample) -> list[Happening]:
    """In the order in which a reader would tell them: the cluster, its members, their slots."""
    if now.silent:
        return [] if before.silent else [Happening("unreachable", f"no node answers: {now.silent}")]
    found = [*_cluster(before, now), *_membership(before, now)]
    for member in now.snapshot.members:
        earlier = before.snapshot.member(member.node_id)
        if earlier is not None:
            found += _health(now, earlier, member)
            found += _role(now, earlier, member)
    return [*found, *_owners(before, now), *_moves(before, now)]


def _cluster(before: Sample, now: Sample) -> Iterator[Happening]:
    if before.silent:
        yield Happening("reachable", "nodes answer again")
    was, is_ = (
        "ok" if all(view.state_ok for view in sample.snapshot.views) else "fail" for sample in (before, now)
    )
    if was != is_:
        yield Happening("state", f"cluster_state is {is_} now")


def _membership(before: Sample, now: Sample) -> Iterator[Happening]:
    old = {member.node_id: member for member in before.snapshot.members}
    new = {member.node_id: member for member in now.snapshot.members}
    for node_id in new.keys() - old.keys():
        yield Happening("joined", f"{new[node_id].name} has joined as a {role(new[node_id])}", (node_id,))
    for node_id in old.keys() - new.keys():
        yield Happening("left", f"{old[node_id].name} is no member any more", (node_id,))


def _health(now: Sample, earlier: Member, member: Member) -> Iterator[Happening]:
    ids, name = (member.node_id,), member.name
    if earlier.reachable != member.reachable:
        if member.reachable:
            yield Happening("reachable", f"{name} answers again", ids)
        else:
            yield Happening("unreachable", f"{name} does not answer: {member.reason}", ids)
    elif earlier.view and member.view and earlier.view.info.get("run_id") != member.view.info.get("run_id"):
        yield Happening("restarted", f"{name} was started anew", ids)
    if member.failed_by and not earlier.failed_by:
        yield Happening("failed", f"{name} is FAIL in the eyes of {_who(now, member.failed_by)}", ids)
    elif len(member.suspected_by) > len(earlier.suspected_by) and not member.failed_by:
        yield Happening("suspected", f"{name} is PFAIL in the eyes of {_who(now, member.suspected_by)}", ids)
    elif (earlier.failed_by or earlier.suspected_by) and not (member.failed_by or member.suspected_by):
        yield Happening("recovered", f"nobody holds {name} for failed any more", ids)
    if earlier.link_state and member.link_state and earlier.link_state != member.link_state:
        yield Happening("link", f"{name}'s link to its primary is {member.link_state}", ids)


def _who(now: Sample, ids: frozenset[str]) -> str:
    return f"{len(ids)} nodes" if len(ids) > 2 else ", ".join(sorted(map(now.name, ids)))


def _role(now: Sample, earlier: Member, member: Member) -> Iterator[Happening]:
    ids = (member.node_id,)
    if earlier.is_primary != member.is_primary:
        whose = "" if member.is_primary else f" of {now.name(member.line.primary_id or '')}"
        yield Happening("role", f"{member.name} is a {role(member)}{whose} now", ids)
    elif not member.is_primary and earlier.line.primary_id != member.line.primary_id:
        primary = now.name(member.line.primary_id or "")
        yield Happening("role", f"{member.name} follows {primary} now", ids)
    if member.is_primary and earlier.line.config_epoch != member.line.config_epoch:
        epochs = f"{earlier.line.config_epoch} → {member.line.config_epoch}"
        yield Happening("epoch", f"{member.name} has a new configuration epoch: {epochs}", ids)


def _owners(before: Sample, now: Sample) -> Iterator[Happening]:
    """Slots that changed hands, a sentence for each pair of old and new owner."""
    earlier = owners(before.snapshot)
    for new, slots in owners(now.snapshot).items():
        gained = slots - earlier.get(new, SlotSet())
        for old, had in earlier.items():
            if old != new and (moved := gained & had):
                gained = gained - moved
                ends = f"from {now.name(old)} to {now.name(new)}"
                text = f"{count(len(moved), 'slot')} went {ends}: {shortened(moved, 3)}"
                yield Happening("slots", text, (old, new))
        if gained:
            text = f"{now.name(new)} has taken {count(len(gained), 'slot')}: {shortened(gained, 3)}"
            yield Happening("slots", text, (new,))
    if lost := now.snapshot.uncovered - before.snapshot.uncovered:
        yield Happening("slots", f"{count(len(lost), 'slot')} without owner: {shortened(lost, 3)}")


def owners(snapshot: ClusterSnapshot) -> dict[str, SlotSet]:
    """Slots by owner. Of two claims the larger epoch counts: a node that was away claims what it had."""
    owned: dict[str, SlotSet] = {}
    taken = SlotSet()
    for member in sorted(snapshot.primaries, key=lambda member: -member.line.config_epoch):
        if slots := member.line.slots - taken:
            owned[member.node_id] = slots
            taken |= slots
    return owned


def _moves(before: Sample, now: Sample) -> Iterator[Happening]:
    old = {(each.source_id, each.target_id): each for each in before.moving}
    for each in now.moving:
        known = old.pop((each.source_id, each.target_id), None)
        ends = f"{now.name(each.source_id)} → {now.name(each.target_id)}"
        if known is None:
            text = f"{count(len(each.slots), 'slot')} open, {ends}: {shortened(each.slots, 3)}"
            yield Happening("move", text, (each.source_id, each.target_id))
    for each in old.values():
        ends = f"{now.name(each.source_id)} → {now.name(each.target_id)}"
        yield Happening("move", f"no slot is open any more, {ends}", (each.source_id, each.target_id))
    states: Mapping[str, str] = {job.name: job.state for job in before.migrations}
    for job in now.migrations:
        if states.get(job.name) != job.state and not (job.name not in states and job.ended):
            ends = f"{now.name(job.source_id)} → {now.name(job.target_id)}"
            yield Happening("move", f"migration of slots {job.slots}, {ends}: {job.state}")
