"""A primary that is restarted without its data: its replicas have them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DEADLINE_S = 30.0


def client_of(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=DEADLINE_S, retry=Retry(NoBackoff(), 0))


def until(condition: Callable[[], object], what: str = "") -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"not in time: {what}")
        time.sleep(0.02)


def linked(client: redis.Redis) -> bool:
    role = client.execute_command("ROLE")
    return role[0] == b"slave" and role[3] == b"connected"


def fill(client: redis.Redis) -> None:
    client.mset({f"key:{n}": n for n in range(500)})


@pytest.mark.parametrize(
    ("chosen", "kept"), [("yes", True), pytest.param("auto", False, marks=pytest.mark.slow)]
)
def test_outside_a_cluster_it_has_to_be_asked_for(shoal_node, chosen: str, kept: bool) -> None:
    primary = shoal_node("--save", "")
    replica = shoal_node(
        "--save", "", "--replicaof", f"127.0.0.1 {primary.port}", "--replica-refuse-empty-primary", chosen
    )
    ours, theirs = client_of(replica.port), client_of(primary.port)
    fill(theirs)
    until(lambda: linked(ours) and ours.dbsize() == 500)
    primary.process.kill()
    primary.process.wait()
    again = shoal_node("--save", "", port=primary.port)
    client_of(again.port).set("written", "since")
    if kept:
        replica.wait_for_log("was restarted without its data: it has")
        assert ours.dbsize() == 500
        assert ours.get("key:7") == b"7"
        ours.execute_command("REPLICAOF", "NO", "ONE")
        ours.execute_command("REPLICAOF", "127.0.0.1", primary.port)  # an order to follow it is obeyed
    until(lambda: linked(ours) and ours.dbsize() == 1)


@pytest.mark.slow
def test_data_that_were_deleted_are_gone(shoal_node) -> None:
    """FLUSHALL belongs to the history, also when the replica was away and gets all anew."""
    primary = shoal_node("--save", "", "--repl-backlog-size", "16kb")
    follow = ("--replicaof", f"127.0.0.1 {primary.port}", "--replica-refuse-empty-primary", "yes")
    replica = shoal_node("--save", "", *follow)
    ours, theirs = client_of(replica.port), client_of(primary.port)
    fill(theirs)
    until(lambda: linked(ours) and ours.dbsize() == 500)
    replica.process.send_signal(signal.SIGSTOP)
    theirs.execute_command("CLIENT", "KILL", "TYPE", "replica")
    theirs.flushall()
    for _ in range(40):
        theirs.set("filler", "x" * 1000)
    theirs.delete("filler")
    replica.process.send_signal(signal.SIGCONT)
    until(lambda: linked(ours) and ours.dbsize() == 0)


def test_in_a_cluster_its_replica_takes_its_place(shoal_node, starter, tmp_path: Path) -> None:
    """Even when it is back before anybody could notice that it was away."""
    arguments = ("--cluster-enabled", "yes", "--save", "", "--cluster-node-timeout", "15000")
    directories = [tmp_path / f"node{n}" for n in range(4)]
    for directory in directories:
        directory.mkdir()
    nodes = [shoal_node(*arguments, "--dir", str(directory)) for directory in directories]
    clients = [client_of(node.port) for node in nodes]
    for n, client in enumerate(clients[:3]):
        low, high = ((0, 5460), (5461, 10922), (10923, 16383))[n]
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high)
    for client in clients[1:]:
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    until(lambda: all(b"known_nodes:4" in c.execute_command("CLUSTER", "INFO") for c in clients))
    name = clients[0].execute_command("CLUSTER", "MYID")
    until(lambda: follows(clients[3], name), "REPLICATE")
    until(lambda: linked(clients[3]))
    until(lambda: b"cluster_state:ok" in clients[0].execute_command("CLUSTER", "INFO"))
    slot_0 = [f"{{06S}}{n}" for n in range(300)]  # a tag of the first node's
    clients[0].mset(dict.fromkeys(slot_0, 1))
    until(lambda: clients[3].dbsize() == 300)

    for node in nodes[1:3]:  # nobody can have it voted off meanwhile
        node.process.send_signal(signal.SIGSTOP)
    nodes[0].process.kill()
    nodes[0].process.wait()
    again = starter.start(*arguments, "--dir", str(directories[0]), port=nodes[0].port)
    until(lambda: "Ready to accept" in again.logged())
    nodes[3].wait_for_log("was restarted without its data")
    for node in nodes[1:3]:
        node.process.send_signal(signal.SIGCONT)
    until(lambda: clients[3].execute_command("ROLE")[0] == b"master", "the replica takes over")
    back = client_of(nodes[0].port)
    until(lambda: linked(back) and back.dbsize() == 300, "the data are back")


def follows(client: redis.Redis, name: object) -> bool:
    with suppress(redis.ResponseError):
        client.execute_command("CLUSTER", "REPLICATE", name)
        return True
    return False
