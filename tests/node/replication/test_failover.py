"""FAILOVER on the side of the primary that gives way, up to where it follows its replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.app import Node
from node.config import table as directives
from node.replication.failover import FailoverState
from node.resp.client import encode_command as command

GETACK = command(["REPLCONF", "GETACK", "*"])
PAUSED = None  # a request that waits has no reply


def begin(node: Node) -> None:
    """The turn in which FAILOVER came is over."""
    node.timers.run_due(node.clock.now_ms)


def state(node: Node) -> FailoverState:
    return node.replication.failover.state


def test_follows_the_replica_that_has_everything(node: Node, client: Any, replica: Any) -> None:
    """Writes wait, the offset stands still, and the first acknowledgement of it decides."""
    replica.full_sync()
    client.call("SET", "k", "v")
    replica.take()
    assert client.call("FAILOVER") == b"OK"
    begin(node)
    assert replica.take() == GETACK
    assert client.raw("SET", "k", "w") is PAUSED
    offset = node.replication.offset()
    node.replication.primary.every_second()
    assert node.replication.offset() == offset
    replica.say("REPLCONF", "ACK", offset - 1)
    assert state(node) is FailoverState.WAITING
    replica.say("REPLCONF", "ACK", offset)
    assert state(node) is FailoverState.ASKING
    assert node.replication.primary_address == ("10.0.0.7", replica.port)
    node.replication.failover.accepted()
    assert state(node) is FailoverState.NONE
    assert node.config[directives.REPLICAOF] == ("10.0.0.7", replica.port)


def test_one_that_has_everything_already_is_not_asked(node: Node, client: Any, replica: Any) -> None:
    replica.full_sync()
    replica.say("REPLCONF", "ACK", node.replication.offset())
    client.call("FAILOVER")
    begin(node)
    assert state(node) is FailoverState.ASKING
    assert replica.take() == b""


def test_only_the_one_that_was_named(node: Node, client: Any, new_replica: Callable[[], Any]) -> None:
    named, other = new_replica(), new_replica()
    for replica in (named, other):
        replica.full_sync()
    client.call("SET", "k", "v")
    assert client.call("FAILOVER", "TO", "10.0.0.7", named.port) == b"OK"
    begin(node)
    offset = node.replication.offset()
    other.say("REPLCONF", "ACK", offset)
    assert state(node) is FailoverState.WAITING
    named.say("REPLCONF", "ACK", offset)
    assert node.replication.primary_address == ("10.0.0.7", named.port)


def test_given_up_after_the_time(node: Node, client: Any, replica: Any, advance: Any) -> None:
    """Everything is as before: writes, expiry, the offset moves."""
    replica.full_sync()
    client.call("SET", "k", "v")
    client.call("FAILOVER", "TIMEOUT", 100)
    begin(node)
    assert not node.policy.expires
    advance(100)
    node.timers.run_due(node.clock.now_ms)
    assert state(node) is FailoverState.NONE
    assert client.call("SET", "k", "v") == b"OK"
    assert node.policy.expires
    assert node.replication.is_primary


def test_force_asks_after_the_time(node: Node, client: Any, replica: Any, advance: Any) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    client.call("FAILOVER", "TO", "10.0.0.7", replica.port, "FORCE", "TIMEOUT", 100)
    begin(node)
    advance(100)
    node.timers.run_due(node.clock.now_ms)
    assert state(node) is FailoverState.ASKING


@pytest.mark.parametrize("refused", [True, False])
def test_primary_again_when_it_does_not_come_off(
    node: Node, client: Any, replica: Any, refused: bool
) -> None:
    """The target refuses, or somebody says ABORT; the history goes on under a new name."""
    replica.full_sync()
    replid = node.replication.stream.replid
    replica.say("REPLCONF", "ACK", node.replication.offset())
    client.call("FAILOVER")
    begin(node)
    if refused:
        node.replication.failover.refused()
    else:
        assert client.call("FAILOVER", "ABORT") == b"OK"
    assert state(node) is FailoverState.NONE
    assert node.replication.is_primary
    assert node.replication.stream.replid2 == replid
    assert client.call("SET", "k", "v") == b"OK"


def test_meanwhile_nobody_is_served_a_stream_or_changes_the_role(
    client: Any, new_replica: Callable[[], Any]
) -> None:
    new_replica().full_sync()
    client.call("FAILOVER")
    assert client.error("REPLICAOF", "h", 1) == "ERR REPLICAOF not allowed while failing over."
    assert client.error("FAILOVER") == "ERR FAILOVER already in progress."
    late = new_replica()
    late.greet()
    assert late.say("PSYNC", "?", -1) == b"-NOMASTERLINK Can't SYNC while failing over\r\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("ABORT", "ERR No failover in progress."),
        ("ABORT TIMEOUT 5", "ERR syntax error"),
        ("TIMEOUT 0", "ERR FAILOVER timeout must be greater than 0"),
        ("TIMEOUT x", "ERR value is not an integer or out of range"),
        ("TO 10.0.0.7", "ERR syntax error"),
        ("TO 10.0.0.7 x", "ERR value is not an integer or out of range"),
        ("TO 10.0.0.7 1", "ERR FAILOVER target HOST and PORT is not a replica."),
        ("FORCE", "ERR FAILOVER with force option requires both a timeout and target HOST and IP."),
        (
            "TO 10.0.0.7 7001 FORCE",
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ),
        ("FORCE FORCE", "ERR syntax error"),
        ("NONSENSE", "ERR syntax error"),
    ],
)
def test_bad_requests(client: Any, replica: Any, arguments: str, text: str) -> None:
    replica.full_sync()
    assert client.error("FAILOVER", *arguments.split()) == text


def test_needs_replicas_and_a_primary(node: Node, client: Any) -> None:
    assert client.error("FAILOVER") == "ERR FAILOVER requires connected replicas."
    node.replication.follow("h", 1)
    assert client.error("FAILOVER") == "ERR FAILOVER is not valid when server is a replica."


def test_a_replica_gives_way_to_its_primary_alone(node: Node, replica: Any) -> None:
    """PSYNC … FAILOVER: the history must have our name."""
    replica.greet()
    not_to_a_primary = b"-ERR PSYNC FAILOVER can't be sent to a master.\r\n"
    assert replica.say("PSYNC", "x" * 40, 1, "FAILOVER") == not_to_a_primary
    node.replication.follow("h", 1)
    wrong_name = b"-ERR PSYNC FAILOVER replid must match my replid.\r\n"
    assert replica.say("PSYNC", "x" * 40, 1, "FAILOVER") == wrong_name
    node.replication.primary.open_backlog()
    replid, offset = node.replication.stream.replid.decode(), node.replication.offset()
    assert replica.say("PSYNC", replid, offset + 1, "FAILOVER") == b""
    assert node.replication.is_primary
    assert replica.take().startswith(b"+CONTINUE " + node.replication.stream.replid)
