"""Virtual time: what happens when, in an order that depends on nothing but who asked first."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class Agenda:
    """Actions by their time in milliseconds; those of one millisecond run in the order they were added."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, due_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._heap, (max(due_ms, self.now_ms), self._count, action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.at(self.now_ms + delay_ms, action)

    def run_until(self, end_ms: int) -> None:
        """Run all that is due up to and including `end_ms`, and leave the clock there."""
        while self._heap and self._heap[0][0] <= end_ms:
            self.now_ms, _, action = heappop(self._heap)
            action()
        self.now_ms = end_ms
