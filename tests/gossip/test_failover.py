"""What follows an election, and the manual fail-over (the page of CLUSTER FAILOVER)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossip.admin import FailoverMode
from gossip.effects import (
    BecomePrimary,
    FollowPrimary,
    PauseWrites,
    Persist,
    ResumeWrites,
    RoutesChanged,
    Send,
)
from gossip.errors import ClusterError
from gossip.messages import AuthRequest, ManualFailoverStart, MessageFlag, MessageType, Ping
from gossip.testing.town import SETTINGS, Resident, Town


def test_the_winner_takes_all_slots_under_the_epoch_of_its_election(town: Town) -> None:
    """Once it wins, the replica claims its primary's slots with a configEpoch greater than any before."""
    a, b, c, replica = town.cluster(3, 1)[:4]
    slots = a.me.slots
    town.kill(a)
    town.until(lambda: replica.me.is_primary, 5_000)
    assert replica.me.slots == slots
    assert replica.me.config_epoch == replica.sent(AuthRequest)[0].header.current_epoch
    assert replica.me.config_epoch > max(b.me.config_epoch, c.me.config_epoch)
    assert b.sees(replica).slots == slots
    assert all(node.core.ok for node in (b, c, replica))


def test_the_promotion_is_on_disk_before_it_is_told(town: Town) -> None:
    """BecomePrimary and routing first, then the disk, then a PONG to everybody."""
    a, _, _, replica = town.cluster(3, 1)[:4]
    town.kill(a)
    town.until(lambda: replica.me.is_primary, 5_000)
    batch = next(batch for batch in replica.batches if BecomePrimary() in batch)
    kinds = [type(effect) for effect in batch]
    order = [kinds.index(kind) for kind in (BecomePrimary, RoutesChanged, Persist, Send)]
    assert order == sorted(order)
    assert Persist(fsync=True) in batch
    told = [e.message for e in batch if isinstance(e, Send) and isinstance(e.message, Ping)]
    assert {ping.type for ping in told} == {MessageType.PONG}
    assert len(told) == 4


def test_the_other_replicas_follow_the_winner(town: Town) -> None:
    nodes = town.cluster(3, 2, SETTINGS.replace(allow_replica_migration=False))
    a, *_ = nodes
    replicas = nodes[3:5]
    town.kill(a)
    town.until(lambda: any(node.me.is_primary for node in replicas), 5_000)
    winner, other = sorted(replicas, key=lambda node: node.me.is_replica)
    town.run(100)
    assert other.me.primary is other.sees(winner)
    assert other.effects(FollowPrimary)[-1] == FollowPrimary(winner.id, "127.0.0.1", winner.me.port)
    assert other.logged(f"Reconfiguring myself as a replica of {winner.id}")


def test_the_old_primary_comes_back_as_a_replica(town: Town) -> None:
    """A primary that returns finds its slots taken with a greater epoch, and follows who took them."""
    a, b, _c, replica = town.cluster(3, 1)[:4]
    town.isolate(a)
    town.until(lambda: replica.me.is_primary, 10_000)
    assert a.me.is_primary
    town.heal()
    town.until(lambda: a.me.is_replica, 5_000)
    assert a.me.primary is a.sees(replica)
    town.until(lambda: b.sees(a).primary is b.sees(replica), 5_000)
    assert a.effects(FollowPrimary)


def test_an_isolated_primary_stops_serving(town: Town) -> None:
    """In a minority partition a primary stops accepting writes within the node time-out."""
    a, *_ = town.cluster(3, 1)
    town.isolate(a)
    assert town.until(lambda: not a.core.ok, 5_000) <= 2 * SETTINGS.node_timeout_ms


# --- manual fail-over ----------------------------------------------------------------------------------


def start_failover(town: Town, replica: Resident, mode: FailoverMode = FailoverMode.NORMAL) -> None:
    town.order(replica, replica.core.failover, mode)


def test_the_primary_holds_its_writes_and_tells_where_it_stands(town: Town) -> None:
    a, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.processed = 90
    start_failover(town, replica)
    assert a.effects(PauseWrites) == [PauseWrites(town.now_ms + 10_000)]
    assert a.core.pausing_for_failover
    assert a.logged(f"Manual failover requested by replica {replica.id} ().")
    assert a.header().message_flags & MessageFlag.PAUSED
    assert replica.logged("Received replication offset for paused master manual failover: 100")


def test_the_replica_takes_over_when_it_has_processed_everything(town: Town) -> None:
    a, b, _, replica = town.cluster(3, 1)[:4]
    replica.host.processed = 90
    start_failover(town, replica)
    town.run(1_000)
    assert replica.me.is_replica
    replica.host.processed = 100
    assert town.until(lambda: replica.me.is_primary, 1_000) <= 20
    town.run(50)
    assert a.me.primary is a.sees(replica)
    assert a.effects(ResumeWrites) == [ResumeWrites()]
    assert not a.core.pausing_for_failover
    assert b.core.ok
    assert replica.sent(AuthRequest)[0].header.message_flags & MessageFlag.FORCE_ACK


