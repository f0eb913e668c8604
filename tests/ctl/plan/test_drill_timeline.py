"""Marks from the lines of real logs, and the milestones among them."""

from __future__ import annotations

from datetime import datetime

import pytest

from ctl.plan.drill_timeline import Mark, condensed, mark_of, marks_of, milestones
from ctl.plan.watch import Happening

A, B = "a" * 40, "b" * 40
NAMES = {A: "127.0.0.1:7000", B: "127.0.0.1:7001"}
FAULT_AT_S = datetime(2026, 11, 21, 10, 54, 12).timestamp()


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        (f". *** NODE {A} possibly failing", "pfail", "NODE 127.0.0.1:7000 possibly failing"),
        (f"* Marking node {A} () as failing (quorum reached).", "fail",
         "Marking node 127.0.0.1:7000 as failing (quorum reached)"),
        (f"# FAIL message received from {B} about {A}", "fail-heard",
         "FAIL message received from 127.0.0.1:7001 about 127.0.0.1:7000"),
        ("# Starting a failover election for epoch 7.", "election",
         "Starting a failover election for epoch 7"),
        (f"# Failover auth granted to {B} for epoch 7", "vote",
         "Failover auth granted to 127.0.0.1:7001 for epoch 7"),
        ("# Failover election won: I'm the new master.", "promoted",
         "Failover election won: I'm the new master"),
        (f"* Clear FAIL state for node {'c' * 40}: replica is reachable again.", "cleared",
         "Clear FAIL state for node cccccccc: replica is reachable again"),
    ],
)  # fmt: skip
def test_lines_of_a_log(line: str, kind: str, text: str) -> None:
    [mark] = marks_of([f"4711:S 21 Nov 2026 10:54:15.250 {line}"], "127.0.0.1:7002", NAMES, FAULT_AT_S)
    assert (mark.at_ms, mark.node, mark.kind, mark.text) == (3250, "127.0.0.1:7002", kind, text)


def test_lines_that_say_nothing_of_interest_are_left_out() -> None:
    lines = ["", "a banner", "4711:M 21 Nov 2026 10:54:15.250 * DB saved on disk", "4711:M nonsense"]
    assert marks_of(lines, "n", NAMES, FAULT_AT_S) == []


def test_milestones_are_the_first_of_their_kind_after_the_fault() -> None:
    marks = [
        Mark(0, "", "fault", ""), Mark(-5, "x", "pfail", ""), Mark(300, "b", "pfail", ""),
        Mark(200, "a", "pfail", ""), Mark(400, "c", "fail-heard", ""), Mark(390, "d", "fail", ""),
    ]  # fmt: skip
    assert [(each.name, each.at_ms, each.node) for each in milestones(marks)] == [
        ("fault", 0, ""), ("first PFAIL", 200, "a"), ("FAIL", 390, "d"),
    ]  # fmt: skip


def test_polling_tells_the_same_kinds_as_logs() -> None:
    kinds = {
        mark_of(Happening("suspected", "x is PFAIL", (A,)), NAMES, 1).kind,
        mark_of(Happening("failed", "x is FAIL", (A,)), NAMES, 1).kind,
        mark_of(Happening("role", "x is a primary now", (A,)), NAMES, 1).kind,
    }
    assert kinds == {"pfail", "fail", "promoted"}
    mark = mark_of(Happening("role", "x is a replica of y now", (A,)), NAMES, 7)
    assert (mark.kind, mark.node, mark.at_ms, mark.source) == ("seen", "127.0.0.1:7000", 7, "poll")


def test_what_a_node_repeats_is_told_once() -> None:
    marks = [Mark(2, "a", "unable", "waiting"), Mark(1, "a", "unable", "waiting"), Mark(3, "b", "vote", "x")]
    assert [mark.at_ms for mark in condensed(marks)] == [1, 3]
