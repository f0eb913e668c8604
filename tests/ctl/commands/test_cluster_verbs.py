"""The verbs that look at a cluster and steer it, on six nodes of ours and on six redis-servers."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from redis.cluster import RedisCluster


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def unlinked(made: Any) -> bool:
    """Whether a replica is not in step, as is normal for a moment after a fail-over."""
    return any(node["link"] not in (None, "up") for node in made.json("status")["nodes"])


def ports(made: Any) -> list[int]:
    return [node.port for node in made.cluster.nodes]


def test_status_shows_every_node_with_its_role(made: Any) -> None:
    text = made("status")
    assert "cluster ok · 3 primaries, 3 replicas · 16384 of 16384 slots" in text
    for address in made.cluster.addresses:
        assert str(address) in text
    assert text.count(" primary ") == 3
    assert text.count(" replica ") == 3
    assert text.count("link up") == 3


def test_status_as_json(made: Any) -> None:
    document = made.json("status")
    assert (document["state"], document["slots_covered"], document["slots_uncovered"]) == ("ok", 16384, [])
    primaries = {node["id"] for node in document["nodes"] if node["role"] == "primary"}
    replicas = [node for node in document["nodes"] if node["role"] == "replica"]
    assert {node["primary_id"] for node in replicas} == primaries
    assert {node["link"] for node in replicas} == {"up"}
    assert sum(node["slot_count"] for node in document["nodes"]) == 16384
    assert {node["health"] for node in document["nodes"]} == {"ok"}


def test_any_node_leads_to_the_whole_cluster(made: Any) -> None:
    document = made.json("status", "--addr", f"127.0.0.1:{ports(made)[4]}")
    assert len(document["nodes"]) == 6


def test_nodes_lists_ids_and_processes(made: Any) -> None:
    text = made("nodes")
    nodes = made.json("nodes")
    assert {node["pid"] for node in nodes} == {node.process.pid for node in made.cluster.nodes}
    for node in nodes:
        assert node["id"] in text
        assert node["server"].startswith(("shoal 0.", "redis 7"))


def test_check_is_content(made: Any) -> None:
    text = made("check")
    assert "no problems found" in text
    assert "all 6 nodes are on one host" in text
    document = made.json("check")
    assert document["ok"] is True
    assert [finding["code"] for finding in document["findings"]] == ["one-host"]


def test_call_asks_all_or_some(made: Any) -> None:
    first, *_ = ports(made)
    assert len(made.json("call", "PING")) == 6
    roles = {reply[0] for reply in made.json("call", "--node", "primaries", "ROLE").values()}
    assert roles == {"master"}
    assert len(made.json("call", "--node", "replicas", "PING")) == 3
    assert made("call", "--node", str(first), "ECHO", "--dashes").strip() == "--dashes"
    assert f"127.0.0.1:{first}  PONG" in made("call", "PING")


def test_call_fails_when_a_node_answers_with_an_error(made: Any) -> None:
    assert "(error) ERR unknown command" in made("call", "NONSENSE", status=1)
    assert "no node 1 in the cluster" in made("call", "--node", "1", "PING", status=1)


def test_logs_show_the_ends_of_all_or_one(made: Any) -> None:
    first, second, *_ = ports(made)
    text = made("logs", "-n", "1")
    assert [line.split()[0] for line in text.splitlines()] == [str(port) for port in ports(made)]
    assert "Ready to accept connections" in made("logs", "-n", "1000", str(second))
    line = json.loads(made("logs", "--json", "-n", "1", f"127.0.0.1:{first}"))
    assert line["port"] == first


def test_a_graceful_failover_and_back_loses_nothing_and_is_measured(made: Any) -> None:
    first, _, _, its_replica, *_ = ports(made)
    with RedisCluster(host="127.0.0.1", port=first) as client:
        for number in range(200):
            client.set(f"key:{number}", number)
        report = made.json("failover", str(its_replica))
        assert (report["mode"], report["promoted"]) == ("graceful", f"127.0.0.1:{its_replica}")
        assert report["in_place_of"] == f"127.0.0.1:{first}"
        assert 0 < report["writes_refused_ms"] < 10_000
        assert 0 <= report["promoted_ms"] <= report["settled_ms"]
        # Named by its primary now: the replica of that is the old primary.
        text = made("failover", f"127.0.0.1:{its_replica}")
        assert f"127.0.0.1:{first} is primary in place of 127.0.0.1:{its_replica}" in text
        assert "writes of its slots were refused for" in text
        assert [client.get(f"key:{number}") for number in range(200)] == [b"%d" % n for n in range(200)]
    wait_for(lambda: not unlinked(made))
    made("check")
    assert not [key for reply in made.json("call", "KEYS", "*shoal-probe*").values() for key in reply]


def test_a_primary_that_died_is_found_replaced_and_brought_back(made: Any) -> None:
    """The tour of a failure: check, the refusal of a graceful fail-over, --force, start, check."""
    _, second, _, _, its_replica, _ = ports(made)
    [process] = [node.process for node in made.cluster.nodes if node.port == second]
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not made.cluster.nodes[1].running)
    found = made.json("check", status=1)
    assert found["ok"] is False
    assert any(f["code"] in ("unreachable", "failed") and str(second) in f["text"] for f in found["findings"])
    assert "Use --force" in made("failover", str(its_replica), status=1)
    assert "Add --yes" in made("failover", str(its_replica), "--force", status=2)
    report = made.json("failover", str(second), "--force", "--yes")
    assert report["promoted"] == f"127.0.0.1:{its_replica}"
    assert ": connection refused" in made("status")
    assert made.json("start", str(second))["started"] == [f"127.0.0.1:{second}"]
    wait_for(lambda: not unlinked(made))
    nodes = {node["address"]: node for node in made.json("status")["nodes"]}
    assert nodes[f"127.0.0.1:{second}"]["role"] == "replica"


def test_force_and_takeover_are_two_ways(made: Any) -> None:
    assert "two ways" in made("failover", str(ports(made)[0]), "--force", "--takeover", status=2)


def test_stop_and_start_keep_the_cluster(made: Any) -> None:
    assert made.json("stop")["stopped"] == [str(address) for address in made.cluster.addresses]
    assert not made.cluster.running
    assert "no node was running" in made("stop")
    assert "none of 6 nodes answers" in made("status", status=3)
    assert "ctl cluster start" in made("status", status=3)
    text = made("start")
    assert "cluster ok · 3 primaries, 3 replicas" in text
    assert len(made.cluster.running) == 6
    made("check")
