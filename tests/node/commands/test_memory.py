"""MEMORY: estimates of keys, and where the server's memory goes."""

from __future__ import annotations

import gc

import pytest

from node.observe.memory import MemoryWatch, Usage, usage
from node.observe.memory_report import MemoryReport


def test_usage_of_no_key(client):
    assert client.call("MEMORY", "USAGE", "k") is None


def test_usage_grows_with_the_value_and_with_a_deadline(client):
    client.call("SET", "k", "v")
    small = client.call("MEMORY", "USAGE", "k")
    assert 70 < small < 150
    client.call("EXPIRE", "k", 100)
    assert small < client.call("MEMORY", "USAGE", "k") < 2 * small + 100
    client.call("SET", "k", "v" * 10_000)
    assert 10_000 < client.call("MEMORY", "USAGE", "k") < 10_300


@pytest.mark.parametrize(
    ("add", "words"),
    [("RPUSH", 1), ("SADD", 1), ("HSET", 2), ("ZADD", 2), ("XADD", 3)],
)
def test_usage_is_near_what_a_collection_takes(client, add, words):
    """Within a third of what the allocators say."""
    gc.collect()
    before = usage().used_bytes
    for number in range(20_000):
        member = [f"{number:08}" + "x" * 32]
        request = {1: member, 2: [str(number), *member], 3: ["*", "field", *member]}[words]
        client.call(add, "k", *request)
    taken = usage().used_bytes - before
    assert client.call("MEMORY", "USAGE", "k", "SAMPLES", 0) == pytest.approx(taken, rel=0.34)
    assert client.call("MEMORY", "USAGE", "k") == pytest.approx(taken, rel=0.5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["SAMPLES"], "ERR syntax error"),
        (["SAMPLES", "-1"], "ERR syntax error"),
        (["SAMPLES", "x"], "ERR value is not an integer or out of range"),
        (["FOO", "1"], "ERR syntax error"),
    ],
)
def test_usage_refuses_other_options(client, options, text):
    client.call("SET", "k", "v")
    assert client.error("MEMORY", "USAGE", "k", *options) == text


def test_usage_is_no_use_of_the_key(client, advance):
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    client.call("SET", "k", "v")
    advance(50_000)
    client.call("MEMORY", "USAGE", "k")
    assert client.call("OBJECT", "IDLETIME", "k") == 50


def test_stats_say_where_memory_goes(client):
    for number in range(3000):
        client.call("SET", f"k{number}", "v" * 100, "EX", 100)
    client.node.memory.startup_bytes = 1000  # this process has had other tests, and frees what they left
    told = client.call("MEMORY", "STATS")
    stats = dict(zip(told[::2], told[1::2], strict=True))
    assert stats[b"keys.count"] == 3000
    assert stats[b"peak.allocated"] >= stats[b"total.allocated"] > stats[b"startup.allocated"] > 0
    assert stats[b"overhead.total"] + stats[b"dataset.bytes"] == stats[b"total.allocated"]
    tables = dict(zip(stats[b"db.0"][::2], stats[b"db.0"][1::2], strict=True))
    assert tables[b"overhead.hashtable.main"] > 8 * 16384
    assert tables[b"overhead.hashtable.expires"] > 3000 * 50
    assert b"db.1" not in stats


def test_doctor_has_nothing_to_say_of_little(client):
    assert b"too little data" in client.call("MEMORY", "DOCTOR")


def test_doctor_finds_fragmentation_and_a_peak(client, monkeypatch):
    watch = MemoryWatch()
    watch.startup_bytes, watch.peak_bytes = 0, 100 << 20
    monkeypatch.setattr(watch, "look", lambda _share=1.0: Usage(20 << 20, 90 << 20))
    monkeypatch.setattr("node.observe.memory_report.private_bytes", lambda: 80 << 20)
    report = MemoryReport(watch, client.node.databases, list)
    advice = report.advice()
    assert "Peak" in advice
    assert "4.00 times" in advice
    assert "Clients" not in advice
    monkeypatch.setattr("node.observe.memory_report.private_bytes", lambda: 21 << 20)
    watch.peak_bytes = 21 << 20
    assert report.advice() == "No problem with memory was found."


def test_purge_and_malloc_stats(client):
    assert client.call("MEMORY", "PURGE") == b"OK"
    assert b"bytes in allocated blocks" in client.call("MEMORY", "MALLOC-STATS")


def test_help_names_all_subcommands(client):
    text = b"\n".join(client.call("MEMORY", "HELP"))
    for name in (b"DOCTOR", b"MALLOC-STATS", b"PURGE", b"STATS", b"USAGE"):
        assert name in text
