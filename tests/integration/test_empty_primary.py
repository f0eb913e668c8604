"""A primary that is restarted without its data: its replicas have them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

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


class Shards:
    """Three primaries, of which the first has a replica with 300 keys; nodes keep nothing on disk."""

    ARGUMENTS = ("--cluster-enabled", "yes", "--save", "", "--cluster-node-timeout", "15000")
    KEYS = [f"{{06S}}{n}" for n in range(300)]  # a tag of the first node's

    def __init__(self, starter: Any, directory: Path) -> None:
        self._starter = starter
        self.directories = [directory / f"node{n}" for n in range(4)]
        self.nodes = []
        for each in self.directories:
            each.mkdir()
            self.nodes.append(starter.start_ready(*self.ARGUMENTS, "--dir", str(each)))
        self.clients = [client_of(node.port) for node in self.nodes]
        self._join()
        self.replica = self.clients[3]

    def _join(self) -> None:
        clients = self.clients
        for n, client in enumerate(clients[:3]):
            low, high = ((0, 5460), (5461, 10922), (10923, 16383))[n]
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high)
        for client in clients[1:]:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        until(lambda: all(b"known_nodes:4" in c.execute_command("CLUSTER", "INFO") for c in clients))
        name = clients[0].execute_command("CLUSTER", "MYID")
        until(lambda: follows(clients[3], name), "REPLICATE")
        until(lambda: linked(clients[3]))
        until(lambda: all(c.cluster("INFO")["cluster_state"] == "ok" for c in clients))

    def fill(self) -> None:
        self.clients[0].mset(dict.fromkeys(self.KEYS, 1))
        until(lambda: self.replica.dbsize() == 300)

    def restart_first(self) -> Any:
        """The others sleep meanwhile: nobody can have it voted off. Returns the new process."""
        others = self.nodes[1:3]
        for node in others:
            node.process.send_signal(signal.SIGSTOP)
        self.nodes[0].process.kill()
        self.nodes[0].process.wait()
        port = self.nodes[0].port
        again = self._starter.start(*self.ARGUMENTS, "--dir", str(self.directories[0]), port=port)
        again.wait_for_log("Ready to accept")
        for node in others:
            node.process.send_signal(signal.SIGCONT)
        return again


def test_in_a_cluster_its_replica_takes_its_place(starter, tmp_path: Path) -> None:
    """Even when it is back before anybody could notice that it was away, and serves no client meanwhile."""
    shards = Shards(starter, tmp_path)
    shards.fill()
    sleeper = shards.nodes[3].process
    sleeper.send_signal(signal.SIGSTOP)
    again = shards.restart_first()
    again.wait_for_log("This master was restarted without its data")  # nothing else keeps it from serving
    back = client_of(again.port)
    for words in (("SET", "{06S}7", "lost"), ("GET", "{06S}7")):
        with pytest.raises(redis.exceptions.ClusterDownError):
            back.execute_command(*words)
    sleeper.send_signal(signal.SIGCONT)
    until(lambda: shards.replica.execute_command("ROLE")[0] == b"master", "the replica takes over")
    assert "was restarted without its data: it has" in shards.nodes[3].logged()
    until(lambda: linked(back) and back.dbsize() == 300, "the data are back")
    assert shards.replica.get("{06S}7") == b"1"


def test_a_replica_that_has_nothing_either_lets_it_serve(starter, tmp_path: Path) -> None:
    shards = Shards(starter, tmp_path)
    again = shards.restart_first()
    again.wait_for_log("No replica holds more than this master")
    back = client_of(again.port)
    until(lambda: back.cluster("INFO")["cluster_state"] == "ok")
    back.set("{06S}7", "new")
    until(lambda: shards.replica.dbsize() == 1)


@pytest.mark.slow
def test_not_so_if_replicas_are_to_copy_the_void(starter, tmp_path: Path) -> None:
    """replica-refuse-empty-primary no: what Redis does."""
    shards = Shards(starter, tmp_path)
    shards.ARGUMENTS = (*shards.ARGUMENTS, "--replica-refuse-empty-primary", "no")
    shards.fill()
    shards.replica.config_set("replica-refuse-empty-primary", "no")
    again = shards.restart_first()
    back = client_of(again.port)
    until(lambda: back.cluster("INFO")["cluster_state"] == "ok")
    until(lambda: linked(shards.replica) and shards.replica.dbsize() == 0)
    assert "restarted without its data" not in again.logged()


def follows(client: redis.Redis, name: object) -> bool:
    with suppress(redis.ResponseError):
        client.execute_command("CLUSTER", "REPLICATE", name)
        return True
    return False
