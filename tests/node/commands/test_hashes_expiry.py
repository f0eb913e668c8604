"""Times to live of hashes' fields. Source: the pages of these commands, and t_hash.c of Redis 7.4."""

from __future__ import annotations

import random

import pytest

from node.app import Node
from node.config.config import Config
from node.keyspace.changes import EventClass
from node.server import cron

HASH, GENERIC = EventClass.HASH, EventClass.GENERIC
FAR_MS = 33_177_117_420_123
FAR_S = FAR_MS // 1000
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
LATEST_MS = 2**46 - 1

SETTERS = ["HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT"]
GETTERS = ["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME"]


@pytest.fixture
def hash_(client):
    """A hash h of the fields a, b and c."""
    client.call("HSET", "h", "a", "1", "b", "2", "c", "3")


@pytest.fixture
def database(client):
    return client.node.databases[0]


def expire(client, ms: int, *fields: str) -> list[int]:
    return client.call("HPEXPIRE", "h", ms, "FIELDS", len(fields), *fields)


def run_cron(client) -> None:
    while client.node.cron.expire(1.0):
        pass


# Setting and asking


@pytest.mark.usefixtures("hash_")
@pytest.mark.parametrize(
    ("command", "amount"),
    [("HEXPIRE", 100), ("HPEXPIRE", 100_000), ("HEXPIREAT", None), ("HPEXPIREAT", None)],
)
def test_a_field_gets_its_deadline(client, node, command, amount):
    now_ms = node.clock.now_ms = 1_700_000_000_000
    if amount is None:
        amount = (now_ms + 100_000) // (1000 if command == "HEXPIREAT" else 1)
    assert client.call(command, "h", amount, "FIELDS", 2, "a", "none") == [1, -2]
    assert client.call("HPEXPIRETIME", "h", "FIELDS", 3, "a", "b", "none") == [now_ms + 100_000, -1, -2]
    assert client.call("HEXPIRETIME", "h", "FIELDS", 1, "a") == [now_ms // 1000 + 100]
    assert client.call("HPTTL", "h", "FIELDS", 2, "a", "b") == [100_000, -1]
    assert client.call("HTTL", "h", "fields", 1, "a") == [100]


@pytest.mark.usefixtures("hash_")
def test_seconds_are_rounded_up(client, advance):
    client.call("HPEXPIREAT", "h", FAR_MS, "FIELDS", 1, "a")
    assert client.call("HEXPIRETIME", "h", "FIELDS", 1, "a") == [FAR_S + 1]
    expire(client, 1001, "a")
    assert client.call("HTTL", "h", "FIELDS", 1, "a") == [2]
    advance(1)
    assert client.call("HTTL", "h", "FIELDS", 1, "a") == [1]


@pytest.mark.parametrize(
    ("condition", "old", "new", "reply"),
    [
        ("NX", None, 100, 1),
        ("NX", 100, 200, 0),
        ("XX", None, 100, 0),
        ("XX", 100, 50, 1),
        ("GT", None, 100, 0),
        ("GT", 100, 100, 0),
        ("GT", 100, 101, 1),
        ("LT", None, 100, 1),
        ("lt", 100, 100, 0),
        ("lt", 100, 99, 1),
        ("LT", 100, 0, 2),
        ("XX", None, 0, 0),
    ],
)
@pytest.mark.usefixtures("hash_")
def test_conditions(client, condition, old, new, reply):
    if old is not None:
        client.call("HEXPIRE", "h", old, "FIELDS", 1, "a")
    assert client.call("HEXPIRE", "h", new, condition, "FIELDS", 1, "a") == [reply]
    expected = {0: -1 if old is None else old, 1: new, 2: -2}[reply]
    assert client.call("HTTL", "h", "FIELDS", 1, "a") == [expected]


@pytest.mark.usefixtures("hash_")
def test_persist(client, events, told):
    expire(client, 100, "a")
    events.clear()
    told.clear()
    assert client.call("HPERSIST", "h", "FIELDS", 3, "a", "b", "none") == [1, -1, -2]
    assert client.call("HTTL", "h", "FIELDS", 1, "a") == [-1]
    assert events == [(HASH, b"hpersist", b"h")]
    assert told == [[b"HPERSIST", b"h", b"FIELDS", b"3", b"a", b"b", b"none"]]
    events.clear()
    assert client.call("HPERSIST", "h", "FIELDS", 1, "a") == [-1]
    assert not events


def test_no_key_has_no_fields(client):
    for command in SETTERS:
        assert client.call(command, "none", 10, "NX", "FIELDS", 2, "a", "b") == [-2, -2]
    for command in [*GETTERS, "HPERSIST"]:
        assert client.call(command, "none", "FIELDS", 2, "a", "b") == [-2, -2]
    assert client.call("EXISTS", "none") == 0


@pytest.mark.usefixtures("hash_")
def test_what_keeps_a_deadline_and_what_takes_it(client):
    expire(client, 100_000, "a", "b", "c")
    client.call("HINCRBY", "h", "a", 1)
    client.call("HINCRBYFLOAT", "h", "b", 1)
    assert client.call("HTTL", "h", "FIELDS", 2, "a", "b") == [100, 100]
    client.call("HSETNX", "h", "a", "no")
    assert client.call("HTTL", "h", "FIELDS", 1, "a") == [100]
    client.call("HSET", "h", "a", "new")
    client.call("HMSET", "h", "b", "new")
    client.call("HDEL", "h", "c")
    client.call("HSET", "h", "c", "again")
    assert client.call("HTTL", "h", "FIELDS", 3, "a", "b", "c") == [-1, -1, -1]


# What is wrong with a request

NOT_INTEGER = "ERR value is not an integer or out of range"
NO_FIELDS = "ERR Mandatory argument FIELDS is missing or not at the right position"
NUMBER = "ERR The `numfields` parameter must match the number of arguments"
POSITIVE = "ERR Parameter `numFields` should be greater than 0"
GETTER_POSITIVE = "ERR Number of fields must be a positive integer"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["x", "FIELDS", "1", "a"], NOT_INTEGER),
        (["1.5", "FIELDS", "1", "a"], NOT_INTEGER),
        (["-1", "FIELDS", "1", "a"], "ERR invalid expire time, must be >= 0"),
        (["10", "NX", "1", "a"], NO_FIELDS),
        (["10", "1", "a", "b"], NO_FIELDS),
        (["10", "NX", "XX", "FIELDS", "1", "a"], NO_FIELDS),
        (["10", "FIELDS", "0", "a"], POSITIVE),
        (["10", "FIELDS", "-1", "a"], POSITIVE),
        (["10", "FIELDS", "x", "a"], POSITIVE),
        (["10", "GT", "FIELDS", "0", "a"], POSITIVE),
        (["10", "FIELDS", "2", "a"], NUMBER),
        (["10", "FIELDS", "1", "a", "b"], NUMBER),
        (["10", "FIELDS", "9223372036854775807", "a"], NUMBER),
        (["10", "LT", "FIELDS", "1"], NUMBER),
    ],
)
@pytest.mark.parametrize("key", ["h", "none"])
@pytest.mark.parametrize("command", SETTERS)
@pytest.mark.usefixtures("hash_")
def test_errors_of_setting(client, command, key, words, error):
    assert client.error(command, key, *words) == error
    assert client.call("HTTL", "h", "FIELDS", 1, "a") == [-1]


