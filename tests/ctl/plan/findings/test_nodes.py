"""ctl.plan.findings.nodes: what check says of nodes, beside what test_check holds."""

from __future__ import annotations

from typing import Any

from ctl.plan.findings import nodes
from ctl.survey import Survey


def test_a_handshake_is_told(clusters: Any) -> None:
    edit = {("a", "z"): {"flags": {"handshake"}}}
    [found] = nodes.handshakes(Survey(clusters.build(*clusters.three_shards(), edit=edit)))
    assert (found.severity, found.text) == ("info", "10.0.0.1:7000 is shaking hands with 10.0.0.6:7005")


def test_a_node_without_an_address_is_an_error_and_can_be_forgotten(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[5].answers = False
    edit = {(viewer, "z"): {"address": None, "flags": {"noaddr"}} for viewer in "abcxy"}
    [found] = nodes.failed_nodes(Survey(clusters.build(*specs, edit=edit)))
    assert found.code == "no-address"
    assert f"--forget {clusters.node_id('z')[:8]}" in found.action


def test_a_failed_primary_without_replicas_may_be_forgotten_with_its_slots(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].answers = specs[3].answers = False
    edit = {(viewer, "a"): {"flags": {"fail"}} for viewer in "bcyz"}
    found = next(f for f in nodes.failed_nodes(Survey(clusters.build(*specs, edit=edit))))
    assert "--forget 10.0.0.1:7000 --cover-uncovered" in found.action


def test_nodes_that_refuse_commands_are_one_finding(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].info["cluster_state"] = specs[1].info["cluster_state"] = "fail"
    specs[2].info["loading"] = "1"
    first, second = nodes.states(Survey(clusters.build(*specs)))
    assert first.text == "10.0.0.1:7000, 10.0.0.2:7001 say cluster_state:fail"
    assert second.code == "loading"
