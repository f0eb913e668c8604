"""Epochs: the specification's "Cluster current epoch", "Configuration epoch" and its conflict resolution."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossip.effects import Persist
from gossip.errors import ClusterError
from gossip.messages import MessageType, Ping
from gossip.testing.town import Town


def test_the_greater_current_epoch_is_taken_over(town: Town) -> None:
    """If the epoch of a sender is greater than the local one, the current epoch is updated to it."""
    a, b = town.cluster(2)
    town.say(b, a, Ping(replace(b.header(), current_epoch=50), MessageType.PONG))
    assert a.core.state.current_epoch == 50
    town.say(b, a, Ping(replace(b.header(), current_epoch=7), MessageType.PONG))
    assert a.core.state.current_epoch == 50


def test_a_members_greater_config_epoch_is_saved(town: Town) -> None:
    a, b = town.cluster(2)
    town.say(b, a, Ping(replace(b.header(), config_epoch=50), MessageType.PONG))
    assert a.sees(b).config_epoch == 50
    assert Persist(fsync=True) in a.batches[-1]


def test_of_two_primaries_with_one_epoch_the_smaller_id_moves(town: Town) -> None:
    """The node with the lexicographically smaller id takes a new config epoch, the other keeps its own."""
    small, great = town.add(node_id="1" * 40), town.add(node_id="2" * 40)
    town.join(small, great)
    town.run(3_000)
    assert great.me.config_epoch == 0
    assert small.me.config_epoch == 1
    assert small.logged(f"configEpoch collision with node {'2' * 40} (). configEpoch set to 1")


def test_collisions_end_with_distinct_epochs(town: Town) -> None:
    nodes = [town.add() for _ in range(7)]
    town.join(*nodes)
    town.run(20_000)
    assert len({node.me.config_epoch for node in nodes}) == 7


def test_a_replica_repeats_its_primarys_epoch_and_slots(town: Town) -> None:
    """Replicas advertise the config epoch and slots of their primary as of the last message."""
    primary, _, replica, _ = town.cluster(2, 1)
    town.run(1_000)
    assert replica.header().config_epoch == primary.me.config_epoch
    assert replica.header().slots == primary.me.slots
    assert replica.header().replica_of == primary.id


def test_set_config_epoch_is_for_fresh_nodes(town: Town) -> None:
    """CLUSTER SET-CONFIG-EPOCH: nodes table empty, epoch zero."""
    a, b = town.add(), town.add()
    with pytest.raises(ClusterError, match=r"^Invalid config epoch specified: -1$"):
        a.core.set_config_epoch(-1, town.now_ms)
    a.core.set_config_epoch(5, town.now_ms)
    assert a.core.state.current_epoch == a.me.config_epoch == 5
    with pytest.raises(ClusterError, match=r"^Node config epoch is already non-zero$"):
        a.core.set_config_epoch(6, town.now_ms)
    town.join(a, b)
    with pytest.raises(ClusterError, match="only when the node does not know any other node"):
        b.core.set_config_epoch(6, town.now_ms)


def test_bump_takes_a_new_epoch_unless_ours_is_the_greatest(town: Town) -> None:
    """CLUSTER BUMPEPOCH: BUMPED or STILL."""
    a, b = town.cluster(2)
    assert a.core.bump_epoch(town.now_ms) == (True, 3)
    assert a.core.bump_epoch(town.now_ms) == (False, 3)
    assert b.core.bump_epoch(town.now_ms) == (False, 2)


def test_an_own_epoch_is_on_disk_before_it_is_told(town: Town) -> None:
    a, _ = town.cluster(2)
    a.core.bump_epoch(town.now_ms)
    assert Persist(fsync=True) in a.core.drain()
