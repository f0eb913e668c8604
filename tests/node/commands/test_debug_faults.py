"""DEBUG FAULT: its forms, its refusals, and where a fault reaches."""

from __future__ import annotations

import pytest

from node.config import table as directives
from node.moving.targets import ConnectError

ID = "a" * 40


@pytest.fixture(autouse=True)
def debug(node):
    node.config.store(directives.ENABLE_DEBUG_COMMAND, "yes")


def test_status_tells_what_was_set_and_heal_ends_it(client):
    assert client.call("DEBUG", "FAULT", "STATUS") == [b"cut-off", [], b"sync-delay-ms", b"0"]
    assert client.call("DEBUG", "FAULT", "CUT-OFF", 1000, "127.0.0.1:7000", ID) == b"OK"
    assert client.call("DEBUG", "fault", "SLOW-SYNC", 20, 1000) == b"OK"
    told = client.call("DEBUG", "FAULT", "status")
    assert told == [b"cut-off", [b"127.0.0.1:7000", ID.encode()], b"sync-delay-ms", b"20"]
    assert client.call("DEBUG", "FAULT", "HEAL") == b"OK"
    assert client.call("DEBUG", "FAULT", "STATUS")[1] == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("CUT-OFF", 0, ID), "ERR a fault lasts from 1 to 3600000 milliseconds"),
        (("CUT-OFF", "x", ID), "ERR a fault lasts from 1 to 3600000 milliseconds"),
        (("CUT-OFF", 10, "nobody"), "ERR a peer is a node id or host:port, not 'nobody'"),
        (("SLOW-SYNC", 0, 10), "ERR a sync can be delayed by 1 to 60000 milliseconds"),
        (("SLOW-SYNC", 10, 3_600_001), "ERR a fault lasts from 1 to 3600000 milliseconds"),
    ],
)
def test_bad_arguments(client, node, words, error):
    assert client.error("DEBUG", "FAULT", *words) == error
    assert not node.faults.cut
    assert not node.faults.sync_delay_ms


@pytest.mark.parametrize("words", [(), ("CUT-OFF", 10), ("SLOW-SYNC", 10), ("HEAL", "x"), ("NONSENSE",)])
def test_what_is_none_of_its_forms(client, words):
    assert client.error("DEBUG", "FAULT", *words).startswith("ERR unknown subcommand or wrong number")


def test_it_is_not_for_everybody(client, node):
    node.config.store(directives.ENABLE_DEBUG_COMMAND, "no")
    assert client.error("DEBUG", "FAULT", "STATUS").startswith("ERR DEBUG command not allowed")


def test_help_names_it(client):
    assert any(b"FAULT CUT-OFF" in line for line in client.call("DEBUG", "HELP"))


async def test_no_connection_is_made_to_whom_is_cut_off(client, node):
    client.call("DEBUG", "FAULT", "CUT-OFF", 1000, "127.0.0.1:1")
    with pytest.raises(ConnectError, match="cut off by DEBUG FAULT"):
        await node.moving.targets.take(("127.0.0.1", 1), 1.0)
    assert not node.replication.follower.may_reach("127.0.0.1", 1)
