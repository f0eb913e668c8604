"""LATENCY: spikes, and the distribution of commands' times."""

from __future__ import annotations

import itertools

import pytest

from node.observe import latency as observe_latency
from node.server import dispatch


@pytest.fixture
def at(monkeypatch):
    """Sets the time, in seconds, that spikes happen at."""
    now = [1_700_000_000]
    monkeypatch.setattr(observe_latency.time, "time", lambda: now[0])

    def set_to(seconds: int) -> None:
        now[0] = 1_700_000_000 + seconds

    return set_to


@pytest.fixture
def spikes(client, node, at):
    """Records an event: (second, milliseconds) each."""
    client.call("CONFIG", "SET", "latency-monitor-threshold", 10)

    def record(event: bytes, *samples: tuple[int, float]) -> None:
        for second, took_ms in samples:
            at(second)
            node.latency.add(event, took_ms)

    return record


def test_what_is_below_the_threshold_is_no_spike(client, spikes):
    spikes(b"fork", (0, 9.9), (1, 10.0), (2, 30.7))
    assert client.call("LATENCY", "HISTORY", "fork") == [[1_700_000_001, 10], [1_700_000_002, 30]]
    client.call("CONFIG", "SET", "latency-monitor-threshold", 0)
    spikes_before = client.call("LATENCY", "LATEST")
    client.node.latency.add(b"fork", 1000)
    assert client.call("LATENCY", "LATEST") == spikes_before == [[b"fork", 1_700_000_002, 30, 30]]


def test_a_second_counts_with_its_worst(client, spikes):
    spikes(b"fork", (0, 50), (0, 20), (0, 60))
    assert client.call("LATENCY", "HISTORY", "fork") == [[1_700_000_000, 60]]


def test_the_last_160_are_kept_and_the_worst_of_all(client, spikes):
    spikes(b"fork", (0, 500), *((second, 20) for second in range(1, 201)))
    assert len(client.call("LATENCY", "HISTORY", "fork")) == 160
    assert client.call("LATENCY", "LATEST") == [[b"fork", 1_700_000_200, 20, 500]]


def test_reset_forgets_some_or_all(client, spikes):
    for event in (b"a", b"b", b"c"):
        spikes(event, (0, 50))
    assert client.call("LATENCY", "RESET", "a", "nosuch") == 1
    assert client.call("LATENCY", "RESET") == 2
    assert client.call("LATENCY", "LATEST") == []
    assert client.call("LATENCY", "HISTORY", "b") == []


@pytest.mark.parametrize(("request_line", "event"), [("KEYS x", b"command"), ("GET x", b"fast-command")])
def test_slow_commands_are_events_by_their_flag(client, node, monkeypatch, request_line, event):
    client.call("CONFIG", "SET", "latency-monitor-threshold", 5)
    readings = itertools.count(0, 7_000_000)
    monkeypatch.setattr(dispatch, "perf_counter_ns", lambda: next(readings))
    client.call(*request_line.split())
    monkeypatch.undo()
    ((name, _, took_ms, worst_ms),) = client.call("LATENCY", "LATEST")
    assert (name, took_ms, worst_ms) == (event, 7, 7)


def test_rounds_of_expiry_and_forks_are_events(client, node):
    client.call("CONFIG", "SET", "latency-monitor-threshold", 5)
    node.cron.on_expired(7.0)
    node.forks.on_fork(8.0)
    assert [event[0] for event in client.call("LATENCY", "LATEST")] == [b"expire-cycle", b"fork"]


def test_graph(client, spikes, at):
    spikes(b"fork", (0, 10), (60, 40), (100, 120))
    at(100)
    title, rule, *rows = client.call("LATENCY", "GRAPH", "fork").decode().splitlines()
    assert title == "fork - high 120 ms, low 10 ms (all time high 120 ms)"
    assert rule == "-" * 80
    assert rows == ["  #", "  |", " _|", "_||", "140", "m0s", " s "]
    assert client.error("LATENCY", "GRAPH", "x") == "ERR No samples available for event 'x'"


def test_doctor_says_what_was_seen_and_what_to_do(client, spikes):
    client.call("CONFIG", "SET", "latency-monitor-threshold", 0)
    assert b"CONFIG SET latency-monitor-threshold 100" in client.call("LATENCY", "DOCTOR")
    client.call("CONFIG", "SET", "latency-monitor-threshold", 10)
    assert client.call("LATENCY", "DOCTOR") == b"Nothing took 10 ms or more since recording began.\n"
    spikes(b"expire-cycle", (0, 20), (10, 40))
    report = client.call("LATENCY", "DOCTOR").decode()
    assert "expire-cycle: 2 spike(s), 30 ms on average (mean deviation 10 ms), one every 10.0 s; " in report
    assert "the worst took 40 ms." in report
    assert "active-expire-effort" in report
    assert "SLOWLOG" not in report
    spikes(b"command", (0, 20))
    assert "SLOWLOG GET" in client.call("LATENCY", "DOCTOR").decode()


def test_histogram_of_commands_and_of_all_of_a_container(client):
    client.call("SET", "a", 1)
    client.call("GET", "a")
    client.call("GET", "a")
    client.call("CLIENT", "ID")
    found = client.call("LATENCY", "HISTOGRAM", "get", "client", "nosuch", "del")
    names, figures = found[::2], found[1::2]
    assert names == [b"get", b"client|id"]
    label, calls, _, cumulated = figures[0]
    assert (label, calls) == (b"calls", 2)
    assert cumulated[-1] == 2
    assert b"set" in client.call("LATENCY", "HISTOGRAM")


def test_wrong_calls(client):
    assert client.error("LATENCY", "HISTORY").startswith("ERR wrong number of arguments")
    assert "LATENCY HELP" in client.error("LATENCY", "NOSUCH")
    assert client.call("LATENCY", "HELP")[-1] == b"    Print this help."
