"""Letting go of a million values, or of a value of a million elements, takes a tenth of a second: what
FLUSHALL ASYNC and MIGRATE take away is freed here little by little, in the cron's slices of time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized

from node.values.hashes import Hash
from node.values.sets import Set
from node.values.zsets import Zset

BIG_ELEMENTS = 2000
_DONE = object()


class Disposal:
    """Partitions that nobody needs any more.

    They are only let go of: whoever else holds one keeps it whole.
    """

    def __init__(self) -> None:
        self._partitions: list[Sized] = []
        self._big: list[Iterator[None]] = []  # values that are being taken apart
        self.pending = 0  # values

    def take(self, partitions: Iterable[Sized | None]) -> None:
        """Takes the partitions of a database, which must have forgotten them."""
        for partition in partitions:
            if partition:
                self._partitions.append(partition)
                self.pending += len(partition)

    def take_value(self, value: object) -> None:
        """Takes what was stored under a key, which must have forgotten it."""
        if isinstance(value, Hash | Set | Zset) and len(value) > BIG_ELEMENTS:
            self._big.append(value.dismantle())
            self.pending += 1

    def work(self, slice_s: float) -> bool:
        """Frees for about `slice_s` seconds; True when something is left."""
        end_s = time.monotonic() + slice_s
        while self._partitions and time.monotonic() < end_s:
            self.pending -= len(self._partitions.pop())
        while self._big and time.monotonic() < end_s:
            if next(self._big[-1], _DONE) is _DONE:
                del self._big[-1]
                self.pending -= 1
        return bool(self._partitions or self._big)
