"""Two clocks. The time of the turn is the wall's, read once before a batch of commands, so that a command
costs no system call. The steady one is for the cluster, whose time-outs must not depend on somebody setting
the wall clock.
"""

from __future__ import annotations

import time


class Clock:
    """`now_ms` is Unix time in milliseconds as of the last `update()`."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.update()

    def update(self) -> int:
        self.now_ms = now_ms = time.time_ns() // 1_000_000
        return now_ms


class SteadyClock:
    """Starts at Unix time in milliseconds, then never jumps or runs back, and runs on in a suspend."""

    def __init__(self) -> None:
        self._offset_ms = time.time_ns() // 1_000_000 - _boot_ms()

    def now_ms(self) -> int:
        return _boot_ms() + self._offset_ms


def _boot_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
