"""Geo commands: what they record and tell."""

from __future__ import annotations

import pytest

from node.keyspace.changes import EventClass

ZSET, GENERIC = EventClass.ZSET, EventClass.GENERIC
SICILY = ("GEOADD", "g", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania")
NEAR = ("FROMLONLAT", 15, 37, "BYRADIUS", 200, "km")
FAR = ("FROMLONLAT", -100, 37, "BYRADIUS", 200, "km")


def test_replicas_are_told_the_scores(client, events, told):
    assert client.call(*SICILY) == 2
    assert client.call("GEOADD", "g", "NX", "CH", 1, 2, "Palermo") == 0
    assert client.call("GEOADD", "g", "XX", "CH", "13.4", "38.1", "Palermo") == 1
    assert events == [(ZSET, b"zadd", b"g")] * 2
    assert told[0] == [b"ZADD", b"g", b"3479099956230698", b"Palermo", b"3479447370796909", b"Catania"]
    assert told[1][:4] == [b"ZADD", b"g", b"XX", b"CH"]
    assert len(told) == 2


def test_after_a_geoadd_that_changed_nothing_the_next_command_is_told_as_it_came(client, told):
    client.call(*SICILY)
    client.call(*SICILY)
    client.call("SET", "k", "v")
    assert told[1:] == [[b"SET", b"k", b"v"]]


def test_a_place_that_is_none_leaves_all_as_it_was(client, events):
    assert client.error("GEOADD", "g", 1, 2, "a", 181, 2, "b") == (
        "ERR invalid longitude,latitude pair 181.000000,2.000000"
    )
    assert client.call("EXISTS", "g") == 0
    assert not events


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (("GEOSEARCHSTORE", "d", "g", *NEAR), b"geosearchstore"),
        (("GEORADIUS", "g", 15, 37, 200, "km", "STORE", "d"), b"georadiusstore"),
        (("GEORADIUSBYMEMBER", "g", "Palermo", 200, "km", "STOREDIST", "d"), b"georadiusstore"),
    ],
)
def test_a_stored_search_is_told_as_it_came(client, events, told, command, event):
    client.call(*SICILY)
    events.clear()
    assert client.call(*command) == 2
    assert events == [(ZSET, event, b"d")]
    assert told[-1] == [str(word).encode() for word in command]


def test_a_search_that_finds_nothing_removes_its_target(client, events):
    client.call(*SICILY)
    client.call("SET", "d", "v")
    events.clear()
    assert client.call("GEOSEARCHSTORE", "d", "g", *FAR) == 0
    assert client.call("GEOSEARCHSTORE", "d", "g", *FAR) == 0
    assert client.call("GEOSEARCHSTORE", "d", "missing", *FAR) == 0
    assert events == [(GENERIC, b"del", b"d")]


def test_those_at_the_same_distance_keep_the_order_in_which_they_are_found(client):
    for member in ("c", "a", "b"):
        client.call("GEOADD", "g", 15, 37, member)
    assert client.call("GEOSEARCH", "g", *NEAR, "ASC", "COUNT", 2) == [b"a", b"b"]
    assert client.call("GEOSEARCH", "g", *NEAR, "DESC", "COUNT", 2) == [b"a", b"b"]


def test_any_looks_no_further_than_it_must(client):
    client.call("GEOADD", "g", *(word for n in range(2000) for word in (15 + n / 1e5, 37, f"m{n:04}")))
    found = client.call("GEOSEARCH", "g", *NEAR, "COUNT", 300, "ANY")
    assert len(found) == len(set(found)) == 300
    assert client.call("GEOSEARCH", "g", *NEAR)[:300] == found
