"""`ctl cluster doctor` on six nodes of ours and on six redis-servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

MIB = 1024 * 1024


@pytest.fixture
def owner(made: Any) -> Iterator[Redis]:
    """The primary of slots 0 to 5460."""
    with Redis(port=made.cluster.nodes[0].port) as client:
        yield client


def test_a_fresh_cluster_is_held_against_the_checklist(made: Any, owner: Redis) -> None:
    told = made.json("doctor", "--sample", "0", status=1)
    codes = {each["code"]: each for each in told["findings"]}
    assert {"no-maxmemory", "no-password"} <= set(codes)
    assert len(codes["no-maxmemory"]["nodes"]) == 6
    assert told["sampled_keys"] == 0
    assert all(each["explanation"] and each["action"] for each in told["findings"])
    assert not {"version-mix", "unreachable", "no-replica", "open-to-network"} & set(codes)


def test_big_and_hot_keys_are_found_and_sampling_is_bounded(made: Any, owner: Redis) -> None:
    owner.config_set("maxmemory-policy", "allkeys-lfu")
    owner.config_set("lfu-log-factor", "0")
    owner.set("{bar}big", b"x" * 2 * MIB)
    for number in range(300):
        owner.set(f"{{bar}}{number}", "x")
    with owner.pipeline(transaction=False) as pipe:
        for _ in range(250):
            pipe.get("{bar}7")
        pipe.execute()
    told = made.json("doctor", "--fail-on", "error", status=0)
    texts = {each["code"]: each["text"] for each in told["findings"]}
    assert "1 of 301 sampled keys" in texts["big-keys"]
    assert "{bar}big (2." in texts["big-keys"]  # the allocator rounds it up
    assert "{bar}7 (" in texts["hot-keys"]
    assert told["sampled_keys"] == 301
    assert made.json("doctor", "--sample", "50", status=1)["sampled_keys"] == 50


def test_it_is_read_as_check_is(made: Any) -> None:
    text = made("doctor", "--sample", "10", status=1)
    assert text.startswith("cluster ok · 3 primaries, 3 replicas")
    assert "warning  maxmemory is 0, no limit, on" in text
    assert "  → " in text
    assert "warnings · " in text


def test_a_sample_is_not_negative(made: Any) -> None:
    assert "--sample" in made("doctor", "--sample", "-1", status=2)
