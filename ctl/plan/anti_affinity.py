"""Which nodes become primaries and which node replicates which, so that one host's loss costs little.

Two wishes, in this order: a primary and its replica stand on different hosts (else the host takes the shard
with it), and the replicas of one primary stand on different hosts from each other. Hosts are dealt like
cards: primaries are taken from the hosts in turn, so no host has more of them than it must; the rest is
assigned to the primaries in turn and then improved by swapping two replicas while a swap makes the whole
better. The cost that swaps reduce is small and whole-numbered, so this ends; and it is deterministic, so a
plan shown is the plan run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, zip_longest
from typing import TypeVar

SAME_HOST_AS_PRIMARY = 1000
SAME_HOST_AS_SIBLING = 1

Node = TypeVar("Node")


def deal(nodes: Sequence[Node], hosts: Sequence[str]) -> list[Node]:
    """`nodes` in an order that takes one from each host in turn, the fullest host first."""
    by_host: dict[str, list[Node]] = {}
    for node, host in zip(nodes, hosts, strict=True):
        by_host.setdefault(host, []).append(node)
    fullest_first = sorted(by_host.values(), key=len, reverse=True)
    return [node for turn in zip_longest(*fullest_first) for node in turn if node is not None]


def assign_replicas(primary_hosts: Sequence[str], replica_hosts: Sequence[str]) -> list[int]:
    """For each replica the index of its primary. Every primary gets as many as any other, or one less."""
    count = len(primary_hosts)
    assigned = [index % count for index in range(len(replica_hosts))]
    improved = True
    while improved:
        improved = False
        for a, b in combinations(range(len(assigned)), 2):
            if _swap_gains(primary_hosts, replica_hosts, assigned, a, b):
                assigned[a], assigned[b] = assigned[b], assigned[a]
                improved = True
    return assigned


def _swap_gains(
    primary_hosts: Sequence[str], replica_hosts: Sequence[str], assigned: Sequence[int], a: int, b: int
) -> bool:
    """Whether the two shards concerned cost less when replicas `a` and `b` change places."""
    if assigned[a] == assigned[b] or replica_hosts[a] == replica_hosts[b]:
        return False
    before = after = 0
    for shard, leaves, joins in ((assigned[a], a, b), (assigned[b], b, a)):
        stay = [replica_hosts[i] for i, to in enumerate(assigned) if to == shard and i != leaves]
        before += _shard_cost(primary_hosts[shard], [*stay, replica_hosts[leaves]])
        after += _shard_cost(primary_hosts[shard], [*stay, replica_hosts[joins]])
    return after < before


def cost(primary_hosts: Sequence[str], replica_hosts: Sequence[str], assigned: Sequence[int]) -> int:
    """0 when no shard has two nodes on one host."""
    return sum(
        _shard_cost(host, [r for r, to in zip(replica_hosts, assigned, strict=True) if to == index])
        for index, host in enumerate(primary_hosts)
    )


def _shard_cost(primary_host: str, hosts: Sequence[str]) -> int:
    siblings_together = len(hosts) - len(set(hosts))
    return SAME_HOST_AS_PRIMARY * hosts.count(primary_host) + SAME_HOST_AS_SIBLING * siblings_together
