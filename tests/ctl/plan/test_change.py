"""ctl.plan.change and ctl.plan.change_file: plans that can be kept, and what makes them invalid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ctl.plan.change import (
    Attach,
    Change,
    Configure,
    Join,
    Leave,
    Move,
    Roster,
    Start,
    Stop,
    check_current,
    undo_of,
)
from ctl.plan.change_file import parse, to_json
from ctl.plan.steps import PlanError
from ctl.snapshot import Address
from gossip.slots import SlotSet

AT = Address("10.0.0.1", 7000)
STEPS = (
    Start(AT),
    Join("", AT),
    Move("a" * 40, "b" * 40, SlotSet([1, 2, 9]), 12, None),
    Attach("c" * 40, AT, "b" * 40, None),
    Leave("a" * 40, None),
    Stop(AT, remove=True),
    Configure({"maxmemory": "1"}, {"a" * 40: {"maxmemory": "0"}}, rewrite=True),
)


def change_for(snapshot: Any) -> Change:
    return Change("reshard", "a title", Roster.of(snapshot), STEPS, ("a risk",))


def test_a_plan_written_is_the_plan_read(clusters: Any) -> None:
    change = change_for(clusters.build(*clusters.three_shards()))
    assert parse(json.dumps(to_json(change))) == change


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda d: d.update(title="another"), "checksum"),
        (lambda d: d["steps"][2].update(slots=[[1, 3]]), "checksum"),
        (lambda d: d.update(format=2), "format 2"),
        (lambda d: d.pop("checksum"), "checksum"),
        (lambda d: d.pop("format"), "no plan of ctl"),
    ],
)
def test_a_plan_that_was_changed_or_is_of_another_version_is_refused(
    clusters: Any, edit: Any, why: str
) -> None:
    document: Any = to_json(change_for(clusters.build(*clusters.three_shards())))
    edit(document)
    with pytest.raises(PlanError, match=why):
        parse(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 1}'])
def test_what_is_no_plan(text: str) -> None:
    with pytest.raises(PlanError):
        parse(text)


def test_a_plan_is_for_the_cluster_as_it_was(clusters: Any) -> None:
    change = change_for(clusters.build(*clusters.three_shards()))
    check_current(change, clusters.build(*clusters.three_shards()))
    specs = clusters.three_shards()
    specs[0].slots, specs[1].slots = "0-5460 7000", "5461-6999 7001-10922"
    with pytest.raises(PlanError, match=r"10.0.0.1:7000 has 1 slot more"):
        check_current(change, clusters.build(*specs))
    with pytest.raises(PlanError, match=r"10.0.0.6:7005 is no member any more"):
        check_current(change, clusters.build(*clusters.three_shards()[:5]))
    with pytest.raises(PlanError, match=r"10.0.0.7:7006 is a new member"):
        check_current(change, clusters.build(*clusters.three_shards(), clusters.node("e", "10.0.0.7")))
    swapped = clusters.three_shards()
    swapped[0].primary, swapped[0].slots, swapped[3].primary, swapped[3].slots = "x", "", None, "0-5460"
    with pytest.raises(PlanError, match=r"10.0.0.1:7000 is a replica of 10.0.0.4:7003 now"):
        check_current(change, clusters.build(*swapped))
    with pytest.raises(PlanError, match="another cluster"):
        check_current(change, clusters.build(clusters.node("q", slots="0-16383")))


def test_epochs_and_addresses_are_not_the_topology(clusters: Any) -> None:
    one, other = clusters.three_shards(), clusters.three_shards()
    other[0].epoch, other[1].host = 77, "10.9.9.9"
    assert Roster.of(clusters.build(*one)).fingerprint == Roster.of(clusters.build(*other)).fingerprint


def test_a_shard_is_a_primary_and_its_replicas(clusters: Any) -> None:
    roster = Roster.of(clusters.build(*clusters.three_shards()))
    shard = {clusters.node_id("a"), clusters.node_id("x")}
    assert roster.shard_of(clusters.node_id("a")) == roster.shard_of(clusters.node_id("x")) == shard


def test_what_undoes_what() -> None:
    start, join, move, attach, leave, stop, configure = STEPS
    assert undo_of(start) == Stop(AT, remove=True)
    assert undo_of(join) == Leave("", AT)
    assert undo_of(move) == Move("b" * 40, "a" * 40, SlotSet([1, 2, 9]), 12, None)
    assert undo_of(attach) is None
    assert undo_of(Attach("c", AT, "new", "old")) == Attach("c", AT, "old", "new")
    assert undo_of(configure) == configure
    for step in (leave, stop):
        with pytest.raises(PlanError, match="gone too far"):
            undo_of(step)


def test_costs_are_unknown_when_one_is() -> None:
    moves = (Move("a", "b", SlotSet([1]), 5, 100), Move("a", "c", SlotSet([2]), 7, None))
    change = Change("reshard", "", Roster(()), moves)
    assert (change.slot_count, change.keys, change.size_bytes) == (2, 12, None)
