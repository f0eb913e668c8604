"""ctl.plan.findings.drift: what should be the same on all nodes."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.findings import drift
from ctl.survey import NodeFacts, Survey


def configured(clusters: Any, **configs: dict[str, str]) -> Survey:
    facts = {clusters.node_id(name): NodeFacts(config=config) for name, config in configs.items()}
    return Survey(clusters.build(*clusters.three_shards()), facts)


def test_a_directive_that_matters_is_a_warning_with_both_values(clusters: Any) -> None:
    same = {"maxmemory": "0", "hz": "10"}
    survey = configured(clusters, a=same, b=same, c={"maxmemory": "100", "hz": "20"})
    memory, hz = sorted(drift.config_drift(survey), key=lambda found: found.severity, reverse=True)
    assert (memory.severity, memory.text) == (
        "warning",
        "maxmemory is 0 on most nodes, but 100 on 10.0.0.3:7002",
    )
    assert memory.nodes == (clusters.node_id("c"),)
    assert (hz.severity, hz.action) == ("info", "ctl cluster set-config hz VALUE")


@pytest.mark.parametrize(
    "directive", ["port", "dir", "bind", "cluster-announce-ip", "replica-announce-port", "pidfile"]
)
def test_a_nodes_own_directives_may_differ(clusters: Any, directive: str) -> None:
    assert list(drift.config_drift(configured(clusters, a={directive: "1"}, b={directive: "2"}))) == []


def test_passwords_are_never_shown(clusters: Any) -> None:
    secrets = [{"requirepass": "hunter1"}, {"requirepass": "hunter1"}, {"requirepass": "hunter2"}]
    [found] = drift.config_drift(configured(clusters, **dict(zip("abc", secrets, strict=True))))
    assert "hunter" not in repr(found)
    assert "requirepass is another on 10.0.0.3:7002" in found.text


def test_an_old_name_is_not_told_beside_the_new_one(clusters: Any) -> None:
    one = {"cluster-slave-no-failover": "no", "cluster-replica-no-failover": "no"}
    other = dict.fromkeys(one, "yes")
    found = list(drift.config_drift(configured(clusters, a=one, b=one, c=other)))
    assert [each.text.split()[0] for each in found] == ["cluster-replica-no-failover"]


def test_servers_of_other_versions_are_not_compared(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[2].info = {"server_name": "shoal", "shoal_version": "0.1.0"}
    facts = {clusters.node_id(name): NodeFacts(config={"hz": str(ord(name))}) for name in "ac"}
    assert list(drift.config_drift(Survey(clusters.build(*specs), facts))) == []


def test_functions_and_users_missing_or_otherwise(clusters: Any) -> None:
    facts = {
        clusters.node_id("a"): NodeFacts(functions={"lib": "1"}, users={"default": "1", "bob": "x"}),
        clusters.node_id("b"): NodeFacts(functions={"lib": "1"}, users={"default": "1"}),
        clusters.node_id("c"): NodeFacts(functions={"lib": "2"}, users={"default": "1"}),
        clusters.node_id("x"): NodeFacts(),
    }
    survey = Survey(clusters.build(*clusters.three_shards()), facts)
    [library] = drift.function_drift(survey)
    assert library.text == "function library lib is another on 10.0.0.3:7002 than on most nodes"
    [user] = drift.user_drift(survey)
    assert user.text == "ACL user bob is missing on 10.0.0.2:7001, 10.0.0.3:7002"


def test_nodes_that_do_not_know_a_command_are_no_finding(clusters: Any) -> None:
    survey = Survey(
        clusters.build(*clusters.three_shards()), {clusters.node_id("a"): NodeFacts(functions={"lib": "1"})}
    )
    assert list(drift.function_drift(survey)) == []
