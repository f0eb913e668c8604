"""Atomic slot migrations under load: how long a write is held up, and whether anything is lost.

Two nodes pass a range of slots to each other, again and again, while one process writes to these slots as
fast as it can (INCR in pipelines) and another one at a time, noting how long each write takes. In the end
each counter must be what was acknowledged: nothing lost, nothing done twice.

    python tests/bench/migration.py [--migrations 100] [--slots 500] [--keys 20000] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Process, Queue, Value
from pathlib import Path
from typing import Any

import hiredis

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gossip.slots import key_slot  # noqa: E402

COUNTERS = 50
PIPELINE = 100
DEADLINE_S = 60.0


class Connection:
    """Requests and replies, several at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def call(self, *words: Any) -> Any:
        reply = self.pipeline([words])[0]
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def pipeline(self, requests: list[tuple[Any, ...]]) -> list[Any]:
        self.socket.sendall(b"".join(map(hiredis.pack_command, requests)))
        replies: list[Any] = []
        while len(replies) < len(requests):
            while (reply := self._reader.gets()) is not False:
                replies.append(reply)
            if len(replies) < len(requests):
                data = self.socket.recv(1 << 16)
                if not data:
                    raise EOFError
                self._reader.feed(data)
        return replies


class Redirected:
    """A client of two nodes that follows MOVED; any other error is kept."""

    def __init__(self, ports: list[int]) -> None:
        self._nodes = {port: Connection(port) for port in ports}
        self._owner = ports[0]
        self.errors: list[str] = []

    def increment(self, keys: list[bytes]) -> int:
        """INCR of each; how many were acknowledged."""
        done = 0
        while keys:
            node = self._nodes[self._owner]
            again = []
            for key, reply in zip(keys, node.pipeline([(b"INCR", key) for key in keys]), strict=True):
                if not isinstance(reply, hiredis.ReplyError):
                    done += 1
                elif str(reply).startswith("MOVED"):
                    self._owner = int(str(reply).rpartition(":")[2])
                    again.append(key)
                else:
                    self.errors.append(str(reply))
            keys = again
        return done


def saturate(ports: list[int], keys: list[bytes], stop: Any, out: Any) -> None:
    """A process: writes as fast as it can."""
    client = Redirected(ports)
    rounds = done = 0
    while not stop.value:
        done += client.increment(keys)
        rounds += 1
    out.put(("saturating", rounds, done, client.errors, []))


def probe(ports: list[int], key: bytes, stop: Any, out: Any) -> None:
    """A process: one write at a time, and how long each took."""
    client = Redirected(ports)
    done = 0
    times: list[float] = []
    while not stop.value:
        start_s = time.monotonic()
        done += client.increment([key])
        times.append((time.monotonic() - start_s) * 1000)
        time.sleep(0.0005)
    out.put(("probing", done, done, client.errors, times))


@contextmanager
def two_nodes(base_port: int) -> Iterator[list[int]]:
    """A cluster of two primaries with half of the slots each."""
    ports = [base_port, base_port + 1]
    with tempfile.TemporaryDirectory() as directory:
        processes = []
        for port in ports:
            home = Path(directory, str(port))
            home.mkdir()
            command = [
                sys.executable, "-m", "node", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home),
                "--cluster-enabled", "yes", "--loglevel", "warning",
            ]  # fmt: skip
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        try:
            nodes = [_connect(port) for port in ports]
            for number, node in enumerate(nodes):
                node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                node.call("CLUSTER", "ADDSLOTSRANGE", number * 8192, number * 8192 + 8191)
            nodes[0].call("CLUSTER", "MEET", "127.0.0.1", ports[1])
            _wait(lambda: all(b"cluster_state:ok" in node.call("CLUSTER", "INFO") for node in nodes))
            yield ports
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _connect(port: int) -> Connection:
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            return Connection(port)
        except ConnectionRefusedError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.05)


