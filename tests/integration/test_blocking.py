"""Clients that wait, on real sockets: time-outs, requests behind the one that waits, connections that end,
and slots that move away.
"""

from __future__ import annotations

import time

import hiredis
import pytest

DEADLINE_S = 60.0


@pytest.fixture
def node(shared_node):
    yield shared_node
    client = shared_node.connect()
    wait_for_blocked(client, 0)
    client.call("FLUSHALL")
    assert "Traceback" not in shared_node.logged()


def until(condition):
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def wait_for_blocked(client, count):
    wanted = b"blocked_clients:%d\r\n" % count
    until(lambda: wanted in client.call("INFO", "clients"))


def start(client, *words):
    """Sends a request and waits for no reply."""
    client.send(hiredis.pack_command(words))


def says_nothing(client):
    """Whether there is nothing to be read, asked after another client's request has been answered."""
    client.socket.setblocking(False)
    try:
        client.socket.recv(1)
    except BlockingIOError:
        return True
    finally:
        client.socket.settimeout(DEADLINE_S)
    return False


@pytest.mark.parametrize(
    "request_", ["BLPOP l {}", "BZPOPMIN z {}", "BLMOVE a b LEFT LEFT {}", "BLMPOP {} 1 l LEFT"]
)
def test_time_outs_are_never_early_and_hardly_late(node, request_):
    """Never early; the best of several shows what the node adds, the others what the machine does."""
    client = node.connect()
    late_s = []
    for timeout_s in (0.01, 0.05, 0.1, 0.02, 0.03, 0.01, 0.04, 0.02):
        began_s = time.monotonic()
        assert client.call(*request_.format(timeout_s).split()) is None
        late_s.append(time.monotonic() - began_s - timeout_s)
    assert min(late_s) > -0.002  # the clock of the node counts whole milliseconds
    assert min(late_s) < 0.1


def test_requests_behind_one_that_waits_wait_too(node):
    client, other = node.connect(), node.connect()
    words = [("BLPOP", "a", 0), ("INCR", "n"), ("BLPOP", "b", 0), ("INCR", "n"), ("PING",)]
    client.send(b"".join(hiredis.pack_command(request) for request in words))
    wait_for_blocked(other, 1)
    assert other.call("RPUSH", "b", "2") == 1
    assert other.call("EXISTS", "n") == 0
    assert says_nothing(client)
    other.call("RPUSH", "a", "1")
    assert [client.reply() for _ in words] == [[b"a", b"1"], 1, [b"b", b"2"], 2, b"PONG"]
    start(client, "BLPOP", "a", 0)
    wait_for_blocked(other, 1)
    start(client, "INCR", "n")  # sent while it waits
    assert other.call("GET", "n") == b"2"
    other.call("RPUSH", "a", "3")
    assert [client.reply(), client.reply()] == [[b"a", b"3"], 3]


@pytest.mark.parametrize("requests_behind", [0, 3])
def test_a_client_that_leaves_while_it_waits_takes_nothing_along(node, requests_behind):
    gone, client, other = node.connect(), node.connect(), node.connect()
    start(gone, "BLPOP", "l", 0)
    wait_for_blocked(other, 1)
    for _ in range(requests_behind):
        start(gone, "INCR", "n")
    start(client, "BLPOP", "l", 0)
    wait_for_blocked(other, 2)
    gone.close()
    wait_for_blocked(other, 1)
    assert other.call("RPUSH", "l", "a", "b") == 2
    assert client.reply() == [b"l", b"a"]
    assert other.call("LRANGE", "l", 0, -1) == [b"b"]
    assert other.call("EXISTS", "n") == 0


def test_a_client_that_is_killed_while_it_waits_takes_nothing_along(node):
    victim, other = node.connect(), node.connect()
    number = victim.call("CLIENT", "ID")
    start(victim, "BRPOP", "l", 0)
    wait_for_blocked(other, 1)
    assert other.call("CLIENT", "KILL", "ID", number) == 1
    assert victim.is_closed()
    wait_for_blocked(other, 0)
    assert other.call("RPUSH", "l", "a") == 1
    assert other.call("LLEN", "l") == 1


def test_client_unblock(node):
    client, other = node.connect(), node.connect()
    number = client.call("CLIENT", "ID")
    start(client, "BLPOP", "l", 0)
    wait_for_blocked(other, 1)
    assert other.call("CLIENT", "UNBLOCK", number, "ERROR") == 1
    assert str(client.reply()) == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
    assert client.call("PING") == b"PONG"


def test_hundreds_are_served_in_the_order_in_which_they_came(node):
    other = node.connect()
    clients = [node.connect() for _ in range(300)]
    for number, client in enumerate(clients, 1):
        start(client, "BLPOP", "l", 100)
        if number % 50 == 0:
            wait_for_blocked(other, number)
    for number, client in enumerate(clients[1:], 1):  # within fifty the order of arrival is the kernel's
        if number % 50 == 0:
            assert says_nothing(client)
    other.call("RPUSH", "l", *range(300))
    got = [int(client.reply()[1]) for client in clients]
    assert sorted(got) == list(range(300))
    assert all(each // 50 == number // 50 for number, each in enumerate(got))
    for client in clients:
        client.close()


def test_those_who_wait_on_a_primary_that_becomes_a_replica_are_sent_away(shoal_node):
    node = shoal_node()
    client, other = node.connect(), node.connect()
    start(client, "BLPOP", "l", 0)
    wait_for_blocked(other, 1)
    assert other.call("REPLICAOF", "127.0.0.1", "1") == b"OK"
    expected = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
    assert str(client.reply()) == expected
    assert client.is_closed()


def test_those_who_wait_for_a_slot_that_moves_away_are_redirected(shoal_node):
    nodes = [shoal_node("--cluster-enabled", "yes") for _ in range(2)]
    first, second = (node.connect() for node in nodes)
    assert first.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383) == b"OK"
    assert first.call("CLUSTER", "MEET", "127.0.0.1", nodes[1].port) == b"OK"
    for client in (first, second):
        until(lambda client=client: b"cluster_state:ok" in client.call("CLUSTER", "INFO"))
    slot = first.call("CLUSTER", "KEYSLOT", "l")
    moved, stays = nodes[0].connect(), nodes[0].connect()
    start(moved, "BLPOP", "l", 0)
    start(stays, "BLPOP", "other", 0)
    wait_for_blocked(first, 2)
    target = second.call("CLUSTER", "MYID")
    assert first.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target) == b"OK"
    wait_for_blocked(first, 2)
    assert says_nothing(moved)
    assert first.call("CLUSTER", "SETSLOT", slot, "NODE", target) == b"OK"
    assert str(moved.reply()) == f"MOVED {slot} 127.0.0.1:{nodes[1].port}"
    assert first.call("RPUSH", "other", "x") == 1
    assert stays.reply() == [b"other", b"x"]
