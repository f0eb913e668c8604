"""Whole clusters of cores in virtual time: scenarios, random faults by seed, and whether the checkers check.

A failing seed prints how to play it again. `SHOAL_SEEDS=100:200` chooses others than the default ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gossip.admin import FailoverMode
from gossip.context import Context
from gossip.messages import AuthAck, AuthRequest, Header, NodeFlag
from gossip.nodes_conf import NodesConf, parse, render
from gossip.settings import Settings
from gossip.slots import SlotSet
from gossip.testing import scenarios
from gossip.testing.chaos import play
from gossip.testing.checkers import InvariantError, Safety, unsettled
from gossip.testing.cluster import Cluster

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
FIRST_SEED, END_SEED = map(int, os.environ.get("SHOAL_SEEDS", "0:24").split(":"))
FAST = Settings(node_timeout_ms=2_000)


# --- scenarios ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """The file says what must happen, and why."""
    scenarios.run(path.read_text())


def test_a_failed_expectation_names_its_line_and_shows_what_happened() -> None:
    with pytest.raises(AssertionError, match="expected role 1 replica, but it is a primary") as caught:
        scenarios.run("crash 2\n\nexpect role 1 replica\n")
    assert caught.value.__notes__[0] == "line 3: expect role 1 replica"
    assert "2 crashes" in caught.value.__notes__[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("explode 1", "line 1: 'explode 1': no such step"),
        ("advance 5", "'5' is no length of time"),
        ("advance 5s\nnodes 3", "line 2: 'nodes 3': comes too late"),
        ("set colour red", "no setting colour"),
        ("within 5s crash 1", "`within` waits for what is expected"),
    ],
)
def test_a_line_not_understood_is_refused(text: str, problem: str) -> None:
    with pytest.raises(scenarios.ScenarioError, match=problem):
        scenarios.run(text)


def test_a_trace_that_differs_is_shown() -> None:
    with pytest.raises(AssertionError, match="the trace is\n1 crashes"):
        scenarios.run("watch\ncrash 1\ntrace\n2 crashes\n")


# --- random faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(FIRST_SEED, END_SEED), ids="seed-{}".format)
def test_random_faults(seed: int) -> None:
    """Six nodes with a replica each, or nine with two: rules hold at all times, and all ends well."""
    node_count, replicas = (9, 2) if seed % 3 == 2 else (6, 1)
    play(seed, node_count, replicas, chaos_ms=30_000)


@pytest.mark.parametrize("seed", range(500, 508), ids="seed-{}".format)
def test_random_faults_while_slots_move(seed: int) -> None:
    play(seed, 6, 1, chaos_ms=30_000, moves=True)


@pytest.mark.parametrize("seed", [1000, 1001], ids="seed-{}".format)
def test_random_faults_among_thirty_nodes(seed: int) -> None:
    play(seed, 30, 1, chaos_ms=8_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10_000, 10_300), ids="seed-{}".format)
def test_many_random_faults(seed: int) -> None:
    node_count, replicas = (9, 2) if seed % 3 == 2 else (6, 1)
    play(seed, node_count, replicas, chaos_ms=120_000, moves=seed % 2 == 1)


@pytest.mark.slow
def test_two_hundred_nodes_replace_five_primaries() -> None:
    """Five machines of a hundred shards lose power at once; soon after the time-out all is served."""
    cluster = Cluster(1, 200, Settings(node_timeout_ms=10_000))
    cluster.form(replicas=1)
    cluster.advance(8_000)
    assert unsettled(cluster.cores()) is None
    for number in range(1, 6):
        cluster.power_off(number)
    assert cluster.advance_until(
        lambda: all(cluster.core(100 + number).state.me.is_primary for number in range(1, 6)), 20_000, 500
    )
    assert cluster.advance_until(lambda: all(core.ok for core in cluster.cores()), 5_000, 500)


# --- determinism -------------------------------------------------------------------------------------------

DIGEST_SCRIPT = "from gossip.testing.chaos import play; print(play(7, 6, 1, 20_000).digest)"


def test_a_seed_determines_the_run() -> None:
    """Byte for byte and in another process too, where hashes of texts and addresses differ."""
    here = play(7, 6, 1, chaos_ms=20_000).digest
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    there = subprocess.run(
        [sys.executable, "-c", DIGEST_SCRIPT], capture_output=True, text=True, check=True, env=environment
    )
    assert int(there.stdout) == here
    assert play(8, 6, 1, chaos_ms=20_000).digest != here


def without_fsync(save: Callable[..., None]) -> Callable[..., None]:
    def save_without_fsync(self: Context, *, fsync: bool = False) -> None:
        save(self)

    return save_without_fsync


def test_a_failure_prints_its_seed_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that never waits for the disk is caught, the same way each time."""
    monkeypatch.setattr(Context, "save", without_fsync(Context.save))
    failures = []
    for _ in range(2):
        with pytest.raises(InvariantError) as caught:
            play(3, 6, 1, chaos_ms=30_000)
        failures.append((str(caught.value), caught.value.__notes__))
    assert failures[0] == failures[1]
    assert "on disk" in failures[0][0]
    assert failures[0][1][-1] == "seed 3: again with play(3, 6, 1, 30000, moves=False)"


