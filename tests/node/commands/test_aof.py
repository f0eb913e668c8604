"""BGREWRITEAOF and WAITAOF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.app import Node
from node.config import table as directives
from node.config.config import Config
from node.startup import load_data


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Its append-only file is synced in every turn."""
    config = Config()
    config.store(directives.DIR, str(tmp_path))
    config.store(directives.APPENDONLY, True)
    config.store(directives.APPENDFSYNC, "always")
    node = Node(config)
    trio.run(load_data, node)
    node.loading.end()
    yield node
    node.aof.close()


def test_waitaof_waits_for_the_turns_end(client: Any) -> None:
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0], "nothing was written yet"
    client.call("SET", "a", "1")
    assert client.raw("WAITAOF", 1, 0, 0) is None
    client.node.reactor.settle()
    assert client.transport.sent == b"*2\r\n:1\r\n:0\r\n"


def test_waitaof_times_out_and_tells_what_there_is(client: Any) -> None:
    node = client.node
    client.call("SET", "a", "1")
    node.reactor.settle()
    others = list(node.replication.primary.acks.on_ack)
    assert client.raw("WAITAOF", 1, 1, 100) is None
    assert client.session.blocked is not None
    node.clients._time_out(client.session, client.session.blocked)
    assert client.transport.sent == b"*2\r\n:1\r\n:0\r\n"
    assert node.replication.primary.acks.on_ack == others


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ((2, 0, 0), "ERR value is out of range, value must between 0 and 1"),
        (("x", 0, 0), "ERR value is not an integer or out of range"),
        ((1, -1, 0), "ERR value is out of range, must be positive"),
        ((1, 0, -1), "ERR timeout is negative"),
        ((1, 0, "x"), "ERR timeout is not an integer or out of range"),
        ((1, 0, 2**63 - 1), "ERR timeout is out of range"),
    ],
)
def test_waitaof_refuses_bad_arguments(client: Any, words: tuple[Any, ...], reply: str) -> None:
    assert client.error("WAITAOF", *words) == reply


def test_waitaof_needs_an_aof_for_the_local_part(client: Any) -> None:
    assert client.call("CONFIG", "SET", "appendonly", "no") == b"OK"
    assert client.error("WAITAOF", 1, 0, 0).startswith("ERR WAITAOF cannot be used when numlocal is set")
    assert client.call("WAITAOF", 0, 0, 0) == [0, 0]


def test_who_waits_is_told_when_the_aof_is_switched_off(client: Any) -> None:
    assert client.raw("WAITAOF", 1, 1, 0) is None
    client.node.config.set_many([(b"appendonly", b"no")])
    assert client.transport.sent.startswith(b"-ERR WAITAOF cannot be used when numlocal is set")


def test_waitaof_is_not_for_replicas(client: Any) -> None:
    client.node.replication.follow("127.0.0.1", 1)
    assert client.error("WAITAOF", 0, 0, 0).startswith("ERR WAITAOF cannot be used with replica instances.")


def test_waitaof_counts_replicas_by_what_they_have_on_disk(client: Any, new_client: Any) -> None:
    replica = new_client()
    replica.raw("PSYNC", "?", "-1")
    client.call("SET", "a", "1")
    assert client.raw("WAITAOF", 0, 1, 0) is None
    client.node.reactor.settle()
    assert b"GETACK" in replica.transport.sent
    offset = client.node.replication.stream.offset
    replica.raw("REPLCONF", "ACK", offset)
    assert client.transport.sent == b"", "this one has it in memory"
    replica.raw("REPLCONF", "ACK", offset, "FACK", 0)
    assert client.transport.sent == b""
    replica.raw("REPLCONF", "ACK", offset, "FACK", offset)
    assert client.transport.sent == b"*2\r\n:1\r\n:1\r\n"


def test_bgrewriteaof_inside_of_a_transaction_comes_after_it(client: Any) -> None:
    client.call("MULTI")
    client.call("BGREWRITEAOF")
    assert client.call("EXEC") == [b"Background append only file rewriting scheduled"]
