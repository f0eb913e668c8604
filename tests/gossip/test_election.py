"""Election: the specification's "Replica election and promotion", "Replica rank" and "Masters reply to ...".

The clusters here do without refused connections as evidence where the time of a failure matters.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossip.effects import Persist, Send
from gossip.election import COLLISION_WAIT_MS, RANK_DELAY_MS
from gossip.messages import AuthAck, AuthRequest, Fail, Message, MessageFlag, Ping
from gossip.slots import SlotSet
from gossip.testing.town import SETTINGS, Resident, Town

# --- the voter -----------------------------------------------------------------------------------------


def fail(town: Town, about: Resident, *believers: Resident) -> None:
    """Make some nodes believe that another has failed, by the word of one of them to the next."""
    for teller, believer in zip(believers[1:] + believers[:1], believers, strict=True):
        town.say(teller, believer, Fail(teller.header(), about.id))


def ask(
    town: Town, candidate: Resident, voter: Resident, epoch: int, *, force: bool = False, **changes: object
) -> bool:
    """Send an AUTH REQUEST that no core wrote; whether the voter votes for it."""
    before = len(voter.sent(AuthAck))
    header = replace(candidate.header(), current_epoch=epoch, **changes)  # type: ignore[arg-type]
    if force:
        header = replace(header, message_flags=header.message_flags | MessageFlag.FORCE_ACK)
    town.say(candidate, voter, AuthRequest(header))
    return len(voter.sent(AuthAck)) > before


@pytest.fixture
def quiet(town: Town) -> list[Resident]:
    """Three primaries and their replicas, which do not stand for election themselves."""
    return town.cluster(3, 1, SETTINGS.replace(node_timeout_ms=15_000, replica_no_failover=True))


def test_a_vote_is_given_to_the_replica_of_a_failed_primary(town: Town, quiet: list[Resident]) -> None:
    a, b, c, replica_of_a = quiet[:4]
    fail(town, a, b, c)
    assert ask(town, replica_of_a, b, 10)
    assert b.core.state.last_vote_epoch == 10
    assert b.sent(AuthAck)[-1].header.current_epoch == 10
    assert b.logged(f"Failover auth granted to {replica_of_a.id} () for epoch 10")


def test_a_vote_is_on_disk_before_it_is_sent(town: Town, quiet: list[Resident]) -> None:
    """lastVoteEpoch is persisted with fsync before the ACK leaves."""
    a, b, c, replica_of_a = quiet[:4]
    fail(town, a, b, c)
    ask(town, replica_of_a, b, 10)
    batch = next(
        batch
        for batch in b.batches
        if any(isinstance(effect, Send) and isinstance(effect.message, AuthAck) for effect in batch)
    )
    kinds = [type(effect) for effect in batch]
    assert Persist(fsync=True) in batch
    assert kinds.index(Persist) < kinds.index(Send)


def test_one_vote_an_epoch(town: Town, quiet: list[Resident]) -> None:
    """A primary votes a single time for a given epoch, and refuses all older ones."""
    a, b, c, replica_of_a, _, replica_of_c = quiet
    fail(town, a, b, c)
    assert ask(town, replica_of_a, b, 10)
    town.say(a, b, Fail(a.header(), c.id))
    assert not ask(town, replica_of_c, b, 10)
    assert b.logged("already voted for epoch 10")
    assert ask(town, replica_of_c, b, 11)


def test_no_vote_in_an_old_epoch(town: Town, quiet: list[Resident]) -> None:
    """No vote if the request's epoch is less than the voter's current epoch."""
    a, b, c, replica_of_a = quiet[:4]
    fail(town, a, b, c)
    town.say(c, b, Ping(replace(c.header(), current_epoch=20), c.sent(Ping)[-1].type))
    assert not ask(town, replica_of_a, b, 19)
    assert b.logged("reqEpoch (19) < curEpoch(20)")


def test_no_vote_while_the_primary_is_well_unless_forced(town: Town, quiet: list[Resident]) -> None:
    """A vote needs the primary flagged FAIL, or FORCE_ACK: a manual fail-over."""
    _a, b, _, replica_of_a = quiet[:4]
    assert not ask(town, replica_of_a, b, 10)
    assert b.logged("its master is up")
    assert ask(town, replica_of_a, b, 11, force=True)


def test_no_second_replica_of_a_primary_gets_a_vote_for_twice_the_timeout(town: Town) -> None:
    """No vote for a replica of the same primary before NODE_TIMEOUT * 2 has elapsed."""
    nodes = town.cluster(3, 2, SETTINGS.replace(node_timeout_ms=15_000, replica_no_failover=True))
    voter, first, second = nodes[1], *nodes[3:5]
    assert ask(town, first, voter, 10, force=True)
    town.run(29_900)
    assert not ask(town, second, voter, 11, force=True)
    assert voter.logged("can't vote about this master before 100 milliseconds")
    town.run(100)
    assert ask(town, second, voter, 12, force=True)


def test_the_same_candidate_gets_a_vote_in_every_epoch(town: Town, quiet: list[Resident]) -> None:
    """After a collision it asks anew, and there is no winner yet who needs the time (our addition)."""
    _a, b, _, replica_of_a = quiet[:4]
    assert ask(town, replica_of_a, b, 10, force=True)
    assert not ask(town, replica_of_a, b, 10, force=True)
    assert ask(town, replica_of_a, b, 11, force=True)


def test_no_vote_for_claims_older_than_the_owners(town: Town, quiet: list[Resident]) -> None:
    """The claimed slots must not have an owner with a greater config epoch than the request's."""
    a, b, c, replica_of_a = quiet[:4]
    fail(town, a, b, c)
    c_epoch = c.me.config_epoch
    assert not ask(town, replica_of_a, b, 10, slots=SlotSet([16_000]), config_epoch=c_epoch - 1)
    assert b.logged(f"slot 16000 epoch ({c_epoch}) > reqEpoch ({c_epoch - 1})")
    assert ask(town, replica_of_a, b, 11, slots=SlotSet([16_000]), config_epoch=c_epoch)


