"""The group generic. Replies, option by option, are compared with redis-server in tests/compat."""

from __future__ import annotations

import pytest

from node.config.table import CLUSTER_ENABLED
from node.keyspace.changes import EventClass
from node.rdb.crc64 import crc64

GENERIC = EventClass.GENERIC


def signed(body: bytes) -> bytes:
    """A DUMP payload with its checksum."""
    return body + crc64(body).to_bytes(8, "little")


class Letters:
    """A value of another type, as `node.values.kinds.Collection` has them."""

    type_name = b"letters"

    def __init__(self, text: str) -> None:
        self.text = text

    def encoding(self) -> bytes:
        return b"scribble"

    def copy(self) -> Letters:
        return Letters(self.text)


@pytest.fixture
def events(client):
    """(event, key, database) of everything that has changed."""
    seen = []
    client.node.after.watchers.append(lambda log: seen.extend(change[1:] for change in log))
    return seen


@pytest.fixture
def letters(client):
    """A key whose value is no string."""
    value = Letters("abc")
    client.call("SET", "letters", "")
    database = client.session.call.db
    slot = next(number for number, partition in enumerate(database.slots) if partition)
    database.put(b"letters", slot, value)
    return value


def test_del_counts_what_it_removed(client, events):
    client.call("MSET", "a", "1", "b", "2")
    events.clear()
    assert client.call("DEL", "a", "missing", "b", "a") == 2
    assert events == [(b"del", b"a", 0), (b"del", b"b", 0)]
    assert client.node.databases[0].count == 0


def test_a_replica_removes_on_command_what_it_hides(client, advance):
    """The primary's DEL for an expired key must reach a key that reads already miss."""
    client.call("SET", "k", "v", "PX", "10")
    client.node.policy.expires = False
    advance(11)
    assert client.call("EXISTS", "k") == 0
    client.call("DEL", "k")
    assert client.node.databases[0].count == 0


def test_exists_and_touch_count_repetitions(client):
    client.call("SET", "a", "1")
    assert client.call("EXISTS", "a", "a", "b") == 2
    assert client.call("TOUCH", "a", "b", "a") == 2


def test_type_of_each(client, letters):
    client.call("SET", "a", "1")
    assert [client.call("TYPE", key) for key in ("a", "missing", "letters")] == [
        b"string",
        b"none",
        b"letters",
    ]


def test_rename_takes_the_deadline_along(client, events):
    client.call("SET", "a", "1", "PX", "100")
    client.call("SET", "b", "2", "PX", "900")
    events.clear()
    assert client.raw("RENAME", "a", "b") == b"+OK\r\n"
    assert (client.call("GET", "b"), client.call("PTTL", "b"), client.call("EXISTS", "a")) == (b"1", 100, 0)
    assert events == [(b"rename_from", b"a", 0), (b"rename_to", b"b", 0)]
    client.node.databases[0].check()


def test_rename_of_a_persistent_key_clears_the_deadline_of_the_other(client):
    client.call("SET", "a", "1")
    client.call("SET", "b", "2", "PX", "100")
    client.call("RENAME", "a", "b")
    assert client.call("PTTL", "b") == -1


def test_renamenx_leaves_an_existing_key(client):
    client.call("MSET", "a", "1", "b", "2")
    assert client.call("RENAMENX", "a", "b") == 0
    assert client.call("RENAMENX", "a", "c") == 1
    assert client.call("MGET", "a", "b", "c") == [None, b"2", b"1"]


def test_rename_to_itself_changes_nothing(client, events):
    client.call("SET", "a", "1")
    events.clear()
    assert client.raw("RENAME", "a", "a") == b"+OK\r\n"
    assert client.call("RENAMENX", "a", "a") == 0
    assert client.error("RENAME", "missing", "missing") == "ERR no such key"
    assert events == []


def test_copy_is_a_value_of_its_own(client, letters):
    assert client.call("COPY", "letters", "other") == 1
    assert client.session.call.read(b"other") is not letters
    assert client.session.call.read(b"other").text == "abc"


def test_copy_to_another_database(client, events):
    client.call("SET", "a", "1", "PX", "100")
    events.clear()
    assert client.call("COPY", "a", "b", "DB", "3") == 1
    assert events == [(b"copy_to", b"b", 3)]
    assert client.call("EXISTS", "b") == 0
    client.session.call.db = client.node.databases[3]
    assert client.call("PTTL", "b") == 100


def test_copy_replaces_only_when_told(client):
    client.call("MSET", "a", "1", "b", "2")
    assert client.call("COPY", "a", "b") == 0
    assert client.call("COPY", "a", "b", "REPLACE") == 1
    assert client.call("GET", "b") == b"1"
    assert client.error("COPY", "a", "a") == "ERR source and destination objects are the same"


