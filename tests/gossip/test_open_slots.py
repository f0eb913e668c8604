"""A fail-over on one side of a slot that is half moved: what the heir knows, and what the other side makes of
it. Valkey 8's rules; `gossip.claims`, `gossip.admin`.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gossip import nodes_conf
from gossip.admin import FailoverMode, SlotAction
from gossip.effects import Persist, SlotsLost
from gossip.errors import ClusterError
from gossip.messages import MessageType, Ping
from gossip.slots import SlotSet
from gossip.testing.town import SETTINGS, Resident, Town

SLOT = 0  # of a


def claim(town: Town, claimer: Resident, receiver: Resident, slots: SlotSet, epoch: int) -> None:
    """Let a node claim exactly these slots, as a primary, under this epoch in one heartbeat."""
    header = replace(claimer.header(), slots=slots, config_epoch=epoch, replica_of="")
    town.say(claimer, receiver, Ping(header, MessageType.PONG))


def open_slot(town: Town, a: Resident, b: Resident, *told: Resident) -> None:
    """SLOT is on its way from a to b; `told` are their replicas that have heard of it in their streams."""
    town.order(b, b.core.set_slot, SLOT, SlotAction.IMPORTING, a.id)
    town.order(a, a.core.set_slot, SLOT, SlotAction.MIGRATING, b.id)
    for replica in told:
        if replica.me.primary is replica.sees(a):
            tell(town, replica, SlotAction.MIGRATING, b.id)
        else:
            tell(town, replica, SlotAction.IMPORTING, a.id)


def tell(town: Town, replica: Resident, action: SlotAction, node_id: str) -> None:
    """What comes to a replica in its primary's stream."""
    replica.core.set_slot(SLOT, action, node_id, town.now_ms, told=True)
    town.carry_out(replica)


def test_a_replica_is_told_by_its_primary_alone(town: Town) -> None:
    a, b, of_a, of_b = town.cluster(2, 1)
    with pytest.raises(ClusterError, match="Please use SETSLOT only with masters"):
        of_a.core.set_slot(SLOT, SlotAction.MIGRATING, b.id, town.now_ms)
    tell(town, of_a, SlotAction.MIGRATING, b.id)
    tell(town, of_b, SlotAction.IMPORTING, a.id)
    assert of_a.core.state.migrating == {SLOT: of_a.sees(b)}
    assert of_b.core.state.importing == {SLOT: of_b.sees(a)}
    tell(town, of_a, SlotAction.STABLE, "")
    assert not of_a.core.state.migrating


def test_a_replica_that_is_told_who_owns_a_slot_tells_nobody(town: Town) -> None:
    """The new epoch, and the news, are its primary's business, which comes next."""
    a, b, _of_a, of_b = town.cluster(2, 1)
    open_slot(town, a, b, of_b)
    epoch, sent = of_b.core.state.current_epoch, len(of_b.sent(Ping))
    tell(town, of_b, SlotAction.NODE, b.id)
    assert SLOT in of_b.sees(b).slots
    assert not of_b.core.state.importing
    assert of_b.core.state.current_epoch == epoch
    assert len(of_b.sent(Ping)) == sent


def test_an_heir_goes_on_with_what_is_open(town: Town) -> None:
    a, b, of_a, of_b = town.cluster(2, 1)
    open_slot(town, a, b, of_a, of_b)
    town.order(of_a, of_a.core.failover, FailoverMode.FORCE)
    town.until(lambda: of_a.me.is_primary, 5_000)
    assert of_a.core.state.migrating == {SLOT: of_a.sees(b)}
    assert not a.core.state.migrating


def test_the_target_believes_the_heir_of_the_source(town: Town) -> None:
    """Else it would take the dead node for the slot's owner, and the slot for one that is not served."""
    a, b, of_a, _ = town.cluster(2, 1)
    open_slot(town, a, b)
    claim(town, of_a, b, a.me.slots, 9)
    assert SLOT in b.sees(of_a).slots
    assert b.core.state.importing == {SLOT: b.sees(of_a)}
    assert b.logged("A failover occurred on the other side of open slot 0")
    assert Persist(fsync=True) in b.batches[-1]


