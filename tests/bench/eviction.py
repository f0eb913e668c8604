"""How well eviction keeps what is asked for: hit rates of Shoal beside redis-server, and what it costs.

    python tests/bench/eviction.py [--keys 20000] [--accesses 400000] [--policy allkeys-lru …]

A client asks for keys by Zipf's law (exponent 1) and stores those that are not there, as a cache is used.
Each server's maxmemory is what it uses with `--keys` keys, a fifth of those asked for, so both hold as many;
it is corrected on the way. The first half of the accesses warms up; the hit rate is that of the second, the
same requests for both.
"""

from __future__ import annotations

import argparse
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import hiredis

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
UNIVERSE = 5  # as many times the keys that fit are asked for
BATCH = 50
VALUE = "v" * 400
POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl")
COMMANDS = {"shoal": [sys.executable, "-m", "node"], "redis": ["redis-server"]}


class Result(NamedTuple):
    """`keys` are those that were there at the end."""

    hit_rate: float
    keys: int
    evicted: int
    seconds: float


class Client:
    """One connection; `batch` gives the values of a pipeline's replies."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._reader = hiredis.Reader()

    def batch(self, requests: list[tuple[object, ...]]) -> list[object]:
        self.socket.sendall(b"".join(map(hiredis.pack_command, requests)))
        replies = []
        for _ in requests:
            while (value := self._reader.gets()) is False:
                data = self.socket.recv(1 << 20)
                if not data:
                    raise EOFError
                self._reader.feed(data)
            if isinstance(value, hiredis.ReplyError):
                raise value
            replies.append(value)
        return replies

    def call(self, *words: object) -> object:
        return self.batch([words])[0]

    def info(self, name: str) -> int:
        text = self.call("INFO", "everything")
        assert isinstance(text, bytes)
        return int(
            next(line for line in text.decode().split("\r\n") if line.startswith(f"{name}:")).split(":")[1]
        )


def zipf(keys: int, accesses: int, seed: int) -> list[int]:
    """Numbers of keys, the lower the more often, in no order of their names."""
    rng = random.Random(seed)
    names = list(range(keys))
    rng.shuffle(names)
    weights = list(accumulate(1 / rank for rank in range(1, keys + 1)))
    return rng.choices(names, cum_weights=weights, k=accesses)


def hold(client: Client, keys: int) -> int:
    """Sets the limit to what the server uses with `keys` keys; returns the bytes of one."""
    client.call("CONFIG", "SET", "maxmemory", 0)
    client.call("FLUSHALL")
    used_before = client.info("used_memory")
    for start in range(0, keys, BATCH):
        client.batch([("SET", f"key:{n:07}", VALUE, "EX", 10_000 + n) for n in range(start, start + BATCH)])
    used = client.info("used_memory")
    assert used > used_before
    client.call("FLUSHALL")
    client.call("CONFIG", "SET", "maxmemory", used)
    return (used - used_before) // keys


def fit(client: Client, keys: int, key_bytes: int) -> None:
    """Corrects the limit for the tables that the use of keys has made."""
    limit, there = client.info("maxmemory"), client.call("DBSIZE")
    assert isinstance(there, int)
    client.call("CONFIG", "SET", "maxmemory", limit + (keys - there) * key_bytes)


def run(client: Client, trace: list[int], keys: int, key_bytes: int) -> Result:
    """Asks for the keys of a trace, and stores what is missing."""
    looks = {len(trace) * part // (10 * BATCH) * BATCH for part in (2, 3, 4)}
    evicted = client.info("evicted_keys")
    hits = asked = 0
    begin_s = time.monotonic()
    for start in range(0, len(trace), BATCH):
        if start in looks:
            fit(client, keys, key_bytes)
        names = [f"key:{number:07}" for number in trace[start : start + BATCH]]
        found = client.batch([("GET", name) for name in names])
        if start >= len(trace) // 2:
            hits += sum(value is not None for value in found)
            asked += len(names)
        missing = {name for name, value in zip(names, found, strict=True) if value is None}
        client.batch([("SET", name, VALUE, "EX", 10_000 + int(name[4:])) for name in sorted(missing)])
    seconds = time.monotonic() - begin_s
    there = client.call("DBSIZE")
    assert isinstance(there, int)
    return Result(hits / asked, there, client.info("evicted_keys") - evicted, seconds)


def measure(port: int, policy: str, keys: int, accesses: int, seed: int = 1) -> Result:
    """One policy on the server at `port`, which is empty before and after."""
    client = Client(port)
    try:
        client.call("CONFIG", "SET", "maxmemory-policy", policy)
        key_bytes = hold(client, keys)
        result = run(client, zipf(keys * UNIVERSE, accesses, seed), keys, key_bytes)
        client.call("CONFIG", "SET", "maxmemory", 0)
        client.call("FLUSHALL")
        return result
    finally:
        client.socket.close()


def _start(command: list[str], port: int, directory: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*command, "--port", str(port), "--save", "", "--dir", directory, "--bind", "127.0.0.1"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        time.sleep(0.05)
    raise SystemExit(f"{command} did not start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=20_000, help="keys that fit")
    parser.add_argument("--accesses", type=int, default=400_000)
    parser.add_argument("--policy", action="append", choices=POLICIES, help="default: all")
    parser.add_argument("--port", type=int, default=15_700)
    options = parser.parse_args()
    directory = tempfile.mkdtemp()
    servers = {}
    try:
        for offset, (name, command) in enumerate(COMMANDS.items()):
            servers[name] = options.port + offset, _start(command, options.port + offset, directory)
        for policy in options.policy or POLICIES:
            for name, (port, _) in servers.items():
                result = measure(port, policy, options.keys, options.accesses)
                print(
                    f"{policy:16} {name:6} hit rate {100 * result.hit_rate:6.2f} %, {result.keys:7} keys, "
                    f"{result.evicted:7} evicted, {result.seconds:6.1f} s"
                )
    finally:
        for _, process in servers.values():
            process.terminate()
            process.wait()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
