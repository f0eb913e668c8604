"""What extensions tell, and to whom they are sent (frames of Redis 7.0 know only the host name)."""

from __future__ import annotations

from dataclasses import replace

from gossip.messages import Extensions, ForgottenNode, MessageFlag, MessageType, Ping
from gossip.nodes_conf import dump
from gossip.testing.town import SETTINGS, Resident, Town

NAMED = SETTINGS.replace(announce_hostname="one.example.com", announce_human_nodename="Uno")


def pair(town: Town) -> tuple[Resident, Resident]:
    a, b = town.add(NAMED), town.add()
    town.join(a, b)
    town.run(2_000)
    return a, b


def last_ping(sender: Resident) -> Ping:
    return [ping for ping in sender.sent(Ping) if ping.type is MessageType.PING][-1]


def old_pong(town: Town, sender: Resident, receiver: Resident, extensions: Extensions) -> None:
    """A PONG as Redis 7.0 sends it."""
    link = receiver.sees(sender).link
    assert link is not None
    link.unanswered += 1
    header = replace(sender.header(), message_flags=MessageFlag.EXT_DATA)
    receiver.core.receive(link.id, Ping(header, MessageType.PONG, extensions=extensions), town.now_ms)
    receiver.core.drain()


def test_names_and_shards_are_told(town: Town) -> None:
    a, b = pair(town)
    assert (b.sees(a).hostname, b.sees(a).human_nodename) == ("one.example.com", "Uno")
    assert b.sees(a).shard_id == a.me.shard_id
    assert a.sees(b).hostname == ""


def test_addresses_for_clients_are_told_and_remembered(town: Town) -> None:
    a, b = town.add(SETTINGS.replace(announce_client_ipv4="203.0.113.5")), town.add()
    town.join(a, b)
    town.until(lambda: b.sees(a).client_ipv4 == "203.0.113.5", 2_000)
    a.core.settings = a.core.settings.replace(announce_client_ipv4="", announce_client_ipv6="2001:db8::5")
    town.carry_out(a)
    town.until(lambda: (b.sees(a).client_ipv4, b.sees(a).client_ipv6) == ("", "2001:db8::5"), 2_000)
    assert b",client-ipv6=2001:db8::5," in dump(b.core.state)


def test_every_header_says_that_extensions_are_understood(town: Town) -> None:
    a, _ = pair(town)
    assert all(ping.header.message_flags & MessageFlag.EXT_DATA for ping in a.sent(Ping))


def test_who_does_not_know_extensions_gets_none(town: Town) -> None:
    a, b = pair(town)
    town.freeze(b)
    a.sees(b).extensions = False
    town.run(600)
    assert last_ping(a).extensions == Extensions()


def test_who_is_silent_about_its_shard_gets_the_host_name_only(town: Town) -> None:
    """Redis 7.0 would warn in its log of every other extension."""
    a, b = pair(town)
    assert a.sees(b).understands_shards
    for _ in range(3):
        old_pong(town, b, a, Extensions(hostname="old.example.com"))
    assert not a.sees(b).understands_shards
    assert a.sees(b).hostname == "old.example.com"
    town.freeze(b)
    town.run(600)
    assert last_ping(a).extensions == Extensions(hostname="one.example.com")


def test_one_word_of_its_shard_and_it_gets_all_again(town: Town) -> None:
    a, b = pair(town)
    for _ in range(3):
        old_pong(town, b, a, Extensions(hostname="old.example.com"))
    town.say(b, a, Ping(b.header(), MessageType.PING, extensions=Extensions(shard_id=b.me.shard_id)))
    assert a.sees(b).understands_shards


def test_no_extension_at_all_takes_no_name_away(town: Town) -> None:
    """Its sender does not know yet that we understand them."""
    a, b = pair(town)
    town.say(a, b, Ping(a.header(), MessageType.PING))
    assert b.sees(a).hostname == "one.example.com"
    town.say(a, b, Ping(a.header(), MessageType.PING, extensions=Extensions(shard_id=a.me.shard_id)))
    assert b.sees(a).hostname == ""


def test_the_shard_of_a_primary_is_that_of_its_replicas(town: Town) -> None:
    a, b, replica, _ = town.cluster(2, 1)
    assert b.sees(replica).shard_id == b.sees(a).shard_id == a.me.shard_id == replica.me.shard_id


def test_we_do_not_forget_ourselves_or_our_primary_by_hearsay(town: Town) -> None:
    a, b, replica, _ = town.cluster(2, 1)
    forgotten = tuple(ForgottenNode(node.id, 60) for node in (a, replica))
    ping = Ping(b.header(), MessageType.PING, extensions=Extensions(shard_id="0" * 40, forgotten=forgotten))
    town.say(b, replica, ping)
    assert {a.id, replica.id} <= set(replica.core.state.members)
    assert not replica.core.state.forgotten


def test_a_changed_announcement_reaches_the_others(town: Town) -> None:
    """CONFIG SET cluster-announce-hostname."""
    a, b = pair(town)
    a.core.settings = a.core.settings.replace(announce_hostname="new.example.com")
    town.carry_out(a)
    assert a.me.hostname == "new.example.com"
    town.until(lambda: b.sees(a).hostname == "new.example.com", 2_000)
