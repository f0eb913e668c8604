"""The operator's orders: CLUSTER ADDSLOTS, DELSLOTS, FLUSHSLOTS, SETSLOT, REPLICATE, REPLICAS, PUBLISH."""

from __future__ import annotations

import pytest

from gossip.admin import SlotAction
from gossip.effects import Deliver, FollowPrimary, Persist, RoutesChanged
from gossip.errors import ClusterError
from gossip.messages import MessageType, Ping, Publish
from gossip.slots import SlotSet
from gossip.testing.town import Town


def test_slots_are_added_once(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(a, a.core.add_slots, [1, 2, 3])
    assert a.me.slots == SlotSet([1, 2, 3])
    with pytest.raises(ClusterError, match=r"^Slot 3 is already busy$"):
        a.core.add_slots([4, 3], town.now_ms)
    with pytest.raises(ClusterError, match=r"^Slot 5 specified multiple times$"):
        a.core.add_slots([5, 5], town.now_ms)
    assert a.me.slots == SlotSet([1, 2, 3])
    assert Persist(fsync=False) in [effect for batch in a.batches for effect in batch]


def test_slots_of_anybody_are_deleted_here(town: Town) -> None:
    """DELSLOTS makes this node forget who owns a slot; the others keep their view."""
    a, b = town.cluster(2)
    town.cut((a, b))
    town.order(a, a.core.del_slots, [0, 16_383])
    assert a.core.state.owner(0) is a.core.state.owner(16_383) is None
    with pytest.raises(ClusterError, match=r"^Slot 0 is already unassigned$"):
        a.core.del_slots([0], town.now_ms)


def test_flushing_slots_needs_an_empty_database(town: Town) -> None:
    a, _ = town.cluster(2)
    a.host.keys = {1: 1}
    with pytest.raises(ClusterError, match=r"^DB must be empty to perform CLUSTER FLUSHSLOTS.$"):
        a.core.flush_slots(town.now_ms)
    a.host.keys = {}
    town.order(a, a.core.flush_slots)
    assert not a.me.slots


def test_a_slot_moves_from_one_node_to_another(town: Town) -> None:
    """The steps of a live migration, as redis-cli takes them."""
    a, b = town.cluster(2)
    town.order(a, a.core.set_slot, 9_000, SlotAction.IMPORTING, b.id)
    town.order(b, b.core.set_slot, 9_000, SlotAction.MIGRATING, a.id)
    assert b.core.state.migrating == {9_000: b.sees(a)}
    assert a.core.state.importing == {9_000: a.sees(b)}
    town.order(a, a.core.set_slot, 9_000, SlotAction.NODE, a.id)
    assert a.core.state.importing == {}
    assert a.me.config_epoch == 3
    assert a.logged("configEpoch updated after importing slot 9000")
    assert a.effects(Persist)[-1] == Persist(fsync=True)
    assert [ping.type for ping in a.sent(Ping)[-1:]] == [MessageType.PONG]
    assert 9_000 in b.sees(a).slots
    town.order(b, b.core.set_slot, 9_000, SlotAction.NODE, a.id)
    assert b.core.state.migrating == {}


def test_stable_ends_a_migration(town: Town) -> None:
    a, b = town.cluster(2)
    town.order(b, b.core.set_slot, 0, SlotAction.IMPORTING, a.id)
    town.order(a, a.core.set_slot, 0, SlotAction.MIGRATING, b.id)
    for node in (a, b):
        town.order(node, node.core.set_slot, 0, SlotAction.STABLE, "")
        assert not node.core.state.migrating
        assert not node.core.state.importing


def test_setslot_has_preconditions(town: Town) -> None:
    a, b, replica_of_a, _ = town.cluster(2, 1)
    unknown = "0" * 40
    for node, slot, action, target, text in (
        (a, 16_383, SlotAction.MIGRATING, b.id, "I'm not the owner of hash slot 16383"),
        (a, 0, SlotAction.IMPORTING, b.id, "I'm already the owner of hash slot 0"),
        (a, 0, SlotAction.MIGRATING, unknown, f"I don't know about node {unknown}"),
        (a, 0, SlotAction.NODE, unknown, f"Unknown node {unknown}"),
        (a, 0, SlotAction.NODE, replica_of_a.id, "Target node is not a master"),
        (replica_of_a, 0, SlotAction.STABLE, "", "Please use SETSLOT only with masters."),
    ):
        with pytest.raises(ClusterError) as caught:
            node.core.set_slot(slot, action, target, town.now_ms)
        assert str(caught.value) == text


def test_a_slot_with_keys_is_not_given_away(town: Town) -> None:
    a, b = town.cluster(2)
    a.host.keys = {0: 3}
    with pytest.raises(ClusterError, match="Can't assign hashslot 0"):
        a.core.set_slot(0, SlotAction.NODE, b.id, town.now_ms)


def test_giving_the_last_slot_away_means_following_its_new_owner(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(a, a.core.add_slots, [0])
    town.order(a, a.core.set_slot, 0, SlotAction.NODE, b.id)
    assert a.me.primary is a.sees(b)


def test_replicate(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(b, b.core.replicate, a.id)
    assert b.effects(FollowPrimary) == [FollowPrimary(a.id, "127.0.0.1", a.me.port)]
    town.run(1_000)
    assert [member.node_id for member in a.core.replicas(a.id)] == [b.id]


def test_replicate_has_preconditions(town: Town) -> None:
    a, b, replica_of_a, _ = town.cluster(2, 1)
    for node, target, text in (
        (a, a.id, "Can't replicate myself"),
        (b, replica_of_a.id, "I can only replicate a master, not a replica."),
        (a, b.id, "To set a master the node must be empty and without assigned slots."),
        (a, "0" * 40, f"Unknown node {'0' * 40}"),
    ):
        with pytest.raises(ClusterError) as caught:
            node.core.replicate(target, town.now_ms)
        assert str(caught.value) == text
    with pytest.raises(ClusterError, match=r"^The specified node is not a master$"):
        a.core.replicas(replica_of_a.id)


def test_keys_found_at_start_are_accounted_for(town: Town) -> None:
    """Keys of a free slot make it ours; those of another node's slot mark it as importing."""
    a, b = town.cluster(2)
    town.order(a, a.core.del_slots, [0])
    town.order(a, a.core.adopt_keys, SlotSet([0, 1, 16_383]))
    assert {0, 1} <= set(a.me.slots)
    assert a.core.state.importing == {16_383: a.sees(b)}


def test_what_is_published_reaches_every_node(town: Town) -> None:
    """PUBLISH goes to all, SPUBLISH to the nodes of the shard."""
    a, b, replica_of_a, replica_of_b = town.cluster(2, 1)
    town.order(a, a.core.publish, b"news", b"hello", sharded=False)
    for node in (b, replica_of_a, replica_of_b):
        assert node.effects(Deliver) == [Deliver(b"news", b"hello", False)]
    town.order(replica_of_a, replica_of_a.core.publish, b"shard", b"hi", sharded=True)
    assert a.effects(Deliver) == [Deliver(b"shard", b"hi", True)]
    assert len(b.effects(Deliver)) == 1
    assert a.core.sent[MessageType.PUBLISH] == 3
    assert a.core.received[MessageType.PUBLISHSHARD] == 1


def test_a_strangers_message_is_not_delivered(town: Town) -> None:
    a, _b = town.cluster(2)
    link = a.core.accepted("10.0.0.9", "10.0.0.1", town.now_ms)
    a.core.receive(link, Publish(None, b"news", b"hello"), town.now_ms)
    assert not [effect for effect in a.core.drain() if isinstance(effect, Deliver)]


def test_a_light_message_is_its_links(town: Town) -> None:
    """Valkey's light PUBLISH names no sender: it is whoever the link belongs to."""
    a, b = town.cluster(2)
    town.say(b, a, Publish(None, b"news", b"hello"))
    assert a.effects(Deliver) == [Deliver(b"news", b"hello", False)]


def test_save_config_is_an_fsync(town: Town) -> None:
    a = town.add()
    a.core.save_config(town.now_ms)
    assert a.core.drain() == [Persist(fsync=True)]


def test_a_slot_received_is_on_disk_before_it_is_claimed(town: Town) -> None:
    """Even when no new epoch is needed for it: its former owner is about to forget it."""
    a, b = town.cluster(2)
    town.order(b, b.core.set_slot, 0, SlotAction.IMPORTING, a.id)
    town.order(b, b.core.set_slot, 0, SlotAction.NODE, b.id)
    batch = next(batch for batch in reversed(b.batches) if RoutesChanged() in batch)
    assert Persist(fsync=True) in batch
