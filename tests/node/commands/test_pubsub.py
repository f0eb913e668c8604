"""SUBSCRIBE, PUBLISH and their kin: what the differential test does not see."""

from __future__ import annotations

import pytest

from gossip.slots import key_slot
from node import pubsub
from node.config import table as directives


def push(*parts):
    """A RESP3 push of bulk strings."""
    return b">%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def sent(client):
    """What a client has been sent since the last time."""
    data, client.transport.sent = client.transport.sent, b""
    return data


@pytest.fixture
def other(new_client):
    return new_client()


@pytest.fixture
def subscriber(new_client):
    """A RESP3 client that is subscribed to c, p* and the shard channel s."""
    client = new_client()
    client.raw("HELLO", 3)
    for request in ("SUBSCRIBE c", "PSUBSCRIBE p*", "SSUBSCRIBE s"):
        client.raw(*request.split())
    return client


# Order


def test_a_message_to_oneself_comes_behind_the_reply(subscriber):
    """A message must not come before, or in, the reply of the command that causes it (since Redis 7.2)."""
    assert subscriber.raw("PUBLISH", "c", "m") == b":1\r\n" + push(b"message", b"c", b"m")
    subscriber.raw("MULTI")
    subscriber.raw("PUBLISH", "c", "one")
    subscriber.raw("PUBLISH", "pat", "two")
    messages = push(b"message", b"c", b"one") + push(b"pmessage", b"p*", b"pat", b"two")
    assert subscriber.raw("EXEC") == b"*2\r\n:1\r\n:1\r\n" + messages


def test_messages_keep_their_order_in_a_pipeline(subscriber):
    requests = [
        [b"PUBLISH", b"c", b"1"], [b"GET", b"k"], [b"UNSUBSCRIBE", b"c"], [b"PUBLISH", b"c", b"2"], [b"PING"]
    ]  # fmt: skip
    out: list[bytes] = []
    subscriber.node.dispatcher.serve(subscriber.session, requests, out)
    assert b"".join(out) == (
        b":1\r\n" + push(b"message", b"c", b"1") + b"_\r\n"
        + b">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n" + b":0\r\n+PONG\r\n"
    )  # fmt: skip


def test_a_notification_of_ones_own_change_comes_behind_the_reply(subscriber, node):
    node.config.set_many([(b"notify-keyspace-events", b"KA")])
    subscriber.raw("SUBSCRIBE", "__keyspace@0__:k")
    assert subscriber.raw("SET", "k", "v") == b"+OK\r\n" + push(b"message", b"__keyspace@0__:k", b"set")
    subscriber.raw("MULTI")
    subscriber.raw("SET", "k", "v")
    subscriber.raw("DEL", "k")
    told = push(b"message", b"__keyspace@0__:k", b"set") + push(b"message", b"__keyspace@0__:k", b"del")
    assert subscriber.raw("EXEC") == b"*2\r\n+OK\r\n:1\r\n" + told


# Messages are no replies


def test_client_reply_holds_no_push_back(other, subscriber):
    subscriber.raw("CLIENT", "REPLY", "OFF")
    other.raw("PUBLISH", "c", "m")
    assert sent(subscriber) == push(b"message", b"c", b"m")
    assert subscriber.raw("SUBSCRIBE", "d") in (None, b"")
    assert sent(subscriber) == b">3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:3\r\n"
    assert subscriber.raw("PUBLISH", "d", "m") == push(b"message", b"d", b"m")


def test_each_gets_messages_in_its_own_protocol(client, other, subscriber):
    other.raw("SUBSCRIBE", "c")
    assert client.raw("PUBLISH", "c", "m") == b":2\r\n"
    assert sent(other) == b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
    assert sent(subscriber) == push(b"message", b"c", b"m")


def test_a_shard_channel_is_no_channel(client, subscriber):
    assert client.raw("PUBLISH", "s", "m") == b":0\r\n"
    assert client.raw("SPUBLISH", "c", "m") == b":0\r\n"
    assert client.raw("SPUBLISH", "pat", "m") == b":0\r\n"
    assert client.raw("SPUBLISH", "s", "m") == b":1\r\n"
    assert sent(subscriber) == push(b"smessage", b"s", b"m")


# Subscriptions end


def test_nothing_is_left_of_a_client_that_has_gone(node, subscriber):
    node.clients.remove(subscriber.session)
    for name, value in (*node.pubsub.info_clients(), *node.pubsub.info_stats()):
        assert value == 0, name
    assert node.pubsub._matching.match(b"pat") == []


