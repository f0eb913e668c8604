"""The source's states, against a target that says what the test wants it to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossip.slots import SlotSet
from node.config.special import BufferLimit
from node.log import Log
from node.migration.export import Export
from node.migration.job import Job, State
from node.migration.protocol import message
from node.resp.encode import command as encode
from node.resp.request import RequestParser
from node.resp.stream import BufferedStream

SLOTS = SlotSet([1, 2, 3])


class FakeSnapshot:
    key_count = 2

    def __init__(self) -> None:
        self._pieces = [encode([b"SET", b"a", b"1"]), encode([b"SET", b"b", b"2"]), b""]

    async def next(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0)


class FakeNode:
    """What an export asks of the node, and what it did."""

    prevent_pause = False

    def __init__(self) -> None:
        self.did: list[str] = []
        self.unsent = 1 << 40
        self.limit = BufferLimit(0, 0, 0)
        self.theirs: list[bool | None] = []
        self.alone = False

    def now_ms(self) -> float:
        return 1_000_000 + trio.current_time() * 1000

    def max_pause_ms(self) -> int:
        return 100

    def unsent_max_bytes(self) -> int:
        return self.unsent

    def buffer_limit(self) -> BufferLimit:
        return self.limit

    def timeout_s(self) -> float:
        return 10.0

    def member(self, _node_id: str) -> None:
        return None

    def credentials(self) -> list[bytes]:
        return []

    def local_address(self) -> None:
        return None

    @asynccontextmanager
    async def snapshot(self, _export: Export) -> AsyncIterator[FakeSnapshot]:
        yield FakeSnapshot()

    def stop_feeding(self, _export: Export) -> None:
        pass

    def config_epoch(self) -> int:
        return 7

    def grants_changed(self) -> None:
        pass

    def export_ended(self, _export: Export) -> None:
        self.did.append("ended")

    def hold(self, _slots: SlotSet, *, reads: bool) -> None:
        self.did.append("hold all" if reads else "hold writes")

    def release(self, _slots: SlotSet) -> None:
        self.did.append("release")

    async def owned_by_target(self, _export: Export) -> bool | None:
        return self.theirs.pop(0) if self.theirs else None

    async def is_alone_owner(self, _export: Export) -> bool:
        return self.alone


class Peer:
    """The target's end of the link. `expect` gives the next message that is not ACK without a number."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._parser = RequestParser()
        self._unread: list[list[bytes]] = []

    async def next(self) -> list[bytes]:
        while not self._unread:
            data = await self._stream.receive_some()
            assert data, "the source has closed"
            self._unread += self._parser.feed(data)
        return self._unread.pop(0)

    async def be_granted(self) -> None:
        """Everything a target of ours says up to its grant, in the first pause."""
        await self.greet(ours=True)
        await self.say(b"REQUEST-PAUSE")
        await self.expect(b"PAUSED", b"1")
        await self.say(b"REQUEST-FAILOVER", b"1")
        await self.expect(b"FAILOVER-GRANTED", b"1")

    async def expect(self, *words: bytes) -> list[bytes]:
        """The message that begins so, SYNCSLOTS left out; signs of life and probes before it are skipped, and
        the latter sent back.
        """
        while True:
            heard = await self.next()
            if heard[:2] == [b"CLUSTER", b"SYNCSLOTS"]:
                heard = heard[2:]
            if heard[0] == b"ACK" and words[0] != b"ACK":
                if len(heard) > 1:
                    await self.say(b"ACK", heard[1])
                continue
            assert tuple(heard[: len(words)]) == words, heard
            return heard

    async def say(self, *words: bytes) -> None:
        await self._stream.send_all(message(*words))

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def close(self) -> None:
        await self._stream.aclose()

    async def greet(self, *, ours: bool) -> None:
        """Up to the end of the snapshot."""
        await self.expect(b"ESTABLISH", b"SOURCE", b"s" * 40)
        await self.send(b"+OK\r\n")
        await self.expect(b"ACK")
        await self.expect(b"CAPA", b"shoal-1")
        if ours:
            await self.say(b"CAPA", b"shoal-1")
        await self.expect(b"SET", b"a")
        await self.expect(b"SET", b"b")
        await self.expect(b"SNAPSHOT-EOF")