def _wait(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError
        time.sleep(0.005)


def _job(node: Connection) -> dict[str, Any]:
    job = node.call("CLUSTER", "GETSLOTMIGRATIONS")[0]
    return {job[at].decode(): job[at + 1] for at in range(0, len(job), 2)}


def _keys_of(slots: int, count: int) -> list[bytes]:
    keys: list[bytes] = []
    number = 0
    while len(keys) < count:
        number += 1
        key = b"key:%d" % number
        if key_slot(key) < slots:
            keys.append(key)
    return keys


def migrate_back_and_forth(ports: list[int], slots: int, count: int) -> dict[str, Any]:
    """`count` migrations of slots 0 to `slots`-1; figures of them."""
    nodes = [Connection(port) for port in ports]
    ids = [node.call("CLUSTER", "MYID") for node in nodes]
    failures, pauses, tries, times = [], [], [], []
    for number in range(count):
        source, target = nodes[number % 2], ids[1 - number % 2]
        start_s = time.monotonic()
        source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, slots - 1, "NODE", target)
        _wait(lambda source=source: _job(source)["state"] in (b"success", b"failed"))  # type: ignore[misc]
        job = _job(source)
        times.append(time.monotonic() - start_s)
        if job["state"] != b"success":
            failures.append(job["message"].decode())
            break
        pauses.append(job["pause_ms"])
        tries.append(job["pauses"])
        time.sleep(0.02)
    return {
        "migrations": len(times), "failures": failures, "longest_pause_ms": max(pauses, default=0),
        "median_pause_ms": sorted(pauses)[len(pauses) // 2] if pauses else 0,
        "most_pauses": max(tries, default=0),
        "median_s": round(sorted(times)[len(times) // 2], 3), "longest_s": round(max(times), 3),
    }  # fmt: skip


def run(migrations: int, slots: int, keys: int, base_port: int) -> dict[str, Any]:
    """All of it; the result says what was measured."""
    with two_nodes(base_port) as ports:
        node = Connection(ports[0])
        filling = _keys_of(slots, keys)
        for at in range(0, len(filling), PIPELINE):
            node.pipeline([(b"SET", key, b"x" * 32) for key in filling[at : at + PIPELINE]])
        counters = [b"count:%b" % key for key in _counters(slots)]
        stop, out = Value("b", 0), Queue()
        busy = [counters[each % (COUNTERS - 1)] for each in range(PIPELINE)]
        writers = [
            Process(target=saturate, args=(ports, busy, stop, out)),
            Process(target=probe, args=(ports, counters[-1], stop, out)),
        ]
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        start_s = time.monotonic()
        figures = migrate_back_and_forth(ports, slots, migrations)
        took_s = time.monotonic() - start_s
        stop.value = 1
        reports = {kind: rest for kind, *rest in (out.get() for _ in writers)}
        for writer in writers:
            writer.join()
        figures |= _verify(ports, counters, busy, reports)
        figures["writes_per_s"] = round(reports["saturating"][1] / took_s)
    return figures


def _counters(slots: int) -> list[bytes]:
    found, number = [], 0
    while len(found) < COUNTERS:
        number += 1
        if key_slot(b"count:%d" % number) < slots:
            found.append(b"%d" % number)
    return found


def _verify(
    ports: list[int], counters: list[bytes], busy: list[bytes], reports: dict[str, list[Any]]
) -> dict[str, Any]:
    rounds, _, errors, _ = reports["saturating"]
    expected = dict.fromkeys(counters, 0)
    for key in busy:
        expected[key] += rounds
    expected[counters[-1]] += reports["probing"][0]
    wrong = {}
    nodes = {port: Connection(port) for port in ports}
    for key, count in expected.items():
        for node in nodes.values():
            reply = node.pipeline([(b"GET", key)])[0]
            if not isinstance(reply, hiredis.ReplyError) and int(reply or 0) != count:
                wrong[key.decode()] = (count, int(reply or 0))
    times = sorted(reports["probing"][3])
    return {
        "errors": len(errors) + len(reports["probing"][2]),
        "first_errors": (errors + reports["probing"][2])[:3],
        "wrong_counters": wrong,
        "writes_probed": len(times),
        "longest_write_ms": round(times[-1], 1),
        "p99_write_ms": round(times[int(len(times) * 0.99)], 1),
        "median_write_ms": round(times[len(times) // 2], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--migrations", type=int, default=100)
    parser.add_argument("--slots", type=int, default=500)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--base-port", type=int, default=19_600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options.migrations, options.slots, options.keys, options.base_port)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:18} {value}")
    failed = figures["failures"] or figures["errors"] or figures["wrong_counters"]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
