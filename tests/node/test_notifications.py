"""Keyspace notifications: when they are looked at, expiry, and who else hears of a change."""

from __future__ import annotations

import pytest

from node.keyspace.database import Database
from node.keyspace.noting import NotingDatabase


@pytest.fixture
def heard(client, new_client):
    """Turns classes on; what is heard of them since the last time, as (channel, message)."""
    listener = new_client()
    listener.raw("PSUBSCRIBE", "__key*")
    listener.transport.sent = b""

    def choose(classes: str):
        client.call("CONFIG", "SET", "notify-keyspace-events", classes)

        def take() -> list[tuple[bytes, bytes]]:
            data, listener.transport.sent = listener.transport.sent, b""
            words = [word for word in data.split(b"\r\n") if word[:1] not in b"$*" or not word]
            return [(words[at + 2], words[at + 3]) for at in range(0, len(words) - 1, 4)]

        return take

    return choose


def test_nothing_is_looked_at_while_nothing_is_wanted(node, client):
    assert node.after.watchers == []
    for classes in ("KE", "A", "m", "n", ""):
        client.call("CONFIG", "SET", "notify-keyspace-events", classes)
        assert node.after.watchers == [], classes
        assert all(type(database) is Database for database in node.databases)
    client.call("CONFIG", "SET", "notify-keyspace-events", "KA")
    assert len(node.after.watchers) == 1
    assert all(type(database) is Database for database in node.databases)
    client.call("CONFIG", "SET", "notify-keyspace-events", "Em")
    assert node.after.watchers == []
    assert all(type(database) is NotingDatabase for database in node.databases)
    client.call("CONFIG", "SET", "notify-keyspace-events", "")
    assert all(type(database) is Database for database in node.databases)


def test_expiry_is_told_when_it_happens(node, client, heard, advance):
    take = heard("Ex")
    client.call("SET", "seen", "v", "PX", 100)
    client.call("SET", "unseen", "v", "PX", 100)
    advance(1000)
    assert take() == []
    client.call("GET", "seen")
    assert take() == [(b"__keyevent@0__:expired", b"seen")]
    node.cron.expire(1.0)
    assert take() == [(b"__keyevent@0__:expired", b"unseen")]


def test_fields_that_expire_are_told(node, client, heard, advance):
    take = heard("KA")
    client.call("HSET", "h", "a", 1, "b", 2)
    client.call("HPEXPIRE", "h", 100, "FIELDS", 1, "a")
    client.call("HPEXPIRE", "h", 200, "FIELDS", 1, "b")
    assert [event for _, event in take()] == [b"hset", b"hexpire", b"hexpire"]
    advance(150)
    client.call("HGET", "h", "a")
    assert [event for _, event in take()] == [b"hexpired"]
    advance(1000)
    node.cron.expire(1.0)
    assert [event for _, event in take()] == [b"hexpired", b"del"]


def test_an_event_of_a_transaction_comes_when_its_command_has_run(client, heard):
    take = heard("Kg$")
    client.raw("MULTI")
    client.raw("SET", "k", "v")
    client.raw("DEL", "k")
    assert take() == []
    client.raw("EXEC")
    assert take() == [(b"__keyspace@0__:k", b"set"), (b"__keyspace@0__:k", b"del")]


def test_a_miss_is_told_for_every_reader_and_no_change(node, client, heard):
    take = heard("Km")
    told: list[list[bytes]] = []
    node.after.tellers.append(lambda _db, words: told.append(words))
    before = node.changes.total
    client.call("GET", "none")
    client.raw("WATCH", "none")
    client.call("MGET", "none", "other")
    assert [event for _, event in take()] == [b"keymiss"] * 3
    client.raw("MULTI")
    assert client.raw("EXEC") == b"*0\r\n"
    assert node.changes.total == before
    assert told == []


def test_what_replicas_apply_is_told_there(node, client, heard):
    take = heard("K$")
    client.session.from_primary = True
    client.session.update_guard()
    client.raw("SET", "k", "v")
    assert take() == [(b"__keyspace@0__:k", b"set")]


def test_the_database_is_named(client, heard):
    take = heard("KE$")
    client.call("SELECT", 3)
    client.call("SET", "k", "v")
    assert take() == [(b"__keyspace@3__:k", b"set"), (b"__keyevent@3__:set", b"k")]
