"""ctl.plan.findings.replication: lag, as the primary counts it."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.findings import replication
from ctl.survey import Survey


def lag(clusters: Any, offset: int, silent_s: int, state: str = "online") -> list[str]:
    specs = clusters.three_shards()
    line = f"ip=10.0.0.4,port=7003,state={state},offset={offset},lag={silent_s}"
    specs[0].info = {"master_repl_offset": "10000000", "repl_backlog_size": "1048576", "slave0": line}
    return [found.text for found in replication.replica_lag(Survey(clusters.build(*specs)))]


def test_a_replica_far_behind_is_a_warning(clusters: Any) -> None:
    assert lag(clusters, 9_400_000, 0) == [
        "10.0.0.4:7003 is 600,000 bytes behind its primary 10.0.0.1:7000 and last acknowledged 0 s ago"
    ]


def test_a_replica_that_acknowledges_no_more_is_a_warning(clusters: Any) -> None:
    assert len(lag(clusters, 10_000_000, 10)) == 1


@pytest.mark.parametrize(("offset", "silent_s", "state"), [(9_600_000, 9, "online"), (0, 0, "wait_bgsave")])
def test_a_little_lag_and_a_first_copy_are_normal(
    clusters: Any, offset: int, silent_s: int, state: str
) -> None:
    assert lag(clusters, offset, silent_s, state) == []


def test_a_link_that_never_was_is_told(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[3].info |= {"master_link_status": "down", "master_link_down_since_seconds": "-1"}
    specs[4].info |= {"master_link_status": "down", "master_link_down_since_seconds": "12"}
    texts = [found.text for found in replication.replication_links(Survey(clusters.build(*specs)))]
    assert texts == [
        "10.0.0.4:7003 has no link to its primary and never had one",
        "10.0.0.5:7004 has no link to its primary for 12 s",
    ]
