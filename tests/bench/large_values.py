"""Bitmaps, HyperLogLogs and geospatial searches: one Shoal node beside redis-server, a command at a time.

Prints the shortest time of several for each command, as a client sees it, and the ratio; for commands on a
long string also the bits a second. Shortest times are steadiest on a machine that others use, too.

    python tests/bench/large_values.py [--megabytes 100]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parents[2]
MB = 1 << 20
START_DEADLINE_S = 20.0
Command = tuple[str | bytes | int, ...]


@contextlib.contextmanager
def server(name: str, command: list[str]) -> Iterator[redis.Redis]:
    """Starts a server in a directory of its own."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as directory:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        arguments = [*command, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with Path(directory, "log").open("wb") as log:
            process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=ROOT)
        client = redis.Redis(port=port)
        try:
            deadline = time.monotonic() + START_DEADLINE_S
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    break
                if time.monotonic() > deadline:
                    raise SystemExit(f"{name} does not answer")
                time.sleep(0.05)
            yield client
        finally:
            client.close()
            process.terminate()
            process.wait()


def fill(client: redis.Redis, megabytes: int) -> None:
    """The values that are measured."""
    noise = os.urandom(MB)
    for number in range(megabytes):
        client.setrange("noise", number * MB, noise)
        client.setrange("other", number * MB, noise[::-1])
    client.setbit("sparse", megabytes * MB * 8 - 1, 1)
    client.setbit("ten", 10 * MB * 8 - 1, 1)
    for start in range(0, 100_000, 10_000):
        client.pfadd("dense", *range(start, start + 10_000))
        client.pfadd("other dense", *range(start + 50_000, start + 60_000))
    client.pfadd("sparse hll", *range(1000))
    rng = random.Random(1)
    for _ in range(100):
        places = [(rng.uniform(-10, 10), rng.uniform(35, 50), rng.randbytes(8)) for _ in range(1000)]
        client.geoadd("places", [part for place in places for part in place])


def commands(megabytes: int) -> list[tuple[Command, int]]:
    """What is measured, and how many bits it goes through (0: not told)."""
    bits = megabytes * MB * 8
    centre = ("FROMLONLAT", 2, 44, "BYRADIUS")
    return [
        (("BITCOUNT", "noise"), bits),
        (("BITCOUNT", "sparse"), bits),
        (("BITCOUNT", "noise", 5, -5, "BIT"), bits),
        (("BITPOS", "sparse", 1), bits),
        (("BITOP", "AND", "target", "noise", "other"), bits),
        (("BITOP", "XOR", "target", "noise", "other"), bits),
        (("BITOP", "NOT", "target", "noise"), bits),
        (("SETBIT", "ten", 12345, 1), 0),
        (("APPEND", "ten", "x"), 0),
        (("SETRANGE", "ten", 5_000_000, "patch"), 0),
        (("BITFIELD", "ten", "INCRBY", "u8", "#1000", 1), 0),
        (("GETBIT", "ten", 12345), 0),
        (("PFADD", "sparse hll", "element"), 0),
        (("PFADD", "dense", "element"), 0),
        (("PFCOUNT", "dense", "missing"), 0),
        (("PFCOUNT", "dense", "other dense"), 0),
        (("PFMERGE", "union", "dense", "other dense"), 0),
        (("PFMERGE", "union of sparse", "sparse hll"), 0),
        (("GEOSEARCH", "places", *centre, 10, "km", "ASC"), 0),
        (("GEOSEARCH", "places", *centre, 100, "km", "ASC"), 0),
        (("GEOSEARCH", "places", *centre, 1000, "km", "COUNT", 10, "ANY"), 0),
        (("GEODIST", "places", "a", "b"), 0),
    ]


def shortest_s(client: redis.Redis, command: Command) -> float:
    """The shortest time from request to reply, of at least five and for about half a second."""
    times: list[float] = []
    end = time.perf_counter() + 0.5
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 2000):
        start = time.perf_counter()
        client.execute_command(*command)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100, help="length of the long strings")
    megabytes = parser.parse_args().megabytes
    with (
        server("shoal", [sys.executable, "-m", "node"]) as ours,
        server("redis-server", ["redis-server"]) as theirs,
    ):
        for client in (ours, theirs):
            fill(client, megabytes)
        print(f"{'command':58}{'shoal':>12}{'redis':>12}{'ratio':>8}{'Gbit/s':>9}")
        for command, bits in commands(megabytes):
            times = [shortest_s(client, command) for client in (ours, theirs)]
            rate = f"{bits / times[0] / 1e9:9.1f}" if bits else ""
            shown = " ".join(str(word) for word in command)
            print(
                f"{shown:58}{times[0] * 1e3:9.3f} ms{times[1] * 1e3:9.3f} ms{times[0] / times[1]:8.1f}{rate}"
            )


if __name__ == "__main__":
    main()
