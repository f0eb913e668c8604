"""ctl.plan.create"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ctl.plan.create import disagreement, plan_create, plan_layout, refuse_unless_empty, unsynchronised
from ctl.plan.steps import Await, PlanError, Send
from ctl.snapshot import NodeView


def empty_nodes(clusters: Any, *hosts: str) -> list[NodeView]:
    """Nodes that know nobody, one a host, ports 7000 and up."""
    views = []
    for number, host in enumerate(hosts):
        [view] = clusters.build(clusters.node(f"n{number}", host)).views
        address = replace(view.address, port=7000 + number)
        views.append(replace(view, address=address))
    return views


def test_six_nodes_make_three_shards_in_order_of_ports(clusters: Any) -> None:
    layout = plan_layout(empty_nodes(clusters, *["10.0.0.1"] * 6), 1)
    assert [shard.primary.address.port for shard in layout.shards] == [7000, 7001, 7002]
    assert [[r.address.port for r in shard.replicas] for shard in layout.shards] == [[7003], [7004], [7005]]
    assert layout.notes == ()


def test_replicas_stand_on_other_hosts_than_their_primaries(clusters: Any) -> None:
    layout = plan_layout(empty_nodes(clusters, "h1", "h1", "h2", "h2", "h3", "h3"), 1)
    assert {shard.primary.address.host for shard in layout.shards} == {"h1", "h2", "h3"}
    for shard in layout.shards:
        assert shard.primary.address.host not in {r.address.host for r in shard.replicas}


def test_nodes_that_are_over_become_further_replicas(clusters: Any) -> None:
    layout = plan_layout(empty_nodes(clusters, *["h"] * 7), 1)
    assert sorted(len(shard.replicas) for shard in layout.shards) == [1, 1, 2]


def test_a_compromise_is_noted(clusters: Any) -> None:
    layout = plan_layout(empty_nodes(clusters, "h1", "h1", "h1", "h2"), 1)
    assert any("same host" in note for note in layout.notes)
    assert any("Fewer than three" in note for note in layout.notes)


def test_too_few_nodes(clusters: Any) -> None:
    with pytest.raises(PlanError, match="1 node is too few for a primary with 1 replica"):
        plan_layout(empty_nodes(clusters, "h"), 1)


def test_a_node_in_a_cluster_is_refused_by_name(clusters: Any) -> None:
    nodes = [*empty_nodes(clusters, "h"), clusters.build(*clusters.three_shards()).views[1]]
    with pytest.raises(
        PlanError, match=r"not empty: 10.0.0.2:7001 is in a cluster already \(it knows 5 other"
    ):
        refuse_unless_empty(nodes)


def test_nodes_with_slots_or_keys_are_refused(clusters: Any) -> None:
    with_slots, with_keys = empty_nodes(clusters, "h1", "h2")
    [line] = with_slots.lines
    with_slots = replace(with_slots, lines=(replace(line, slots=clusters.slots("0-9")),))
    with_keys = replace(with_keys, info={"db0": "keys=3,expires=0,avg_ttl=0"})
    with pytest.raises(PlanError) as caught:
        refuse_unless_empty([with_slots, with_keys])
    assert "h1:7000 owns 10 slots" in caught.value.text
    assert "h2:7001 holds 3 keys" in caught.value.text


def test_the_steps_of_a_creation(clusters: Any) -> None:
    layout = plan_layout(empty_nodes(clusters, *["10.0.0.1"] * 6), 1)
    identities, join, attach, spread, agree, synchronise = plan_create(layout).stages
    commands = [step.command for step in identities.steps if isinstance(step, Send)]
    assert [c[2] for c in commands if c[1] == "SET-CONFIG-EPOCH"] == [1, 2, 3, 4, 5, 6]
    assert [c[2:] for c in commands if c[1] == "ADDSLOTSRANGE"] == [(0, 5460), (5461, 10922), (10923, 16383)]
    assert len(join.steps) == 15  # each pair once
    assert len(spread.steps) == 30  # and then in both directions
    replicate = [step for step in attach.steps if isinstance(step, Send)]
    assert [step.node.port for step in replicate] == [7003, 7004, 7005]
    assert {step.retry_on for step in replicate} == {"ERR Unknown node"}
    assert all(isinstance(stage.steps[0], Await) for stage in (agree, synchronise))


def test_meet_names_a_bus_port_that_is_not_the_usual_one(clusters: Any) -> None:
    first, second = empty_nodes(clusters, "h1", "h2")
    [line] = second.lines
    second = replace(second, lines=(replace(line, bus_port=5000),))
    layout = plan_layout([first, second], 0)
    assert plan_create(layout).stages[1].steps[0].command == ("CLUSTER", "MEET", "h2", 7001, 5000)  # type: ignore[union-attr]


def test_agreement_needs_every_view(clusters: Any) -> None:
    specs = clusters.three_shards()
    done = clusters.build(*specs)
    views = {view.myself.node_id: view for view in done.views}
    shards = plan_layout([views[clusters.node_id(name)] for name in "abcxyz"], 1)
    assert disagreement(shards, done) is None
    late_slots = clusters.build(*specs, edit={("z", "b"): {"slots": clusters.slots("")}})
    assert disagreement(shards, late_slots) == "10.0.0.6:7005 has not heard of the slots of 10.0.0.2:7001"
    late_role = clusters.build(*specs, edit={("a", "z"): {"primary_id": None}})
    assert disagreement(shards, late_role) == "10.0.0.1:7000 has not heard that 10.0.0.6:7005 is a replica"
    connecting = clusters.build(*specs, edit={("a", "z"): {"link_up": False}})
    assert disagreement(shards, connecting) == "10.0.0.1:7000 is still connecting to others"
    stranger = clusters.build(*specs, edit={("a", "z"): {"flags": {"handshake"}}})
    assert disagreement(shards, stranger) == "10.0.0.1:7000 does not know 1 of the others yet"
    specs[2].info["cluster_state"] = "fail"
    assert disagreement(shards, clusters.build(*specs)) == "10.0.0.3:7002 says cluster_state:fail"
    specs[2].answers = False
    assert disagreement(shards, clusters.build(*specs)) == "10.0.0.3:7002 does not answer: connection refused"


def test_synchronised_means_that_every_link_is_up(clusters: Any) -> None:
    replica = clusters.node("x", primary="a", info={"master_link_status": "down"})
    assert unsynchronised(clusters.build(replica)) == "10.0.0.1:7000 is still synchronising"
    assert unsynchronised(clusters.build(clusters.node("x", primary="a"))) is None
