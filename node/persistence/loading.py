"""A data set on its way from disk into memory: how far it is, and that clients have to wait.

Whoever starts a loader (of a snapshot, of an append-only file) calls `begin` with the size of what is to be
read, and `end`; the loader calls `progress` with how much of it has been read. In between Guard.LOADING
holds, so commands without the flag LOADING are refused, and INFO tells how it goes. Loaders work in slices:
`await pace.breathe()` now and then lets the reactor have its turn when a slice is over.

Source: https://redis.io/commands/info/, "Persistence".
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from node.guards import Guard, Guards
from node.observe.info import Fields

SLICE_S = 0.01


class Pace:
    """Slices of time for a long piece of work in the reactor's thread."""

    __slots__ = ("_end_s", "_slice_s")

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s
        self._end_s = time.monotonic() + slice_s

    async def breathe(self) -> None:
        """Lets others have a turn if the slice is over."""
        if time.monotonic() >= self._end_s:
            await trio.lowlevel.checkpoint()
            self._end_s = time.monotonic() + self._slice_s


class Loading:
    """One per node. `on_progress` are called with every progress: what must not sleep for so long."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._total_bytes = 0
        self._loaded_bytes = 0
        self._used_memory_bytes = 0
        self._started_s = time.time()
        self._starting = False
        self._beside = False
        self.on_progress: list[Callable[[], None]] = []

    @property
    def active(self) -> bool:
        return Guard.LOADING in self._guards

    def expect(self) -> None:
        """The node starts: whatever there may be to load is not there yet, and no client is to see that."""
        self._starting = True
        self._guards.set(Guard.LOADING, True)

    def ready(self) -> None:
        """The node has started: clients are served, with what there is."""
        self._starting = False
        self._guards.set(Guard.LOADING, False)

    def begin(self, total_bytes: int, *, beside: bool = False) -> None:
        """From here on clients are told to wait; not so when the data are loaded `beside` those served now.

        `total_bytes` is the size of all files to be read, 0 or less when nobody knows.
        """
        self._beside = beside
        self._total_bytes = total_bytes
        self._loaded_bytes = 0
        self._used_memory_bytes = 0
        self._started_s = time.time()
        self._guards.set(Guard.LOADING_BESIDE if beside else Guard.LOADING, True)

    def progress(self, loaded_bytes: int, used_memory_bytes: int = 0) -> None:
        """So much has been read of all files together; they may tell what memory their data took."""
        self._loaded_bytes = loaded_bytes
        self._used_memory_bytes = used_memory_bytes
        for look in self.on_progress:
            look()

    def end(self) -> None:
        """Clients are served, unless the node has more to do before that."""
        self._beside = False
        self._guards.set(Guard.LOADING_BESIDE, False)
        self._guards.set(Guard.LOADING, self._starting)

    @property
    def elapsed_s(self) -> float:
        """Since the beginning of the last loading."""
        return time.time() - self._started_s

    def info(self) -> Fields:
        """The fields of INFO persistence, those of Redis that are there at all times first."""
        yield "loading", int(self.active)
        yield "async_loading", int(self._beside)
        if self.active or self._beside:
            yield from self._status()

    def _status(self) -> Fields:
        loaded, total = self._loaded_bytes, max(self._total_bytes, 1)
        left_s = int(self.elapsed_s * (total - loaded) / loaded) if loaded else 1
        yield "loading_start_time", int(self._started_s)
        yield "loading_total_bytes", self._total_bytes
        yield "loading_rdb_used_mem", self._used_memory_bytes
        yield "loading_loaded_bytes", loaded
        yield "loading_loaded_perc", f"{100 * loaded / total:.2f}"
        yield "loading_eta_seconds", max(0, left_s)
