"""FAILOVER between processes of either make: roles change, and nothing that was acknowledged is lost."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import redis

KINDS = ["shoal→shoal", "redis→shoal", "shoal→redis"]


def told(server: Any) -> tuple[str, str]:
    said = server.info("replication")
    return said["role"], said["master_failover_state"]


@pytest.mark.parametrize("kinds", KINDS)
def test_roles_change_and_nothing_is_lost(lab: Any, kinds: str) -> None:
    """A writer that is refused in the end finds all it wrote on the new primary; no snapshot is needed."""
    first, _, second = kinds.partition("→")
    primary, replica = lab.server(first), lab.server(second)
    replica.follow(primary.port)
    lab.wait_until(replica.is_linked, "the replica is connected")
    acknowledged = 0
    primary.call("SET", "before", "x")
    assert primary.call("FAILOVER", "TIMEOUT", 10_000) == b"OK"
    with contextlib.suppress(redis.ReadOnlyError):
        while True:
            acknowledged = primary.call("INCR", "n")
    lab.wait_until(primary.is_linked, "the old primary follows")
    assert told(replica) == ("master", "no-failover")
    assert told(primary) == ("slave", "no-failover")
    assert int(replica.call("GET", "n") or 0) == acknowledged
    replica.call("SET", "after", "y")
    lab.in_step(replica, primary)
    stats = replica.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (0, 1)


def test_siblings_follow_through_a_failover(lab: Any) -> None:
    """The one that is named takes over; a sibling and the old primary go on from where they were."""
    old, heir, sibling = lab.server("shoal"), lab.server("shoal"), lab.server("shoal")
    for replica in (heir, sibling):
        replica.follow(old.port)
        lab.wait_until(replica.is_linked, "it is connected")
    assert old.call("FAILOVER", "TO", "127.0.0.1", heir.port) == b"OK"
    lab.wait_until(lambda: told(heir)[0] == "master" and old.is_linked(), "roles have changed")
    heir.call("SET", "k", "v")
    lab.in_step(heir, old, sibling)  # the sibling stays with the old primary, which passes the stream on
    assert sibling.info("replication")["master_port"] == old.port
    assert heir.info("stats")["sync_full"] == 0


def test_a_failover_that_cannot_be_is_given_up(lab: Any) -> None:
    """A replica that is behind and does not catch up: writes go on after the time-out, or after ABORT."""
    primary, replica, proxy = lab.pair("shoal→shoal")
    proxy.stall()
    primary.call("SET", "k", "x" * 1000)
    assert primary.call("FAILOVER", "TIMEOUT", 200) == b"OK"
    assert told(primary) == ("master", "waiting-for-sync")
    assert primary.call("SET", "k", "written after the pause")
    assert told(primary) == ("master", "no-failover")
    assert "Replica never caught up before timeout" in primary.logged()
    assert primary.call("FAILOVER") == b"OK"
    assert primary.call("FAILOVER", "ABORT") == b"OK"
    assert primary.call("SET", "k", "again")
    proxy.go_on()
    lab.in_step(primary, replica)
    assert primary.info("stats")["sync_full"] == 1


@pytest.mark.slow
def test_force_asks_a_replica_that_is_behind(lab: Any) -> None:
    """With FORCE it takes over though it lacks something; what it lacks is gone, for the old primary too."""
    primary, replica, proxy = lab.pair("shoal→shoal")
    proxy.stall()
    primary.call("SET", "lost", "x")
    options = ("TO", "127.0.0.1", replica.port, "FORCE", "TIMEOUT", 100)
    assert primary.call("FAILOVER", *options) == b"OK"
    lab.wait_until(lambda: told(replica)[0] == "master", "it has taken over")
    lab.in_step(replica, primary)
    assert primary.call("GET", "lost") is None


@pytest.mark.slow
def test_a_target_that_refuses_leaves_the_primary_in_place(lab: Any) -> None:
    """PSYNC … FAILOVER to one that follows somebody else by then."""
    primary, other = lab.server("shoal"), lab.server("shoal")
    replica = lab.server("shoal")
    proxy = lab.proxy(primary)
    replica.follow(proxy.port)
    lab.wait_until(replica.is_linked, "it is connected")
    proxy.stall()
    replica.follow(other.port)
    lab.wait_until(replica.is_linked, "it follows another one")
    options = ("TO", "127.0.0.1", replica.port, "FORCE", "TIMEOUT", 100)
    assert primary.call("FAILOVER", *options) == b"OK"
    lab.wait_until(lambda: "rejected psync request" in primary.logged(), "it is refused")
    lab.wait_until(lambda: told(primary) == ("master", "no-failover"), "it is a primary again")
    assert primary.call("SET", "k", "v")
    assert "replid must match my replid" in primary.logged()
