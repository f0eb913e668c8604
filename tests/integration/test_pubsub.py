"""Pub/sub and transactions across a cluster of processes, one of them a redis-server, through redis-py."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import ClusterNode, RedisCluster

from gossip.slots import key_slot

CTL = str(Path(sys.executable).with_name("ctl"))
DEADLINE_S = 20.0
TIMEOUT = "cluster-node-timeout=2000"


def wait_until(condition: Callable[[], Any], what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            if condition():
                return
        except redis.RedisError as failed:
            what = f"{what} ({failed})"
        assert time.monotonic() < end_s, what
        time.sleep(0.02)


class Cluster:
    """Six nodes made by ctl."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ports: list[int] = []

    def ctl(self, *args: str) -> str:
        command = [CTL, "cluster", *args, "--dir", str(self._directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def node(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, socket_timeout=60)

    def client(self) -> RedisCluster:
        return RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in self.ports])

    def owner(self, key: bytes) -> tuple[int, int]:
        """The ports of the primary of a key and of its replica."""
        with self.node(self.ports[0]) as node:
            for first, last, primary, *replicas in node.execute_command("CLUSTER SLOTS", NEVER_DECODE=True):
                if first <= key_slot(key) <= last:
                    return int(primary[1]), int(replicas[0][1])
        raise AssertionError(f"nobody owns {key!r}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("pubsub") / "cluster")
    made = cluster.ctl("create", "--yes", "--json", "--base-port", str(free_port()), "--node-option", TIMEOUT)
    cluster.ports = [int(node["address"].rsplit(":", 1)[1]) for node in json.loads(made)["nodes"]]
    yield cluster
    cluster.ctl("destroy", "--yes")


def hand_over(cluster: Cluster, slot: int, source: int, target: int) -> None:
    """Moves a slot that has no keys."""
    with cluster.node(source) as at_source, cluster.node(target) as at_target:
        ids = {node: node.execute_command("CLUSTER", "MYID") for node in (at_source, at_target)}
        at_target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[at_source])
        at_source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[at_target])
        for node in (at_target, at_source):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[at_target])


@pytest.fixture
def redis_node(cluster: Cluster, start_redis: Any) -> Iterator[int]:
    """The port of a redis-server that has joined the cluster, with no slots."""
    port: int = start_redis("--cluster-enabled", "yes", "--cluster-node-timeout", "2000").port
    with cluster.node(port) as node:
        for known in cluster.ports:
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", known)
        node_id = node.execute_command("CLUSTER", "MYID")
        everyone = [*cluster.ports, port]
        wait_until(lambda: all(_knows(cluster, at, len(everyone)) for at in everyone), "all know all")
        yield port
    for at in cluster.ports:
        with cluster.node(at) as node:
            node.execute_command("CLUSTER", "FORGET", node_id)


def _knows(cluster: Cluster, port: int, count: int) -> bool:
    """Whether the node at `port` is connected to `count - 1` others."""
    with cluster.node(port) as node:
        links = node.execute_command("CLUSTER LINKS")
        known = node.execute_command("CLUSTER NODES")
    named = [one for one in known.values() if "handshake" not in one["flags"]]
    return len(named) == count and len(links) >= 2 * (count - 1)


