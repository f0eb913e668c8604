"""Failure detection: the specification's "Heartbeat and gossip messages" and "Failure detection"."""

from __future__ import annotations

from dataclasses import replace

from gossip.effects import CloseLink, OpenLink
from gossip.messages import Fail, GossipEntry, MessageType, NodeFlag, Ping, Publish
from gossip.testing.town import SETTINGS, Resident, Town

NO_REFUSALS = SETTINGS.replace(refusals_are_evidence=False)


def report(reporter: Resident, about: Resident, flag: NodeFlag = NodeFlag.PFAIL) -> Ping:
    member = reporter.sees(about)
    entry = GossipEntry(about.id, 0, 0, member.ip, member.port, member.bus_port, NodeFlag.PRIMARY | flag)
    return Ping(reporter.header(), MessageType.PING, (entry,))


def test_every_member_is_pinged_within_half_the_node_timeout(town: Town) -> None:
    """Every node makes sure to ping every other node not heard from for more than half the node time-out."""
    nodes = town.cluster(3)
    for _ in range(20):
        town.run(137)
        for node in nodes:
            for member in node.core.state.others():
                silence_ms = town.now_ms - member.pong_received_ms
                assert silence_ms <= SETTINGS.node_timeout_ms // 2 + 1, (node.id, member)


def test_one_member_a_second_is_pinged_at_random(town: Town) -> None:
    """With a long time-out, what is left is the random PING each second."""
    nodes = town.cluster(3, settings=SETTINGS.replace(node_timeout_ms=60_000))
    before = [len(node.sent(Ping)) for node in nodes]
    town.run(10_000)
    pings = sum(
        ping.type is MessageType.PING
        for node, n in zip(nodes, before, strict=True)
        for ping in node.sent(Ping)[n:]
    )
    assert 25 <= pings <= 33


def test_silence_for_the_node_timeout_is_pfail(town: Town) -> None:
    """A node is flagged PFAIL when it is not reachable for more than the node time-out."""
    a, b, _ = town.cluster(3, settings=NO_REFUSALS)
    town.cut((a, b))
    town.run(900)
    assert not a.sees(b).pfail
    town.run(700)
    assert a.sees(b).pfail


def test_any_message_proves_its_sender_alive(town: Town) -> None:
    """Data received counts: a busy link may delay a PONG."""
    a, b, _ = town.cluster(3)
    town.cut((a, b))
    for _ in range(30):
        town.run(100)
        link = a.sees(b).link
        assert link is not None
        a.core.receive(link.id, Publish(b.header(), b"channel", b"payload"), town.now_ms)
        town.carry_out(a)
    assert not a.sees(b).pfail


def test_pfail_of_one_is_no_fail(town: Town) -> None:
    """PFAIL is local; it becomes FAIL only when the majority of primaries agrees."""
    a, b, c = town.cluster(3)
    town.cut((a, b))
    town.until(lambda: a.sees(b).pfail, 3_000)
    town.run(5_000)
    assert a.sees(b).pfail
    assert not a.sees(b).failed
    assert not c.sees(b).unreachable


def test_the_majority_makes_it_fail(town: Town) -> None:
    """Reports from the majority of primaries turn PFAIL into FAIL, and a FAIL message tells everyone."""
    a, b, c, replica = town.cluster(3, 1)[:4]
    town.freeze(c)
    town.until(lambda: all(node.sees(c).failed for node in (a, b, replica)), 3_000)
    assert any(
        node.logged(f"Marking node {c.id} () as failing (quorum reached).") for node in (a, b, replica)
    )
    assert sum(len(node.sent(Fail)) for node in (a, b, replica)) >= 3


def test_a_report_without_own_suspicion_is_not_enough(town: Town) -> None:
    a, b, c, d, e = town.cluster(5)
    for reporter in (b, c, d):
        town.say(reporter, a, report(reporter, e))
    assert a.core.count_failure_reports(e.id, town.now_ms) == 3
    assert not a.sees(e).unreachable


def test_reports_expire_after_twice_the_node_timeout(town: Town) -> None:
    """Failure reports have a validity of twice the node time-out."""
    a, b, c = town.cluster(3)
    town.say(b, a, report(b, c))
    town.cut((a, b))
    town.run(2 * SETTINGS.node_timeout_ms)
    assert a.core.count_failure_reports(c.id, town.now_ms) == 1
    town.run(1)
    assert a.core.count_failure_reports(c.id, town.now_ms) == 0


