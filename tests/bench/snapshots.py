"""What a snapshot of a million small keys costs: Shoal beside redis-server, and two ways of making it.

    python tests/bench/snapshots.py [--keys 1000000] [--rounds 3]

For each server: SAVE, BGSAVE on an idle server, loading, a full synchronisation of a second one, memory, and
SET at pipeline 16 over 50 connections while one BGSAVE follows the other, against the same without.
`in process` is Shoal with a prototype that writes the snapshot slot by slot in slices of the reactor's time,
in place of a forked child; writes are not made to wait for it, so its figures are a bound from below.

On two cores a forked child takes from server and client what it needs. What it costs the server itself is
seen in the server's own CPU time a command: that ratio is what throughput would be with a core to spare.
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
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import hiredis

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120.0
SETS = 1_000_000
COMMANDS = {
    "shoal": [sys.executable, "-m", "node"],
    "in process": [sys.executable, __file__, "--serve"],
    "redis": ["redis-server"],
}


class Client:
    """One connection; `call` gives a reply's value."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._reader = hiredis.Reader()

    def call(self, *words: object) -> object:
        self.socket.sendall(hiredis.pack_command(tuple(words)))
        return self.reply()

    def reply(self) -> object:
        while (value := self._reader.gets()) is False:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            self._reader.feed(data)
        return value

    def info(self, section: str) -> dict[str, str]:
        text = self.call("INFO", section)
        assert isinstance(text, bytes)
        return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)

    def fill(self, keys: int) -> None:
        for start in range(0, keys, 5000):
            numbers = range(start, min(start + 5000, keys))
            pack = hiredis.pack_command
            self.socket.sendall(b"".join(pack(("SET", f"key:{n:06d}", f"val:{n:06d}")) for n in numbers))
            for _ in numbers:
                self.reply()


class Server:
    def __init__(self, name: str, directory: str) -> None:
        self.name, self.directory = name, directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds that loading took, as the log tells."""
        command = [*COMMANDS[self.name], "--port", str(self.port), "--save", "", "--appendonly", "no"]
        log = Path(self.directory, "log")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--dir", self.directory], stdout=output, stderr=output, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        deadline_s = time.monotonic() + DEADLINE_S
        while "Ready to accept connections" not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                sys.exit(log.read_text())
            time.sleep(0.02)
        told = [line for line in log.read_text().splitlines() if "DB loaded from disk:" in line]
        return float(told[0].split("disk: ")[1].split()[0]) if told else 0.0

    def cpu_s(self) -> float:
        """Of the process, without its children."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def bgsave(client: Client) -> float:
    """Seconds until it is done."""
    start_s = time.perf_counter()
    client.call("BGSAVE")
    while client.info("persistence")["rdb_bgsave_in_progress"] == "1":
        time.sleep(0.005)
    return time.perf_counter() - start_s


