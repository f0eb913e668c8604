"""The parts of a migration that need no peer: what holds requests, what feeds, what is staged and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gossip.slots import SlotSet, key_slot
from node.app import Node
from node.command.session import Block
from node.migration.feed import Feed
from node.migration.hold import Hold
from node.migration.leftovers import DELETE_BATCH, Leftovers
from node.migration.snapshot import snapshot
from node.migration.staging import Staging, StagingError
from node.resp.encode import command as encode
from node.resp.request import RequestParser

KEY = b"{a}1"
SLOT = key_slot(KEY)
SLOTS = SlotSet([SLOT])
OTHER = b"{b}1"


class FakeSlots:
    def __init__(self) -> None:
        self.held: list[int] = []

    def hold(self, slot: int) -> None:
        self.held.append(slot)

    def free(self, slot: int) -> None:
        self.held.remove(slot)


@pytest.fixture
def hold(node: Node) -> Hold:
    return Hold(FakeSlots(), node.clients.end_block)


def ask(node: Node, client: Any, hold: Hold, *words: bytes) -> Block | None:
    command = node.table.lookup(words[0])
    assert command is not None
    client.session.call.slot = key_slot(words[1]) if len(words) > 1 else 0
    return hold.gate(client.session, command, list(words))


def test_nothing_waits_while_nothing_is_held(node: Node, client: Any, hold: Hold) -> None:
    assert ask(node, client, hold, b"SET", KEY, b"v") is None


def test_writes_to_held_slots_wait_and_reads_do_not(node: Node, client: Any, hold: Hold) -> None:
    hold.close(SLOTS, reads=False)
    block = ask(node, client, hold, b"SET", KEY, b"v")
    assert block is not None
    assert block.retry
    assert ask(node, client, hold, b"GET", KEY) is None
    assert ask(node, client, hold, b"SET", OTHER, b"v") is None


def test_reads_wait_too_once_the_other_side_may_have_taken_over(node: Node, client: Any, hold: Hold) -> None:
    hold.close(SLOTS, reads=False)
    hold.close(SLOTS, reads=True)
    assert ask(node, client, hold, b"GET", KEY) is not None
    assert ask(node, client, hold, b"GET", OTHER) is None


def test_who_waits_asks_again_when_the_slots_are_open(node: Node, client: Any, hold: Hold) -> None:
    hold.close(SLOTS, reads=False)
    block = ask(node, client, hold, b"SET", KEY, b"v")
    assert block is not None
    node.clients.block(client.session, block)
    hold.open(SLOTS)
    assert client.session.blocked is None
    assert client.transport.resumed == 1
    assert hold._slots.held == []  # type: ignore[attr-defined]


def test_a_client_that_goes_away_is_forgotten(node: Node, client: Any, hold: Hold) -> None:
    hold.close(SLOTS, reads=False)
    block = ask(node, client, hold, b"SET", KEY, b"v")
    assert block is not None
    node.clients.block(client.session, block)
    node.clients.remove(client.session)
    hold.open(SLOTS)
    assert client.transport.resumed == 0


def test_the_primarys_commands_are_not_held(node: Node, client: Any, hold: Hold) -> None:
    hold.close(SLOTS, reads=True)
    client.session.from_primary = True
    assert ask(node, client, hold, b"SET", KEY, b"v") is None


# What changes


def test_changes_to_the_slots_are_fed_and_others_are_not(node: Node, client: Any) -> None:
    feed = Feed(node.after.tellers)
    feed.table = node.table
    taken: list[bytes] = []
    feed.begin(SLOTS, taken.append)
    client.call("SET", KEY, "v")
    client.call("SET", OTHER, "v")
    client.call("MSET", KEY, "a", b"{a}2", "b")
    client.call("MULTI")
    client.call("INCR", b"{a}n")
    client.call("INCR", b"{a}n")
    client.call("EXEC")
    client.call("EXPIRE", KEY, 10)
    feed.end(SLOTS)
    client.call("SET", KEY, "w")
    assert taken == [
        encode([b"SET", KEY, b"v"]),
        encode([b"MSET", KEY, b"a", b"{a}2", b"b"]),
        encode([b"INCR", b"{a}n"]),
        encode([b"INCR", b"{a}n"]),
        encode([b"PEXPIREAT", KEY, b"%d" % (node.clock.now_ms + 10_000)]),
    ]


def test_without_a_migration_nobody_is_told(node: Node) -> None:
    feed = Feed(node.after.tellers)
    before = list(node.after.tellers)
    feed.begin(SLOTS, lambda _: None)
    assert len(node.after.tellers) == len(before) + 1
    feed.end(SLOTS)
    assert node.after.tellers == before


# What is staged


@pytest.fixture
def told() -> list[list[bytes]]:
    return []


@pytest.fixture
def staging(node: Node, told: list[list[bytes]]) -> Staging:
    return Staging(node.databases[0], node.changes, node.table, lambda _db, words: told.append(words), SLOTS)


def test_what_is_staged_is_nowhere_to_be_seen_until_it_is_published(
    node: Node, client: Any, staging: Staging, told: list[list[bytes]]
) -> None:
    for words in ([b"SET", KEY, b"v"], [b"RPUSH", b"{a}l", b"x"], [b"PEXPIREAT", KEY, b"9999999999999"]):
        staging.apply(client.session, words)
    assert (client.call("DBSIZE"), client.call("KEYS", "*"), client.call("RANDOMKEY")) == (0, [], None)
    assert told == [[b"SET", KEY, b"v"], [b"RPUSH", b"{a}l", b"x"], [b"PEXPIREAT", KEY, b"9999999999999"]]
    client.call("SET", OTHER, "there before", "PX", 1000)
    assert staging.publish() == 2
    assert client.call("DBSIZE") == 3
    assert client.call("PEXPIRETIME", KEY) == 9999999999999
    assert client.call("LRANGE", b"{a}l", 0, -1) == [b"x"]
    node.databases[0].check()


def test_keys_whose_time_is_over_are_the_sources_business(client: Any, staging: Staging) -> None:
    staging.apply(client.session, [b"SET", KEY, b"1"])
    staging.apply(client.session, [b"PEXPIREAT", KEY, b"1000"])
    staging.apply(client.session, [b"INCR", KEY])
    staging.apply(client.session, [b"PERSIST", KEY])
    staging.publish()
    assert client.call("GET", KEY) == b"2"


@pytest.mark.parametrize(
    "words",
    [
        [b"SET", OTHER, b"v"],
        [b"MSET", KEY, b"v", OTHER, b"v"],
        [b"FLUSHALL"],
        [b"NOSUCH", KEY],
        [b"SELECT", b"3"],
        [b"SET", KEY],
        [b"LPUSH", b"{a}string", b"x"],
    ],
)
def test_what_cannot_be_part_of_an_import_is_refused(
    node: Node, client: Any, staging: Staging, words: list[bytes]
) -> None:
    staging.apply(client.session, [b"SET", b"{a}string", b"v"])
    with pytest.raises(StagingError):
        staging.apply(client.session, words)
    assert not node.changes.log


def test_transactions_bounds_mean_nothing(client: Any, staging: Staging) -> None:
    for words in ([b"MULTI"], [b"INCR", KEY], [b"EXEC"], [b"SELECT", b"0"]):
        staging.apply(client.session, words)
    assert staging.database.count == 1


def test_a_snapshot_makes_what_was_there(node: Node, client: Any, staging: Staging) -> None:
    """DUMPs of every type are the same."""
    client.call("SET", b"{a}s", "v", "PXAT", 9999999999999)
    client.call("SET", b"{a}i", 17)
    client.call("RPUSH", b"{a}l", *range(1000))
    client.call("SADD", b"{a}set", *range(700))
    client.call("ZADD", b"{a}z", 1.5, "a", "-inf", "b", 3, "c")
    client.call("HSET", b"{a}h", *range(1000))
    client.call("XADD", b"{a}x", "1-1", "a", "b")
    client.call("XGROUP", "CREATE", b"{a}x", "g", "0")
    client.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", b"{a}x", ">")
    keys = sorted(client.call("KEYS", "*"))
    before = [client.call("DUMP", key) for key in keys]
    pieces = b"".join(snapshot(node.databases[0], SLOTS))
    node.databases[0].clear()
    for words in RequestParser().feed(pieces):
        staging.apply(client.session, words)
    staging.publish()
    kinds = [client.call("TYPE", key) for key in keys]
    for key, kind, dump in zip(keys, kinds, before, strict=True):
        if kind != b"set":  # members in another order
            assert client.call("DUMP", key) == dump, key
    assert sorted(map(int, client.call("SMEMBERS", b"{a}set"))) == list(range(700))
    assert client.call("PEXPIRETIME", b"{a}s") == 9999999999999


# What is left over


@pytest.fixture
def leftovers(node: Node, told: list[list[bytes]]) -> Leftovers:
    return Leftovers(node.databases[0], lambda _db, words: told.append(words))


def _fill(client: Any, count: int) -> None:
    for number in range(count):
        client.call("SET", b"{a}%d" % number, "v", "PX", 5000)


def test_lifted_slots_are_out_of_sight_at_once_and_deleted_by_and_by(
    node: Node, client: Any, leftovers: Leftovers, told: list[list[bytes]]
) -> None:
    _fill(client, 3 * DELETE_BATCH)
    assert leftovers.take(SLOTS) == 3 * DELETE_BATCH
    assert client.call("DBSIZE") == 0
    assert told == []
    while leftovers.work(0.001):
        pass
    assert leftovers.count == 0
    assert sorted(key for words in told for key in words[1:]) == sorted(
        b"{a}%d" % number for number in range(3 * DELETE_BATCH)
    )
    assert len(node.databases[0].deadlines) == 0
    node.databases[0].check()


def test_deadlines_of_lifted_keys_end_nothing(
    node: Node, client: Any, leftovers: Leftovers, advance: Callable[[int], None]
) -> None:
    _fill(client, 10)
    client.call("HSET", b"{a}h", "f", "v")
    client.call("HPEXPIRE", b"{a}h", 5000, "FIELDS", 1, "f")
    leftovers.take(SLOTS)
    advance(10_000)
    node.databases[0].expire_due(node.clock.now_ms, 100)
    node.databases[0].expire_due_fields(node.clock.now_ms, 100)
    assert node.databases[0].expired_total == 0
    leftovers.finish(SLOTS)
    assert leftovers.count == 0


def test_what_is_abandoned_leaves_no_deadline(
    node: Node, client: Any, leftovers: Leftovers, told: list[list[bytes]]
) -> None:
    _fill(client, 10)
    leftovers.take(SLOTS)
    leftovers.abandon()
    assert told == []
    assert len(node.databases[0].deadlines) == 0
    assert not leftovers.work(1)


def test_a_slot_that_comes_back_is_finished_first(
    node: Node, client: Any, leftovers: Leftovers, told: list[list[bytes]]
) -> None:
    """Else a deadline of before would be the new key's."""
    _fill(client, 300)
    leftovers.take(SLOTS)
    assert leftovers.pending(SLOTS) == 300
    leftovers.finish(SLOTS)
    client.call("SET", b"{a}1", "new")
    assert client.call("PTTL", b"{a}1") == -1
    assert sum(len(words) - 1 for words in told) == 300
    node.databases[0].check()
