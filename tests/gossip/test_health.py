"""Whether a node may serve: the specification's "Availability", and rejoining."""

from __future__ import annotations

from random import Random

from gossip.health import LATE_MS, Down
from gossip.messages import Fail
from gossip.settings import Settings
from gossip.slots import SLOT_COUNT
from gossip.testing.cluster import Cluster
from gossip.testing.town import SETTINGS, Town


def test_a_new_cluster_is_up_as_soon_as_all_slots_are_served(town: Town) -> None:
    a = town.add()
    assert (a.core.ok, a.core.down) == (False, Down.UNCOVERED)
    town.order(a, a.core.add_slots, range(SLOT_COUNT - 1))
    assert not a.core.ok
    town.order(a, a.core.add_slots, [SLOT_COUNT - 1])
    assert (a.core.ok, a.core.down) == (True, Down.NOT)
    assert a.logged("Cluster state changed: ok")


def test_without_full_coverage_what_is_there_is_served(town: Town) -> None:
    """cluster-require-full-coverage no."""
    a = town.add(SETTINGS.replace(require_full_coverage=False))
    assert not a.core.ok
    town.order(a, a.core.add_slots, [1])
    assert a.core.ok


def test_a_failed_owner_leaves_its_slots_uncovered(town: Town) -> None:
    a, b, c = town.cluster(3)
    town.say(b, a, Fail(b.header(), c.id))
    assert (a.core.ok, a.core.down) == (False, Down.UNCOVERED)
    assert a.logged("Cluster state changed: fail")


def test_the_minority_side_stops(town: Town) -> None:
    """A primary that cannot reach the majority of primaries refuses queries."""
    a, b, c = town.cluster(3, settings=SETTINGS.replace(require_full_coverage=False))
    town.isolate(a)
    town.until(lambda: not a.core.ok, 2_500)
    assert a.core.down is Down.MINORITY
    assert b.core.ok
    assert c.core.ok


def test_silence_of_the_majority_is_enough(town: Town) -> None:
    """It is counted from what was heard last; suspicion would be counted from the PING after that."""
    a, b, c = town.cluster(3)
    town.isolate(a)
    waited_ms = town.until(lambda: not a.core.ok, 2_500)
    assert SETTINGS.node_timeout_ms // 2 <= waited_ms <= SETTINGS.node_timeout_ms + 10
    assert a.core.down is Down.MINORITY
    assert not (a.sees(b).pfail and a.sees(c).pfail)


def test_one_that_is_heard_makes_a_majority_of_three(town: Town) -> None:
    a, b, c = town.cluster(3, settings=SETTINGS.replace(require_full_coverage=False))
    town.cut((a, b), (b, c))
    town.run(5 * SETTINGS.node_timeout_ms)
    assert (a.core.ok, b.core.ok, c.core.ok) == (True, False, True)


def test_long_intervals_between_pings_are_no_silence(town: Town) -> None:
    """cluster-ping-interval."""
    a, b, c = town.cluster(3, settings=SETTINGS.replace(node_timeout_ms=300, ping_interval_ms=600))
    for _ in range(1_000):
        town.run(10)
        assert a.core.ok
        assert b.core.ok
        assert c.core.ok


def test_who_was_held_up_reads_first_what_came_meanwhile(town: Town) -> None:
    """A timer that is late says that we were late with everything, with listening too."""
    a, b, c = town.cluster(3)
    town.until(lambda: town.now_ms - max(a.sees(b).data_received_ms, a.sees(c).data_received_ms) > 100, 5_000)
    a.core.woke_up(town.now_ms)
    town.freeze(a)
    town.run(SETTINGS.node_timeout_ms)
    town.thaw(a)
    a.core.tick(town.now_ms)
    assert a.core.ok
    town.carry_out(a)
    for _ in range(200):
        town.run(10)
        assert a.core.ok


def test_a_primary_cut_off_has_stopped_before_its_heir_serves() -> None:
    """Whenever the cut comes, and whatever the nodes had heard of each other by then."""
    timeout_ms = 2_000
    for seed in range(20):
        cluster = Cluster(seed, 6, Settings(node_timeout_ms=timeout_ms))
        cluster.form(replicas=1)
        cluster.advance(8_000 + Random(seed).randrange(3_000))
        assert all(core.ok for core in cluster.cores())
        cluster.partition([[1]])
        cut_ms = cluster.agenda.now_ms
        while not (cluster.core(4).state.me.is_primary and cluster.core(4).ok):
            assert cluster.agenda.now_ms < cut_ms + 2 * timeout_ms, f"seed {seed}: no fail-over"
            cluster.advance(5)
            if cluster.agenda.now_ms > cut_ms + timeout_ms + LATE_MS:
                assert not cluster.core(1).ok, f"seed {seed}"
        assert not cluster.core(1).ok, f"seed {seed}"


def test_back_from_a_minority_a_primary_waits_before_it_serves(town: Town) -> None:
    """The node time-out, between 0.5 and 5 seconds, for news of a fail-over to arrive."""
    a, _b, _c = town.cluster(3)
    town.isolate(a)
    town.until(lambda: a.core.down is Down.MINORITY, 2_500)
    town.heal()
    town.until(lambda: a.core.down is not Down.MINORITY, 2_500)
    assert a.core.down is Down.REJOINING
    assert 990 <= town.until(lambda: a.core.ok, 6_000) <= 1_010


def test_a_restarted_primary_waits_for_two_seconds_and_a_majority(town: Town) -> None:
    """It may have been replaced while it was away."""
    a, *_ = town.cluster(3)
    again = town.restart(a)
    assert (again.core.ok, again.core.down) == (False, Down.REJOINING)
    assert 1_990 <= town.until(lambda: again.core.ok, 6_000) <= 2_010


def test_a_restarted_primary_that_reaches_nobody_does_not_serve(town: Town) -> None:
    """Redis lets it serve after two seconds; it has then heard nothing of the others."""
    a, b, c = town.cluster(3, settings=SETTINGS.replace(node_timeout_ms=15_000))
    town.kill(b)
    town.kill(c)
    again = town.restart(a)
    town.run(10_000)
    assert (again.core.ok, again.core.down) == (False, Down.REJOINING)


def test_a_replica_elected_soon_after_its_restart_serves_at_once(town: Town) -> None:
    """A majority has just elected it; the delay of a restarted primary is not for it."""
    a, _b, _c, replica, *_ = town.cluster(3, replicas=1)
    town.kill(a)
    town.until(lambda: replica.core.ok and replica.core.state.me.is_primary, 5_000)
    again = town.restart(a)
    town.until(lambda: again.core.state.me.is_replica, 5_000)
    town.kill(replica)
    waited_ms = town.until(lambda: again.core.state.me.is_primary, 5_000)
    assert waited_ms < 1_500
    assert town.until(lambda: again.core.ok, 6_000) <= 50
