"""Background work: expired keys and fields, what is left of emptied databases, rates, idle clients.

A round of active expiry takes at most `expire_slice_s`, and what is left waits for the next round, so a
million keys that end together delay nobody. When nothing is left the next round is due when the next key is,
so on an idle server a key is gone within 100 ms of its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from node.clock import Clock
from node.keyspace.database import Database, Policy
from node.keyspace.disposal import Disposal
from node.observe.stats import Stats

ROUND_MS = 100
SLICE_S = 0.002
EFFORT_SLICE_S = 0.0005  # what each further step of active-expire-effort adds
EXPIRE_BATCH = 32
EXPIRE_PAUSE_MS = 4


class Cron:
    """Runs every 100 ms, sooner while expired keys are left."""

    def __init__(
        self,
        clock: Clock,
        stats: Stats,
        databases: list[Database],
        policy: Policy,
        apply_expired: Callable[[], None],
        settle: Callable[[], None],
        disposal: Disposal,
    ) -> None:
        self._disposal = disposal
        self._clock = clock
        self._stats = stats
        self._databases = databases
        self._policy = policy
        self._apply_expired = apply_expired
        self._settle = settle
        self.expire_slice_s = SLICE_S
        self.on_expired: Callable[[float], None] = lambda _took_ms: None  # told how long each round took
        self.every_100ms: list[Callable[[], None]] = []
        self.every_second: list[Callable[[], None]] = []

    def follow_effort(self, effort: int) -> None:
        """active-expire-effort, 1 to 10: how much of the time a pile of expired keys may take."""
        self.expire_slice_s = SLICE_S + (effort - 1) * EFFORT_SLICE_S

    async def run(self) -> None:
        """The task; runs until cancelled."""
        rounds = 0
        next_round_s = time.monotonic()
        while True:
            start_s = time.monotonic()
            more = self.expire(self.expire_slice_s)
            self.on_expired((time.monotonic() - start_s) * 1000)
            more |= self._disposal.work(SLICE_S)
            if time.monotonic() >= next_round_s:
                next_round_s += ROUND_MS / 1000
                rounds += 1
                self._stats.sample()
                for work in self.every_100ms:
                    work()
                if rounds % (1000 // ROUND_MS) == 0:
                    for work in self.every_second:
                        work()
            self._settle()
            wait_s = EXPIRE_PAUSE_MS / 1000 if more else self._idle_s(next_round_s)
            await trio.sleep(max(0.0, wait_s))

    def _idle_s(self, next_round_s: float) -> float:
        wait_s = next_round_s - time.monotonic()
        now_ms = self._clock.update()
        for database in self._databases:
            for due_ms in (database.deadlines.next_ms(), database.field_deadlines.next_ms()):
                if due_ms is not None and self._policy.expires and self._policy.active_expiry:
                    wait_s = min(wait_s, max(EXPIRE_PAUSE_MS, due_ms - now_ms) / 1000)
        return wait_s

    def expire(self, slice_s: float) -> bool:
        """Removes expired keys and fields for at most `slice_s` seconds; True when some are left."""
        if not self._policy.expires or not self._policy.active_expiry:
            return False
        now_ms = self._clock.update()
        end_s = time.monotonic() + slice_s
        for database in self._databases:
            while _expire_some(database, now_ms):
                self._apply_expired()
                if time.monotonic() > end_s:
                    self._stats.expire_cycles_cut += 1
                    return True
        return False


def _expire_some(database: Database, now_ms: int) -> bool:
    """Removes a batch; False when nothing was due."""
    found = bool(database.deadlines.at and database.expire_due(now_ms, EXPIRE_BATCH))
    if database.field_deadlines.at and database.expire_due_fields(now_ms, EXPIRE_BATCH):
        found = True
    return found
