"""A replica played by hand, and a primary played by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from gossip.slots import key_slot
from node.app import Node
from node.command.session import Session
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.log import Log
from node.persistence.snapshot import Snapshots
from node.rdb.file import Key, RdbReader
from node.replication import follower
from node.resp.stream import BufferedStream, ConnectError

REPLID = b"c" * 40


class ReplicaTransport:
    """Keeps what is sent; closing ends the session, as a connection does."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.session: Session | None = None
        self.sent = b""
        self.closed = False

    def send(self, data: bytes) -> None:
        self.sent += data

    def push(self, data: bytes) -> None:
        self.sent += data

    def close(self, after_output: bool) -> None:
        self.closed = True
        assert self.session is not None
        self.node.clients.remove(self.session)

    def resume(self) -> None:
        pass

    def trust(self) -> None:
        pass

    def when_sent(self, callback: Callable[[], None]) -> None:
        callback()

    def output_bytes(self) -> int:
        return 0

    def output_parts(self) -> int:
        return 0

    def pending_bytes(self) -> int:
        return 0

    def descriptor(self) -> int:
        return -1

    def waits_for(self) -> str:
        return "r"


class HandReplica:
    """A replica of a node, as the node sees it. What arrives is in `received`, until `take` takes it."""

    def __init__(self, node: Node, port: int = 7001) -> None:
        self.node = node
        self.transport = ReplicaTransport(node)
        address = b"10.0.0.7:4242"
        self.session = Session(
            next(node.clients.next_ids), node.new_call(), self.transport, address, b"10.0.0.1:7000"
        )
        self.transport.session = self.session
        node.clients.add(self.session)
        self.port = port

    def say(self, *args: bytes | str | int) -> bytes:
        """A request's direct reply."""
        argv = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        out: list[bytes] = []
        self.node.dispatcher.serve(self.session, [argv], out)
        self.node.replication.primary.flush()
        return b"".join(out)

    def greet(self) -> None:
        assert self.say("REPLCONF", "listening-port", self.port) == b"+OK\r\n"
        assert self.say("REPLCONF", "capa", "eof", "capa", "psync2") == b"+OK\r\n"

    def take(self) -> bytes:
        self.node.replication.primary.flush()
        taken, self.transport.sent = self.transport.sent, b""
        return taken

    def full_sync(self) -> tuple[bytes, int, dict[tuple[int, bytes], Any], bytes]:
        """PSYNC ? -1 of a small data set: id, offset, (database, key) → value, the stream so far."""
        self.greet()
        assert self.say("PSYNC", "?", -1) == b""
        line, _, rest = self.take().partition(b"\r\n")
        word, replid, offset = line.split(b" ")
        assert word == b"+FULLRESYNC"
        head, _, rest = rest.partition(b"\r\n")
        assert head[:1] == b"$"
        length = int(head[1:])
        reader = RdbReader()
        items = [*reader.feed(rest[:length]), *reader.close()]
        keys = {(item.db, item.key): item.value for item in items if type(item) is Key}
        return replid, int(offset), keys, rest[length:]


@pytest.fixture
def new_replica(node: Node) -> Callable[[], HandReplica]:
    ports = iter(range(7001, 7100))
    return lambda: HandReplica(node, next(ports))


@pytest.fixture
def replica(new_replica: Callable[[], HandReplica]) -> HandReplica:
    return new_replica()


# A primary played by hand


class HandPrimary:
    """The other end of every connection the node makes; each is accepted, or refused while `is_down`."""

    def __init__(self) -> None:
        self.is_down = False
        self.attempts: list[float] = []
        self._send, self._accepted = trio.open_memory_channel[trio.StapledStream](100)

    async def connect(self, host: str, port: int, **_: object) -> BufferedStream:
        self.attempts.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise ConnectError(f"{host}:{port}", "connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self._send.send_nowait(ours)
        return BufferedStream(theirs, f"{host}:{port}")

    async def accept(self) -> Conversation:
        return Conversation(await self._accepted.receive())


class Conversation:
    """One connection, from the primary's side."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self._raw = stream
        self.stream = BufferedStream(stream, "replica")

    async def request(self) -> list[bytes]:
        """The next request of the replica."""
        count = int((await self.stream.read_line())[1:])
        words = []
        for _ in range(count):
            length = int((await self.stream.read_line())[1:])
            words.append(await self.stream.read_exactly(length))
            await self.stream.read_line()
        return words

    async def say(self, data: bytes) -> None:
        await self.stream.send(data)

    async def close(self) -> None:
        await self._raw.aclose()

    async def greet(self) -> list[bytes]:
        """Plays the greeting; returns the PSYNC request."""
        assert await self.request() == [b"PING"]
        await self.say(b"+PONG\r\n")
        while (request := await self.request())[0] == b"REPLCONF":
            await self.say(b"+OK\r\n")
        return request

    async def full_sync(self, snapshot: bytes, offset: int = 1000) -> None:
        await self.greet()
        await self.say(b"+FULLRESYNC %b %d\r\n$%d\r\n" % (REPLID, offset, len(snapshot)))
        await self.say(snapshot)
        assert await self.acknowledged() == offset

    async def acknowledged(self) -> int:
        word, ack, offset = await self.request()
        assert (word, ack) == (b"REPLCONF", b"ACK")
        return int(offset)


def snapshot_of(*databases: dict[bytes, Any], expire_at_ms: dict[bytes, int] | None = None) -> bytes:
    made = []
    for index, content in enumerate(databases):
        database = Database(index, Changes(), Policy())
        for key, value in content.items():
            database.put(key, key_slot(key), value)
        for key, deadline_ms in (expire_at_ms or {}).items():
            if key in content:
                database.set_deadline(key, deadline_ms)
        made.append(database)
    return b"".join(Snapshots(made, Log()).pieces())


def stored(node: Node, index: int = 0) -> dict[bytes, Any]:
    return {
        key: value
        for partition in node.databases[index].slots
        if partition
        for key, value in partition.items()
    }


@pytest.fixture(name="snapshot_of")
def _snapshot_of() -> Callable[..., bytes]:
    """Databases as keys and values → the file a primary would send."""
    return snapshot_of


@pytest.fixture(name="stored")
def _stored() -> Callable[..., dict[bytes, Any]]:
    """A node, and the number of a database → what is in it."""
    return stored


@pytest.fixture
async def primary(node: Node, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery) -> HandPrimary:
    hand = HandPrimary()
    monkeypatch.setattr(follower, "connect", hand.connect)
    nursery.start_soon(node.replication.run)
    await trio.testing.wait_all_tasks_blocked()
    return hand


@pytest.fixture
async def linked(node: Node, primary: HandPrimary) -> Conversation:
    """A node that has finished a full synchronisation at offset 1000."""
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.full_sync(snapshot_of({b"k": b"v"}))
    return conversation
