"""ctl.plan.leftover"""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.change import Move
from ctl.plan.leftover import plan_leftover
from ctl.plan.steps import PlanError
from gossip.slots import SlotSet


def test_nothing_is_open(clusters: Any) -> None:
    assert plan_leftover(clusters.build(*clusters.three_shards())) is None


def test_either_end_tells_both(clusters: Any) -> None:
    a, b, c = map(clusters.node_id, "abc")
    edit = {
        ("a", "a"): {"migrating": {5: b, 6: b}},
        ("b", "b"): {"importing": {5: a}},
        ("c", "c"): {"importing": {7: a}},
    }
    change = plan_leftover(clusters.build(*clusters.three_shards(), edit=edit))
    assert change is not None
    assert change.steps == (Move(a, b, SlotSet([5, 6])), Move(a, c, SlotSet([7])))


def test_a_slot_that_is_open_three_ways_is_for_fix(clusters: Any) -> None:
    a, b = clusters.node_id("a"), clusters.node_id("b")
    edit = {("a", "a"): {"migrating": {5: b}}, ("c", "c"): {"importing": {5: a}}}
    with pytest.raises(PlanError, match="slots 5 are open between more than two") as caught:
        plan_leftover(clusters.build(*clusters.three_shards(), edit=edit))
    assert "fix" in caught.value.hint