@pytest.mark.parametrize("command", SETTERS)
@pytest.mark.usefixtures("hash_")
def test_the_last_moment_there_is(client, command):
    unit_ms = 1 if command.startswith("HP") else 1000
    base_ms = 0 if command.endswith("AT") else client.node.clock.now_ms
    latest = (LATEST_MS - base_ms) // unit_ms
    assert client.call(command, "h", latest, "FIELDS", 1, "a") == [1]
    invalid = f"ERR invalid expire time in '{command.lower()}' command"
    assert client.error(command, "h", latest + 1, "FIELDS", 1, "a") == invalid
    assert client.error(command, "h", 2**63 - 1, "FIELDS", 1, "a") == invalid


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["FIELD", "1", "a"], NO_FIELDS),
        (["FIELDS", "0", "a"], GETTER_POSITIVE),
        (["FIELDS", "x", "a"], GETTER_POSITIVE),
        (["FIELDS", "2", "a"], NUMBER),
        (["FIELDS", "1", "a", "b"], NUMBER),
    ],
)
@pytest.mark.parametrize("command", [*GETTERS, "HPERSIST"])
@pytest.mark.usefixtures("hash_")
def test_errors_of_asking(client, command, words, error):
    assert client.error(command, "h", *words) == error


def test_a_wrong_type_is_found_before_wrong_arguments(client):
    client.call("SET", "s", "v")
    for command in SETTERS:
        assert client.error(command, "s", "x", "y", "z", "a") == WRONG_TYPE
    for command in [*GETTERS, "HPERSIST"]:
        assert client.error(command, "s", "y", "z", "a") == WRONG_TYPE


