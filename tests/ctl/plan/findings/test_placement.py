"""ctl.plan.findings.placement: what the loss of a host or a zone would cost."""

from __future__ import annotations

from typing import Any

from ctl.plan.findings import placement
from ctl.survey import NodeFacts, Survey


def in_zones(clusters: Any, **zones: str) -> Survey:
    facts = {
        clusters.node_id(name): NodeFacts(config={"availability-zone": zone}) for name, zone in zones.items()
    }
    return Survey(clusters.build(*clusters.three_shards()), facts)


def test_nothing_is_said_where_no_zone_is_told(clusters: Any) -> None:
    assert list(placement.shared_zones(in_zones(clusters))) == []
    assert list(placement.shared_zones(in_zones(clusters, a="", x=""))) == []


def test_a_shard_in_one_zone_would_lose_its_slots(clusters: Any) -> None:
    [found] = placement.shared_zones(in_zones(clusters, a="z1", b="z2", c="z3", x="z1", y="z3", z="z2"))
    assert (found.severity, found.code) == ("warning", "same-zone")
    assert found.explanation == ("The loss of that zone (z1) would take both, and with them slots 0-5460.")


def test_a_replica_elsewhere_makes_it_an_info(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[3].host = "10.0.0.1"
    specs.append(clusters.node("w", "10.0.0.9", primary="a"))
    [found] = placement.shared_hosts(Survey(clusters.build(*specs)))
    assert (found.severity, found.code) == ("info", "same-host")
    assert "10.0.0.9:7006 is elsewhere" in found.explanation


def test_a_zone_with_the_majority_is_named_and_a_way_out(clusters: Any) -> None:
    found = list(placement.shared_zones(in_zones(clusters, a="z1", b="z1", c="z2", x="z3", y="z3", z="z1")))
    assert [each.code for each in found] == ["majority-in-one-zone"]
    assert found[0].action == "ctl cluster failover 10.0.0.4:7003"


def test_all_in_one_zone_is_an_info(clusters: Any) -> None:
    [found] = placement.shared_zones(in_zones(clusters, **dict.fromkeys("abcxyz", "z1")))
    assert (found.severity, found.code) == ("info", "one-zone")
