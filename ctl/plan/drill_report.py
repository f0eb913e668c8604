"""What a drill has shown, judged by limits: data for a reader, a machine and an exit status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ctl.plan.drill import Drill
from ctl.plan.drill_history import Findings
from ctl.plan.drill_outage import Outage
from ctl.plan.drill_timeline import Mark, Milestone


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; None allows everything."""

    unavailable_ms: float | None = None
    lost: int | None = None
    errors: int | None = None


@dataclass(frozen=True, slots=True)
class ClientErrors:
    """One kind of error, as clients saw it; times after the fault."""

    kind: str
    count: int
    first_ms: float
    last_ms: float
    example: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """One limit: what was allowed, what was found."""

    what: str
    allowed: str
    found: str
    passed: bool


@dataclass(frozen=True)
class Report:
    """`recovered_ms` is when all nodes agreed and every replica followed again, after the healing; None when
    they did not in time. `interrupted` by Ctrl-C: the fault was healed early.
    """

    drill: Drill
    began_at_s: float
    servers: tuple[str, ...]
    node_timeout_ms: int
    client_timeout_ms: int
    writers: int
    marks: tuple[Mark, ...]
    milestones: tuple[Milestone, ...]
    outages: tuple[Outage, ...]
    findings: Findings
    errors: tuple[ClientErrors, ...]
    recovered_ms: float | None
    interrupted: bool
    notes: tuple[str, ...]
    verdict: tuple[Judgement, ...] = field(default=())

    @property
    def passed(self) -> bool:
        return all(each.passed for each in self.verdict)


def judge(
    limits: Limits,
    outages: Sequence[Outage],
    findings: Findings,
    errors: Sequence[ClientErrors],
    *,
    recovered: bool,
) -> tuple[Judgement, ...]:
    """What holds always comes first: the cluster is whole again and shows nothing that was never written."""
    wrong = len(findings.phantoms) + len(findings.replayed)
    verdict = [
        Judgement("the cluster is well again", "yes", "yes" if recovered else "no", recovered),
        Judgement("values that nobody wrote, or that came back", "0", str(wrong), not wrong),
        Judgement("keys that could not be read at the end", "0", str(findings.unread), not findings.unread),
    ]
    if limits.unavailable_ms is not None:
        counted = [each for each in outages if each.expected]
        worst = max((each.longest_ms for each in counted), default=0.0)
        endless = any(not each.over for each in counted)
        found = f"{worst:.0f} ms" + (", and not over" if endless else "")
        passed = worst <= limits.unavailable_ms and not endless
        verdict.append(
            Judgement("longest time without a write", f"{limits.unavailable_ms:g} ms", found, passed)
        )
    if limits.lost is not None:
        lost = len(findings.lost)
        verdict.append(
            Judgement("acknowledged writes lost", str(limits.lost), str(lost), lost <= limits.lost)
        )
    if limits.errors is not None:
        count = sum(each.count for each in errors)
        verdict.append(Judgement("errors of clients", str(limits.errors), str(count), count <= limits.errors))
    return tuple(verdict)


def grouped(errors: Sequence[tuple[float, str, str]]) -> tuple[ClientErrors, ...]:
    """Of (time, kind, text), the most frequent kind first."""
    kinds: dict[str, list[tuple[float, str]]] = {}
    for at_ms, kind, text in errors:
        kinds.setdefault(kind, []).append((at_ms, text))
    found = [
        ClientErrors(kind, len(each), min(each)[0], max(each)[0], min(each)[1])
        for kind, each in kinds.items()
    ]
    return tuple(sorted(found, key=lambda errors: (-errors.count, errors.kind)))


def names_of(drill: Drill) -> Mapping[str, str]:
    """Addresses by node id."""
    return {member.node_id: member.name for side in drill.sides for member in side}
