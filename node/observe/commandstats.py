"""How long commands take: INFO commandstats and latencystats, LATENCY HISTOGRAM, and who is told of slow
calls.

To read a clock twice for each command would cost a pipelined GET a tenth. Requests differ in what can be
learned from it. One that takes the same short time whatever it says (`Command.short_words`: few words for a
command flagged fast, and SET) is timed in *runs*: as long as a client's requests in hand are for the same
command, one reading begins the run and one ends it, and each call of it counts with the mean. Their sum is
right, dispatch included. Every other request, one that is alone in a chunk, and whatever runs inside a
transaction or a script, is timed alone. So the times of a client that does not pipeline are always exact.

Only a call that was timed alone can be told to be slow. When somebody asks for slow ones below `RUNS_FROM_NS`
(slowlog-log-slower-than, latency-monitor-threshold), all are timed alone, and pay for it.

`times` of a command counts calls in units of 128 ns, as many as differ; once a second those of a command with
many are made coarser (`Timing.compact`), to 1/64 of their size.

Source: https://redis.io/commands/info/, https://redis.io/commands/latency-histogram/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from node.command.registry import TIME_UNIT_BITS, Command, Table
from node.command.session import Session
from node.config import table as directives
from node.config.config import Config
from node.observe.info import Fields

RUNS_FROM_NS = 1_000_000
_NEVER_NS = 1 << 62
_TIMES_MAX = 512
_EXACT_BITS = 6
_FIRST_BUCKET_BITS = 10 - TIME_UNIT_BITS  # 1024 ns

OnSlow = Callable[[Session, Command, list[bytes], int], None]
"""Session, command, request, nanoseconds."""


class Timing:
    """Takes the times. Whoever is in `on_slow` is told of calls of at least `slow_ns`.

    Without `tracking` (latency-tracking) nobody is shown how `times` are distributed.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.on_slow: list[OnSlow] = []
        self.slow_ns = _NEVER_NS
        self.by_run = True
        self.tracking = True
        config.on_change_of(
            (
                directives.SLOWLOG_LOG_SLOWER_THAN,
                directives.LATENCY_MONITOR_THRESHOLD,
                directives.LATENCY_TRACKING,
            ),
            self._follow,
        )
        self._follow()

    def _follow(self) -> None:
        config = self._config
        slow_us, spike_ms = (
            config[directives.SLOWLOG_LOG_SLOWER_THAN],
            config[directives.LATENCY_MONITOR_THRESHOLD],
        )
        wanted_ns = [slow_us * 1000] if slow_us >= 0 else []
        if spike_ms:
            wanted_ns.append(spike_ms * 1_000_000)
        self.slow_ns = min(wanted_ns, default=_NEVER_NS)
        self.by_run = self.slow_ns >= RUNS_FROM_NS
        self.tracking = config[directives.LATENCY_TRACKING]

    def note(
        self, session: Session, command: Command, argv: list[bytes], elapsed_ns: int, count: int
    ) -> None:
        """`count` calls of `command`, of which `argv` was the first, took `elapsed_ns` together."""
        command.times[(elapsed_ns // count if count > 1 else elapsed_ns) >> TIME_UNIT_BITS] += count
        if elapsed_ns >= self.slow_ns and count == 1:
            self.tell(session, command, argv, elapsed_ns)

    def tell(self, session: Session, command: Command, argv: list[bytes], elapsed_ns: int) -> None:
        """A call took at least `slow_ns`."""
        for hear in self.on_slow:
            hear(session, command, argv, elapsed_ns)

    def compact(self, table: Table) -> None:
        """Called by the cron: a second adds few thousand different times, which must not add up."""
        for command in table.walk():
            if len(command.times) > _TIMES_MAX:
                coarser: defaultdict[int, int] = defaultdict(int)
                for time, count in command.times.items():
                    coarser[_coarse(time)] += count
                command.times = coarser


def _coarse(time: int) -> int:
    """The middle of the step that `time` is in; steps are 1/64 of the time."""
    shift = time.bit_length() - 1 - _EXACT_BITS
    if shift <= 0:
        return time
    return time >> shift << shift | 1 << shift - 1


# What INFO tells


def command_lines(table: Table) -> Fields:
    """INFO commandstats."""
    for command in table.walk():
        if command.calls or command.rejected_calls or command.failed_calls:
            busy_us = total_us(command.times)
            yield (
                f"cmdstat_{command.title.decode()}",
                f"calls={command.calls},usec={int(busy_us)},"
                f"usec_per_call={busy_us / max(command.calls, 1):.2f},"
                f"rejected_calls={command.rejected_calls},failed_calls={command.failed_calls}",
            )


def total_us(times: dict[int, int]) -> float:
    """What calls took together, each taken for the middle of its unit."""
    units = sum((2 * time + 1) * count for time, count in times.items())
    return (units << TIME_UNIT_BITS) / 2000


def percentile_lines(config: Config, table: Table) -> Fields:
    """INFO latencystats."""
    wanted = config[directives.LATENCY_TRACKING_INFO_PERCENTILES]
    if not config[directives.LATENCY_TRACKING]:
        return
    for command in table.walk():
        if command.times:
            values = percentiles_us(command.times, wanted)
            told = ",".join(
                f"p{_short(percent)}={us:.3f}" for percent, us in zip(wanted, values, strict=True)
            )
            yield f"latency_percentiles_usec_{command.title.decode()}", told


def _short(percent: float) -> str:
    return f"{percent:f}".rstrip("0").rstrip(".")


def percentiles_us(times: dict[int, int], wanted: Iterable[float]) -> list[float]:
    """For each percentage a time in microseconds that so many calls did not exceed."""
    total = sum(times.values())
    ordered = sorted(times.items())
    found = []
    for percent in wanted:
        rank = max(1, -int(-percent * total // 100))
        for time, count in ordered:
            rank -= count
            if rank <= 0:
                found.append(((time + 1 << TIME_UNIT_BITS) - 1) / 1000)
                break
    return found


def histogram_us(times: dict[int, int]) -> list[tuple[int, int]]:
    """(microseconds, calls that took no longer), by powers of two; those that add no call are left out.

    A microsecond has 1024 nanoseconds here, as in redis-server.
    """
    buckets: defaultdict[int, int] = defaultdict(int)
    for time, count in times.items():
        buckets[max(0, time.bit_length() - _FIRST_BUCKET_BITS)] += count
    told, total = [], 0
    for power in sorted(buckets):
        total += buckets[power]
        told.append((1 << power, total))
    return told
