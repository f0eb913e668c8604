"""Who owns which slot: "Hash slots configuration propagation", "UPDATE messages" and what follows for us."""

from __future__ import annotations

from dataclasses import replace

from gossip.admin import SlotAction
from gossip.effects import FollowPrimary, Persist, RoutesChanged, SlotsLost
from gossip.messages import Header, MessageType, Ping, Update
from gossip.slots import SlotSet
from gossip.testing.town import SETTINGS, Resident, Town


def claim(town: Town, claimer: Resident, receiver: Resident, slots: SlotSet, epoch: int) -> None:
    """Let a node claim exactly these slots under this epoch in one heartbeat."""
    header = replace(claimer.header(), slots=slots, config_epoch=epoch, replica_of="")
    town.say(claimer, receiver, Ping(header, MessageType.PONG))


def test_a_free_slot_goes_to_who_claims_it(town: Town) -> None:
    """Rule 1: if a slot is unassigned and a known node claims it, it is associated with it."""
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(b, b.core.add_slots, [5, 6])
    town.run(2_000)
    assert a.sees(b).slots == SlotSet([5, 6])
    assert a.core.state.owner(5) is a.sees(b)


def test_a_greater_epoch_takes_a_slot_a_smaller_does_not(town: Town) -> None:
    """Rule 2: a slot is rebound to a claimer whose configEpoch is greater than the owner's."""
    a, b, c = town.cluster(3)
    slot = SlotSet([16_000])
    claim(town, b, a, b.me.slots | slot, c.me.config_epoch)
    assert 16_000 in a.sees(c).slots
    claim(town, b, a, b.me.slots | slot, c.me.config_epoch + 1)
    assert 16_000 in a.sees(b).slots
    assert Persist(fsync=True) in a.batches[-1]
    assert RoutesChanged() in a.batches[-1]


def test_an_old_claim_is_answered_with_an_update(town: Town) -> None:
    """Who claims slots that a node with a greater epoch owns is told so, by anyone who knows."""
    a, b, c = town.cluster(3)
    count = len(a.sent(Update))
    claim(town, b, a, b.me.slots | SlotSet([16_000]), b.me.config_epoch)
    (update,) = a.sent(Update)[count:]
    assert (update.node, update.config_epoch, update.slots) == (c.id, c.me.config_epoch, c.me.slots)


def test_an_update_is_believed_if_its_epoch_is_greater(town: Town) -> None:
    a, b, c = town.cluster(3)
    slots = c.me.slots | SlotSet([0])
    town.say(b, a, Update(b.header(), c.id, c.me.config_epoch, slots))
    assert 0 in a.me.slots
    town.say(b, a, Update(b.header(), c.id, 9, slots))
    assert 0 in a.sees(c).slots
    assert a.sees(c).config_epoch == 9


def test_an_update_about_ourselves_is_ignored(town: Town) -> None:
    a, b, _ = town.cluster(3)
    town.say(b, a, Update(b.header(), a.id, 99, SlotSet([0])))
    assert len(a.me.slots) > 1
    assert a.me.config_epoch == 1


def test_an_update_makes_a_primary_of_a_replica(town: Town) -> None:
    a, b, c, replica = town.cluster(3, 1)[:4]
    town.say(b, c, Update(b.header(), replica.id, 99, a.me.slots))
    assert c.sees(replica).is_primary
    assert c.sees(replica).slots == SlotSet(range(5461))


def test_keys_of_slots_lost_are_given_up(town: Town) -> None:
    """A primary that loses some of its slots to a greater epoch deletes the keys in them."""
    a, b, _ = town.cluster(3)
    claim(town, b, a, b.me.slots | SlotSet([0, 1]), 9)
    assert a.effects(SlotsLost) == [SlotsLost(SlotSet([0, 1]))]
    assert a.me.is_primary


def test_losing_the_last_slot_means_following_who_took_it(town: Town) -> None:
    """A primary left without slots becomes a replica of the node that took the last of them."""
    a, b, _ = town.cluster(3)
    claim(town, b, a, b.me.slots | a.me.slots, 9)
    assert a.me.primary is a.sees(b)
    assert a.effects(FollowPrimary) == [FollowPrimary(b.id, "127.0.0.1", b.me.port)]
    assert a.effects(SlotsLost) == []


def test_without_replica_migration_only_a_failover_is_followed(town: Town) -> None:
    """allow-replica-migration no: a primary whose slots were moved away stays an empty primary."""
    a, b, _ = town.cluster(3, settings=SETTINGS.replace(allow_replica_migration=False))
    mine = a.me.slots
    claim(town, b, a, b.me.slots | mine, 9)
    assert a.me.is_primary
    assert not a.me.slots
    assert a.effects(SlotsLost) == [SlotsLost(mine)]


