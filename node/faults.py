"""Faults on purpose: what DEBUG FAULT makes a node suffer, for drills that have no privileges.

Two kinds. Peers may be *cut off*: frames of the bus to and from them vanish, as in a network that loses
everything (nobody is told, connections stay open until somebody gives up), and connections to them for
replication, MIGRATE and migrations end and are not made. And the disk may be *slow*: each sync of the AOF or
of nodes.conf takes so much longer. Every fault ends by itself after the time it was given: whoever asked for
it may have died since.

A node without faults pays a look at an empty set for each frame and nothing for a command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

FOR_MS_MAX = 3_600_000
SYNC_DELAY_MS_MAX = 60_000
_SLICE_S = 0.05  # so that a sync that sleeps hears of the end


class Cancellable(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None: ...


class Faults:
    """`after` schedules a callback in so many milliseconds. `on_cut` and `on_healed` are told the peers."""

    def __init__(self, after: Callable[[int, Callable[[], None]], Cancellable]) -> None:
        self._after = after
        self._timers: dict[str, Cancellable] = {}
        self.cut: frozenset[str] = frozenset()
        self.sync_delay_ms = 0
        self.on_cut: list[Callable[[frozenset[str]], None]] = []
        self.on_healed: list[Callable[[frozenset[str]], None]] = []

    def cut_off(self, peers: frozenset[str], for_ms: int) -> None:
        """Exactly these peers (node ids, `host:port` of clients' ports), until healed or `for_ms` is over."""
        self.join()
        self.cut = peers
        self._timers["cut"] = self._after(for_ms, self.join)
        for told in self.on_cut:
            told(peers)

    def join(self) -> None:
        """Nobody is cut off any more."""
        self._forget("cut")
        peers, self.cut = self.cut, frozenset()
        if peers:
            for told in self.on_healed:
                told(peers)

    def slow_down(self, delay_ms: int, for_ms: int) -> None:
        """Every sync takes `delay_ms` longer, until healed or `for_ms` is over."""
        self.speed_up()
        self.sync_delay_ms = delay_ms
        self._timers["disk"] = self._after(for_ms, self.speed_up)

    def speed_up(self) -> None:
        """The disk is as fast as it is."""
        self._forget("disk")
        self.sync_delay_ms = 0

    def heal(self) -> None:
        """No fault is left."""
        self.join()
        self.speed_up()

    def may_reach(self, host: str, port: int) -> bool:
        """Whether a connection to that clients' port may be made."""
        return not self.cut or f"{host}:{port}" not in self.cut

    def before_sync(self) -> None:
        """Called before each sync, in whatever thread: takes the time that a slow disk would."""
        waited_s = 0.0
        while (left_s := self.sync_delay_ms / 1000 - waited_s) > 0:
            pause_s = min(left_s, _SLICE_S)
            time.sleep(pause_s)
            waited_s += pause_s

    def _forget(self, what: str) -> None:
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()
