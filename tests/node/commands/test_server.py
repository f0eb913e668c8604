"""Databases as a whole, TIME, LOLWUT, DEBUG, SHUTDOWN; their errors are compared in tests/compat."""

from __future__ import annotations

import time

import pytest

from node.config.table import CLUSTER_ENABLED, ENABLE_DEBUG_COMMAND

_DENIED = "ERR DEBUG command not allowed."


@pytest.fixture
def told(node):
    """What replicas and the AOF are told, as (database, command)."""
    heard: list[tuple[int, list[bytes]]] = []
    node.after.tellers.append(lambda index, command: heard.append((index, command)))
    return heard


@pytest.mark.parametrize("mode", [[], ["SYNC"], ["async"]])
def test_flushdb_empties_one_database(client, node, mode):
    client.call("SET", "a", 1)
    client.call("SELECT", 1)
    client.call("SET", "b", 2, "PX", 1000)
    assert client.raw("FLUSHDB", *mode) == b"+OK\r\n"
    assert [database.count for database in node.databases[:2]] == [1, 0]
    node.databases[1].check()


@pytest.mark.parametrize("mode", [[], ["SYNC"], ["async"]])
def test_flushall_empties_all(client, node, mode):
    client.call("SET", "a", 1)
    client.call("SELECT", 1)
    client.call("SET", "b", 2)
    assert client.raw("FLUSHALL", *mode) == b"+OK\r\n"
    assert sum(database.count for database in node.databases) == 0
    assert client.call("DBSIZE") == 0


def test_async_frees_later(client, node):
    client.call("MSET", "a", 1, "b", 2)
    client.call("FLUSHALL", "ASYNC")
    assert node.disposal.pending == 2
    assert b"lazyfree_pending_objects:2" in client.call("INFO", "memory")
    assert node.disposal.work(1.0) is False
    assert node.disposal.pending == 0


def test_flushes_are_told_even_when_there_was_nothing(client, told):
    client.call("FLUSHALL")
    client.call("SELECT", 2)
    client.call("FLUSHDB", "SYNC")
    assert told == [(0, [b"FLUSHALL"]), (2, [b"FLUSHDB", b"SYNC"])]


def test_swapdb(client, node, told):
    client.call("SET", "k", "zero", "EX", 100)
    assert client.raw("SWAPDB", 0, 1) == b"+OK\r\n"
    assert client.call("GET", "k") is None
    client.call("SELECT", 1)
    assert client.call("GET", "k") == b"zero"
    assert client.call("TTL", "k") == 100
    assert told[-1][1] == [b"SWAPDB", b"0", b"1"]
    for database in node.databases[:2]:
        database.check()


def test_swapdb_is_not_for_clusters(client, node):
    node.config.store(CLUSTER_ENABLED, True)
    assert client.error("SWAPDB", 0, 0) == "ERR SWAPDB is not allowed in cluster mode"


def test_time_is_the_time(client):
    before_us = time.time_ns() // 1000
    seconds, micros = client.call("TIME")
    assert before_us <= int(seconds) * 1_000_000 + int(micros) <= time.time_ns() // 1000


@pytest.mark.parametrize("words", ["", "VERSION 5", "40 8", "version 6 1 1", "-5 999999"])
def test_lolwut_draws_and_tells_the_version(client, words):
    text = client.call("LOLWUT", *words.split()).decode()
    assert "Redis ver. 7.4.0" in text
    assert all(len(line) <= 200 for line in text.splitlines())


class TestDebug:
    @pytest.fixture
    def debugged(self, client, node):
        node.config.store(ENABLE_DEBUG_COMMAND, "local")
        return client

    def test_who_may_use_it(self, client, node):
        assert client.error("DEBUG", "JMAP").startswith(_DENIED)
        node.config.store(ENABLE_DEBUG_COMMAND, "local")
        assert client.raw("DEBUG", "JMAP") == b"+OK\r\n"
        client.session.address = b"192.0.2.1:7"
        assert client.error("DEBUG", "JMAP").startswith(_DENIED)
        node.config.store(ENABLE_DEBUG_COMMAND, "yes")
        assert client.raw("DEBUG", "JMAP") == b"+OK\r\n"

    def test_sleep_stops_the_server(self, debugged):
        before_s = time.monotonic()
        assert debugged.raw("DEBUG", "SLEEP", "0.01") == b"+OK\r\n"
        assert time.monotonic() - before_s >= 0.01

    def test_object(self, debugged):
        debugged.call("SET", "k", "v" * 50)
        told = debugged.call("DEBUG", "OBJECT", "k")
        assert b"encoding:raw serializedlength:" in told
        assert debugged.error("DEBUG", "OBJECT", "missing") == "ERR no such key"

    def test_active_expiry_can_be_switched(self, debugged, node, advance):
        debugged.call("SET", "k", "v", "PX", 10)
        advance(1000)
        debugged.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        node.cron.expire(1.0)
        assert node.databases[0].count == 1
        debugged.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
        node.cron.expire(1.0)
        assert node.databases[0].count == 0

    def test_what_is_not_there_says_so(self, debugged):
        assert (
            debugged.error("DEBUG", "NOSUCH")
            == "ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try DEBUG HELP."
        )
        assert debugged.error("DEBUG", "ERROR", "MY fault") == "MY fault"


class TestShutdown:
    def test_it_is_requested_and_never_answered(self, client, node):
        assert client.raw("SHUTDOWN", "NOSAVE") is None
        assert client.session.blocked is not None
        assert node.lifecycle.is_ending

    def test_abort_sets_the_client_free(self, client, node, new_client):
        client.raw("SHUTDOWN")
        assert new_client().raw("SHUTDOWN", "ABORT") == b"+OK\r\n"
        assert client.transport.sent == b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
        assert not node.lifecycle.is_ending
        assert new_client().error("SHUTDOWN", "ABORT") == "ERR No shutdown in progress."

    def test_a_client_that_leaves_is_forgotten(self, client, node):
        client.raw("SHUTDOWN")
        node.clients.remove(client.session)
        assert node.lifecycle.on_failure == []

    def test_it_cannot_be_unblocked(self, client, new_client):
        client.raw("SHUTDOWN")
        assert new_client().call("CLIENT", "UNBLOCK", client.session.id) == 0
