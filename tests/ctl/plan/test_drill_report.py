"""Verdicts: what is always demanded, and what limits add."""

from __future__ import annotations

from dataclasses import replace

from ctl.plan.drill_history import Findings, Lost, Odd
from ctl.plan.drill_outage import Outage
from ctl.plan.drill_report import ClientErrors, Limits, grouped, judge

OUTAGE = Outage("s", "clients", 400, 0, 400, True, 10, 9, 8)
ERRORS = (ClientErrors("CLUSTERDOWN", 3, 1, 2, "…"),)
LOST = Findings(lost=[Lost("k", 1, 5, "n")])


def passed(
    limits: Limits, outage: Outage = OUTAGE, findings: Findings = LOST, recovered: bool = True
) -> bool:
    return all(each.passed for each in judge(limits, [outage], findings, ERRORS, recovered=recovered))


def test_without_limits_losses_and_outages_are_only_told() -> None:
    assert passed(Limits())


def test_a_cluster_must_recover_and_invent_nothing() -> None:
    odd = Odd("k", 1, None, 5, "n")
    assert not passed(Limits(), recovered=False)
    assert not passed(Limits(), findings=Findings(phantoms=[odd]))
    assert not passed(Limits(), findings=Findings(replayed=[odd]))
    assert not passed(Limits(), findings=Findings(unread=1))


def test_limits_are_inclusive() -> None:
    assert passed(Limits(unavailable_ms=400, lost=1, errors=3))
    assert not passed(Limits(unavailable_ms=399))
    assert not passed(Limits(lost=0))
    assert not passed(Limits(errors=2))


def test_an_outage_that_is_not_over_breaks_every_limit() -> None:
    assert not passed(Limits(unavailable_ms=10_000), replace(OUTAGE, over=False))


def test_clients_beside_a_minority_are_not_counted() -> None:
    assert passed(Limits(unavailable_ms=1), replace(OUTAGE, expected=False))


def test_errors_are_counted_by_kind() -> None:
    found = grouped([(5.0, "a", "late"), (1.0, "a", "early"), (2.0, "b", "x")])
    assert [(each.kind, each.count, each.first_ms, each.last_ms, each.example) for each in found] == [
        ("a", 2, 1, 5, "early"),
        ("b", 1, 2, 2, "x"),
    ]
