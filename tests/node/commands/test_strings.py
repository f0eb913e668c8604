"""The group string. Replies, option by option, are compared with redis-server in tests/compat."""

from __future__ import annotations

import pytest

from node.config.table import PROTO_MAX_BULK_LEN
from node.keyspace.changes import EventClass
from node.resp.encode import RESP3

INT64_MAX = 2**63 - 1
FAR_MS = 33_177_117_420_123
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class NoString:
    """Stands for a value of another type."""


@pytest.fixture
def events(client):
    """(class, event, key) of everything that has changed."""
    seen = []
    client.node.after.watchers.append(lambda log: seen.extend(change[:3] for change in log))
    return seen


@pytest.fixture
def told(client):
    """What replicas are told."""
    commands = []
    client.node.after.tellers.append(lambda _db, words: commands.append(words))
    return commands


@pytest.fixture
def foreign_key(client):
    """A key that holds no string."""
    database = client.session.call.db
    client.call("SET", "list", "")
    slot = next(number for number, partition in enumerate(database.slots) if partition)
    database.put(b"list", slot, NoString())
    return "list"


def test_get_returns_what_set_stored(client):
    assert client.raw("SET", "k", "v") == b"+OK\r\n"
    assert client.call("GET", "k") == b"v"


@pytest.mark.parametrize(
    "value", [b"", b"0", b"-1", b"007", b"-0", b"+1", b" 1", b"9223372036854775808", b"\x00\r\n\xff"]
)
def test_every_value_comes_back_byte_for_byte(client, value):
    client.call("SET", "k", value)
    assert client.call("GET", "k") == value


def test_integers_are_stored_as_such(client):
    client.call("SET", "k", "123")
    assert client.session.call.read(b"k") == 123


@pytest.mark.parametrize(
    ("options", "existing", "stored"),
    [
        (["NX"], None, b"new"),
        (["NX"], "old", b"old"),
        (["XX"], None, None),
        (["XX"], "old", b"new"),
        (["nx", "NX"], None, b"new"),
        (["NX", "GET"], "old", b"old"),
        (["XX", "GET"], "old", b"new"),
    ],
)
def test_set_under_a_condition(client, options, existing, stored):
    if existing is not None:
        client.call("SET", "k", existing)
    reply = client.raw("SET", "k", "new", *options)
    if "GET" in options:
        assert reply == b"$3\r\nold\r\n"
    else:
        assert reply == (b"+OK\r\n" if stored == b"new" else b"$-1\r\n")
    assert client.call("GET", "k") == stored


def test_set_clears_the_time_to_live_unless_told_to_keep_it(client, advance):
    client.call("SET", "k", "1", "PX", "100")
    client.call("SET", "k", "2", "KEEPTTL")
    assert client.call("PTTL", "k") == 100
    client.call("SET", "k", "3")
    assert client.call("PTTL", "k") == -1


def test_keepttl_does_not_revive_the_deadline_of_a_key_that_is_over(client, advance):
    client.call("SET", "k", "1", "PX", "100")
    advance(101)
    client.call("SET", "k", "2", "KEEPTTL")
    assert client.call("GET", "k") == b"2"
    assert client.call("PTTL", "k") == -1


@pytest.mark.parametrize(("unit", "amount", "left_ms"), [("EX", 10, 10_000), ("PX", 10, 10)])
def test_a_life_counts_from_now(client, advance, unit, amount, left_ms):
    client.call("SET", "k", "v", unit, amount)
    assert client.call("PTTL", "k") == left_ms
    advance(left_ms)
    assert client.call("GET", "k") is None


