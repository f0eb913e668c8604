"""Blocking commands of lists and sorted sets: what wakes them, what they do then, what replicas are told."""

from __future__ import annotations

import pytest

from node.commands import streams_read

PAYLOAD = object()


@pytest.fixture
def told(node):
    """What replicas are told, with the database."""
    commands = []
    node.after.tellers.append(lambda db, words: commands.append((db, *words)))
    return commands


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


@pytest.mark.parametrize(
    ("request_", "push", "reply", "as_told"),
    [
        ("BLPOP l 0", "RPUSH l a b", b"*2\r\n$1\r\nl\r\n$1\r\na\r\n", b"LPOP l"),
        ("BRPOP l 0", "RPUSH l a b", b"*2\r\n$1\r\nl\r\n$1\r\nb\r\n", b"RPOP l"),
        ("BLMPOP 0 1 l LEFT COUNT 5", "RPUSH l a b",
         b"*2\r\n$1\r\nl\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"LPOP l 2"),
        ("BLMPOP 0 1 l RIGHT", "RPUSH l a b", b"*2\r\n$1\r\nl\r\n*1\r\n$1\r\nb\r\n", b"RPOP l 1"),
        ("BLMOVE l m LEFT RIGHT 0", "RPUSH l a b", b"$1\r\na\r\n", b"LMOVE l m LEFT RIGHT"),
        ("BRPOPLPUSH l m 0", "RPUSH l a b", b"$1\r\nb\r\n", b"RPOPLPUSH l m"),
        ("BZPOPMIN l 0", "ZADD l 1 a 2 b", b"*3\r\n$1\r\nl\r\n$1\r\na\r\n$1\r\n1\r\n", b"ZPOPMIN l"),
        ("BZPOPMAX l 0", "ZADD l 1 a 2 b", b"*3\r\n$1\r\nl\r\n$1\r\nb\r\n$1\r\n2\r\n", b"ZPOPMAX l"),
        ("BZMPOP 0 1 l MIN COUNT 5", "ZADD l 1 a 2 b",
         b"*2\r\n$1\r\nl\r\n*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n", b"ZPOPMIN l 2"),
        ("BZMPOP 0 1 l MAX", "ZADD l 1 a 2 b",
         b"*2\r\n$1\r\nl\r\n*1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n", b"ZPOPMAX l 1"),
    ],
)  # fmt: skip
def test_each_gets_now_or_later_the_same_and_replicas_are_told_the_same(
    client, wait, told, request_, push, reply, as_told
):
    push_words = tuple(push.encode().split())
    client.call(*push_words)
    told.clear()
    assert client.raw(*request_.split()) == reply
    assert told == [(0, *as_told.split())]

    client.call("FLUSHALL")
    waiting = wait(*request_.split())
    told.clear()
    client.call(*push_words)
    assert sent(waiting) == reply
    assert told == [(0, *push_words), (0, *as_told.split())]


WAYS = {
    "push": [("RPUSH", "l", "x")],
    "insertion by a move": [("RPUSH", "other", "x"), ("LMOVE", "other", "l", "LEFT", "LEFT")],
    "rename": [("RPUSH", "other", "x"), ("RENAME", "other", "l")],
    "renamenx": [("RPUSH", "other", "x"), ("RENAMENX", "other", "l")],
    "copy": [("RPUSH", "other", "x"), ("COPY", "other", "l")],
    "move": [("SELECT", 1), ("RPUSH", "l", "x"), ("MOVE", "l", 0)],
    "copy from another database": [("SELECT", 1), ("RPUSH", "l", "x"), ("COPY", "l", "l", "DB", 0)],
    "swapdb": [("SELECT", 1), ("RPUSH", "l", "x"), ("SWAPDB", 0, 1)],
    "restore": [("RESTORE", "l", 0, PAYLOAD)],
    "sort": [("RPUSH", "other", "x"), ("SORT", "other", "ALPHA", "STORE", "l")],
}


@pytest.mark.parametrize("way", WAYS)
def test_any_way_a_key_can_come_to_be_wakes_those_who_wait_for_it(client, wait, way):
    client.call("RPUSH", "dumped", "x")
    payload = client.call("DUMP", "dumped")
    waiting = wait("BLPOP", "l", 0)
    for words in WAYS[way]:
        client.call(*(payload if word is PAYLOAD else word for word in words))
    assert sent(waiting) == b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"
    client.call("SELECT", 0)
    assert client.call("EXISTS", "l") == 0


ZSET_WAYS = {
    "zadd": [("ZADD", "z", 1, "x")],
    "zincrby": [("ZINCRBY", "z", 1, "x")],
    "zunionstore": [("ZADD", "other", 1, "x"), ("ZUNIONSTORE", "z", 1, "other")],
    "zrangestore": [("ZADD", "other", 1, "x"), ("ZRANGESTORE", "z", "other", 0, -1)],
    "rename": [("ZADD", "other", 1, "x"), ("RENAME", "other", "z")],
    "geoadd": [("GEOADD", "z", 0, 0, "x")],
}


@pytest.mark.parametrize("way", ZSET_WAYS)
def test_any_way_a_sorted_set_can_come_to_be_wakes_those_who_wait_for_it(client, wait, way):
    waiting = wait("BZPOPMIN", "z", 0)
    for words in ZSET_WAYS[way]:
        client.call(*words)
    assert sent(waiting).startswith(b"*3\r\n$1\r\nz\r\n$1\r\nx\r\n")


def test_the_command_that_pushes_is_answered_as_if_nobody_waited(client, wait):
    wait("BLPOP", "l", 0)
    assert client.call("RPUSH", "l", "a", "b", "c") == 3
    assert client.call("LRANGE", "l", 0, -1) == [b"b", b"c"]


def test_who_waited_first_gets_the_first_element(client, wait):
    waiting = [wait("BLPOP", "l", 0), wait("BRPOP", "l", 0), wait("BLPOP", "other", "l", 0)]
    client.call("RPUSH", "l", "a", "b", "c", "d")
    assert [sent(one)[-4:-2] for one in waiting] == [b"\na", b"\nd", b"\nb"]
    assert client.call("LRANGE", "l", 0, -1) == [b"c"]


def test_several_keys_are_looked_at_in_their_order(client, wait):
    client.call("RPUSH", "b", "1")
    client.call("RPUSH", "c", "2")
    assert client.call("BLPOP", "a", "b", "c", 0) == [b"b", b"1"]
    waiting = wait("BLPOP", "x", "y", 0)
    client.call("RPUSH", "y", "1")
    assert sent(waiting) == b"*2\r\n$1\r\ny\r\n$1\r\n1\r\n"


def test_a_chain_of_moves_feeds_those_who_wait_for_its_end(client, wait, told):
    last = wait("BLPOP", "c", 0)
    second = wait("BLMOVE", "b", "c", "LEFT", "LEFT", 0)
    first = wait("BLMOVE", "a", "b", "LEFT", "LEFT", 0)
    client.call("RPUSH", "a", "x")
    assert [sent(one) for one in (first, second)] == [b"$1\r\nx\r\n"] * 2
    assert sent(last) == b"*2\r\n$1\r\nc\r\n$1\r\nx\r\n"
    assert client.call("EXISTS", "a", "b", "c") == 0
    assert [words[1] for words in told] == [b"RPUSH", b"LMOVE", b"LMOVE", b"LPOP"]


def test_nobody_overtakes_by_another_key(client, wait):
    """What a move puts into c is for who waits for c, not for who is served next by a."""
    mover = wait("BLMOVE", "a", "c", "LEFT", "LEFT", 0)
    first = wait("BLPOP", "c", 0)
    second = wait("BLPOP", "c", "a", 0)
    client.call("RPUSH", "a", "1", "2")
    assert sent(mover) == b"$1\r\n1\r\n"
    assert sent(first) == b"*2\r\n$1\r\nc\r\n$1\r\n1\r\n"
    assert sent(second) == b"*2\r\n$1\r\na\r\n$1\r\n2\r\n"


def test_a_ring_of_moves_comes_to_rest(client, wait):
    waiting = [wait("BRPOPLPUSH", "a", "b", 0), wait("BRPOPLPUSH", "b", "a", 0)]
    client.call("RPUSH", "a", "x")
    assert [sent(one) for one in waiting] == [b"$1\r\nx\r\n"] * 2
    assert client.call("LRANGE", "a", 0, -1) == [b"x"]


def test_a_key_of_another_type_wakes_nobody(client, wait):
    lists, zsets = wait("BLPOP", "k", "l", 0), wait("BZPOPMIN", "k", 0)
    client.call("SET", "k", "x")
    client.call("DEL", "k")
    client.call("SADD", "k", "x")
    assert [sent(lists), sent(zsets)] == [b"", b""]
    client.call("DEL", "k")
    client.call("ZADD", "k", 1, "x")
    assert sent(lists) == b""
    assert sent(zsets).startswith(b"*3\r\n")
    client.call("SET", "k", "x")
    client.call("RPUSH", "l", "y")
    assert sent(lists) == b"*2\r\n$1\r\nl\r\n$1\r\ny\r\n"


def test_a_key_of_another_type_is_refused_when_the_command_comes_in(client):
    client.call("SET", "s", "x")
    for request in (
        "BLPOP s 0",
        "BLPOP none s 0",
        "BZPOPMIN s 0",
        "BLMOVE s l LEFT LEFT 0",
        "BLMPOP 0 1 s LEFT",
    ):
        assert client.error(*request.split()).startswith("WRONGTYPE")


def test_a_move_to_a_key_of_another_type_is_an_error_and_moves_nothing(client, wait, told):
    waiting = wait("BLMOVE", "l", "s", "LEFT", "LEFT", 0)
    behind = wait("BLPOP", "l", 0)
    client.call("SET", "s", "x")
    told.clear()
    client.call("RPUSH", "l", "a")
    assert sent(waiting).startswith(b"-WRONGTYPE")
    assert sent(behind) == b"*2\r\n$1\r\nl\r\n$1\r\na\r\n"
    assert told == [(0, b"RPUSH", b"l", b"a"), (0, b"LPOP", b"l")]


def test_what_expired_is_not_there_to_be_taken(client, new_client, advance, wait):
    client.call("RPUSH", "l", "old")
    client.call("PEXPIRE", "l", 10)
    advance(20)
    waiting = wait("BLPOP", "l", 0)
    assert sent(waiting) == b""
    client.call("RPUSH", "l", "new")
    assert sent(waiting) == b"*2\r\n$1\r\nl\r\n$3\r\nnew\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        "BLPOP l {}",
        "BRPOP a b {}",
        "BLMOVE l m LEFT LEFT {}",
        "BRPOPLPUSH l m {}",
        "BLMPOP {} 1 l LEFT",
        "BZPOPMIN z {}",
        "BZPOPMAX z {}",
        "BZMPOP {} 1 z MIN",
    ],
)
def test_time_outs(client, node, wait, request_):
    """A null array ends each wait; seconds may have a fraction, whose milliseconds are rounded up."""

    def words(timeout):
        return request_.format(timeout).split()

    for text, wait_ms in (("1", 1000), ("0.05", 50), ("0.0001", 1), ("1e-1", 100), ("0x2", 2000)):
        waiting = wait(*words(text))
        node.timers.run_due(node.clock.now_ms + wait_ms - 1)
        assert sent(waiting) == b""
        node.timers.run_due(node.clock.now_ms + wait_ms)
        assert sent(waiting) == b"*-1\r\n"
        assert waiting.session.blocked is None
    for text in ("0", "-0", "-0.0001", "0.0"):
        assert wait(*words(text)).session.blocked.deadline_ms is None
    for text in ("x", "nan", "1s", "1e-400"):
        assert client.error(*words(text)) == "ERR timeout is not a float or out of range"
    for text in ("-1", "-0.5", "-inf"):
        assert client.error(*words(text)) == "ERR timeout is negative"
    for text in ("1e17", "inf", "1e400", "9223372036854775.807"):
        assert client.error(*words(text)) == "ERR timeout is out of range"


