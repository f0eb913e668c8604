"""SLOWLOG. What entries look like was recorded from redis-server 7.0.15."""

from __future__ import annotations

import time

import pytest

from node.server import dispatch


@pytest.fixture
def log(client):
    """Requests of the entries, the newest first, but for the log's own commands."""
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client.call("SLOWLOG", "RESET")

    def requests() -> list[list[bytes]]:
        entries = client.call("SLOWLOG", "GET", -1)
        return [entry[3] for entry in entries if entry[3][0] != b"SLOWLOG"]

    return requests


def test_an_entry(client, log):
    client.call("CLIENT", "SETNAME", "me")
    client.call("SET", "a", "1")
    number, at_s, took_us, argv, address, name = client.call("SLOWLOG", "GET", 1)[0]
    older = client.call("SLOWLOG", "GET", 3)[2]
    assert (argv, address, name) == ([b"SET", b"a", b"1"], b"127.0.0.1:1", b"me")
    assert older[0] == number - 1
    assert abs(at_s - time.time()) < 60
    assert 0 <= took_us < 1_000_000


def test_only_what_takes_the_threshold_is_logged(client, monkeypatch):
    step_ns = 0
    readings = [0]

    def clock() -> int:
        readings[0] += step_ns
        return readings[0]

    monkeypatch.setattr(dispatch, "perf_counter_ns", clock)
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 5000)
    step_ns = 4_999_999
    client.call("GET", "fast")
    step_ns = 5_000_000
    client.call("GET", "slow")
    client.call("ECHO", "slow")
    client.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
    client.call("GET", "unseen")
    entries = client.call("SLOWLOG", "GET")
    assert [(entry[2], entry[3]) for entry in entries] == [
        (5000, [b"ECHO", b"slow"]),
        (5000, [b"GET", b"slow"]),
    ]


def test_pipelined_requests_are_logged_each(client, log):
    client.node.dispatcher.serve(client.session, [[b"GET", b"a"], [b"GET", b"b"], [b"GET", b"c"]], [])
    assert log() == [[b"GET", b"c"], [b"GET", b"b"], [b"GET", b"a"]]


def test_a_transaction_is_logged_by_its_commands(client, log):
    for request in (("MULTI",), ("GET", "a"), ("EXEC",)):
        client.call(*request)
    assert log() == [[b"GET", b"a"], [b"MULTI"]]


def test_what_is_rejected_is_not_logged_and_what_fails_is(client, log):
    client.error("GET")
    client.error("NOSUCH")
    client.call("SET", "a", 1)
    client.error("LPUSH", "a", 1)
    assert log() == [[b"LPUSH", b"a", b"1"], [b"SET", b"a", b"1"]]


def test_long_requests_are_shortened(client, log):
    client.call("RPUSH", "l", *range(40))
    client.call("SET", "a", "x" * 130)
    client.call("SET", "a", "x" * 128)
    short, long, many = log()
    assert short[2] == b"x" * 128
    assert long[2] == b"x" * 128 + b"... (2 more bytes)"
    assert len(many) == 32
    assert many[30:] == [b"28", b"... (11 more arguments)"]


@pytest.mark.parametrize(
    ("request_line", "shown"),
    [
        ("AUTH pw", "AUTH (redacted)"),
        ("AUTH default pw", "AUTH (redacted) (redacted)"),
        ("HELLO 3 AUTH default pw SETNAME x", "HELLO 3 AUTH (redacted) (redacted) SETNAME x"),
        ("CONFIG SET masterauth pw maxclients 9000", "CONFIG SET masterauth (redacted) maxclients 9000"),
        ("MIGRATE 127.0.0.1 1 k 0 10 AUTH pw", "MIGRATE 127.0.0.1 1 k 0 10 AUTH (redacted)"),
        (
            "MIGRATE 127.0.0.1 1 k 0 10 COPY AUTH2 u pw",
            "MIGRATE 127.0.0.1 1 k 0 10 COPY AUTH2 (redacted) (redacted)",
        ),
    ],
)
def test_secrets_are_hidden(client, log, request_line, shown):
    client.raw(*request_line.split())
    assert log()[0] == shown.encode().split()


def test_the_log_keeps_so_many_entries(client, log):
    client.call("CONFIG", "SET", "slowlog-max-len", 3)
    for key in "abcde":
        client.call("GET", key)
    assert client.call("SLOWLOG", "LEN") == 3
    client.call("CONFIG", "SET", "slowlog-max-len", 0)
    assert client.call("SLOWLOG", "LEN") == 0


def test_get_gives_ten_unless_told_and_reset_forgets(client, log):
    for number in range(12):
        client.call("GET", number)
    assert len(client.call("SLOWLOG", "GET")) == 10
    assert len(client.call("SLOWLOG", "GET", 2)) == 2
    assert client.call("SLOWLOG", "GET", 0) == []
    assert len(client.call("SLOWLOG", "GET", -1)) > 12
    last = client.call("SLOWLOG", "GET", 1)[0][0]
    client.call("SLOWLOG", "RESET")
    assert client.call("SLOWLOG", "GET", 1)[0][0] > last


@pytest.mark.parametrize("count", ["x", "-2", "1.5"])
def test_a_wrong_count(client, count):
    assert client.error("SLOWLOG", "GET", count) == "ERR count should be greater than or equal to -1"


def test_wrong_calls(client):
    assert "SLOWLOG HELP" in client.error("SLOWLOG", "GET", 1, 2)
    assert "SLOWLOG HELP" in client.error("SLOWLOG", "NOSUCH")
    assert client.call("SLOWLOG", "HELP")[-1] == b"    Print this help."
