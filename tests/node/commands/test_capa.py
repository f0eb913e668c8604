"""CLIENT CAPA redirect: a replica outside of clusters sends clients that can follow to its primary."""

from __future__ import annotations

import pytest

from node.guards import Guard

REDIRECT = b"-REDIRECT primary.example:7000\r\n"


@pytest.fixture
def replica(client):
    """A client of a replica, which has said that it can follow."""
    client.call("SET", "k", "v")
    client.node.replication.follower.primary = ("primary.example", 7000)
    client.node.guards.set(Guard.REPLICA, True)
    assert client.call("CLIENT", "CAPA", "what-is-not-known", "Redirect") == b"OK"
    return client


def test_writes_and_reads_are_sent_to_the_primary(replica):
    assert replica.raw("SET", "k", "v") == REDIRECT
    assert replica.raw("GET", "k") == REDIRECT
    assert replica.raw("PING") == b"+PONG\r\n"


def test_who_says_readonly_reads_here(replica):
    assert replica.call("READONLY") == b"OK"
    assert replica.call("GET", "k") == b"v"
    assert replica.raw("SET", "k", "v") == REDIRECT
    assert replica.call("READWRITE") == b"OK"
    assert replica.raw("GET", "k") == REDIRECT


def test_others_are_answered_as_before(replica, new_client):
    other = new_client()
    assert other.call("CLIENT", "CAPA", "what-is-not-known") == b"OK"
    assert other.call("GET", "k") == b"v"
    assert other.error("SET", "k", "v").startswith("READONLY")
    assert other.error("READONLY") == "ERR This instance has cluster support disabled"


def test_a_transaction_is_redirected_when_it_is_queued_and_as_a_whole(replica):
    replica.call("MULTI")
    assert replica.raw("GET", "k") == REDIRECT
    assert replica.raw("EXEC").startswith(b"-EXECABORT")
    replica.node.replication.follower.primary = None
    replica.call("MULTI")
    replica.call("GET", "k")
    replica.node.replication.follower.primary = ("primary.example", 7000)
    assert replica.raw("EXEC") == REDIRECT
    assert replica.error("EXEC") == "ERR EXEC without MULTI"


def test_on_a_primary_it_means_nothing(client):
    client.call("CLIENT", "CAPA", "redirect")
    client.call("SET", "k", "v")
    assert client.call("GET", "k") == b"v"


def test_while_the_node_is_paused_they_wait(replica):
    """As in the midst of a FAILOVER, when both are replicas."""
    replica.node.clients.pause("failover", replica.node.clock.now_ms + 1000, all_commands=False)
    assert replica.raw("GET", "k") is None
    assert replica.session.blocked is not None