# --- the checkers ------------------------------------------------------------------------------------------

NODE = "a" * 40
HEADER = Header(NODE, NodeFlag.PRIMARY, current_epoch=9, config_epoch=1, offset=0, slots=SlotSet())


def disk(current_epoch: int, last_vote_epoch: int) -> bytes:
    myself = parse(
        f"{NODE} :0@0 myself,master - 0 0 0 connected\nvars currentEpoch 0 lastVoteEpoch 0\n".encode()
    )
    return render(NodesConf(myself.records, current_epoch, last_vote_epoch))


def test_checker_knows_two_votes_in_one_epoch() -> None:
    safety = Safety()
    safety.about_to_send(1, 4, AuthAck(HEADER), disk(9, 9))
    safety.about_to_send(2, 5, AuthAck(HEADER), disk(9, 9))
    with pytest.raises(InvariantError, match="1 votes for 5 and 4 in epoch 9"):
        safety.about_to_send(1, 5, AuthAck(HEADER), disk(9, 9))


@pytest.mark.parametrize("durable", [None, disk(9, 8)])
def test_checker_knows_a_vote_that_is_not_on_disk(durable: bytes | None) -> None:
    with pytest.raises(InvariantError, match="sends a vote of epoch 9"):
        Safety().about_to_send(1, 4, AuthAck(HEADER), durable)


def test_checker_knows_a_request_in_an_epoch_that_is_not_on_disk() -> None:
    with pytest.raises(InvariantError, match="asks for votes in epoch 9 with 8"):
        Safety().about_to_send(4, 1, AuthRequest(HEADER), disk(8, 8))


def formed() -> Cluster:
    cluster = Cluster(5, 6, FAST)
    cluster.form(replicas=1)
    cluster.advance(5_000)
    assert unsettled(cluster.cores()) is None
    return cluster


def test_checker_knows_two_owners_under_one_epoch() -> None:
    cluster = formed()
    one, other = cluster.core(1).state, cluster.core(2).state
    other.assign(SlotSet([0]), other.me)
    cluster.safety.sample(cluster.cores())
    other.me.config_epoch = one.me.config_epoch
    with pytest.raises(InvariantError, match="own slots 0 in epoch 1"):
        cluster.safety.sample(cluster.cores())


def suspect(cluster: Cluster) -> None:
    state = cluster.core(3).state
    state.members[cluster.name_of(1)].pfail = True


def give_slot_twice(cluster: Cluster) -> None:
    state = cluster.core(2).state
    state.assign(SlotSet([0]), state.me)


def take_slot_away(cluster: Cluster) -> None:
    cluster.core(1).state.assign(SlotSet([0]), None)


def share_epoch(cluster: Cluster) -> None:
    cluster.core(2).state.me.config_epoch = cluster.core(1).state.me.config_epoch


def forget(cluster: Cluster) -> None:
    state = cluster.core(2).state
    state.remove(state.members[cluster.name_of(6)])


def follow_another(cluster: Cluster) -> None:
    state = cluster.core(2).state
    state.follow(state.members[cluster.name_of(4)], state.members[cluster.name_of(3)])


@pytest.mark.parametrize(
    ("spoil", "difference"),
    [
        (suspect, "is down"),
        (give_slot_twice, "slots 0 of .* have another owner"),
        (take_slot_away, "slots 0 have no owner"),
        (share_epoch, "have config epoch 1"),
        (forget, "misses"),
        (follow_another, "follows"),
    ],
)
def test_checker_knows_what_is_not_at_rest(spoil: Callable[[Cluster], None], difference: str) -> None:
    cluster = formed()
    spoil(cluster)
    assert re.search(difference, unsettled(cluster.cores()) or "")


# --- crashes at every point --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 4], ids=["old-primary", "voter", "replica"])
def test_a_crash_between_any_two_effects_of_a_failover_does_no_harm(number: int) -> None:
    """The node dies before its first, second, … effect of a manual fail-over; all recovers each time."""
    for effects_before in range(300):
        cluster = formed()
        struck = strike_after(cluster, number, effects_before)
        cluster.act(4, lambda core, now_ms: core.failover(FailoverMode.NORMAL, now_ms))
        cluster.advance(300)
        if not struck():
            assert effects_before > 10
            return
        assert cluster.settle(60_000) is None, f"crash before effect {effects_before}"
    pytest.fail("the fail-over never ended")


def strike_after(cluster: Cluster, number: int, effects_before: int) -> Callable[[], bool]:
    """Kill the node before that effect of its own; returns whether that has happened."""
    left = effects_before + 1

    def strike(node_number: int) -> bool:
        nonlocal left
        left -= node_number == number
        return left == 0 and node_number == number

    cluster.strike = strike
    return lambda: left <= 0
