"""ctl.plan.fix: what is repaired, and what is left to the operator."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.change import Leave
from ctl.plan.change_file import change_of, to_json
from ctl.plan.fix import Collision, Copy, Diagnosis, Wishes, plan_fix, same
from ctl.plan.repairs import Bump, Introduce, Settle
from ctl.plan.steps import PlanError
from ctl.plan.wording import step_title
from ctl.snapshot import ClusterSnapshot
from ctl.survey import NodeFacts, Survey


def diagnose(
    clusters: Any,
    snapshot: ClusterSnapshot,
    *collisions: Collision,
    wishes: Wishes = Wishes(),  # noqa: B008
    **held: dict[int, int],
) -> Diagnosis:
    facts = {clusters.node_id(name): NodeFacts(slot_keys=by_slot) for name, by_slot in held.items()}
    return plan_fix(Survey(snapshot, facts), collisions, wishes)


def opened(clusters: Any, *, source: bool, target: bool, slot: int = 7) -> ClusterSnapshot:
    """Slot 7 of a, on its way to b."""
    edit: dict[tuple[str, str], dict[str, Any]] = {}
    if source:
        edit["a", "a"] = {"migrating": {slot: clusters.node_id("b")}}
    if target:
        edit["b", "b"] = {"importing": {slot: clusters.node_id("a")}}
    built: ClusterSnapshot = clusters.build(*clusters.three_shards(), edit=edit)
    return built


def settled(diagnosis: Diagnosis) -> list[tuple[str, str, int]]:
    """(owner, slots, keys to move) of each Settle."""
    steps = [step for step in diagnosis.change.steps if isinstance(step, Settle)]
    return [(bytes.fromhex(step.owner[:2]).decode(), str(step.slots), step.keys) for step in steps]


def test_a_sound_cluster_needs_nothing(clusters: Any) -> None:
    diagnosis = diagnose(clusters, clusters.build(*clusters.three_shards()), a={7: 1}, b={6000: 2})
    assert (diagnosis.change.steps, diagnosis.left) == ((), ())


@pytest.mark.parametrize(
    ("source", "target", "held", "owner", "keys"),
    [
        (True, True, {}, "b", 0),  # both mean it
        (True, True, {"a": {7: 3}}, "b", 3),
        (True, True, {"a": {7: 3}, "b": {7: 2}}, "b", 3),
        (False, True, {"a": {7: 3}}, "a", 0),  # nothing has moved
        (False, True, {"a": {7: 3}, "b": {7: 2}}, "b", 3),
        (True, False, {"a": {7: 3}}, "a", 0),
        (True, False, {"b": {7: 2}}, "b", 0),
    ],
)
def test_an_open_slot_goes_forward_where_something_has_moved_and_back_where_nothing_has(
    clusters: Any, source: bool, target: bool, held: dict[str, dict[int, int]], owner: str, keys: int
) -> None:
    diagnosis = diagnose(clusters, opened(clusters, source=source, target=target), **held)
    assert settled(diagnosis) == [(owner, "7", keys)]
    assert diagnosis.left == ()


def test_a_slot_that_two_import_goes_back_to_its_owner(clusters: Any) -> None:
    a = clusters.node_id("a")
    edit = {("b", "b"): {"importing": {7: a}}, ("c", "c"): {"importing": {7: a}}}
    snapshot = clusters.build(*clusters.three_shards(), edit=edit)
    diagnosis = diagnose(clusters, snapshot, a={7: 1}, b={7: 2}, c={7: 3})
    assert settled(diagnosis) == [("a", "7", 5)]


def test_a_move_stopped_between_its_last_two_commands_is_finished(clusters: Any) -> None:
    """The source has given the slot away, the target has not been told: nobody claims it."""
    specs = clusters.three_shards()
    specs[0].slots = "0-6 8-5460"
    edit = {
        ("b", "b"): {"importing": {7: clusters.node_id("a")}},
        ("a", "b"): {"slots": clusters.slots("7 5461-10922")},
    }
    diagnosis = diagnose(clusters, clusters.build(*specs, edit=edit), b={7: 2})
    assert ("b", "7", 0) in settled(diagnosis)
    assert [left.code for left in diagnosis.left] == []


def test_an_open_slot_whose_other_end_is_silent_is_left(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].answers = False
    edit = {("a", "a"): {"migrating": {7: clusters.node_id("b")}}}
    diagnosis = diagnose(clusters, clusters.build(*specs, edit=edit))
    assert settled(diagnosis) == []
    [left] = diagnosis.left
    assert left.text == "slot 7 stays open: 10.0.0.2:7001 has a part in it and does not answer"


def test_an_open_slot_whose_other_end_is_no_member_goes_back(clusters: Any) -> None:
    edit = {("a", "a"): {"migrating": {7: "f" * 40}}}
    diagnosis = diagnose(clusters, clusters.build(*clusters.three_shards(), edit=edit), a={7: 1})
    assert settled(diagnosis) == [("a", "7", 0)]


def collision(clusters: Any, slot: int, *digests: str | None) -> Collision:
    names = ("a", "b")
    copies = (Copy(clusters.node_id(n), "string", d, 10) for n, d in zip(names, digests, strict=True))
    return Collision(slot, b"k", tuple(copies))


def test_a_key_with_two_values_keeps_its_slot_open_until_somebody_says_which(clusters: Any) -> None:
    snapshot = opened(clusters, source=True, target=True)
    two = collision(clusters, 7, "1", "2")
    diagnosis = diagnose(clusters, snapshot, two, a={7: 1}, b={7: 1})
    assert settled(diagnosis) == []
    [left] = diagnosis.left
    assert left.text == ("1 key of slot 7 is on 10.0.0.1:7000 and on 10.0.0.2:7001 with different values")
    assert left.action == "--keep source | target | newer, where target is 10.0.0.2:7001"
    told = diagnose(clusters, snapshot, two, wishes=Wishes(keep="target"), a={7: 1}, b={7: 1})
    assert settled(told) == [("b", "7", 1)]
    assert told.change.risks == (
        "1 key may have two values: the copy on the owner survives, the other is deleted.",
    )


def test_the_same_value_twice_is_no_question(clusters: Any) -> None:
    snapshot = opened(clusters, source=True, target=True)
    diagnosis = diagnose(clusters, snapshot, collision(clusters, 7, "1", "1"), a={7: 1}, b={7: 1})
    assert settled(diagnosis) == [("b", "7", 1)]


def test_copies_are_the_same_with_nearly_the_same_time_to_live() -> None:
    assert same(Copy("a", "string", "1", 1, 5000), Copy("b", "string", "1", 1, 4500))
    assert not same(Copy("a", "string", "1", 1, 5000), Copy("b", "string", "1", 1, 1000))
    assert not same(Copy("a", "string", "1", 1, 5000), Copy("b", "string", "1", 1, None))
    assert not same(Copy("a"), Copy("b"))


def test_foreign_keys_go_to_their_owner_and_those_on_both_sides_are_named(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    unread = Collision(7, b"k", (Copy(clusters.node_id("a"), "string", "1", 1), Copy(clusters.node_id("b"))))
    diagnosis = diagnose(clusters, snapshot, unread, a={7: 4}, b={7: 2, 8: 1})
    assert settled(diagnosis) == [("a", "7-8", 3)]
    [left] = diagnosis.left
    assert "key b'k' of slot 7 is on 10.0.0.1:7000 and on 10.0.0.2:7001" in left.text


def test_uncovered_slots_are_left_unless_asked_for(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots = "5461-10000"
    diagnosis = diagnose(clusters, clusters.build(*specs))
    assert settled(diagnosis) == []
    assert diagnosis.left[0].action.endswith("--cover-uncovered")


def test_uncovered_slots_go_where_their_keys_are_and_else_to_the_smallest(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots = "5461-10000"
    wishes = Wishes(cover_uncovered=True)
    diagnosis = diagnose(clusters, clusters.build(*specs), wishes=wishes, c={10001: 5}, a={10001: 1})
    assert ("c", "10001", 1) in settled(diagnosis)
    rest = {(owner, slots) for owner, slots, _ in settled(diagnosis)} - {("c", "10001")}
    assert rest == {("b", "10002-10922")}  # b is the smallest, and stays so
    assert diagnosis.change.risks[0].startswith("Slots that nobody holds keys of become writable")


def test_colliding_epochs_are_bumped_but_for_one(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].epoch = specs[2].epoch = 1
    steps = diagnose(clusters, clusters.build(*specs)).change.steps
    assert [step.node for step in steps if isinstance(step, Bump)] == [
        clusters.node_id("b"),
        clusters.node_id("c"),
    ]


def test_a_claim_that_others_do_not_believe_gets_a_new_epoch(clusters: Any) -> None:
    edit = {("z", "b"): {"slots": clusters.slots("5461-10900")}}
    [step] = diagnose(clusters, clusters.build(*clusters.three_shards(), edit=edit)).change.steps
    assert step == Bump(clusters.node_id("b"), "others do not believe its claim to slots 10901-10922")


def test_a_slot_that_two_claim_goes_to_the_larger_epoch_only_if_the_other_has_no_keys(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].slots = "0-5461"  # 5461 is b's as well, with the larger epoch
    snapshot = clusters.build(*specs)
    [step] = diagnose(clusters, snapshot, b={5461: 1}).change.steps
    assert isinstance(step, Bump)
    assert step.node == clusters.node_id("b")
    diagnosis = diagnose(clusters, snapshot, a={5461: 1}, b={5461: 1})
    assert diagnosis.change.steps == ()
    assert "whoever yields deletes its own" in diagnosis.left[0].text


def test_strangers_are_introduced_once(clusters: Any) -> None:
    specs = clusters.three_shards()
    whole, without_z = clusters.build(*specs), clusters.build(*specs[:5])
    alone = clusters.build(*specs[:1], specs[5])
    views = (without_z.views[0], *whole.views[1:5], alone.views[1])
    steps = diagnose(clusters, ClusterSnapshot(views)).change.steps
    pairs = [{step.node, step.other} for step in steps if isinstance(step, Introduce)]
    assert {clusters.node_id("a"), clusters.node_id("z")} in pairs
    assert len(pairs) == len({frozenset(pair) for pair in pairs})


def dead_shard(clusters: Any) -> ClusterSnapshot:
    """a and its replica are gone."""
    specs = clusters.three_shards()
    specs[0].answers = specs[3].answers = False
    edit = {(viewer, gone): {"flags": {"fail"}} for viewer in "bcyz" for gone in "ax"}
    built: ClusterSnapshot = clusters.build(*specs, edit=edit)
    return built


def test_dead_nodes_are_forgotten_only_where_named(clusters: Any) -> None:
    assert not diagnose(clusters, dead_shard(clusters)).change.steps
    wishes = Wishes(forget=("10.0.0.1:7000", "7003"))
    diagnosis = diagnose(clusters, dead_shard(clusters), wishes=wishes)
    assert [step.node for step in diagnosis.change.steps if isinstance(step, Leave)] == [
        clusters.node_id("a"),
        clusters.node_id("x"),
    ]
    assert "the keys of its slots 0-5460 are lost" in diagnosis.change.risks[0]
    assert [left.code for left in diagnosis.left] == ["uncovered-slots"]
    wishes = Wishes(forget=wishes.forget, cover_uncovered=True)
    owners = {owner for owner, _, _ in settled(diagnose(clusters, dead_shard(clusters), wishes=wishes))}
    assert owners == {"b", "c"}


def test_who_answers_or_has_an_heir_is_not_forgotten(clusters: Any) -> None:
    with pytest.raises(PlanError, match="a node that is alive is not forgotten"):
        diagnose(clusters, dead_shard(clusters), wishes=Wishes(forget=("7001",)))
    specs = clusters.three_shards()
    specs[0].answers = False
    with pytest.raises(PlanError, match="has a replica with its data"):
        diagnose(clusters, clusters.build(*specs), wishes=Wishes(forget=("7000",)))


def test_a_plan_can_be_written_and_read_back(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].epoch = 1
    edit = {("b", "b"): {"importing": {7: clusters.node_id("a")}}}
    change = diagnose(clusters, clusters.build(*specs, edit=edit), b={7: 1}).change
    assert change_of(to_json(change)) == change
    assert [step_title(step, change.roster) for step in change.steps] == [
        "give 10.0.0.2:7001 a new configuration epoch",
        "settle 1 slot on 10.0.0.2:7001: 7",
    ]
