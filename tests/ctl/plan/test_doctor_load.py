"""ctl.plan.doctor_load: how a cluster fares, one item of the checklist a test, with made-up facts."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.plan.check import Finding
from ctl.plan.doctor_facts import MIB, Examination, NodeVitals, SampledKey, SlowCommand, size
from ctl.plan.doctor_load import LOOKS
from ctl.survey import Survey


def look(clusters: Any, info: dict[str, str] | None = None, **vitals: Any) -> list[Finding]:
    """The findings about a cluster whose first node has these facts."""
    specs = clusters.three_shards()
    specs[0].info = info or {}
    examination = Examination(Survey(clusters.build(*specs)), {clusters.node_id("a"): NodeVitals(**vitals)})
    return [finding for each in LOOKS for finding in each(examination)]


def told(clusters: Any, info: dict[str, str] | None = None, **vitals: Any) -> list[tuple[str, str]]:
    return [(found.code, found.severity) for found in look(clusters, info, **vitals)]


@pytest.mark.parametrize(
    ("used", "policy", "severity"),
    [
        (80, "noeviction", None),
        (81, "noeviction", "warning"),
        (95, "noeviction", "error"),
        (95, "volatile-lru", "error"),
        (99, "allkeys-lfu", "info"),
    ],
)
def test_memory_over_80_per_cent_matters_unless_it_is_a_cache(
    clusters: Any, used: int, policy: str, severity: str | None
) -> None:
    info = {"used_memory": str(used), "maxmemory": "100", "maxmemory_policy": policy}
    assert told(clusters, info) == ([("memory-high", severity)] if severity else [])
    assert told(clusters, info | {"maxmemory": "0"}) == []


@pytest.mark.parametrize(
    ("ratio", "used_mib", "code"),
    [("2.00", 200, "fragmentation"), ("9.00", 2, None), ("1.40", 900, None), ("0.50", 200, "swapped")],
)
def test_fragmentation_counts_where_it_is_more_than_the_program_itself(
    clusters: Any, ratio: str, used_mib: int, code: str | None
) -> None:
    info = {"mem_fragmentation_ratio": ratio, "used_memory": str(used_mib * MIB)}
    assert told(clusters, info) == ([(code, "warning")] if code else [])


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"evicted_keys": "5", "maxmemory_policy": "allkeys-lru"}, ("evictions", "info")),
        ({"evicted_keys": "5", "maxmemory_policy": "volatile-ttl"}, ("evictions", "warning")),
        ({"rejected_connections": "1"}, ("rejected-connections", "warning")),
        ({"connected_clients": "81", "maxclients": "100"}, ("clients-near-limit", "warning")),
        ({"latest_fork_usec": "1000000"}, ("slow-fork", "warning")),
        ({"latest_fork_usec": "999999"}, ("slow-fork", "info")),
        ({"latest_fork_usec": "99999"}, None),
        ({"connected_clients": "80", "maxclients": "100"}, None),
    ],
)
def test_a_counter_by_itself(clusters: Any, info: dict[str, str], expected: tuple[str, str] | None) -> None:
    assert told(clusters, info) == ([expected] if expected else [])


def test_a_backlog_is_held_against_the_writes_of_now(clusters: Any) -> None:
    info = {"repl_backlog_size": str(MIB)}
    assert told(clusters, info, written_bytes_per_s=MIB / 60) == []
    (found,) = look(clusters, info, written_bytes_per_s=MIB / 10)
    assert (found.code, found.severity) == ("small-backlog", "warning")
    assert "10.0.0.1:7000 (1.0 MiB at 102 KiB/s: 10 s)" in found.text


def test_slow_commands_of_the_last_hour_are_told_by_the_slowest(clusters: Any) -> None:
    old, quick, slow = (SlowCommand("KEYS", *took) for took in ((900_000, 3601), (20_000, 5), (100_000, 5)))
    assert told(clusters, slow=(old,)) == []
    assert told(clusters, slow=(old, quick)) == [("slow-commands", "info")]
    (found,) = look(clusters, slow=(old, quick, slow))
    assert found.severity == "warning"
    assert "2 slow commands in the last hour (KEYS); the slowest, KEYS, took 100 ms" in found.text


def test_big_keys_are_listed_largest_first_and_as_text(clusters: Any) -> None:
    small, noted = SampledKey(b"s", MIB - 1, None), SampledKey(b"n", MIB, None)
    assert told(clusters, keys=(small, SampledKey(b"untold", None, None))) == []
    assert told(clusters, keys=(small, noted)) == [("big-keys", "info")]
    (found,) = look(clusters, keys=(noted, small, SampledKey(b"\x1b[2J\xff", 10 * MIB, None)))
    assert found.severity == "warning"
    assert found.text.startswith("2 of 3 sampled keys on 10.0.0.1:7000 take 1 MiB or more: ")
    assert found.text.endswith(r"\x1b[2J\xff (10.0 MiB), n (1.0 MiB)")


def test_hot_keys_are_those_of_a_high_counter(clusters: Any) -> None:
    cool, warm, hot = (SampledKey(name, 50, often) for name, often in ((b"c", 99), (b"w", 100), (b"h", 255)))
    assert told(clusters, keys=(cool,)) == []
    (found,) = look(clusters, keys=(cool, warm, hot))
    assert (found.code, found.severity) == ("hot-keys", "info")
    assert found.text.endswith("h (255), w (100)")


@pytest.mark.parametrize(
    ("byte_count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * MIB, "5.0 MiB"), (3 << 40, "3072 GiB")],
)
def test_sizes_are_told_in_the_unit_that_fits(byte_count: int, text: str) -> None:
    assert size(byte_count) == text
