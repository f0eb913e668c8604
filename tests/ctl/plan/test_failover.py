"""ctl.plan.failover"""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.failover import plan_failover, probe_key, uninformed, unlinked, unsettled
from ctl.plan.steps import PlanError
from gossip.slots import key_slot


def test_a_replica_is_promoted_in_place_of_its_primary(clusters: Any) -> None:
    planned = plan_failover(clusters.build(*clusters.three_shards()), "10.0.0.5:7004", "graceful")
    assert (planned.replica.name, planned.primary.name) == ("10.0.0.5:7004", "10.0.0.2:7001")
    assert planned.command == ("CLUSTER", "FAILOVER")


def test_for_a_primary_its_most_advanced_replica_is_chosen(clusters: Any) -> None:
    specs = [
        *clusters.three_shards(),
        clusters.node("behind", "10.0.0.7", primary="a", info={"slave_repl_offset": "5"}),
        clusters.node("ahead", "10.0.0.8", primary="a", info={"slave_repl_offset": "99"}),
        clusters.node(
            "cut off",
            "10.0.0.9",
            primary="a",
            info={"slave_repl_offset": "100", "master_link_status": "down"},
        ),
    ]
    assert plan_failover(clusters.build(*specs), "7000", "graceful").replica.host == "10.0.0.8"


def test_the_command_says_the_way(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    assert plan_failover(snapshot, "7003", "force").command == ("CLUSTER", "FAILOVER", "FORCE")
    assert plan_failover(snapshot, "7003", "takeover").command == ("CLUSTER", "FAILOVER", "TAKEOVER")


def test_graceful_needs_a_primary_that_answers(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].answers = False
    snapshot = clusters.build(*specs)
    with pytest.raises(PlanError, match="does not answer") as caught:
        plan_failover(snapshot, "7003", "graceful")
    assert "--force" in caught.value.hint
    assert plan_failover(snapshot, "7003", "force").primary.name == "10.0.0.1:7000"


def test_graceful_needs_a_link_that_is_up(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[3].info["master_link_status"] = "down"
    with pytest.raises(PlanError, match="not in step"):
        plan_failover(clusters.build(*specs), "7003", "graceful")


def test_what_cannot_be_promoted(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[4].answers = False
    snapshot = clusters.build(*specs)
    with pytest.raises(PlanError, match="no node 9999 in the cluster"):
        plan_failover(snapshot, "9999", "graceful")
    with pytest.raises(PlanError, match=r"10.0.0.5:7004 does not answer"):
        plan_failover(snapshot, "7004", "force")
    with pytest.raises(PlanError, match=r"10.0.0.2:7001 has no replica that answers"):
        plan_failover(snapshot, "7001", "force")


def test_voters_that_do_not_know_the_replica_are_told(clusters: Any) -> None:
    specs = clusters.three_shards()
    planned = plan_failover(clusters.build(*specs), "7003", "graceful")
    assert uninformed(planned, clusters.build(*specs)) == []
    late = clusters.build(*specs, edit={("b", "x"): {"primary_id": None}})
    assert [str(address) for address in uninformed(planned, late)] == ["10.0.0.2:7001"]


def test_a_graceful_failover_waits_for_the_bus_link_to_the_primary(clusters: Any) -> None:
    specs = clusters.three_shards()
    snapshot = clusters.build(*specs, edit={("x", "a"): {"link_up": False}})
    assert unlinked(plan_failover(snapshot, "7003", "graceful"), snapshot) is not None
    assert unlinked(plan_failover(snapshot, "7003", "force"), snapshot) is None


def test_settled_when_every_view_has_the_replica_with_the_slots(clusters: Any) -> None:
    before = clusters.three_shards()
    planned = plan_failover(clusters.build(*before), "7003", "graceful")
    assert unsettled(planned, clusters.build(*before)) == "10.0.0.1:7000 has not heard of the promotion"
    after = clusters.three_shards()
    after[0].slots, after[0].primary, after[0].epoch = "", "x", 9
    after[3].slots, after[3].primary, after[3].epoch = "0-5460", None, 9
    assert unsettled(planned, clusters.build(*after)) is None
    late = clusters.build(*after, edit={("z", "x"): {"slots": clusters.slots("")}})
    assert unsettled(planned, late) == "10.0.0.6:7005 has not heard who owns the slots now"


def test_the_probe_key_is_in_the_shard(clusters: Any) -> None:
    for slots in ("0-5460", "16383", "77"):
        assert key_slot(probe_key(clusters.slots(slots), "probe")) in clusters.slots(slots)
