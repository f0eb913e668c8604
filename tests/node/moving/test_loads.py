"""RESTORE of a big payload: made in slices, then run as if it had come only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from node.app import Node
from node.rdb.value import dump_payload
from node.values.hashes import Hash
from node.values.limits import DEFAULT

BIG = dump_payload(
    Hash.from_pairs([(b"field:%d" % number, b"value") for number in range(20_000)], DEFAULT), compress=False
)


async def _resumed(client: Any) -> None:
    while client.session.blocked is not None:
        await trio.testing.wait_all_tasks_blocked()
    assert client.transport.resumed == 1


@pytest.fixture
def restoring(moving_node: Node, client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client whose requests run again when it resumes, as a connection's do."""

    def resume() -> None:
        client.transport.resumed += 1
        client.transport.reply = client.raw(*client.words)

    def begin(*words: bytes | str | int) -> None:
        client.words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        assert client.raw(*client.words) is None
        assert client.session.blocked is not None

    monkeypatch.setattr(client.transport, "resume", resume)
    client.begin = begin
    return client


async def test_the_value_is_there_in_the_end(restoring: Any) -> None:
    restoring.begin("RESTORE", "k", 0, BIG)
    await _resumed(restoring)
    assert restoring.transport.reply == b"+OK\r\n"
    assert restoring.call("HLEN", "k") == 20_000


async def test_the_key_that_was_made_meanwhile_counts(restoring: Any, new_client: Callable[[], Any]) -> None:
    restoring.begin("RESTORE", "k", 0, BIG)
    new_client().call("SET", "k", "v")
    await _resumed(restoring)
    assert restoring.transport.reply == b"-BUSYKEY Target key name already exists.\r\n"
    assert restoring.call("GET", "k") == b"v"


async def test_a_damaged_one_is_refused(restoring: Any) -> None:
    restoring.begin("RESTORE", "k", 0, BIG[:-1] + b"\0")
    await _resumed(restoring)
    assert restoring.transport.reply == b"-ERR DUMP payload version or checksum are wrong\r\n"


async def test_a_client_that_goes_away_leaves_nothing(restoring: Any, moving_node: Node) -> None:
    restoring.begin("RESTORE", "k", 0, BIG)
    moving_node.clients.remove(restoring.session)
    await trio.testing.wait_all_tasks_blocked()
    assert restoring.transport.resumed == 0
    assert moving_node.loads._made == {}


def test_inside_a_transaction_it_is_made_at_once(client: Any) -> None:
    client.call("MULTI")
    client.call("RESTORE", "k", 0, BIG)
    assert client.call("EXEC") == [b"OK"]
    assert client.call("HLEN", "k") == 20_000


async def test_a_replica_has_it_made_before_the_command_runs(moving_node: Node, client: Any) -> None:
    """The stream's commands never wait: what applies them waits before (node.replication.apply)."""
    client.session.from_primary = True
    client.session.update_guard()
    argv = [b"RESTORE", b"k", b"0", BIG]
    await moving_node.loads.prepare(client.session, argv)
    [load] = moving_node.loads._made.values()
    value = load.outcome[0] if load.outcome is not None else None
    assert client.raw(*argv) == b"+OK\r\n"
    assert client.session.call.peek(b"k") is value
    assert moving_node.loads._made == {}
