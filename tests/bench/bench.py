"""One Shoal node beside redis-server, measured in turns: strings in cluster mode owning all slots, the other
types in standalone mode (redis-benchmark's MSET names keys of many slots).

`make bench` prints medians of redis-benchmark's rates and of the server's CPU time a command, their ratios,
and the memory a key takes. Server and client are pinned to a core each when there are two. The machine is
shared and noisy, so the ratios of one run are what counts; CPU time a command is the steadier of the two.

`persistence` is what keeping data costs: saving, loading, copying to a replica, and writing beside that;
`pauses`, what a client waits meanwhile (snapshots.py, persistence.py and pauses.py beside this file tell
more).

    python tests/bench/bench.py [--rounds 5] [--quick] [--json] [--tests ZADD,]
                                [--only strings|types|memory|persistence|pauses]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pauses
import persistence
import snapshots

ROOT = Path(__file__).resolve().parents[2]
DEPTHS = {1: 60_000, 16: 400_000, 64: 600_000}
"""Pipeline depth → requests a round."""
TYPE_DEPTHS = {1: 30_000, 16: 150_000}
TYPES: dict[str, list[str]] = {
    "INCR": ["-t", "incr"],
    "LPUSH": ["-t", "lpush"],
    "RPOP": ["-t", "rpop"],
    "SADD": ["-t", "sadd"],
    "HSET": ["-t", "hset"],
    "SPOP": ["-t", "spop"],
    "ZADD": ["-t", "zadd"],
    "ZPOPMIN": ["-t", "zpopmin"],
    "LRANGE_100": ["-t", "lrange"],
    "MSET": ["-t", "mset"],
    "XADD": ["XADD", "stream:bench", "*", "field", "__rand_int__"],
    "EVAL": ["EVAL", "return redis.call('INCR', KEYS[1])", "1", "counter:__rand_int__"],
    "PUBLISH": ["PUBLISH", "channel:bench", "message"],
}
"""Name → what redis-benchmark is told; LRANGE_100 is the first of the four ranges its test measures,
PUBLISH has one subscriber.
"""

MEMORY_KEYS = 1_000_000
KEPT_KEYS = 1_000_000
CLIENTS = 50
VALUE_BYTES = 32


class Server:
    """A server process with its port; `cpu_s` is what it has used so far, user and system."""

    def __init__(
        self, name: str, command: list[str], directory: str, cpu: str | None, in_cluster: bool
    ) -> None:
        self.name = name
        self.port = free_port()
        pinned = ["taskset", "-c", cpu] if cpu is not None else []
        args = ["--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", directory]
        args += ["--bind", "127.0.0.1", "--cluster-enabled", "yes" if in_cluster else "no"]
        args += ["--cluster-config-file", f"nodes-{self.port}.conf"]
        self.process = subprocess.Popen(
            [*pinned, *command, *args], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: self.ask("PING") == "PONG", f"{name} answers")
        if in_cluster:
            self.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            wait_for(lambda: "cluster_state:ok" in self.ask("CLUSTER", "INFO"), f"{name} says ok")

    def ask(self, *args: str) -> str:
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *args], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """A client port below 22000 whose bus port (10000 above) is free too."""
    for port in range(18000, 22000):
        try:
            for number in (port, port + 10000):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port
    raise SystemExit("bench: no free port between 18000 and 22000")


def wait_for(condition, what: str, timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            raise SystemExit(f"bench: gave up waiting until {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def subscriber(server: Server, pinned: list[str]) -> Iterator[None]:
    """A client that is subscribed to what PUBLISH publishes to."""
    channel = TYPES["PUBLISH"][1]
    command = [*pinned, "redis-cli", "-p", str(server.port), "SUBSCRIBE", channel]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as listener:
        wait_for(lambda: server.ask("PUBSUB", "NUMSUB", channel).endswith("1"), "somebody is subscribed")
        yield
        listener.kill()


def measure(
    server: Server, what: list[str], depth: int, requests: int, cpu: str | None
) -> tuple[float, float]:
    """(requests a second, microseconds of server CPU a request) of one run of redis-benchmark."""
    pinned = ["taskset", "-c", cpu] if cpu is not None else []
    before_s = server.cpu_s()
    with subscriber(server, pinned) if what[0] == "PUBLISH" else contextlib.nullcontext():
        done = subprocess.run(
            [
                *pinned, "redis-benchmark", "-p", str(server.port), "-P", str(depth), "-n", str(requests),
                "-c", str(CLIENTS), "-d", str(VALUE_BYTES), "-r", "100000", "--csv", *what,
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    used_s = server.cpu_s() - before_s
    rows = [row for row in csv.reader(io.StringIO(done.stdout)) if row and row[0] != "test"]
    ours = [row for row in rows if "needed to benchmark" not in row[0]]
    runs = len(rows)
    return float(ours[0][1]), used_s / (requests * runs) * 1e6


def fill(server: Server, commands: Iterable[list[bytes]]) -> None:
    """Sends commands in pipelines of 500 and waits for as many replies of a line each."""
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        for batch in batched(commands, 500):
            link.sendall(b"".join(encode(command) for command in batch))
            waited = len(batch)
            while waited:
                waited -= link.recv(65536).count(b"\r\n")


def encode(command: list[bytes]) -> bytes:
    head = b"*%d\r\n" % len(command)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in command)


def batched(items: Iterable[list[bytes]], size: int) -> Iterator[list[list[bytes]]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def small_strings() -> Iterator[list[bytes]]:
    for number in range(MEMORY_KEYS):
        yield [b"SET", b"k%09d" % number, b"value%05d" % (number % 100_000)]


def small_hashes() -> Iterator[list[bytes]]:
    for number in range(100_000):
        fields = [word for n in range(10) for word in (b"field%d" % n, b"value%05d" % n)]
        yield [b"HSET", b"hash:%d" % number, *fields]


def small_lists() -> Iterator[list[bytes]]:
    for number in range(100_000):
        yield [b"RPUSH", b"list:%d" % number, *(b"element%d" % n for n in range(10))]


def one_zset() -> Iterator[list[bytes]]:
    for number in range(100_000):
        yield [b"ZADD", b"zset", b"%d" % (number * 7919 % 1_000_003), b"member:%d" % number]


def one_set() -> Iterator[list[bytes]]:
    for number in range(1_000_000):
        yield [b"SADD", b"set", b"member:%d" % number]


MEMORY: dict[str, tuple[Callable[[], Iterator[list[bytes]]], int]] = {
    "a million strings of 10 + 10 bytes": (small_strings, MEMORY_KEYS),
    "100,000 hashes of ten fields": (small_hashes, 100_000),
    "100,000 lists of ten elements": (small_lists, 100_000),
    "a sorted set of 100,000": (one_zset, 100_000),
    "a set of a million": (one_set, 1_000_000),
}
"""What is stored → how, and how many units its bytes are divided by."""


def memory_of(server: Server, what: str) -> float:
    """Bytes of resident memory a unit."""
    commands, units = MEMORY[what]
    before = server.rss_bytes()
    fill(server, commands())
    return (server.rss_bytes() - before) / units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each measure; medians are printed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, no memory measure")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=("strings", "types", "memory", "persistence", "pauses"))
    parser.add_argument("--tests", help="names of commands, with commas between: no others are measured")
    options = parser.parse_args()
    for needed in ("redis-server", "redis-benchmark", "redis-cli"):
        if shutil.which(needed) is None:
            raise SystemExit(
                f"bench: {needed} is not installed (on Debian: apt-get install redis-server redis-tools)"
            )
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu, client_cpu = (str(cpus[0]), str(cpus[1])) if len(cpus) > 1 else (None, None)
    results: Results = {}
    parts = {"strings": (True, run_strings), "types": (False, run_types)}
    for part, (in_cluster, run) in parts.items():
        if options.only in (None, part):
            with servers(server_cpu, in_cluster) as pair:
                run(pair, options, client_cpu, results)
    if options.only in (None, "memory") and not options.quick and not options.tests:
        run_memory(server_cpu, results)
    if options.only in (None, "persistence") and not options.tests:
        run_persistence(options, results)
    found = {}
    if options.only in (None, "pauses") and not options.tests:
        found = pauses.latencies(kept_keys(options), min(options.rounds, 3))
        for situation, by_server in found.items():
            for at, what in enumerate(("median", "p99", "longest")):
                times = {name: [figures[at]] for name, figures in by_server.items()}
                results[f"an answer, {situation}: {what}, ms"] = times
    show(results, options.json)


Results = dict[str, dict[str, list[float]]]
"""Measure → server → the figures of every round."""


@contextlib.contextmanager
def servers(cpu: str | None, in_cluster: bool) -> Iterator[list[Server]]:
    """Both servers, fresh."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        started: list[Server] = []
        try:
            for name, command in (("shoal", [sys.executable, "-m", "node"]), ("redis", ["redis-server"])):
                started.append(Server(name, command, directory, cpu, in_cluster))
            yield started
        finally:
            for server in started:
                server.stop()


