"""ctl.plan.backup and ctl.plan.restore: sources, the map before and after, the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ctl.plan.backup import (
    BackupError,
    Manifest,
    Shard,
    changed,
    choose_sources,
    from_json,
    slot_table,
    slots_of,
    slots_text,
    to_json,
)
from ctl.plan.restore import CONFLICTS_KEPT, Outcome, plan_restore
from ctl.plan.steps import PlanError


def shard(**words: Any) -> Shard:
    return Shard(
        **{
            "file": "shard-00.rdb",
            "primary": "a",
            "slots": "0-16383",
            "source": "a",
            "source_address": "h:1",
            "source_role": "primary",
            "server": "redis 7.0.15",
            "replication_id": "i",
            "offset": 7,
            "rdb_version": 10,
            "size_bytes": 9,
            "sha256": "s",
            "keys": 3,
            "expiring": 1,
            "foreign": 0,
            "databases": {"0": 3},
            "functions": 0,
            "took_ms": 1,
            "settings": {},
            **words,
        }
    )


def manifest(**words: Any) -> Manifest:
    return Manifest("2026-01-01", 1, 2, 3, "c", 6, (shard(**words),), ("a note",))


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises((PlanError, BackupError)) as caught:
        call()
    return caught.value.text


def test_primaries_give_their_shards_or_the_most_advanced_replica_does(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs.insert(1, clusters.node("x2", "10.0.0.9", primary="a", info={"slave_repl_offset": "99"}))
    snapshot = clusters.build(*specs)
    assert [s.giver.node_id for s in choose_sources(snapshot, replicas=False)] == [
        clusters.node_id(name) for name in "abc"
    ]
    assert [s.giver.node_id for s in choose_sources(snapshot, replicas=True)] == [
        clusters.node_id(name) for name in ("x2", "y", "z")
    ]


def test_what_cannot_be_whole_is_refused(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].answers = False
    assert "does not answer" in refusal(lambda: choose_sources(clusters.build(*specs), replicas=False))
    assert len(choose_sources(clusters.build(*specs), replicas=True)) == 3
    specs = clusters.three_shards()
    specs[0].slots = "0-5000"
    assert "have no owner" in refusal(lambda: choose_sources(clusters.build(*specs), replicas=False))
    specs = clusters.three_shards()[:3]
    assert "has no replica" in refusal(lambda: choose_sources(clusters.build(*specs), replicas=True))
    moving = {("a", "a"): {"migrating": {7: clusters.node_id("b")}}}
    snapshot = clusters.build(*clusters.three_shards(), edit=moving)
    assert "slot 7 is being moved" in refusal(lambda: choose_sources(snapshot, replicas=False))


def test_a_map_that_changed_meanwhile_is_noticed(clusters: Any) -> None:
    before = clusters.build(*clusters.three_shards())
    assert changed(before, clusters.build(*clusters.three_shards())) is None
    moved = clusters.three_shards()
    moved[0].slots, moved[1].slots = "0-5459", "5460-10922"
    assert "slots of 10.0.0.1:7000 have changed" in str(changed(before, clusters.build(*moved)))
    back = clusters.three_shards()
    back[2].epoch = 9  # a slot went away and came back
    assert "epoch" in str(changed(before, clusters.build(*back)))
    promoted = clusters.three_shards()
    promoted[3].slots, promoted[3].primary, promoted[0].slots, promoted[0].primary = "0-5460", None, "", "x"
    assert "own" in str(changed(before, clusters.build(*promoted)))


def test_slots_in_words_and_as_a_table() -> None:
    slots = slots_of("0-3,7,100-101")
    assert slots_text(slots) == "0-3,7,100-101"
    assert [slot for slot, there in enumerate(slot_table(slots)) if there] == [0, 1, 2, 3, 7, 100, 101]


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    text = json.dumps(to_json(manifest()))
    assert from_json(text) == manifest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format 2, this ctl reads up to 1"),
        ({"kind": "else"}, "not the manifest of a backup"),
        ({"keys": 4}, "was changed"),
        ({"checksum": "0"}, "was changed"),
        ({"notes": []}, "was changed"),
    ],
)
def test_a_manifest_that_is_new_changed_or_none_is_refused(changes: dict[str, Any], said: str) -> None:
    text = json.dumps({**to_json(manifest()), **changes})
    assert said in refusal(lambda: from_json(text))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "shoal-backup", "format": 1}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    assert refusal(lambda: from_json(text))


def test_a_file_outside_of_the_directory_is_refused() -> None:
    text = json.dumps(to_json(manifest(file="../passwd")))
    assert "passwd" in refusal(lambda: from_json(text))


def test_a_cluster_that_is_not_empty_is_refused_unless_it_is_said_whose_value_survives(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].info["db0"] = "keys=5,expires=0,avg_ttl=0"
    snapshot = clusters.build(*specs)
    assert "it has 4 keys" in refusal(lambda: plan_restore(manifest(), snapshot, "refuse", 1))
    assert plan_restore(manifest(), snapshot, "refuse", 5).risks == ("a note",)
    assert "replaced" in plan_restore(manifest(), snapshot, "replace", 0).risks[-1]
    assert "left as they are" in plan_restore(manifest(), snapshot, "skip", 0).risks[-1]


def test_other_databases_are_refused(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    said = refusal(lambda: plan_restore(manifest(databases={"0": 1, "3": 2}), snapshot, "refuse", 0))
    assert "database 3" in said


def test_a_cluster_that_is_not_well_is_refused(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[2].answers = False
    assert "does not answer" in refusal(lambda: plan_restore(manifest(), clusters.build(*specs), "refuse", 0))


def test_conflicts_are_counted_and_the_first_are_kept() -> None:
    outcome = Outcome()
    for number in range(CONFLICTS_KEPT + 5):
        outcome.conflict(b"%d" % number)
    assert outcome.conflict_count == CONFLICTS_KEPT + 5
    assert len(outcome.conflicts) == CONFLICTS_KEPT
