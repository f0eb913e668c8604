"""What the two ends of a migration say to each other: Valkey 9's CLUSTER SYNCSLOTS, and what we add.

    source → target                                         target → source
    CLUSTER SYNCSLOTS ESTABLISH SOURCE <id> NAME <name>
            SLOTSRANGE <a> <b> …                            +OK, or an error; from here on no replies
    … ACK                                                   … CAPA shoal-1 (ours)
    … CAPA shoal-1 (ours)                                   … ACK, each second
    SET, RPUSH, … : the snapshot
    … SNAPSHOT-EOF                                          … REQUEST-PAUSE
    SET, DEL, … : what changes
    … PAUSED                                                … REQUEST-FAILOVER
    … FAILOVER-GRANTED                                      takes over, and tells the cluster

Each is an array of bulk strings; the target's go the way replies would. CAPA is in Valkey's protocol with
no capability defined yet, and unknown ones are ignored, as are further words behind the subcommands we give
some. An end that has heard `shoal-1` from the other may use

    … ACK <n>                       a probe, which the target sends back when it has applied all before it
    … PAUSED <round>                and REQUEST-FAILOVER <round>: which pause is meant
    … FAILOVER-GRANTED <round> <ms> <epoch>
                                    good for so long after the request only, to be used with a config epoch
                                    above that; else the target says
    … DECLINED <round>              that it has not taken over and will not, on this grant
    … RESUMED <round>               the source has given the pause up; another will come

To the replicas of the target go ESTABLISH (without SOURCE in meaning, though it is there) before the data and
`… FINISH STATE success|failed NAME <name> [MESSAGE <text>]` after them.

Source: src/cluster_migrateslots.c of Valkey 9 (generateSyncSlotsEstablishCommand, sendSyncSlotsMessage,
propagateSyncSlotsFinish, clusterCommandSyncSlots…).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gossip.slots import SLOT_COUNT, SlotSet
from node.command.args import SYNTAX
from node.errors import CommandError
from node.integers import parse_integer
from node.migration.job import Job
from node.resp.encode import command

CAPABILITY = b"shoal-1"
NAME_BYTES = 40
_WORDS = [b"CLUSTER", b"SYNCSLOTS"]


def message(*words: bytes) -> bytes:
    """A SYNCSLOTS message, encoded."""
    return command([*_WORDS, *words])


def establish_words(job: Job) -> list[bytes]:
    """The command that begins an import."""
    bounds = [b"%d" % bound for pair in job.slots.ranges() for bound in pair]
    source = job.source.encode()
    return [*_WORDS, b"ESTABLISH", b"SOURCE", source, b"NAME", job.name, b"SLOTSRANGE", *bounds]


def finish_words(job: Job, *, success: bool) -> list[bytes]:
    """What tells replicas how an import ended."""
    words = [*_WORDS, b"FINISH", b"STATE", b"success" if success else b"failed", b"NAME", job.name]
    return [*words, b"MESSAGE", job.message.encode()] if job.message else words


def slot_argument(text: bytes) -> int:
    """Raises CommandError."""
    slot = parse_integer(text)
    if slot is None or not 0 <= slot < SLOT_COUNT:
        raise CommandError(b"ERR Invalid or out of range slot")
    return slot


def read_ranges(words: Sequence[bytes], start: int, check: Callable[[int], None]) -> tuple[SlotSet, int]:
    """Ranges up to the first word that is no number, and where that is. `check` looks at each slot.

    Raises CommandError.
    """
    ranges: list[tuple[int, int]] = []
    at = start
    while at < len(words) and parse_integer(words[at]) is not None:
        first = slot_argument(words[at])
        if at + 1 >= len(words):
            raise CommandError(b"ERR No end slot for final slot range")
        last = slot_argument(words[at + 1])
        if first > last:
            raise CommandError(
                b"ERR Start slot number %d is greater than end slot number %d." % (first, last)
            )
        for slot in range(first, last + 1):
            check(slot)
        for before in ranges:
            if before[1] >= first and before[0] <= last:
                raise CommandError(
                    b"ERR Slot range %d-%d overlaps with previous range %d-%d." % (first, last, *before)
                )
        ranges.append((first, last))
        at += 2
    if not ranges:
        raise CommandError(b"ERR No slot ranges specified")
    return SlotSet.from_ranges(ranges), at


class Establish(NamedTuple):
    """The words of ESTABLISH."""

    source: str
    name: bytes
    slots: SlotSet


def read_establish(words: Sequence[bytes], check: Callable[[int], None]) -> Establish:
    """Raises CommandError."""
    source = name = None
    slots = None
    at = 3
    while at < len(words):
        option = words[at].upper()
        if option == b"SLOTSRANGE" and slots is None:
            slots, at = read_ranges(words, at + 1, check)
            continue
        if at + 1 >= len(words) or len(words[at + 1]) != NAME_BYTES:
            raise CommandError(SYNTAX)
        if option == b"SOURCE" and source is None:
            source = words[at + 1].decode("latin-1")
        elif option == b"NAME" and name is None:
            name = words[at + 1]
        else:
            raise CommandError(SYNTAX)
        at += 2
    if source is None or name is None or slots is None:
        raise CommandError(SYNTAX)
    return Establish(source, name, slots)


class Finish(NamedTuple):
    """The words of FINISH."""

    success: bool
    name: bytes
    message: str


def read_finish(words: Sequence[bytes]) -> Finish:
    """Raises CommandError."""
    given: dict[bytes, bytes] = {}
    for at in range(3, len(words), 2):
        option = words[at].upper()
        if option not in (b"STATE", b"NAME", b"MESSAGE") or option in given or at + 1 >= len(words):
            raise CommandError(SYNTAX)
        given[option] = words[at + 1]
    state, name = given.get(b"STATE", b"").lower(), given.get(b"NAME", b"")
    if state not in (b"success", b"failed") or len(name) != NAME_BYTES:
        raise CommandError(SYNTAX)
    return Finish(state == b"success", name, given.get(b"MESSAGE", b"").decode("utf-8", "replace"))
