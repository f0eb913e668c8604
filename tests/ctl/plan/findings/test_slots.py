"""ctl.plan.findings.slots: owners, open slots, keys in the wrong place."""

from __future__ import annotations

from typing import Any

from ctl.plan.findings import slots
from ctl.survey import NodeFacts, SlotMigration, Survey


def held(clusters: Any, **counts: dict[int, int]) -> dict[str, NodeFacts]:
    return {clusters.node_id(name): NodeFacts(slot_keys=by_slot) for name, by_slot in counts.items()}


def test_uncovered_slots_tell_whether_keys_are_left(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots = "5461-10000"
    survey = Survey(clusters.build(*specs), held(clusters, c={10001: 3}))
    [found] = slots.uncovered_slots(survey)
    assert "Nodes still hold 3 keys of them." in found.explanation
    assert found.action == "ctl cluster fix --cover-uncovered"
    assert found.slots.ranges() == [(10001, 10922)]


def test_two_claims_to_a_slot_are_an_error(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots = "5460-10922"
    [found] = slots.disputed_slots(Survey(clusters.build(*specs)))
    assert (found.severity, found.slots.ranges()) == ("error", [(5460, 5460)])
    assert found.text == "10.0.0.1:7000, 10.0.0.2:7001 each claim 1 slot: 5460"


def test_a_slot_open_at_both_ends_is_one_finding_with_its_keys(clusters: Any) -> None:
    a, b = clusters.node_id("a"), clusters.node_id("b")
    edit = {("a", "a"): {"migrating": {7: b}}, ("b", "b"): {"importing": {7: a}}}
    snapshot = clusters.build(*clusters.three_shards(), edit=edit)
    [found] = slots.open_slots(Survey(snapshot, held(clusters, a={7: 2}, b={7: 1})))
    assert found.text == (
        "1 slot from 10.0.0.1:7000 to 10.0.0.2:7001 open at both ends: 7;"
        " 10.0.0.1:7000 holds 2 keys, 10.0.0.2:7001 holds 1 key"
    )
    assert found.nodes == (a, b)


def test_a_slot_open_at_one_end_says_which(clusters: Any) -> None:
    a, b = clusters.node_id("a"), clusters.node_id("b")
    edit = {("a", "a"): {"migrating": {7: b}}, ("b", "b"): {"importing": {8: a}}}
    texts = [f.text for f in slots.open_slots(Survey(clusters.build(*clusters.three_shards(), edit=edit)))]
    assert texts == [
        "1 slot from 10.0.0.1:7000 to 10.0.0.2:7001 migrating, and the target does not import it: 7",
        "1 slot from 10.0.0.1:7000 to 10.0.0.2:7001 importing, and the source does not migrate it: 8",
    ]


def test_a_slot_migrating_to_a_node_that_nobody_knows_is_told_by_its_id(clusters: Any) -> None:
    edit = {("a", "a"): {"migrating": {7: "f" * 40}}}
    [found] = slots.open_slots(Survey(clusters.build(*clusters.three_shards(), edit=edit)))
    assert "from 10.0.0.1:7000 to ffffffff migrating" in found.text


def test_keys_in_another_nodes_slot_are_a_warning(clusters: Any) -> None:
    survey = Survey(clusters.build(*clusters.three_shards()), held(clusters, b={7: 2, 8: 1}, a={7: 5}))
    [found] = slots.foreign_keys(survey)
    assert (found.severity, found.code) == ("warning", "foreign-keys")
    assert found.text == "10.0.0.2:7001 holds 3 keys of 2 slots that 10.0.0.1:7000 owns: 7-8"


def test_keys_at_the_target_of_an_open_slot_are_no_strays(clusters: Any) -> None:
    edit = {("b", "b"): {"importing": {7: clusters.node_id("a")}}}
    snapshot = clusters.build(*clusters.three_shards(), edit=edit)
    assert list(slots.foreign_keys(Survey(snapshot, held(clusters, b={7: 2})))) == []


def test_atomic_migrations_are_told_once_and_warned_of_when_an_end_is_gone(clusters: Any) -> None:
    a, b = clusters.node_id("a"), clusters.node_id("b")
    job = SlotMigration("j1", "export", "7-8", a, b, "snapshotting", "")
    done = SlotMigration("j0", "export", "1-2", a, b, "success", "")
    facts = {a: NodeFacts(migrations=(job, done)), b: NodeFacts(migrations=(job,))}
    specs = clusters.three_shards()
    [found] = slots.migrations(Survey(clusters.build(*specs), facts))
    assert (found.severity, found.action) == ("info", "")
    specs[1].answers = False
    [found] = slots.migrations(Survey(clusters.build(*specs), facts))
    assert found.severity == "warning"
    assert "CANCELSLOTMIGRATIONS" in found.action
