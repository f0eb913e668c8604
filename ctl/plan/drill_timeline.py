"""What happened when, from the lines that nodes log: the same words in Shoal, Redis and Valkey.

A `Mark` is one thing that one node said or that was seen of it, with its time on the drill's clock: 0 is the
moment of the fault. Node ids are replaced by addresses, so that a reader sees who is meant.

Source: the log lines of cluster and replication in redis-server 7; they carry local time in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ctl.plan.watch import Happening

Kind = Literal[
    "fault", "healed", "step", "pfail", "report", "fail", "fail-heard", "delay", "election", "vote", "denied",
    "promoted", "manual", "unable", "paused", "cleared", "state", "demoted", "link", "synced", "ready",
    "disk", "switch", "write", "seen",
]  # fmt: skip

_LINE = re.compile(r"\d+:[A-Z] (\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}) [.\-*#] (.*)")
_NODE_ID = re.compile(r"\b[0-9a-f]{40}\b(?: \([^)]*\))?")
_SAYINGS: tuple[tuple[Kind, str], ...] = (
    ("pfail", "possibly failing"),
    ("report", "as not reachable"),
    ("fail", "as failing (quorum reached)"),
    ("fail-heard", "FAIL message received from"),
    ("delay", "Start of election delayed"),
    ("election", "Starting a failover election"),
    ("vote", "Failover auth granted to"),
    ("denied", "Failover auth denied to"),
    ("promoted", "Failover election won"),
    ("manual", "anual failover"),
    ("unable", "Currently unable to failover"),
    ("paused", "This node was paused for"),
    ("cleared", "Clear FAIL state for node"),
    ("state", "Cluster state changed"),
    ("demoted", "Reconfiguring myself as a replica"),
    ("link", "Connection with master lost"),
    ("synced", "sync: Finished with success"),
    ("synced", "Successful partial resynchronization"),
    ("ready", "Ready to accept connections"),
    ("disk", "AOF fsync is taking too long"),
    ("switch", "DEBUG FAULT"),
)
_SEEN: Mapping[str, Kind] = {"suspected": "pfail", "failed": "fail", "recovered": "cleared", "state": "state"}


@dataclass(frozen=True, slots=True)
class Mark:
    """`node` is an address, or empty for what clients or ctl saw. `source`: log, poll, clients or ctl."""

    at_ms: float
    node: str
    kind: Kind
    text: str
    source: Literal["log", "poll", "clients", "ctl"] = "log"


def marks_of(lines: Iterable[str], node: str, names: Mapping[str, str], fault_at_s: float) -> list[Mark]:
    """The marks in one node's log. `names` gives addresses by node id, `fault_at_s` is Unix time."""
    found = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or (kind := _kind(match[2])) is None:
            continue
        at_s = datetime.strptime(match[1], "%d %b %Y %H:%M:%S.%f").timestamp()
        text = _NODE_ID.sub(lambda found: names.get(found[0][:40], found[0][:8]), match[2])
        found.append(Mark((at_s - fault_at_s) * 1000, node, kind, text.strip("* ").rstrip(".")))
    return found


def mark_of(happening: Happening, names: Mapping[str, str], at_ms: float) -> Mark:
    """What polling has seen, for nodes whose logs nobody can read."""
    node = names.get(happening.nodes[0], "") if happening.nodes else ""
    kind = _SEEN.get(happening.kind, "seen")
    if happening.kind == "role" and "primary" in happening.text:
        kind = "promoted"
    return Mark(at_ms, node, kind, happening.text, "poll")


def _kind(text: str) -> Kind | None:
    return next((kind for kind, saying in _SAYINGS if saying in text), None)


@dataclass(frozen=True, slots=True)
class Milestone:
    """The first of its kind after the fault."""

    name: str
    at_ms: float
    node: str


_MILESTONES: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("fault", ("fault",)),
    ("first PFAIL", ("pfail",)),
    ("FAIL", ("fail", "fail-heard")),
    ("election", ("election",)),
    ("first vote", ("vote",)),
    ("promotion", ("promoted",)),
    ("first accepted write", ("write",)),
    ("healed", ("healed",)),
)


def milestones(marks: Sequence[Mark]) -> list[Milestone]:
    """Of `marks` in any order: those that were reached, in the order of a fail-over."""
    found = []
    for name, kinds in _MILESTONES:
        reached = [mark for mark in marks if mark.kind in kinds and mark.at_ms >= 0]
        if reached:
            first = min(reached, key=lambda mark: mark.at_ms)
            found.append(Milestone(name, first.at_ms, first.node))
    return found


def condensed(marks: Iterable[Mark]) -> list[Mark]:
    """In order of time, without what a node repeats: elections that it cannot begin, polls of one state."""
    kept: list[Mark] = []
    last: dict[tuple[str, str], str] = {}
    for mark in sorted(marks, key=lambda mark: mark.at_ms):
        if last.get((mark.node, mark.kind)) == mark.text and mark.kind in (
            "unable",
            "link",
            "report",
            "disk",
        ):
            continue
        last[(mark.node, mark.kind)] = mark.text
        kept.append(mark)
    return kept
