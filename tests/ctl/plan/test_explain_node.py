"""ctl.plan.explain_node: why a node is failed, and why a replica is not elected."""

from __future__ import annotations

from typing import Any

from ctl.plan.explain import Statement
from ctl.plan.explain_node import explain_node
from ctl.survey import BusLink, NodeFacts, Survey

TIMING = {
    "cluster-node-timeout": "2000",
    "cluster-replica-validity-factor": "10",
    "repl-ping-replica-period": "10",
    "cluster-replica-no-failover": "no",
}


def about(
    clusters: Any,
    name: str,
    specs: Any,
    edit: Any = None,
    facts: dict[str, NodeFacts] | None = None,
    reports: dict[str, int] | None = None,
) -> list[Statement]:
    snapshot = clusters.build(*specs, edit=edit)
    by_id = {clusters.node_id(each): told for each, told in (facts or {}).items()}
    member = snapshot.member(clusters.node_id(name))
    return list(explain_node(Survey(snapshot, by_id), member, reports or {}).statements)


def found(statements: list[Statement], start: str) -> Statement:
    matching = [each for each in statements if each.text.startswith(start)]
    assert matching, [each.text for each in statements]
    return matching[0]


def failed_a(clusters: Any) -> tuple[Any, Any]:
    specs = clusters.three_shards()
    specs[0].answers = False
    specs[3].info = {"master_link_status": "down", "master_link_down_since_seconds": "5"}
    return specs, {(viewer, "a"): {"flags": {"fail"}, "link_up": False} for viewer in "bcxyz"}


def test_a_primary_that_is_well_and_who_could_replace_it(clusters: Any) -> None:
    statements = about(clusters, "a", clusters.three_shards())
    assert found(statements, "10.0.0.1:7000 is a primary with 5,461 slots (0-5460)")
    assert found(statements, "Nobody holds it for failed: 5 of 5 nodes are linked with it.")
    assert found(statements, "10.0.0.4:7003 could take its place.")
    assert not any(each.tone == "bad" for each in statements)


def test_a_failed_primary_names_its_accusers_since_when_and_the_majority(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    edit["b", "a"] |= {"pong_received_ms": 90_000, "ping_sent_ms": 91_000}
    facts = {"b": NodeFacts(now_ms=100_000)}
    statements = about(clusters, "a", specs, edit, facts, {clusters.node_id("b"): 2})
    fail = found(statements, "It is FAIL: 5 of 5 nodes hold it for failed.")
    assert fail.evidence[0] == (
        "10.0.0.2:7001 says FAIL, last pong 10.0 s ago, a ping unanswered for 9.0 s, no link"
    )
    assert "10.0.0.2:7001 counts 2 failure reports" in fail.evidence
    assert fail.evidence[-1] == "3 primaries have slots, so a majority is 2"


def test_a_suspicion_of_too_few_is_no_failure(clusters: Any) -> None:
    edit = {("b", "a"): {"flags": {"fail?"}}, ("x", "a"): {"flags": {"fail?"}}}
    statement = found(
        about(clusters, "a", clusters.three_shards(), edit), "It is suspected (PFAIL) by 2 nodes"
    )
    assert "1 of them with a vote; it is not FAIL before 2 of these agree" in statement.text


def test_a_replica_that_could_be_elected(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    statements = about(clusters, "a", specs, edit, {"x": NodeFacts(config=TIMING)})
    statement = found(statements, "Nothing in its state keeps 10.0.0.4:7003 from being elected")
    assert "8 s (4 × node timeout)" in statement.evidence[-2]


def test_a_replica_told_never_to(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    facts = {"x": NodeFacts(config={**TIMING, "cluster-replica-no-failover": "yes"})}
    statement = found(about(clusters, "a", specs, edit, facts), "10.0.0.4:7003 is not elected")
    assert statement.evidence == ("cluster-replica-no-failover yes",)


def test_a_replica_with_old_data(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    specs[3].info["master_link_down_since_seconds"] = "40"
    statement = found(
        about(clusters, "a", specs, edit, {"x": NodeFacts(config=TIMING)}), "10.0.0.4:7003 is not elected"
    )
    assert statement.text.endswith("its data is 38 s old, and 30 s are allowed.")
    specs[3].info["master_link_down_since_seconds"] = "31"
    statements = about(clusters, "a", specs, edit, {"x": NodeFacts(config=TIMING)})
    assert found(statements, "Nothing in its state keeps")
    any_age = {**TIMING, "cluster-replica-validity-factor": "0"}
    specs[3].info["master_link_down_since_seconds"] = "4000"
    assert found(about(clusters, "a", specs, edit, {"x": NodeFacts(config=any_age)}), "Nothing in its state")


def test_a_replica_that_never_had_a_link(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    specs[3].info["master_link_down_since_seconds"] = "-1"
    statement = found(about(clusters, "a", specs, edit), "10.0.0.4:7003 is not elected")
    assert "it has never had a link to its primary" in statement.text


def test_no_majority(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    edit["x", "b"] = {"flags": {"fail?"}, "link_up": False}
    statement = found(about(clusters, "x", specs, edit), "10.0.0.4:7003 is not elected")
    assert statement.text.endswith("it could get 1 vote of the 2 that are needed.")
    assert statement.evidence[1] == "without a vote for it: 10.0.0.1:7000, 10.0.0.2:7001"


def test_a_replica_that_does_not_see_the_failure(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    del edit["x", "a"]
    statement = found(about(clusters, "a", specs, edit), "10.0.0.4:7003 is not elected")
    assert statement.text.endswith("10.0.0.1:7000 is not FAIL in its own eyes.")


def test_a_primary_without_heirs(clusters: Any) -> None:
    specs, edit = failed_a(clusters)
    del specs[3]
    assert found(about(clusters, "a", specs, edit), "Nobody takes its place: it has no replica.")


def test_why_a_node_refuses_commands(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].info["cluster_state"] = "fail"
    edit = {("a", "b"): {"flags": {"fail?"}}, ("a", "c"): {"flags": {"fail?"}}}
    statement = found(about(clusters, "a", specs, edit), "It refuses commands")
    assert "it reaches 1 of 3 primaries, and a majority is 2" in statement.text


def test_bytes_that_pile_up_on_a_link_are_evidence(clusters: Any) -> None:
    edit = {("b", "a"): {"flags": {"fail?"}}}
    facts = {"b": NodeFacts(links=(BusLink(clusters.node_id("a"), True, 1, 5000),))}
    statement = found(about(clusters, "a", clusters.three_shards(), edit, facts), "It is suspected")
    assert statement.evidence[0] == "10.0.0.2:7001 says PFAIL, 5,000 bytes queued on its link"