def test_primaries_and_replicas_of_nobody_get_no_vote(town: Town, quiet: list[Resident]) -> None:
    a, b, c, replica_of_a = quiet[:4]
    assert not ask(town, c, b, 10, force=True)
    assert b.logged("it is a master node")
    b.core.forget(a.id, town.now_ms)
    town.carry_out(b)
    assert not ask(town, replica_of_a, b, 11, force=True)
    assert b.logged("I don't know its master")


def test_who_serves_no_slots_has_no_vote(town: Town, quiet: list[Resident]) -> None:
    _a, b, _, replica_of_a, replica_of_b, _ = quiet
    assert not ask(town, replica_of_a, replica_of_b, 10, force=True)
    town.order(b, b.core.flush_slots)
    assert not ask(town, replica_of_a, b, 10, force=True)


# --- the candidate -------------------------------------------------------------------------------------


def requests(node: Resident) -> list[AuthRequest]:
    return list(dict.fromkeys(node.sent(AuthRequest)))


def test_an_only_replica_asks_at_once_and_is_elected(town: Town) -> None:
    """Our difference from Redis: nothing is waited for that need not be."""
    a, _b, _c, replica = town.cluster(3, 1)[:4]
    town.freeze(a)
    town.until(lambda: replica.sees(a).failed, 3_000)
    assert replica.me.is_primary
    assert replica.logged("Start of election delayed for 0 milliseconds (rank #0, offset 100).")
    assert replica.logged("Failover election won: I'm the new master.")


def test_the_epoch_of_an_election_is_new_and_on_disk_before_it_is_told(town: Town) -> None:
    """To be elected a replica increments its current epoch and asks for votes in it."""
    a, _b, _c, replica = town.cluster(3, 1)[:4]
    epoch = replica.core.state.current_epoch
    town.kill(a)
    town.until(lambda: bool(replica.sent(AuthRequest)), 3_000)
    assert requests(replica)[0].header.current_epoch == epoch + 1
    batch = next(batch for batch in replica.batches if AuthRequest in messages(batch))
    assert Persist(fsync=True) in batch


def messages(batch: list) -> list[type]:  # type: ignore[type-arg]
    return [type(effect.message) for effect in batch if isinstance(effect, Send)]


