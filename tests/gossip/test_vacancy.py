"""A primary that was restarted without its data waits for its replicas: `gossip.vacancy`."""

from __future__ import annotations

from gossip.admin import FailoverMode
from gossip.health import Down
from gossip.messages import Fail
from gossip.testing.town import SETTINGS, Resident, Town


def come_back_empty(town: Town, node: Resident) -> Resident:
    again = town.restart(node)
    again.core.lost_data(town.now_ms)
    town.carry_out(again)
    return again


def until_it_waits(town: Town, node: Resident) -> None:
    """It would serve now, if there were no replicas to ask."""
    assert 1_990 <= town.until(lambda: node.core.down is Down.EMPTY, 6_000) <= 2_010
    assert node.logged("This master was restarted without its data")


def test_it_does_not_serve_before_its_replica_has_spoken(town: Town) -> None:
    a, *_ = town.cluster(3, replicas=1)
    again = come_back_empty(town, a)
    until_it_waits(town, again)
    town.run(2_900)
    assert (again.core.ok, again.core.down) == (False, Down.EMPTY)
    again.host.in_step = 1
    assert town.until(lambda: again.core.ok, 1_000) <= 110
    assert again.logged("No replica holds more than this master")


def test_every_replica_has_to_speak(town: Town) -> None:
    """One may have had nothing, and the other all."""
    a, *_ = town.cluster(3, replicas=2)
    again = come_back_empty(town, a)
    until_it_waits(town, again)
    again.host.in_step = 1
    town.run(1_000)
    assert again.core.down is Down.EMPTY
    again.host.in_step = 2
    town.until(lambda: again.core.ok, 1_000)


def test_a_replica_that_takes_over_ends_the_wait(town: Town) -> None:
    a, _b, _c, replica, *_ = town.cluster(3, replicas=1)
    again = come_back_empty(town, a)
    until_it_waits(town, again)
    town.order(replica, replica.core.failover, FailoverMode.FORCE)
    town.until(lambda: again.me.is_replica, 1_000)
    town.run(100)
    assert again.core.down is Down.NOT
    assert replica.me.is_primary
    assert replica.core.ok


def test_the_wait_is_bounded(town: Town) -> None:
    """Five seconds, or two node time-outs if these are longer."""
    for node_timeout_ms, limit_ms in ((1_000, 5_000), (4_000, 8_000)):
        here = Town()
        a, *_ = here.cluster(3, replicas=1, settings=SETTINGS.replace(node_timeout_ms=node_timeout_ms))
        again = come_back_empty(here, a)
        until_it_waits(here, again)
        assert limit_ms - 20 <= here.until(lambda again=again: again.core.ok, limit_ms * 2) <= limit_ms + 20
        assert again.logged("No replica has taken over or asked for our data")


def test_nobody_waits_for_a_replica_that_has_failed(town: Town) -> None:
    a, b, _c, replica, *_ = town.cluster(3, replicas=1)
    again = come_back_empty(town, a)
    until_it_waits(town, again)
    town.kill(replica)
    town.say(b, again, Fail(b.header(), replica.id))
    assert again.core.ok


def test_without_replicas_there_is_nobody_to_ask(town: Town) -> None:
    a, *_ = town.cluster(3)
    again = come_back_empty(town, a)
    assert 1_990 <= town.until(lambda: again.core.ok, 6_000) <= 2_010


def test_who_comes_back_with_its_data_does_not_ask(town: Town) -> None:
    a, *_ = town.cluster(3, replicas=1)
    again = town.restart(a)
    assert 1_990 <= town.until(lambda: again.core.ok, 6_000) <= 2_010


def test_it_is_asked_for_once(town: Town) -> None:
    """Served once, it serves: what its replicas do later says nothing about its own data."""
    a, *_ = town.cluster(3, replicas=1)
    again = come_back_empty(town, a)
    until_it_waits(town, again)
    again.host.in_step = 1
    town.until(lambda: again.core.ok, 1_000)
    again.host.in_step = 0
    town.run(1_000)
    assert again.core.ok
