"""What the tests of commands look at beside replies."""

from __future__ import annotations

from typing import Any

import pytest

from node.keyspace.changes import EventClass


@pytest.fixture
def events(client: Any) -> list[tuple[EventClass, bytes, bytes]]:
    """(class, event, key) of everything that has changed."""
    seen: list[tuple[EventClass, bytes, bytes]] = []
    client.node.after.watchers.append(lambda log: seen.extend(change[:3] for change in log))
    return seen


@pytest.fixture
def told(client: Any) -> list[list[bytes]]:
    """What replicas are told."""
    commands: list[list[bytes]] = []
    client.node.after.tellers.append(lambda _db, words: commands.append(list(words)))
    return commands