def test_voters_hear_of_the_failure_before_they_are_asked(town: Town) -> None:
    """FAIL and the request go on one link in this order, so no voter can still think the primary well."""
    a, b, c, replica = town.cluster(3, 1)[:4]
    town.kill(a)
    town.until(lambda: bool(replica.sent(AuthRequest)), 3_000)
    batch = next(batch for batch in replica.batches if AuthRequest in messages(batch))
    for voter in (b, c):
        link = replica.sees(voter).link
        kinds = [type(e.message) for e in batch if isinstance(e, Send) and link and e.link == link.id]
        assert kinds.index(Fail) < kinds.index(AuthRequest)


def failed_with_two_replicas(town: Town, offsets: tuple[int, int]) -> tuple[Resident, Resident]:
    """The first of three primaries is dead; its two replicas, with their offsets."""
    nodes = town.cluster(3, 2, SETTINGS.replace(allow_replica_migration=False))
    first, second = sorted(nodes[3:5], key=lambda node: node.id)
    first.host.processed, second.host.processed = offsets
    town.kill(nodes[0])
    town.until(lambda: first.sees(nodes[0]).failed, 3_000)
    return first, second


def test_the_replica_with_the_most_data_is_elected(town: Town) -> None:
    """The best-ranked replica asks at once, although what gossip told of offsets was old."""
    behind, ahead = failed_with_two_replicas(town, (500, 900))
    assert ahead.me.is_primary
    assert behind.me.is_replica
    assert behind.sent(AuthRequest) == []
    assert ahead.logged("Start of election delayed for 0 milliseconds (rank #0, offset 900).")
    assert behind.logged(f"Start of election delayed for {RANK_DELAY_MS} milliseconds (rank #1, offset 500).")


def test_of_equal_replicas_the_smaller_id_is_first(town: Town) -> None:
    """Ranks differ, so that votes are not split."""
    smaller, greater = failed_with_two_replicas(town, (700, 700))
    assert smaller.me.is_primary
    assert greater.sent(AuthRequest) == []


def test_the_second_ranked_asks_after_its_delay(town: Town) -> None:
    """Rank k asks k * RANK_DELAY_MS later, if the better ones have not been elected."""
    nodes = town.cluster(3, 2, SETTINGS.replace(allow_replica_migration=False))
    a, b, c, best, second = nodes[:5]
    best.host.processed = 900
    town.cut((best, b), (best, c))
    town.kill(a)
    town.until(lambda: second.sees(a).failed, 3_000)
    assert second.sent(AuthRequest) == []
    assert 480 <= town.until(lambda: second.me.is_primary, 3_000) <= 520


def test_a_sibling_that_does_not_answer_is_not_waited_for_long(town: Town) -> None:
    nodes = town.cluster(3, 2, SETTINGS.replace(allow_replica_migration=False))
    a, _, _, first, second = nodes[:5]
    town.freeze(second)
    town.kill(a)
    town.until(lambda: first.sees(a).failed, 3_000)
    assert first.me.is_replica
    assert town.until(lambda: first.me.is_primary, 3_000) <= 200 + RANK_DELAY_MS + 10


def test_a_replica_that_never_had_the_data_does_not_stand(town: Town) -> None:
    a, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.age_ms = None
    town.kill(a)
    town.run(20_000)
    assert replica.sees(a).failed
    assert replica.sent(AuthRequest) == []
    assert replica.logged("Currently unable to failover: Disconnected from master for longer than allowed.")


@pytest.mark.parametrize(
    ("age_ms", "factor", "stands"), [(21_000, 10, True), (21_001, 10, False), (10**9, 0, True)]
)
def test_old_data_is_not_put_up_for_election(town: Town, age_ms: int, factor: int, stands: bool) -> None:
    """Validity: cut off for at most node time-out * factor + the ping period (+ the time-out to notice)."""
    a, _, _, replica = town.cluster(3, 1, SETTINGS.replace(replica_validity_factor=factor))[:4]
    replica.host.age_ms = age_ms
    town.kill(a)
    town.run(5_000)
    assert replica.me.is_primary is stands


def test_no_failover_means_no_candidate(town: Town) -> None:
    """cluster-replica-no-failover; the flag is told, so that siblings do not count with it."""
    a, b, _, replica = town.cluster(3, 1, SETTINGS.replace(replica_no_failover=True))[:4]
    town.kill(a)
    town.run(5_000)
    assert b.sees(a).failed
    assert replica.me.is_replica
    assert b.sees(replica).no_failover