class Source:
    """An export and its peer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake = FakeNode()
        near, far = trio.testing.memory_stream_pair()
        self.peer = Peer(far)
        self.job = Job(
            b"n" * 40, False, SLOTS, "s" * 40, "t" * 40, State.CONNECTING, 0, Log(level="warning"),
            lambda: round(trio.current_time() * 1000),
        )  # fmt: skip
        self.export = Export(self.job, self.fake)

        async def link(_export: Export) -> BufferedStream:
            return BufferedStream(near, "target")

        monkeypatch.setattr(Export, "_connect", link)

    async def play(self, target: Callable[[Peer], Awaitable[None]]) -> None:
        """Runs the export against what `target` does."""
        with trio.fail_after(100):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.export.run)
                await target(self.peer)

    @property
    def held(self) -> list[str]:
        return self.fake.did


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(monkeypatch)


async def test_a_target_of_valkeys(source: Source, autojump_clock: Any) -> None:
    """Its messages have no rounds, and ours to it neither."""

    async def target(peer: Peer) -> None:
        await peer.greet(ours=False)
        source.export.feed(encode([b"INCR", b"a"]))
        await peer.say(b"REQUEST-PAUSE")
        await peer.expect(b"INCR", b"a")
        assert await peer.expect(b"PAUSED") == [b"PAUSED"]
        await peer.say(b"REQUEST-FAILOVER")
        assert await peer.expect(b"FAILOVER-GRANTED") == [b"FAILOVER-GRANTED"]
        await trio.sleep(0.01)
        source.export.taken_over()

    await source.play(target)
    assert source.job.state is State.SUCCESS
    assert source.held == ["hold writes", "hold all", "ended"]
    assert source.job.pause_ms == pytest.approx(10, abs=1)


async def test_a_grant_to_a_target_of_ours(source: Source, autojump_clock: Any) -> None:
    """It has the pause's number, how long it is good, and our epoch."""

    async def target(peer: Peer) -> None:
        await peer.greet(ours=True)
        await peer.say(b"REQUEST-PAUSE")
        await peer.expect(b"PAUSED", b"1")
        await peer.say(b"REQUEST-FAILOVER", b"1")
        granted = await peer.expect(b"FAILOVER-GRANTED", b"1")
        assert 20 <= int(granted[2]) <= 100
        assert granted[3] == b"7"
        source.export.taken_over()

    await source.play(target)
    assert source.job.state is State.SUCCESS


async def test_changes_during_the_snapshot_follow_it(source: Source, autojump_clock: Any) -> None:
    async def target(peer: Peer) -> None:
        await peer.expect(b"ESTABLISH")
        await peer.send(b"+OK\r\n")
        await peer.expect(b"ACK")
        await peer.expect(b"CAPA")
        await peer.expect(b"SET", b"a")
        source.export.feed(encode([b"DEL", b"a"]))
        await peer.expect(b"SET", b"b")
        await peer.expect(b"SNAPSHOT-EOF")
        await peer.expect(b"DEL", b"a")
        source.export.end(State.CANCELLED)

    await source.play(target)
    assert source.job.state is State.CANCELLED


async def test_a_pause_that_is_too_long_is_given_up_and_another_follows(
    source: Source, autojump_clock: Any
) -> None:
    """The target asks for the slots only in the third."""

    async def target(peer: Peer) -> None:
        await peer.greet(ours=True)
        await peer.say(b"REQUEST-PAUSE")
        for number in (b"1", b"2"):
            await peer.expect(b"PAUSED", number)
            start_s = trio.current_time()
            await peer.expect(b"RESUMED", number)
            assert trio.current_time() - start_s <= 0.1
        await peer.expect(b"PAUSED", b"3")
        await peer.say(b"REQUEST-FAILOVER", b"2")  # late: nothing follows from it
        await peer.say(b"REQUEST-FAILOVER", b"3")
        await peer.expect(b"FAILOVER-GRANTED", b"3")
        source.export.taken_over()

    await source.play(target)
    assert source.job.pauses == 3
    assert source.held == [*["hold writes", "release"] * 2, "hold writes", "hold all", "ended"]