def run_strings(pair: list[Server], options: argparse.Namespace, cpu: str | None, results: Results) -> None:
    tests = {"SET": ["-t", "set"], "GET": ["-t", "get"]}
    run_rates(pair, options, cpu, results, tests, DEPTHS)


def run_types(pair: list[Server], options: argparse.Namespace, cpu: str | None, results: Results) -> None:
    run_rates(pair, options, cpu, results, TYPES, TYPE_DEPTHS)


def run_rates(
    pair: list[Server],
    options: argparse.Namespace,
    cpu: str | None,
    results: Results,
    tests: dict[str, list[str]],
    depths: dict[int, int],
) -> None:
    if options.tests:
        tests = {name: what for name, what in tests.items() if name in options.tests.split(",")}
    for _ in range(options.rounds):
        for depth, requests in depths.items():
            count = requests // 10 if options.quick else requests
            for name, what in tests.items():
                for server in pair:
                    rate, cpu_us = measure(server, what, depth, count, cpu)
                    measured = (
                        (f"{name} depth {depth}, requests/s", rate),
                        (f"{name} depth {depth}, CPU us", cpu_us),
                    )
                    for row, figure in measured:
                        results.setdefault(row, {}).setdefault(server.name, []).append(figure)


def run_memory(cpu: str | None, results: Results) -> None:
    """Each with fresh servers, since memory freed by one would hide what the next takes."""
    for what in MEMORY:
        with servers(cpu, in_cluster=False) as pair:
            for server in pair:
                results.setdefault(f"{what}, bytes each", {})[server.name] = [memory_of(server, what)]