def test_move_takes_value_and_deadline(client, events):
    client.call("SET", "a", "1", "PX", "100")
    events.clear()
    assert client.call("MOVE", "a", "1") == 1
    assert events == [(b"move_from", b"a", 0), (b"move_to", b"a", 1)]
    assert client.call("EXISTS", "a") == 0
    client.session.call.db = client.node.databases[1]
    assert (client.call("GET", "a"), client.call("PTTL", "a")) == (b"1", 100)
    for database in client.node.databases:
        database.check()


def test_a_cluster_has_one_database(client):
    client.call("SET", "a", "1")
    client.node.config.store(CLUSTER_ENABLED, True)
    assert client.error("MOVE", "a", "1") == "ERR MOVE is not allowed in cluster mode"
    expected = "ERR Copying to another database is not allowed in cluster mode"
    assert client.error("COPY", "a", "b", "DB", "1") == expected
    assert client.call("COPY", "a", "b", "DB", "0") == 1


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ("16", "ERR DB index is out of range"),
        ("-1", "ERR DB index is out of range"),
        ("x", "ERR value is not an integer or out of range"),
        ("4294967296", "ERR value is out of range, value must between -2147483648 and 2147483647"),
    ],
)
def test_databases_that_are_none(client, index, text):
    client.call("SET", "a", "1")
    assert client.error("MOVE", "a", index) == text
    assert client.error("COPY", "a", "b", "DB", index) == text


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("123", b"int"), ("-9223372036854775808", b"int"), ("9223372036854775808", b"embstr"),
        ("007", b"embstr"), ("", b"embstr"), ("x" * 44, b"embstr"), ("x" * 45, b"raw"),
    ],
)  # fmt: skip
def test_object_encoding_of_strings(client, value, encoding):
    client.call("SET", "k", value)
    assert client.call("OBJECT", "ENCODING", "k") == encoding


def test_object_encoding_of_other_types_and_of_nothing(client, letters):
    assert client.call("OBJECT", "ENCODING", "letters") == b"scribble"
    assert client.call("OBJECT", "ENCODING", "missing") is None


@pytest.mark.parametrize(
    ("value", "count"), [("0", 2**31 - 1), ("9999", 2**31 - 1), ("10000", 1), ("-1", 1), ("x", 1)]
)
def test_object_refcount_says_which_integers_redis_shares(client, value, count):
    client.call("SET", "k", value)
    assert client.call("OBJECT", "REFCOUNT", "k") == count


def test_object_refcount_where_memory_is_bounded_by_an_lru_policy(client):
    client.call("SET", "k", "5")
    client.node.config.set_many([(b"maxmemory-policy", b"allkeys-lru"), (b"maxmemory", b"100mb")])
    assert client.call("OBJECT", "REFCOUNT", "k") == 1


def test_object_help_lists_every_subcommand(client):
    lines = client.call("OBJECT", "HELP")
    for name in (b"ENCODING", b"FREQ", b"IDLETIME", b"REFCOUNT", b"HELP"):
        assert any(line.startswith(name) for line in lines)


def test_restore_refuses_to_overwrite_unless_told(client):
    client.call("SET", "a", "hello")
    payload = client.call("DUMP", "a")
    assert client.error("RESTORE", "a", "0", payload) == "BUSYKEY Target key name already exists."
    assert client.raw("RESTORE", "a", "0", payload, "REPLACE") == b"+OK\r\n"
    assert client.raw("RESTORE", "b", "100", payload) == b"+OK\r\n"
    assert (client.call("GET", "b"), client.call("PTTL", "b")) == (b"hello", 100)


def test_restore_of_something_that_is_over_leaves_nothing(client, events):
    client.call("SET", "a", "hello")
    payload = client.call("DUMP", "a")
    assert client.raw("RESTORE", "b", "1", payload, "ABSTTL") == b"+OK\r\n"
    events.clear()
    assert client.raw("RESTORE", "a", "1", payload, "ABSTTL", "REPLACE") == b"+OK\r\n"
    assert events == [(b"del", b"a", 0)]
    assert client.call("EXISTS", "a", "b") == 0


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda p: p[:-1] + b"x", "ERR DUMP payload version or checksum are wrong"),
        (lambda p: p[:-10] + b"\xff\x00" + p[-8:], "ERR DUMP payload version or checksum are wrong"),
        (lambda p: p[:9], "ERR DUMP payload version or checksum are wrong"),
        (lambda p: signed(b"\x63" + p[1:-8]), "ERR Bad data format"),
        (lambda p: signed(p[:-11] + p[-10:-8]), "ERR Bad data format"),
    ],
)
def test_restore_refuses_damaged_payloads(client, spoil, text):
    client.call("SET", "a", "hello")
    payload = client.call("DUMP", "a")
    assert client.error("RESTORE", "a", "0", spoil(payload), "REPLACE") == text
    assert client.call("GET", "a") == b"hello"