def test_client_unblock_ends_a_wait_as_its_time_out_or_with_an_error(client, wait):
    waiting = wait("BLPOP", "l", 0)
    assert client.call("CLIENT", "UNBLOCK", waiting.session.id) == 1
    assert sent(waiting) == b"*-1\r\n"
    waiting.call("HELLO", 3)
    assert waiting.raw("BLPOP", "l", 0) is None
    assert client.call("CLIENT", "UNBLOCK", waiting.session.id, "ERROR") == 1
    assert sent(waiting) == b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
    assert client.call("CLIENT", "UNBLOCK", waiting.session.id) == 0
    client.call("RPUSH", "l", "a")
    assert client.call("LLEN", "l") == 1


def test_where_a_client_must_not_wait_its_time_is_over_at_once(client):
    client.session.from_primary = True
    assert client.raw("BLPOP", "l", "0") == b"*-1\r\n"
    assert client.raw("BZMPOP", "0", "1", "z", "MIN") == b"*-1\r\n"
    assert client.raw("BLMOVE", "l", "m", "LEFT", "LEFT", "0") == b"$-1\r\n"


def test_consumers_of_each_group_are_served_in_their_order(client, wait):
    """Those of one group do not stand before those of another."""
    for group in ("g", "h"):
        client.call("XGROUP", "CREATE", "s", group, "$", "MKSTREAM")
    waiters = [
        wait("XREADGROUP", "GROUP", group, consumer, "BLOCK", 0, "STREAMS", "s", ">")
        for group, consumer in (("g", "1"), ("g", "2"), ("h", "1"), ("h", "2"))
    ]
    reader = wait("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    client.call("XADD", "s", "1-1", "f", "v")
    entry = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    assert [sent(waiter) for waiter in (*waiters, reader)] == [entry, b"", entry, b"", entry]
    client.call("XGROUP", "DESTROY", "s", "g")
    assert sent(waiters[1]).startswith(b"-NOGROUP ")
    assert sent(waiters[3]) == b""


def test_an_entry_for_a_group_of_very_many_consumers_does_not_try_them_all(client, wait, monkeypatch):
    client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    for number in range(50):
        wait("XREADGROUP", "GROUP", "g", number, "BLOCK", 0, "STREAMS", "s", ">")
    looked = []
    sources = streams_read._sources
    monkeypatch.setattr(streams_read, "_sources", lambda *args: looked.append(1) or sources(*args))
    client.call("XADD", "s", "1-1", "f", "v")
    assert len(looked) == 2


def test_keys_that_are_waited_for_are_counted(client, wait):
    wait("BLPOP", "a", "b", 0)
    wait("BLPOP", "a", 0)
    assert b"total_blocking_keys:2\r\n" in client.call("INFO", "clients")


def test_keys_whose_end_is_waited_for_are_counted(client, wait):
    """By those who read as a group: it ends their wait."""
    for name in ("s", "t"):
        client.call("XGROUP", "CREATE", name, "g", "$", "MKSTREAM")
    wait("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", "t", ">", ">")
    wait("XREADGROUP", "GROUP", "g", "d", "BLOCK", 0, "STREAMS", "s", ">")
    wait("XREAD", "BLOCK", 0, "STREAMS", "s", "u", "$", "$")
    told = client.call("INFO", "clients")
    assert b"total_blocking_keys:3\r\ntotal_blocking_keys_on_nokey:2\r\n" in told
    client.call("DEL", "s")
    assert b"total_blocking_keys_on_nokey:0\r\n" in client.call("INFO", "clients")


def test_blocked_clients_are_counted(client, wait):
    wait("BLPOP", "l", 0)
    assert b"blocked_clients:1\r\n" in client.call("INFO", "clients")
