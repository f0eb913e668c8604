"""How much time a snapshot may spend on making itself smaller.

LZF takes Redis next to nothing and Python a hundred times as long: 4 to 10 MB a second, while all else that a
snapshot does to a string costs a fiftieth of that. So the effort is rationed: compressing may take as long as
all the rest has taken until then, which at most doubles the time of a save, and short strings, which hardly
ever become shorter, are not tried. Where the ration is used up strings are stored as they are, as any reader
allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from node.rdb import lzf

LENGTH_MIN = 64


class Ration:
    """A compressor for one snapshot, that declines when it has taken more than its share of the time."""

    __slots__ = ("_clock_s", "_spent_s", "_started_s")

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._spent_s = 0.0

    def __call__(self, data: bytes) -> bytes | None:
        if len(data) < LENGTH_MIN:
            return None
        begin_s = self._clock_s()
        if 2 * self._spent_s > begin_s - self._started_s:
            return None
        packed = lzf.compress(data)
        self._spent_s += self._clock_s() - begin_s
        return packed