def kept_keys(options: argparse.Namespace) -> int:
    return KEPT_KEYS // 10 if options.quick else KEPT_KEYS


def run_persistence(options: argparse.Namespace, results: Results) -> None:
    """Only the servers of SET with an append-only file are pinned: children need processors too."""
    rounds, keys = min(options.rounds, 3), kept_keys(options)
    what = f"{keys:,} small keys"
    for name in ("shoal", "redis"):
        figures = snapshots.measure(name, keys, rounds)
        ratios = [beside / alone for alone, beside in map(figures.sets, (0, 2))]
        of_one: dict[str, list[float]] = {
            f"SAVE of {what}, s": figures.saves,
            f"BGSAVE of {what}, s": figures.background,
            f"load of {what}, s": figures.loads,
            f"full sync of {what}, s": figures.syncs,
            "SET depth 16 beside BGSAVE, of the rate without": [ratios[0]],
            "SET depth 16 beside BGSAVE, of the CPU without": [ratios[1]],
        }
        for row, values in of_one.items():
            results.setdefault(row, {})[name] = values
    requests = persistence.SECTIONS["aof"][1] // (5 if options.quick else 1)
    rates, cpu_us = persistence.sets(options.rounds, requests, 16, CLIENTS, ("off", "everysec"))
    for row, measured in (("rate", rates), ("CPU", cpu_us)):
        for name in ("shoal", "redis"):
            middles = [statistics.median(measured[name, mode]) for mode in ("everysec", "off")]
            what = f"SET depth 16 with appendonly everysec, of the {row} without"
            results.setdefault(what, {})[name] = [middles[0] / middles[1]]


def show(results: dict[str, dict[str, list[float]]], as_json: bool) -> None:
    medians = {
        measure: {name: statistics.median(values) for name, values in by_server.items()}
        for measure, by_server in results.items()
    }
    if as_json:
        print(json.dumps(medians, indent=2))
        return
    print(f"{'':60}{'shoal':>12}{'redis 7.0':>12}{'ratio':>8}")
    for measure, by_server in sorted(
        medians.items(), key=lambda item: ("CPU us" in item[0], "each" in item[0])
    ):
        ours, theirs = by_server["shoal"], by_server["redis"]
        digits = 0 if "requests/s" in measure or "each" in measure else 2
        print(f"{measure:60}{ours:12.{digits}f}{theirs:12.{digits}f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
