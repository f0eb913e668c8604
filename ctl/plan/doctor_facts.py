"""What `ctl cluster doctor` looks at: a survey, and what each node tells of its load and of some of its keys.

Pure data, made by `ctl.execute.doctor`. A fact that a node does not tell is None, or is absent from its INFO
and configuration, and then no finding rests on it. Source of the fields: the page of INFO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ctl.plan.findings.finding import names
from ctl.snapshot import ClusterSnapshot, Member
from ctl.survey import Survey

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
UNITS = (("bytes", 1), ("KiB", KIB), ("MiB", MIB))
LONGEST_KEY = 60


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """An entry of the slow log: the command's name, without its arguments, which may be secrets."""

    name: str
    took_us: int
    age_s: int


@dataclass(frozen=True, slots=True)
class SampledKey:
    """`size_bytes` is MEMORY USAGE's estimate; `frequency` OBJECT FREQ's counter, 0 to 255, under LFU."""

    name: bytes
    size_bytes: int | None
    frequency: int | None

    @property
    def text(self) -> str:
        """Its name as it can be shown: printable, and not too long."""
        decoded = self.name.decode(errors="backslashreplace")
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in decoded)
        return shown if len(shown) <= LONGEST_KEY else shown[: LONGEST_KEY - 1] + "…"


@dataclass(frozen=True, slots=True)
class NodeVitals:
    """`open_default_user`: whether a client that gives no password may run commands.
    `written_bytes_per_s`: how fast the replication stream grew while the node was looked at.
    """

    open_default_user: bool | None = None
    slow: tuple[SlowCommand, ...] | None = None
    keys: tuple[SampledKey, ...] | None = None
    written_bytes_per_s: float | None = None


NO_VITALS = NodeVitals()


@dataclass(frozen=True)
class Examination:
    """A survey with vitals by node id."""

    survey: Survey
    vitals: Mapping[str, NodeVitals] = field(default_factory=dict)

    @property
    def snapshot(self) -> ClusterSnapshot:
        return self.survey.snapshot

    def answering(self) -> Iterator[Member]:
        return (member for member in self.snapshot.members if member.view is not None)

    def where(self, holds: Callable[[Member], bool]) -> list[Member]:
        """The answering members for which it holds."""
        return [member for member in self.answering() if holds(member)]

    def vitals_of(self, member: Member) -> NodeVitals:
        return self.vitals.get(member.node_id, NO_VITALS)

    def directive(self, member: Member, name: str) -> str | None:
        return (self.survey.facts_of(member).config or {}).get(name)

    @property
    def sampled_key_count(self) -> int:
        return sum(len(vitals.keys or ()) for vitals in self.vitals.values())


def info(member: Member, field_name: str) -> str | None:
    return member.view.info.get(field_name) if member.view else None


def number(member: Member, field_name: str) -> float | None:
    """A number of INFO; None where the node does not tell it."""
    try:
        return float(info(member, field_name) or "")
    except ValueError:
        return None


def ids(members: list[Member]) -> tuple[str, ...]:
    return tuple(member.node_id for member in members)


def told(values: Mapping[Member, str]) -> str:
    """`10.0.0.1:7000 (91 %), 10.0.0.2:7001 (85 %) and 2 more`."""
    listed = [f"{member.name} ({value})" for member, value in values.items()]
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def everywhere(examination: Examination, members: list[Member]) -> str:
    """`all nodes`, or their names."""
    if len(members) > 1 and len(members) == len(list(examination.answering())):
        return "all nodes"
    return names(members, 4)


def size(byte_count: float) -> str:
    """`912 KiB`, `1.5 GiB`."""
    unit = next((name for name, limit in UNITS if byte_count < limit * KIB), "GiB")
    amount = byte_count / dict(UNITS).get(unit, GIB)
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "bytes" else f"{amount:.1f} {unit}"
