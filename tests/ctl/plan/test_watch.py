"""ctl.plan.watch: what happened between two looks."""

from __future__ import annotations

from typing import Any

from ctl.plan.watch import Moving, Sample, events, lag_bytes, ops_per_s
from ctl.snapshot import ClusterSnapshot
from ctl.survey import SlotMigration
from gossip.slots import SlotSet


def at(second: float, snapshot: ClusterSnapshot, **more: Any) -> Sample:
    return Sample(1_700_000_000 + second, second, snapshot, **more)


def told(before: ClusterSnapshot, now: ClusterSnapshot) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in events(at(0, before), at(1, now))]


def test_nothing_happens_in_a_quiet_cluster(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    assert told(snapshot, snapshot) == []


def test_a_node_that_dies_and_is_replaced(clusters: Any) -> None:
    whole = clusters.build(*clusters.three_shards())
    specs = clusters.three_shards()
    specs[0].answers = False
    suspected = clusters.build(*specs, edit={(viewer, "a"): {"flags": {"fail?"}} for viewer in "bc"})
    assert told(whole, suspected) == [
        ("unreachable", "10.0.0.1:7000 does not answer: connection refused"),
        ("suspected", "10.0.0.1:7000 is PFAIL in the eyes of 10.0.0.2:7001, 10.0.0.3:7002"),
    ]
    specs[0].slots, specs[3].slots, specs[3].primary, specs[3].epoch = "", "0-5460", None, 10
    failed = clusters.build(*specs, edit={(viewer, "a"): {"flags": {"fail"}} for viewer in "bcxyz"})
    assert told(suspected, failed) == [
        ("role", "10.0.0.4:7003 is a primary now"),
        ("epoch", "10.0.0.4:7003 has a new configuration epoch: 1 → 10"),
        ("failed", "10.0.0.1:7000 is FAIL in the eyes of 5 nodes"),
        ("slots", "5,461 slots went from 10.0.0.1:7000 to 10.0.0.4:7003: 0-5460"),
    ]


def test_a_node_that_comes_back_claims_in_vain_what_it_had(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].answers = False
    specs[0].slots, specs[3].slots, specs[3].primary, specs[3].epoch = "", "0-5460", None, 10
    before = clusters.build(*specs)
    specs[0].answers, specs[0].slots = True, "0-5460"
    assert told(before, clusters.build(*specs)) == [("reachable", "10.0.0.1:7000 answers again")]


def test_who_joins_and_leaves(clusters: Any) -> None:
    specs = clusters.three_shards()
    six, five = clusters.build(*specs), clusters.build(*specs[:5])
    assert told(five, six) == [("joined", "10.0.0.6:7005 has joined as a replica")]
    assert told(six, five) == [("left", "10.0.0.6:7005 is no member any more")]


def test_links_states_and_restarts(clusters: Any) -> None:
    before = clusters.build(*clusters.three_shards())
    specs = clusters.three_shards()
    specs[3].info = {"master_link_status": "down", "run_id": "2"}
    specs[0].info = {"cluster_state": "fail"}
    assert told(before, clusters.build(*specs)) == [
        ("state", "cluster_state is fail now"),
        ("restarted", "10.0.0.4:7003 was started anew"),
        ("link", "10.0.0.4:7003's link to its primary is down"),
    ]


def test_moves_begin_and_end(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    a, b = clusters.node_id("a"), clusters.node_id("b")
    moving = (Moving(a, b, SlotSet([7, 8]), 3, 1),)
    [begun] = events(at(0, snapshot), at(1, snapshot, moving=moving))
    assert (begun.kind, begun.text) == ("move", "2 slots open, 10.0.0.1:7000 → 10.0.0.2:7001: 7-8")
    [ended] = events(at(0, snapshot, moving=moving), at(1, snapshot))
    assert ended.text == "no slot is open any more, 10.0.0.1:7000 → 10.0.0.2:7001"
    job = SlotMigration("j", "export", "0-9", a, b, "snapshotting", "")
    [state] = events(at(0, snapshot), at(1, snapshot, migrations=(job,)))
    assert state.text == "migration of slots 0-9, 10.0.0.1:7000 → 10.0.0.2:7001: snapshotting"


def test_silence_is_told_once(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    silent = at(1, snapshot, silent="none of 6 nodes answers")
    assert [each.kind for each in events(at(0, snapshot), silent)] == ["unreachable"]
    assert events(silent, silent) == []
    assert [each.text for each in events(silent, at(3, snapshot))] == ["nodes answer again"]


def test_rates_need_two_looks_at_one_process(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].info = {"total_commands_processed": "100", "run_id": "1"}
    before = at(10, clusters.build(*specs))
    specs[0].info = {"total_commands_processed": "400", "run_id": "1"}
    now = at(12, clusters.build(*specs))
    member = now.snapshot.member(clusters.node_id("a"))
    assert ops_per_s(before, now, member) == 150
    assert ops_per_s(None, now, member) is None
    specs[0].info = {"total_commands_processed": "5", "run_id": "2"}
    again = at(13, clusters.build(*specs))
    assert ops_per_s(now, again, again.snapshot.member(clusters.node_id("a"))) is None


def test_lag_is_never_negative(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].info = {"master_repl_offset": "5"}
    specs[1].info = {"master_repl_offset": "30"}
    snapshot = clusters.build(*specs)
    assert lag_bytes(snapshot, snapshot.member(clusters.node_id("x"))) == 0
    assert lag_bytes(snapshot, snapshot.member(clusters.node_id("y"))) == 20
