"""How long 2,000 slots take to move, as a ratio to `redis-cli --cluster reshard` on redis-server nodes.

    python tests/bench/reshard.py [--keys 200000] [--hashes 50] [--fields 10000] [--slots 2000]
                                  [--clients 0] [--json]

In one run, on three primaries each: redis-server nodes with redis-cli, the same with ctl, Shoal nodes with
ctl by atomic migration, and by MIGRATE. Each cluster holds the same keys; after each move every key is read
and compared. With --clients so many redis-py clients read and write all over meanwhile: their errors and
their longest wait are reported (and the times are longer for it). CPU seconds are those of the nodes and of
the tool together: on a machine that does other things they say more than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import hiredis
from redis.cluster import RedisCluster

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gossip.slots import key_slot  # noqa: E402

CTL = str(Path(sys.executable).with_name("ctl"))
AT_ONCE = 500


@dataclass
class Load:
    """What every cluster holds."""

    keys: int
    hashes: int
    fields: int

    def string(self, number: int) -> tuple[bytes, bytes]:
        return b"key:%d" % number, b"value-%d-" % number + b"x" * 20

    def hash(self, number: int) -> tuple[bytes, dict[bytes, bytes]]:
        return b"hash:%d" % number, {b"field:%d" % n: b"value:%d" % (n * number) for n in range(self.fields)}


@dataclass
class Report:
    name: str
    seconds: float
    ratio: float = 0.0
    cpu_seconds: float = 0.0
    client_errors: list[str] = field(default_factory=list)
    client_operations: int = 0
    longest_wait_ms: float = 0.0
    outcome: str = ""


class Cluster:
    """Three primaries, made by ctl in a temporary directory."""

    def __init__(self, directory: str, server: str | None) -> None:
        self.directory = directory
        options = ["--server", server] if server else []
        self.ctl("create", "--nodes", "3", "--replicas", "0", *options, "--node-option", "save=")
        self.ports = [int(node["address"].rpartition(":")[2]) for node in self._nodes()]

    def ctl(self, *words: str) -> str:
        done = subprocess.run(
            [CTL, "cluster", *words, "--dir", self.directory], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"bench: ctl {words[0]} failed: {done.stderr or done.stdout}")
        return done.stdout

    def _nodes(self) -> list[Any]:
        nodes: list[Any] = json.loads(self.ctl("status", "--json"))["nodes"]
        return nodes

    def cpu_seconds(self) -> float:
        """Of all nodes until now."""
        record = json.loads(Path(self.directory, "cluster.json").read_text())
        ticks = 0
        for node in record["nodes"]:
            fields = Path(f"/proc/{node['process']['pid']}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def owners(self) -> dict[int, int]:
        """The port by slot."""
        owners = {}
        for node in self._nodes():
            for first, last in node["slots"]:
                owners.update(dict.fromkeys(range(first, last + 1), int(node["address"].rpartition(":")[2])))
        return owners

    def pipeline(self, commands: Sequence[tuple[bytes, ...]]) -> Iterator[tuple[tuple[bytes, ...], Any]]:
        """Each command with its reply, from the owner of its first key."""
        owners = self.owners()
        by_port: dict[int, list[tuple[bytes, ...]]] = {}
        for command in commands:
            by_port.setdefault(owners[key_slot(command[1])], []).append(command)
        for port, theirs in by_port.items():
            reader = hiredis.Reader()
            with socket.create_connection(("127.0.0.1", port)) as link:
                for start in range(0, len(theirs), AT_ONCE):
                    some = theirs[start : start + AT_ONCE]
                    link.sendall(b"".join(map(hiredis.pack_command, some)))
                    for command in some:
                        while (reply := reader.gets()) is False:
                            reader.feed(link.recv(1 << 20))
                        yield command, reply

    def fill(self, load: Load) -> None:
        commands: list[tuple[bytes, ...]] = [(b"SET", *load.string(n)) for n in range(load.keys)]
        for number in range(load.hashes):
            key, fields = load.hash(number)
            items = [word for pair in fields.items() for word in pair]
            commands += [(b"HSET", key, *items[at : at + 2000]) for at in range(0, len(items), 2000)]
        for command, reply in self.pipeline(commands):
            if isinstance(reply, hiredis.ReplyError):
                raise SystemExit(f"bench: {command[0]!r}: {reply}")

    def verify(self, load: Load) -> None:
        wanted: dict[bytes, Any] = dict(load.string(n) for n in range(load.keys))
        hashes = dict(load.hash(n) for n in range(load.hashes))
        for command, reply in self.pipeline([(b"GET", key) for key in wanted]):
            if reply != wanted[command[1]]:
                raise SystemExit(f"bench: {command[1]!r} is {reply!r}")
        for command, reply in self.pipeline([(b"HGETALL", key) for key in hashes]):
            if dict(zip(reply[::2], reply[1::2], strict=True)) != hashes[command[1]]:
                raise SystemExit(f"bench: {command[1]!r} has other fields")

    def destroy(self) -> None:
        self.ctl("destroy", "--yes", "--timeout", "1")


class Clients:
    """redis-py clients that write numbers and read them back until `stop`."""

    def __init__(self, port: int, count: int) -> None:
        self.errors: list[str] = []
        self.operations = 0
        self.longest_s = 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(port, n)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, port: int, number: int) -> None:
        client = RedisCluster(host="127.0.0.1", port=port)
        turn = 0
        while not self._ended.is_set():
            turn += 1
            key, value = f"client:{number}:{turn % 5000}", str(turn)
            started = time.perf_counter()
            try:
                client.set(key, value)
                found = client.get(key)
                if found != value.encode():
                    self.errors.append(f"{key} is {found!r}, not {value}")
            except Exception as error:  # noqa: BLE001  every error that a client sees is what is counted
                self.errors.append(repr(error))
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            self.operations += 2
        for turn in range(5000):
            client.delete(f"client:{number}:{turn}")
        client.close()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def by_redis_cli(cluster: Cluster, slots: int) -> str:
    ids = {node["address"]: node["id"] for node in cluster._nodes()}
    target, *sources = [ids[f"127.0.0.1:{port}"] for port in cluster.ports]
    words = ["--cluster-from", ",".join(sources), "--cluster-to", target, "--cluster-slots", str(slots)]
    done = subprocess.run(
        ["redis-cli", "--cluster", "reshard", f"127.0.0.1:{cluster.ports[0]}", *words, "--cluster-yes"],
        capture_output=True,
        text=True,
    )
    if done.returncode or "[ERR]" in done.stdout:
        raise SystemExit(f"bench: redis-cli failed: {done.stdout[-500:]}")
    return ""


def by_ctl(cluster: Cluster, slots: int, *options: str) -> str:
    target = str(cluster.ports[0])
    return cluster.ctl("reshard", "--from", "all", "--to", target, "--slots", str(slots), "--yes", *options)


def measured(
    name: str, cluster: Cluster, load: Load, clients: int, move: Callable[[], str], back: bool
) -> Report:
    """One move, timed, with every key compared after it; `back` evens the cluster out again."""
    workers = Clients(cluster.ports[1], clients)
    started, nodes, tools = time.perf_counter(), cluster.cpu_seconds(), _tools_cpu_seconds()
    outcome = move()
    seconds = time.perf_counter() - started
    cpu_seconds = cluster.cpu_seconds() - nodes + _tools_cpu_seconds() - tools
    workers.stop()
    cluster.verify(load)
    if back:
        cluster.ctl("rebalance", "--yes", "--threshold", "0")
    first = outcome.splitlines()[0] if outcome else ""
    longest_ms = workers.longest_s * 1000
    return Report(name, seconds, 0.0, cpu_seconds, workers.errors, workers.operations, longest_ms, first)


def _tools_cpu_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--hashes", type=int, default=50)
    parser.add_argument("--fields", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load, slots, clients = Load(options.keys, options.hashes, options.fields), options.slots, options.clients
    reports: list[Report] = []
    with tempfile.TemporaryDirectory() as directory:
        for server in ("redis-server", None):
            cluster = Cluster(f"{directory}/{server or 'shoal'}", server)
            try:
                cluster.fill(load)
                if server:
                    moves = {
                        "redis-server, redis-cli": lambda c=cluster: by_redis_cli(c, slots),
                        "redis-server, ctl": lambda c=cluster: by_ctl(c, slots),
                    }
                else:
                    moves = {
                        "Shoal, ctl, atomic": lambda c=cluster: by_ctl(c, slots),
                        "Shoal, ctl, MIGRATE": lambda c=cluster: by_ctl(c, slots, "--no-atomic"),
                    }
                for number, (name, move) in enumerate(moves.items()):
                    reports.append(measured(name, cluster, load, clients, move, back=number == 0))
            finally:
                cluster.destroy()
    for report in reports:
        report.ratio = round(report.seconds / reports[0].seconds, 2)
    if options.json:
        print(json.dumps([asdict(report) for report in reports], indent=1))
        return
    for report in reports:
        seen = (
            f"  {report.client_operations} operations, {len(report.client_errors)} errors" if clients else ""
        )
        waited = f", longest {report.longest_wait_ms:.0f} ms" if clients else ""
        timed = f"{report.seconds:7.2f} s  ratio {report.ratio:.2f}  CPU {report.cpu_seconds:.2f} s"
        print(f"{report.name:<26}{timed}{seen}{waited}")
        print(f"    {report.outcome}" if report.outcome else "", end="\n" if report.outcome else "")


if __name__ == "__main__":
    main()
