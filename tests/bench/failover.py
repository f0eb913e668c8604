"""How long a new cluster takes to be up, and how long a killed primary's shard refuses writes.

    python tests/bench/failover.py [--tries 10] [--server redis-server] [--node-timeout 2000]

Each try kills a primary with SIGKILL while a writer tries a key of its slots every few milliseconds; the
time from the signal to the first accepted write is what is reported, beside how long writers of the other
shards were refused meanwhile. The killed node is started again and awaited before the next try.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CTL = [str(Path(sys.executable).with_name("ctl"))]
PERIOD_S = 0.005


class Link:
    """A blocking RESP connection that never raises: what fails is an answer of None."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None

    def ask(self, *args: str) -> str | None:
        request = f"*{len(args)}\r\n" + "".join(f"${len(a)}\r\n{a}\r\n" for a in args)
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=0.5)
            self._socket.sendall(request.encode())
            return self._reply()
        except OSError:
            self._socket = None
            return None

    def _reply(self) -> str | None:
        assert self._socket is not None
        data = b""
        while b"\r\n" not in data:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError
            data += more
        if data[:1] in (b"$", b"="):
            head, _, body = data.partition(b"\r\n")
            length = int(head[1:])
            while len(body) < length + 2:
                body += self._socket.recv(65536)
            return body[:length].decode()
        return data.split(b"\r\n", 1)[0].decode()


def ctl(directory: str, *args: str) -> str:
    done = subprocess.run(
        [*CTL, "cluster", *args, "--dir", directory], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"bench: ctl {args[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


def key_of(first: int, last: int) -> str:
    """A key whose slot lies in a range."""
    sys.path.insert(0, str(ROOT))
    from gossip.slots import key_slot

    return next(f"key:{n}" for n in range(100_000) if first <= key_slot(b"key:%d" % n) <= last)


class Shard:
    """A primary's slots, and who of the cluster takes writes for them."""

    def __init__(self, first: int, last: int, ports: list[int]) -> None:
        self.key = key_of(first, last)
        self._links = {port: Link(port) for port in ports}
        self.owner = 0

    def write(self) -> bool:
        """Tries the node that took the last write, then the others; remembers who accepted."""
        for port in sorted(self._links, key=lambda port: port != self.owner):
            if self._links[port].ask("SET", self.key, str(time.time())) == "+OK":
                self.owner = port
                return True
        return False


def nodes_of(port: int) -> list[list[str]]:
    return [line.split() for line in (Link(port).ask("CLUSTER", "NODES") or "").splitlines()]


def wait_for(condition, what: str, timeout_s: float = 40.0) -> float:
    start_s = time.monotonic()
    while not condition():
        if time.monotonic() - start_s > timeout_s:
            raise SystemExit(f"bench: gave up waiting until {what}")
        time.sleep(0.02)
    return time.monotonic() - start_s


def healthy(ports: list[int]) -> bool:
    for port in ports:
        link = Link(port)
        if "cluster_state:ok" not in (link.ask("CLUSTER", "INFO") or ""):
            return False
        info = link.ask("INFO", "replication") or ""
        if "role:slave" in info and "master_link_status:up" not in info:
            return False
        if any("fail" in fields[2] for fields in nodes_of(port)):
            return False
    return True


def one_try(ports: list[int], directory: str) -> tuple[float, float]:
    """(seconds the shard refused, longest refusal of another shard)."""
    primaries = [fields for fields in nodes_of(ports[0]) if "master" in fields[2] and len(fields) > 8]
    shards = []
    for fields in primaries:
        first, _, last = fields[8].partition("-")
        shards.append(Shard(int(first), int(last or first), ports))
    for shard in shards:
        shard.write()
    victim = shards[0]
    process = int((Link(victim.owner).ask("INFO", "server") or "").split("process_id:")[1].split()[0])
    killed_s = time.monotonic()
    last_ok = dict.fromkeys(shards[1:], killed_s)
    worst = 0.0
    os.kill(process, signal.SIGKILL)
    while not victim.write():
        now_s = time.monotonic()
        for shard in shards[1:]:
            if shard.write():
                worst = max(worst, time.monotonic() - last_ok[shard] - PERIOD_S)
                last_ok[shard] = time.monotonic()
        if now_s - killed_s > 60:
            raise SystemExit("bench: no fail-over within a minute")
        time.sleep(PERIOD_S)
    took_s = time.monotonic() - killed_s
    for shard in shards[1:]:
        wait_for(shard.write, "the other shards take writes")
        worst = max(worst, time.monotonic() - last_ok[shard] - PERIOD_S)
    ctl(directory, "start")
    wait_for(lambda: healthy(ports), "the killed node is back")
    return took_s, worst


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--server", default="")
    parser.add_argument("--node-timeout", type=int, default=2000)
    parser.add_argument("--base-port", type=int, default=16000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-failover-") as directory:
        engine = ["--server", options.server] if options.server else []
        start_s = time.monotonic()
        made = ctl(
            directory, "create", "--yes", "--json", "--base-port", str(options.base_port), *engine,
            "--node-option", f"cluster-node-timeout={options.node_timeout}",
        )  # fmt: skip
        try:
            created_s = time.monotonic() - start_s
            ports = [int(node["address"].rsplit(":", 1)[1]) for node in json.loads(made)["nodes"]]
            wait_for(lambda: healthy(ports), "all replicas are online")
            online_s = time.monotonic() - start_s
            results = []
            for number in range(options.tries):
                results.append(one_try(ports, directory))
                print(
                    f"try {number + 1}: {results[-1][0]:.2f} s, others at most {results[-1][1]:.2f} s",
                    flush=True,
                )
        finally:
            ctl(directory, "destroy", "--yes")
    times = [took_s for took_s, _ in results]
    print(f"create: ok after {created_s:.2f} s, replicas online after {online_s:.2f} s")
    median_s, worst_s = statistics.median(times), max(worst for _, worst in results)
    print(f"first write: {min(times):.2f} / {median_s:.2f} / {max(times):.2f} s (min/median/max)")
    print(f"other shards refused for at most {worst_s:.2f} s meanwhile")


if __name__ == "__main__":
    main()
