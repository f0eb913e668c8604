"""A drill's report as sections of sentences and tables: what the terminal and the pages show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ctl.plan.drill_report import Report
from ctl.render.words import plural

LISTED_MAX = 20
MARKS_MAX = 60
# Of little use to whoever reads for the first time; --json has them.
_DETAILS = frozenset(("report", "ready", "unable", "switch"))
# In a rolling restart every step has its fail-over, so what such a one is made of would hide the steps.
_STEPS = frozenset(("fault", "step", "promoted", "synced", "fail", "write"))


@dataclass(frozen=True, slots=True)
class Section:
    """`rows` have as many cells as `headings`; `sentences` stand before them."""

    title: str
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...] = ()


def verdict_word(report: Report) -> str:
    return "PASSED" if report.passed else "FAILED"


def sections(report: Report) -> list[Section]:
    """In the order in which a reader asks: how did it end, what happened, whom did it hurt."""
    return [
        _verdict(report),
        _milestones(report),
        _outages(report),
        _writes(report),
        *_errors(report),
        _timeline(report),
    ]


def heading(report: Report) -> str:
    return f"Drill {report.drill.kind}: {report.drill.title}"


def _verdict(report: Report) -> Section:
    rows = [
        (each.what, each.allowed, each.found, "ok" if each.passed else "FAILED") for each in report.verdict
    ]
    began = datetime.fromtimestamp(report.began_at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    sides = report.drill.sides
    where = plural(sum(map(len, sides)), "node") + f" ({', '.join(report.servers)})"
    sentences = [
        f"{began}, {where}, node time-out {report.node_timeout_ms} ms; "
        f"{plural(report.writers, 'writer')}, time-out of clients {report.client_timeout_ms} ms."
    ]
    sentences += [
        f"Side {at}: {', '.join(member.name for member in side)}"
        + (" (majority)" if at - 1 == report.drill.majority else "")
        for at, side in enumerate(sides, 1)
        if len(sides) > 1
    ]
    if report.interrupted:
        sentences.append("Interrupted: the fault was healed before its time.")
    sentences += report.notes
    return Section(
        f"Verdict: {verdict_word(report)}", ("what", "allowed", "found", ""), tuple(rows), tuple(sentences)
    )


def _milestones(report: Report) -> Section:
    rows = [(_ms(each.at_ms), each.name, each.node) for each in report.milestones]
    return Section("Milestones", ("ms", "what", "where"), tuple(rows))


def _outages(report: Report) -> Section:
    rows = [
        (
            each.shard,
            each.clients,
            _ms(each.longest_ms) + ("" if each.over else ", not over"),
            f"{_ms(each.begin_ms)} to {_ms(each.end_ms)}",
            _ms(each.usual_ms),
            f"{each.acked} of {each.attempts}",
            "" if each.expected else "not judged: beside a minority",
        )
        for each in report.outages
    ]
    headings = ("shard", "clients", "ms without a write", "when", "before", "acknowledged", "")
    return Section("Time without an acknowledged write", headings, tuple(rows))


def _writes(report: Report) -> Section:
    found = report.findings
    sentences = [
        f"{plural(found.writes, 'write')} of {plural(found.keys, 'key')}: {found.acked} acknowledged, "
        f"{found.refused} refused, {found.unknown} without a reply; {plural(found.reads, 'read')}.",
        f"{len(found.lost)} acknowledged writes lost, {len(found.stale)} stale reads, "
        f"{len(found.vanished)} reads of values that were lost later, {len(found.phantoms)} phantom values, "
        f"{len(found.replayed)} that came back.",
    ]
    if found.undecided:
        sentences.append(
            f"{plural(found.undecided, 'write')} without a reply took effect; what was replaced is unknown."
        )
    rows = [
        ("lost", each.key, str(each.number), _ms(each.acked_ms), each.node)
        for each in found.lost[:LISTED_MAX]
    ]
    for kind, odd in (("stale", found.stale), ("phantom", found.phantoms), ("came back", found.replayed)):
        rows += [(kind, each.key, str(each.found), _ms(each.at_ms), each.node) for each in odd[:LISTED_MAX]]
    if len(found.lost) > LISTED_MAX:
        sentences.append(f"The first {LISTED_MAX} lost ones are listed; --json has all.")
    return Section("Writes", ("what", "key", "number", "ms", "node"), tuple(rows), tuple(sentences))


def _errors(report: Report) -> Sequence[Section]:
    rows = [
        (each.kind, str(each.count), f"{_ms(each.first_ms)} to {_ms(each.last_ms)}", each.example)
        for each in report.errors
    ]
    return [Section("Errors of clients", ("kind", "count", "when", "the first"), tuple(rows))] if rows else []


def _timeline(report: Report) -> Section:
    rolling = report.drill.kind == "restart-rolling"
    marks = [
        mark
        for mark in report.marks
        if mark.at_ms >= 0 and (mark.kind in _STEPS if rolling else mark.kind not in _DETAILS)
    ]
    rows = [(_ms(mark.at_ms), mark.node or mark.source, mark.text) for mark in marks[:MARKS_MAX]]
    left = len(marks) - len(rows)
    sentences = (f"{plural(left, 'line')} more in --json.",) if left else ()
    return Section("Time line, in ms after the fault", ("ms", "where", "what"), tuple(rows), sentences)


def _ms(value: float | None) -> str:
    return "end" if value is None else str(round(value))
