"""Latency spikes: what took longer than latency-monitor-threshold, by the kind of event.

An event keeps its last 160 spikes, one a second: a second one within the same second counts only when it took
longer. Its worst is remembered besides. While the threshold is 0 nothing is recorded.

Events: `command` and `fast-command` (those that COMMAND INFO calls fast), `expire-cycle`, `fork`.

Source: https://redis.io/docs/management/optimization/latency-monitor/
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.config.config import Config
from node.config.table import LATENCY_MONITOR_THRESHOLD, SLOWLOG_LOG_SLOWER_THAN

SPIKES_MAX = 160
_SLOWLOG_SEES_US = 100_000
_GRAPH_COLUMNS = 80
_LEVELS = "_o#"
_GRAPH_ROWS = 4


class Spike(NamedTuple):
    """`at_s` is Unix time."""

    at_s: int
    took_ms: int


class Event:
    """The spikes of one kind, the oldest first."""

    def __init__(self) -> None:
        self.spikes: deque[Spike] = deque(maxlen=SPIKES_MAX)
        self.worst_ms = 0

    def add(self, at_s: int, took_ms: int) -> None:
        self.worst_ms = max(self.worst_ms, took_ms)
        if self.spikes and self.spikes[-1].at_s == at_s:
            took_ms = max(took_ms, self.spikes.pop().took_ms)
        self.spikes.append(Spike(at_s, took_ms))


class Latency:
    """The events of one node by name."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.events: dict[bytes, Event] = {}

    def add(self, event: bytes, took_ms: float) -> None:
        """Something took so long; it is recorded when that is a spike."""
        threshold_ms = self._config[LATENCY_MONITOR_THRESHOLD]
        if threshold_ms and took_ms >= threshold_ms:
            self.events.setdefault(event, Event()).add(int(time.time()), int(took_ms))

    def hear(self, _session: Session, command: Command, _argv: list[bytes], elapsed_ns: int) -> None:
        """A call that may have been slow: see node.observe.commandstats."""
        self.add(b"fast-command" if command.flags & Flag.FAST else b"command", elapsed_ns // 1_000_000)

    def reset(self, names: Iterable[bytes]) -> int:
        """Forgets events, all when none is named; how many there were."""
        gone = [name for name in (list(names) or list(self.events)) if self.events.pop(name, None)]
        return len(gone)

    # Reports

    def graph(self, name: bytes) -> str:
        """The spikes of an event as columns of characters, each with its age below. Raises KeyError."""
        event = self.events[name]
        shown = list(event.spikes)[-_GRAPH_COLUMNS:]
        times_ms = [spike.took_ms for spike in shown]
        high_ms, low_ms = max(times_ms), min(times_ms)
        title = f"{name.decode('utf-8', 'backslashreplace')} - high {high_ms} ms, low {low_ms} ms"
        head = f"{title} (all time high {event.worst_ms} ms)\n{'-' * _GRAPH_COLUMNS}\n"
        columns = [_column(took_ms, low_ms, high_ms) for took_ms in times_ms]
        now_s = int(time.time())
        ages = [_age(now_s - spike.at_s) for spike in shown]
        depth = max(map(len, ages))
        rows = ["".join(column[row] for column in columns) for row in range(_GRAPH_ROWS)]
        rows += ["".join(age.ljust(depth)[row] for age in ages) for row in range(depth)]
        return head + "\n".join(rows) + "\n"

    def doctor(self) -> str:
        """What was seen and what can be done about it, for people."""
        threshold_ms = self._config[LATENCY_MONITOR_THRESHOLD]
        if not self.events:
            if not threshold_ms:
                return (
                    "Spikes are not recorded: latency-monitor-threshold is 0. To record what takes 100 ms "
                    "and more: CONFIG SET latency-monitor-threshold 100\n"
                )
            return f"Nothing took {threshold_ms} ms or more since recording began.\n"
        lines = [f"Spikes were seen in {len(self.events)} kind(s) of event:", ""]
        for number, (name, event) in enumerate(sorted(self.events.items()), 1):
            lines.append(f"{number}. {name.decode()}: {_summary(event)}")
        lines += ["", "What to do:", ""]
        lines += [f"- {advice}" for advice in self._advice()]
        return "\n".join(lines) + "\n"

    def _advice(self) -> Iterable[str]:
        if self.events.keys() & {b"command", b"fast-command"}:
            slower_us = self._config[SLOWLOG_LOG_SLOWER_THAN]
            if slower_us < 0 or slower_us > _SLOWLOG_SEES_US:
                yield (
                    "The slow log is off or sees only what is very slow. CONFIG SET slowlog-log-slower-than "
                    "1000 shows commands of a millisecond and more."
                )
            else:
                yield "SLOWLOG GET shows which commands were slow and who sent them."
            yield (
                "Commands over whole collections (KEYS, SMEMBERS, HGETALL, LRANGE 0 -1, SORT) hold up all "
                "clients: SCAN and its kin read the same in small steps."
            )
            yield "Removing a large collection takes its time: UNLINK, or many smaller collections."
        if b"fast-command" in self.events:
            yield "Fast commands that are slow point at the machine: swap, or other programs on its cores."
        if b"expire-cycle" in self.events:
            yield "Many keys expire at once: spread their times to live, or lower active-expire-effort."
        if b"fork" in self.events:
            yield "The fork for a snapshot copies the page tables: smaller nodes fork faster."


def _summary(event: Event) -> str:
    times_ms = [spike.took_ms for spike in event.spikes]
    mean_ms = sum(times_ms) / len(times_ms)
    deviation_ms = sum(abs(took_ms - mean_ms) for took_ms in times_ms) / len(times_ms)
    span_s = event.spikes[-1].at_s - event.spikes[0].at_s
    every = f", one every {span_s / (len(times_ms) - 1):.1f} s" if len(times_ms) > 1 else ""
    return (
        f"{len(times_ms)} spike(s), {mean_ms:.0f} ms on average (mean deviation {deviation_ms:.0f} ms)"
        f"{every}; the worst took {event.worst_ms} ms."
    )


def _column(took_ms: int, low_ms: int, high_ms: int) -> str:
    """Characters from the top to the bottom row."""
    steps = _GRAPH_ROWS * len(_LEVELS) - 1
    level = (took_ms - low_ms) * steps // (high_ms - low_ms) if high_ms > low_ms else 0
    full, top = divmod(level, len(_LEVELS))
    return (_LEVELS[top] + "|" * full).rjust(_GRAPH_ROWS)


def _age(seconds: int) -> str:
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size_s:
            return f"{seconds // size_s}{unit}"
    return f"{max(seconds, 0)}s"
