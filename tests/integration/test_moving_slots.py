"""redis-cli, unmodified, moves the slots of our nodes while redis-py reads and writes them; nodes are killed
in the midst of it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from gossip.slots import key_slot

DEADLINE_S = 60.0
NODE_TIMEOUT_MS = 1500
REDIS_CLI = shutil.which("redis-cli")

pytestmark = pytest.mark.skipif(REDIS_CLI is None, reason="redis-cli is not installed")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < end_s, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.02)


class Nodes:
    """Nodes that keep an append-only file, so that one that was killed comes back with its data. `start` does
    not wait until they are up.
    """

    def __init__(self, start: Callable[..., Any], options: tuple[str, ...]) -> None:
        self._start = start
        self._options = options
        self.processes: dict[int, Any] = {}

    def start(self, count: int) -> list[int]:
        for _ in range(count):
            node = self._start("--cluster-enabled", "yes", *self._options)
            self.processes[node.port] = node
        ports = list(self.processes)[-count:]
        for port in ports:
            self.processes[port].wait_for_log("Ready to accept connections")
        return ports

    def kill(self, port: int) -> None:
        self.processes[port].process.send_signal(signal.SIGKILL)
        self.processes[port].process.wait()

    def start_again(self, port: int) -> None:
        directory = str(self.processes[port].directory)
        options = ("--cluster-enabled", "yes", *self._options, "--dir", directory)
        self.processes[port] = self._start(*options, port=port)
        self.processes[port].directory = directory
        self.processes[port].wait_for_log("Ready to accept connections")

    def node(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, decode_responses=True, socket_timeout=60, retry=Retry(NoBackoff(), 0))

    def id_of(self, port: int) -> str:
        with self.node(port) as node:
            return str(node.execute_command("CLUSTER MYID"))

    def client(self) -> RedisCluster:
        starts = [ClusterNode("127.0.0.1", port) for port in self.processes]
        return RedisCluster(startup_nodes=starts, decode_responses=True)

    def agree(self) -> bool:
        """Whether every node is ok and knows all of them, and all have the same map."""
        maps = []
        for port in self.processes:
            with self.node(port) as node:
                told = node.cluster("INFO")
                if told["cluster_state"] != "ok" or int(told["cluster_known_nodes"]) != len(self.processes):
                    return False
                slots = node.execute_command("CLUSTER SLOTS", NEVER_DECODE=True)
                maps.append(sorted((first, last, primary[1]) for first, last, primary, *_ in slots))
        return all(one == maps[0] for one in maps)

    def key_count(self) -> int:
        """Of all nodes together."""
        total = 0
        for port in self.processes:
            with self.node(port) as node:
                total += node.dbsize()
        return total

    def owned(self, port: int) -> list[int]:
        with self.node(port) as node:
            ranges = node.execute_command("CLUSTER SLOTS", NEVER_DECODE=True)
        return [s for first, last, p, *_ in ranges if p[1] == port for s in range(first, last + 1)]


def cli(*words: str | int, status: int = 0) -> str:
    assert REDIS_CLI is not None
    done = subprocess.run(
        [REDIS_CLI, "--cluster", *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def shared(module_starter: Any) -> Nodes:
    """Three primaries, put together by redis-cli."""
    debug = ("--enable-debug-command", "local")  # redis-cli compares values by their digests
    options = ("--appendonly", "yes", "--save", "", "--cluster-node-timeout", str(NODE_TIMEOUT_MS), *debug)
    nodes = Nodes(module_starter.start, options)
    cli("create", *map(address, nodes.start(3)), "--cluster-yes")
    return nodes


@pytest.fixture
def nodes(shared: Nodes) -> Nodes:
    """The three, with no key and no open slot, and of one mind."""
    wait_until(shared.agree, "all nodes see the cluster")
    for port in shared.processes:
        with shared.node(port) as node:
            node.flushall()
    return shared


def fill(nodes: Nodes, slots: list[int], per_slot: int = 4) -> dict[str, str]:
    """Keys of these slots and what they hold."""
    expected: dict[str, str] = {}
    wanted = dict.fromkeys(slots, per_slot)
    number = 0
    while wanted:
        key = f"key:{number}"
        number += 1
        slot = key_slot(key.encode())
        if slot in wanted:
            expected[key] = f"value of {key}"
            wanted[slot] -= 1
            if not wanted[slot]:
                del wanted[slot]
    with nodes.client() as client:
        for key, value in expected.items():
            client.set(key, value)
    return expected


class Traffic:
    """A client that writes ever greater numbers to keys, and reads each back."""

    def __init__(self, nodes: Nodes, keys: list[str]) -> None:
        self._nodes = nodes
        self._keys = keys
        self._end = threading.Event()
        self.written: dict[str, int] = {}
        self.failures: list[str] = []
        self.rounds = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._nodes.client() as client:
            while not self._end.is_set():
                self.rounds += 1
                for key in self._keys:
                    try:
                        client.set(key, self.rounds)
                        self.written[key] = self.rounds
                        found = client.get(key)
                        if found != str(self.rounds):
                            self.failures.append(f"{key}: wrote {self.rounds}, read {found}")
                    except redis.RedisError as failed:
                        self.failures.append(f"{key}: {failed!r}")

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()


def test_reshard_under_traffic(nodes: Nodes) -> None:
    """No error is visible to a client, and nothing is lost or there twice."""
    source, target, _ = nodes.processes
    slots = nodes.owned(source)[:30]
    expected = fill(nodes, slots)
    traffic = Traffic(nodes, [f"{key}:{{{key}}}" for key in list(expected)[:40]])
    move = ("--cluster-from", nodes.id_of(source), "--cluster-to", nodes.id_of(target))
    with traffic.running():
        cli("reshard", address(source), *move, "--cluster-slots", len(slots), "--cluster-yes")
        rounds = traffic.rounds
        wait_until(lambda: traffic.rounds > rounds + 1 or bool(traffic.failures), "traffic goes on")
    assert traffic.failures == []
    wait_until(nodes.agree, "all nodes see the new owner")
    assert set(slots) <= set(nodes.owned(target))
    with nodes.client() as client:
        assert {key: client.get(key) for key in expected} == expected
        assert {key: int(client.get(key)) for key in traffic.written} == traffic.written
    assert nodes.key_count() == len(expected) + len(traffic.written)
    assert "All 16384 slots covered" in cli("check", address(source))


def test_import_from_redis(nodes: Nodes, start_redis: Callable[..., Any]) -> None:
    """redis-cli tells redis-server to MIGRATE its keys to us."""
    old = start_redis()
    ours = next(iter(nodes.processes))
    with redis.Redis(port=old.port, decode_responses=True) as server:
        server.mset({f"old:{number}": number for number in range(200)})
        server.hset("hash", mapping={f"field:{number}": number for number in range(5000)})
        server.zadd("zset", {f"member:{number}": number for number in range(5000)})
        server.rpush("list", *range(5000))
        server.set("brief", "v", px=60_000)
        cli("import", address(ours), "--cluster-from", address(old.port))
        assert server.dbsize() == 0
    with nodes.client() as client:
        assert client.mget_nonatomic([f"old:{number}" for number in range(200)]) == list(map(str, range(200)))
        assert client.hlen("hash") == client.zcard("zset") == client.llen("list") == 5000
        assert 0 < client.pttl("brief") <= 60_000


def test_fix_closes_a_slot_that_was_left_open(nodes: Nodes) -> None:
    """Some of its keys here, some there, one of them on both sides. Most are at the source: redis-cli gives
    the slot to who has most, before it moves the others, and a source that hears of it too early would delete
    what it still has of a slot that it has lost.
    """
    source, target, _ = nodes.processes
    slot = nodes.owned(source)[7]
    expected = fill(nodes, [slot], per_slot=10)
    keys = list(expected)
    with nodes.node(source) as ours, nodes.node(target) as theirs:
        theirs.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", nodes.id_of(source))
        ours.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", nodes.id_of(target))
        ours.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys[:3])
        ours.execute_command("MIGRATE", "127.0.0.1", target, keys[3], 0, 5000, "COPY")
        assert ours.dbsize() == 7
        assert theirs.dbsize() == 4
    cli("check", address(source), status=1)
    cli("fix", address(source), "--cluster-yes")
    wait_until(nodes.agree, "all nodes see one owner")
    cli("check", address(source))
    with nodes.client() as client:
        assert {key: client.get(key) for key in expected} == expected
    assert nodes.key_count() == len(expected)


@pytest.mark.parametrize("victim", ["source", "target"])
def test_killed_in_the_midst_of_a_move(nodes: Nodes, victim: str) -> None:
    """It comes back with open slots and what it had; `fix` puts together what belongs together."""
    source, target, _ = nodes.processes
    slots = nodes.owned(source)[:60]
    expected = fill(nodes, slots)
    killed = source if victim == "source" else target
    ids = {port: nodes.id_of(port) for port in nodes.processes}
    assert REDIS_CLI is not None
    move = ["--cluster-from", ids[source], "--cluster-to", ids[target], "--cluster-slots", str(len(slots))]
    reshard = subprocess.Popen(
        [REDIS_CLI, "--cluster", "reshard", address(source), *move, "--cluster-yes"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with nodes.node(target) as theirs:
        wait_until(lambda: theirs.dbsize() > len(expected) // 4, "some slots have moved")
    nodes.kill(killed)
    assert reshard.wait(timeout=60) != 0, "it has failed in the midst"
    nodes.start_again(killed)
    wait_until(nodes.agree, "the killed node is back")
    cli("fix", address(source), "--cluster-yes")
    wait_until(nodes.agree, "all nodes see one owner of each slot")
    cli("check", address(source))
    with nodes.client() as client:
        assert {key: client.get(key) for key in expected} == expected
    assert nodes.key_count() == len(expected)


def test_open_slots_survive_a_kill(nodes: Nodes) -> None:
    """They stand in nodes.conf, and CLUSTER NODES shows them again."""
    source, target, _ = nodes.processes
    slot = nodes.owned(source)[3]
    with nodes.node(source) as ours, nodes.node(target) as theirs:
        ours.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", nodes.id_of(target))
        theirs.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", nodes.id_of(source))
    ids = {port: nodes.id_of(port) for port in (source, target)}
    for port, mark in ((source, f"[{slot}->-{ids[target]}]"), (target, f"[{slot}-<-{ids[source]}]")):
        nodes.kill(port)
        nodes.start_again(port)
        client = nodes.processes[port].connect()
        assert mark.encode() in client.call("CLUSTER", "NODES")
        client.call("CLUSTER", "SETSLOT", slot, "STABLE")


def test_a_client_that_waits_is_sent_after_the_slot(nodes: Nodes) -> None:
    source, target, _ = nodes.processes
    slot = nodes.owned(source)[5]
    [key] = fill(nodes, [slot], per_slot=1)
    waiting = nodes.processes[source].connect()
    with nodes.node(source) as ours, nodes.node(target) as theirs:
        ours.delete(key)
        waiting.send(b"BLPOP %b 0\r\n" % key.encode())
        wait_until(lambda: ours.info("clients")["blocked_clients"] == 1, "it waits")
        theirs.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", nodes.id_of(source))
        ours.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", nodes.id_of(target))
        theirs.execute_command("CLUSTER SETSLOT", slot, "NODE", nodes.id_of(target))
        ours.execute_command("CLUSTER SETSLOT", slot, "NODE", nodes.id_of(target))
    assert str(waiting.reply()) == f"MOVED {slot} 127.0.0.1:{target}"


@pytest.mark.slow
def test_nodes_come_and_go(nodes: Nodes) -> None:
    """add-node, rebalance --cluster-use-empty-masters, call, rebalance by weight, del-node, under traffic."""
    first = next(iter(nodes.processes))
    expected = fill(nodes, list(range(0, 16384, 40)), per_slot=1)
    traffic = Traffic(nodes, [f"{key}:{{{key}}}" for key in list(expected)[:50]])
    with traffic.running():
        [new] = nodes.start(1)
        cli("add-node", address(new), address(first))
        wait_until(nodes.agree, "the new node is known")
        cli("rebalance", address(first), "--cluster-use-empty-masters")
        wait_until(nodes.agree, "the new map is known")
        assert len(nodes.owned(new)) > 4000
        assert address(new) in cli("call", address(first), "PING")
        cli("rebalance", address(first), "--cluster-weight", f"{nodes.id_of(new)}=0")
        wait_until(lambda: not nodes.owned(new), "the new node has no slots")
        cli("del-node", address(first), nodes.id_of(new))
        del nodes.processes[new]
    assert traffic.failures == []
    with nodes.client() as client:
        assert {key: client.get(key) for key in expected} == expected
        assert {key: int(client.get(key)) for key in traffic.written} == traffic.written
