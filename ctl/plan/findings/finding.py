"""What a finding is, and the words that all of them use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from ctl.snapshot import Member
from ctl.survey import Survey
from gossip.slots import SlotSet

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
NO_SLOTS = SlotSet()
FIX = "ctl cluster fix"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable, for scripts. `text` says what is, `explanation` why it matters, and `action` what to
    do: a command, or a sentence where no command alone will do; empty where there is nothing to do.

    `nodes` are the ids of those concerned, `slots` the slots.
    """

    severity: Severity
    code: str
    text: str
    explanation: str
    nodes: tuple[str, ...] = ()
    action: str = ""
    slots: SlotSet = NO_SLOTS

    @property
    def is_problem(self) -> bool:
        return self.severity != "info"


class Check(Protocol):
    def __call__(self, survey: Survey, /) -> Iterator[Finding]: ...


def shortened(slots: SlotSet, limit: int = 6) -> str:
    """Ranges as operators write them, the first `limit` of them."""
    ranges = slots.ranges()
    text = str(SlotSet.from_ranges(ranges[:limit]))
    return text if len(ranges) <= limit else f"{text} and {len(ranges) - limit} more ranges"


def role(member: Member) -> str:
    return "primary" if member.is_primary else "replica"


def names(members: Iterable[Member], limit: int = 6) -> str:
    """`a, b and 3 more`."""
    listed = [member.name for member in members]
    text = ", ".join(listed[:limit])
    return text if len(listed) <= limit else f"{text} and {len(listed) - limit} more"


def count(number: int, noun: str) -> str:
    """`1 slot`, `2 slots`, `2 primaries`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{number:,} {noun}s"
