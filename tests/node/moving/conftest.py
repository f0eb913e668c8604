"""A server that keys are moved to, played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from node.app import Node
from node.moving import targets
from node.resp.stream import BufferedStream, ConnectError


class Conversation:
    """One connection, from the target's side."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self._raw = stream
        self._stream = BufferedStream(stream, "source")

    async def request(self) -> list[bytes]:
        """The next request."""
        count = int((await self._stream.read_line())[1:])
        words = []
        for _ in range(count):
            length = int((await self._stream.read_line())[1:])
            words.append(await self._stream.read_exactly(length))
            await self._stream.read_line()
        return words

    async def say(self, data: bytes) -> None:
        await self._raw.send_all(data)

    async def close(self) -> None:
        await self._raw.aclose()


class HandTarget:
    """The other end of every connection the node makes; each is accepted, or refused while `is_down`."""

    def __init__(self) -> None:
        self.is_down = False
        self.attempts = 0
        self._send, self._accepted = trio.open_memory_channel[trio.StapledStream](100)

    async def connect(self, host: str, port: int, **_: Any) -> BufferedStream:
        self.attempts += 1
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise ConnectError(f"{host}:{port}", "connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self._send.send_nowait(ours)
        return BufferedStream(theirs, f"{host}:{port}")

    async def accept(self) -> Conversation:
        return Conversation(await self._accepted.receive())

    async def accept_selected(self) -> Conversation:
        """A new connection, on which SELECT comes first."""
        conversation = await self.accept()
        assert await conversation.request() == [b"SELECT", b"0"]
        await conversation.say(b"+OK\r\n")
        return conversation


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> HandTarget:
    hand = HandTarget()
    monkeypatch.setattr(targets, "connect", hand.connect)
    return hand


@pytest.fixture
def told(node: Node) -> list[list[bytes]]:
    """What replicas are told."""
    commands: list[list[bytes]] = []
    node.after.tellers.append(lambda _db, words: commands.append(list(words)))
    return commands


@pytest.fixture
async def moving_node(node: Node) -> AsyncIterator[Node]:
    """A node whose services of this package run."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.moving.run)
        nursery.start_soon(node.loads.run)
        await trio.testing.wait_all_tasks_blocked()
        yield node
        nursery.cancel_scope.cancel()
