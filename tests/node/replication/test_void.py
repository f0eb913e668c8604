"""When a replica takes a primary for one that has lost its data."""

from __future__ import annotations

import pytest

from node.config.config import Config
from node.config.table import CLUSTER_ENABLED, REPLICA_REFUSE_EMPTY_PRIMARY
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.persistence.snapshot import StreamPosition
from node.replication.void import has_lost_data, is_void, refuses_void


@pytest.mark.parametrize(
    ("keys", "held", "void"),
    [(0, 0, False), (0, 1, True), (5, 1000, True), (10, 1000, False), (1000, 1000, False), (5, 0, False)],
)
def test_next_to_nothing_is_less_than_a_hundredth(keys: int, held: int, void: bool) -> None:
    assert is_void(keys, held) == void


@pytest.mark.parametrize(
    ("chosen", "cluster", "refuses"),
    [("auto", True, True), ("auto", False, False), ("yes", False, True), ("no", True, False)],
)
def test_it_is_on_by_default_in_clusters(chosen: str, cluster: bool, refuses: bool) -> None:
    config = Config()
    assert config[REPLICA_REFUSE_EMPTY_PRIMARY] == "auto"
    config.store(REPLICA_REFUSE_EMPTY_PRIMARY, chosen)
    config.store(CLUSTER_ENABLED, cluster)
    assert refuses_void(config) == refuses


@pytest.mark.parametrize(
    ("chosen", "in_cluster", "keys", "position", "lost"),
    [
        ("auto", True, 0, None, True),
        ("auto", False, 0, None, False),
        ("yes", False, 0, None, True),
        ("no", True, 0, None, False),
        ("auto", True, 1, None, False),  # a file was there
        ("auto", True, 0, StreamPosition(0, b"a" * 40, 7), False),  # so was one that held no keys
    ],
)
def test_who_comes_back_with_nothing_and_no_history_has_lost_its_data(
    chosen: str, in_cluster: bool, keys: int, position: StreamPosition | None, lost: bool
) -> None:
    config = Config()
    config.store(REPLICA_REFUSE_EMPTY_PRIMARY, chosen)
    config.store(CLUSTER_ENABLED, in_cluster)
    databases = [Database(index, Changes(), Policy()) for index in range(2)]
    for number in range(keys):
        databases[1].put(b"%d" % number, 0, b"v")
    assert has_lost_data(config, databases, position) is lost
