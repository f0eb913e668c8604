"""One Shoal node beside redis-server, both in cluster mode owning all slots, measured in turns.

`make bench` prints medians of redis-benchmark's rates and of the server's CPU time a command, their ratios,
and the memory a key takes. Server and client are pinned to a core each when there are two. The machine is
shared and noisy, so the ratios of one run are what counts; CPU time a command is the steadier of the two.

    python tests/bench/bench.py [--rounds 5] [--quick] [--json]
"""

from __future__ import annotations

import argparse
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPTHS = {1: 60_000, 16: 400_000, 64: 600_000}
"""Pipeline depth → requests a round."""
MEMORY_KEYS = 1_000_000
CLIENTS = 50
VALUE_BYTES = 32


class Server:
    """A server process with its port; `cpu_s` is what it has used so far, user and system."""

    def __init__(self, name: str, command: list[str], directory: str, cpu: str | None) -> None:
        self.name = name
        self.port = free_port()
        pinned = ["taskset", "-c", cpu] if cpu is not None else []
        args = ["--port", str(self.port), "--save", "", "--cluster-enabled", "yes", "--appendonly", "no"]
        args += [
            "--dir",
            directory,
            "--cluster-config-file",
            f"nodes-{self.port}.conf",
            "--bind",
            "127.0.0.1",
        ]
        self.process = subprocess.Popen(
            [*pinned, *command, *args], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: self.ask("PING") == "PONG", f"{name} answers")
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


def measure(server: Server, test: str, depth: int, requests: int, cpu: str | None) -> tuple[float, float]:
    """(requests a second, microseconds of server CPU a request) of one run of redis-benchmark."""
    pinned = ["taskset", "-c", cpu] if cpu is not None else []
    before_s = server.cpu_s()
    done = subprocess.run(
        [
            *pinned, "redis-benchmark", "-p", str(server.port), "-t", test, "-P", str(depth),
            "-n", str(requests), "-c", str(CLIENTS), "-d", str(VALUE_BYTES), "-r", "100000", "--csv",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    used_s = server.cpu_s() - before_s
    rows = [row for row in csv.reader(io.StringIO(done.stdout)) if row and row[0].lower() == test]
    return float(rows[0][1]), used_s / requests * 1e6


def memory_per_key(server: Server) -> float:
    """Bytes of resident memory a key of 10 bytes with a value of 10 bytes takes, from a million of them."""
    server.ask("FLUSHALL")
    before = server.rss_bytes()
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        for start in range(0, MEMORY_KEYS, 1000):
            batch = b"".join(
                b"*3\r\n$3\r\nSET\r\n$10\r\nk%09d\r\n$10\r\nvalue%05d\r\n" % (n, n % 100_000)
                for n in range(start, start + 1000)
            )
            link.sendall(batch)
            wanted = 1000 * len(b"+OK\r\n")
            while wanted:
                wanted -= len(link.recv(wanted))
    used = server.rss_bytes() - before
    server.ask("FLUSHALL")
    return used / MEMORY_KEYS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each measure; medians are printed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, no memory measure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for needed in ("redis-server", "redis-benchmark", "redis-cli"):
        if shutil.which(needed) is None:
            raise SystemExit(
                f"bench: {needed} is not installed (on Debian: apt-get install redis-server redis-tools)"
            )
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu, client_cpu = (str(cpus[0]), str(cpus[1])) if len(cpus) > 1 else (None, None)
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        servers: list[Server] = []
        try:
            for name, command in (("shoal", [sys.executable, "-m", "node"]), ("redis", ["redis-server"])):
                servers.append(Server(name, command, directory, server_cpu))
            results = run(servers, options, client_cpu)
        finally:
            for server in servers:
                server.stop()
    show(results, options.json)


def run(
    servers: list[Server], options: argparse.Namespace, cpu: str | None
) -> dict[str, dict[str, list[float]]]:
    """Measure → server → the figures of every round."""
    results: dict[str, dict[str, list[float]]] = {}
    for _ in range(options.rounds):
        for depth, requests in DEPTHS.items():
            for test in ("set", "get"):
                for server in servers:
                    count = requests // 10 if options.quick else requests
                    rate, cpu_us = measure(server, test, depth, count, cpu)
                    name = f"{test.upper()} depth {depth}"
                    results.setdefault(f"{name}, requests/s", {}).setdefault(server.name, []).append(rate)
                    results.setdefault(f"{name}, CPU us", {}).setdefault(server.name, []).append(cpu_us)
    if not options.quick:
        for server in servers:
            results.setdefault("memory, bytes a key", {})[server.name] = [memory_per_key(server)]
    return results


def show(results: dict[str, dict[str, list[float]]], as_json: bool) -> None:
    medians = {
        measure: {name: statistics.median(values) for name, values in by_server.items()}
        for measure, by_server in results.items()
    }
    if as_json:
        print(json.dumps(medians, indent=2))
        return
    print(f"{'':28}{'shoal':>12}{'redis 7.0':>12}{'ratio':>8}")
    for measure, by_server in sorted(
        medians.items(), key=lambda item: ("CPU" in item[0], "memory" in item[0])
    ):
        ours, theirs = by_server["shoal"], by_server["redis"]
        digits = 2 if "CPU" in measure else 0
        print(f"{measure:28}{ours:12.{digits}f}{theirs:12.{digits}f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
