"""`ctl cluster create` and `destroy`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctl.execute import local, ports
from ctl.execute.processes import is_running


def test_from_nothing_to_a_cluster_and_back(
    ctl: Any, redis_server_path: str, free_run: Callable[[int], int]
) -> None:
    """Directives, from --node-option and after --, reach every node; destroy leaves nothing."""
    base = free_run(3)
    arguments = ["--nodes", "3", "--replicas", "0", "--server", redis_server_path, "--base-port", str(base)]
    options = ["--node-option", "requirepass=password", "--", "--cluster-node-timeout", "2345", "--save", ""]
    document = ctl.json("create", *arguments, *options)
    assert (document["state"], document["directory"]) == ("ok", str(ctl.directory))
    assert [node["address"] for node in document["nodes"]] == [f"127.0.0.1:{base + n}" for n in range(3)]
    assert [node["slots"] for node in document["nodes"]] == [[[0, 5460]], [[5461, 10922]], [[10923, 16383]]]
    values = ctl.json("call", "CONFIG", "GET", "cluster-node-timeout")
    assert set(map(tuple, values.values())) == {("cluster-node-timeout", "2345")}
    assert "NOAUTH" in ctl("status", "--addr", f"127.0.0.1:{base}", status=3)
    assert "cluster ok" in ctl("status", "--addr", f"127.0.0.1:{base}", SHOAL_PASSWORD="password")
    assert "holds a cluster already (3 of its 3 nodes running)" in ctl("create", status=1)

    assert os.stat(ctl.directory / str(base) / "node.conf").st_mode & 0o077 == 0  # it holds the password

    processes = [node.process for node in ctl.cluster.nodes]
    (ctl.directory / "mine").write_text("keep")
    assert "Add --yes" in ctl("destroy", status=2)
    assert all(map(is_running, processes))
    assert "3 nodes removed" in ctl("destroy", "--yes")
    assert not any(map(is_running, processes))
    assert [path.name for path in ctl.directory.iterdir()] == ["mine"]


def test_nodes_on_another_loopback_address(ctl: Any, free_run: Callable[[int], int]) -> None:
    """Nodes meet at the address they listen on, although the kernel has them connect from 127.0.0.1."""
    arguments = ("--nodes", "2", "--replicas", "0", "--host", "127.0.0.2", "--base-port", str(free_run(2)))
    document = ctl.json("create", *arguments)
    assert [node["address"].partition(":")[0] for node in document["nodes"]] == ["127.0.0.2"] * 2
    assert document["state"] == "ok"


def test_a_host_may_be_a_name(ctl: Any, free_run: Callable[[int], int]) -> None:
    """CLUSTER MEET takes none. A directory that was named is named in the command that removes it."""
    arguments = ("--nodes", "2", "--replicas", "0", "--host", "localhost", "--base-port", str(free_run(2)))
    text = ctl("create", *arguments, "--dir", str(ctl.directory))
    assert "cluster ok" in text
    assert f"ctl cluster destroy --dir {ctl.directory}" in text


def test_running_nodes_are_joined_after_asking(ctl: Any, start_redis: Callable[..., Any]) -> None:
    servers = [start_redis("--cluster-enabled", "yes", "--repl-diskless-sync-delay", "0") for _ in range(4)]
    addresses = [server.address for server in servers]
    text = ctl("create", *addresses, "--replicas", "1", status=2)
    assert "Fewer than three primaries" in text
    assert "Add --yes" in text
    assert len(ctl.json("status", "--addr", addresses[0])["nodes"]) == 1
    document = ctl.json("create", *addresses, "--replicas", "1", "--yes")
    assert document["state"] == "ok"
    assert [node["role"] for node in document["nodes"]] == ["primary", "replica"] * 2
    refused = ctl("create", *addresses[:2], "--replicas", "0", "--yes", status=1)
    assert all(f"{address} is in a cluster already" in refused for address in addresses[:2])


def test_if_missing_makes_a_cluster_once(ctl: Any, start_redis: Callable[..., Any]) -> None:
    """Of running nodes. Neither question nor change where it is there; others are refused as ever."""
    servers = [start_redis("--cluster-enabled", "yes", "--repl-diskless-sync-delay", "0") for _ in range(3)]
    addresses = [server.address for server in servers]
    create = [*addresses, "--replicas", "0", "--if-missing"]
    assert "Add --yes" in ctl("create", *create, status=2)
    made = ctl.json("create", *create, "--yes")
    again = ctl.json("create", *reversed(addresses), "--replicas", "0", "--if-missing")
    assert [node["id"] for node in again["nodes"]] == [node["id"] for node in made["nodes"]]
    assert again["notes"] == ["The cluster was there already, and all is well with it."]
    text = ctl("create", *create)
    assert "cluster ok · 3 primaries" in text
    assert again["notes"][0] in text
    others = ctl("create", *addresses[:2], "--replicas", "0", "--if-missing", "--yes", status=1)
    assert f"these nodes are in a cluster with others: {addresses[2]}" in others
    servers[0].process.kill()
    servers[0].process.wait()
    late = ctl("create", *create, "--timeout", "0.5", status=1)
    assert "not done in time, at: find the cluster" in late
    assert f"{addresses[0]} does not answer" in late


def test_if_missing_starts_a_local_cluster_that_is_there(
    ctl: Any, redis_server_path: str, free_run: Callable[[int], int]
) -> None:
    base = str(free_run(3))
    create = ["--nodes", "3", "--replicas", "0", "--server", redis_server_path, "--if-missing"]
    made = ctl.json("create", *create, "--base-port", base)
    assert "notes" in made
    ctl("stop", base)
    again = ctl.json("create", *create)
    assert [node["id"] for node in again["nodes"]] == [node["id"] for node in made["nodes"]]
    assert again["state"] == "ok"
    assert again["notes"] == ["The cluster was there already, and all is well with it."]
    assert "holds another cluster: 3 nodes" in ctl("create", "--if-missing", "--nodes", "4", status=1)
    assert "holds a cluster already" in ctl("create", *create[:-1], status=1)


def test_nodes_with_slots_are_refused_by_name(ctl: Any, start_redis: Callable[..., Any]) -> None:
    server = start_redis("--cluster-enabled", "yes")
    ctl("call", "--addr", server.address, "CLUSTER", "ADDSLOTS", "7")
    refused = ctl("create", server.address, "--replicas", "0", "--yes", status=1)
    assert f"not empty: {server.address} owns 1 slots" in refused


def test_addresses_that_do_not_answer_are_all_named(ctl: Any, free_port: Callable[[], int]) -> None:
    nobody = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    text = ctl("create", *nobody, "--replicas", "0", "--yes", status=3)
    assert all(f"{address}: connection refused" in text for address in nobody)


def test_options_of_local_clusters_do_not_go_with_addresses(ctl: Any) -> None:
    assert "--base-port is for nodes that create starts" in ctl(
        "create", "h:1", "--base-port", "7000", status=2
    )
    assert "directives after --" in ctl("create", "h:1", "--", "--maxmemory", "1", status=2)
    assert "is named twice" in ctl("create", "127.0.0.1:1", "127.0.0.1:1", status=2)


def test_taken_default_ports_are_said_and_others_found(
    ctl: Any, start_redis: Callable[..., Any], redis_server_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = start_redis().port
    monkeypatch.setattr(ports, "DEFAULT_BASE_PORT", taken)
    document = ctl.json("create", "--nodes", "1", "--replicas", "0", "--server", redis_server_path)
    assert document["notes"] == [
        f"In use: {taken} (or its bus port). The nodes get {taken + 1} to {taken + 1} instead.",
        "Fewer than three primaries: when one fails there is no majority to promote its replica.",
    ]


def test_a_node_that_does_not_start_is_reported_with_its_last_words(
    ctl: Any, redis_server_path: str, free_run: Callable[[int], int]
) -> None:
    create = ["create", "--nodes", "2", "--replicas", "0", "--server", redis_server_path]
    create += ["--base-port", str(free_run(2))]
    error = ctl.json(*create, "--node-option", "nonsense=3", status=1)
    assert "ended at once: 'nonsense 3': Bad directive" in error["error"]
    assert "node.log" in error["hint"]
    assert ctl.cluster.phase == "failed"
    assert not ctl.cluster.running
    assert "cluster ok" in ctl(*create)  # the failed one is not in the way


def test_a_cluster_that_cannot_be_planned_starts_nothing(ctl: Any) -> None:
    assert "2 nodes are too few for a primary with 2 replicas" in ctl(
        "create", "--nodes", "2", "--replicas", "2", status=1
    )
    assert not ctl.directory.exists()


def test_a_time_out_stops_what_was_started(
    ctl: Any, redis_server_path: str, free_run: Callable[[int], int]
) -> None:
    text = ctl(
        "create", "--server", redis_server_path, "--base-port", str(free_run(6)), "--timeout", "1", status=1
    )
    assert "not done in time, at: " in text
    assert "A larger --timeout" in text
    assert not ctl.cluster.running


def test_ctrl_c_leaves_no_process_and_no_file(
    ctl: Any, redis_server_path: str, free_run: Callable[[int], int]
) -> None:
    command = [sys.executable, "-m", "ctl.cli", "cluster", "create", "--server", redis_server_path]
    command += ["--base-port", str(free_run(6)), "--dir", str(ctl.directory)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        processes = _wait_started(ctl.directory)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "ctl: interrupted: the nodes were stopped and their files removed\n"
    assert not any(map(is_running, processes))
    assert not ctl.directory.exists()


def _wait_started(directory: Path) -> list[Any]:
    """The six processes of a creation that is under way, once all are recorded and one has written."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        cluster = local.load(directory)
        if cluster and all(node.process for node in cluster.nodes) and list(directory.glob("*/nodes.conf")):
            return [node.process for node in cluster.nodes]
        time.sleep(0.005)
    pytest.fail("nothing was started")
