"""A cluster of real processes, made by ctl, used by the tools people have."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from gossip.slots import key_slot

CTL = str(Path(sys.executable).with_name("ctl"))
NODE_TIMEOUT_MS = 1500


class LocalCluster:
    """A cluster in a directory of its own, driven by ctl as a user would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports: list[int] = []

    def ctl(self, *args: str, status: int = 0) -> str:
        done = subprocess.run(
            [CTL, "cluster", *args, "--dir", str(self.directory)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def create(self, base_port: int, *args: str) -> None:
        option = f"cluster-node-timeout={NODE_TIMEOUT_MS}"
        made = self.ctl(
            "create", "--yes", "--json", "--base-port", str(base_port), "--node-option", option, *args
        )
        self.ports = [int(node["address"].rsplit(":", 1)[1]) for node in json.loads(made)["nodes"]]

    def node(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, decode_responses=True, socket_timeout=60, retry=Retry(NoBackoff(), 0))

    def client(self) -> RedisCluster:
        return RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in self.ports])

    def process_of(self, port: int) -> int:
        with self.node(port) as node:
            return int(node.info("server")["process_id"])

    def owner_of(self, key: bytes) -> int:
        """The port of the primary that owns a key, as the first node sees it."""
        with self.node(self.ports[0]) as node:
            for first, last, primary, *_ in node.execute_command("CLUSTER SLOTS", NEVER_DECODE=True):
                if first <= key_slot(key) <= last:
                    return int(primary[1])
        raise AssertionError(f"nobody owns {key!r}")

    def replica_of(self, port: int) -> int:
        """The port of a replica of the node at `port`."""
        with self.node(port) as node:
            role = node.execute_command("ROLE")
        return int(role[2][0][1])

    def knows_replica(self, port: int, node_id: str) -> bool:
        """Whether the node at `port` sees `node_id` as a replica."""
        with self.node(port) as node:
            nodes = node.execute_command("CLUSTER NODES").values()
        return any(known["node_id"] == node_id and "slave" in known["flags"] for known in nodes)

    def is_linked(self, port: int) -> bool:
        """Whether the node at `port` knows all others by their names and is connected to them."""
        with self.node(port) as node:
            nodes = node.execute_command("CLUSTER NODES").values()
        named = [known for known in nodes if known["connected"] and "handshake" not in known["flags"]]
        return len(named) > len(self.ports)

    def is_agreed(self) -> bool:
        """Whether every node names the same owners and replicas, and has links to all."""
        maps = set()
        for port in self.ports:
            with self.node(port) as node:
                told = node.execute_command("CLUSTER NODES").values()
            if not all(each["connected"] and "fail" not in each["flags"] for each in told):
                return False
            maps.add(tuple(sorted((each["node_id"], each["master_id"], str(each["slots"])) for each in told)))
        return len(maps) == 1

    def is_healthy(self) -> bool:
        for port in self.ports:
            try:
                with self.node(port) as node:
                    if node.cluster("INFO")["cluster_state"] != "ok":
                        return False
                    replication = node.info("replication")
                    if replication["role"] == "slave" and replication["master_link_status"] != "up":
                        return False
            except redis.RedisError:
                return False
        return True


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def answers(condition: Callable[[], bool]) -> Callable[[], bool]:
    """A condition that is merely not met while the node asked gives errors."""

    def ask() -> bool:
        try:
            return condition()
        except redis.RedisError:
            return False

    return ask


def made(directory: Path, port: int) -> Iterator[LocalCluster]:
    cluster = LocalCluster(directory / "cluster")
    cluster.create(port)
    yield cluster
    cluster.ctl("destroy", "--yes", "--timeout", "0.5")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[LocalCluster]:
    """For tests after which the same nodes make a healthy cluster, whoever is whose replica."""
    yield from made(tmp_path_factory.mktemp("shared"), free_port())


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    """The shared cluster, well and without a key."""
    wait_until(shared.is_healthy, "every node is ok and every replica linked")
    wait_until(shared.is_agreed, "every node has the same map")
    with shared.client() as client:
        client.flushall(target_nodes=RedisCluster.PRIMARIES)
    return shared


