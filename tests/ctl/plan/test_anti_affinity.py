"""ctl.plan.anti_affinity"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ctl.plan.anti_affinity import assign_replicas, cost, deal


def test_nodes_are_dealt_from_the_hosts_in_turn() -> None:
    assert deal([1, 2, 3, 4, 5], ["a", "a", "b", "b", "b"]) == [3, 1, 4, 2, 5]


def test_three_hosts_of_two_nodes_have_no_shard_on_one_host() -> None:
    assigned = assign_replicas(["a", "b", "c"], ["a", "b", "c"])
    assert cost(["a", "b", "c"], ["a", "b", "c"], assigned) == 0


def test_the_replicas_of_a_primary_are_apart_too() -> None:
    primaries, replicas = ["a", "b"], ["b", "b", "c", "c", "a", "a"]
    assigned = assign_replicas(primaries, replicas)
    assert cost(primaries, replicas, assigned) <= 2  # six replicas on two foreign hosts for each primary


@given(st.lists(st.integers(0, 4), min_size=2, max_size=24).filter(lambda hosts: len(hosts) % 2 == 0))
def test_with_one_replica_no_shard_is_on_one_host_when_that_is_possible(hosts: list[int]) -> None:
    """It is possible when no host has more than half of the nodes."""
    names = [str(host) for host in hosts]
    dealt = deal(names, names)
    primaries, replicas = dealt[: len(dealt) // 2], dealt[len(dealt) // 2 :]
    assigned = assign_replicas(primaries, replicas)
    assert sorted(assigned) == list(range(len(primaries)))
    if max(map(names.count, names)) <= len(names) // 2:
        assert cost(primaries, replicas, assigned) == 0
