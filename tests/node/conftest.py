"""A node without sockets: commands run through its dispatcher, replies come back as bytes and as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from node.app import Node
from node.command.session import Session
from node.config.config import Config
from node.config.table import SAVE


class FakeTransport:
    """Stands for a connection: keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.resumed = 0

    def send(self, data: bytes) -> None:
        self.sent += data

    def push(self, data: bytes) -> None:
        self.sent += data

    def close(self, after_output: bool) -> None:
        self.closed = True

    def resume(self) -> None:
        self.resumed += 1

    def trust(self) -> None:
        pass

    def output_bytes(self) -> int:
        return len(self.sent)

    def output_parts(self) -> int:
        return int(bool(self.sent))

    def pending_bytes(self) -> int:
        return 0

    def descriptor(self) -> int:
        return -1

    def waits_for(self) -> str:
        return "r"


class LocalClient:
    """One session of a node. `raw` gives the reply's bytes (None: no reply), `call` its value or raises."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.transport = FakeTransport()
        call = node.new_call()
        self.session = Session(
            next(node.clients.next_ids), call, self.transport, b"127.0.0.1:1", b"127.0.0.1:2"
        )
        node.clients.add(self.session)

    def raw(self, *args: bytes | str | int) -> bytes | None:
        argv = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        out: list[bytes] = []
        self.node.dispatcher.serve(self.session, [argv], out)
        return b"".join(out) if out else None

    def call(self, *args: bytes | str | int) -> Any:
        reply = self.raw(*args)
        if reply is None:
            return None
        reader = hiredis.Reader()
        reader.feed(reply)
        value = reader.gets()
        if isinstance(value, hiredis.ReplyError):
            raise value
        return value

    def error(self, *args: bytes | str | int) -> str:
        """The text of the error this command must give."""
        with pytest.raises(hiredis.ReplyError) as caught:
            self.call(*args)
        return str(caught.value)


@pytest.fixture
def node() -> Node:
    config = Config()
    config.store(SAVE, ())  # no file in whatever directory the tests are run from
    node = Node(config)
    node.clock.update = lambda: node.clock.now_ms  # type: ignore[method-assign]
    return node


@pytest.fixture
def client(node: Node) -> LocalClient:
    return LocalClient(node)


@pytest.fixture
def new_client(node: Node) -> Callable[[], LocalClient]:
    return lambda: LocalClient(node)


@pytest.fixture
def advance(node: Node) -> Callable[[int], None]:
    """Moves the node's clock forward by milliseconds."""

    def move(ms: int) -> None:
        node.clock.now_ms += ms

    return move
