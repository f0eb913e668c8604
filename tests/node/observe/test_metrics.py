"""Metrics: what is exported is what INFO tells, under the names dashboards expect, over HTTP."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from node.observe import metrics_http
from node.observe.metrics_http import serve_metrics
from node.server.listen import tcp_listeners

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "shoal.json"


def samples(node) -> dict[tuple[str, str], float]:
    """(name, value of the first label or nothing) → value."""
    found = {}
    for family in text_string_to_metric_families(node.metrics().decode()):
        for sample in family.samples:
            found[sample.name, next(iter(sample.labels.values()), "")] = sample.value
    return found


def test_values_are_those_of_info(client, node):
    client.call("SET", "a", 1, "EX", 100)
    client.call("SET", "b", 1)
    client.call("GET", "a")
    client.call("GET", "nosuch")
    client.error("LPUSH", "a", 1)
    client.error("GET")
    found = samples(node)
    assert found["redis_up", ""] == 1
    assert found["redis_connected_clients", ""] == 1
    assert found["redis_memory_used_bytes", ""] > 1_000_000
    assert found["redis_keyspace_hits_total", ""] == 1
    assert found["redis_keyspace_misses_total", ""] == 1
    assert found["redis_db_keys", "db0"] == 2
    assert found["redis_db_keys_expiring", "db0"] == 1
    assert 90 < found["redis_db_avg_ttl_seconds", "db0"] <= 100
    assert found["redis_commands_total", "get"] == 2
    assert 0 < found["redis_commands_duration_seconds_total", "get"] < 1
    assert found["redis_commands_failed_calls_total", "lpush"] == 1
    assert found["redis_commands_rejected_calls_total", "get"] == 1
    assert found["redis_errors_total", "WRONGTYPE"] == 1
    assert found["redis_rdb_last_bgsave_status", ""] == 1
    assert b'role="master"' in node.metrics()


def test_slow_calls_and_spikes(client, node):
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 0, "latency-monitor-threshold", 1)
    client.call("GET", "a")
    node.latency.add(b"fork", 250)
    found = samples(node)
    assert found["redis_slowlog_length", ""] == 2
    assert found["redis_slowlog_last_id", ""] == 1
    assert found["redis_latency_spike_duration_seconds", "fork"] == 0.25


def test_the_dashboard_names_only_what_is_exported(node):
    names = set(re.findall(r"\bredis_[a-z_]+", DASHBOARD.read_text()))
    exported = {line.split()[2] for line in node.metrics().decode().splitlines() if line.startswith("# TYPE")}
    assert len(names) > 25
    assert names <= exported
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.fixture
async def ask(node, nursery):
    """Sends bytes to the endpoint; everything it answers."""
    (listener,) = tcp_listeners(("127.0.0.1",), 0, 10)
    port = listener.getsockname()[1]
    nursery.start_soon(serve_metrics, [listener], node.metrics)

    async def send(data: bytes) -> bytes:
        with trio.fail_after(10):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(data)
                return b"".join([part async for part in stream])

    return send


async def test_the_endpoint_answers_with_the_metrics(ask):
    reply = await ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"\nredis_up 1.0\n" in body
    assert (await ask(b"HEAD /metrics HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"PING\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000, b"431"),
    ],
)
async def test_other_requests_are_refused(ask, request_text, status):
    assert (await ask(request_text)).split(b" ")[1] == status


async def test_who_says_nothing_is_cut_off_and_others_are_served(ask, monkeypatch):
    with monkeypatch.context() as soon:
        soon.setattr(metrics_http, "TIMEOUT_S", 0.05)
        assert await ask(b"GET /met") == b""
    assert (await ask(b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_the_places_are_bounded(ask, monkeypatch, node, nursery):
    monkeypatch.setattr(metrics_http, "CLIENTS_MAX", 1)
    (listener,) = tcp_listeners(("127.0.0.1",), 0, 10)
    nursery.start_soon(serve_metrics, [listener], node.metrics)
    address = listener.getsockname()
    with trio.fail_after(10):
        async with (
            await trio.open_tcp_stream(*address) as first,
            await trio.open_tcp_stream(*address) as second,
        ):
            assert await second.receive_some(10) == b""
            await first.send_all(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert (await first.receive_some(15)).startswith(b"HTTP/1.1 200")
