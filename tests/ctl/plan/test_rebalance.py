"""ctl.plan.rebalance"""

from __future__ import annotations

import random
from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.plan.rebalance import Share, plan_rebalance, rebalance_load, rebalance_slots, shares_of, targets
from ctl.plan.steps import PlanError
from gossip.slots import SlotSet


def dealt(sizes: list[int], weights: list[float]) -> list[Share]:
    """Nodes n0, n1, … with so many slots each, from 0 upwards."""
    shares, first = [], 0
    for number, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        shares.append(Share(f"n{number}", SlotSet(range(first, first + size)), weight))
        first += size
    return shares


SIZES = st.lists(st.integers(0, 60), min_size=2, max_size=4)


@given(SIZES, st.data())
def test_no_rounding_of_the_shares_moves_fewer_slots(sizes: list[int], data: st.DataObject) -> None:
    """Every choice of who gets the odd slots is tried."""
    weights = data.draw(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=len(sizes), max_size=len(sizes))
    )
    if not any(weights):
        return
    shares = dealt(sizes, weights)
    moved = rebalance_slots(shares, threshold_percent=0)
    total, weight = sum(sizes), sum(weights)
    exact = [total * w / weight for w in weights]
    choices = [(int(e), int(e) + 1) if abs(e - round(e)) > 1e-9 else (round(e),) for e in exact]
    fewest = min(
        sum(max(0, size - want) for size, want in zip(sizes, wants, strict=True))
        for wants in product(*choices)
        if sum(wants) == total
    )
    assert len(moved) == fewest
    wanted = targets(shares)
    assert sum(wanted.values()) == total
    after = Counter(moved.get(slot, share.node) for share in shares for slot in share.slots)
    assert {node: after[node] for node in wanted} == wanted


def test_within_the_threshold_nothing_moves() -> None:
    shares = dealt([5461, 5462, 5461], [1, 1, 1])
    assert rebalance_slots(shares) == {}
    assert rebalance_slots(dealt([5400, 5492, 5492], [1, 1, 1])) == {}
    assert len(rebalance_slots(dealt([5400, 5492, 5492], [1, 1, 1]), threshold_percent=1)) == 61


@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_by_load_nobody_is_further_off_than_before_and_nothing_is_lost(
    sizes: list[int], generator: random.Random
) -> None:
    shares = dealt(sizes, [1.0] * len(sizes))
    load = {slot: float(generator.choice([0, 1, 1, 5, 100])) for share in shares for slot in share.slots}
    moved = rebalance_load(shares, load)
    fair = sum(load.values()) / len(shares)

    def worst(owner: dict[int, str]) -> float:
        sums = {share.node: 0.0 for share in shares}
        for slot, node in owner.items():
            sums[node] += load[slot]
        return max(abs(value - fair) for value in sums.values())

    before = {slot: share.node for share in shares for slot in share.slots}
    assert worst({**before, **moved}) <= worst(before) + 1e-6
    assert all(load[slot] > 0 for slot in moved)
    assert set(moved) <= set(before)


def test_by_load_heavy_slots_move_first() -> None:
    """100 at one node, 0 at the other: 50 of it is one slot or fifty."""
    shares = [Share("a", SlotSet(range(51)), 1), Share("b", SlotSet([99]), 1)]
    load = {0: 50.0, **dict.fromkeys(range(1, 51), 1.0)}
    assert rebalance_load(shares, load) == {0: "b"}


def test_a_weight_of_zero_gives_even_empty_slots_away() -> None:
    shares = [Share("a", SlotSet(range(4)), 0), Share("b", SlotSet([9]), 1), Share("c", SlotSet([10]), 1)]
    assert set(rebalance_load(shares, {0: 5.0, 9: 1.0})) == {0, 1, 2, 3}
    assert set(rebalance_slots(shares)) == {0, 1, 2, 3}


def test_empty_primaries_take_part_when_asked_to(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards(), clusters.node("e", "10.0.0.7"))
    assert len(shares_of(snapshot, {}, use_empty=False)) == 3
    shares = shares_of(snapshot, {}, use_empty=True)
    moves = plan_rebalance(snapshot, shares, None, threshold_percent=2)
    assert sum(len(move.slots) for move in moves) == 4096
    assert {move.target for move in moves} == {clusters.node_id("e")}
    weighted = shares_of(snapshot, {clusters.node_id("e"): 2.0}, use_empty=False)
    assert targets(weighted)[clusters.node_id("e")] in (6553, 6554)


def test_somebody_must_have_the_slots(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    with pytest.raises(PlanError, match="every weight is 0"):
        shares_of(snapshot, dict.fromkeys(map(clusters.node_id, "abc"), 0.0), use_empty=False)
