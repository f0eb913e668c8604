"""Long work in slices of a turn: between two of them trio's other tasks run, reactor and bus first."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TypeVar

import trio

SLICE_S = 0.002

T = TypeVar("T")


async def in_slices(steps: Generator[None, None, T], slice_s: float = SLICE_S) -> T:
    """Runs `steps` to their end and gives their result. What they raise is raised."""
    while True:
        end_s = time.monotonic() + slice_s
        try:
            while time.monotonic() < end_s:
                next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        await trio.lowlevel.checkpoint()
