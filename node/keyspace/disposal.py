"""Letting go of a million values takes a tenth of a second: what FLUSHALL ASYNC takes away is freed here
little by little, in the cron's slices of time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sized


class Disposal:
    """Partitions that nobody needs any more.

    They are only let go of: whoever else holds one keeps it whole.
    """

    def __init__(self) -> None:
        self._partitions: list[Sized] = []
        self.pending = 0  # values

    def take(self, partitions: Iterable[Sized | None]) -> None:
        """Takes the partitions of a database, which must have forgotten them."""
        for partition in partitions:
            if partition:
                self._partitions.append(partition)
                self.pending += len(partition)

    def work(self, slice_s: float) -> bool:
        """Frees for about `slice_s` seconds; True when something is left."""
        end_s = time.monotonic() + slice_s
        while self._partitions and time.monotonic() < end_s:
            self.pending -= len(self._partitions.pop())
        return bool(self._partitions)
