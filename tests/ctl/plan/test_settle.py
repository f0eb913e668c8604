"""ctl.plan.settle: when a cluster that was there already is well."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.settle import unsettled
from ctl.plan.steps import PlanError


def test_a_cluster_of_exactly_these_nodes_that_is_well(clusters: Any) -> None:
    assert unsettled(clusters.build(*clusters.three_shards())) is None


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({("a", "b"): {"link_up": False}}, "10.0.0.1:7000 is still connecting to others"),
        ({("b", "z"): {"flags": {"handshake"}}}, "10.0.0.2:7001 does not know 1 of the others"),
        ({("c", "y"): {"flags": {"fail"}}}, "10.0.0.5:7004 is failed in the eyes of others"),
        ({("x", "a"): {"slots": ()}}, "10.0.0.4:7003 and 10.0.0.1:7000 disagree who owns which slots"),
    ],
)
def test_every_view_counts(clusters: Any, edit: Any, said: str) -> None:
    assert unsettled(clusters.build(*clusters.three_shards(), edit=edit)) == said


@pytest.mark.parametrize(
    ("number", "changes", "said"),
    [
        (0, {"answers": False}, "10.0.0.1:7000 does not answer: connection refused"),
        (1, {"info": {"cluster_state": "fail"}}, "10.0.0.2:7001 says cluster_state:fail"),
        (2, {"slots": "10923-16382"}, "1 slots have no owner"),
        (5, {"info": {"master_link_status": "down"}}, "10.0.0.6:7005 is still synchronising"),
    ],
)
def test_every_node_counts(clusters: Any, number: int, changes: Any, said: str) -> None:
    specs = clusters.three_shards()
    for name, value in changes.items():
        setattr(specs[number], name, value)
    assert unsettled(clusters.build(*specs)) == said


def test_nodes_that_were_not_named_end_the_wait(clusters: Any) -> None:
    """They would not go away by waiting."""
    whole = clusters.build(*clusters.three_shards())
    part = type(whole)(whole.views[:4])
    with pytest.raises(PlanError, match=r"with others: 10\.0\.0\.5:7004, 10\.0\.0\.6:7005"):
        unsettled(part)
