"""The target's states: which message leads where, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gossip.slots import SlotSet, key_slot
from node.app import Node
from node.log import Log
from node.migration.importing import Import, deletions
from node.migration.job import Job, State
from node.migration.staging import Staging
from node.resp.request import RequestParser

KEY = b"{a}1"
SLOTS = SlotSet([key_slot(KEY)])
SYNC = (b"CLUSTER", b"SYNCSLOTS")


class FakeNode:
    """What an import asks of the node, and what it did."""

    def __init__(self) -> None:
        self.time_ms = 0.0
        self.full = False
        self.busy = False
        self.did: list[str] = []
        self.waiting: list[Callable[[], None]] = []
        self.has_replicas = False

    def now_ms(self) -> float:
        return self.time_ms

    def max_pause_ms(self) -> int:
        return 100

    def out_of_memory(self) -> bool:
        return self.full

    def when_replicated(self, then: Callable[[], None], within_ms: int) -> None:
        assert within_ms == 50
        self.waiting.append(then)
        if not self.has_replicas:
            then()

    def take_over(self, incoming: Import, above_epoch: int) -> bool:
        if self.busy:
            return False
        self.did.append(f"took over above {above_epoch}")
        incoming.job.finish(State.SUCCESS)
        return True

    def clean_up(self, incoming: Import) -> None:
        self.did.append("cleans up")


class Target:
    """An import, and what is said on its link."""

    def __init__(self, node: Node, client: Any) -> None:
        self.fake = FakeNode()
        self.client = client
        staging = Staging(node.databases[0], node.changes, node.table, lambda _db, _words: None, SLOTS)
        self.job = Job(
            b"n" * 40, True, SLOTS, "s" * 40, "t" * 40, State.WAIT_ACK, 0, Log(level="warning"), lambda: 0
        )
        self.incoming = Import(self.job, staging, client.session, self.fake)

    def hears(self, *words: bytes) -> list[bytes]:
        """What it says to that: the words behind SYNCSLOTS."""
        self.client.transport.sent = b""
        assert self.incoming.take([*SYNC, *words])
        return [b" ".join(said[2:]) for said in RequestParser().feed(self.client.transport.sent)]

    def up_to_paused(self) -> None:
        self.hears(b"ACK")
        self.hears(b"CAPA", b"shoal-1")
        self.hears(b"SNAPSHOT-EOF")


@pytest.fixture
def target(node: Node, client: Any) -> Target:
    return Target(node, client)


def test_the_way_to_the_take_over(target: Target) -> None:
    """Valkey's messages alone are enough."""
    assert target.hears(b"ACK") == [b"CAPA shoal-1"]
    assert target.job.state is State.RECEIVING
    target.incoming.take([b"SET", KEY, b"v"])
    assert target.hears(b"SNAPSHOT-EOF") == [b"REQUEST-PAUSE"]
    target.incoming.take([b"INCR", b"{a}n"])
    assert target.hears(b"PAUSED") == [b"REQUEST-FAILOVER"]
    assert target.hears(b"FAILOVER-GRANTED") == []
    assert target.fake.did == ["took over above 0"]
    assert target.incoming.staging.database.count == 2


def test_a_probe_comes_back(target: Target) -> None:
    target.up_to_paused()
    assert target.hears(b"ACK", b"17") == [b"ACK 17"]
    assert target.hears(b"ACK") == []


def test_the_slots_are_asked_for_when_the_replicas_have_all_or_time_is_over(target: Target) -> None:
    target.fake.has_replicas = True
    target.up_to_paused()
    assert target.hears(b"PAUSED", b"1") == []
    assert target.job.state is State.WAITING_FOR_PAUSED
    target.fake.waiting[0]()
    assert target.client.transport.sent.endswith(b"REQUEST-FAILOVER\r\n$1\r\n1\r\n")
    target.client.transport.sent = b""
    target.fake.waiting[0]()  # once more, by the time-out
    assert target.client.transport.sent == b""


def test_a_pause_that_was_given_up_is_not_answered(target: Target) -> None:
    target.fake.has_replicas = True
    target.up_to_paused()
    target.hears(b"PAUSED", b"1")
    target.hears(b"RESUMED", b"1")
    target.hears(b"PAUSED", b"2")
    first, second = target.fake.waiting
    first()
    assert target.job.state is State.WAITING_FOR_PAUSED
    second()
    assert target.job.state is State.FAILOVER_REQUESTED