@pytest.fixture
def own_cluster(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[LocalCluster]:
    for cluster in made(tmp_path, free_port()):
        wait_until(cluster.is_healthy, "every node is ok and every replica linked")
        yield cluster


@pytest.fixture
def redis_cli() -> str:
    path = shutil.which("redis-cli")
    if path is None:
        pytest.skip("redis-cli is not installed (Debian: apt-get install redis-tools)")
    return path


def fill(cluster: LocalCluster, count: int) -> dict[str, str]:
    expected = {f"key:{number}": f"value:{number}" for number in range(count)}
    with cluster.client() as client:
        pipeline = client.pipeline()
        for key, value in expected.items():
            pipeline.set(key, value)
        assert all(pipeline.execute())
    return expected


def read_all(cluster: LocalCluster, expected: dict[str, str]) -> dict[str, str]:
    with cluster.client() as client:
        pipeline = client.pipeline()
        for key in expected:
            pipeline.get(key)
        return {
            key: value.decode()
            for key, value in zip(expected, pipeline.execute(), strict=True)
            if value is not None
        }


def test_what_a_cluster_client_wrote_it_reads_and_redis_cli_finds_nothing_wrong(
    cluster: LocalCluster, redis_cli: str
) -> None:
    expected = fill(cluster, 10_000)
    assert read_all(cluster, expected) == expected
    done = subprocess.run(
        [redis_cli, "--cluster", "check", f"127.0.0.1:{cluster.ports[0]}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "[OK] 10000 keys in 3 masters." in done.stdout
    assert "[OK] All 16384 slots covered." in done.stdout
    assert cluster.ctl("check")


def test_a_killed_primary_is_replaced_with_every_key_and_comes_back_as_a_replica(
    cluster: LocalCluster,
) -> None:
    expected = fill(cluster, 10_000)
    victim = cluster.owner_of(b"key:1")
    heir = cluster.replica_of(victim)
    with cluster.node(victim) as node:
        assert node.execute_command("WAIT", 1, 5000) == 1
    os.kill(cluster.process_of(victim), signal.SIGKILL)
    with cluster.node(heir) as node:
        wait_until(answers(lambda: node.set("key:1", "value:1") is True), "the heir takes writes")
    cluster.ports.remove(victim)
    wait_until(cluster.is_healthy, "the survivors are ok")
    assert read_all(cluster, expected) == expected
    changed = fill(cluster, 2_000)
    cluster.ctl("start")
    cluster.ports.append(victim)
    wait_until(cluster.is_healthy, "the killed node is back")
    with cluster.node(victim) as node:
        assert node.execute_command("ROLE")[:3] == ["slave", "127.0.0.1", heir]
        wait_until(lambda: node.dbsize() == cluster.node(heir).dbsize(), "it holds its primary's keys")
    assert read_all(cluster, expected | changed) == expected | changed


def test_a_redis_server_joins_as_a_replica_is_promoted_and_hands_back(
    own_cluster: LocalCluster, start_redis: Callable[..., object]
) -> None:
    cluster = own_cluster
    expected = fill(cluster, 3_000)
    primary = cluster.owner_of(b"key:1")
    guest = start_redis("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
    with cluster.node(primary) as ours, cluster.node(guest.port) as theirs:
        ours.execute_command("CLUSTER MEET", "127.0.0.1", guest.port)
        ours_id = ours.execute_command("CLUSTER MYID")
        wait_until(lambda: ours_id in str(theirs.execute_command("CLUSTER NODES")), "they met")
        wait_until(answers(lambda: bool(theirs.execute_command("CLUSTER REPLICATE", ours_id))), "it follows")
        wait_until(lambda: theirs.info("replication")["master_link_status"] == "up", "it has the data")
        wait_until(lambda: theirs.dbsize() == ours.dbsize(), "it has all the data")
        guest_id = theirs.execute_command("CLUSTER MYID")
        everyone = [*cluster.ports, guest.port]
        wait_until(lambda: all(cluster.knows_replica(port, guest_id) for port in everyone), "all know it")
        wait_until(lambda: cluster.is_linked(guest.port), "it has links to all")
        theirs.execute_command("CLUSTER FAILOVER")
        wait_until(lambda: theirs.info("replication")["role"] == "master", "redis-server is the primary")
        wait_until(lambda: ours.info("replication")["role"] == "slave", "the Shoal node follows it")
        wait_until(answers(lambda: theirs.set("key:1", "value:1") is True), "it takes writes")
        wait_until(lambda: ours.info("replication")["master_link_status"] == "up", "ours is in step")
        wait_until(cluster.is_healthy, "all agree")
        assert read_all(cluster, expected) == expected
        wait_until(lambda: all(cluster.knows_replica(port, ours_id) for port in everyone), "all know it")
        ours.execute_command("CLUSTER FAILOVER")
        wait_until(lambda: ours.info("replication")["role"] == "master", "Shoal is the primary again")
        wait_until(answers(lambda: ours.set("key:1", "value:1") is True), "it takes writes")
        wait_until(cluster.is_healthy, "all agree")
        assert read_all(cluster, expected) == expected


def test_a_graceful_failover_loses_no_write(cluster: LocalCluster) -> None:
    key = "counter"
    primary = cluster.owner_of(key.encode())
    acknowledged = 0
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        nonlocal acknowledged
        try:
            with cluster.client() as client:
                while not stop.is_set():
                    client.incr(key)
                    acknowledged += 1
        except BaseException as failed:  # noqa: BLE001 - handed to the test, which raises it
            failures.append(failed)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: acknowledged > 200 or bool(failures), "the writer is at work")
    heir = cluster.replica_of(primary)
    cluster.ctl("failover", f"127.0.0.1:{heir}")
    so_far = acknowledged
    wait_until(lambda: acknowledged > so_far + 200 or bool(failures), "the writer goes on")
    stop.set()
    writer.join()
    assert not failures
    with cluster.client() as client:
        assert int(client.get(key)) == acknowledged
    assert cluster.owner_of(key.encode()) == heir


def test_a_primary_that_was_stopped_acknowledges_nothing_that_waited_in_its_sockets(
    cluster: LocalCluster,
) -> None:
    key = b"parked"
    primary = cluster.owner_of(key)
    heir = cluster.replica_of(primary)
    process = cluster.process_of(primary)
    with socket.create_connection(("127.0.0.1", primary)) as parked:
        parked.sendall(b"PING\r\n")
        assert parked.recv(100) == b"+PONG\r\n"
        os.kill(process, signal.SIGSTOP)
        try:
            with cluster.node(heir) as node:
                wait_until(answers(lambda: node.set("parked", "kept") is True), "the heir was elected")
            parked.sendall(b"SET parked lost\r\n")
        finally:
            os.kill(process, signal.SIGCONT)
        reply = parked.recv(1000)
    assert reply.startswith((b"-CLUSTERDOWN", b"-MOVED")), reply
    wait_until(cluster.is_healthy, "the stopped node follows its heir")
    with cluster.client() as client:
        assert client.get("parked") == b"kept"


def test_replicas_serve_reads_to_those_who_ask_for_it(cluster: LocalCluster) -> None:
    fill(cluster, 100)
    primary = cluster.owner_of(b"key:1")
    with cluster.node(primary) as node:
        node.execute_command("WAIT", 1, 5000)
    with cluster.node(cluster.replica_of(primary)) as node:
        with pytest.raises(redis.ResponseError, match=rf"^MOVED \d+ 127.0.0.1:{primary}$|^\d+ 127"):
            node.execute_command("GET", "key:1")
        node.execute_command("READONLY")
        assert node.execute_command("GET", "key:1") == "value:1"
        with pytest.raises(redis.ResponseError):
            node.execute_command("SET", "key:1", "x")
        node.execute_command("READWRITE")
        with pytest.raises(redis.ResponseError):
            node.execute_command("GET", "key:1")


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"RCmb" + (2256).to_bytes(4, "big") + (9).to_bytes(2, "big") + bytes(2246),
        b"RCmb" + (2256).to_bytes(4, "big") + (1).to_bytes(2, "big") + bytes(1000),
        b"RCmb" + (0xFFFFFFF0).to_bytes(4, "big") + bytes(100),
        bytes(range(256)) * 100,
    ],
    ids=["http", "unknown version", "half a frame", "huge length", "noise"],
)
def test_garbage_on_the_bus_port_disturbs_nobody(cluster: LocalCluster, garbage: bytes) -> None:
    port = cluster.ports[0]
    with socket.create_connection(("127.0.0.1", port + 10_000), timeout=5) as peer:
        peer.sendall(garbage)
        peer.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # closed with some of the garbage unread
            assert peer.recv(100) == b""
    assert cluster.is_healthy()


def test_redis_benchmark_runs_against_the_cluster(cluster: LocalCluster) -> None:
    path = shutil.which("redis-benchmark")
    if path is None:
        pytest.skip("redis-benchmark is not installed (Debian: apt-get install redis-tools)")
    done = subprocess.run(
        [path, "--cluster", "-p", str(cluster.ports[0]), "-t", "set,get", "-n", "3000", "-q", "-c", "12"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "SET:" in done.stdout
    assert "GET:" in done.stdout
