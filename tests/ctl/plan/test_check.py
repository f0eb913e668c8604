"""ctl.plan.check: each problem is found, and a sound cluster has none."""

from __future__ import annotations

from typing import Any

from ctl.plan.check import Finding, check, shortened
from ctl.snapshot import ClusterSnapshot


def codes(snapshot: ClusterSnapshot) -> dict[str, Finding]:
    return {finding.code: finding for finding in check(snapshot)}


def test_a_sound_cluster_has_no_findings(clusters: Any) -> None:
    assert check(clusters.build(*clusters.three_shards())) == []


def test_uncovered_slots(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots = "5461-10000"
    found = codes(clusters.build(*specs))["uncovered-slots"]
    assert found.severity == "error"
    assert found.text == "922 of 16384 slots have no owner: 10001-10922"


def test_a_failed_node_is_an_error_that_says_what_will_happen(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].answers = False
    seen = {(viewer, "a"): {"flags": {"fail"}} for viewer in "bcxyz"}
    found = codes(clusters.build(*specs, edit=seen))["failed"]
    assert found.text == "10.0.0.1:7000 (primary) is failed in the eyes of 5 nodes: connection refused"
    assert "take over" in found.explanation
    specs[3].answers = False
    found = codes(clusters.build(*specs, edit=seen))["failed"]
    assert "lost until it is back" in found.explanation


def test_an_unreachable_node_is_an_error(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[5].answers = False
    found = codes(clusters.build(*specs))
    assert found["unreachable"].text == "10.0.0.6:7005 (replica) does not answer: connection refused"
    assert found["no-replica"].nodes == (clusters.node_id("c"),)


def test_a_seed_nobody_knows(clusters: Any) -> None:
    sound = clusters.build(*clusters.three_shards())
    stray = clusters.build(clusters.node("q", "10.9.9.9", answers=False))
    found = codes(ClusterSnapshot(sound.views, stray.unreachable))["not-a-member"]
    assert (
        found.text
        == "10.9.9.9:7000 does not answer (connection refused), and no node of the cluster knows it"
    )


def test_a_suspected_node_is_a_warning(clusters: Any) -> None:
    edit = {("a", "b"): {"flags": {"fail?"}}}
    found = codes(clusters.build(*clusters.three_shards(), edit=edit))["suspected"]
    assert (found.severity, found.nodes) == ("warning", (clusters.node_id("b"),))


def test_a_node_that_refuses_commands(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[4].info["cluster_state"] = "fail"
    assert codes(clusters.build(*specs))["state-fail"].text == "10.0.0.5:7004 says cluster_state:fail"


def test_a_node_with_another_map_is_named_with_the_slots(clusters: Any) -> None:
    edit = {("z", "b"): {"slots": clusters.slots("5461-10900")}}
    found = codes(clusters.build(*clusters.three_shards(), edit=edit))["map-disagreement"]
    assert found.nodes == (clusters.node_id("z"),)
    assert "10901-10922" in found.text


def test_a_node_that_misses_another(clusters: Any) -> None:
    specs = clusters.three_shards()
    whole, without_z = clusters.build(*specs), clusters.build(*specs[:5])
    snapshot = ClusterSnapshot((without_z.views[0], *whole.views[1:]))
    assert codes(snapshot)["stranger"].text == "10.0.0.1:7000 does not know 10.0.0.6:7005"


def test_a_missing_bus_link_is_a_warning_once(clusters: Any) -> None:
    specs = clusters.three_shards()
    edit = {("a", "z"): {"link_up": False}}
    assert codes(clusters.build(*specs, edit=edit))["bus-link"].severity == "warning"
    specs[5].answers = False
    assert "bus-link" not in codes(clusters.build(*specs, edit=edit))


def test_two_primaries_with_one_epoch(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].epoch = 1
    found = codes(clusters.build(*specs))["epoch-collision"]
    assert set(found.nodes) == {clusters.node_id("a"), clusters.node_id("b")}


def test_replication_links(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[3].info["master_link_status"] = "down"
    specs[4].info |= {"master_link_status": "down", "master_sync_in_progress": "1"}
    found = codes(clusters.build(*specs))
    assert (found["link-down"].severity, found["syncing"].severity) == ("warning", "info")


def test_a_primary_without_replicas(clusters: Any) -> None:
    found = codes(clusters.build(*clusters.three_shards()[:5]))["no-replica"]
    assert found.text == "10.0.0.3:7002 has no replica that is alive"


def test_a_primary_and_its_replica_on_one_host(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[3].host = "10.0.0.1"
    found = codes(clusters.build(*specs))["same-host"]
    assert (found.severity, len(found.nodes)) == ("warning", 2)


def test_a_cluster_on_one_host_is_an_info_and_no_problem(clusters: Any) -> None:
    specs = clusters.three_shards()
    for spec in specs:
        spec.host = "127.0.0.1"
    findings = check(clusters.build(*specs))
    assert [finding.code for finding in findings] == ["one-host"]
    assert not findings[0].is_problem


def test_a_host_with_most_primaries(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].host = "10.0.0.1"
    found = codes(clusters.build(*specs))["majority-on-one-host"]
    assert found.text == "2 of 3 primaries are on 10.0.0.1"


def test_fewer_than_three_primaries(clusters: Any) -> None:
    found = codes(clusters.build(clusters.node("a", slots="0-16383", epoch=1)))
    assert found["few-primaries"].text == "1 primary owns all slots"


def test_errors_come_before_warnings_before_infos(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots, specs[1].epoch = "", 1
    specs[5].answers = False
    severities = [finding.severity for finding in check(clusters.build(*specs))]
    assert severities == sorted(severities, key=("error", "warning", "info").index)
    assert {"error", "warning", "info"} == set(severities)


def test_many_ranges_are_shortened(clusters: Any) -> None:
    assert shortened(clusters.slots("1 3 5 7 9"), limit=2) == "1 3 and 3 more ranges"