@pytest.mark.parametrize(
    "options",
    [
        ["NX", "XX"], ["EX"], ["EX", "1", "PX", "1"], ["KEEPTTL", "EX", "1"], ["EXAT", "1", "KEEPTTL"],
        ["PERSIST"], ["GETT"], [""], ["PXAT", "1", "EXAT", "1"],
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_change_nothing(client, options):
    client.call("SET", "k", "old")
    assert client.error("SET", "k", "v", *options) == "ERR syntax error"
    assert client.call("GET", "k") == b"old"


@pytest.mark.parametrize(
    "command", [["SET", "k", "v", "EX"], ["SETEX", "k"], ["PSETEX", "k"], ["GETEX", "k", "PX"]]
)
@pytest.mark.parametrize("amount", ["0", "-1", str(INT64_MAX)])
def test_impossible_lives_change_nothing(client, command, amount):
    client.call("SET", "k", "old")
    arguments = [*command, amount] + (["v"] if "SETEX" in command[0] else [])
    assert client.error(*arguments) == f"ERR invalid expire time in '{command[0].lower()}' command"
    assert client.call("GET", "k") == b"old"
    assert client.call("TTL", "k") == -1


def test_set_get_refuses_values_of_other_types_and_plain_set_replaces_them(client, foreign_key):
    assert client.error("SET", foreign_key, "v", "GET") == WRONG_TYPE
    assert client.raw("SET", foreign_key, "v") == b"+OK\r\n"


@pytest.mark.parametrize(
    "command",
    [
        ["GET"], ["GETEX"], ["GETDEL"], ["GETSET", "v"], ["APPEND", "v"], ["STRLEN"], ["SETRANGE", "0", "v"],
        ["GETRANGE", "0", "1"], ["SUBSTR", "0", "1"], ["INCR"], ["DECRBY", "1"], ["INCRBYFLOAT", "1"],
    ],
)  # fmt: skip
def test_commands_for_strings_refuse_other_types(client, foreign_key, command):
    name, *rest = command
    assert client.error(name, foreign_key, *rest) == WRONG_TYPE
    assert isinstance(client.session.call.read(b"list"), NoString)


def test_mget_and_lcs_and_other_types(client, foreign_key):
    assert client.call("MGET", foreign_key, "missing") == [None, None]
    assert client.error("LCS", foreign_key, "k") == "ERR The specified keys must contain string values"


def test_mget_writes_the_null_of_its_protocol(client):
    client.session.call.reply = RESP3
    assert client.raw("MGET", "missing") == b"*1\r\n_\r\n"


def test_lcs_idx_is_a_map_in_resp3(client):
    client.call("MSET", "a", "xy", "b", "xz")
    client.session.call.reply = RESP3
    assert client.call("LCS", "a", "b", "IDX") == {b"matches": [[[0, 0], [0, 0]]], b"len": 1}


def test_msetnx_sets_all_or_none(client):
    client.call("SET", "b", "old")
    assert client.call("MSETNX", "a", "1", "b", "2") == 0
    assert client.call("MGET", "a", "b") == [None, b"old"]
    assert client.call("MSETNX", "c", "1", "d", "2") == 1


@pytest.mark.parametrize("name", ["MSET", "MSETNX"])
def test_a_key_without_a_value_is_refused(client, name):
    expected = f"ERR wrong number of arguments for '{name.lower()}' command"
    assert client.error(name, "a", "1", "b") == expected
    assert client.call("EXISTS", "a") == 0


def test_counters_stop_at_64_bits(client):
    client.call("SET", "k", str(INT64_MAX))
    assert client.error("INCR", "k") == "ERR increment or decrement would overflow"
    assert client.error("DECRBY", "k", str(-(2**63))) == "ERR decrement would overflow"
    assert client.call("GET", "k") == str(INT64_MAX).encode()


def test_counters_keep_the_time_to_live(client):
    client.call("SET", "k", "1", "PX", "100")
    client.call("INCR", "k")
    client.call("INCRBYFLOAT", "k", "0.5")
    client.call("APPEND", "k", "1")
    client.call("SETRANGE", "k", "0", "9")
    assert (client.call("GET", "k"), client.call("PTTL", "k")) == (b"9.51", 100)


def test_an_expired_counter_begins_anew(client, advance):
    client.call("SET", "k", "41", "PX", "100")
    advance(101)
    assert client.call("INCR", "k") == 1
    assert client.call("PTTL", "k") == -1


@pytest.mark.parametrize(
    "command",
    [["APPEND", "k", "x" * 2**20], ["SETRANGE", "k", str(2**20), "x"], ["SETRANGE", "none", str(2**20), "x"]],
)
def test_strings_end_at_proto_max_bulk_len(client, command):
    client.node.config.store(PROTO_MAX_BULK_LEN, 2**20)
    client.call("SET", "k", "abc")
    assert client.error(*command) == "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert client.call("STRLEN", "k") == 3
    client.session.from_primary = True
    assert client.call(*command) > 2**20


def test_lcs_is_refused_where_its_table_would_exceed_proto_max_bulk_len(client):
    client.node.config.store(PROTO_MAX_BULK_LEN, 2**20)
    client.call("MSET", "a", "x" * 600, "b", "y" * 600)
    expected = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
    assert client.error("LCS", "a", "b") == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["SET", "k", "1"], [("STRING", "set")]),
        (["SET", "k", "1", "EX", "10"], [("STRING", "set"), ("GENERIC", "expire")]),
        (["SET", "k", "1", "NX"], []),
        (["SET", "new", "1", "XX"], []),
        (["SETEX", "k", "10", "1"], [("STRING", "set"), ("GENERIC", "expire")]),
        (["GETSET", "k", "1"], [("STRING", "set")]),
        (["GETEX", "k"], []),
        (["GETEX", "k", "EX", "10"], [("GENERIC", "expire")]),
        (["GETEX", "k", "PERSIST"], [("GENERIC", "persist")]),
        (["GETEX", "k", "PXAT", "1"], [("GENERIC", "del")]),
        (["GETDEL", "k"], [("GENERIC", "del")]),
        (["GETDEL", "missing"], []),
        (["APPEND", "k", "x"], [("STRING", "append")]),
        (["SETRANGE", "k", "0", "x"], [("STRING", "setrange")]),
        (["SETRANGE", "k", "0", ""], []),
        (["INCR", "k"], [("STRING", "incrby")]),
        (["DECRBY", "k", "1"], [("STRING", "incrby")]),
        (["INCRBYFLOAT", "k", "1"], [("STRING", "incrbyfloat")]),
        (["MSET", "k", "1", "k", "2"], [("STRING", "set"), ("STRING", "set")]),
        (["GETRANGE", "k", "0", "1"], []),
    ],
)
def test_each_change_is_an_event(client, events, command, expected):
    client.call("SET", "k", "5", "PXAT", FAR_MS)
    events.clear()
    client.raw(*command)
    assert [(kind.name, event.decode()) for kind, event, _ in events] == expected
    assert all(isinstance(kind, EventClass) for kind, _, _ in events)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["SET", "k", "v", "PX", "100"], ["SET k v PXAT {at100}"]),
        (["SET", "k", "v", "GET", "XX", "get"], ["SET k v XX"]),
        (["SET", "k", "v", "NX"], []),
        (["GETSET", "k", "v"], ["SET k v"]),
        (["GETDEL", "k"], ["DEL k"]),
        (["GETEX", "k"], []),
        (["GETEX", "k", "PX", "100"], ["PEXPIREAT k {at100}"]),
        (["GETEX", "k", "EXAT", "1"], ["DEL k"]),
        (["GETEX", "k", "PERSIST"], ["PERSIST k"]),
        (["INCRBYFLOAT", "k", "0.5"], ["SET k 5.5 KEEPTTL"]),
        (["INCR", "k"], ["INCR k"]),
        (["INCRBY", "k", "x"], []),
    ],
)
def test_replicas_are_told_outcomes(client, told, command, expected):
    client.call("SET", "k", "5", "PXAT", FAR_MS)
    told.clear()
    client.raw(*command)
    at100 = client.node.clock.now_ms + 100
    assert [b" ".join(words).decode() for words in told] == [text.format(at100=at100) for text in expected]


def test_on_a_replica_an_elapsed_deadline_removes_nothing(client):
    """Only the primary removes what is over: it tells its replicas by DEL."""
    client.call("SET", "k", "v")
    client.node.policy.expires = False
    assert client.call("GETEX", "k", "PXAT", "1") == b"v"
    assert client.call("GET", "k") is None
    client.node.policy.expires = True
    assert client.node.databases[0].count == 1
