"""Counters of INFO's stats, clients and errorstats sections."""

from __future__ import annotations

import time
from collections import Counter, deque


class Rate:
    """A counter's rate per second: the mean of the last sixteen samples, as Redis's instantaneous metrics."""

    __slots__ = ("_last", "_last_s", "_samples")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=16)
        self._last = 0
        self._last_s = time.monotonic()

    def sample(self, total: int) -> None:
        now_s = time.monotonic()
        if total < self._last:
            self._last = 0  # the counter was reset
        if now_s > self._last_s:
            self._samples.append((total - self._last) / (now_s - self._last_s))
        self._last, self._last_s = total, now_s

    def per_second(self) -> float:
        return sum(self._samples) / len(self._samples) if self._samples else 0.0


class Stats:
    """Totals since the start or the last CONFIG RESETSTAT."""

    def __init__(self) -> None:
        self.started_s = time.time()
        self.command_rate = Rate()
        self.input_rate = Rate()
        self.output_rate = Rate()
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections_received = 0
        self.connections_rejected = 0
        self.commands_processed = 0
        self.input_bytes = 0
        self.output_bytes = 0
        self.replication_input_bytes = 0
        self.replication_output_bytes = 0
        self.sync_full = 0
        self.sync_partial_ok = 0
        self.sync_partial_err = 0
        self.evicted_keys = 0
        self.evicted_clients = 0
        self.expire_cycles_cut = 0
        self.query_buffer_disconnections = 0
        self.output_buffer_disconnections = 0
        self.unexpected_error_replies = 0
        self.errors: Counter[bytes] = Counter()
        self.error_replies = 0
        self.reads_processed = 0
        self.writes_processed = 0

    def count_error(self, text: bytes) -> None:
        """`text` is an error reply without its dash; its first word is the code."""
        self.error_replies += 1
        code = text.split(b" ", 1)[0]
        if len(self.errors) < 128 or code in self.errors:
            self.errors[code] += 1

    def sample(self) -> None:
        """Called by the cron every 100 ms."""
        self.command_rate.sample(self.commands_processed)
        self.input_rate.sample(self.input_bytes)
        self.output_rate.sample(self.output_bytes)
