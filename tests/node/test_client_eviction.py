"""maxmemory-clients: the client that makes the server keep most is closed, and no other."""

from __future__ import annotations

import pytest

from node.client_eviction import ClientEviction


@pytest.fixture
def tick(node):
    return ClientEviction(node.config, node.log, node.stats, node.clients.__iter__).tick


@pytest.fixture
def hungry(new_client):
    """Clients that have not read so many bytes."""

    def make(*sizes: int):
        made = []
        for size in sizes:
            client = new_client()
            client.transport.send(b"x" * size)
            made.append(client)
        return made

    return make


def test_the_greediest_are_closed_until_it_is_enough(client, hungry, tick):
    clients = hungry(1000, 9000, 5000, 2000)
    tick()
    assert not any(each.transport.closed for each in clients)
    client.call("CONFIG", "SET", "maxmemory-clients", 4000)
    tick()
    assert [each.transport.closed for each in clients] == [False, True, True, False]
    assert b"evicted_clients:2\r\n" in client.call("INFO", "stats")


def test_no_evict_and_replicas_are_spared(client, hungry, tick):
    spared, replica, other = hungry(9000, 9000, 500)
    spared.call("CLIENT", "NO-EVICT", "ON")
    replica.session.is_replica = True
    client.call("CONFIG", "SET", "maxmemory-clients", 4000)
    tick()
    assert [each.transport.closed for each in (spared, replica, other)] == [False, False, True]


def test_a_transaction_counts(client, hungry, tick):
    (queuing,) = hungry(0)
    queuing.call("MULTI")
    queuing.call("SET", "k", "v" * 5000)
    client.call("CONFIG", "SET", "maxmemory-clients", 4000)
    tick()
    assert queuing.transport.closed


def test_a_percentage_is_of_maxmemory(client, hungry, tick):
    (one,) = hungry(60_000)
    client.call("CONFIG", "SET", "maxmemory-clients", "5%")
    tick()
    assert not one.transport.closed
    client.call("CONFIG", "SET", "maxmemory", 1 << 20)
    tick()
    assert one.transport.closed
