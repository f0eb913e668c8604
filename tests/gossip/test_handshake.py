"""How nodes come to know each other: the specification's "Nodes handshake"."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossip.effects import Log, Send
from gossip.errors import ClusterError
from gossip.messages import GossipEntry, MessageType, NodeFlag, Ping
from gossip.testing.town import SETTINGS, Resident, Town


def test_meet_makes_two_nodes_know_each_other_by_their_names(town: Town) -> None:
    """MEET forces the receiver to accept the sender as part of the cluster."""
    a, b = town.add(), town.add()
    town.join(a, b)
    assert set(a.core.state.members) == set(b.core.state.members) == {a.id, b.id}
    assert not a.sees(b).handshake
    assert not b.sees(a).handshake
    assert a.sent(Ping)[0].type is MessageType.MEET
    assert MessageType.MEET not in [ping.type for ping in b.sent(Ping)]


def test_a_third_node_is_known_by_gossip(town: Town) -> None:
    """If A knows B and B knows C, B's gossip makes A and C know each other."""
    a, b, c = town.add(), town.add(), town.add()
    town.join(a, b)
    town.order(b, b.core.meet, "127.0.0.1", c.me.port, c.me.bus_port)
    town.until(lambda: c.id in a.core.state.members and a.id in c.core.state.members, 5_000)
    assert all(ping.type is not MessageType.MEET for ping in a.sent(Ping)[1:])


def test_a_handshake_without_answer_ends_after_the_node_timeout(town: Town) -> None:
    """A node in handshake lives for the node time-out, at least a second."""
    a = town.add(SETTINGS.replace(node_timeout_ms=500))
    town.order(a, a.core.meet, "127.0.0.1", 9, 10_009)
    town.run(990)
    assert [member.handshake for member in a.core.state.members.values()] == [False, True]
    town.run(20)
    assert list(a.core.state.members) == [a.id]


def test_meeting_twice_makes_one_handshake(town: Town) -> None:
    a = town.add()
    for _ in range(2):
        town.order(a, a.core.meet, "127.0.0.1", 9, 10_009)
    assert len(a.core.state.members) == 2


@pytest.mark.parametrize(
    "address", [("nowhere", 1, 2), ("127.0.0.1", 0, 2), ("::1", 1, 65_536), ("1.2.3", 7000, 17_000)]
)
def test_meeting_what_is_no_address_is_refused(town: Town, address: tuple[str, int, int]) -> None:
    a = town.add()
    with pytest.raises(ClusterError, match=f"^Invalid node address specified: {address[0]}:{address[1]}$"):
        a.core.meet(*address, town.now_ms)


def test_addresses_are_kept_in_their_normal_form(town: Town) -> None:
    a = town.add()
    town.order(a, a.core.meet, "0:0::1", 9, 10_009)
    assert [member.ip for member in a.core.state.members.values() if member.handshake] == ["::1"]


def test_meeting_itself_leaves_nothing_behind(town: Town) -> None:
    a = town.add()
    town.order(a, a.core.meet, "127.0.0.1", a.me.port, a.me.bus_port)
    town.run(1_000)
    assert list(a.core.state.members) == [a.id]
    assert not a.core.state.me.no_address


def test_meeting_a_known_node_keeps_one_entry(town: Town) -> None:
    """If the name behind a handshake is known already, the stand-in goes."""
    a, b = town.add(), town.add()
    town.join(a, b)
    town.order(a, a.core.meet, "127.0.0.1", b.me.port, b.me.bus_port)
    town.run(100)
    assert set(a.core.state.members) == {a.id, b.id}


def stranger_says(town: Town, receiver: Resident, message: Ping) -> list[Ping]:
    """What `receiver` replies to a message on a link from nobody it knows."""
    link = receiver.core.accepted("10.0.0.9", "10.0.0.1", town.now_ms)
    receiver.core.receive(link, message, town.now_ms)
    effects = receiver.core.drain()
    return [
        e.message for e in effects if isinstance(e, Send) and e.link == link and isinstance(e.message, Ping)
    ]


def stranger_ping(a: Resident) -> Ping:
    entry = GossipEntry("e" * 40, 0, 0, "10.0.0.8", 7000, 17_000, NodeFlag.PRIMARY)
    header = replace(a.header(), sender="f" * 40, current_epoch=99, replica_of="")
    return Ping(header, MessageType.PING, (entry,))


