"""A replica played by hand, and a primary played by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.app import Node
from node.command.session import Session
from node.rdb.file import Key, RdbReader


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
