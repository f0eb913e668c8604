"""Stream commands where tests/compat cannot look: what came after Redis 7.0, waiting, and what replicas are
told.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from node.app import Node
from node.commands import streams, streams_read
from node.config.config import Config
from node.keyspace.changes import EventClass
from node.values.streams import Stream

STREAM = EventClass.STREAM


def stream_at(node: Any, key: bytes) -> Stream:
    value = node.new_call().peek(key)
    assert isinstance(value, Stream)
    value.check()
    return value


# Reading


def test_xread_plus_returns_the_last_entry(client):
    assert client.call("XREAD", "STREAMS", "s", "+") is None
    for ms in (1, 2, 3):
        client.call("XADD", "s", f"{ms}-0", "f", ms)
    client.call("XADD", "t", "9-9", "g", "v")
    last = [b"s", [[b"3-0", [b"f", b"3"]]]]
    assert client.call("XREAD", "STREAMS", "s", "+") == [last]
    assert client.call("XREAD", "COUNT", 5, "STREAMS", "s", "t", "+", "9-9") == [last]
    client.call("XDEL", "s", "3-0")
    assert client.call("XREAD", "STREAMS", "s", "+") == [[b"s", [[b"2-0", [b"f", b"2"]]]]]
    client.call("XTRIM", "s", "MAXLEN", 0)
    assert client.call("XREAD", "STREAMS", "s", "+") is None


def test_xreadgroup_knows_no_plus(client):
    client.call("XGROUP", "CREATE", "s", "g", 0, "MKSTREAM")
    error = client.error("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "+")
    assert error.startswith("ERR The + ID is meaningless in the context of XREADGROUP")


@pytest.mark.parametrize("command", ["XREAD", "XREADGROUP GROUP g c"])
def test_unbalanced_streams_are_refused_in_the_words_of_7_2(client, command):
    name, symbol = ("xreadgroup", ">") if "GROUP" in command else ("xread", "$")
    expected = f"'{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
    assert client.error(*command.split(), "STREAMS", "s", "t", "0") == f"ERR Unbalanced {expected}"


def test_an_id_too_high_in_its_millisecond_is_refused(client):
    """Redis 7.0 calls the entry too large here."""
    client.call("XADD", "s", "5-18446744073709551615", "f", "v")
    error = client.error("XADD", "s", "5-*", "f", "v")
    assert error == "ERR The ID specified in XADD is equal or smaller than the target stream top item"


def test_a_new_last_id_may_not_be_below_a_deleted_one(client):
    client.call("XADD", "s", "5-0", "f", "v")
    client.call("XDEL", "s", "5-0")
    error = client.error("XSETID", "s", "4-0")
    assert error == "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"


def test_entries_are_as_long_as_can_be(client, monkeypatch):
    monkeypatch.setattr(streams, "ENTRY_BYTES_MAX", 9)
    assert client.error("XADD", "s", "*", "field", "value") == "ERR Elements are too large to be stored"
    assert client.call("EXISTS", "s") == 0
    client.call("XADD", "s", "*", "fiel", "value")


def test_node_limits_can_change_at_run_time(client):
    client.call("CONFIG", "SET", "stream-node-max-entries", 2, "stream-node-max-bytes", 0)
    for _ in range(5):
        client.call("XADD", "s", "*", "f", "v")
    assert client.call("XINFO", "STREAM", "s")[3] == 3
    client.call("CONFIG", "SET", "stream-node-max-entries", 0)
    for _ in range(150):
        client.call("XADD", "s", "*", "f", "v")
    assert client.call("XINFO", "STREAM", "s")[3] == 3


def test_approximate_trimming_stops_after_a_hundred_nodes(client):
    client.call("CONFIG", "SET", "stream-node-max-entries", 1)
    for _ in range(250):
        client.call("XADD", "s", "*", "f", "v")
    assert client.call("XTRIM", "s", "MAXLEN", "~", 0) == 100
    assert client.call("XTRIM", "s", "MAXLEN", "~", 0, "LIMIT", 0) == 150


# Consumers


def test_a_consumer_is_there_once_it_tried_to_read_or_claim(client, told):
    """Since Redis 7.2; replicas are told, as no XCLAIM does it."""
    client.call("XGROUP", "CREATE", "s", "g", 0, "MKSTREAM")
    told.clear()
    client.call("XREADGROUP", "GROUP", "g", "reader", "STREAMS", "s", ">")
    client.call("XREADGROUP", "GROUP", "g", "historian", "STREAMS", "s", "0")
    client.call("XCLAIM", "s", "g", "claimer", 0, "1-1")
    client.call("XAUTOCLAIM", "s", "g", "sweeper", 0, 0)
    names = [b"claimer", b"historian", b"reader", b"sweeper"]
    assert [consumer[1] for consumer in client.call("XINFO", "CONSUMERS", "s", "g")] == names
    assert sorted(told) == [[b"XGROUP", b"CREATECONSUMER", b"s", b"g", name] for name in names]


def test_a_consumer_knows_when_it_was_seen_and_when_it_got_something(client, advance):
    client.call("XADD", "s", "1-0", "f", "v")
    client.call("XGROUP", "CREATE", "s", "g", 0)
    client.call("XGROUP", "CREATECONSUMER", "s", "g", "c")
    advance(100)
    fields = [b"name", b"c", b"pending", 0, b"idle", 100, b"inactive", -1]
    assert client.call("XINFO", "CONSUMERS", "s", "g") == [fields]
    client.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    advance(30)
    client.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    advance(5)
    fields = [b"name", b"c", b"pending", 1, b"idle", 5, b"inactive", 35]
    assert client.call("XINFO", "CONSUMERS", "s", "g") == [fields]


def test_xinfo_stream_full_tells_all(client, node, advance):
    client.call("XADD", "s", "1-0", "f", "v")
    client.call("XADD", "s", "2-0", "f", "v")
    client.call("XGROUP", "CREATE", "s", "g", 0)
    start_ms = node.clock.now_ms
    client.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    advance(7)
    client.call("XGROUP", "CREATECONSUMER", "s", "g", "d")
    client.call("HELLO", 3)
    full = client.call("XINFO", "STREAM", "s", "FULL", "COUNT", 1)
    assert full[b"entries"] == [[b"1-0", [b"f", b"v"]]]
    assert full[b"groups"] == [
        {
            b"name": b"g",
            b"last-delivered-id": b"2-0",
            b"entries-read": 2,
            b"lag": 0,
            b"pel-count": 2,
            b"pending": [[b"1-0", b"c", start_ms, 1]],
            b"consumers": [
                {
                    b"name": b"c",
                    b"seen-time": start_ms,
                    b"active-time": start_ms,
                    b"pel-count": 2,
                    b"pending": [[b"1-0", start_ms, 1]],
                },
                {
                    b"name": b"d",
                    b"seen-time": start_ms + 7,
                    b"active-time": -1,
                    b"pel-count": 0,
                    b"pending": [],
                },
            ],
        }
    ]


@pytest.mark.parametrize("container", ["XGROUP", "XINFO"])
def test_help_names_every_subcommand(client, container):
    words = {line.split()[0] for line in client.call(container, "HELP")}
    assert words >= client.node.table.find(container.encode()).subcommands.keys()


# Waiting


@pytest.fixture
def wait(new_client):
    """A client that has been made to wait by a request."""

    def wait(*words):
        client = new_client()
        assert client.raw(*words) is None
        assert client.session.blocked is not None
        return client

    return wait


def sent(client):
    """What a client has been sent since the last time."""
    data, client.transport.sent = client.transport.sent, b""
    return data


ONE = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"


@pytest.mark.parametrize("position", ["$", "+", "0", "4-9"])
@pytest.mark.parametrize("exists", [True, False])
def test_xread_waits_for_the_next_entry(client, wait, position, exists):
    if exists and position != "+":
        client.call("XADD", "s", "0-1", "f", "v")
        client.call("XTRIM", "s", "MAXLEN", 0) if position == "0" else None
    waiting = wait("XREAD", "BLOCK", 0, "STREAMS", "other", "s", "$", position)
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    assert sent(waiting) == b""
    client.call("XADD", "s", "5-0", "f", "v")
    assert sent(waiting) == ONE
    client.call("XADD", "s", "6-0", "f", "v")
    assert sent(waiting) == b""


def test_every_reader_gets_the_entry_and_of_a_group_the_first(client, wait):
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    client.call("XGROUP", "CREATE", "s", "h", "$")
    readers = [wait("XREAD", "BLOCK", 0, "STREAMS", "s", "$") for _ in range(2)]
    first = wait("XREADGROUP", "GROUP", "g", "a", "BLOCK", 0, "STREAMS", "s", ">")
    second = wait("XREADGROUP", "GROUP", "g", "b", "BLOCK", 0, "STREAMS", "s", ">")
    third = wait("XREADGROUP", "GROUP", "h", "b", "BLOCK", 0, "STREAMS", "s", ">")
    client.call("XADD", "s", "5-0", "f", "v")
    assert [sent(each) for each in (*readers, first, second, third)] == [ONE, ONE, ONE, b"", ONE]
    client.call("XADD", "s", "6-0", "f", "v")
    assert sent(second) == ONE.replace(b"5-0", b"6-0")
    assert client.call("XPENDING", "s", "g") == [2, b"5-0", b"6-0", [[b"a", b"1"], [b"b", b"1"]]]


def test_who_waits_gets_what_came_while_others_were_served_at_once(client, wait):
    """A whole pipeline of entries is one wake for each of them; COUNT holds."""
    waiting = wait("XREAD", "COUNT", 1, "BLOCK", 0, "STREAMS", "s", "$")
    client.node.dispatcher.serve(
        client.session, [[b"XADD", b"s", b"%d-0" % ms, b"f", b"v"] for ms in (5, 6)], []
    )
    assert sent(waiting) == ONE


@pytest.mark.parametrize("command", ["XREAD", "XREADGROUP GROUP g c"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_the_wait_ends_with_null(client, wait, advance, node, new_client, command, protocol):
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    waiting = new_client()
    waiting.call("HELLO", protocol)
    position = "$" if command == "XREAD" else ">"
    assert waiting.raw(*command.split(), "BLOCK", 50, "STREAMS", "s", position) is None
    assert waiting.session.blocked.deadline_ms == node.clock.now_ms + 50
    waiting.node.clients.unblock(waiting.session, waiting.session.blocked.timed_out())
    assert sent(waiting) == (b"*-1\r\n" if protocol == 2 else b"_\r\n")
    client.call("XADD", "s", "5-0", "f", "v")
    assert sent(waiting) == b""
    assert not node.after.watchers


NO_GROUP = b"-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n"
WRONG_TYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"


@pytest.mark.parametrize(
    ("change", "reply"),
    [
        ("DEL s", NO_GROUP),
        ("XGROUP DESTROY s g", NO_GROUP),
        ("RENAME s t", NO_GROUP),
        ("FLUSHALL", NO_GROUP),
        ("SET s v", WRONG_TYPE),
    ],
)
def test_a_group_that_goes_ends_the_wait(client, wait, change, reply):
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    waiting = wait("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    client.call(*change.split())
    assert sent(waiting) == reply


def test_a_key_of_another_type_is_passed_over_by_xread(client, wait):
    waiting = wait("XREAD", "BLOCK", 0, "STREAMS", "other", "s", "$", "$")
    client.call("SET", "other", "v")
    assert sent(waiting) == b""
    client.call("XADD", "s", "5-0", "f", "v")
    assert sent(waiting) == ONE


@pytest.mark.parametrize("way", ["RENAME t s", "COPY t s", "MOVE"])
def test_a_stream_may_come_whole(client, wait, way):
    if way == "MOVE":
        client.call("SELECT", 1)
        client.call("XADD", "s", "5-0", "f", "v")
        waiting = wait("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
        client.call("MOVE", "s", 0)
    else:
        client.call("XADD", "t", "5-0", "f", "v")
        waiting = wait("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
        client.call(*way.split())
    assert sent(waiting) == ONE


def test_who_waits_is_not_disturbed_by_acknowledgements(client, wait, monkeypatch):
    """Else every consumer would cost every other one time with each entry."""
    client.call("XADD", "s", "1-0", "f", "v")
    client.call("XGROUP", "CREATE", "s", "g", 0)
    client.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    wait("XREADGROUP", "GROUP", "g", "d", "BLOCK", 0, "STREAMS", "s", ">")
    monkeypatch.setattr(streams_read, "_sources", lambda *_: pytest.fail("it is tried again"))
    client.call("XCLAIM", "s", "g", "c", 0, "1-0")
    assert client.call("XACK", "s", "g", "1-0") == 1


def test_nobody_waits_where_it_is_not_allowed(client):
    client.session.from_primary = True
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    assert client.raw("XREAD", "BLOCK", 0, "STREAMS", "s", "$") == b"*-1\r\n"
    assert client.raw("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">") == b"*-1\r\n"


# What is told


def test_each_change_has_its_event(client, events):
    seen = {}
    for line in (
        "XADD s 1-0 f v", "XADD s MAXLEN 1 2-0 f v", "XADD s 3-0 f v", "XTRIM s MAXLEN 1", "XTRIM s MAXLEN 1",
        "XDEL s 3-0", "XDEL s 3-0", "XSETID s 5-0", "XGROUP CREATE s g 0", "XGROUP CREATECONSUMER s g c",
        "XGROUP CREATECONSUMER s g c", "XGROUP SETID s g 0", "XADD s 6-0 f v",
        "XREADGROUP GROUP g c STREAMS s >", "XREADGROUP GROUP g c STREAMS s 0",
        "XREADGROUP GROUP g d STREAMS s >", "XCLAIM s g c 0 6-0", "XAUTOCLAIM s g d 0 0", "XACK s g 6-0",
        "XACK s g 6-0", "XGROUP DELCONSUMER s g d", "XGROUP DELCONSUMER s g d", "XGROUP DESTROY s g",
        "XGROUP DESTROY s g", "XADD s NOMKSTREAM 1-0 f v", "XADD none NOMKSTREAM 1-0 f v", "XRANGE s - +",
    ):  # fmt: skip
        client.raw(*line.split())
        assert all(event[0] is STREAM and event[2] == b"s" for event in events), line
        seen[line] = [*seen.get(line, []), *(event[1].decode() for event in events)]
        events.clear()
    assert seen == {
        "XADD s 1-0 f v": ["xadd"],
        "XADD s MAXLEN 1 2-0 f v": ["xadd", "xtrim"],
        "XADD s 3-0 f v": ["xadd"],
        "XTRIM s MAXLEN 1": ["xtrim"],
        "XDEL s 3-0": ["xdel"],
        "XSETID s 5-0": ["xsetid"],
        "XGROUP CREATE s g 0": ["xgroup-create"],
        "XGROUP CREATECONSUMER s g c": ["xgroup-createconsumer"],
        "XGROUP SETID s g 0": ["xgroup-setid"],
        "XADD s 6-0 f v": ["xadd"],
        "XREADGROUP GROUP g c STREAMS s >": [""],
        "XREADGROUP GROUP g c STREAMS s 0": [],
        "XREADGROUP GROUP g d STREAMS s >": ["xgroup-createconsumer"],
        "XCLAIM s g c 0 6-0": [""],
        "XAUTOCLAIM s g d 0 0": [""],
        "XACK s g 6-0": [""],
        "XGROUP DELCONSUMER s g d": ["xgroup-delconsumer"],
        "XGROUP DESTROY s g": ["xgroup-destroy"],
        "XADD s NOMKSTREAM 1-0 f v": [],
        "XADD none NOMKSTREAM 1-0 f v": [],
        "XRANGE s - +": [],
    }


def test_xadd_is_told_with_its_id_and_exact_trimming(client, node, told):
    client.call("CONFIG", "SET", "stream-node-max-entries", 2)
    now_ms = node.clock.now_ms
    cases = {
        "XADD s * f v": f"XADD s {now_ms}-0 f v",
        "XADD s MAXLEN 9 * f v": f"XADD s MAXLEN 9 {now_ms}-1 f v",
        "XADD s NOMKSTREAM * f v": f"XADD s NOMKSTREAM {now_ms}-2 f v",
        f"XADD s {now_ms}-* f v": f"XADD s {now_ms}-3 f v",
        f"XADD s {now_ms}-4 f v": f"XADD s {now_ms}-4 f v",
        f"XADD s {now_ms + 5} f v": f"XADD s {now_ms + 5} f v",
        "XADD s NOMKSTREAM MAXLEN ~ 1 LIMIT 2 * f v": f"XADD s MAXLEN = 5 {now_ms + 5}-1 f v",
        "XADD s LIMIT 0 MINID ~ 5 * f v": f"XADD s MINID = {now_ms}-2 {now_ms + 5}-2 f v",
        "XTRIM s MAXLEN ~ 0 LIMIT 1": None,
        "XTRIM s MAXLEN ~ 3 LIMIT 2": "XTRIM s MAXLEN = 4",
        "XTRIM s MINID ~ 99999999999999": f"XTRIM s MINID = {(1 << 64) - 1}-{(1 << 64) - 1}",
    }
    for line, as_told in cases.items():
        told.clear()
        client.call(*line.split())
        assert [b" ".join(words).decode() for words in told] == ([as_told] if as_told else []), line


def test_a_primary_may_tell_a_limit_with_exact_trimming(client):
    """As Redis does, whose replicas pass the limit over."""
    for ms in range(1, 9):
        client.call("XADD", "s", f"{ms}-0", "f", "v")
    client.error("XTRIM", "s", "MAXLEN", "=", 2, "LIMIT", 1)
    client.session.from_primary = True
    assert client.call("XTRIM", "s", "MAXLEN", "=", 2, "LIMIT", 1) == 6


def test_reading_through_a_group_is_told_as_what_it_did(client, node, told):
    now_ms = node.clock.now_ms
    client.call("XGROUP", "CREATE", "s", "g", 0, "MKSTREAM")
    for ms in (1, 2, 3):
        client.call("XADD", "s", f"{ms}-0", "f", "v")
    cases = {
        "XREADGROUP GROUP g c COUNT 1 STREAMS s >": [
            f"XCLAIM s g c 0 1-0 TIME {now_ms} RETRYCOUNT 1 FORCE JUSTID LASTID 1-0",
            "XGROUP SETID s g 1-0 ENTRIESREAD 1",
        ],
        "XREADGROUP GROUP g d NOACK COUNT 1 STREAMS s >": [
            "XGROUP CREATECONSUMER s g d",
            "XGROUP SETID s g 2-0 ENTRIESREAD 2",
        ],
        "XREADGROUP GROUP g c STREAMS s 0": [],
        "XCLAIM s g c 0 3-0 LASTID 3-0": ["XGROUP SETID s g 3-0 ENTRIESREAD 2"],
        "XCLAIM s g e 0 1-0 RETRYCOUNT 5 TIME 77": [
            "XCLAIM s g e 0 1-0 TIME 77 RETRYCOUNT 5 FORCE JUSTID LASTID 3-0"
        ],
        "XDEL s 1-0": ["XDEL s 1-0"],
        "XAUTOCLAIM s g f 0 0": [
            "XGROUP CREATECONSUMER s g f",
            "XCLAIM s g e 0 1-0 TIME 77 RETRYCOUNT 5 FORCE JUSTID LASTID 3-0",
        ],
    }
    for line, as_told in cases.items():
        told.clear()
        client.call(*line.split())
        expected = ["MULTI", *as_told, "EXEC"] if len(as_told) > 1 else as_told
        assert [b" ".join(words).decode() for words in told] == expected, line


def test_what_a_client_that_waited_got_is_told(client, wait, told, node):
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    told.clear()
    wait("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    wait("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    client.call("XADD", "s", "5-0", "f", "v")
    assert [b" ".join(words).decode() for words in told] == [
        "XGROUP CREATECONSUMER s g c",
        "XADD s 5-0 f v",
        "MULTI",
        f"XCLAIM s g c 0 5-0 TIME {node.clock.now_ms} RETRYCOUNT 1 FORCE JUSTID LASTID 5-0",
        "XGROUP SETID s g 5-0 ENTRIESREAD 1",
        "EXEC",
    ]


def _content(stream: Stream) -> Any:
    """What a replica must hold, too."""
    return (
        stream.entries(),
        (stream.length, stream.first_id, stream.last_id, stream.max_deleted_id, stream.entries_added),
        {
            name: (
                group.last_id,
                group.entries_read,
                sorted(group.consumers),
                [(id, each.consumer.name, each.time_ms, each.count) for id, each in group.pending.items()],
            )
            for name, group in stream.groups.items()
        },
    )


def _some_command(rng: random.Random) -> list[str]:
    key, group, consumer = rng.choice("ab"), rng.choice("gh"), rng.choice("cd")
    id = f"{rng.randrange(40)}-{rng.randrange(2)}"
    node = ["MAXLEN", "~", str(rng.randrange(9))]
    return rng.choice(
        [
            ["XADD", key, "*", "f", "v"],
            ["XADD", key, "*", "f", "v", "g", "w"],
            ["XADD", key, f"{rng.randrange(40)}-*", "f", "v"],
            ["XADD", key, *node, "*", "f", "v"],
            ["XTRIM", key, *node, "LIMIT", "4"],
            ["XTRIM", key, "MINID", "~", id],
            ["XDEL", key, id, f"{rng.randrange(40)}-0"],
            ["XSETID", key, f"{rng.randrange(60)}-0"],
            ["XGROUP", "CREATE", key, group, rng.choice(["0", "$", id]), "MKSTREAM"],
            ["XGROUP", "SETID", key, group, rng.choice(["0", "$", id])],
            ["XGROUP", "DELCONSUMER", key, group, consumer],
            ["XREADGROUP", "GROUP", group, consumer, "COUNT", "3", "STREAMS", key, ">"],
            ["XREADGROUP", "GROUP", group, consumer, "STREAMS", "a", "b", ">", ">"],
            ["XREADGROUP", "GROUP", group, consumer, "NOACK", "COUNT", "2", "STREAMS", key, ">"],
            ["XCLAIM", key, group, consumer, "0", id, "FORCE"],
            ["XCLAIM", key, group, consumer, "5", id, f"{rng.randrange(40)}-0", "LASTID", id],
            ["XAUTOCLAIM", key, group, consumer, "3", "0", "COUNT", "3"],
            ["XACK", key, group, id],
        ]
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_replica_that_is_told_holds_the_same(client, node, told, seed, advance):
    """But for when consumers were seen, and the deliveries of the history, which are not told."""
    rng = random.Random(seed)
    node.clock.now_ms = 10
    client.call("CONFIG", "SET", "stream-node-max-entries", 3)
    replica = Node(Config())
    replica.clock.update = lambda: node.clock.now_ms  # type: ignore[method-assign]
    follower = type(client)(replica)
    follower.session.from_primary = True
    for _ in range(300):
        told.clear()
        words = _some_command(rng)
        client.raw(*words)
        replica.clock.now_ms = node.clock.now_ms + 1000
        for each in told:
            assert not (follower.raw(*each) or b"").startswith(b"-"), (words, each)
        advance(rng.randrange(3))
        for key in (b"a", b"b"):
            if client.call("EXISTS", key):
                assert _content(stream_at(replica, key)) == _content(stream_at(node, key)), words
            else:
                assert not follower.call("EXISTS", key)
