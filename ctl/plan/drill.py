"""What a drill does to a cluster: whom it harms, for how long, and what is to be feared.

Pure: made from a snapshot before anything happens, shown, and confirmed. A drill is a rehearsal, so it begins
with a cluster that is well; one that is not has its emergency already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ctl.errors import UsageError
from ctl.plan.failover import find_one
from ctl.plan.findings.finding import names
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot, Member

Kind = Literal["kill", "pause", "partition", "restart-rolling", "slow-disk"]
TIMEOUTS = 2.5  # how long a fault lasts unless told otherwise, in node time-outs: detection, and some more
SHORTEST_S = 3.0
SLOW_DISK_S = 10.0


@dataclass(frozen=True)
class Drill:
    """`victims` are harmed, in this order; `sides` are those of a partition, else one with everybody.
    `sync_delay_ms` is a slow disk's. `title` says it in a line.
    """

    kind: Kind
    title: str
    victims: tuple[Member, ...]
    sides: tuple[tuple[Member, ...], ...]
    duration_s: float
    risks: tuple[str, ...]
    sync_delay_ms: int = 0

    @property
    def majority(self) -> int | None:
        """The number of the side that has most of the primaries with slots; None where no side has."""
        counts = [sum(bool(member.line.slots) for member in side) for side in self.sides]
        return next((at for at, count in enumerate(counts) if 2 * count > sum(counts)), None)


def plan_drill(
    snapshot: ClusterSnapshot,
    kind: Kind,
    *,
    nodes: Sequence[str] = (),
    sides: Sequence[str] = (),
    duration_s: float | None = None,
    node_timeout_ms: int = 15_000,
    sync_delay_ms: int = 0,
) -> Drill:
    """`nodes` names victims, else they are chosen. Raises PlanError, UsageError."""
    _demand_health(snapshot)
    lasts_s = duration_s if duration_s is not None else max(SHORTEST_S, TIMEOUTS * node_timeout_ms / 1000)
    named = [find_one(snapshot, name) for name in nodes]
    everybody = (snapshot.members,)
    if kind == "kill":
        victim = _one_primary(snapshot, named)
        title = f"kill {victim.name}, and start it again after {lasts_s:g} s"
        return Drill(kind, title, (victim,), everybody, lasts_s, _fears(snapshot, victim))
    if kind == "pause":
        victim = _one_primary(snapshot, named)
        if lasts_s * 1000 <= node_timeout_ms:
            raise UsageError(
                f"a pause of {lasts_s:g} s is not longer than the node time-out ({node_timeout_ms} ms)",
                "Nothing would be noticed. Give a longer --duration.",
            )
        title = f"stop {victim.name} for {lasts_s:g} s, and let it go on"
        return Drill(kind, title, (victim,), everybody, lasts_s, _fears(snapshot, victim))
    if kind == "partition":
        return _partition(snapshot, sides, lasts_s)
    if kind == "restart-rolling":
        return _rolling(snapshot, named)
    victims = tuple(named or [member for member in snapshot.primaries if member.line.slots][:1])
    lasts_s = duration_s if duration_s is not None else SLOW_DISK_S
    title = f"delay every sync on {names(victims)} by {sync_delay_ms} ms, for {lasts_s:g} s"
    return Drill(kind, title, victims, everybody, lasts_s, (), sync_delay_ms)


def _demand_health(snapshot: ClusterSnapshot) -> None:
    ill = [member for member in snapshot.members if not member.healthy]
    if ill or snapshot.uncovered or not all(view.state_ok for view in snapshot.views):
        what = f"{names(ill)} failed or does not answer" if ill else "not all slots are served"
        raise PlanError(
            f"the cluster is not well: {what}", "A drill begins with a healthy one; see `ctl cluster check`."
        )
    behind = [member for member in snapshot.replicas if member.link_state != "up"]
    if behind:
        raise PlanError(f"{names(behind)} is not in step with its primary", "Wait until its link is up.")


def _one_primary(snapshot: ClusterSnapshot, named: list[Member]) -> Member:
    """The one that is named, else the first with slots and a replica, else the first with slots."""
    if len(named) > 1:
        raise UsageError("one node is harmed at a time", "Name one.")
    if named:
        return named[0]
    owners = [member for member in snapshot.primaries if member.line.slots]
    return next((each for each in owners if snapshot.replicas_of(each.node_id)), owners[0])


def _fears(snapshot: ClusterSnapshot, victim: Member) -> tuple[str, ...]:
    if not victim.is_primary:
        return ()
    fears = ["Writes that it has acknowledged and not yet sent to a replica are lost."]
    if not snapshot.replicas_of(victim.node_id):
        fears.append(f"{victim.name} has no replica: its slots are out of reach for all that time.")
    owners = sum(bool(member.line.slots) for member in snapshot.primaries)
    if 2 * (owners - 1) <= owners:
        fears.append("Without it no majority of primaries is left, so nobody can be elected.")
    return tuple(fears)


def _partition(snapshot: ClusterSnapshot, texts: Sequence[str], lasts_s: float) -> Drill:
    """Sides as `A,B`, several in one text apart by `|`; those not named are a side of their own."""
    words = [part for text in texts for part in text.split("|")]
    sides = [_side(snapshot, word) for word in words]
    if not sides:
        sides = [(_one_primary(snapshot, []),)]
    placed: Mapping[str, int] = {}
    for side in sides:
        for member in side:
            if member.node_id in placed:
                raise UsageError(f"{member.name} is named twice among the sides")
            placed = {**placed, member.node_id: 1}
    rest = tuple(member for member in snapshot.members if member.node_id not in placed)
    if rest:
        sides.append(rest)
    if len(sides) < 2:
        raise UsageError("a partition has two sides or more", "Name one side: the rest is the other.")
    risks = []
    drill = Drill("partition", "", tuple(m for side in sides for m in side), tuple(sides), lasts_s, ())
    for at, side in enumerate(sides):
        owners = [member for member in side if member.line.slots]
        if owners and at != drill.majority:
            risks.append(
                f"{names(owners)} goes on acknowledging writes of clients on its side until it notices (the "
                "node time-out); they are lost where a replica on the other side is promoted."
            )
    if drill.majority is None:
        risks.append("No side has a majority of the primaries: all stop serving.")
    text = " | ".join(", ".join(member.name for member in side) for side in sides)
    title = f"cut the network between {text}, for {lasts_s:g} s"
    return Drill("partition", title, drill.victims, drill.sides, lasts_s, tuple(risks))


def _side(snapshot: ClusterSnapshot, text: str) -> tuple[Member, ...]:
    found = tuple(find_one(snapshot, name.strip()) for name in text.split(",") if name.strip())
    if not found:
        raise UsageError(f"{text!r} names no node", "A side is NODE,NODE,…")
    return found


def _rolling(snapshot: ClusterSnapshot, named: list[Member]) -> Drill:
    """Replicas first; then each primary, whose replica takes over before it is stopped."""
    chosen = named or list(snapshot.members)
    victims = [each for each in chosen if not each.is_primary] + [each for each in chosen if each.is_primary]
    lonely = [each for each in victims if each.line.slots and not snapshot.replicas_of(each.node_id)]
    risks = [f"{each.name} has no replica: its slots are out of reach while it restarts." for each in lonely]
    title = f"restart {len(victims)} nodes one by one, replicas first, primaries after a graceful fail-over"
    return Drill("restart-rolling", title, tuple(victims), (snapshot.members,), 0.0, tuple(risks))
