"""ctl.plan.grow"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.plan.change import Attach, Join, Leave, Move, Start, Stop
from ctl.plan.grow import filled, neediest, plan_add, plan_remove
from ctl.plan.steps import PlanError
from ctl.snapshot import Address


def test_a_replica_goes_where_there_are_fewest(clusters: Any) -> None:
    specs = [spec for spec in clusters.three_shards() if spec.name != "y"]
    assert neediest(clusters.build(*specs), "10.0.0.9", "").node_id == clusters.node_id("b")


def test_among_equals_it_goes_away_from_hosts_and_zones(clusters: Any) -> None:
    specs = clusters.three_shards()
    snapshot = clusters.build(*specs)
    assert neediest(snapshot, "10.0.0.1", "").node_id == clusters.node_id("b")
    assert neediest(snapshot, "10.0.0.5", "").node_id == clusters.node_id("a")
    for spec in specs:
        spec.info["availability_zone"] = {"a": "east", "x": "west", "b": "west", "y": "mid"}.get(
            spec.name, "mid"
        )
    zoned = clusters.build(*specs)
    assert neediest(zoned, "10.0.0.9", "west").node_id == clusters.node_id("c")
    assert neediest(zoned, "10.0.0.9", "mid").node_id == clusters.node_id("a")


def test_steps_of_an_addition(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    at = Address("10.0.0.9", 7009)
    assert plan_add(snapshot, at, None, None, start=True) == (Start(at), Join("", at))
    primary = snapshot.member(clusters.node_id("b"))
    assert plan_add(snapshot, at, None, primary, start=False) == (
        Join("", at),
        Attach("", at, clusters.node_id("b"), None),
    )
    with pytest.raises(PlanError, match="is a member of the cluster already"):
        plan_add(snapshot, Address("10.0.0.1", 7000), snapshot.views[0], None, start=False)


def test_a_primary_gives_all_away_before_it_is_forgotten(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    a = snapshot.member(clusters.node_id("a"))
    assert a is not None
    steps = plan_remove(snapshot, a, [7000])
    assert [type(step) for step in steps] == [Move, Move, Attach, Leave, Stop]
    moves = [step for step in steps if isinstance(step, Move)]
    assert sum(len(move.slots) for move in moves) == 5461
    assert {move.source for move in moves} == {a.node_id}
    attach = steps[2]
    assert isinstance(attach, Attach)
    assert (attach.node, attach.former) == (clusters.node_id("x"), a.node_id)
    assert attach.primary in (clusters.node_id("b"), clusters.node_id("c"))


def test_replicas_of_a_removed_primary_are_spread(clusters: Any) -> None:
    specs = [*clusters.three_shards(), clusters.node("w", "10.0.0.8", primary="a", epoch=1)]
    snapshot = clusters.build(*specs)
    a = snapshot.member(clusters.node_id("a"))
    assert a is not None
    primaries = [step.primary for step in plan_remove(snapshot, a, []) if isinstance(step, Attach)]
    assert sorted(primaries) == sorted([clusters.node_id("b"), clusters.node_id("c")])


def test_a_replica_just_leaves(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    x = snapshot.member(clusters.node_id("x"))
    assert x is not None
    assert plan_remove(snapshot, x, []) == (Leave(x.node_id, x.address),)


def test_the_only_owner_cannot_be_removed(clusters: Any) -> None:
    snapshot = clusters.build(clusters.node("a", slots="0-16383"), clusters.node("e", "10.0.0.2"))
    with pytest.raises(PlanError, match="no other primary"):
        plan_remove(snapshot, snapshot.members[0], [])


@given(st.lists(st.integers(0, 500), min_size=1, max_size=6), st.integers(0, 3000))
def test_what_is_dealt_fills_the_emptiest_first(levels: list[int], count: int) -> None:
    """Nobody who got something stands more than one above anybody else."""
    names = {f"n{number}": level for number, level in enumerate(levels)}
    taken = filled(names, count)
    assert sum(taken.values()) == count
    after = {name: names[name] + taken[name] for name in names}
    assert all(after[name] <= min(after.values()) + 1 for name in names if taken[name])
