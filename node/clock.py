"""The time of the turn: read once before a batch of commands, so that a command costs no system call."""

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