def test_a_report_is_withdrawn_when_its_reporter_sees_the_node_well(town: Town) -> None:
    a, b, c = town.cluster(3)
    town.say(b, a, report(b, c))
    town.say(b, a, report(b, c, NodeFlag(0)))
    assert a.core.count_failure_reports(c.id, town.now_ms) == 0
    assert a.logged(f"reported node {c.id} () is back online.")


def test_only_primaries_with_slots_report(town: Town) -> None:
    """Replicas have no part in the majority."""
    nodes = town.cluster(2, 1)
    a, b, _, replica_of_b = nodes
    town.say(replica_of_b, a, report(replica_of_b, b))
    assert a.core.count_failure_reports(b.id, town.now_ms) == 0


def test_a_fail_message_is_believed(town: Town) -> None:
    """The FAIL message forces every receiver to mark the node as failing."""
    a, b, c = town.cluster(3)
    town.say(b, a, Fail(b.header(), c.id))
    assert a.sees(c).failed
    assert a.logged(f"FAIL message received from {b.id} () about {c.id} ()")


def test_a_fail_message_from_a_stranger_or_about_us_is_not(town: Town) -> None:
    a, b, c = town.cluster(3)
    town.say(b, a, Fail(b.header(), a.id))
    link = a.core.accepted("10.0.0.9", "10.0.0.1", town.now_ms)
    a.core.receive(link, Fail(replace(b.header(), sender="f" * 40), c.id), town.now_ms)
    town.carry_out(a)
    assert not a.me.failed
    assert not a.sees(c).failed
    assert a.logged(f"Ignoring FAIL message from unknown node {'f' * 40} about {c.id}")


def test_pfail_ends_with_an_answer(town: Town) -> None:
    a, b, _ = town.cluster(3)
    town.cut((a, b))
    town.until(lambda: a.sees(b).pfail, 3_000)
    town.heal()
    town.until(lambda: not a.sees(b).pfail, 2_000)


def test_a_failed_replica_is_cleared_at_once(town: Town) -> None:
    """FAIL of a replica, or of a primary without slots, is cleared when it is reachable again."""
    a, b, _c, replica = town.cluster(3, 1)[:4]
    town.say(b, a, Fail(b.header(), replica.id))
    assert a.sees(replica).failed
    town.until(lambda: not a.sees(replica).failed, SETTINGS.node_timeout_ms)
    assert a.logged(f"Clear FAIL state for node {replica.id} (): replica is reachable again.")


def test_a_failed_primary_with_slots_is_cleared_after_twice_the_timeout(town: Town) -> None:
    """A primary is cleared when, after N times the node time-out, there is no promotion."""
    a, b, c = town.cluster(3)
    town.say(b, a, Fail(b.header(), c.id))
    town.run(2 * SETTINGS.node_timeout_ms)
    assert a.sees(c).failed
    town.until(lambda: not a.sees(c).failed, SETTINGS.node_timeout_ms)
    assert a.logged("nobody is serving its slots after some time.")


def test_a_link_that_went_dead_is_opened_again(town: Town) -> None:
    """No data for half the node time-out on a link that old: the connection may be the problem."""
    a, b, _ = town.cluster(3)
    town.run(3_000)
    link = a.sees(b).link
    assert link is not None
    town.cut((a, b))
    town.until(lambda: a.sees(b).link is not link, 2_000)
    assert CloseLink(link.id) in a.effects(CloseLink)
    town.heal()
    town.run(2_000)
    assert not a.sees(b).unreachable


def test_a_heartbeat_tells_of_a_tenth_of_the_members_but_at_least_three(town: Town) -> None:
    """Gossip sections: a tenth of the nodes, at least three, as far as there are that many."""
    small = town.cluster(3)
    assert max(len(ping.gossip) for ping in small[0].sent(Ping)) == 1
    bigger = Town().cluster(6)
    assert max(len(ping.gossip) for ping in bigger[0].sent(Ping)) == 3


def test_all_suspects_are_in_every_heartbeat(town: Town) -> None:
    a, _b, _c, _d, e, f = town.cluster(6, settings=NO_REFUSALS)
    town.cut((a, e), (a, f))
    town.until(lambda: a.sees(e).pfail and a.sees(f).pfail, 3_000)
    count = len(a.sent(Ping))
    town.run(1_000)
    for ping in a.sent(Ping)[count:]:
        told = {entry.node for entry in ping.gossip if entry.flags & NodeFlag.PFAIL}
        assert told == {e.id, f.id}


