"""ctl.plan.set_config"""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.set_config import pairs_of, plan_set_config
from ctl.plan.steps import PlanError


def cluster_with_files(clusters: Any, count: int = 3) -> Any:
    specs = clusters.three_shards()
    for spec in specs[:count]:
        spec.info["config_file"] = "/etc/node.conf"
    return clusters.build(*specs[:3])


def current(snapshot: Any, value: str = "0") -> dict[str, dict[str, str]]:
    return {member.node_id: {"maxmemory": value} for member in snapshot.members}


def test_pairs() -> None:
    assert pairs_of(["A", "1", "b", ""]) == {"a": "1", "b": ""}
    for words in (["a"], ["a", "1", "A", "2"]):
        with pytest.raises(PlanError):
            pairs_of(words)


def test_what_was_before_is_remembered(clusters: Any) -> None:
    snapshot = cluster_with_files(clusters)
    [step] = plan_set_config(snapshot, {"maxmemory": "9"}, current(snapshot), rewrite=True)
    assert step.before == current(snapshot)


def test_nothing_is_to_do_when_all_have_it(clusters: Any) -> None:
    snapshot = cluster_with_files(clusters)
    assert plan_set_config(snapshot, {"maxmemory": "9"}, current(snapshot, "9"), rewrite=False) == ()


def test_all_nodes_or_none(clusters: Any) -> None:
    snapshot = cluster_with_files(clusters)
    known = current(snapshot)
    known[snapshot.members[1].node_id] = {}
    with pytest.raises(PlanError, match=r"10.0.0.2:7001 knows no directive maxmemory"):
        plan_set_config(snapshot, {"maxmemory": "9"}, known, rewrite=True)
    without = cluster_with_files(clusters, 2)
    with pytest.raises(PlanError, match=r"10.0.0.3:7002 was started without a file"):
        plan_set_config(without, {"maxmemory": "9"}, current(without), rewrite=True)
    specs = clusters.three_shards()
    specs[4].answers = False
    silent = clusters.build(*specs)
    with pytest.raises(PlanError, match=r"10.0.0.5:7004 does not answer"):
        plan_set_config(silent, {"maxmemory": "9"}, current(silent), rewrite=False)
