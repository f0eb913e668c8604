"""MONITOR. Order and form were recorded from redis-server 7.0.15."""

from __future__ import annotations

import re

import pytest

from node.guards import Guard


@pytest.fixture
def monitor(new_client):
    watching = new_client()
    assert watching.call("MONITOR") == b"OK"
    watching.transport.sent = b""
    return watching


def lines(monitor) -> list[str]:
    """What was told, without the times."""
    told = monitor.transport.sent.decode().split("\r\n")
    assert told.pop() == ""
    assert all(re.match(r"\+[0-9]{10}\.[0-9]{6} \[", line) for line in told)
    return [line.split(" ", 1)[1] for line in told]


def test_commands_are_told_in_the_order_they_ran(client, monitor):
    client.call("SELECT", 3)
    client.call("SET", "a", b'x y\xff"\n')
    client.call("MULTI")
    client.call("GET", "a")
    client.call("EXEC")
    client.call("get", "a")
    assert lines(monitor) == [
        '[3 127.0.0.1:1] "SELECT" "3"',
        '[3 127.0.0.1:1] "SET" "a" "x y\\xff\\"\\n"',
        '[3 127.0.0.1:1] "MULTI"',
        '[3 127.0.0.1:1] "GET" "a"',
        '[3 127.0.0.1:1] "EXEC"',
        '[3 127.0.0.1:1] "get" "a"',
    ]


def test_a_script_is_told_before_what_it_runs(client, monitor):
    client.call("EVAL", "return redis.call('GET', KEYS[1])", 1, "a")
    assert lines(monitor) == [
        '[0 127.0.0.1:1] "EVAL" "return redis.call(\'GET\', KEYS[1])" "1" "a"',
        '[0 lua] "GET" "a"',
    ]


def test_what_is_not_told(client, monitor):
    """Administration, what is rejected, and secrets."""
    client.call("CONFIG", "GET", "port")
    client.error("GET")
    client.error("NOSUCH")
    client.error("AUTH", "user", "secret")
    assert lines(monitor) == ['[0 127.0.0.1:1] "AUTH" "(redacted)" "(redacted)"']


def test_what_fails_is_told(client, monitor):
    client.call("SET", "a", 1)
    client.error("LPUSH", "a", 1)
    assert lines(monitor)[1] == '[0 127.0.0.1:1] "LPUSH" "a" "1"'


def test_pipelined_requests_are_told_each(client, monitor):
    client.node.dispatcher.serve(client.session, [[b"GET", b"a"], [b"GET", b"b"]], [])
    assert lines(monitor) == ['[0 127.0.0.1:1] "GET" "a"', '[0 127.0.0.1:1] "GET" "b"']


def test_a_second_monitor_has_no_reply_and_changes_nothing(client, monitor):
    assert monitor.raw("MONITOR") == b""
    client.call("PING")
    assert len(lines(monitor)) == 1


def test_who_monitors_may_not_touch_keys(monitor):
    assert monitor.error("GET", "a") == "ERR Replica can't interact with the keyspace"
    assert monitor.error("SET", "a", 1) == "ERR Replica can't interact with the keyspace"


def test_its_own_commands_are_told_behind_their_replies(monitor):
    told = re.sub(rb"\+[0-9.]{17} ", b"+", monitor.raw("PING"))
    assert told == b'+PONG\r\n+[0 127.0.0.1:1] "PING"\r\n'
    monitor.raw("MULTI")
    monitor.raw("PING")
    told = re.sub(rb"\+[0-9.]{17} ", b"+", monitor.raw("EXEC"))
    assert told == b'*1\r\n+PONG\r\n+[0 127.0.0.1:1] "PING"\r\n+[0 127.0.0.1:1] "EXEC"\r\n'


def test_it_is_not_allowed_in_a_transaction(client):
    client.call("MULTI")
    client.call("MONITOR")
    (refused,) = client.call("EXEC")
    assert str(refused) == "ERR MONITOR isn't allowed for DENY BLOCKING client"


def test_reset_and_the_end_of_the_connection_end_it(client, node, new_client, monitor):
    other = new_client()
    other.call("MONITOR")
    assert monitor.call("RESET") == b"RESET"
    monitor.transport.sent = b""
    client.call("PING")
    assert monitor.transport.sent == b""
    assert Guard.MONITORED in node.guards
    node.clients.remove(other.session)
    assert Guard.MONITORED not in node.guards
    assert node.dispatcher.monitor is None
    client.call("GET", "a")


def test_the_list_of_clients_shows_it(client, monitor):
    line = client.call("CLIENT", "LIST", "ID", monitor.session.id).decode()
    assert " flags=O " in line
    assert " cmd=monitor " in line