def test_a_pong_told_by_others_saves_a_ping(town: Town) -> None:
    """A fresher PONG time in gossip about a member that is well counts as ours."""
    a, b, c = town.cluster(3)
    town.run(1_000)
    told_s = town.now_ms // 1000
    town.until(lambda: a.sees(c).ping_sent_ms == 0, 1_000)
    a.sees(c).pong_received_ms = town.now_ms - 5_000
    entry = replace(report(b, c, NodeFlag(0)).gossip[0], pong_received_s=told_s)
    town.say(b, a, Ping(b.header(), MessageType.PONG, (entry,)))
    assert a.sees(c).pong_received_ms == told_s * 1000


def test_a_time_in_the_future_is_not_believed(town: Town) -> None:
    a, b, c = town.cluster(3)
    before_ms = a.sees(c).pong_received_ms
    entry = replace(report(b, c, NodeFlag(0)).gossip[0], pong_received_s=town.now_ms // 1000 + 10)
    town.say(b, a, Ping(b.header(), MessageType.PONG, (entry,)))
    assert a.sees(c).pong_received_ms == before_ms


# refused connections


def test_two_refusals_make_a_member_suspect_at_once(town: Town) -> None:
    """A host that refuses connections is up, and the process is dead: no need for the node time-out."""
    a, b, c = town.cluster(3, settings=SETTINGS.replace(node_timeout_ms=15_000))
    town.kill(c)
    took_ms = town.until(lambda: a.sees(c).unreachable, 1_000)
    assert 100 <= took_ms <= 210
    town.until(lambda: a.sees(c).failed and b.sees(c).failed, 1_500)


def test_a_process_back_within_the_window_is_never_suspected(town: Town) -> None:
    a, _, c = town.cluster(3, settings=SETTINGS.replace(node_timeout_ms=15_000, refusal_window_ms=300))
    town.kill(c)
    town.run(250)
    assert a.sees(c).refused_since_ms
    assert not a.sees(c).unreachable
    town.revive(c)
    town.run(2_000)
    assert not a.sees(c).unreachable
    assert a.sees(c).refused_since_ms == 0


def test_refusals_are_no_evidence_when_switched_off(town: Town) -> None:
    settings = NO_REFUSALS.replace(node_timeout_ms=15_000)
    a, b, c = town.cluster(3, settings=settings)
    town.kill(c)
    town.run(10_000)
    assert not a.sees(c).unreachable
    town.until(lambda: a.sees(c).failed and b.sees(c).failed, 15_000)


def test_a_member_never_reached_is_not_judged_by_refusals(town: Town) -> None:
    """Its address may be wrong or its process not started yet."""
    settings = SETTINGS.replace(node_timeout_ms=15_000)
    a, b = town.add(settings), town.add(settings)
    town.join(a, b)
    entry = GossipEntry("e" * 40, 0, 0, "127.0.0.1", 9, 10_009, NodeFlag.PRIMARY)
    town.say(b, a, Ping(b.header(), MessageType.PING, (entry,)))
    town.run(5_000)
    assert len([open for open in a.effects(OpenLink) if open.node_id == "e" * 40]) > 10
    assert not a.core.state.members["e" * 40].unreachable


def test_refused_handshakes_are_tried_until_their_time_is_over(town: Town) -> None:
    a = town.add()
    town.order(a, a.core.meet, "127.0.0.1", 9, 10_009)
    town.run(900)
    (member,) = (m for m in a.core.state.members.values() if m.handshake)
    assert not member.unreachable


def test_suspicion_of_a_primary_is_told_to_its_replicas_at_once(town: Town) -> None:
    """They have to learn of the majority before anybody else."""
    settings = SETTINGS.replace(node_timeout_ms=15_000)
    a, _b, c, *_, replica_of_c = town.cluster(3, 1, settings=settings)
    town.kill(c)
    town.until(lambda: a.sees(c).unreachable, 1_000)
    assert replica_of_c.sees(c).failed


# time


def test_nothing_is_done_between_deadlines(town: Town) -> None:
    """The core is idle until `next_deadline_ms`; a tick before that changes nothing."""
    a, *_ = town.cluster(3)
    due_ms = a.core.next_deadline_ms()
    assert due_ms > town.now_ms
    a.core.tick(due_ms - 1)
    assert a.core.drain() == []


def test_changed_settings_move_deadlines(town: Town) -> None:
    a, b, _ = town.cluster(3, settings=SETTINGS.replace(node_timeout_ms=60_000))
    town.cut((a, b))
    a.core.settings = a.core.settings.replace(node_timeout_ms=1_000)
    town.carry_out(a)
    town.until(lambda: a.sees(b).pfail, 2_500)
