"""Conditions under which requests take the dispatcher's full path, where every gate is asked.

A condition has a name, so that several can hold at once and each is lifted by who set it. Those that concern
writes only (a replica is read-only, too few replicas are there) leave reads on the fast path.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from enum import Enum


class Guard(Enum):
    """Why; the value says whether reads are concerned too."""

    LOADING = ("loading", True)
    LOADING_BESIDE = ("loading beside the data", False)
    PAUSED = ("paused", True)
    BUSY = ("a script runs for long", True)
    STALE = ("stale", True)
    SLOT_STATS = ("slots are counted", True)
    MONITORED = ("commands are told to somebody", True)
    CLUSTER_DOWN = ("cluster down", True)
    REPLICA = ("replica", False)
    FEW_REPLICAS = ("too few replicas", False)
    MEMORY = ("memory", False)
    DISK = ("disk", False)
    APPEND_ONLY = ("append-only file", False)
    IN_FLIGHT = ("keys in flight", False)

    __hash__ = object.__hash__  # that of Enum is slow, and the gates look guards up for every request

    @property
    def concerns_reads(self) -> bool:
        return self.value[1]


class Guards:
    """The conditions that hold now; `on_change` is called after each change."""

    def __init__(self) -> None:
        self._held: set[Guard] = set()
        self.on_change: Callable[[], None] = lambda: None

    def set(self, guard: Guard, holds: bool) -> None:
        if holds == (guard in self._held):
            return
        if holds:
            self._held.add(guard)
        else:
            self._held.discard(guard)
        self.on_change()

    @property
    def held(self) -> AbstractSet[Guard]:
        """Those that hold now: always the same set."""
        return self._held

    def __contains__(self, guard: Guard) -> bool:
        return guard in self._held

    @property
    def writes_only(self) -> bool:
        """Whether something holds, and concerns writes only."""
        return bool(self._held) and not any(guard.concerns_reads for guard in self._held)

    @property
    def everything(self) -> bool:
        """Whether something holds that concerns reads too."""
        return any(guard.concerns_reads for guard in self._held)
