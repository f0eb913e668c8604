"""Deadlines of a hash's fields: which field expires when, and which are over.

A heap of (deadline, field) finds what is due without visiting the rest. A deadline that was changed or
dropped leaves its entry behind; such entries are told by comparing with `at`, and when they are the majority
the heap is made anew.

Source: the page of HEXPIRE (Redis 7.4).
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

_STALE_MAX = 64


class FieldDeadlines:
    """Field → Unix time in milliseconds; `at` is for reading."""

    __slots__ = ("_heap", "at")

    def __init__(self) -> None:
        self.at: dict[bytes, int] = {}
        self._heap: list[tuple[int, bytes]] = []

    def set(self, field: bytes, deadline_ms: int) -> None:
        self.at[field] = deadline_ms
        heappush(self._heap, (deadline_ms, field))
        if len(self._heap) > 2 * len(self.at) + _STALE_MAX:
            self._heap = [(ms, name) for name, ms in self.at.items()]
            heapify(self._heap)

    def discard(self, field: bytes) -> bool:
        """Forgets the deadline of `field`; False when it had none."""
        return self.at.pop(field, None) is not None

    def next_ms(self) -> int | None:
        """The earliest deadline, None without any."""
        heap, at = self._heap, self.at
        while heap:
            deadline_ms, field = heap[0]
            if at.get(field) == deadline_ms:
                return deadline_ms
            heappop(heap)
        return None

    def take_due(self, now_ms: int, limit: int) -> list[bytes]:
        """Up to `limit` fields whose time is over, the earliest first; their deadlines are forgotten."""
        taken: list[bytes] = []
        while len(taken) < limit:
            deadline_ms = self.next_ms()
            if deadline_ms is None or deadline_ms > now_ms:
                break
            field = heappop(self._heap)[1]
            del self.at[field]
            taken.append(field)
        return taken

    def copy(self) -> FieldDeadlines:
        other = FieldDeadlines()
        other.at = self.at.copy()
        other._heap = self._heap.copy()
        return other

    def check(self) -> None:
        """Asserts that the heap is one and knows every deadline."""
        heap = self._heap
        assert all(heap[(index - 1) // 2] <= heap[index] for index in range(1, len(heap)))
        assert {(ms, field) for field, ms in self.at.items()} <= set(heap)
