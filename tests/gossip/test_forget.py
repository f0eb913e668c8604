"""CLUSTER FORGET, RESET and the black list."""

from __future__ import annotations

import pytest

from gossip.effects import BecomePrimary, FlushAll, Persist
from gossip.errors import ClusterError
from gossip.testing.town import SETTINGS, Town


def test_a_forgotten_node_is_forgotten_everywhere(town: Town) -> None:
    """The node is removed and its id black-listed; heartbeats tell the others (since 7.2)."""
    a, b, c, d = [town.add() for _ in range(4)]
    town.join(a, b, c, d)
    town.order(a, a.core.forget, d.id)
    town.until(lambda: not any(d.id in node.core.state.members for node in (a, b, c)), 3_000)


def test_a_forgotten_node_does_not_come_back_by_gossip_for_a_minute(town: Town) -> None:
    a, b, c = [town.add(SETTINGS.replace(forget_ttl_ms=60_000)) for _ in range(3)]
    town.join(a, b, c)
    b_knows = b.sees(c)
    a.core.forget(c.id, town.now_ms)
    a.core.state.forgotten, forgotten = {}, a.core.state.forgotten
    town.carry_out(a)
    a.core.state.forgotten = forgotten
    assert b_knows.node_id == c.id
    town.run(1_000)
    assert c.id not in a.core.state.members
    assert a.core.state.is_forgotten(c.id, town.now_ms + 58_000)
    assert not a.core.state.is_forgotten(c.id, town.now_ms + 60_000)


def test_a_forgotten_node_can_be_met_again(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(a, a.core.forget, b.id)
    town.order(b, b.core.forget, a.id)
    town.order(a, a.core.meet, "127.0.0.1", b.me.port, b.me.bus_port)
    town.run(1_000)
    assert a.sees(b).is_primary
    assert not a.core.state.forgotten


def test_forget_has_limits(town: Town) -> None:
    primary, _, replica, _ = town.cluster(2, 1)
    for node_id, text in (
        ("0" * 40, f"Unknown node {'0' * 40}"),
        (replica.id, "I tried hard but I can't forget myself..."),
        (primary.id, "Can't forget my master!"),
    ):
        with pytest.raises(ClusterError) as caught:
            replica.core.forget(node_id, town.now_ms)
        assert str(caught.value) == text


def test_forgetting_twice_is_fine(town: Town) -> None:
    """Already forgotten, maybe by another node's word: we pretend it succeeded."""
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(a, a.core.forget, b.id)
    town.order(a, a.core.forget, b.id)


def test_forgetting_a_primary_frees_its_slots_and_its_replicas(town: Town) -> None:
    primary, other, replica, _ = town.cluster(2, 1)
    town.order(other, other.core.forget, primary.id)
    assert other.core.state.assigned == other.me.slots
    assert other.sees(replica).primary is None


def test_soft_reset_leaves_the_cluster_and_keeps_the_name(town: Town) -> None:
    a, _b = town.cluster(2)
    name, epoch = a.id, a.core.state.current_epoch
    town.order(a, a.core.reset, hard=False)
    assert list(a.core.state.members) == [name]
    assert not a.core.state.assigned
    assert a.core.state.current_epoch == epoch
    assert Persist(fsync=True) in [effect for batch in a.batches[-3:] for effect in batch]
    assert not a.core.ok


def test_hard_reset_makes_a_new_node(town: Town) -> None:
    """A new id, and all epochs at 0."""
    a, _b = town.cluster(2)
    name, shard_id = a.id, a.me.shard_id
    town.order(a, a.core.reset, hard=True)
    assert a.id != name
    assert a.me.shard_id != shard_id
    assert a.core.state.current_epoch == a.me.config_epoch == a.core.state.last_vote_epoch == 0


def test_resetting_a_replica_flushes_its_data(town: Town) -> None:
    _, _, replica, _ = town.cluster(2, 1)
    replica.host.keys = {1: 1}
    town.order(replica, replica.core.reset, hard=False)
    assert replica.me.is_primary
    assert replica.effects(BecomePrimary)
    assert replica.effects(FlushAll)


def test_a_primary_with_keys_is_not_reset(town: Town) -> None:
    a, _ = town.cluster(2)
    a.host.keys = {1: 1}
    with pytest.raises(
        ClusterError, match=r"^CLUSTER RESET can't be called with master nodes containing keys$"
    ):
        a.core.reset(town.now_ms, hard=True)
    assert not a.core.drain()
