"""Replica migration: the specification's "Replica migration" and its algorithm."""

from __future__ import annotations

from gossip.admin import SlotAction
from gossip.effects import FollowPrimary
from gossip.testing.town import SETTINGS, Resident, Town


def orphaned(town: Town, **settings: int | bool) -> tuple[Resident, list[Resident], Resident]:
    """One primary has two replicas, another lost its only one: the orphan, the two, and their primary."""
    nodes = town.cluster(3, 1, SETTINGS.replace(**settings))
    rich, orphan, _, first, lost, _ = nodes
    spare = town.add(SETTINGS.replace(**settings))
    town.join(rich, spare, *nodes[1:3])
    town.order(spare, spare.core.replicate, rich.id)
    town.run(3_000)
    town.kill(lost)
    town.until(lambda: spare.sees(lost).failed and first.sees(lost).failed, 10_000)
    return orphan, sorted([first, spare], key=lambda node: node.id), rich


def test_the_spare_replica_with_the_smallest_id_goes_to_the_orphan(town: Town) -> None:
    """The acting replica: among the primaries with most replicas, the one with the smallest id."""
    orphan, (smallest, other), rich = orphaned(town)
    town.run(4_900)
    assert smallest.me.primary is smallest.sees(rich)
    town.run(2_000)
    assert smallest.me.primary is smallest.sees(orphan)
    assert smallest.effects(FollowPrimary)[-1].node_id == orphan.id
    assert smallest.logged(f"Migrating to orphaned master {orphan.id}")
    assert other.me.primary is other.sees(rich)


def test_the_barrier_keeps_replicas_at_home(town: Town) -> None:
    """cluster-migration-barrier: how many working replicas must stay."""
    _, replicas, rich = orphaned(town, migration_barrier=2)
    town.run(10_000)
    assert all(node.me.primary is node.sees(rich) for node in replicas)


def test_migration_can_be_forbidden(town: Town) -> None:
    """cluster-allow-replica-migration no."""
    _, replicas, rich = orphaned(town, allow_replica_migration=False)
    town.run(10_000)
    assert all(node.me.primary is node.sees(rich) for node in replicas)


def test_a_primary_that_never_had_replicas_is_no_orphan(town: Town) -> None:
    nodes = town.cluster(1, 2)
    single = town.add()
    town.join(*nodes[:1], single)
    town.order(single, single.core.bump_epoch)
    town.order(single, single.core.set_slot, 0, SlotAction.IMPORTING, nodes[0].id)
    town.order(single, single.core.set_slot, 0, SlotAction.NODE, single.id)
    town.run(3_000)
    assert all(node.sees(single).slots for node in nodes)
    for node in nodes:
        node.sees(single).migrate_to = False
    town.run(10_000)
    assert all(node.me.primary is node.sees(nodes[0]) for node in nodes[1:])