def test_without_a_match_both_give_up_after_five_seconds(town: Town) -> None:
    a, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.processed = 90
    start_failover(town, replica)
    town.run(5_010)
    assert a.effects(ResumeWrites) == [ResumeWrites()]
    assert a.logged("Manual failover timed out.")
    assert replica.logged("Manual failover timed out.")
    replica.host.processed = 100
    town.run(5_000)
    assert replica.me.is_replica


def test_the_primary_repeats_its_offset(town: Town) -> None:
    """While paused, the primary pings the replica ten times a second."""
    a, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.processed = 90
    start_failover(town, replica)
    count = len(a.sent(Ping))
    town.run(1_000)
    assert len(a.sent(Ping)) - count >= 10


def test_only_a_replica_may_stop_its_primary(town: Town) -> None:
    a, _b, _, _, replica_of_b, _ = town.cluster(3, 1)
    town.say(replica_of_b, a, ManualFailoverStart(replica_of_b.header()))
    assert a.effects(PauseWrites) == []


def test_force_does_not_ask_the_primary(town: Town) -> None:
    """FORCE: no handshake with the primary, but votes."""
    _a, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.processed = 90
    start_failover(town, replica, FailoverMode.FORCE)
    assert replica.sent(ManualFailoverStart) == []
    assert replica.me.is_primary
    assert replica.logged("Forced failover user request accepted.")


def test_force_ignores_the_age_of_the_data_but_not_that_there_is_none(town: Town) -> None:
    _, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.age_ms = None
    start_failover(town, replica, FailoverMode.FORCE)
    town.run(6_000)
    assert replica.me.is_replica
    replica.host.age_ms = 10**9
    start_failover(town, replica, FailoverMode.FORCE)
    assert replica.me.is_primary


def test_takeover_asks_nobody(town: Town) -> None:
    """TAKEOVER: no majority needed, a new epoch by its own authority."""
    a, b, c, replica = town.cluster(3, 1)[:4]
    town.isolate(replica)
    start_failover(town, replica, FailoverMode.TAKEOVER)
    assert replica.me.is_primary
    assert replica.me.config_epoch > max(b.me.config_epoch, c.me.config_epoch)
    assert replica.sent(AuthRequest) == []
    town.heal()
    town.until(lambda: a.me.is_replica, 5_000)


def test_a_manual_failover_can_follow_an_expired_attempt_at_once(town: Town) -> None:
    _a, _, _, replica = town.cluster(3, 1)[:4]
    replica.host.processed = 90
    start_failover(town, replica)
    replica.host.processed = 100
    start_failover(town, replica)
    town.run(20)
    assert replica.me.is_primary


def test_failover_has_preconditions(town: Town) -> None:
    a, _b, _, replica = town.cluster(3, 1)[:4]
    with pytest.raises(ClusterError, match=r"^You should send CLUSTER FAILOVER to a replica$"):
        a.core.failover(FailoverMode.NORMAL, town.now_ms)
    link = replica.sees(a).link
    assert link is not None
    replica.core.link_closed(link.id, town.now_ms)
    with pytest.raises(ClusterError, match=r"^Master is down or failed, please use CLUSTER FAILOVER FORCE$"):
        replica.core.failover(FailoverMode.NORMAL, town.now_ms)


def test_a_replicas_primary_that_moves_is_followed_to_its_new_address(town: Town) -> None:
    a, _, _, replica = town.cluster(3, 1)[:4]
    town.say(a, replica, Ping(replace(a.header(), ip="10.1.1.1"), MessageType.PING))
    assert replica.effects(FollowPrimary)[-1] == FollowPrimary(a.id, "10.1.1.1", a.me.port)


def test_a_request_the_primary_ignored_is_repeated(town: Town) -> None:
    """A primary ignores MFSTART of one that it does not know to be its replica yet; it learns of it within
    seconds, and need not be told twice by the operator.
    """
    primary, _, _, replica = town.cluster(3, 1)[:4]
    seen = primary.sees(replica)
    primary.core.state.follow(seen, None)
    town.order(replica, replica.core.failover, FailoverMode.NORMAL)
    assert not primary.effects(PauseWrites)
    town.until(lambda: replica.me.is_primary, 4_000)
    assert len(replica.sent(ManualFailoverStart)) >= 2


def test_who_follows_tells_everybody_at_once(town: Town) -> None:
    """The new primary knows of its replica at once, and heeds its MFSTART."""
    a, b, _c, replica = town.cluster(3, 1)[:4]
    start_failover(town, replica)
    town.until(lambda: a.me.is_replica, 5_000)
    town.run(10)
    assert replica.sees(a).primary is replica.me
    assert b.sees(a).primary is b.sees(replica)
