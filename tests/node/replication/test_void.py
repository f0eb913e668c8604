"""When a replica takes a primary for one that has lost its data."""

from __future__ import annotations

import pytest

from node.config.config import Config
from node.config.table import CLUSTER_ENABLED, REPLICA_REFUSE_EMPTY_PRIMARY
from node.replication.void import is_void, refuses_void


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