# The end of a field's time


@pytest.mark.usefixtures("hash_")
def test_an_expired_field_is_not_there(client, advance):
    expire(client, 10, "a", "b")
    advance(9)
    assert client.call("HGET", "h", "a") == b"1"
    advance(1)
    assert client.call("HGET", "h", "a") is None
    assert client.call("HMGET", "h", "a", "b", "c") == [None, None, b"3"]
    assert client.call("HLEN", "h") == 1
    assert client.call("HGETALL", "h") == [b"c", b"3"]


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (["HGET", "h", "a"], None),
        (["HMGET", "h", "a", "c"], [None, b"3"]),
        (["HEXISTS", "h", "a"], 0),
        (["HSTRLEN", "h", "a"], 0),
        (["HLEN", "h"], 1),
        (["HGETALL", "h"], [b"c", b"3"]),
        (["HKEYS", "h"], [b"c"]),
        (["HVALS", "h"], [b"3"]),
        (["HSCAN", "h", "0"], [b"0", [b"c", b"3"]]),
        (["HRANDFIELD", "h", "-3"], [b"c", b"c", b"c"]),
        (["HRANDFIELD", "h", "9"], [b"c"]),
        (["HRANDFIELD", "h"], b"c"),
        (["HTTL", "h", "FIELDS", "2", "a", "c"], [-2, -1]),
    ],
)
@pytest.mark.parametrize("is_replica", [False, True])
@pytest.mark.usefixtures("hash_")
def test_nobody_sees_an_expired_field(client, advance, events, told, database, is_replica, words, reply):
    """On a primary it is removed there and then, on a replica only hidden."""
    expire(client, 10, "a", "b")
    client.node.policy.expires = not is_replica
    advance(10)
    events.clear()
    told.clear()
    assert client.call(*words) == reply
    if is_replica:
        assert (events, told) == ([], [])
    else:
        assert events == [(HASH, b"hexpired", b"h")]
        assert told == [[b"HDEL", b"h", b"a", b"b"]]
    database.check()


@pytest.mark.parametrize(
    ("words", "reply", "event"),
    [
        (["HSETNX", "h", "a", "new"], 1, b"hset"),
        (["HSET", "h", "a", "new"], 1, b"hset"),
        (["HINCRBY", "h", "a", "5"], 5, b"hincrby"),
        (["HINCRBYFLOAT", "h", "a", "5"], b"5", b"hincrbyfloat"),
        (["HDEL", "h", "a"], 0, None),
        (["HPEXPIRE", "h", "99", "FIELDS", "1", "a"], [-2], None),
        (["HPERSIST", "h", "FIELDS", "1", "a"], [-2], None),
    ],
)
@pytest.mark.usefixtures("hash_")
def test_writing_to_an_expired_field(client, advance, events, told, words, reply, event):
    expire(client, 10, "a")
    advance(10)
    events.clear()
    told.clear()
    assert client.call(*words) == reply
    assert events == [(HASH, b"hexpired", b"h"), *([(HASH, event, b"h")] if event else [])]
    expired = [b"HDEL", b"h", b"a"]
    if event is None:
        assert told == [expired]
    else:
        assert told[:2] == [[b"MULTI"], expired]
        assert told[3:] == [[b"EXEC"]]


