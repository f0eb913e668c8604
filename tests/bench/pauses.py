"""What a client feels while a node saves, rewrites, synchronises and loads: Shoal beside redis-server.

    python tests/bench/pauses.py [--keys 1000000] [--rounds 3] [--only latency|turns]

`latency`: one connection, one request at a time, SET and GET in turns on a million keys: median, 99th
percentile and longest time of an answer, while nothing else happens, with an append-only file, during a
BGSAVE, the rewrite of an append-only file, a full synchronisation, and a start (whose answers are errors, but
answers). `turns`: the longest time for which a Shoal node did nothing else, during a full synchronisation
under load at pipeline 16: any step of any of its tasks, but for the fork.

Nothing is pinned: server, client and child share what processors there are, as they would anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hiredis
from snapshots import COMMANDS, Client

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120.0
POLL_S = 0.1
QUIET_S = 3.0
LONG_MS = 2.0
SITUATIONS = ("nothing else", "appendonly everysec", "BGSAVE", "AOF rewrite", "full sync", "loading")
Window = tuple[int, int]
"""Monotonic nanoseconds, the same in all processes."""


class Server:
    """A process with a directory of its own; `instrumented` writes long steps to `steps` in it."""

    def __init__(self, name: str, directory: Path, *arguments: str) -> None:
        self.name, self.directory, self.arguments = name, directory, arguments
        directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        command = (
            [sys.executable, __file__, "--serve"] if self.name == "instrumented" else COMMANDS[self.name]
        )
        known = ["--port", str(self.port), "--save", "", "--dir", str(self.directory)]
        known += ["--repl-diskless-sync-delay", "0"]
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*command, *known, *self.arguments], stdout=log, stderr=log, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.answer() == b"+PONG\r\n", f"{self.name} serves", 0.005)

    def answer(self) -> bytes:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
            link.sendall(b"PING\r\n")
            return link.recv(100)
        return b""

    def client(self) -> Client:
        return Client(self.port)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()


def wait_for(condition: Callable[[], bool], what: str, period_s: float = POLL_S) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end_s:
            raise SystemExit(f"bench: gave up waiting until {what}")
        time.sleep(period_s)


# The client, in a process of its own


def probe(port: int, keys: int) -> None:
    """Asks until standard input ends; then writes when it asked, and how long each answer took."""
    rng = random.Random(port)
    starts, took = array("q"), array("q")
    reader, link = hiredis.Reader(), None
    while not select.select([sys.stdin], [], [], 0)[0]:
        for number in range(20):
            key = f"key:{rng.randrange(keys):06d}"
            words = ("SET", key, f"val:{rng.randrange(keys):06d}") if number & 1 else ("GET", key)
            start_ns = time.monotonic_ns()
            try:
                if link is None:
                    link = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
                    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    start_ns = time.monotonic_ns()
                link.sendall(hiredis.pack_command(words))
                while reader.gets() is False:
                    data = link.recv(65536)
                    if not data:
                        raise ConnectionResetError
                    reader.feed(data)
            except OSError:
                link, reader = None, hiredis.Reader()
                time.sleep(0.002)
                continue
            starts.append(start_ns)
            took.append(time.monotonic_ns() - start_ns)
    sys.stdout.buffer.write(len(starts).to_bytes(8, "little") + starts.tobytes() + took.tobytes())


class Probe:
    """`between` gives the times of a window's answers in ms, when it has ended."""

    def __init__(self, port: int, keys: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--probe", str(port), str(keys)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._starts, self._took = array("q"), array("q")

    def end(self) -> None:
        data, _ = self._process.communicate(b"\n")
        size = int.from_bytes(data[:8], "little") * 8
        self._starts.frombytes(data[8 : 8 + size])
        self._took.frombytes(data[8 + size :])

    def between(self, window: Window) -> list[float]:
        """Of what was asked or waited for in it."""
        first, last = window
        pairs = zip(self._starts, self._took, strict=True)
        return [took / 1e6 for start, took in pairs if start + took >= first and start <= last]


# What happens meanwhile


def measured(server: Server, keys: int, rounds: int, act: Callable[[], Window]) -> list[float]:
    one = Probe(server.port, keys)
    windows = []
    for _ in range(rounds):
        time.sleep(0.5)  # let what was before settle
        windows.append(act())
    one.end()
    return [took for window in windows for took in one.between(window)]


def quiet(_server: Server) -> Window:
    start_ns = time.monotonic_ns()
    time.sleep(QUIET_S)
    return start_ns, time.monotonic_ns()


def background(server: Server, command: str, field: str) -> Window:
    client = server.client()
    start_ns = time.monotonic_ns()
    client.call(command)
    wait_for(lambda: client.info("persistence")[field] == "0", f"{command} is done")
    return start_ns, time.monotonic_ns()


def full_sync(server: Server) -> Window:
    """The replica takes what comes and keeps nothing: what counts is the giving side."""
    start_ns = time.monotonic_ns()
    subprocess.run(
        ["redis-cli", "-p", str(server.port), "--rdb", "-"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return start_ns, time.monotonic_ns()


def load(server: Server) -> Window:
    server.kill()
    server.start(wait=False)
    wait_for(lambda: server.answer() != b"", "it listens", 0.002)
    start_ns = time.monotonic_ns()
    server.wait_until_ready()
    return start_ns, time.monotonic_ns()


def situations(server: Server, keys: int, rounds: int) -> Iterator[tuple[str, list[float]]]:
    client = server.client()
    client.fill(keys)
    if client.call("SAVE") != b"OK":
        raise SystemExit("bench: SAVE failed")
    yield "nothing else", measured(server, keys, rounds, lambda: quiet(server))
    saving = "rdb_bgsave_in_progress"
    yield "BGSAVE", measured(server, keys, rounds, lambda: background(server, "BGSAVE", saving))
    yield "full sync", measured(server, keys, rounds, lambda: full_sync(server))
    yield "loading", measured(server, keys, rounds, lambda: load(server))
    client = server.client()
    client.call("CONFIG", "SET", "appendonly", "yes")
    rewriting = "aof_rewrite_in_progress"
    wait_for(lambda: client.info("persistence")[rewriting] == "0", "the append-only file is there")
    yield "appendonly everysec", measured(server, keys, rounds, lambda: quiet(server))
    yield "AOF rewrite", measured(server, keys, rounds, lambda: background(server, "BGREWRITEAOF", rewriting))


def latencies(keys: int, rounds: int) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Situation → server → median, 99th percentile and maximum in ms."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {name: {} for name in SITUATIONS}
    for name in ("shoal", "redis"):
        with directory() as path:
            server = Server(name, path)
            try:
                server.start()
                for situation, took in situations(server, keys, rounds):
                    took.sort()
                    p99 = took[int(len(took) * 0.99)]
                    found[situation][name] = (statistics.median(took), p99, took[-1])
            finally:
                server.kill()
    return found


def show_latencies(found: dict[str, dict[str, tuple[float, float, float]]], keys: int) -> None:
    print(f"\n| answers meanwhile, {keys:,} keys, p50 / p99 / longest in ms | Shoal | redis-server |")
    print("|---|---|---|")
    for situation, by_server in found.items():
        cells = [" / ".join(f"{value:.2f}" for value in by_server[name]) for name in ("shoal", "redis")]
        print(f"| {situation} | {cells[0]} | {cells[1]} |")


# Turns


def serve(argv: list[str]) -> int:
    """A node that writes down every long step of its tasks: wall and processor time, less forks."""
    import trio

    from node import __main__ as entry
    from node.persistence.child import Forks

    directory = Path(argv[argv.index("--dir") + 1])

    class Steps(trio.abc.Instrument):
        def __init__(self) -> None:
            self.begun = (0, 0.0, 0)
            self.forked_ns = 0
            self.scheduled = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
            self.out = (directory / "steps").open("w", buffering=1)

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.forked_ns = 0
            self.begun = (time.monotonic_ns(), time.thread_time(), self.queued_ns())

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            start_ns, cpu_s, queued_ns = self.begun
            wall_ms = (time.monotonic_ns() - start_ns - self.forked_ns) / 1e6
            if wall_ms > LONG_MS:
                cpu_ms = (time.thread_time() - cpu_s) * 1e3 - self.forked_ns / 1e6
                own_ms = wall_ms - (self.queued_ns() - queued_ns) / 1e6
                step = [start_ns, wall_ms, own_ms, max(cpu_ms, 0.0), task.name]
                self.out.write(json.dumps(step) + "\n")

        def queued_ns(self) -> int:
            """For how long this thread has waited, in all, while others had its processor."""
            return int(os.pread(self.scheduled, 100, 0).split()[1])

    steps = Steps()
    fork = Forks.fork

    def timed(self: Forks) -> int:
        start_ns = time.monotonic_ns()
        pid = fork(self)
        steps.forked_ns += time.monotonic_ns() - start_ns
        return pid

    Forks.fork = timed  # type: ignore[method-assign]
    run = trio.run
    trio.run = lambda *args, **options: run(*args, **options, instruments=[steps])  # type: ignore[assignment]
    return entry.start(argv)


def turns(keys: int, rounds: int) -> None:
    """Primary and replica, a full synchronisation between them, under load."""
    found = []
    for _ in range(rounds):
        with directory() as path:
            primary, replica = Server("instrumented", path / "p"), Server("instrumented", path / "r")
            try:
                found.append(one_sync(primary, replica, keys))
            finally:
                primary.kill()
                replica.kill()
    print(f"\nlongest step during a full synchronisation of {keys:,} keys under load, the fork left out")
    for at, role in enumerate(("primary", "replica")):
        wall_ms, own_ms, cpu_ms = (max(each[at][n] for each in found) for n in range(3))
        print(
            f"  {role:8} {wall_ms:6.1f} ms, {own_ms:6.1f} ms without the time for which other processes had "
            f"the processor, {cpu_ms:6.1f} ms of a processor"
        )


def one_sync(primary: Server, replica: Server, keys: int) -> list[tuple[float, ...]]:
    """The longest steps of both."""
    primary.start()
    replica.start()
    primary.client().fill(keys)
    busy = subprocess.Popen(
        ["redis-benchmark", "-p", str(primary.port), "-t", "set", "-P", "16", "-c", "20", "-l",
         "-r", str(keys), "-d", "10", "-q"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(1)
        start_ns = time.monotonic_ns()
        follower = replica.client()
        follower.call("REPLICAOF", "127.0.0.1", primary.port)
        wait_for(lambda: follower.info("replication")["master_link_status"] == "up", "both are linked")
        window = start_ns, time.monotonic_ns()
    finally:
        busy.kill()
        busy.wait()
    return [longest_step(server, window) for server in (primary, replica)]


def longest_step(server: Server, window: Window) -> tuple[float, ...]:
    """Wall time, the same without the wait for a processor, and processor time, each the greatest, in ms."""
    steps = [json.loads(line) for line in (server.directory / "steps").read_text().splitlines()]
    inside = [step for step in steps if window[0] <= step[0] <= window[1]] or [[0, 0.0, 0.0, 0.0, ""]]
    return tuple(max(step[at] for step in inside) for at in (1, 2, 3))


@contextmanager
def directory() -> Iterator[Path]:
    made = tempfile.mkdtemp(prefix="shoal-bench-")
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        sys.exit(serve(sys.argv[2:]))
    if sys.argv[1:2] == ["--probe"]:
        return probe(int(sys.argv[2]), int(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("latency", "turns"))
    options = parser.parse_args()
    if options.only in (None, "latency"):
        show_latencies(latencies(options.keys, options.rounds), options.keys)
    if options.only in (None, "turns"):
        turns(options.keys, options.rounds)
    return None


if __name__ == "__main__":
    main()