def test_the_source_sends_clients_to_the_heir_of_the_target(town: Town) -> None:
    a, b, _, of_b = town.cluster(2, 1)
    open_slot(town, a, b)
    claim(town, of_b, a, b.me.slots, 9)
    assert a.core.state.migrating == {SLOT: a.sees(of_b)}


def test_a_stranger_has_no_business_with_an_open_slot(town: Town) -> None:
    """An operator moves it: only the shard of the other side may say something of it."""
    a, b, c = town.cluster(3)
    open_slot(town, a, b)
    claim(town, c, b, c.me.slots | SlotSet([SLOT]), 9)
    assert SLOT in b.sees(a).slots
    assert b.core.state.importing == {SLOT: b.sees(a)}
    claim(town, c, a, c.me.slots, 10)
    assert a.core.state.migrating == {SLOT: a.sees(b)}


def test_a_replica_that_missed_the_end_of_a_move_hears_of_it(town: Town) -> None:
    a, b, of_a, of_b = town.cluster(2, 1)
    open_slot(town, a, b, of_a, of_b)
    for replica in (of_a, of_b):
        claim(town, b, replica, b.me.slots | SlotSet([SLOT]), 9)
        assert SLOT in replica.sees(b).slots
        assert not replica.core.state.migrating
        assert not replica.core.state.importing


def test_a_sibling_keeps_what_it_was_told(town: Town) -> None:
    """Who becomes a replica of its shard's heir knows what is open, and would be its heir in turn."""
    a, b, *replicas = town.cluster(2, 2)
    first, second = (each for each in replicas if each.me.primary is each.sees(a))
    open_slot(town, a, b, first, second)
    claim(town, first, second, a.me.slots, 9)
    assert second.me.primary is second.sees(first)
    assert second.core.state.migrating == {SLOT: second.sees(b)}


def test_who_comes_back_follows_its_shards_heir_not_who_took_a_slot_last(town: Town) -> None:
    """While a was away its replica took over, and then a slot was moved to b."""
    a, b, of_a, _ = town.cluster(2, 1)
    mine = a.me.slots
    claim(town, of_a, a, mine - SlotSet([SLOT]), 9)
    assert a.me.slots == SlotSet([SLOT])
    claim(town, b, a, b.me.slots | SlotSet([SLOT]), 10)
    assert a.me.primary is a.sees(of_a)


# Slots that were given away


def given(node: Resident) -> SlotSet:
    node.core.state.check()
    return node.core.state.given


def test_what_was_given_away_is_remembered_until_it_comes_back(town: Town) -> None:
    a, b = town.cluster(2)
    claim(town, b, a, b.me.slots | SlotSet([0, 1, 2]), 9)
    assert given(a) == SlotSet([0, 1, 2])
    town.order(a, a.core.set_slot, 1, SlotAction.IMPORTING, b.id)
    assert given(a) == SlotSet([0, 2])
    town.order(a, a.core.take_slots, SlotSet([2]), 9)
    assert given(a) == SlotSet([0])
    town.order(a, a.core.set_slot, 5, SlotAction.NODE, b.id)
    assert given(a) == SlotSet([0, 5])


def test_a_replica_has_given_nothing(town: Town) -> None:
    a, b, _ = town.cluster(3)
    claim(town, b, a, b.me.slots | SlotSet([0]), 9)
    assert given(a)
    claim(town, b, a, b.me.slots | a.me.slots, 10)
    assert a.me.is_replica
    assert not given(a)


def test_old_keys_of_slots_given_away_go_at_the_next_start(town: Town) -> None:
    """Its files may have them still. What else is in slots of others may be the only copy, and is kept."""
    a, b = town.cluster(2)
    claim(town, b, a, b.me.slots | SlotSet([0, 1]), 9)
    state = nodes_conf.load(nodes_conf.dump(a.core.state), town.now_ms, Random(1))
    assert state.given == SlotSet([0, 1])
    again = town.start(SETTINGS, state, Random(1))
    town.order(again, again.core.adopt_keys, SlotSet([0, 7, 16_383]))
    assert again.effects(SlotsLost) == [SlotsLost(SlotSet([0]))]
    assert set(again.core.state.importing) == {16_383}
    assert again.logged("I have keys for slot 16383")
