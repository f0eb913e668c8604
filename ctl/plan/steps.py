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

from ctl.errors import CtlError
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


class PlanError(CtlError):
    """What was asked cannot be planned."""


@dataclass(frozen=True, slots=True)
class StageStarted:
    title: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step is not done yet; sent when what is missing changes."""

    missing: str


@dataclass(frozen=True, slots=True)
class StageDone:
    title: str
    took_ms: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader should know, a sentence."""

    text: str


Event: TypeAlias = StageStarted | Waiting | StageDone | Note
OnEvent: TypeAlias = Callable[[Event], None]


def first_unmet(conditions: Sequence[str | None]) -> str | None:
    """The first condition that is missing something."""
    return next((missing for missing in conditions if missing), None)
