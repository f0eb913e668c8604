"""`check`, `watch` and `explain` on six nodes of ours and on six redis-servers: well, drifted, and dying; and
what `fix --forget` makes of the rest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def ports(made: Any) -> list[int]:
    return [node.port for node in made.cluster.nodes]


@pytest.fixture
def nodes(made: Any) -> Iterator[list[Redis]]:
    clients = [Redis(port=port, decode_responses=True) for port in ports(made)]
    yield clients
    for client in clients:
        client.close()


def codes(made: Any, *options: str, status: int) -> dict[str, str]:
    return {each["code"]: each["text"] for each in made.json("check", *options, status=status)["findings"]}


def test_explain_leads_from_the_key_to_the_node_that_has_it(made: Any, nodes: list[Redis]) -> None:
    owner = nodes[0]  # of slots 0 to 5460
    owner.set("bar", "x", px=100_000)
    told = made.json("explain", "bar")
    assert (told["kind"], told["slot"], told["owner"]) == ("key", 5061, owner.cluster("MYID"))
    assert (told["type"], told["held_by"]) == ("string", told["owner"])
    assert 0 < told["ttl_ms"] <= 100_000
    wait_for(lambda: bool(nodes[3].execute_command("DBSIZE")))
    text = made("explain", "{bar}nothing")
    assert "has the hash tag bar" in text
    assert f"Slot 5061 is owned by 127.0.0.1:{ports(made)[0]}, with configuration epoch 1." in text
    assert "6 of 6 nodes that answer say so" in text
    assert "The key does not exist." in text
    assert f"127.0.0.1:{ports(made)[3]} has a copy." in made("explain", "--key", "bar")


def test_explain_a_slot_and_a_node(made: Any, nodes: list[Redis]) -> None:
    assert "holds 1 key of it" in made("explain", "5061")
    port = ports(made)[0]
    assert "it answers ctl" in made("explain", f"127.0.0.1:{port}").lower()
    told = made.json("explain", "--node", str(port))
    assert (told["kind"], told["role"], told["failed_by"], told["majority"]) == ("node", "primary", 0, 2)
    assert "Its replication link is up." in made("explain", nodes[4].cluster("MYID"))


def test_explain_takes_one_thing(made: Any) -> None:
    assert "explain takes one thing" in made("explain", status=2)
    assert "explain takes one thing" in made("explain", "x", "--slot", "1", status=2)
    port = ports(made)[0]
    if port < 16384:
        assert f"Say --slot {port}, --node {port} or --key {port}." in made("explain", str(port), status=1)


def test_a_directive_that_differs(made: Any, nodes: list[Redis]) -> None:
    nodes[1].config_set("maxmemory", "100mb")
    assert f"104857600 on 127.0.0.1:{ports(made)[1]}" in codes(made, status=1)["config-drift"]
    made("check", "--fail-on", "error")
    nodes[1].config_set("maxmemory", "0")
    assert set(codes(made, status=0)) == {"one-host"}


@pytest.mark.parametrize(
    ("command", "code", "undo"),
    [
        (("FUNCTION", "LOAD", "#!lua name=drift\nredis.register_function('f', function() return 1 end)"),
         "function-drift", ("FUNCTION", "DELETE", "drift")),
        (("ACL", "SETUSER", "drift", "on", ">secret", "~*", "+get"),
         "acl-drift", ("ACL", "DELUSER", "drift")),
    ],
)  # fmt: skip
def test_functions_and_users_that_differ(
    made: Any, nodes: list[Redis], command: tuple[str, ...], code: str, undo: tuple[str, ...]
) -> None:
    nodes[1].execute_command(*command)
    found = codes(made, status=1)
    assert "drift is missing on" in found[code]
    assert "secret" not in json.dumps(found)
    nodes[1].execute_command(*undo)
    wait_for(lambda: code not in codes_now(made))


def codes_now(made: Any) -> set[str]:
    snapshot = made.json("status")
    assert snapshot["nodes"]
    try:
        return set(codes(made, status=0))
    except AssertionError:
        return set(codes(made, status=1))


def test_watch_prints_a_document_a_look_and_ends_after_so_many(made: Any, nodes: list[Redis]) -> None:
    lines = made("watch", "--json", "--count", "3", "--interval", "0.1").splitlines()
    samples = [json.loads(line) for line in lines]
    assert [len(sample["nodes"]) for sample in samples] == [6, 6, 6]
    assert samples[0]["nodes"][0]["ops_per_s"] is None
    assert samples[2]["nodes"][0]["ops_per_s"] >= 0
    assert all(sample["events"] == [] for sample in samples)
    assert "watching     cluster ok" in made("watch", "--count", "1")


class Watching:
    """`ctl cluster watch` in a pipe; it ends by itself, so that a test cannot wait for ever."""

    def __init__(self, made: Any) -> None:
        command = [sys.executable, "-m", "ctl.cli", "cluster", "watch", "--interval", "0.2", "--count", "100"]
        env = {**os.environ, "SHOAL_DIR": str(made.directory)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline()]

    def until(self, *words: str) -> str:
        """The first line with all of `words`."""
        assert self.process.stdout is not None
        while not all(word in self.lines[-1] for word in words):
            line = self.process.stdout.readline()
            assert line, self.lines
            self.lines.append(line)
        return self.lines[-1]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        assert errors == ""
        return self.process.returncode


@pytest.fixture
def watching(made: Any) -> Iterator[Watching]:
    watching = Watching(made)
    yield watching
    watching.process.kill()
    watching.process.communicate()


def test_ctrl_c_ends_a_watch_well(watching: Watching) -> None:
    assert "watching" in watching.lines[0]
    assert watching.end() == 0


def test_a_slot_on_its_way_is_told(made: Any, nodes: list[Redis], watching: Watching) -> None:
    source, target = nodes[0].cluster("MYID"), nodes[1].cluster("MYID")
    nodes[1].execute_command("CLUSTER", "SETSLOT", 100, "IMPORTING", source)
    nodes[0].execute_command("CLUSTER", "SETSLOT", 100, "MIGRATING", target)
    watching.until("1 slot open", f"127.0.0.1:{ports(made)[0]} → 127.0.0.1:{ports(made)[1]}: 100")
    assert "It is open" in made("explain", "--slot", "100")
    made("fix", "--yes")
    watching.until("1 slot went from", ": 100")
    assert watching.end() == 0


def kill(made: Any, index: int) -> None:
    process = made.cluster.nodes[index].process
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not made.cluster.nodes[index].running)


@pytest.mark.slow
def test_a_dying_primary_is_watched_explained_and_at_last_forgotten(
    made: Any, nodes: list[Redis], watching: Watching
) -> None:
    """No replica may be elected in this cluster, which is what explain is to find out."""
    for node in nodes:
        node.config_set("cluster-node-timeout", "1000")
    dead, heir = (f"127.0.0.1:{ports(made)[index]}" for index in (1, 4))
    kill(made, 1)
    watching.until("unreachable", f"{dead} does not answer")
    watching.until("failed", f"{dead} is FAIL in the eyes of")
    assert watching.end() == 0
    wait_for(lambda: made.json("explain", "--node", dead)["failed_by"] == 5)
    text = made("explain", "--node", dead)
    assert "It is FAIL: 5 of 5 nodes hold it for failed." in text
    assert "3 primaries have slots, so a majority is 2" in text
    assert f"{heir} is not elected: it is told never to be." in text
    assert "cluster-replica-no-failover yes" in text
    assert "has a replica with its data" in made("fix", "--forget", dead, status=1)
    kill(made, 4)
    wait_for(lambda: made.json("explain", "--node", heir)["failed_by"] == 4)
    left = made.json("fix", "--yes", "--patience", "0", status=0)
    assert (left["done"], left["steps"]) == (False, [])
    done = made.json(
        "fix", "--yes", "--forget", dead, "--forget", heir, "--cover-uncovered", "--patience", "1"
    )
    assert [step["kind"] for step in done["steps"]][:2] == ["leave", "leave"]
    wait_for(lambda: codes_now(made) <= {"one-host", "few-primaries", "not-a-member"})
    assert len(made.json("status")["nodes"]) == 4
    assert made.json("status")["slots_covered"] == 16384
