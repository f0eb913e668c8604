"""Callbacks at a time: what waits for a deadline (blocked clients, pauses, expiring keys) hangs here.

One task sleeps until the earliest deadline; scheduling an earlier one wakes it. After the callbacks of a
moment `settle` is called, so that replies and propagation they caused leave at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

import trio

from node.clock import Clock

_CANCELLED_MAX = 64  # cancelled timers that may stay, beyond as many as there are others


class Timer:
    """One scheduled callback; `cancel()` forgets it."""

    __slots__ = ("_on_cancel", "at_ms", "callback")

    def __init__(self, at_ms: int, callback: Callable[[], None], on_cancel: Callable[[], None]) -> None:
        self.at_ms = at_ms
        self.callback: Callable[[], None] | None = callback
        self._on_cancel = on_cancel

    def cancel(self) -> None:
        """Has no effect on one that was called or cancelled before."""
        if self.callback is not None:
            self.callback = None
            self._on_cancel()


class Timers:
    """A heap of timers by Unix time in milliseconds."""

    def __init__(self, clock: Clock, settle: Callable[[], None]) -> None:
        self._clock = clock
        self._settle = settle
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._cancelled = 0
        self._sleep: trio.CancelScope | None = None

    def at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """Calls `callback` at `at_ms`, at the earliest with the task's next turn."""
        timer = Timer(at_ms, callback, self._one_cancelled)
        heappush(self._heap, (at_ms, next(self._order), timer))
        if self._sleep is not None and self._heap[0][2] is timer:
            self._sleep.cancel()
        return timer

    def _one_cancelled(self) -> None:
        """Clients that wait for up to an hour and are served at once leave a timer each: those must go."""
        self._cancelled += 1
        heap = self._heap
        if self._cancelled > _CANCELLED_MAX + len(heap) // 2:
            heap[:] = [entry for entry in heap if entry[2].callback is not None]
            heapify(heap)
            self._cancelled = 0

    def run_due(self, now_ms: int) -> bool:
        """Calls what is due; whether anything was."""
        called = False
        while self._heap and self._heap[0][0] <= now_ms:
            timer = heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled -= 1
            else:
                callback()
                called = True
        return called

    async def run(self) -> None:
        """The task; runs until cancelled."""
        while True:
            if self.run_due(self._clock.update()):
                self._settle()
            wait_s = math.inf
            if self._heap:
                wait_s = max(0.0, (self._heap[0][0] - self._clock.update()) / 1000)
            with trio.move_on_after(wait_s) as self._sleep:
                await trio.sleep_forever()
            self._sleep = None