@pytest.mark.usefixtures("hash_")
def test_the_key_goes_with_its_last_field(client, advance, events, told, database):
    expire(client, 10, "a", "b", "c")
    advance(10)
    events.clear()
    told.clear()
    assert client.call("HLEN", "h") == 0
    assert client.call("EXISTS", "h") == 0
    assert events == [(HASH, b"hexpired", b"h"), (GENERIC, b"del", b"h")]
    assert told == [[b"HDEL", b"h", b"a", b"b", b"c"]]
    client.call("HSET", "h", "a", "1")
    assert client.call("HTTL", "h", "FIELDS", "1", "a") == [-1]
    database.check()


@pytest.mark.usefixtures("hash_")
def test_a_deadline_that_is_over_removes_the_field(client, events, told, database):
    events.clear()
    told.clear()
    assert client.call("HPEXPIREAT", "h", 1, "FIELDS", 4, "a", "b", "a", "none") == [2, 2, -2, -2]
    assert events == [(HASH, b"hdel", b"h")]
    assert told == [[b"HDEL", b"h", b"a", b"b"]]
    events.clear()
    assert client.call("HEXPIRE", "h", 0, "FIELDS", 1, "c") == [2]
    assert events == [(HASH, b"hdel", b"h"), (GENERIC, b"del", b"h")]
    assert client.call("EXISTS", "h") == 0
    database.check()


@pytest.mark.usefixtures("hash_")
def test_the_deadline_is_told_as_a_time(client, events, told):
    events.clear()
    told.clear()
    now_ms = client.node.clock.now_ms
    client.call("HEXPIRE", "h", 100, "NX", "FIELDS", 3, "a", "none", "b")
    deadline = b"%d" % (now_ms + 100_000)
    assert told == [[b"HPEXPIREAT", b"h", deadline, b"FIELDS", b"2", b"a", b"b"]]
    assert events == [(HASH, b"hexpire", b"h")]
    told.clear()
    client.call("HEXPIRE", "h", 50, "NX", "FIELDS", 1, "a")
    assert not told
    client.call("HINCRBYFLOAT", "h", "a", 1)
    assert told == [
        [b"MULTI"],
        [b"HSET", b"h", b"a", b"2"],
        [b"HPEXPIREAT", b"h", deadline, b"FIELDS", b"1", b"a"],
        [b"EXEC"],
    ]


def test_a_replica_obeys_though_its_clock_says_that_the_time_is_over(client, advance):
    """While the primary's commands run nothing is hidden, and nothing expires of itself."""
    client.node.policy.expires = False
    client.node.policy.obeys = True
    client.call("HSET", "h", "a", "1")
    assert client.call("HPEXPIREAT", "h", "1", "FIELDS", "1", "a") == [1]
    client.call("HINCRBY", "h", "a", "1")
    client.node.policy.obeys = False
    assert client.call("HGET", "h", "a") is None
    client.node.policy.obeys = True
    assert client.call("HDEL", "h", "a") == 1
    assert client.call("EXISTS", "h") == 0


# In the background


@pytest.mark.usefixtures("hash_")
def test_the_cron_removes_what_nobody_looks_at(client, advance, events, told, database):
    expire(client, 10, "a", "b")
    expire(client, 10_000, "c")
    events.clear()
    told.clear()
    advance(9)
    run_cron(client)
    assert not events
    advance(100)
    run_cron(client)
    assert events == [(HASH, b"hexpired", b"h")]
    assert told == [[b"HDEL", b"h", b"a", b"b"]]
    database.check()
    advance(10_000)
    run_cron(client)
    assert events[1:] == [(HASH, b"hexpired", b"h"), (GENERIC, b"del", b"h")]
    assert database.count == 0
    assert not database.field_deadlines.at
    database.check()


def test_the_cron_takes_very_many_fields_in_batches(client, advance, told, database):
    fields = [f"f{n}" for n in range(3 * cron.EXPIRE_BATCH + 1)]
    client.call("HSET", "h", *(word for field in fields for word in (field, "v")), "stays", "v")
    expire(client, 10, *fields)
    told.clear()
    advance(200)
    run_cron(client)
    assert len(told) == 4
    assert max(map(len, told)) == cron.EXPIRE_BATCH + 2
    assert client.call("HKEYS", "h") == [b"stays"]
    database.check()


