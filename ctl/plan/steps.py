"""What a plan is made of, and what happens while one runs.

A Plan is a list of stages; the steps of a stage touch different things and may run at the same time, a stage
starts when the one before is done. A step is either one command for one node (Send) or a condition on the
whole cluster that must come true (Await). Plans are plain data: they can be shown, compared in tests, and
thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ctl.snapshot import Address, ClusterSnapshot


@dataclass(frozen=True, slots=True)
class Send:
    """One command for one node. Sent again while its error reply starts with `retry_on`."""

    node: Address
    command: tuple[str | int, ...]
    retry_on: str | None = None

    def __str__(self) -> str:
        return f"{self.node}  {' '.join(map(str, self.command))}"


@dataclass(frozen=True, slots=True)
class Await:
    """A condition on the cluster. `unmet` returns what is still missing, a phrase, or None when it is met."""

    title: str
    nodes: tuple[Address, ...]
    unmet: Callable[[ClusterSnapshot], str | None]

    def __str__(self) -> str:
        return f"wait until {self.title}"


Step: TypeAlias = Send | Await


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that may run at the same time."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in order. `notes` are sentences for the reader: compromises that the plan had to make."""

    title: str
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = ()


class PlanError(Exception):
    """What was asked cannot be planned; the text says why, `hint` what would."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


@dataclass(frozen=True, slots=True)
class StageStarted:
    """Stage `number` of `count`, counted from 1."""

    number: int
    count: int
    title: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An Await is not met yet; sent when what is missing changes."""

    missing: str


@dataclass(frozen=True, slots=True)
class StageDone:
    number: int
    title: str
    took_ms: int


Event: TypeAlias = StageStarted | Waiting | StageDone
OnEvent: TypeAlias = Callable[[Event], None]


def first_unmet(conditions: Sequence[str | None]) -> str | None:
    """The first condition that is missing something."""
    return next((missing for missing in conditions if missing), None)
