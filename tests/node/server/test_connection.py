"""Connections of a node without a reactor: what a socket pair can show."""

from __future__ import annotations

import gc
import socket

import pytest

from node.app import Node
from node.command.session import Session
from node.config.config import Config
from node.server.connection import READ_BYTES


@pytest.fixture
def node():
    return Node(Config())


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    yield ours, theirs
    theirs.close()
    ours.close()


def _sessions() -> int:
    return sum(type(thing) is Session for thing in gc.get_objects())


def test_a_closed_connection_is_freed_by_its_reference_count(node, pair):
    """Old cycles are never collected: see node.collector."""
    gc.collect()
    before = _sessions()
    gc.disable()
    try:
        connection = node.server.connect(pair[0], "127.0.0.1:1", "127.0.0.1:2")
        pair[1].send(b"SET k v\r\nCLIENT PAUSE 1 WRITE\r\n")
        connection.readable()
        node.reactor.settle()
        assert _sessions() == before + 1
        connection.fail("the test is over")
        del connection
        assert _sessions() == before
    finally:
        gc.enable()


def test_what_is_done_to_an_ended_session_has_no_effect(node, pair):
    session = node.server.connect(pair[0], "127.0.0.1:1", "127.0.0.1:2").session
    session.transport.close(after_output=False)
    session.transport.send(b"x")
    session.transport.resume()
    session.transport.close(after_output=True)
    assert session.transport.descriptor() == -1
    assert session.id not in node.clients.sessions


def test_a_blocked_session_goes_on_after_the_command_that_freed_it(node, pair):
    """Its waiting requests are not run inside the other's command, but before replies leave."""
    connection = node.server.connect(pair[0], "127.0.0.1:1", "127.0.0.1:2")
    node.clients.pause("test", node.clock.now_ms + 60_000, all_commands=False)
    pair[1].send(b"SET k v\r\nGET k\r\n")
    connection.readable()
    assert connection.session.blocked is not None
    node.clients.unpause("test")
    assert node.databases[0].count == 0
    node.reactor.settle()
    assert pair[1].recv(100) == b"+OK\r\n$1\r\nv\r\n"


def test_many_short_requests_are_read_in_small_portions(node, pair):
    """A chunk that ends within a request is no sign of a long one."""
    connection = node.server.connect(pair[0], "127.0.0.1:1", "127.0.0.1:2")
    request = b"*1\r\n$4\r\nPING\r\n"
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * READ_BYTES)
    pair[1].setblocking(False)
    assert pair[1].send(request * (3 * READ_BYTES // len(request))) > 2 * READ_BYTES
    for portion in (1, 2):
        connection.readable()
        assert node.stats.commands_processed == portion * READ_BYTES // len(request)


def test_replies_of_a_turn_leave_at_its_end_though_the_socket_is_writable_before(node, pair):
    """With appendfsync always no reply may leave before what it tells of is on disk."""
    ours, theirs = pair
    connection = node.server.connect(ours, "127.0.0.1:1", "127.0.0.1:2")
    theirs.send(b"PING\r\n")
    connection.readable()
    connection.writable()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(100)
    node.reactor.settle()
    assert theirs.recv(100) == b"+PONG\r\n"
    connection.fail("the test is over")