def test_reading_does_not_stop_for_all_that_has_expired(client, advance, told, database):
    fields = [f"f{n}" for n in range(2500)]
    client.call("HSET", "h", *(word for field in fields for word in (field, "v")))
    client.call("HPEXPIRE", "h", "10", "FIELDS", len(fields), *fields)
    told.clear()
    advance(10)
    for left in (1500, 500):
        assert client.call("HGETALL", "h") == []
        assert len(client.session.call.peek(b"h")) == left
    database.check()
    assert client.call("HRANDFIELD", "h", 5) == []
    assert client.call("EXISTS", "h") == 0
    assert [len(words) - 2 for words in told] == [1000, 1000, 500]


def test_writing_finds_nothing_left_of_what_has_expired(client, advance):
    fields = [f"f{n}" for n in range(2500)]
    client.call("HSET", "h", *(word for field in fields for word in (field, "v")))
    client.call("HPEXPIRE", "h", "10", "FIELDS", len(fields), *fields)
    advance(10)
    assert client.call("HSET", "h", "f2499", "v") == 1
    assert client.call("HLEN", "h") == 1


def test_the_cron_removes_nothing_on_a_replica(client, advance, database):
    client.call("HSET", "h", "a", "1")
    expire(client, 10, "a")
    client.node.policy.expires = False
    advance(200)
    run_cron(client)
    assert database.count == 1
    client.node.policy.expires = True  # it is promoted
    run_cron(client)
    assert database.count == 0


@pytest.mark.parametrize(
    "words",
    [
        ["RENAME", "h", "other"],
        ["COPY", "h", "other"],
        ["COPY", "h", "h", "DB", "1"],
        ["MOVE", "h", "1"],
        ["RESTORE", "other", "0"],
        ["SWAPDB", "0", "1"],
    ],
)
@pytest.mark.usefixtures("hash_")
def test_deadlines_go_where_the_hash_goes(client, advance, words):
    client.call("HPEXPIREAT", "h", FAR_MS, "FIELDS", 1, "b")
    expire(client, 10, "a")
    if words[0] == "RESTORE":
        words = [*words, client.call("DUMP", "h")]
    client.call(*words)
    databases = client.node.databases
    for database in databases:
        database.check()
    advance(200)
    run_cron(client)
    key = "other" if "other" in words else "h"
    if "1" in words:
        client.call("SELECT", "1")
    assert client.call("HPEXPIRETIME", key, "FIELDS", 3, "a", "b", "c") == [-2, FAR_MS, -1]
    for database in databases:
        database.check()


@pytest.mark.parametrize(
    "words",
    [["DEL", "h"], ["SET", "h", "v"], ["FLUSHALL"], ["HDEL", "h", "a", "b", "c"], ["RENAME", "s", "h"]],
)
@pytest.mark.usefixtures("hash_")
def test_a_key_that_is_gone_leaves_no_deadline(client, database, words):
    client.call("SET", "s", "v")
    expire(client, 10_000, "a", "b")
    client.call(*words)
    assert not database.field_deadlines.at
    database.check()


@pytest.mark.usefixtures("hash_")
def test_the_index_forgets_a_hash_without_deadlines(client, advance, database):
    expire(client, 10, "a", "b")
    client.call("HPERSIST", "h", "FIELDS", 1, "a")
    client.call("HSET", "h", "b", "2")
    database.check()
    advance(200)
    run_cron(client)
    assert not database.field_deadlines.at
    assert client.call("HLEN", "h") == 3


@pytest.mark.usefixtures("hash_")
def test_encoding_says_that_there_are_deadlines(client):
    assert client.call("OBJECT", "ENCODING", "h") == b"listpack"
    expire(client, 1000, "a")
    assert client.call("OBJECT", "ENCODING", "h") == b"listpackex"