def test_a_grant_of_another_pause_is_declined(target: Target) -> None:
    target.up_to_paused()
    target.hears(b"PAUSED", b"1")
    target.hears(b"RESUMED", b"1")
    assert target.hears(b"FAILOVER-GRANTED", b"1", b"50") == [b"DECLINED 1"]
    target.hears(b"PAUSED", b"2")
    assert target.hears(b"FAILOVER-GRANTED", b"1", b"50") == [b"DECLINED 1"]
    assert target.fake.did == []


def test_a_grant_is_good_for_its_time_after_the_request(target: Target) -> None:
    target.up_to_paused()
    target.hears(b"PAUSED", b"1")
    target.fake.time_ms = 51
    assert target.hears(b"FAILOVER-GRANTED", b"1", b"50") == [b"DECLINED 1"]
    assert target.job.state is State.WAITING_FOR_PAUSED
    target.hears(b"PAUSED", b"2")
    target.fake.time_ms = 101
    assert target.hears(b"FAILOVER-GRANTED", b"2", b"50", b"7") == []
    assert target.fake.did == ["took over above 7"]


def test_a_node_that_hands_over_slots_itself_uses_no_grant(target: Target) -> None:
    target.up_to_paused()
    target.hears(b"PAUSED", b"1")
    target.fake.busy = True
    assert target.hears(b"FAILOVER-GRANTED", b"1", b"50", b"7") == [b"DECLINED 1"]
    assert target.job.state is State.WAITING_FOR_PAUSED
    target.fake.busy = False
    target.hears(b"RESUMED", b"1")
    target.hears(b"PAUSED", b"2")
    target.hears(b"FAILOVER-GRANTED", b"2", b"50", b"7")
    assert target.fake.did == ["took over above 7"]


@pytest.mark.parametrize("word", [b"SNAPSHOT-EOF", b"PAUSED", b"FAILOVER-GRANTED", b"NO-SUCH"])
def test_what_comes_out_of_turn_ends_it(target: Target, word: bytes) -> None:
    target.hears(word)
    assert target.job.state is State.CLEANING_UP
    assert "Unexpected state machine transition" in target.job.message
    assert target.client.transport.closed
    assert target.fake.did == ["cleans up"]


def test_data_before_the_first_ack_end_it(target: Target) -> None:
    target.incoming.take([b"SET", KEY, b"v"])
    assert target.job.state is State.CLEANING_UP


@pytest.mark.parametrize("words", [[b"SET", b"{b}", b"v"], [b"NOSUCH"], [b"SET", KEY]])
def test_a_command_that_fails_ends_it(target: Target, words: list[bytes]) -> None:
    target.hears(b"ACK")
    target.incoming.take(words)
    assert target.job.state is State.CLEANING_UP
    assert "Failed to process a command of the source" in target.job.message


def test_a_full_node_ends_it(target: Target) -> None:
    target.hears(b"ACK")
    target.fake.full = True
    target.incoming.take([b"SET", KEY, b"v"])
    assert "OOM" in target.job.message


def test_what_comes_after_the_take_over_means_nothing(target: Target) -> None:
    target.up_to_paused()
    target.hears(b"PAUSED", b"1")
    target.hears(b"FAILOVER-GRANTED", b"1", b"50", b"7")
    target.incoming.take([b"DEL", KEY])
    target.hears(b"ACK")
    target.incoming.link_lost()
    assert target.fake.did == ["took over above 7"]


def test_a_lost_link_before_the_take_over(target: Target) -> None:
    target.up_to_paused()
    target.hears(b"PAUSED")
    target.incoming.link_lost()
    assert target.fake.did == ["cleans up"]


def test_silence_ends_it(target: Target) -> None:
    target.hears(b"ACK")
    target.fake.time_ms = 60_000
    target.incoming.tick(60_000)
    assert target.job.state is State.RECEIVING
    assert target.client.transport.sent.endswith(b"$3\r\nACK\r\n")
    target.fake.time_ms = 60_001
    target.incoming.tick(60_000)
    assert target.job.state is State.CLEANING_UP


def test_what_is_staged_is_deleted_in_batches(target: Target) -> None:
    """For replicas that have it as ordinary keys."""
    target.hears(b"ACK")
    for number in range(300):
        target.incoming.take([b"SET", b"{a}%d" % number, b"v"])
    batches = list(deletions(target.incoming.staging))
    assert [len(words) - 1 for words in batches] == [128, 128, 44]
    assert target.incoming.staging.database.count == 0