def test_reset_ends_subscriptions_without_a_word(subscriber, client):
    assert subscriber.raw("RESET") == b"+RESET\r\n"
    assert client.raw("PUBLISH", "c", "m") == b":0\r\n"
    assert subscriber.raw("GET", "k") == b"$-1\r\n"
    assert not subscriber.session.guarded


def test_a_slot_that_moves_away_takes_its_shard_channels(node, subscriber, client):
    """Their subscribers are told; other slots' channels stay."""
    subscriber.raw("SSUBSCRIBE", "t")
    client.raw("SSUBSCRIBE", "s")
    node.pubsub.leave_slots(lambda slot: slot != key_slot(b"s"))
    assert sent(subscriber) == b">3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:1\r\n"
    assert sent(client) == b"*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n"
    assert client.raw("GET", "k") == b"$-1\r\n", "it is no subscriber any more"
    assert client.raw("PUBSUB", "SHARDCHANNELS") == b"*1\r\n$1\r\nt\r\n"


# Very many


def test_who_publishes_to_very_many_goes_on_in_the_next_turn(node, client, subscriber, monkeypatch, advance):
    monkeypatch.setattr(pubsub, "TURN_MESSAGES", 3)
    requests = [[b"PUBLISH", b"c", b"%d" % number] for number in range(8)]
    done = 0
    for turn in range(3):
        out: list[bytes] = []
        done += node.dispatcher.serve(client.session, requests[done:], out)
        assert len(out) == min(3, 8 - 3 * turn)
        if turn < 2:
            assert client.session.blocked is not None
            assert node.clients.blocked() == []
            assert client.transport.resumed == turn
            advance(1)
            node.timers.run_due(node.clock.now_ms)
            assert client.session.blocked is None
    assert done == 8
    assert sent(subscriber) == b"".join(push(b"message", b"c", b"%d" % number) for number in range(8))


def test_a_publisher_that_waits_for_its_turn_may_go(node, client, subscriber, monkeypatch, advance):
    monkeypatch.setattr(pubsub, "TURN_MESSAGES", 1)
    client.raw("PUBLISH", "c", "m")
    node.clients.remove(client.session)
    advance(1)
    node.timers.run_due(node.clock.now_ms)
    assert client.transport.resumed == 0


# What others see


def test_client_list_client_kill_and_info(node, client, subscriber):
    line = client.call("CLIENT", "LIST", "TYPE", "pubsub").decode()
    fields = dict(field.split("=", 1) for field in line.split())
    assert (fields["id"], fields["flags"]) == (str(subscriber.session.id), "P")
    assert (fields["sub"], fields["psub"], fields["ssub"]) == ("1", "1", "1")
    assert b"id=%d " % subscriber.session.id not in client.call("CLIENT", "LIST", "TYPE", "normal")
    info = node.info.text([b"clients", b"stats"]).decode()
    for field in ("pubsub_clients:1", "pubsub_channels:1", "pubsub_patterns:1", "pubsubshard_channels:1"):
        assert f"{field}\r\n" in info
    assert client.call("CLIENT", "KILL", "TYPE", "pubsub") == 1
    assert subscriber.transport.closed


def test_subscribers_have_an_output_buffer_limit_of_their_own(node, client, subscriber):
    limits = node.config[directives.CLIENT_OUTPUT_BUFFER_LIMIT]
    assert node.server.output_limit(client.session) == limits.normal
    assert node.server.output_limit(subscriber.session) == limits.pubsub
    subscriber.raw("RESET")
    assert node.server.output_limit(subscriber.session) == limits.normal


def test_what_is_published_is_told_to_replicas_and_to_no_file(node, client, told):
    filed: list[list[bytes]] = []

    def write(_db, words):
        filed.append(words)

    node.after.tellers.append(write)
    node.after.files.append(write)
    client.raw("PUBLISH", "c", "m")
    client.raw("SPUBLISH", "s", "m")
    client.raw("MULTI")
    client.raw("SET", "k", "v")
    client.raw("PUBLISH", "c", "m")
    client.raw("EXEC")
    publish = [b"PUBLISH", b"c", b"m"]
    change = [b"SET", b"k", b"v"]
    assert told == [publish, [b"SPUBLISH", b"s", b"m"], [b"MULTI"], change, publish, [b"EXEC"]]
    assert filed == [change]