def test_sort_reads_no_expired_field(client, advance, told):
    client.call("RPUSH", "l", "1", "2")
    client.call("HSET", "h_1", "f", "5", "g", "6")
    client.call("HPEXPIRE", "h_1", "10", "FIELDS", "1", "f")
    told.clear()
    advance(10)
    assert client.call("SORT", "l", "GET", "h_*->f", "GET", "h_*->g") == [None, b"6", None, None]
    assert told == [[b"HDEL", b"h_1", b"f"]]


# Random sequences, against a model and with a replica that is told


class Model:
    """Keys to fields to value and deadline."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, tuple[str, int | None]]] = {"h": {}, "g": {}}

    def forget(self, now_ms: int) -> None:
        for fields in self.hashes.values():
            for field, (_, deadline_ms) in list(fields.items()):
                if deadline_ms is not None and deadline_ms <= now_ms:
                    del fields[field]

    def run(self, now_ms: int, words: list[str]) -> object:
        name, key, *rest = words
        fields = self.hashes[key]
        if name == "HSET":
            new = rest[0] not in fields
            fields[rest[0]] = (rest[1], None)
            return int(new)
        if name == "HDEL":
            return int(fields.pop(rest[0], None) is not None)
        if name == "HINCRBY":
            value, deadline_ms = fields.get(rest[0], ("0", None))
            fields[rest[0]] = (str(int(value) + 1), deadline_ms)
            return int(value) + 1
        if name == "HGET":
            return fields[rest[0]][0].encode() if rest[0] in fields else None
        if name == "HLEN":
            return len(fields)
        if name == "COPY":
            if fields:
                self.hashes[rest[0]] = dict(fields)
            return int(bool(fields))
        field = rest[-1]
        if field not in fields:
            return [-2]
        value, deadline_ms = fields[field]
        if name == "HPERSIST":
            fields[field] = (value, None)
            return [-1 if deadline_ms is None else 1]
        fields[field] = (value, now_ms + int(rest[0]))
        return [1]


def _request(rng: random.Random) -> list[str]:
    key, field = rng.choice("hg"), rng.choice("abcde")
    life_ms = str(rng.choice([1, 30, 100, 5000]))
    return rng.choice(
        [
            ["HSET", key, field, "5"],
            ["HDEL", key, field],
            ["HINCRBY", key, field, "1"],
            ["HGET", key, field],
            ["HLEN", key],
            ["HPERSIST", key, "FIELDS", "1", field],
            ["HPEXPIRE", key, life_ms, "FIELDS", "1", field],
            ["HPEXPIRE", key, life_ms, "FIELDS", "1", field],
            ["COPY", key, "g" if key == "h" else "h", "REPLACE"],
        ]
    )


def _all(client, key: str) -> dict[bytes, bytes]:
    words = client.call("HGETALL", key)
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("entries_max", [512, 2])
def test_random_sequences_with_a_replica(client, advance, told, entries_max):
    replica = type(client)(Node(Config()))
    replica.node.clock.now_ms = client.node.clock.now_ms
    for each in (client, replica):
        each.call("CONFIG", "SET", "hash-max-listpack-entries", entries_max)
    replica.node.policy.expires = False
    for seed in range(60):
        rng = random.Random(seed)
        model = Model()
        done = []
        client.call("FLUSHALL")
        for _ in range(80):
            if rng.random() < 0.3:
                ms = rng.choice([1, 10, 60, 200])
                advance(ms)
                done.append(["advance", str(ms)])
            if rng.random() < 0.2:
                run_cron(client)
                done.append(["cron"])
            now_ms = client.node.clock.now_ms
            model.forget(now_ms)
            words = _request(rng)
            done.append(words)
            expected = model.run(now_ms, words)
            client.call("HLEN", words[1])  # to COPY a key whose fields all have expired is there, as in Redis
            assert client.call(*words) == expected, (seed, done)
        client.node.databases[0].check()
        replica.node.policy.obeys = True
        for words in told:
            replica.call(*words)
        replica.node.policy.obeys = False
        told.clear()
        replica.node.clock.now_ms = client.node.clock.now_ms
        for key, fields in model.hashes.items():
            expected = {field.encode(): value.encode() for field, (value, _) in fields.items()}
            assert _all(client, key) == _all(replica, key) == expected, (seed, done)
        told.clear()
        replica.node.databases[0].check()
