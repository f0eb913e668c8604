"""The source's side of a migration: a snapshot, what changes since, and the hand-over.

    CONNECTING → AUTHENTICATING → ESTABLISHING → WAITING_TO_SNAPSHOT → SNAPSHOTTING → STREAMING
    → WAITING_TO_PAUSE ⇄ PAUSED → GRANTED → SUCCESS            GRANTED → WAITING_TO_PAUSE (declined)
    any of them → FAILED, CANCELLED

*Snapshot.* At one moment between two commands a child is forked that writes the slots' keys as commands to a
pipe (few keys are written in line), and from that moment changes to the slots are gathered; they follow the
snapshot. One snapshot is made at a time.

*Convergence.* A probe goes down the link and comes back when all before it has been applied: its time is
that a pause would last. When that is short enough (a third of slot-migration-max-pause), or does not get
shorter, writers to the slots are held back and PAUSED is sent. If the target does not ask for the slots in
time, the writers go on, the target is told RESUMED, and there will be another pause: the intervals between
pauses get shorter each time. While writers are held, the rest shrinks and nothing is added to it, so a
client that writes as fast as it can is slowed down until the rest fits into one pause.

*Hand-over.* The grant is the point of no return: with it in the target's hands, only one of the two may
accept a write. It is good for `good_ms` after the target's request, which came before the grant; so
`good_ms` after the grant was sent, by our clock, the target has either taken the slots or never will, on
this grant. Reads wait from now on, too. What can happen:

- We hear of the target's claim (the usual 5 ms): success, clients get MOVED.
- The target says DECLINED: it has not and will not. Writers go on; another pause follows.
- The link breaks, or the target says nothing. The slots stay closed, since it may have taken them. Once the
  grant is over we ask the target itself, by a new connection, whose the slots are: its answer is true, for
  it cannot change its mind any more. If they are ours, the migration has failed and writers go on.
- The target does not answer: it died, or there is a partition. If it took the slots, it tells every node it
  reaches; we hear of it by its claim or by an UPDATE. When the cluster's majority has found that it failed,
  and twice the node time-out has passed (its replica may have been elected and claims the slots: it got
  FINISH before the target took them), and a majority has answered us with nobody knowing better, nobody
  acknowledges writes for the target: alone behind a partition it never began to
  (`node.migration.importing`). We go on, with a claim above any that it may have made alone. If we are the
  ones behind the partition, the cluster is down for us, and we never get so far.
- We die. Our replicas have all the data. If the target took the slots, voters know its greater claim and
  our replica learns it; if it did not, it fails with the link. When we come back we hear of the claim
  before we serve (`gossip.confirmation`).

A target of Valkey's has no probes, rounds or DECLINED, and its grant does not end: the pause is begun when
no more than slot-migration-max-failover-repl-bytes are unsent, one that takes too long ends the migration,
and the question whose the slots are waits for two seconds.

Source: src/cluster_migrateslots.c of Valkey 9, for the protocol and the texts of failures.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from gossip.member import Member
from gossip.slots import SlotSet
from node.config.special import BufferLimit
from node.integers import parse_integer
from node.migration import protocol
from node.migration.job import Job, State
from node.resp.encode import command
from node.resp.request import RequestParser
from node.resp.stream import BufferedStream, LinkError, TlsClient, connect

CONNECT_TIMEOUT_S = 5.0
SEND_BYTES = 256 * 1024
PROBE_S = 0.05
PROBES_MAX = 100
GAIN = 0.8  # how much shorter a probe must be than the last for waiting to be worth it
RETRY_S = 0.05  # between two pauses, halved each time
RETRY_MIN_S = 0.005
TURNS_BETWEEN = 3  # however busy the machine is, clients get these
PAUSES_MAX = 500
ASK_SHARE = 0.6  # of the longest pause, for the target to ask; the rest is for it to take over
GOOD_MS_MIN = 20
FOREIGN_GRANT_MS = 2000
ASK_S = 0.2


Task = Callable[[BufferedStream], Awaitable[None]]


class Failed(Exception):  # noqa: N818  the name says what happened
    """The migration cannot go on; the text is for the operator."""


class Snapshot(Protocol):
    """What `Surroundings.snapshot` gives: the commands in pieces, an empty one behind the last."""

    key_count: int

    async def next(self) -> bytes: ...


class Surroundings(Protocol):
    """What an export needs of the node (`node.migration.service`)."""

    prevent_pause: bool

    def now_ms(self) -> float: ...
    def max_pause_ms(self) -> int: ...
    def unsent_max_bytes(self) -> int: ...
    def buffer_limit(self) -> BufferLimit: ...
    def timeout_s(self) -> float: ...
    def member(self, node_id: str) -> Member | None: ...
    def credentials(self) -> list[bytes]: ...
    def local_address(self) -> str | None: ...
    def may_reach(self, member: Member) -> bool: ...
    def way_to(self, member: Member) -> tuple[int, TlsClient | None]: ...
    def snapshot(self, export: Export) -> AbstractAsyncContextManager[Snapshot]: ...
    def stop_feeding(self, export: Export) -> None: ...
    def export_ended(self, export: Export) -> None: ...
    def hold(self, slots: SlotSet, *, reads: bool) -> None: ...
    def release(self, slots: SlotSet) -> None: ...
    def config_epoch(self) -> int: ...
    def grants_changed(self) -> None: ...
    async def is_alone_owner(self, export: Export) -> bool: ...
    async def owned_by_target(self, export: Export) -> bool | None: ...


class Export:
    """One export on the node that gives the slots away."""

    def __init__(self, job: Job, node: Surroundings) -> None:
        self.job = job
        self._node = node
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._held_back: list[bytes] | None = None  # changes that follow the snapshot
        self._held_bytes = 0
        self._soft_since_ms = 0.0
        self._something = trio.Event()
        self._moved = trio.Event()
        self._scope = trio.CancelScope()
        self._stream: BufferedStream | None = None
        self._peer_is_ours = False
        self._round = 0
        self._echo = 0
        self._closed_ms = 0.0  # when writers were held back, of the present pause
        self._granted_ms = 0.0
        self._good_ms = 0.0
        self._failure: Failed | LinkError | None = None

    @property
    def granted_for_ms(self) -> float:
        return self._node.now_ms() - self._granted_ms

    # What the node tells us

    def feed(self, data: bytes) -> None:
        """A change to our slots, encoded."""
        if self._held_back is not None:
            self._held_back.append(data)
            self._held_bytes += len(data)
            if self._held_bytes > SEND_BYTES:
                self._check_limit(self._held_bytes)
        else:
            self._queue_up(data)

    def _queue_up(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._something.set()
        if self._queued_bytes > SEND_BYTES:
            self._check_limit(self._queued_bytes)

    def _check_limit(self, size: int) -> None:
        """client-output-buffer-limit, as for a replica."""
        limit = self._node.buffer_limit()
        if limit.soft_bytes and size > limit.soft_bytes:
            self._soft_since_ms = self._soft_since_ms or self._node.now_ms()
            over = self._node.now_ms() - self._soft_since_ms > limit.soft_seconds * 1000
        else:
            self._soft_since_ms, over = 0.0, False
        if over or (limit.hard_bytes and size > limit.hard_bytes):
            self.end(State.FAILED, "The client output buffer limit for replicas was exceeded")

    def taken_over(self) -> None:
        """The cluster says that the slots are the target's now."""
        if self.job.ended:
            return
        if self._closed_ms:
            self.job.pause_ms = self._node.now_ms() - self._closed_ms
        self.end(State.SUCCESS)

    def cut_off(self) -> None:
        """The link to the target breaks."""
        if self._stream is not None:
            self._stream.cut()

    def end(self, state: State, message: str = "") -> None:
        """The last state; writers go on, to wherever the slots are."""
        if self.job.ended:
            return
        self._closed_ms = 0.0
        self.job.finish(state, message)
        self._node.export_ended(self)
        self._something.set()
        self._move_on()
        if state is not State.SUCCESS:
            self._scope.cancel()

    def _to(self, state: State) -> None:
        """Raises Failed when the migration has ended meanwhile, which says why."""
        if self.job.ended:
            raise Failed(self.job.message)
        self.job.move(state)

    # The task

    async def run(self) -> None:
        """Runs until the end."""
        with self._scope:
            try:
                await self._run()
            except Failed as failed:
                self.end(State.FAILED, str(failed))
            except LinkError as lost:
                await self._link_lost(lost)

    async def _run(self) -> None:
        stream = self._stream = await self._connect()
        try:
            await self._authenticate(stream)
            await self._establish(stream)
            async with trio.open_nursery() as nursery:
                for task in (self._read, self._watch_target, self._send):
                    nursery.start_soon(self._until_failure, task, stream, nursery.cancel_scope)
        finally:
            self._node.stop_feeding(self)
            await stream.aclose()
        if self._failure is not None:
            raise self._failure

    async def _until_failure(self, task: Task, stream: BufferedStream, scope: trio.CancelScope) -> None:
        """Runs one of several tasks; the first that fails says why, and ends the others. So does the one that
        sends, which ends when all that was to be said has been sent.
        """
        try:
            await task(stream)
        except (Failed, LinkError) as failed:
            self._failure = self._failure or failed
        if self._failure is not None or task in (self._send, self._write):
            scope.cancel()

    async def _send(self, stream: BufferedStream) -> None:
        await self._send_snapshot(stream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_failure, self._hand_over, stream, nursery.cancel_scope)
            await self._until_failure(self._write, stream, nursery.cancel_scope)

    async def _connect(self) -> BufferedStream:
        member = self._node.member(self.job.target)
        if member is None:
            raise Failed("Unable to connect to target node: target node not found")
        if not self._node.may_reach(member):
            raise Failed("Unable to connect to target node: cut off by DEBUG FAULT")
        port, tls = self._node.way_to(member)
        local_host = self._node.local_address()
        try:
            return await connect(member.ip, port, timeout_s=CONNECT_TIMEOUT_S, local_host=local_host, tls=tls)
        except LinkError as failed:
            raise Failed(f"Unable to connect to target node: {failed.reason}") from None

    async def _reply(self, stream: BufferedStream) -> str:
        with trio.move_on_after(self._node.timeout_s()):
            return (await stream.read_line()).decode("utf-8", "backslashreplace")
        raise Failed("Timed out after too long with no interaction")

    async def _authenticate(self, stream: BufferedStream) -> None:
        words = self._node.credentials()
        if not words:
            return
        self._to(State.AUTHENTICATING)
        await stream.send(command(words))
        reply = await self._reply(stream)
        if not reply.startswith("+"):
            raise Failed(f"Failed to AUTH to target node: {reply}")

    async def _establish(self, stream: BufferedStream) -> None:
        self._to(State.ESTABLISHING)
        await stream.send(command(protocol.establish_words(self.job)))
        reply = await self._reply(stream)
        if not reply.startswith("+"):
            raise Failed(f"Received error during handshake to target: {reply}")
        self.job.acked_ms = self.job.clock()
        self._to(State.WAITING_TO_SNAPSHOT)
        await stream.send(protocol.message(b"ACK") + protocol.message(b"CAPA", protocol.CAPABILITY))

    async def _send_snapshot(self, stream: BufferedStream) -> None:
        self._held_back = []
        async with self._node.snapshot(self) as pieces:
            self._to(State.SNAPSHOTTING)
            self.job.keys = pieces.key_count
            while piece := await pieces.next():
                await stream.send(piece)
                self.job.sent_bytes += len(piece)
        self._queue_up(protocol.message(b"SNAPSHOT-EOF"))
        held, self._held_back = self._held_back, None
        for data in held:
            self._queue_up(data)
        self._held_bytes = 0
        if self.job.state is State.SNAPSHOTTING:
            self._to(State.STREAMING)

    async def _write(self, stream: BufferedStream) -> None:
        """Sends what is queued, until the end."""
        while True:
            while not self._queue:
                if self.job.ended:
                    return
                self._something = trio.Event()
                await self._something.wait()
            data = b"".join(self._queue)
            self._queue.clear()
            for at in range(0, len(data), SEND_BYTES):
                await stream.send(data[at : at + SEND_BYTES])
                self._queued_bytes -= min(SEND_BYTES, len(data) - at)
            self.job.sent_bytes += len(data)

    async def _read(self, stream: BufferedStream) -> None:
        """What the target says."""
        parser = RequestParser()
        while True:
            for words in parser.feed(await stream.read_some()):
                if len(words) < 3 or words[0].upper() != b"CLUSTER" or words[1].upper() != b"SYNCSLOTS":
                    shown = b" ".join(words)[:64].decode("utf-8", "backslashreplace")
                    raise Failed(f"The target said what is not of the protocol: {shown}")
                self._heard(words[2].upper(), words[3:])
            if parser.error is not None:
                raise Failed("The target said what is not of the protocol")

    async def _watch_target(self, _stream: BufferedStream) -> None:
        """Each second: our sign of life, and whether the target's is missing."""
        while not self.job.ended:
            await trio.sleep(1)
            if self.job.state is State.GRANTED or self.job.ended:
                continue
            if self.job.clock() - self.job.acked_ms > self._node.timeout_s() * 1000:
                raise Failed("Timed out after too long with no interaction")
            if self.job.state is not State.SNAPSHOTTING:
                self._queue_up(protocol.message(b"ACK"))

    # What the target says

    def _heard(self, word: bytes, rest: list[bytes]) -> None:
        self.job.acked_ms = self.job.clock()
        state = self.job.state
        if self.job.ended or word == b"ACK":
            self._echo = max(self._echo, (parse_integer(rest[0]) or 0) if rest else 0)
        elif word == b"CAPA":
            self._peer_is_ours |= protocol.CAPABILITY in rest
            return
        elif word == b"REQUEST-PAUSE" and state in (State.STREAMING, State.SNAPSHOTTING):
            self._to(State.WAITING_TO_PAUSE)
        elif word == b"REQUEST-FAILOVER":
            self._failover_requested(rest)
        elif word == b"DECLINED" and state is State.GRANTED:
            if rest and rest[0] == b"%d" % self._round:
                self._resume()
        elif word != b"DECLINED":
            shown = word.decode("ascii", "backslashreplace")[:64]
            raise Failed(f"Unexpected state machine transition: {shown} in state {state.value}")
        self._move_on()

    def _failover_requested(self, rest: list[bytes]) -> None:
        if rest and rest[0] != b"%d" % self._round:
            return  # of a pause that was given up
        if self.job.state is not State.PAUSED:
            if not self._peer_is_ours:
                raise Failed("Unpaused before failover completed")
            return
        left_ms = self._closed_ms + self._node.max_pause_ms() - self._node.now_ms()
        if self._closed_ms + self._ask_within_ms() < self._node.now_ms():
            return  # the hand-over's task is about to give this pause up
        self._node.hold(self.job.slots, reads=True)
        self._granted_ms = self._node.now_ms()
        words = [b"FAILOVER-GRANTED"]
        if self._peer_is_ours:
            self._good_ms = max(left_ms, GOOD_MS_MIN)
            words += [b"%d" % self._round, b"%d" % self._good_ms, b"%d" % self._node.config_epoch()]
        else:
            self._good_ms = FOREIGN_GRANT_MS
        self._queue_up(protocol.message(*words))
        self._to(State.GRANTED)
        self._node.grants_changed()

    def _move_on(self) -> None:
        """Wakes the hand-over's task."""
        self._moved.set()
        self._moved = trio.Event()

    # The hand-over

    async def _hand_over(self, _stream: BufferedStream) -> None:
        await self._until(lambda: self.job.state is State.WAITING_TO_PAUSE)
        interval_s = RETRY_S
        while self._node.prevent_pause:
            await trio.sleep(PROBE_S)
        await (self._catch_up() if self._peer_is_ours else self._drain())
        for _ in range(PAUSES_MAX):
            self._pause()
            await self._until(lambda: self.job.state is not State.PAUSED, self._ask_within_ms() / 1000)
            if self.job.state is State.PAUSED:
                if not self._peer_is_ours:
                    raise Failed("Timed out before streaming completed")
                self._resume()
            elif self.job.state is State.GRANTED:
                await self._granted()
            if self.job.ended:
                return
            await trio.sleep(interval_s * random.uniform(1, 2))
            for _ in range(TURNS_BETWEEN):
                await trio.lowlevel.checkpoint()
            interval_s = max(interval_s / 2, RETRY_MIN_S)
        raise Failed(f"The target did not take the slots over in {PAUSES_MAX} pauses")

    async def _until(self, condition: Callable[[], bool], timeout_s: float = math.inf) -> None:
        with trio.move_on_after(timeout_s):
            while not condition() and not self.job.ended:
                await self._moved.wait()

    async def _catch_up(self) -> None:
        """Until a probe is back soon enough, or comes back no sooner than the one before."""
        last_ms = math.inf
        for number in range(1, PROBES_MAX):
            sent_ms = self._node.now_ms()
            self._queue_up(protocol.message(b"ACK", b"%d" % number))
            await self._until(lambda: self._echo >= number)  # noqa: B023  awaited here
            took_ms = self._node.now_ms() - sent_ms
            few = self._queued_bytes <= self._node.unsent_max_bytes()
            soon = took_ms <= self._node.max_pause_ms() / 3 and few
            if self.job.ended or soon or took_ms > GAIN * last_ms:
                return
            last_ms = took_ms
            await trio.sleep(max(0.0, PROBE_S - took_ms / 1000))

    async def _drain(self) -> None:
        """Until little enough is unsent."""
        while self._queued_bytes > self._node.unsent_max_bytes() and not self.job.ended:
            await trio.sleep(PROBE_S / 10)

    def _pause(self) -> None:
        if self.job.ended:
            return
        self._round += 1
        self.job.pauses += 1
        self._closed_ms = self._node.now_ms()
        self._node.hold(self.job.slots, reads=False)
        self._queue_up(protocol.message(b"PAUSED", *([b"%d" % self._round] if self._peer_is_ours else [])))
        self._to(State.PAUSED)

    def _ask_within_ms(self) -> float:
        """How much of a pause the target has to ask for the slots."""
        return self._node.max_pause_ms() * (ASK_SHARE if self._peer_is_ours else 1)

    def _resume(self) -> None:
        """Gives the pause up."""
        self.job.longest_pause_ms = max(self.job.longest_pause_ms, self._node.now_ms() - self._closed_ms)
        self._queue_up(protocol.message(b"RESUMED", b"%d" % self._round))
        self._to(State.WAITING_TO_PAUSE)
        self._closed_ms = 0.0
        self._node.grants_changed()
        self._node.release(self.job.slots)

    async def _granted(self) -> None:
        """From the grant to the target's claim, its refusal, or silence."""
        wait_s = (self._good_ms + self._node.max_pause_ms()) / 1000
        await self._until(lambda: self.job.state is not State.GRANTED, wait_s)
        if self.job.state is State.GRANTED:
            await self._find_out()

    async def _link_lost(self, lost: LinkError) -> None:
        if self.job.ended:
            return
        if self.job.state is State.GRANTED:
            await self._find_out()
        else:
            self.end(
                State.FAILED,
                f"Connection lost to target ({lost.reason}). Check CLUSTER GETSLOTMIGRATIONS on the target "
                "node for more information.",
            )

    async def _find_out(self) -> None:
        """Whose the slots are, when the target had the grant and does not say."""
        left_ms = self._granted_ms + self._good_ms - self._node.now_ms()
        await self._until(lambda: False, max(0.0, left_ms) / 1000)
        while not self.job.ended:
            theirs = await self._node.owned_by_target(self)
            if theirs is False and not self.job.ended:
                self.end(State.FAILED, "The target did not take over the slots that it was granted")
            elif theirs is None and await self._node.is_alone_owner(self):
                self.end(State.FAILED, "The target failed before anybody heard that it took over the slots")
            await self._until(lambda: False, ASK_S)