def test_a_minority_elects_nobody_and_the_attempt_is_repeated(town: Town) -> None:
    """Votes are waited for for max(2 * time-out, 2 s); the next try follows after twice that."""
    nodes = town.cluster(5, 1)
    a, _b, c, d, e, replica = nodes[:6]
    town.cut(*((replica, voter) for voter in (c, d, e)))
    town.kill(a)
    town.until(lambda: bool(replica.sent(AuthRequest)), 5_000)
    assert town.until(lambda: len(requests(replica)) == 2, 10_000) >= 3_900
    assert replica.me.is_replica
    first, second = requests(replica)
    assert second.header.current_epoch > first.header.current_epoch


def test_votes_of_an_older_epoch_do_not_count(town: Town) -> None:
    """A replica discards ACKs whose epoch is less than that of its election."""
    a, b, c, replica, *_ = town.cluster(3, 1)
    town.kill(b)
    town.kill(c)
    for voter in (b, c):
        deliver(town, replica, voter, Fail(voter.header(), a.id))
    epoch = requests(replica)[-1].header.current_epoch
    for voter in (b, c):
        deliver(town, replica, voter, AuthAck(replace(voter.header(), current_epoch=epoch - 1)))
    assert replica.me.is_replica
    for voter in (b, c):
        deliver(town, replica, voter, AuthAck(replace(voter.header(), current_epoch=epoch)))
    assert replica.me.is_primary


def deliver(town: Town, receiver: Resident, sender: Resident, message: Message) -> None:
    """Hand a message over on a link of its own."""
    link = receiver.core.accepted("127.0.0.1", "127.0.0.1", town.now_ms)
    receiver.core.receive(link, message, town.now_ms)
    town.carry_out(receiver)


def test_one_voter_counts_once_and_only_with_slots(town: Town) -> None:
    a, b, c, replica, replica_of_b, _ = town.cluster(3, 1)
    for node in (b, c, replica_of_b):
        town.kill(node)
    deliver(town, replica, b, Fail(b.header(), a.id))
    epoch = requests(replica)[-1].header.current_epoch
    for voter in (b, b, replica_of_b):
        deliver(town, replica, voter, AuthAck(replace(voter.header(), current_epoch=epoch)))
    assert replica.me.is_replica


def test_primaries_that_fail_together_are_replaced_one_after_the_other(town: Town) -> None:
    """Their replicas take turns, so that each election has an epoch of its own."""
    nodes = town.cluster(7, 1)
    lost, replicas = nodes[:3], nodes[7:10]
    for node in lost:
        town.kill(node)
    town.until(lambda: all(node.me.is_primary for node in replicas), 2_000)
    epochs = [request.header.current_epoch for node in replicas for request in requests(node)]
    assert len(set(epochs)) == len(epochs) == 3
    by_lost_id = sorted(zip(lost, replicas, strict=True), key=lambda pair: pair[0].id)
    assert [node.me.config_epoch for _, node in by_lost_id] == sorted(epochs)


def test_candidates_that_collide_ask_again_in_new_epochs(town: Town) -> None:
    """Each hears the other's request in its own epoch, and does not wait for its attempt to expire."""
    a, _b, c, replica, _, replica_of_c = town.cluster(3, 1)
    for node in (_b, c, replica_of_c):
        town.kill(node)
    deliver(town, replica, c, Fail(c.header(), a.id))
    (request,) = requests(replica)
    rival = replace(replica_of_c.header(), current_epoch=request.header.current_epoch)
    deliver(town, replica, replica_of_c, AuthRequest(rival))
    town.run(COLLISION_WAIT_MS)
    again = requests(replica)[-1]
    assert again.header.current_epoch == request.header.current_epoch + 1
    for voter, epoch in ((_b, request), (c, again)):
        deliver(
            town, replica, voter, AuthAck(replace(voter.header(), current_epoch=epoch.header.current_epoch))
        )
    assert replica.me.is_replica
    deliver(town, replica, c, AuthAck(replace(c.header(), current_epoch=request.header.current_epoch)))
    assert replica.me.config_epoch == request.header.current_epoch
