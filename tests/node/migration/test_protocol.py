"""Frames of the node-to-node protocol. Those of Valkey are what its src/cluster_migrateslots.c (9.0) prints:
generateSyncSlotsEstablishCommand, sendSyncSlotsMessage, propagateSyncSlotsFinish.
"""

from __future__ import annotations

import pytest

from gossip.slots import SlotSet
from node.errors import CommandError
from node.log import Log
from node.migration import protocol
from node.migration.job import Job, State, ranges_text

SOURCE = "b" * 40
NAME = b"c" * 40


def _job(slots: SlotSet) -> Job:
    return Job(NAME, False, slots, SOURCE, "d" * 40, State.CONNECTING, 1_000, Log(), lambda: 2_000)


def _bulks(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def test_establish_is_valkeys_command() -> None:
    """Eight words and two more a range, in this order."""
    job = _job(SlotSet([0, 1, 2, 100]))
    expected = (
        b"*12\r\n$7\r\nCLUSTER\r\n$9\r\nSYNCSLOTS\r\n$9\r\nESTABLISH\r\n$6\r\nSOURCE\r\n$40\r\n"
        + SOURCE.encode()
        + b"\r\n$4\r\nNAME\r\n$40\r\n"
        + NAME
        + b"\r\n$10\r\nSLOTSRANGE\r\n$1\r\n0\r\n$1\r\n2\r\n$3\r\n100\r\n$3\r\n100\r\n"
    )
    assert _bulks(*protocol.establish_words(job)) == expected


@pytest.mark.parametrize("word", [b"ACK", b"SNAPSHOT-EOF", b"PAUSED", b"REQUEST-FAILOVER"])
def test_a_message_is_three_bulk_strings(word: bytes) -> None:
    """sendSyncSlotsMessage."""
    assert protocol.message(word) == _bulks(b"CLUSTER", b"SYNCSLOTS", word)


def test_finish_has_a_message_only_when_there_is_one() -> None:
    """Seven or nine words."""
    job = _job(SlotSet([5]))
    words = [b"CLUSTER", b"SYNCSLOTS", b"FINISH", b"STATE", b"success", b"NAME", NAME]
    assert protocol.finish_words(job, success=True) == words
    job.message = "why"
    words[4] = b"failed"
    assert protocol.finish_words(job, success=False) == [*words, b"MESSAGE", b"why"]


def test_establish_is_read_in_any_order() -> None:
    """Its options are order agnostic."""
    words = [b"CLUSTER", b"SYNCSLOTS", b"establish", b"slotsrange", b"1", b"3", b"9", b"9", b"name", NAME]
    words += [b"source", SOURCE.encode()]
    order = protocol.read_establish(words, lambda _slot: None)
    assert order == (SOURCE, NAME, SlotSet([1, 2, 3, 9]))


def test_what_we_write_we_read() -> None:
    job = _job(SlotSet([0, 7, 8, 16383]))
    order = protocol.read_establish(protocol.establish_words(job), lambda _slot: None)
    assert order == (SOURCE, NAME, job.slots)
    job.message = "é"
    finish = protocol.read_finish(protocol.finish_words(job, success=False))
    assert finish == (False, NAME, "é")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([b"NAME", b"x"], "ERR syntax error"),
        ([b"NAME", NAME, b"NAME", NAME], "ERR syntax error"),
        ([b"NAME", NAME, b"SOURCE", SOURCE.encode()], "ERR syntax error"),
        ([b"SLOTSRANGE"], "ERR No slot ranges specified"),
        ([b"SLOTSRANGE", b"1"], "ERR No end slot for final slot range"),
        ([b"SLOTSRANGE", b"1", b"16384"], "ERR Invalid or out of range slot"),
        ([b"SLOTSRANGE", b"3", b"1"], "ERR Start slot number 3 is greater than end slot number 1."),
        (
            [b"SLOTSRANGE", b"1", b"3", b"3", b"4"],
            "ERR Slot range 3-4 overlaps with previous range 1-3.",
        ),
    ],
)
def test_establish_with_mistakes(words: list[bytes], text: str) -> None:
    with pytest.raises(CommandError) as caught:
        protocol.read_establish([b"CLUSTER", b"SYNCSLOTS", b"ESTABLISH", *words], lambda _slot: None)
    assert caught.value.text.decode() == text


def test_ranges_have_two_numbers_even_for_one_slot() -> None:
    """representSlotRangeList: `%u-%u` joined with blanks."""
    assert ranges_text(SlotSet([0, 1, 2, 10])) == "0-2 10-10"


def test_the_fields_of_a_job_begin_with_valkeys_in_its_order() -> None:
    """clusterCommandGetSlotMigrations."""
    names = [name for name, _ in _job(SlotSet([1])).fields()]
    assert names[:11] == [
        "name", "operation", "slot_ranges", "target_node", "source_node", "create_time", "last_update_time",
        "last_ack_time", "state", "message", "cow_size",
    ]  # fmt: skip
