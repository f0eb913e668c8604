"""Bitmap commands: what they record and tell, and that long strings are changed in place."""

from __future__ import annotations

from typing import Any

from node.keyspace.changes import EventClass

STRING, GENERIC = EventClass.STRING, EventClass.GENERIC
LONG_BIT = 8 * 10_000


def _value(node: Any, key: bytes) -> Any:
    return next(partition[key] for partition in node.databases[0].slots if partition and key in partition)


def test_a_change_is_told_and_what_changes_nothing_is_not(client, events):
    client.call("SETBIT", "k", 7, 0)  # the string becomes longer
    client.call("SETBIT", "k", 7, 0)
    client.call("SETBIT", "k", 7, 1)
    client.call("SETBIT", "k", 7, 1)
    client.call("BITFIELD", "k", "SET", "u8", 0, 1)
    client.call("BITFIELD", "k", "SET", "u8", 0, 2, "INCRBY", "u8", 0, 1)
    assert events == [(STRING, b"setbit", b"k")] * 3


def test_a_field_that_fails_has_made_the_string_longer_for_replicas_too(client, events):
    assert client.call("BITFIELD", "k", "OVERFLOW", "FAIL", "INCRBY", "u2", 100, 9) == [None]
    assert client.call("STRLEN", "k") == 13
    assert events == [(STRING, b"setbit", b"k")]


def test_bitop_of_nothing_removes_its_target(client, events):
    client.call("SET", "target", "v")
    assert client.call("BITOP", "OR", "target", "missing") == 0
    assert client.call("BITOP", "OR", "target", "missing") == 0
    assert events == [(STRING, b"set", b"target"), (GENERIC, b"del", b"target")]


def test_a_long_string_is_changed_in_place_and_a_short_one_stays_bytes(client, node):
    client.call("SETBIT", "long", LONG_BIT, 1)
    value = _value(node, b"long")
    for request in (
        ("SETBIT", "long", 3, 1),
        ("APPEND", "long", "tail"),
        ("SETRANGE", "long", 20, "patch"),
        ("BITFIELD", "long", "SET", "u8", 0, 9),
    ):
        client.call(*request)
    assert _value(node, b"long") is value
    assert type(value) is bytearray
    client.call("SETBIT", "short", 800, 1)
    assert type(_value(node, b"short")) is bytes


def test_a_reply_and_a_copy_do_not_change_with_the_string(client):
    client.call("SETBIT", "long", LONG_BIT, 1)
    before = client.raw("GET", "long")
    got = before[:]
    client.call("COPY", "long", "copy")
    client.call("SETBIT", "long", 0, 1)
    client.call("APPEND", "long", "x")
    assert got == before == client.raw("GET", "copy")
    assert client.raw("GET", "long") != before


def test_a_refused_change_leaves_the_string_alone(client):
    client.call("SETBIT", "long", LONG_BIT, 1)
    before = client.raw("GET", "long")
    assert "string exceeds" in client.error("SETRANGE", "long", 512 << 20, "x")
    assert "out of range" in client.error("SETBIT", "long", 1 << 32, 1)
    assert "out of range" in client.error("BITFIELD", "long", "SET", "u8", 0, 1, "SET", "u8", 1 << 32, 1)
    assert client.raw("GET", "long") == before
