"""When something is next due: a heap of deadlines, so that waiting costs nothing per member.

Each key (a member, or the name of one of the core's own duties) has at most one deadline. Moving a deadline
leaves its old entry in the heap, which is dropped when it comes up; a deadline that moves later is best left
alone, and what it wakes looks again and asks for a new one.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Deadlines in Unix milliseconds by key."""

    def __init__(self) -> None:
        self._due: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._count = 0

    def at(self, key: K, due_ms: int) -> None:
        """Set the key's deadline, whatever it was."""
        if self._due.get(key) == due_ms:
            return
        self._due[key] = due_ms
        self._count += 1
        heappush(self._heap, (due_ms, self._count, key))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def by(self, key: K, due_ms: int) -> None:
        """Let the key come up at this time at the latest."""
        current_ms = self._due.get(key)
        if current_ms is None or due_ms < current_ms:
            self.at(key, due_ms)

    def cancel(self, key: K) -> None:
        self._due.pop(key, None)

    def next_ms(self) -> int | None:
        """The earliest deadline, or None when nothing is awaited."""
        while self._heap:
            due_ms, _, key = self._heap[0]
            if self._due.get(key) == due_ms:
                return due_ms
            heappop(self._heap)
        return None

    def pop(self, now_ms: int) -> K | None:
        """One key whose time has come, and its deadline is gone; None when there is no more."""
        due_ms = self.next_ms()
        if due_ms is None or due_ms > now_ms:
            return None
        key = heappop(self._heap)[2]
        del self._due[key]
        return key