def test_a_stranger_is_answered_but_not_believed(town: Town) -> None:
    """Nodes accept pings from unknown nodes and reply, but take in nothing of what they say."""
    a, b = town.add(), town.add()
    town.join(a, b)
    replies = stranger_says(town, a, stranger_ping(a))
    assert [reply.type for reply in replies] == [MessageType.PONG]
    assert set(a.core.state.members) == {a.id, b.id}
    assert a.core.state.current_epoch < 99


def test_what_a_stranger_tells_with_its_meet_waits_until_it_is_known(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    stranger_says(town, a, replace(stranger_ping(a), type=MessageType.MEET))
    assert {member.ip for member in a.core.state.members.values() if member.handshake} == {"10.0.0.9"}
    assert "e" * 40 not in a.core.state.members


def test_gossip_about_nodes_with_impossible_names_is_ignored(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    entry = GossipEntry("X" * 40, 0, 0, "10.0.0.8", 7000, 17_000, NodeFlag.PRIMARY)
    town.say(b, a, Ping(b.header(), MessageType.PING, (entry,)))
    assert set(a.core.state.members) == {a.id, b.id}


def test_a_ping_from_another_address_moves_the_member(town: Town) -> None:
    """Address change of a known node: its PINGs tell where it is now."""
    a, b = town.add(), town.add()
    town.join(a, b)
    old_link = a.sees(b).link
    town.say(b, a, Ping(replace(b.header(), ip="10.1.1.1", bus_port=17_777), MessageType.PING))
    assert (a.sees(b).ip, a.sees(b).bus_port) == ("10.1.1.1", 17_777)
    assert a.sees(b).link is not old_link
    assert a.logged(f"Address updated for node {b.id} (), now 10.1.1.1:7002")


def test_a_node_that_answers_with_another_name_loses_its_address(town: Town) -> None:
    """A PONG with a non-matching id: who we knew is not at that address any more."""
    a, b = town.add(), town.add()
    town.join(a, b)
    b.core.reset(town.now_ms, hard=True)
    old = next(member for member in a.core.state.others())
    town.run(3_000)
    assert old.no_address
    assert old.ip == ""
    assert old.link is None


def test_a_node_without_address_is_found_again_by_its_own_ping(town: Town) -> None:
    a, b = town.add(), town.add()
    town.join(a, b)
    member = a.sees(b)
    town.say(b, a, Ping(replace(b.header(), sender="d" * 40), MessageType.PONG))
    assert not member.no_address
    link = member.link
    assert link is not None
    a.core.receive(link.id, Ping(replace(b.header(), sender="d" * 40), MessageType.PONG), town.now_ms)
    town.carry_out(a)
    assert member.no_address
    town.until(lambda: not member.no_address and member.link is not None, 5_000)
    assert member.ip == "127.0.0.1"


def test_a_node_learns_its_address_from_who_meets_it(town: Town) -> None:
    """The address a MEET reached us at is our address."""
    a, b = town.add(), town.add()
    assert b.me.ip == ""
    town.join(a, b)
    assert b.me.ip == "127.0.0.1"
    assert b.logged("IP address for this node updated to 127.0.0.1")


def test_an_announced_address_is_used_by_all(town: Town) -> None:
    """cluster-announce-ip, -port and -bus-port stand in every header and overrule what a socket shows."""
    a = town.add(SETTINGS.replace(announce_ip="192.0.2.1", announce_port=6000, announce_bus_port=17_001))
    b = town.add()
    town.join(b, a)
    assert a.me.ip == "192.0.2.1"
    assert (b.sees(a).ip, b.sees(a).port, b.sees(a).bus_port) == ("192.0.2.1", 6000, 17_001)


def test_a_node_with_our_own_name_is_shut_out(town: Town) -> None:
    """Two nodes with one nodes.conf: neither disturbs the other."""
    a, b = town.add(), town.add()
    town.join(a, b)
    link = a.core.accepted("10.0.0.9", "10.0.0.1", town.now_ms)
    a.core.receive(link, Ping(a.header(), MessageType.PING), town.now_ms)
    effects = a.core.drain()
    assert not [effect for effect in effects if isinstance(effect, Send)]
    assert any("nodes.conf used twice" in effect.text for effect in effects if isinstance(effect, Log))


def test_what_is_no_frame_closes_the_link(town: Town) -> None:
    a = town.add()
    link = a.core.accepted("10.0.0.9", "10.0.0.1", town.now_ms)
    a.core.bad_frame(link, "bad signature", town.now_ms)
    town.carry_out(a)
    assert a.core.links == []
    assert a.logged("10.0.0.9: bad signature")
