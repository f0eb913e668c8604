"""A link that is cut and healed at random, under writes of every type: the same data in the end."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import pytest

KINDS = ["shoal→shoal", "redis→shoal", "shoal→redis"]


def slow(kinds: str) -> Any:
    """One of the parameters that only `make soak` takes."""
    return pytest.param(kinds, marks=pytest.mark.slow)


def disturb(lab: Any, proxies: list[Any], rng: random.Random, rounds: int, away_s: float) -> None:
    """Cuts links, keeps them cut for a while, and lets them heal, or cuts them again before they have."""
    for _ in range(rounds):
        proxy = rng.choice(proxies)
        proxy.is_open = rng.random() < 0.5
        proxy.cut()
        end_s = time.monotonic() + rng.uniform(0, away_s)
        lab.wait_until(lambda end_s=end_s: time.monotonic() > end_s, "the time is over")
        proxy.is_open = True
        end_s = time.monotonic() + rng.uniform(0, 2 * away_s)
        lab.wait_until(lambda end_s=end_s: time.monotonic() > end_s, "the time is over")


@pytest.mark.parametrize("kinds", [KINDS[0], *map(slow, KINDS[1:])])
def test_a_link_cut_again_and_again_with_enough_backlog(lab: Any, kinds: str) -> None:
    """One full synchronisation, the first; then the backlog has whatever was missed."""
    primary, replica, proxy = lab.pair(kinds, "--repl-backlog-size", "64mb")
    with lab.workload(primary.port, seed=5) as work:
        disturb(lab, [proxy], random.Random(5), rounds=5, away_s=0.1)
    lab.in_step(primary, replica)
    assert work.count > 100
    stats = primary.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"] > 0) == (1, True)


@pytest.mark.parametrize("kinds", [slow(KINDS[0]), *KINDS[1:]])
def test_a_link_cut_again_and_again_with_too_little_backlog(lab: Any, kinds: str) -> None:
    """Snapshots have to help out, with the stream joined to them exactly."""
    primary, replica, proxy = lab.pair(kinds, "--repl-backlog-size", "16kb")
    with lab.workload(primary.port, seed=6) as work:
        disturb(lab, [proxy], random.Random(6), rounds=4, away_s=0.3)
        seen = work.count
        lab.wait_until(lambda: work.count > seen + 500, "more is written")
    lab.in_step(primary, replica)
    assert primary.info("stats")["sync_full"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("backlog", ["16kb", "1mb"])
@pytest.mark.parametrize("kinds", [*KINDS, "redis→shoal→shoal", "shoal→redis→shoal", "shoal→shoal→redis"])
def test_soak_of_cut_links(lab: Any, kinds: str, backlog: str, seed: int) -> None:
    """Long, also in chains, whose links break one by one; snapshots by every way and under both loads."""
    rng = random.Random(seed)
    ways = {"shoal": ["disabled", "swapdb", "on-empty-db"], "redis": ["disabled", "swapdb"]}
    servers, proxies = [], []
    for kind in kinds.split("→"):
        diskless = ("--repl-diskless-load", rng.choice(ways[kind]), "--repl-diskless-sync")
        server = lab.server(kind, "--repl-backlog-size", backlog, *diskless, rng.choice(["yes", "no"]))
        if servers:
            proxies.append(lab.proxy(servers[-1]))
            server.follow(proxies[-1].port)
        servers.append(server)
    with lab.workload(servers[0].port, seed):
        disturb(lab, proxies, rng, rounds=20, away_s=0.4)
    lab.in_step(*servers)
    for server in servers:
        assert "CRITICAL" not in server.logged()


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["redis→shoal", "shoal→redis"])
def test_soak_of_a_mixed_workload(lab: Any, kinds: str) -> None:
    """A minute, or SHOAL_SOAK_S seconds, of everything over a link that holds, by two clients: the digests
    are equal every ten seconds. An hour of it:

        SHOAL_SOAK_S=3600 pytest -s -m slow tests/integration/replication/test_links.py -k mixed_workload
    """
    primary, replica, _ = lab.pair(kinds)
    last_s = time.monotonic() + float(os.environ.get("SHOAL_SOAK_S", "60"))
    written = seed = 0
    while time.monotonic() < last_s:
        end_s = time.monotonic() + 10
        with lab.workload(primary.port, seed) as one, lab.workload(primary.port, seed + 1) as other:
            lab.wait_until(lambda end_s=end_s: time.monotonic() > end_s, "the time is over")
        lab.in_step(primary, replica)
        written += one.count + other.count
        seed += 2
    print(f"{kinds}: {written:,} commands, digests equal {seed // 2} times")
    assert primary.info("stats")["sync_full"] == 1
    assert "CRITICAL" not in replica.logged()
