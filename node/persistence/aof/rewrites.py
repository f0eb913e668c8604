"""Rewriting: the data set as it is becomes a new base, and everything before it can go.

The increments go over to a new file, then a child is forked, which writes the data as they were at the fork;
when it is done its file becomes the base, and what came before is history. A rewrite that fails changes
nothing but the number of increments, so after `FAILURES_FREE` of them in a row the automatic ones wait, a
minute first and twice as long each time, up to an hour. Who asks for one gets it at once.

Source: https://redis.io/commands/bgrewriteaof/; redis.conf, auto-aof-rewrite-percentage; figures of Redis
7.0.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES_FREE = 3
_MINUTE_S = 60
_LONGEST_S = 3600


class BackOff:
    """How long automatic rewrites wait after failures. `now_s` gives the time."""

    def __init__(self, warn: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._warn = warn
        self._now_s = now_s
        self._pause_s = 0
        self._until_s: float | None = None
        self.failures = 0  # since the last success

    def failed(self) -> None:
        self.failures += 1

    def reset(self) -> None:
        self.failures = 0

    def holds(self) -> bool:
        """Whether to wait still; each time that a wait is over one rewrite is let pass."""
        if self.failures < FAILURES_FREE:
            self._pause_s, self._until_s = 0, None
            return False
        now_s = self._now_s()
        if self._until_s is not None:
            if now_s < self._until_s:
                return True
            self._until_s = None
            return False
        self._pause_s = min(self._pause_s * 2 or _MINUTE_S, _LONGEST_S)
        self._until_s = now_s + self._pause_s
        self._warn(
            "Background AOF rewrite has repeatedly failed and triggered the limit, "
            f"will retry in {self._pause_s // _MINUTE_S} minutes"
        )
        return True


@dataclass(slots=True)
class RewriteFigures:
    """What INFO tells of rewrites; -1 where there was none."""

    count: int = 0
    started_s: float | None = None
    last_s: int = -1
    last_ok: bool = True
    last_cow_bytes: int = 0

    def began(self) -> None:
        self.count += 1
        self.started_s = time.time()

    def ended(self, ok: bool) -> None:
        self.last_ok = ok
        self.last_s = -1 if self.started_s is None else int(time.time() - self.started_s)
        self.started_s = None

    @property
    def current_s(self) -> int:
        return -1 if self.started_s is None else int(time.time() - self.started_s)
