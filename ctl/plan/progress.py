"""What a change tells of while it moves slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ctl.plan.steps import Event


@dataclass(frozen=True, slots=True)
class Progress:
    """Totals are estimates, None where they are not known."""

    slots_done: int
    slots_total: int
    keys_done: int
    keys_total: int | None
    bytes_done: int
    bytes_total: int | None
    elapsed_s: float
    longest_pause_ms: float | None

    @property
    def left_s(self) -> float | None:
        """How long the rest takes at this pace: by keys where there are any, by slots else; None at first."""
        done, total = self.slots_done, self.slots_total
        if self.keys_total:
            done, total = min(self.keys_done, self.keys_total), self.keys_total
        return self.elapsed_s * (total - done) / done if done * 100 > total else None


ChangeEvent: TypeAlias = "Event | Progress"
OnChangeEvent: TypeAlias = Callable[[ChangeEvent], None]