def load_of(server: Server, keys: int) -> tuple[float, float, float]:
    """SETs a second, the 99th percentile of latency in ms, and CPU microseconds of the server a SET."""
    before_s = server.cpu_s()
    run = subprocess.run(
        ["redis-benchmark", "-p", str(server.port), "-t", "set", "-P", "16", "-c", "50", "-d", "10",
         "-r", str(keys), "-n", str(SETS), "--csv", "--precision", "3"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    row = next(csv.DictReader(io.StringIO(run.stdout)))
    cpu_us = (server.cpu_s() - before_s) * 1e6 / SETS
    return float(row["rps"]), float(row["p99_latency_ms"]), cpu_us


def full_sync(primary: Server, keys: int) -> float:
    """Seconds from the order to follow until a second server of the same make holds everything."""
    directory = tempfile.mkdtemp(prefix="shoal-bench-")
    replica = Server(primary.name, directory)
    try:
        replica.start()
        client = Client(replica.port)
        Client(primary.port).call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        start_s = time.perf_counter()
        client.call("REPLICAOF", "127.0.0.1", primary.port)
        while client.info("replication")["master_link_status"] != "up" or client.call("DBSIZE") != keys:
            if time.perf_counter() - start_s > DEADLINE_S:
                sys.exit("no replica within the deadline")
            time.sleep(0.02)
        return time.perf_counter() - start_s
    finally:
        if replica.process is not None:
            replica.stop()
        shutil.rmtree(directory)


@dataclass
class Figures:
    """All runs of each measure; times in seconds. Of SETs: a second, p99 in ms, CPU in us each."""

    size_bytes: int = 0
    memory_bytes: int = 0
    copied_bytes: int = 0
    saves: list[float] = field(default_factory=list)
    background: list[float] = field(default_factory=list)
    background_under_load: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    syncs: list[float] = field(default_factory=list)
    alone: list[tuple[float, float, float]] = field(default_factory=list)
    beside: list[tuple[float, float, float]] = field(default_factory=list)

    def sets(self, which: int) -> tuple[float, float]:
        """Medians, alone and beside a BGSAVE, of their rate (0), p99 (1) or CPU time (2)."""
        middle = statistics.median
        return middle(each[which] for each in self.alone), middle(each[which] for each in self.beside)


def measure(name: str, keys: int, rounds: int) -> Figures:
    directory = tempfile.mkdtemp(prefix="shoal-bench-")
    server = Server(name, directory)
    figures = Figures()
    try:
        server.start()
        client = Client(server.port)
        client.fill(keys)
        for _ in range(rounds):
            start_s = time.perf_counter()
            if client.call("SAVE") != b"OK":
                raise AssertionError("SAVE failed")
            figures.saves.append(time.perf_counter() - start_s)
        figures.size_bytes = os.path.getsize(os.path.join(directory, "dump.rdb"))
        figures.background = [bgsave(client) for _ in range(rounds)]
        if name != "in process":
            figures.syncs = [full_sync(server, keys) for _ in range(rounds)]
        measure_beside(server, keys, rounds, figures)
        told, memory = client.info("persistence"), client.info("memory")
        figures.memory_bytes = int(memory["used_memory_rss"])
        figures.copied_bytes = int(told.get("rdb_last_cow_size", 0))
        client.call("SAVE")
        server.stop()
        for _ in range(rounds):
            figures.loads.append(server.start())
            server.stop()
        return figures
    finally:
        if server.process is not None:
            with suppress(ProcessLookupError):
                server.process.kill()
        shutil.rmtree(directory)


def measure_beside(server: Server, keys: int, rounds: int, figures: Figures) -> None:
    """SETs with nothing else, and while one BGSAVE follows the other."""
    figures.alone = [load_of(server, keys) for _ in range(rounds)]
    stop = threading.Event()

    def save_on() -> None:
        other = Client(server.port)
        while not stop.is_set():
            figures.background_under_load.append(bgsave(other))

    saving = threading.Thread(target=save_on)
    saving.start()
    figures.beside = [load_of(server, keys) for _ in range(rounds)]
    stop.set()
    saving.join()


def row(name: str, figures: Figures) -> list[str]:
    """Of the table that is printed."""
    middle, size = statistics.median, figures.size_bytes
    rate, rate_beside = figures.sets(0)
    p99, p99_beside = figures.sets(1)
    cpu, cpu_beside = figures.sets(2)
    return [
        name,
        f"{middle(figures.saves):.2f} s, {size / middle(figures.saves) / 1e6:.0f} MB/s",
        f"{middle(figures.background):.2f} s",
        f"{middle(figures.background_under_load):.2f} s",
        f"{rate_beside / rate:.2f} ({rate_beside:,.0f} of {rate:,.0f})",
        f"{cpu / cpu_beside:.2f} ({cpu_beside:.2f} after {cpu:.2f} µs)",
        f"{p99:.1f} → {p99_beside:.1f} ms",
        f"{figures.memory_bytes >> 20} + {figures.copied_bytes >> 20} MB",
        f"{middle(figures.loads):.2f} s, {size / middle(figures.loads) / 1e6:.0f} MB/s",
        f"{middle(figures.syncs):.2f} s" if figures.syncs else "",
    ]


def serve_in_process(argv: list[str]) -> int:
    """A node whose BGSAVE is the prototype."""
    import trio

    from node import __main__ as entry
    from node.persistence import files
    from node.persistence import saving as module
    from node.persistence.loading import Pace

    def save_in_background(self: module.Saving) -> None:
        assert self._nursery is not None
        self._forks.claim("rdb")
        self._nursery.start_soon(write, self)

    async def write(self: module.Saving) -> None:
        pace, path = Pace(0.002), self.path
        temporary = files.temporary_name(path, os.getpid())
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            for piece in slot_by_slot(self):
                os.write(descriptor, piece)
                await pace.breathe()
        finally:
            await trio.to_thread.run_sync(os.fsync, descriptor)
            os.close(descriptor)
            files.publish(temporary, path)
            self._forks.release()

    def slot_by_slot(self: module.Saving):
        from node.rdb.file import RdbWriter

        writer = RdbWriter(compress=False)
        yield writer.begin(created_at_s=0, used_memory_bytes=0)
        for database in self._snapshots._databases:
            if database.count:
                yield writer.select(database.index, key_count=database.count, expire_count=0)
                for partition in database.slots:
                    if partition:
                        yield writer.table(iter(list(partition.items())), database.deadlines.at)
        yield writer.end()

    module.Saving.save_in_background = save_in_background  # type: ignore[method-assign]
    return entry.start(argv)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        sys.exit(serve_in_process(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    columns = ("server", "SAVE", "BGSAVE, idle", "BGSAVE under load", "SET beside it", "by CPU", "p99")
    print("| " + " | ".join((*columns, "memory + copied", "load", "full sync")) + " |")
    print("|" + "---|" * 10)
    for name in COMMANDS:
        print("| " + " | ".join(row(name, measure(name, chosen.keys, chosen.rounds))) + " |", flush=True)


if __name__ == "__main__":
    main()
