"""HyperLogLog commands: what they record and tell, and what they leave alone."""

from __future__ import annotations

from node.keyspace.changes import EventClass
from node.values import hyperloglog

STRING = EventClass.STRING


def test_only_what_changes_registers_is_told(client, events, told):
    assert client.call("PFADD", "h") == 1
    assert client.call("PFADD", "h") == 0
    assert client.call("PFADD", "h", "a") == 1
    assert client.call("PFADD", "h", "a") == 0
    assert events == [(STRING, b"pfadd", b"h")] * 2
    assert told == [[b"PFADD", b"h"], [b"PFADD", b"h", b"a"]]


def test_an_estimate_is_kept_and_told_once_and_is_no_event(client, events, told):
    client.call("PFADD", "h", "a", "b")
    events.clear()
    told.clear()
    assert client.call("PFCOUNT", "h") == client.call("PFCOUNT", "h") == 2
    assert events == [(STRING, b"", b"h")]
    assert told == [[b"PFCOUNT", b"h"]]


def test_a_replica_keeps_no_estimate_for_its_clients(client, node, events):
    client.call("PFADD", "h", "a", "b")
    before = client.raw("GET", "h")
    events.clear()
    node.policy.expires = False
    assert client.call("PFCOUNT", "h") == 2
    assert not events
    assert client.raw("GET", "h") == before
    node.policy.obeys = True
    assert client.call("PFCOUNT", "h") == 2
    assert client.raw("GET", "h") != before


def test_several_are_counted_together_and_stay_as_they_are(client, events):
    client.call("PFADD", "a", 1, 2)
    client.call("PFADD", "b", 2, 3)
    before = client.raw("GET", "a"), client.raw("GET", "b")
    events.clear()
    assert client.call("PFCOUNT", "a", "b", "missing") == 3
    assert not events
    assert (client.raw("GET", "a"), client.raw("GET", "b")) == before


def test_a_dense_one_is_changed_in_place(client, node):
    client.call("PFADD", "h", *range(5000))
    partition = next(slot for slot in node.databases[0].slots if slot)
    value = partition[b"h"]
    assert type(value) is bytearray
    client.call("PFADD", "h", *range(5000, 6000))
    client.call("PFCOUNT", "h")
    assert partition[b"h"] is value
    assert hyperloglog.is_dense(value)


def test_a_corrupted_one_is_left_as_it_is(client, events):
    corrupted = hyperloglog.EMPTY[:15] + b"\x80" + b"\x80\x40\x10"
    client.call("SET", "h", corrupted)
    client.call("PFADD", "good", "a")
    events.clear()
    for request in (
        ("PFADD", "h", *range(50)),
        ("PFCOUNT", "h"),
        ("PFCOUNT", "h", "good"),
        ("PFMERGE", "good", "h"),
        ("PFMERGE", "new", "h"),
        ("PFDEBUG", "TODENSE", "h"),
        ("PFDEBUG", "GETREG", "h"),
    ):
        assert client.error(*request) == "INVALIDOBJ Corrupted HLL object detected"
    assert not events
    assert client.call("GET", "h") == corrupted


def test_the_self_test_passes(client):
    assert client.call("PFSELFTEST") == b"OK"