async def test_with_valkey_a_pause_that_is_too_long_ends_the_migration(
    source: Source, autojump_clock: Any
) -> None:
    async def target(peer: Peer) -> None:
        await peer.greet(ours=False)
        await peer.say(b"REQUEST-PAUSE")
        await peer.expect(b"PAUSED")

    await source.play(target)
    assert (source.job.state, source.job.message) == (State.FAILED, "Timed out before streaming completed")
    assert source.held[-1] == "ended"


async def test_a_declined_grant_is_followed_by_another_pause(source: Source, autojump_clock: Any) -> None:
    async def target(peer: Peer) -> None:
        await peer.be_granted()
        await peer.say(b"DECLINED", b"1")
        await peer.expect(b"RESUMED", b"1")
        await peer.expect(b"PAUSED", b"2")
        source.export.end(State.CANCELLED)

    await source.play(target)
    assert source.held[:3] == ["hold writes", "hold all", "release"]


async def test_a_silent_target_with_a_grant_is_asked_whose_the_slots_are(
    source: Source, autojump_clock: Any
) -> None:
    """Nothing is released before it has answered that they are not its own."""

    async def target(peer: Peer) -> None:
        await peer.be_granted()
        source.fake.theirs = [None, None, False]
        await trio.sleep(0.19)
        assert source.job.state is State.GRANTED
        assert "release" not in source.held

    await source.play(target)
    assert source.job.message == "The target did not take over the slots that it was granted"


async def test_a_target_that_says_they_are_its_own_is_believed_and_its_claim_awaited(
    source: Source, autojump_clock: Any
) -> None:
    async def target(peer: Peer) -> None:
        await peer.be_granted()
        source.fake.theirs = [True] * 100
        await peer.close()
        await trio.sleep(5)
        assert source.job.state is State.GRANTED
        source.export.taken_over()

    await source.play(target)
    assert source.job.state is State.SUCCESS


async def test_a_target_that_died_with_a_grant_keeps_the_slots_closed_until_the_cluster_knows(
    source: Source, autojump_clock: Any
) -> None:
    async def target(peer: Peer) -> None:
        await peer.be_granted()
        await peer.close()
        await trio.sleep(30)
        assert source.job.state is State.GRANTED
        assert "release" not in source.held
        assert "ended" not in source.held
        source.fake.alone = True

    await source.play(target)
    assert source.job.state is State.FAILED
    assert source.held[-1] == "ended"


async def test_a_lost_link_before_the_grant_ends_it_at_once(source: Source, autojump_clock: Any) -> None:
    async def target(peer: Peer) -> None:
        await peer.greet(ours=True)
        await peer.close()

    await source.play(target)
    assert source.job.state is State.FAILED
    assert source.job.message.startswith("Connection lost to target (closed the connection).")


async def test_a_refused_establish_is_told(source: Source, autojump_clock: Any) -> None:
    async def target(peer: Peer) -> None:
        await peer.expect(b"ESTABLISH")
        await peer.send(b"-ERR Target node does not know the source node\r\n")

    await source.play(target)
    assert source.job.message == (
        "Received error during handshake to target: -ERR Target node does not know the source node"
    )


@pytest.mark.parametrize("said", [b"+PONG\r\n", encode([b"PING", b"a", b"b"]), message(b"NO-SUCH")])
async def test_what_is_not_of_the_protocol_ends_it(source: Source, autojump_clock: Any, said: bytes) -> None:
    async def target(peer: Peer) -> None:
        await peer.greet(ours=True)
        await peer.send(said)

    await source.play(target)
    assert source.job.state is State.FAILED


async def test_a_silent_target_ends_it(source: Source, autojump_clock: Any) -> None:
    async def target(peer: Peer) -> None:
        await peer.greet(ours=True)

    await source.play(target)
    assert source.job.message == "Timed out after too long with no interaction"


async def test_more_changes_than_a_replica_may_have_waiting_end_it(
    source: Source, autojump_clock: Any
) -> None:
    source.fake.limit = BufferLimit(1 << 20, 0, 0)

    async def target(peer: Peer) -> None:
        await peer.expect(b"ESTABLISH")
        await peer.send(b"+OK\r\n")
        await peer.expect(b"ACK")
        for _ in range(12):
            source.export.feed(b"x" * 100_000)

    await source.play(target)
    assert "output buffer limit" in source.job.message
