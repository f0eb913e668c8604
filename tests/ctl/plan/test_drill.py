"""Whom a drill harms, and what it refuses before it harms anybody."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.errors import CtlError, UsageError
from ctl.plan.drill import Drill, plan_drill
from ctl.plan.steps import PlanError


def names(members: Any) -> list[int]:
    return [member.address.port - 7000 for member in members]


def planned(clusters: Any, kind: Any, **options: Any) -> Drill:
    return plan_drill(clusters.build(*clusters.three_shards()), kind, node_timeout_ms=2000, **options)


def test_the_first_primary_with_a_replica_is_killed_unless_another_is_named(clusters: Any) -> None:
    assert names(planned(clusters, "kill").victims) == [0]
    assert names(planned(clusters, "kill", nodes=["7002"]).victims) == [2]
    specs = clusters.three_shards()
    del specs[3]  # the replica of the first
    assert names(plan_drill(clusters.build(*specs), "kill").victims) == [1]


def test_a_fault_lasts_longer_than_its_detection(clusters: Any) -> None:
    assert planned(clusters, "kill").duration_s == 5.0
    with pytest.raises(UsageError, match="not longer than the node time-out"):
        planned(clusters, "pause", duration_s=2.0)


@pytest.mark.parametrize(
    ("sides", "expected", "majority"),
    [
        ([], [[0], [3, 1, 4, 2, 5]], 1),
        (["7000,7001"], [[0, 1], [3, 4, 2, 5]], 0),
        (["7000|7001,7002|7003,7004,7005"], [[0], [1, 2], [3, 4, 5]], 1),
        (["7000", "7001", "7002"], [[0], [1], [2], [3, 4, 5]], None),
    ],
)
def test_sides_of_a_partition(
    clusters: Any, sides: list[str], expected: list[list[int]], majority: int | None
) -> None:
    drill = planned(clusters, "partition", sides=sides)
    assert [names(side) for side in drill.sides] == expected
    assert drill.majority == majority
    assert any("are lost" in risk for risk in drill.risks)


@pytest.mark.parametrize(
    ("sides", "error"),
    [
        (["7000,7000"], "named twice"),
        (["7000", "7000"], "named twice"),
        (["7000|"], "names no node"),
        (["7009"], "no node 7009"),
        (["7000,7001,7002,7003,7004,7005"], "two sides or more"),
    ],
)
def test_sides_that_make_no_sense(clusters: Any, sides: list[str], error: str) -> None:
    with pytest.raises(CtlError, match=error):
        planned(clusters, "partition", sides=sides)


def test_a_rolling_restart_takes_replicas_first(clusters: Any) -> None:
    assert names(planned(clusters, "restart-rolling").victims) == [3, 4, 5, 0, 1, 2]
    assert names(planned(clusters, "restart-rolling", nodes=["7001", "7004"]).victims) == [4, 1]


def test_risks_are_told(clusters: Any) -> None:
    specs = [clusters.node("a", slots="0-8191", epoch=1), clusters.node("b", slots="8192-16383", epoch=2)]
    risks = " ".join(plan_drill(clusters.build(*specs), "kill").risks)
    assert "has no replica" in risks
    assert "no majority of primaries is left" in risks


def test_a_sick_cluster_is_not_drilled(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[4].answers = False
    with pytest.raises(PlanError, match="the cluster is not well"):
        plan_drill(clusters.build(*specs), "kill")
    specs = clusters.three_shards()
    specs[4].info = {"master_link_status": "down"}
    with pytest.raises(PlanError, match="not in step"):
        plan_drill(clusters.build(*specs), "kill")