def test_a_replica_follows_the_slots_of_its_primary(town: Town) -> None:
    a, b, _, replica = town.cluster(3, 1)[:4]
    claim(town, b, replica, b.me.slots | a.me.slots, 9)
    assert replica.me.primary is replica.sees(b)
    assert replica.me.shard_id == replica.sees(b).shard_id


def test_a_replicas_claim_binds_nobody(town: Town) -> None:
    """A replica repeats its primary's slots; only a primary's claim counts."""
    _a, b, c, replica = town.cluster(3, 1)[:4]
    header = replace(replica.header(), slots=c.me.slots, config_epoch=99)
    town.say(replica, b, Ping(header, MessageType.PONG))
    assert b.sees(c).slots == c.me.slots


def test_a_slot_being_imported_stays_where_it_is(town: Town) -> None:
    """An operator moves it; a claim does not interfere."""
    a, b, c = town.cluster(3)
    town.order(a, a.core.set_slot, 16_000, SlotAction.IMPORTING, c.id)
    claim(town, b, a, b.me.slots | SlotSet([16_000]), 9)
    assert 16_000 in a.sees(c).slots


def test_a_slot_its_owner_no_longer_claims_goes_to_any_claimer(town: Town) -> None:
    """It keeps its owner for clients meanwhile, but we tell nobody that it is there."""
    a, b, c = town.cluster(3)
    claim(town, c, a, c.me.slots - SlotSet([16_000]), c.me.config_epoch)
    assert 16_000 in a.sees(c).slots
    assert 16_000 in a.core.state.unclaimed
    claim(town, b, a, b.me.slots | SlotSet([16_000]), b.me.config_epoch)
    assert 16_000 in a.sees(b).slots
    assert not a.core.state.unclaimed


def test_a_slot_claimed_again_is_no_longer_in_doubt(town: Town) -> None:
    a, _, c = town.cluster(3)
    claim(town, c, a, c.me.slots - SlotSet([16_000]), c.me.config_epoch)
    claim(town, c, a, c.me.slots, c.me.config_epoch)
    assert not a.core.state.unclaimed


def steps_down(former: Resident, primary_id: str, **changes: object) -> Header:
    return replace(former.header(), replica_of=primary_id, **changes)  # type: ignore[arg-type]


def test_a_primary_that_follows_its_replica_hands_over_its_slots(town: Town) -> None:
    """A fail-over inside a shard is believed from the old primary too, without a gap for clients."""
    a, b, _c, replica = town.cluster(3, 1)[:4]
    slots = a.me.slots
    town.say(a, b, Ping(steps_down(a, replica.id, config_epoch=9), MessageType.PONG))
    assert b.sees(replica).slots == slots
    assert b.sees(replica).is_primary
    assert b.sees(replica).config_epoch == 9
    assert b.sees(a).primary is b.sees(replica)
    assert b.core.ok


def test_a_primary_that_joins_another_shard_leaves_its_slots_free(town: Town) -> None:
    a, b, c, _ = town.cluster(3, 1)[:4]
    town.say(a, b, Ping(steps_down(a, c.id), MessageType.PONG))
    assert b.sees(a).primary is b.sees(c)
    assert not b.core.state.assigned & SlotSet([0])
    assert b.logged("is no longer master of shard")


def test_news_older_than_a_promotion_is_ignored(town: Town) -> None:
    a, b, _, replica = town.cluster(3, 1)[:4]
    town.say(a, b, Ping(steps_down(a, replica.id, config_epoch=0), MessageType.PONG))
    assert b.sees(a).is_primary
    assert b.logged("Ignore stale message from")


def test_a_replica_of_a_replica_follows_the_one_above(town: Town) -> None:
    """Chains are cut short."""
    a, b, _, replica = town.cluster(3, 1)[:4]
    town.say(a, replica, Ping(steps_down(a, b.id, slots=b.me.slots), MessageType.PONG))
    assert replica.me.primary is replica.sees(b)
    assert replica.logged("I'm a sub-replica!")


def test_a_config_epoch_claim_from_a_member_is_remembered_for_its_replicas(town: Town) -> None:
    """A replica that becomes a primary in a heartbeat is a primary here too."""
    a, b, _, replica = town.cluster(3, 1)[:4]
    header = replace(replica.header(), replica_of="", slots=a.me.slots, config_epoch=9)
    town.say(replica, b, Ping(header, MessageType.PONG))
    assert b.sees(replica).is_primary
    assert b.sees(replica).slots == SlotSet(range(5461))
    assert b.sees(a).replicas == []
