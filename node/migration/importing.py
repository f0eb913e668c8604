"""The target's side of a migration: takes in what the source sends, and takes the slots over.

    WAIT_ACK → RECEIVING → WAITING_FOR_PAUSED ⇄ FAILOVER_REQUESTED → GRANTED → SUCCESS
    any of them → CLEANING_UP → FAILED

The link is a client's connection; ESTABLISH makes it ours, and from then on each request on it comes here
(`Session.taken`). What the source sends is applied to a database of its own (`node.migration.staging`) and
passed on to replicas and AOF, between ESTABLISH and FINISH, so that they know it is not visible yet.

PAUSED says that nothing more comes. Before we ask for the slots our replicas get half of the longest pause
to acknowledge what they were sent: should we die right after the hand-over, one of them has it all. The
grant is good for a short time after our request. Then, in one turn: FINISH goes out to the replicas, the
core takes the slots (nodes.conf is synced, everybody is told), and the keys become visible. Clients are
served the slots when a majority of primaries has heard of the claim: alone behind a partition we
acknowledge nothing that would be lost when it ends. While this node has granted slots of its own to
somebody and does not know yet what became of them, it uses no grant (`gossip.handover` says why) but asks
for another pause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from node.command.session import Session
from node.integers import parse_integer
from node.migration import protocol
from node.migration.job import Job, State
from node.migration.staging import Staging, StagingError

DELETE_BATCH = 128


class Surroundings(Protocol):
    """What an import needs of the node (`node.migration.service`)."""

    def now_ms(self) -> float: ...
    def max_pause_ms(self) -> int: ...
    def out_of_memory(self) -> bool: ...
    def when_replicated(self, then: Callable[[], None], within_ms: int) -> None: ...
    def take_over(self, incoming: Import, above_epoch: int) -> bool: ...
    def clean_up(self, incoming: Import) -> None: ...


class Import:
    """One import on the node that gets the slots. `heard_ms` is when the source last said anything."""

    def __init__(self, job: Job, staging: Staging, session: Session, node: Surroundings) -> None:
        self.job = job
        self.staging = staging
        self._session: Session | None = session
        self._node = node
        self._peer_is_ours = False
        self._round = b""
        self._asked_ms = 0.0
        self._waits = 0  # counts the waits for replicas: only the last one's end means anything
        self.heard_ms = node.now_ms()
        session.taken = self.take
        session.update_guard()

    def is_of(self, session: Session) -> bool:
        return self._session is session

    # The link

    def take(self, argv: list[bytes]) -> bool:
        """A request on the link; it is always ours."""
        self.heard_ms = self._node.now_ms()
        if argv[0].upper() == b"CLUSTER" and len(argv) > 2 and argv[1].upper() == b"SYNCSLOTS":
            self._heard(argv[2].upper(), argv[3:])
        elif not self.job.ended and self.job.state is not State.CLEANING_UP:
            self._apply(argv)
        return True

    def _apply(self, argv: list[bytes]) -> None:
        if self.job.state not in (State.RECEIVING, State.WAITING_FOR_PAUSED, State.FAILOVER_REQUESTED):
            self.fail("Data came before they were to come")
            return
        session = self._session
        assert session is not None
        if self._node.out_of_memory():
            self.fail("Ran out of memory (OOM) during slot import")
            return
        try:
            self.staging.apply(session, argv)
        except StagingError as wrong:
            self.fail(f"Failed to process a command of the source: {wrong}")

    def _heard(self, word: bytes, rest: list[bytes]) -> None:
        state = self.job.state
        if self.job.ended or state is State.CLEANING_UP:
            pass  # the source will hear of it
        elif word == b"ACK":
            self._acknowledged(rest)
        elif word == b"CAPA":
            self._peer_is_ours |= protocol.CAPABILITY in rest
        elif word == b"SNAPSHOT-EOF" and state is State.RECEIVING:
            self._say(b"REQUEST-PAUSE")
            self.job.move(State.WAITING_FOR_PAUSED)
        elif word == b"PAUSED" and state is State.WAITING_FOR_PAUSED:
            self._paused(rest)
        elif word == b"RESUMED" and state in (State.WAITING_FOR_PAUSED, State.FAILOVER_REQUESTED):
            self._waits += 1
            if state is State.FAILOVER_REQUESTED:
                self.job.move(State.WAITING_FOR_PAUSED)
        elif word == b"FAILOVER-GRANTED" and state is State.FAILOVER_REQUESTED:
            self._granted(rest)
        elif word == b"FAILOVER-GRANTED" and state is State.WAITING_FOR_PAUSED and len(rest) == 2:
            self._say(b"DECLINED", rest[0])
        else:
            shown = word.decode("ascii", "backslashreplace")[:64]
            self.fail(f"Unexpected state machine transition: {shown} in state {state.value}")

    def _acknowledged(self, rest: list[bytes]) -> None:
        self.job.acked_ms = self.job.clock()
        if self.job.state is State.WAIT_ACK:
            self.job.move(State.RECEIVING)
            self._say(b"CAPA", protocol.CAPABILITY)
        if rest:
            self._say(b"ACK", rest[0])

    def _say(self, *words: bytes) -> None:
        if self._session is not None:
            self._session.transport.send(protocol.message(*words))

    def tick(self, silence_max_ms: int) -> None:
        """Called each second."""
        if self.job.ended or self.job.state is State.CLEANING_UP:
            return
        if self._node.now_ms() - self.heard_ms > silence_max_ms:
            self.fail("Timed out after too long with no interaction")
        elif self.job.state is not State.WAIT_ACK:
            self._say(b"ACK")

    def cut_off(self) -> None:
        """The link to the source breaks."""
        if self._session is not None:
            self._session.transport.close(after_output=False)

    def link_lost(self) -> None:
        """The connection is gone."""
        self._session = None
        self.fail(
            "Connection lost to source. Check CLUSTER GETSLOTMIGRATIONS on the source node for more"
            " information."
        )

    # The hand-over

    def _paused(self, rest: list[bytes]) -> None:
        self._round = rest[0] if rest else b""
        self._waits += 1
        wait = self._waits

        def ask() -> None:
            if wait == self._waits and self.job.state is State.WAITING_FOR_PAUSED:
                self._asked_ms = self._node.now_ms()
                self.job.move(State.FAILOVER_REQUESTED)
                self._say(b"REQUEST-FAILOVER", *([self._round] if self._round else []))

        self._node.when_replicated(ask, self._node.max_pause_ms() // 2)

    def _granted(self, rest: list[bytes]) -> None:
        if rest and rest[0] != self._round:
            self._say(b"DECLINED", rest[0])
            return
        good_ms = parse_integer(rest[1]) if len(rest) > 1 else None
        if good_ms is not None and self._node.now_ms() - self._asked_ms > good_ms:
            self._decline()
            return
        above_epoch = parse_integer(rest[2]) if len(rest) > 2 else None
        self.job.move(State.GRANTED)
        if not self._node.take_over(self, above_epoch or 0):
            if self._peer_is_ours:
                self._decline()
            else:
                self.fail("This node is handing over slots itself")

    def _decline(self) -> None:
        """We have not used the grant, and will not."""
        self.job.move(State.WAITING_FOR_PAUSED)
        self._say(b"DECLINED", self._round)

    # The end

    def fail(self, why: str) -> None:
        """Everything is as it was before, as soon as what is staged is cleaned up."""
        if self.job.ended or self.job.state is State.CLEANING_UP:
            return
        self.job.message = why
        self.job.move(State.CLEANING_UP)
        self.close()
        self._node.clean_up(self)

    def close(self) -> None:
        """Ends the link."""
        session, self._session = self._session, None
        if session is not None:
            session.taken = None
            session.transport.close(after_output=False)


def deletions(staging: Staging) -> Iterator[list[bytes]]:
    """What deletes all that is staged, on whoever has it as ordinary keys; empties it as it goes."""
    database = staging.database
    for slot in staging.slots:
        partition = database.lift_slot(slot)
        if partition is None:
            continue
        keys = list(partition)
        for at in range(0, len(keys), DELETE_BATCH):
            batch = keys[at : at + DELETE_BATCH]
            for key in batch:
                partition.pop(key, None)
            yield [b"DEL", *batch]
