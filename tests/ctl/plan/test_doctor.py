"""ctl.plan.doctor: how a cluster is set, one item of the checklist a test, with made-up facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ctl.plan.check import Finding
from ctl.plan.doctor import diagnose
from ctl.plan.doctor_facts import Examination, NodeVitals
from ctl.survey import NodeFacts, Survey

Found = Callable[..., dict[str, Finding]]


@pytest.fixture
def found(clusters: Any) -> Found:
    """The findings by code, on three shards whose first node `a` has these facts."""

    def find(
        info: dict[str, str] | None = None, config: dict[str, str] | None = None, **vitals: Any
    ) -> dict[str, Finding]:
        specs = clusters.three_shards()
        specs[0].info = info or {}
        survey = Survey(clusters.build(*specs), {clusters.node_id("a"): NodeFacts(config=config)})
        examination = Examination(survey, {clusters.node_id("a"): NodeVitals(**vitals)})
        return {finding.code: finding for finding in diagnose(examination)}

    return find


def test_what_nodes_do_not_tell_is_no_finding(found: Found) -> None:
    assert found() == {}


WELL = {
    "maxmemory": "1000000",
    "used_memory": "500000",
    "maxmemory_policy": "allkeys-lru",
    "rdb_last_bgsave_status": "ok",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "evicted_keys": "0",
    "rejected_connections": "0",
    "connected_clients": "10",
    "maxclients": "10000",
    "latest_fork_usec": "500",
    "mem_fragmentation_ratio": "1.1",
}
WELL_SET = {
    "save": "3600 1",
    "appendonly": "no",
    "bind": "10.0.0.1",
    "protected-mode": "yes",
    "cluster-require-full-coverage": "no",
    "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
}


def test_a_cluster_that_is_fit_has_no_finding_and_normal_clients_may_be_without_limit(found: Found) -> None:
    assert found(WELL, WELL_SET, open_default_user=False, slow=(), keys=(), written_bytes_per_s=0.0) == {}


@pytest.mark.parametrize(
    ("code", "severity", "info", "config"),
    [
        ("no-maxmemory", "warning", {"maxmemory": "0"}, {}),
        ("noeviction", "info", {"maxmemory": "100", "maxmemory_policy": "noeviction"}, {}),
        ("no-persistence", "warning", {}, {"save": "", "appendonly": "no"}),
        ("bgsave-failed", "error", {"rdb_last_bgsave_status": "err"}, {}),
        ("aof-write-failed", "error", {"aof_last_write_status": "err"}, {}),
        ("aof-rewrite-failed", "warning", {"aof_last_bgrewrite_status": "err"}, {}),
        ("unlimited-output", "warning", {}, {"client-output-buffer-limit": "normal 0 0 0 pubsub 0 0 0"}),
        ("full-coverage", "info", {}, {"cluster-require-full-coverage": "yes"}),
    ],
)
def test_a_setting_by_itself(
    found: Found, clusters: Any, code: str, severity: str, info: dict[str, str], config: dict[str, str]
) -> None:
    findings = found(info, config)
    assert list(findings) == [code]
    assert findings[code].severity == severity
    assert findings[code].nodes == (clusters.node_id("a"),)
    assert "10.0.0.1:7000" in findings[code].text
    assert findings[code].explanation
    assert findings[code].action


def test_one_kind_of_persistence_is_enough(found: Found) -> None:
    assert found(config={"save": "", "appendonly": "yes"}) == {}
    assert found(config={"save": "60 1", "appendonly": "no"}) == {}
    assert found(config={"save": ""}) == {}


@pytest.mark.parametrize(
    ("is_open", "protected", "bind", "code"),
    [
        (True, "no", "* -::*", "open-to-network"),
        (True, "no", "", "open-to-network"),
        (True, "no", "127.0.0.1 10.0.0.1", "open-to-network"),
        (True, "yes", "* -::*", "no-password"),
        (True, "no", "127.0.0.1 -::1", "no-password"),
        (False, "no", "10.0.0.1", "protected-mode-off"),
        (False, "yes", "10.0.0.1", None),
        (False, "no", "127.0.0.1", None),
        (None, "no", "10.0.0.1", None),
    ],
)
def test_who_gets_in(found: Found, is_open: bool | None, protected: str, bind: str, code: str | None) -> None:
    config = {"protected-mode": protected, "bind": bind}
    assert list(found(config=config, open_default_user=is_open)) == ([code] if code else [])


def test_versions_are_counted_by_server(clusters: Any) -> None:
    specs = clusters.three_shards()
    for spec in specs:
        spec.info = {"redis_version": "7.0.15"}
    specs[5].info = {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.0.0"}
    (finding,) = diagnose(Examination(Survey(clusters.build(*specs))))
    assert (finding.code, finding.nodes) == ("version-mix", (clusters.node_id("z"),))
    assert finding.text == "nodes run redis 7.0.15: 5; valkey 9.0.0: 1"


def test_replicas_and_nodes_are_looked_at_as_check_does_gravest_first(clusters: Any) -> None:
    specs = clusters.three_shards()[:5]
    specs[0].info = {"rdb_last_bgsave_status": "err"}
    specs[4].answers = False
    found = diagnose(Examination(Survey(clusters.build(*specs))))
    assert [each.code for each in found] == ["unreachable", "bgsave-failed", "no-replica", "no-replica"]


def test_what_holds_everywhere_is_told_once(clusters: Any) -> None:
    specs = clusters.three_shards()
    for spec in specs:
        spec.info = {"maxmemory": "0"}
    (finding,) = diagnose(Examination(Survey(clusters.build(*specs))))
    assert finding.text == "maxmemory is 0, no limit, on all nodes"
    assert len(finding.nodes) == 6
