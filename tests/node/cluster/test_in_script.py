"""What the cluster wants of the data while a script runs waits for the script's end; all else does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gossip.effects import SlotsLost
from gossip.slots import SlotSet, key_slot
from node.app import Node
from node.cluster.service import Cluster
from node.config.config import Config
from node.config.table import CLUSTER_ENABLED, DIR, SAVE


@pytest.fixture
def node(tmp_path: Path) -> Node:
    config = Config()
    for directive, value in ((SAVE, ()), (CLUSTER_ENABLED, True), (DIR, str(tmp_path))):
        config.store(directive, value)
    node = Node(config)
    assert node.cluster is not None
    node.cluster._running = True
    return node


def lose(node: Node, key: bytes) -> None:
    """Somebody else has taken the key's slot."""
    cluster: Cluster = node.cluster  # type: ignore[assignment]
    cluster._do(SlotsLost(SlotSet([key_slot(key)])))


def test_keys_stay_until_the_script_has_ended(node: Node, client: Any) -> None:
    cluster: Cluster = node.cluster  # type: ignore[assignment]
    client.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    cluster.router.served[:] = b"\x01" * 16384
    client.call("SET", "k", "v")
    node.scripting.runs.hear_peers = lambda: lose(node, b"k")
    script = "local t = os.clock() while os.clock() - t < 0.2 do end return redis.call('GET', KEYS[1])"
    assert client.call("EVAL", script, 1, "k") == b"v"
    assert node.databases[0].count == 1
    cluster.end_of_turn()
    assert node.databases[0].count == 0


def test_without_a_script_they_go_at_once(node: Node, client: Any) -> None:
    node.cluster.router.served[:] = b"\x01" * 16384  # type: ignore[union-attr]
    client.call("SET", "k", "v")
    lose(node, b"k")
    assert node.databases[0].count == 0
