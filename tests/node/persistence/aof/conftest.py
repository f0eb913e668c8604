"""Nodes without sockets whose append-only file is a real one, in a directory of the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest
import trio

from node.app import Node
from node.config import table as directives
from node.config.config import Config
from node.persistence.aof.scan import Batch, Scanner
from node.startup import load_data


@pytest.fixture
def make_node(tmp_path: Path) -> Callable[..., Node]:
    """Nodes with `dir` in the test's directory; further settings by the names of node.config.table."""
    made: list[Node] = []

    def make(directory: Path = tmp_path, **settings: Any) -> Node:
        config = Config()
        config.store(directives.DIR, str(directory))
        for name, value in settings.items():
            config.store(getattr(directives, name.upper()), value)
        node = Node(config)
        made.append(node)
        return node

    return make


@pytest.fixture
def pack() -> Callable[..., bytes]:
    """Words → a command as it stands in a file."""

    def encode(*words: bytes | str) -> bytes:
        return bytes(hiredis.pack_command(words))

    return encode


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Iterator[Node]:
    """A node with an empty append-only file. (The fixture `client` is a client of it.)"""
    node = make_node(appendonly=True)
    trio.run(load_data, node)
    node.loading.end()
    yield node
    node.aof.close()


@pytest.fixture
def written(node: Node, tmp_path: Path) -> Callable[[], list[list[bytes]]]:
    """The commands in the increment, after a turn's end."""

    def read() -> list[list[bytes]]:
        node.reactor.settle()
        data = (tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof").read_bytes()
        items = list(Scanner().feed(data))
        return [argv for item in items if isinstance(item, Batch) for argv in item.commands]

    return read
