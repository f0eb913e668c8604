"""How long clients could not write to a shard: the time between two acknowledged writes of it.

Writers of a shard send one write after the other, so while all is well the longest such time is that of a
round trip and the writer's pause; `usual_ms`, the longest before the fault, tells how much of the rest is due
to a slow machine. What counts is the longest one that ends after the fault.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ctl.plan.drill_history import Outcome, Write


@dataclass(frozen=True, slots=True)
class Outage:
    """Of one shard, as one group of clients felt it. Times in milliseconds after the fault.

    `longest_ms` lies from `begin_ms` to `end_ms`; `over` is False when the writer ended without
    another success. `expected` is False where a group cannot be served by design: clients beside a minority.
    """

    shard: str
    clients: str
    longest_ms: float
    begin_ms: float
    end_ms: float
    over: bool
    usual_ms: float
    attempts: int
    acked: int
    expected: bool = True


def outage(
    shard: str, clients: str, writes: Sequence[Write], fault_ms: float, end_ms: float, *, expected: bool
) -> Outage:
    """`writes` are those of the shard by that group, `end_ms` when its writer stopped. Raises ValueError when
    no write was acknowledged before the fault.
    """
    done = sorted(write.done_ms for write in writes if write.outcome is Outcome.OK)
    first = bisect_left(done, fault_ms)
    if not first:
        raise ValueError(f"no write to {shard} before the fault")
    before, after = done[:first], done[first - 1 :]
    over = all(write.done_ms <= after[-1] for write in writes if write.outcome is not Outcome.OK)
    edges = after if over and len(after) > 1 else [*after, end_ms]
    gaps = [(late - early, early, late) for early, late in pairwise(edges)]
    longest, begin, end = max(gaps)
    return Outage(
        shard,
        clients,
        longest_ms=longest,
        begin_ms=begin - fault_ms,
        end_ms=end - fault_ms,
        over=over or end < edges[-1],
        usual_ms=max((late - early for early, late in pairwise(before)), default=0.0),
        attempts=len(writes),
        acked=len(done),
        expected=expected,
    )
