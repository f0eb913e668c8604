"""Times of commands: exact sums, runs of the same command, and how times become figures."""

from __future__ import annotations

import itertools

import pytest

from node.command.registry import TIME_UNIT_BITS
from node.observe.commandstats import histogram_us, percentiles_us, total_us
from node.server import dispatch

UNIT_NS = 1 << TIME_UNIT_BITS
TICK_NS = 128_000


@pytest.fixture
def ticks(monkeypatch):
    """Each reading of the clock is 128 microseconds after the one before."""
    readings = itertools.count(0, TICK_NS)
    monkeypatch.setattr(dispatch, "perf_counter_ns", lambda: next(readings))


def serve(client, *requests: str) -> None:
    client.node.dispatcher.serve(client.session, [request.encode().split() for request in requests], [])


def times(node, name: bytes) -> dict[int, int]:
    """Nanoseconds → calls."""
    return {time * UNIT_NS: count for time, count in node.table.find(name).times.items()}


def test_one_request_is_timed_alone(client, node, ticks):
    serve(client, "GET a")
    assert times(node, b"get") == {TICK_NS: 1}


def test_a_run_of_short_requests_takes_two_readings_and_counts_with_the_mean(client, node, ticks):
    serve(client, *["GET a"] * 4)
    assert times(node, b"get") == {TICK_NS // 4: 4}


def test_another_command_ends_the_run(client, node, ticks):
    serve(client, "GET a", "GET b", "SET a 1", "GET c")
    assert times(node, b"get") == {TICK_NS // 2: 2, TICK_NS: 1}
    assert times(node, b"set") == {TICK_NS: 1}


def test_the_full_path_ends_the_run_and_is_timed_alone(client, node, ticks):
    serve(client, "GET a", "GET b", "CLIENT ID", "GET c")
    assert times(node, b"get") == {TICK_NS // 2: 2, TICK_NS: 1}
    assert times(node, b"client|id") == {TICK_NS: 1}


def test_what_may_take_long_is_timed_alone(client, node, ticks):
    serve(
        client, *["LRANGE a 0 1"] * 3, *["HSET h a 1 b 2 c 3 d 4"] * 2, *["HSET g a 1"] * 2, *["SPOP s 9"] * 2
    )
    assert times(node, b"lrange") == {TICK_NS: 3}
    assert times(node, b"hset") == {TICK_NS: 2, TICK_NS // 2: 2}
    assert times(node, b"spop") == {TICK_NS: 2}


def test_a_long_request_behind_short_ones_is_no_part_of_their_run(client, node, ticks):
    serve(client, "HSET g a 1", "HSET h a 1 b 2 c 3 d 4", "HSET g a 1")
    assert times(node, b"hset") == {TICK_NS: 3}


def test_who_asks_for_less_than_a_millisecond_has_all_timed_alone(client, node, ticks):
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 999)
    serve(client, *["GET a"] * 3)
    assert times(node, b"get") == {TICK_NS: 3}
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 1000)
    serve(client, *["GET a"] * 2)
    assert times(node, b"get") == {TICK_NS: 3, TICK_NS // 2: 2}


def test_commands_of_a_transaction_are_timed_each_and_with_exec(client, node, ticks):
    serve(client, "MULTI", "GET a", "GET b", "EXEC")
    assert times(node, b"get") == {TICK_NS: 2}
    assert times(node, b"exec") == {5 * TICK_NS: 1}


def told(client, section: str) -> dict[str, str]:
    lines = client.call("INFO", section).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_info_tells_calls_and_their_time(client, ticks):
    serve(client, *["GET a"] * 4)
    serve(client, "GET a")
    assert told(client, "commandstats")["cmdstat_get"] == (
        "calls=5,usec=256,usec_per_call=51.26,rejected_calls=0,failed_calls=0"
    )


def test_failed_and_rejected_calls_are_told_apart(client):
    client.call("SET", "a", "x")
    client.error("LPUSH", "a", 1)
    client.error("LPUSH", "a")
    client.error("AUTH", "x")
    client.call("MULTI")
    client.call("INCR", "a")
    client.raw("EXEC")
    client.error("EXEC")
    stats = told(client, "commandstats")
    assert stats["cmdstat_lpush"].startswith("calls=1,")
    assert stats["cmdstat_lpush"].endswith(",rejected_calls=1,failed_calls=1")
    assert stats["cmdstat_auth"].endswith(",rejected_calls=0,failed_calls=1")
    assert stats["cmdstat_incr"].endswith(",rejected_calls=0,failed_calls=1")
    assert stats["cmdstat_exec"].endswith(",failed_calls=1")


def test_a_command_that_was_only_rejected_is_told(client):
    client.error("GET")
    assert told(client, "commandstats")["cmdstat_get"] == (
        "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0"
    )


def test_resetstat_forgets_times(client, node):
    serve(client, "GET a")
    client.error("GET")
    client.call("CONFIG", "RESETSTAT")
    assert times(node, b"get") == {}
    assert not {name for name in told(client, "commandstats") if name.startswith("cmdstat_get")}


def test_latencystats_tell_the_percentiles_asked_for_unless_tracking_is_off(client, ticks):
    serve(client, *["GET a"] * 64)
    serve(client, "GET a")
    client.call("CONFIG", "SET", "latency-tracking-info-percentiles", "50 99.9")
    assert told(client, "latencystats")["latency_percentiles_usec_get"] == "p50=2.047,p99.9=128.127"
    client.call("CONFIG", "SET", "latency-tracking", "no")
    assert told(client, "latencystats") == {}
    assert client.call("LATENCY", "HISTOGRAM") == []


def test_percentiles():
    """A percentile is a time that at least so many per cent of the calls did not exceed."""
    spread = dict.fromkeys(range(100), 1)
    units = [us * 1000 // UNIT_NS for us in percentiles_us(spread, [0, 1, 50, 99, 99.9, 100])]
    assert units == [0, 0, 49, 98, 99, 99]


def test_the_histogram_is_cumulated_by_powers_of_two():
    """As redis-server's: 1 holds what took up to 1023 ns, 2 up to 2047 ns, …; empty steps are left out."""
    counts = {0: 1, 1023 // UNIT_NS: 2, 1024 // UNIT_NS: 4, 10_000 // UNIT_NS: 8}
    assert histogram_us(counts) == [(1, 3), (2, 7), (16, 15)]


def test_compacting_keeps_calls_sum_and_percentiles(node):
    get = node.table.find(b"GET")
    get.times.update(dict.fromkeys(range(0, 200000, 7), 1))
    calls, us, percentiles = len(get.times), total_us(get.times), percentiles_us(get.times, [50, 99])
    node.timing.compact(node.table)
    assert len(get.times) < 1200
    assert sum(get.times.values()) == calls
    assert total_us(get.times) == pytest.approx(us, rel=0.001)
    assert percentiles_us(get.times, [50, 99]) == pytest.approx(percentiles, rel=0.02)
    get.times[0] += 1  # still counts what was not there