def next_message(pubsub: Any, **options: Any) -> Any:
    """The next message that is no confirmation."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1, **options)
        if message is not None:
            return message
    raise AssertionError("no message came")


def test_what_is_published_at_any_node_is_heard_at_every_node(cluster: Cluster, redis_node: int) -> None:
    """Also at a redis-server, and from one; and by those who subscribed by pattern."""
    everywhere = [*cluster.ports, redis_node]
    listeners = []
    for port in everywhere:
        listener = cluster.node(port).pubsub()
        listener.subscribe("news")
        listener.psubscribe("n*")
        assert [listener.get_message(timeout=5)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        listeners.append(listener)
    for port in everywhere:
        with cluster.node(port) as node:
            assert node.publish("news", f"from {port}") == 2
        for listener in listeners:
            heard = [next_message(listener) for _ in range(2)]
            assert [(one["type"], one["data"]) for one in heard] == [
                ("message", b"from %d" % port), ("pmessage", b"from %d" % port),
            ]  # fmt: skip
    for listener in listeners:
        listener.close()


def test_shard_channels_are_heard_in_their_shard_alone(cluster: Cluster) -> None:
    primary, replica = cluster.owner(b"orders")
    outside = next(port for port in cluster.ports if port not in (primary, replica))
    listeners = []
    for port in (primary, replica):
        listener = cluster.node(port).pubsub()
        listener.ssubscribe("orders")
        assert listener.get_message(timeout=5)["type"] == "ssubscribe"
        listeners.append(listener)
    with cluster.node(outside) as node, pytest.raises(redis.ResponseError, match=f":{primary}$"):
        node.execute_command("SPUBLISH", "orders", "x")
    with cluster.node(outside) as node, pytest.raises(redis.ResponseError, match=f":{primary}$"):
        node.execute_command("SSUBSCRIBE", "orders")
    for port in (primary, replica):
        with cluster.node(port) as node:
            assert node.execute_command("SPUBLISH", "orders", f"from {port}") == 1
        for listener in listeners:
            message = next_message(listener)
            assert (message["type"], message["data"]) == ("smessage", b"from %d" % port)
    with cluster.node(primary) as node, pytest.raises(redis.ResponseError, match="hash to the same slot"):
        node.execute_command("SSUBSCRIBE", "orders", "other")
    for listener in listeners:
        listener.close()


def test_redis_pys_cluster_client(cluster: Cluster) -> None:
    with cluster.client() as client:
        listener = client.pubsub()
        listener.subscribe("plain")
        listener.ssubscribe("{a}shard")
        listener.ssubscribe("{b}shard")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        client.publish("plain", "one")
        assert next_message(listener)["data"] == b"one"
        for channel in ("{a}shard", "{b}shard"):
            client.spublish(channel, f"to {channel}")
            end_s = time.monotonic() + DEADLINE_S
            message = None
            while message is None and time.monotonic() < end_s:
                message = listener.get_sharded_message(ignore_subscribe_messages=True, timeout=0.1)
            assert message is not None
            assert message["data"] == f"to {channel}".encode()
        shard_channels = set(client.pubsub_shardchannels(target_nodes=RedisCluster.ALL_NODES))
        assert shard_channels >= {b"{a}shard", b"{b}shard"}
        counts = client.pubsub_numsub("plain", target_nodes=RedisCluster.ALL_NODES)
        assert sum(count for _, count in counts) == 1
        listener.close()


def test_subscribers_of_a_slot_that_moves_are_told(cluster: Cluster) -> None:
    """An empty slot is handed to another primary and back."""
    channel = b"moving"
    slot = key_slot(channel)
    source, replica = cluster.owner(channel)
    target = next(port for port in (cluster.owner(b"k%d" % n)[0] for n in range(100)) if port != source)
    listeners = []
    for port in (source, replica):
        listener = cluster.node(port).pubsub()
        listener.ssubscribe(channel)
        assert listener.get_message(timeout=5)["type"] == "ssubscribe"
        listeners.append(listener)
    hand_over(cluster, slot, source, target)
    for listener in listeners:
        message = None
        end_s = time.monotonic() + DEADLINE_S
        while message is None and time.monotonic() < end_s:
            message = listener.get_message(timeout=0.1)
        assert message is not None
        assert (message["type"], message["channel"], message["data"]) == ("sunsubscribe", channel, 0)
        listener.close()
    wait_until(lambda: cluster.owner(channel)[0] == target, "the move is known")
    hand_over(cluster, slot, target, source)
    wait_until(lambda: cluster.owner(channel)[0] == source, "the move back is known")


# Transactions


def test_transactions_through_the_cluster_client(cluster: Cluster) -> None:
    with cluster.client() as client:
        with client.pipeline(transaction=True) as pipe:
            pipe.set("{t}a", 1).incr("{t}a").hset("{t}h", "f", "v")
            assert pipe.execute()[1:] == [2, 1]
        with (
            client.pipeline(transaction=True) as pipe,
            pytest.raises(redis.exceptions.CrossSlotTransactionError),
        ):
            pipe.set("{t}a", 1).set("{u}a", 1).execute()
        with client.pipeline(transaction=True) as pipe:
            pipe.watch("{t}a")
            assert pipe.get("{t}a") == b"2"
            client.set("{t}a", 10)
            pipe.multi()
            pipe.incr("{t}a")
            with pytest.raises(redis.WatchError):
                pipe.execute()
        assert client.get("{t}a") == b"10"


def test_optimistic_increments_lose_none(cluster: Cluster) -> None:
    """Four clients increment by WATCH, GET, MULTI, SET, EXEC, again when another was first."""
    port, _ = cluster.owner(b"counter")

    def increment() -> None:
        with cluster.node(port) as client:
            for _ in range(50):
                client.transaction(
                    lambda pipe: (
                        value := int(pipe.get("counter") or 0),
                        pipe.multi(),
                        pipe.set("counter", value + 1),
                    ),
                    "counter",
                )

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with cluster.node(port) as client:
        assert client.get("counter") == b"200"


def test_a_slot_that_moves_away_before_exec(cluster: Cluster) -> None:
    slot = key_slot(b"{leaving}")
    source, _ = cluster.owner(b"{leaving}")
    target = next(port for port in (cluster.owner(b"k%d" % n)[0] for n in range(100)) if port != source)
    with cluster.node(source) as client:
        connection = client.connection_pool.get_connection()
        try:
            for words in (["MULTI"], ["SET", "{leaving}", "v"]):
                connection.send_command(*words)
                connection.read_response()
            hand_over(cluster, slot, source, target)
            connection.send_command("EXEC")
            with pytest.raises(redis.ResponseError, match=f"{slot} 127.0.0.1:{target}"):
                connection.read_response()
            connection.send_command("EXEC")
            with pytest.raises(redis.ResponseError, match="EXEC without MULTI"):
                connection.read_response()
        finally:
            client.connection_pool.release(connection)
    wait_until(lambda: cluster.owner(b"{leaving}")[0] == target, "the move is known")
    hand_over(cluster, slot, target, source)
    wait_until(lambda: cluster.owner(b"{leaving}")[0] == source, "the move back is known")
