"""What keeping data on disk costs: one Shoal node beside redis-server, measured in turns.

    python tests/bench/persistence.py [--only aof|replay] [--rounds 5] [--quick]

`aof`: SET with appendonly off, everysec and always, at pipeline 16 over 50 connections, and at pipeline 64
over four. For each the median rate, the CPU time a command, and two ratios: to the same server without an
AOF, and to redis-server with the same settings. `replay`: how long a start takes with an AOF of plain
commands.

The machine is shared and noisy: the ratios of one run count, and CPU time is the steadier measure. Server and
client have a core each when there are two.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_DEADLINE_S = 60.0
COMMANDS = {"shoal": [sys.executable, "-m", "node"], "redis": ["redis-server"]}
MODES = {
    "off": ["--appendonly", "no"],
    "everysec": ["--appendonly", "yes", "--appendfsync", "everysec"],
    "always": ["--appendonly", "yes", "--appendfsync", "always"],
}
LOADS = {"pipeline 16, 50 connections": (16, 50), "pipeline 64, 4 connections": (64, 4)}
REPLAYED_COMMANDS = 500_000


def _pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if (os.cpu_count() or 1) > 1 and shutil.which("taskset") else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server process of the benchmark's own, in a directory of its own."""

    name: str
    arguments: list[str]
    directory: str
    port: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> float:
        """Waits until it serves; returns the seconds that took."""
        command = [*_pinned(0), *COMMANDS[self.name], "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", self.directory, "--save", "", *self.arguments]
        start_s = time.monotonic()
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while self._ask() != b"+PONG\r\n":
            if self.process.poll() is not None or time.monotonic() - start_s > START_DEADLINE_S:
                sys.exit(f"{self.name} does not start")
            time.sleep(0.005)
        return time.monotonic() - start_s

    def _ask(self) -> bytes:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(b"PING\r\n")
            return client.recv(100)
        return b""

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def server(name: str, *arguments: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as directory:
        made = Server(name, list(arguments), directory)
        made.start()
        try:
            yield made
        finally:
            made.stop()


def _benchmark(port: int, requests: int, pipeline: int, connections: int) -> float:
    """Requests a second."""
    done = subprocess.run(
        [
            *_pinned(1), "redis-benchmark", "-p", str(port), "--csv", "-t", "set", "-r", "100000", "-d", "32",
            "-n", str(requests), "-P", str(pipeline), "-c", str(connections),
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(list(csv.reader(io.StringIO(done.stdout)))[-1][1])


Measured = dict[tuple[str, str], list[float]]
"""Server and mode → a figure of every round."""


def sets(
    rounds: int, requests: int, pipeline: int, connections: int, modes: Collection[str] = MODES
) -> tuple[Measured, Measured]:
    """Of SET: the rates a second, and the server's CPU time in us each."""
    rates: Measured = {}
    cpu_us: Measured = {}
    for _ in range(rounds):
        for name in COMMANDS:
            for mode in modes:
                with server(name, *MODES[mode]) as one:
                    before_s = one.cpu_s()
                    rate = _benchmark(one.port, requests, pipeline, connections)
                    rates.setdefault((name, mode), []).append(rate)
                    used_us = (one.cpu_s() - before_s) / requests * 1e6
                    cpu_us.setdefault((name, mode), []).append(used_us)
    return rates, cpu_us


def aof(rounds: int, requests: int) -> None:
    """Rates and CPU time of writes."""
    for title, (pipeline, connections) in LOADS.items():
        rates, cpu_us = sets(rounds, requests, pipeline, connections)
        print(f"SET, {title}")
        print(f"  {'':8}{'':10}{'a second':>10}{'CPU us':>8}{'to off':>8}{'CPU off/':>9}{'to redis':>9}")
        for (name, mode), values in rates.items():
            rate, used = statistics.median(values), statistics.median(cpu_us[name, mode])
            off, used_off = statistics.median(rates[name, "off"]), statistics.median(cpu_us[name, "off"])
            redis = statistics.median(rates["redis", mode])
            print(
                f"  {name:8}{mode:10}{rate:10,.0f}{used:8.2f}{rate / off:8.2f}{used_off / used:9.2f}"
                f"{rate / redis:9.2f}"
            )


def replay(rounds: int, requests: int) -> None:
    """The start with an AOF of commands; that of an empty node is subtracted."""
    took_s: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as directory:
        written = _write_aof(Path(directory), requests)
        for _ in range(rounds):
            for name in COMMANDS:
                with tempfile.TemporaryDirectory() as empty:
                    plain = Server(name, MODES["everysec"], empty)
                    nothing_s = plain.start()
                    plain.stop()
                one = Server(name, MODES["everysec"], directory)
                took_s[name].append(one.start() - nothing_s)
                one.stop()
    redis_s = statistics.median(took_s["redis"])
    print(f"replay of {requests:,} SETs ({written / 1e6:.0f} MB)")
    for name, values in took_s.items():
        median_s = statistics.median(values)
        print(
            f"  {name:8}{median_s:7.2f} s{requests / median_s:12,.0f}/s{written / median_s / 1e6:7.0f} MB/s"
            f"   {median_s / redis_s:5.2f}x redis-server's time"
        )


def _write_aof(directory: Path, count: int) -> int:
    """An AOF directory of one increment; returns its size in bytes."""
    (directory / "appendonlydir").mkdir()
    (directory / "appendonlydir" / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    command = b"*3\r\n$3\r\nSET\r\n$10\r\n%010d\r\n$10\r\n%010d\r\n"
    data = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n" + b"".join(command % (n, n) for n in range(count))
    return (directory / "appendonlydir" / "appendonly.aof.1.incr.aof").write_bytes(data)


SECTIONS: dict[str, tuple[Callable[[int, int], None], int]] = {
    "aof": (aof, 300_000),
    "replay": (replay, REPLAYED_COMMANDS),
}
"""Name → what measures it, and how many requests a round has."""


def main() -> None:
    """The sections asked for, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests, one round")
    options = parser.parse_args()
    for name in options.only or SECTIONS:
        section, requests = SECTIONS[name]
        section(1 if options.quick else options.rounds, requests // 5 if options.quick else requests)


if __name__ == "__main__":
    main()
