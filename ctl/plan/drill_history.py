"""What a drill's clients did to each key, and which of it a cluster took back.

A key has one writer, which sends one write at a time, and every write has a number that is larger than all
before it. A write is `SET key number GET`: its reply names the value that it replaced. So a history needs no
guess: from the value that is there at the end, each acknowledged write leads to the one before it, and this
*chain* is what the cluster has really kept. An acknowledged write that is not on the chain is lost, even if
later writes have long covered the place where it should be.

A write without a reply (`UNKNOWN`) may have been done or not; both are well. When the chain passes through
one, what it replaced was never told: the chain goes on at the acknowledged write before it, and the place is
counted as `undecided`, since losses right before it would not be seen.

    lost       acknowledged, and not on the chain
    stale      a read that began after a write of the chain was acknowledged, and found an older one
    vanished   a read that found a value which was lost later
    phantom    a value that nobody had sent by then, or of a write that was refused with an error
    replayed   a value that came back after it had been replaced
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How a write ended for the client that sent it."""

    OK = "ok"
    REFUSED = "refused"  # an error reply, or never sent
    UNKNOWN = "unknown"  # sent, and no reply came


FOREIGN = -1  # a value that no drill of this run has written


@dataclass(frozen=True, slots=True)
class Write:
    """Times in milliseconds on the drill's clock. `replaced` is the number that the reply named, None for
    no value, FOREIGN for one that is not ours; only of an OK write. `node` is who answered.
    """

    key: str
    number: int
    sent_ms: float
    done_ms: float
    outcome: Outcome
    replaced: int | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """A value found: its number, None for no value, or FOREIGN."""

    key: str
    sent_ms: float
    done_ms: float
    found: int | None
    node: str = ""


@dataclass(frozen=True)
class History:
    """What was done. `final` has the values of all keys that could be read when all was over."""

    writes: tuple[Write, ...]
    reads: tuple[Read, ...]
    final: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Lost:
    """An acknowledged write that the cluster did not keep."""

    key: str
    number: int
    acked_ms: float
    node: str


@dataclass(frozen=True, slots=True)
class Odd:
    """A value that a client should not have seen, when all was over if `at_ms` is None. `expected` is what
    the key held by then, if known.
    """

    key: str
    found: int | None
    expected: int | None
    at_ms: float | None
    node: str


@dataclass
class Findings:
    """Of all keys. `unread` counts keys that could not be read at the end: their chain begins at the last
    acknowledged write instead.
    """

    writes: int = 0
    acked: int = 0
    refused: int = 0
    unknown: int = 0
    reads: int = 0
    keys: int = 0
    unread: int = 0
    undecided: int = 0
    lost: list[Lost] = field(default_factory=list)
    stale: list[Odd] = field(default_factory=list)
    vanished: list[Odd] = field(default_factory=list)
    phantoms: list[Odd] = field(default_factory=list)
    replayed: list[Odd] = field(default_factory=list)


def check(history: History) -> Findings:
    """Raises ValueError for a number that was used twice for a key."""
    findings = Findings(writes=len(history.writes), reads=len(history.reads))
    writes: dict[str, list[Write]] = {}
    reads: dict[str, list[Read]] = {}
    for write in history.writes:
        writes.setdefault(write.key, []).append(write)
    for read in history.reads:
        reads.setdefault(read.key, []).append(read)
    for key in sorted(writes.keys() | reads.keys() | history.final.keys()):
        _Key(key, writes.get(key, []), findings).check(history, reads.get(key, []))
    findings.lost.sort(key=lambda lost: lost.acked_ms)
    return findings


class _Key:
    """One key's part of the history."""

    def __init__(self, key: str, writes: list[Write], findings: Findings) -> None:
        self._key = key
        self._findings = findings
        self._writes = {write.number: write for write in writes}
        if len(self._writes) != len(writes):
            raise ValueError(f"a number was used twice for {key}")
        self._acked = sorted(write.number for write in writes if write.outcome is Outcome.OK)
        findings.keys += 1
        findings.acked += len(self._acked)
        findings.refused += sum(write.outcome is Outcome.REFUSED for write in writes)
        findings.unknown += sum(write.outcome is Outcome.UNKNOWN for write in writes)

    def check(self, history: History, reads: Iterable[Read]) -> None:
        last = self._acked[-1] if self._acked else None
        if self._key in history.final:
            end = history.final[self._key]
            self._judge_value(end, None, last, "")
        else:
            self._findings.unread += 1
            end = last
        chain = self._chain(end)
        for number in self._acked:
            if number not in chain:
                write = self._writes[number]
                self._findings.lost.append(Lost(self._key, number, write.done_ms, write.node))
        self._check_reads(reads, chain)

    def _chain(self, end: int | None) -> set[int]:
        """The numbers of the writes that were kept, in the last place or covered by a later one."""
        chain: set[int] = set()
        at = end
        while at is not None and (write := self._writes.get(at)) is not None:
            if at in chain:
                self._findings.replayed.append(Odd(self._key, at, None, write.done_ms, write.node))
                break
            chain.add(at)
            if write.outcome is Outcome.OK:
                at = write.replaced
                self._judge_value(at, write.done_ms, None, write.node)
            else:
                self._findings.undecided += 1
                place = bisect_left(self._acked, at)
                at = self._acked[place - 1] if place else None
        return chain

    def _check_reads(self, reads: Iterable[Read], chain: set[int]) -> None:
        kept = [self._writes[number] for number in sorted(chain)]
        acked = [write for write in kept if write.outcome is Outcome.OK]
        done = [write.done_ms for write in acked]
        for read in reads:
            place = bisect_left(done, read.sent_ms)
            expected = acked[place - 1].number if place else None
            odd = Odd(self._key, read.found, expected, read.done_ms, read.node)
            if self._judge_value(read.found, read.done_ms, expected, read.node):
                continue
            if read.found is not None and read.found not in chain:
                self._findings.vanished.append(odd)
            elif expected is not None and (read.found is None or read.found < expected):
                self._findings.stale.append(odd)

    def _judge_value(self, found: int | None, seen_ms: float | None, expected: int | None, node: str) -> bool:
        """Notes a phantom, and says whether it was one."""
        if found is None:
            return False
        write = self._writes.get(found)
        early = write is not None and seen_ms is not None and write.sent_ms > seen_ms
        if write is None or write.outcome is Outcome.REFUSED or early:
            self._findings.phantoms.append(Odd(self._key, found, expected, seen_ms, node))
            return True
        return False
