"""ctl.plan.reshard and ctl.plan.moves"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.plan.moves import parse_slots
from ctl.plan.reshard import plan_reshard, proportional
from ctl.plan.steps import PlanError
from gossip.slots import SlotSet


def refusal(*arguments: Any) -> str:
    with pytest.raises(PlanError) as caught:
        plan_reshard(*arguments)
    return caught.value.text


def test_a_number_is_taken_from_all_in_proportion_and_from_their_ends(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    moves = plan_reshard(snapshot, ["all"], "7000", 1000, None)
    assert [(m.source, m.target) for m in moves] == [
        (clusters.node_id("b"), clusters.node_id("a")),
        (clusters.node_id("c"), clusters.node_id("a")),
    ]
    assert [str(m.slots) for m in moves] == ["10423-10922", "15884-16383"]


def test_slots_are_named_and_their_owners_found(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    moves = plan_reshard(snapshot, [], "7002", None, SlotSet([7, 5461, 8]))
    assert {(m.source, str(m.slots)) for m in moves} == {
        (clusters.node_id("a"), "7-8"),
        (clusters.node_id("b"), "5461"),
    }


def test_what_cannot_be_is_refused_by_name(clusters: Any) -> None:
    specs = [*clusters.three_shards(), clusters.node("e", "10.0.0.7")]
    snapshot = clusters.build(*specs)
    assert "no number of slots" in refusal(snapshot, ["all"], "7000", 0, None)
    assert "-3 is no number" in refusal(snapshot, ["all"], "7000", -3, None)
    assert "the sources own 10923" in refusal(snapshot, ["all"], "7000", 16384, None)
    assert "owns no slots" in refusal(snapshot, ["7006"], "7000", 5, None)
    assert "named twice" in refusal(snapshot, ["7001", "10.0.0.2:7001"], "7000", 5, None)
    assert "as a source and as the target" in refusal(snapshot, ["7000"], "7000", 5, None)
    assert "a replica and cannot take" in refusal(snapshot, ["all"], "7003", 5, None)
    assert "a replica and cannot give" in refusal(snapshot, ["7003"], "7000", 5, None)
    assert "no node 9999" in refusal(snapshot, ["all"], "9999", 5, None)
    assert "not of the sources named" in refusal(snapshot, ["7001"], "7000", None, SlotSet([16383]))
    assert "owns slots 5 already" in refusal(snapshot, [], "7000", None, SlotSet([5]))


def test_open_slots_are_finished_first(clusters: Any) -> None:
    open_slot = {("a", "a"): {"migrating": {77: clusters.node_id("b")}}}
    snapshot = clusters.build(*clusters.three_shards(), edit=open_slot)
    with pytest.raises(PlanError, match=r"slots 77 are open at 10.0.0.1:7000") as caught:
        plan_reshard(snapshot, ["all"], "7000", 5, None)
    assert "ctl cluster resume" in caught.value.hint
    assert "fix" in caught.value.hint


def test_disagreement_and_silence_are_refused(clusters: Any) -> None:
    late = clusters.build(*clusters.three_shards(), edit={("z", "b"): {"slots": clusters.slots("")}})
    assert "disagree" in refusal(late, ["all"], "7000", 5, None)
    specs = clusters.three_shards()
    specs[1].answers = False
    assert "10.0.0.2:7001 owns slots and does not answer" in refusal(
        clusters.build(*specs), ["all"], "7000", 5, None
    )


@pytest.mark.parametrize("text", ["16384", "5-3", "x", "1-", "", ",", "3,2-4", "-1"])
def test_slots_that_are_none(text: str) -> None:
    with pytest.raises(PlanError):
        parse_slots(text)


def test_slots_in_words() -> None:
    assert str(parse_slots("0-99, 200,300-301")) == "0-99 200 300-301"


@given(st.lists(st.integers(1, 16384), min_size=1, max_size=9), st.data())
def test_shares_are_whole_in_sum_and_near_their_part(sizes: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, sum(sizes)))
    shares = proportional(sizes, count)
    assert sum(shares) == count
    for size, share in zip(sizes, shares, strict=True):
        assert 0 <= share <= size
        assert abs(share - size * count / sum(sizes)) < 1
