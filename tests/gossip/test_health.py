"""Whether a node may serve: the specification's "Availability", and rejoining."""

from __future__ import annotations

from gossip.health import Down
from gossip.messages import Fail
from gossip.slots import SLOT_COUNT
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
