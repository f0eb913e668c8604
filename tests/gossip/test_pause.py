"""A process that was stopped does not acknowledge writes before a majority has answered it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossip.effects import RoutesChanged
from gossip.health import Down
from gossip.messages import Fail, GossipEntry, MessageType, NodeFlag, Ping
from gossip.testing.town import SETTINGS, Resident, Town


def wake(town: Town, node: Resident) -> bool:
    """What the event loop does first when it runs again; no socket has been served yet."""
    town.thaw(node)
    woke = node.core.woke_up(town.now_ms)
    town.carry_out(node)
    return woke


def test_a_stopped_primary_refuses_at_once_when_it_runs_again(town: Town) -> None:
    a, *_ = town.cluster(3)
    town.freeze(a)
    town.run(SETTINGS.node_timeout_ms + 1)
    assert wake(town, a)
    assert (a.core.ok, a.core.down) == (False, Down.PAUSED)
    assert RoutesChanged() in a.batches[-1]


def test_a_gap_of_the_node_timeout_is_none(town: Town) -> None:
    a, *_ = town.cluster(3)
    a.core.tick(town.now_ms)
    town.freeze(a)
    town.run(SETTINGS.node_timeout_ms)
    assert not wake(town, a)
    assert a.core.ok


def test_an_idle_core_is_not_taken_for_a_stopped_one(town: Town) -> None:
    """There is always a deadline well within the node time-out."""
    for timeout_ms in (100, 1_000, 60_000):
        alone = Town().add(SETTINGS.replace(node_timeout_ms=timeout_ms))
        for _ in range(50):
            now_ms = alone.core.next_deadline_ms()
            assert not alone.core.woke_up(now_ms)
            alone.core.tick(now_ms)


def test_it_serves_again_when_a_majority_has_answered(town: Town) -> None:
    """Nobody replaced it: the answers of the others are enough, there is no further delay."""
    a, *_ = town.cluster(3)
    town.freeze(a)
    town.run(SETTINGS.node_timeout_ms + 10)
    wake(town, a)
    town.until(lambda: a.core.ok, 3_500)
    assert a.logged("Confirmed by a majority of masters after the pause.")


def test_a_replaced_primary_never_serves_again(town: Town) -> None:
    """A replica was elected meanwhile: the old primary becomes its replica without a moment of ok."""
    a, _, _, replica = town.cluster(3, 1)[:4]
    town.freeze(a)
    town.until(lambda: replica.me.is_primary, 10_000)
    town.run(1_000)
    wake(town, a)
    while a.me.is_primary:
        assert not a.core.ok
        town.run(1)
    assert a.me.primary is a.sees(replica)


def test_answers_from_before_the_pause_do_not_count(town: Town) -> None:
    """What waits in the sockets was written before; only a PONG to a new PING is an answer."""
    a, b, c = town.cluster(3)
    town.until(lambda: a.sees(b).ping_sent_ms == 0 and a.sees(c).ping_sent_ms == 0, 1_000)
    town.freeze(a)
    for member in (a.sees(b), a.sees(c)):
        link = member.link
        assert link is not None
        link.unanswered += 1
    town.run(SETTINGS.node_timeout_ms + 10)
    a.core.woke_up(town.now_ms)
    a.core.drain()
    for peer in (b, c):
        link = a.sees(peer).link
        assert link is not None
        a.core.receive(link.id, Ping(peer.header(), MessageType.PONG), town.now_ms)
    assert a.core.down is Down.PAUSED
    for peer in (b, c):
        link = a.sees(peer).link
        assert link is not None
        a.core.receive(link.id, Ping(peer.header(), MessageType.PONG), town.now_ms)
    assert a.core.down is not Down.PAUSED


@pytest.mark.parametrize("flag", [NodeFlag.PFAIL, NodeFlag.FAIL])
def test_who_calls_us_failing_does_not_confirm_us(town: Town, flag: NodeFlag) -> None:
    a, b, _ = town.cluster(3)
    town.freeze(a)
    town.run(SETTINGS.node_timeout_ms + 10)
    a.core.woke_up(town.now_ms)
    a.core.drain()
    entry = GossipEntry(a.id, 0, 0, a.me.ip, a.me.port, a.me.bus_port, NodeFlag.PRIMARY | flag)
    link = a.sees(b).link
    assert link is not None
    for _ in range(5):
        a.core.receive(link.id, Ping(b.header(), MessageType.PONG, (entry,)), town.now_ms)
    assert a.core.down is Down.PAUSED


def test_an_election_meanwhile_adds_the_rejoin_delay(town: Town) -> None:
    """A greater current epoch in an answer: its outcome may be on its way."""
    a, b, c = town.cluster(3)
    town.freeze(a)
    town.run(SETTINGS.node_timeout_ms + 10)
    a.core.woke_up(town.now_ms)
    town.carry_out(a)
    for peer in (b, c):
        link = a.sees(peer).link
        assert link is not None
        header = replace(peer.header(), current_epoch=50)
        for _ in range(5):
            a.core.receive(link.id, Ping(header, MessageType.PONG), town.now_ms)
    assert a.core.down is Down.PAUSED
    town.thaw(a)
    took_ms = town.until(lambda: a.core.down is not Down.PAUSED, 3_000)
    assert took_ms == SETTINGS.rejoin_delay_ms


def test_a_failed_primary_with_no_replica_is_confirmed_when_it_is_taken_back(town: Town) -> None:
    a, b, c = town.cluster(3)
    town.freeze(a)
    town.until(lambda: b.sees(a).failed and c.sees(a).failed, 5_000)
    wake(town, a)
    town.run(100)
    assert a.core.down is Down.PAUSED
    town.until(lambda: a.core.ok and b.core.ok, 10_000)


def test_the_pause_is_no_evidence_against_the_others(town: Town) -> None:
    """We did not hear from them because we did not listen."""
    a, b, c = town.cluster(3)
    town.cut((a, b), (a, c))
    town.run(300)
    town.freeze(a)
    town.run(5_000)
    town.heal()
    wake(town, a)
    assert not a.sees(b).pfail
    assert not a.sees(c).pfail


def test_a_stopped_replica_has_nothing_to_confirm(town: Town) -> None:
    _, _, _, replica = town.cluster(3, 1)[:4]
    town.freeze(replica)
    town.run(5_000)
    assert wake(town, replica)
    assert replica.core.down is not Down.PAUSED


def test_an_only_primary_has_nobody_to_ask(town: Town) -> None:
    a, _ = town.cluster(1, 1)
    town.freeze(a)
    town.run(5_000)
    wake(town, a)
    assert a.core.down is not Down.PAUSED


def test_a_failed_receiver_is_told_so(town: Town) -> None:
    a, b, c = town.cluster(3)
    town.say(b, a, Fail(b.header(), c.id))
    count = len(a.sent(Ping))
    town.run(900)
    told = [ping for ping in a.sent(Ping)[count:] if any(e.node == c.id for e in ping.gossip)]
    assert any(entry.flags & NodeFlag.FAIL for ping in told for entry in ping.gossip)
