"""The service that lets clients wait for keys: order, costs, forgetting."""

from __future__ import annotations

import pytest

from node.command.session import Block
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.timers import Timers

QUEUE = b"q"


class Waiting:
    """Makes clients wait for keys with attempts that the test decides about."""

    def __init__(self, node, new_client):
        self.node = node
        self.blocking = node.blocking
        self.new_client = new_client
        self.tried: list[str] = []
        self.stock: dict[bytes, int] = {}

    def wait(self, name, *keys, takes=b"things", deadline_ms=None):
        """A client that takes one thing of the stock of a key."""
        client = self.new_client()
        keys = keys or (QUEUE,)

        def attempt(_call, key):
            self.tried.append(name)
            if not self.stock.get(key):
                return None
            self.stock[key] -= bool(takes)
            return b"+%b\r\n" % key

        block = self.blocking.wait(
            client.session.call, [b"TAKE", *keys], keys, attempt, deadline_ms, lambda: b"*-1\r\n", takes
        )
        self.node.clients.block(client.session, block)
        return client

    def arrive(self, *keys, count=1):
        """As a command that puts things there."""
        call = self.new_client().session.call
        for key in keys:
            self.stock[key] = self.stock.get(key, 0) + count
            call.changed(EventClass.LIST, b"lpush", key)
        self.node.after.apply(call.session, self.node.table.lookup(b"DEL"), [b"PUT", *keys])


@pytest.fixture
def waiting(node, new_client):
    return Waiting(node, new_client)


def got(*clients):
    return [client.transport.sent for client in clients]


def test_the_first_to_come_is_the_first_to_be_served(waiting):
    first, second, third = (waiting.wait(name) for name in "123")
    waiting.arrive(QUEUE)
    assert got(first, second, third) == [b"+q\r\n", b"", b""]
    waiting.arrive(QUEUE, count=2)
    assert got(second, third) == [b"+q\r\n", b"+q\r\n"]


def test_a_change_of_another_key_or_another_database_wakes_nobody(waiting, new_client):
    client = waiting.wait("1")
    waiting.arrive(b"other")
    other = new_client()
    other.call("SELECT", 1)
    other.session.call.changed(EventClass.LIST, b"lpush", QUEUE)
    waiting.node.after.apply(other.session, waiting.node.table.lookup(b"DEL"), [b"PUT"])
    assert waiting.tried == []
    assert got(client) == [b""]


def test_to_serve_one_of_very_many_does_not_try_the_others(waiting):
    clients = [waiting.wait(str(number)) for number in range(1000)]
    waiting.arrive(QUEUE)
    assert waiting.tried == ["0", "1"]
    assert got(*clients[:2]) == [b"+q\r\n", b""]


def test_those_that_only_read_are_all_tried(waiting):
    clients = [waiting.wait(str(number), takes=b"") for number in range(5)]
    waiting.arrive(QUEUE)
    assert got(*clients) == [b"+q\r\n"] * 5


def test_those_that_take_something_else_do_not_hold_up_the_queue(waiting):
    other = waiting.wait("other", b"elsewhere", QUEUE, takes=b"others")
    client = waiting.wait("client")
    waiting.arrive(QUEUE)
    assert got(other, client) == [b"+q\r\n", b""]
    waiting.arrive(QUEUE)
    assert got(client) == [b"+q\r\n"]


def test_one_key_named_twice_is_waited_for_once(waiting):
    client = waiting.wait("1", QUEUE, QUEUE)
    waiting.arrive(QUEUE)
    assert got(client) == [b"+q\r\n"]
    assert waiting.blocking.key_count == 0


def test_nothing_is_kept_when_the_last_has_been_served(waiting):
    watchers = list(waiting.node.after.watchers)
    waiting.wait("1", b"a", b"b")
    second = waiting.wait("2", b"b")
    assert waiting.blocking.key_count == 2
    waiting.arrive(b"b", count=2)
    assert got(second) == [b"+b\r\n"]
    assert waiting.blocking.key_count == 0
    assert waiting.node.after.watchers == watchers


def test_a_client_that_is_gone_takes_nothing(waiting):
    gone, client = waiting.wait("gone"), waiting.wait("client")
    waiting.node.clients.remove(gone.session)
    waiting.arrive(QUEUE)
    assert got(gone, client) == [b"", b"+q\r\n"]
    assert waiting.tried == ["client"]


def test_a_client_whose_time_is_over_is_forgotten(waiting, node):
    client = waiting.wait("1", deadline_ms=node.clock.now_ms + 50)
    node.timers.run_due(node.clock.now_ms + 49)
    assert got(client) == [b""]
    node.timers.run_due(node.clock.now_ms + 50)
    assert got(client) == [b"*-1\r\n"]
    waiting.arrive(QUEUE)
    assert waiting.tried == []


def test_an_attempt_that_is_refused_ends_the_wait(waiting, new_client, node):
    client = new_client()

    def attempt(_call, _key):
        raise CommandError(b"ERR no")

    block = waiting.blocking.wait(client.session.call, [b"TAKE"], [QUEUE], attempt, None, lambda: b"", b"x")
    node.clients.block(client.session, block)
    behind = waiting.wait("behind", takes=b"x")
    waiting.arrive(QUEUE)
    assert got(client, behind) == [b"-ERR no\r\n", b"+q\r\n"]


def test_a_command_still_being_finished_is_not_served(waiting, new_client):
    """A key that expires while a command looks for it is a change before the client waits."""
    client = new_client()
    block = waiting.blocking.wait(
        client.session.call, [b"TAKE"], [QUEUE], lambda _call, _key: b"+bad\r\n", None, lambda: b"", b"x"
    )
    assert isinstance(block, Block)
    waiting.arrive(QUEUE)
    assert got(client) == [b""]


def test_the_primary_never_waits(waiting, new_client):
    session = new_client().session
    assert waiting.blocking.may_wait(session.call)
    session.from_primary = True
    assert not waiting.blocking.may_wait(session.call)


def test_recheck_ends_the_waits_it_has_a_reply_for(waiting):
    stays, goes = waiting.wait("stays", b"a"), waiting.wait("goes", b"b", b"c")
    seen = []

    def verdict(session, keys):
        seen.append(keys)
        return b"-MOVED\r\n" if b"b" in keys else None

    waiting.blocking.recheck(verdict)
    assert seen == [[b"a"], [b"b", b"c"]]
    assert got(stays, goes) == [b"", b"-MOVED\r\n"]
    assert waiting.blocking.key_count == 1


def test_a_client_that_is_served_leaves_no_timer(waiting, node):
    """Workers that wait for up to an hour and get something every millisecond would fill the memory."""
    timers: Timers = node.timers
    for _ in range(1000):
        waiting.wait("1", deadline_ms=node.clock.now_ms + 3_600_000)
        waiting.arrive(QUEUE)
    assert len(timers._heap) < 100
