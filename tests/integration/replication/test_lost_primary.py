"""A primary that is restarted without its data: its replica does not copy the void."""

from __future__ import annotations

import signal
from typing import Any

import pytest

# {a} is slot 15495, of the third primary
FILL = [word for n in range(300) for word in (f"{{a}}{n}", "x")]


def test_in_a_cluster_the_replica_takes_over(lab: Any) -> None:
    """The primary comes back sooner than anybody misses it; it gets its data from who was its replica."""
    first, second, owner, replica = (lab.server("shoal", "--cluster-enabled", "yes") for _ in range(4))
    for at, server in enumerate((first, second, owner)):
        last = 16383 if at == 2 else at * 5461 + 5460
        server.call("CLUSTER", "ADDSLOTSRANGE", at * 5461, last)
        server.call("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
    for server in (second, owner, replica):
        server.call("CLUSTER", "MEET", "127.0.0.1", first.port)

    def agree() -> bool:
        return all(
            server.client.cluster("INFO")["cluster_state"] == "ok"
            and len(server.client.cluster("NODES")) == 4
            for server in (first, second, owner, replica)
        )

    lab.wait_until(agree, "the cluster is up")
    replica.call("CLUSTER", "REPLICATE", owner.call("CLUSTER", "MYID"))
    lab.wait_until(replica.is_linked, "the replica is connected")
    owner.call("MSET", *FILL)
    lab.in_step(owner, replica)
    digest = replica.digest()
    for other in (first, second):
        other.process.send_signal(
            signal.SIGSTOP
        )  # or a refused connection is evidence enough for a fail-over
    owner.end()
    owner.begin()
    for other in (first, second):
        other.process.send_signal(signal.SIGCONT)
    lab.wait_until(lambda: replica.call("ROLE")[0] == b"master", "the replica has taken over")
    lab.wait_until(owner.is_linked, "the old primary follows")
    lab.in_step(replica, owner)
    assert owner.digest() == digest
    assert "was restarted without its data" in replica.logged()


@pytest.mark.slow
def test_alone_it_keeps_what_it_has_if_told_so(lab: Any) -> None:
    """Nobody can elect it: it serves its data, and says why it does not follow, until told otherwise."""
    primary, replica, _ = lab.pair("shoal→shoal")
    replica.call("CONFIG", "SET", "replica-refuse-empty-primary", "yes")
    primary.call("MSET", *FILL)
    lab.in_step(primary, replica)
    primary.end()
    primary.begin()
    lab.wait_until(lambda: "was restarted without its data" in replica.logged(), "it is told")
    assert replica.call("DBSIZE") == 300
    replica.call("CONFIG", "SET", "replica-refuse-empty-primary", "no")
    lab.in_step(primary, replica)
    assert replica.call("DBSIZE") == 0
