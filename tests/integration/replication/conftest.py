"""Servers of either make, a link that can be cut, and a workload of every type, for tests of replication."""

from __future__ import annotations

import contextlib
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60.0  # a machine may be shared by many


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


class Server:
    """A node (`shoal`) or a redis-server (`redis`) in a directory of its own, that may be started again."""

    def __init__(self, kind: str, port: int, directory: Path, arguments: tuple[str, ...]) -> None:
        self.kind = kind
        self.port = port
        self.directory = directory
        self.arguments = arguments
        self.log = directory / "log"
        self.client = redis.Redis(port=port, socket_timeout=20, retry=Retry(NoBackoff(), 0))
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Starts the process, and waits until it answers and has loaded its data."""
        command = [sys.executable, "-m", "node"] if self.kind == "shoal" else ["redis-server"]
        known = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--enable-debug-command",
            "yes",
        ]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, *known, "--repl-diskless-sync-delay", "0", *self.arguments],
                stdout=out,
                stderr=out,
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        wait_until(self._answers, "the server answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.logged()
        with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
            return bool(self.client.ping())
        return False

    def end(self, *, save: bool | None = None) -> None:
        """SHUTDOWN, or with `save` None a kill."""
        assert self.process is not None
        if save is None:
            self.process.kill()
        else:
            with contextlib.suppress(redis.ConnectionError):
                self.client.execute_command("SHUTDOWN", "SAVE" if save else "NOSAVE", "NOW")
        self.process.wait(20)
        self.client.connection_pool.disconnect()

    def call(self, *words: object) -> Any:
        return self.client.execute_command(*words)

    def follow(self, port: int | None) -> None:
        self.call("REPLICAOF", *(("127.0.0.1", port) if port else ("NO", "ONE")))

    def is_linked(self) -> bool:
        role = self.call("ROLE")
        return role[0] == b"slave" and role[3] == b"connected"

    def offset(self) -> int:
        role = self.call("ROLE")
        return int(role[1] if role[0] == b"master" else role[4])

    def info(self, section: str) -> dict[str, Any]:
        return dict(self.client.info(section))

    def digest(self) -> bytes:
        return bytes(self.call("DEBUG", "DIGEST"))

    def logged(self) -> str:
        return self.log.read_text(errors="replace")


class Proxy:
    """A TCP port that leads to a server, until the link is cut. While `is_open` is false nobody gets in."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._ended = False
        self.port: int = self._listener.getsockname()[1]
        self.is_open = True
        self._stalled = False
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Every connection breaks, in the midst of whatever is said."""
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """From here on nothing passes, and no end hears of it."""
        self._stalled = True
        self._looked.clear()
        self._looked.wait(5)

    def go_on(self) -> None:
        self._stalled = False

    def close(self) -> None:
        self._ended = True
        self.cut()
        self._thread.join()
        for end in (self._listener, *(end for pair in self._pairs for end in pair)):
            end.close()

    def _run(self) -> None:
        while not self._ended:
            stalled = self._stalled
            ends = {} if stalled else {a: b for x, y in self._pairs for a, b in ((x, y), (y, x))}
            if stalled:
                self._looked.set()
            ready, _, _ = select.select([self._listener, *ends], [], [], 0.02)
            for end in ready:
                if end is self._listener:
                    self._accept()
                elif end.fileno() >= 0:
                    self._pass_on(end, ends[end])

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            near.close()
            return
        if not self.is_open:
            near.close()
            far.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append((near, far))

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            data = source.recv(65536)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        for pair in list(self._pairs):
            if source in pair:
                self._pairs.remove(pair)
                for end in pair:
                    end.close()


class Workload:
    """Random writes of every type, from a seed, by one client in two databases; `count` is how many."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.count = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Workload:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)
        assert self.failure is None, self.failure

    def _run(self) -> None:
        try:
            clients = [redis.Redis(port=self._port, db=index, socket_timeout=20) for index in (0, 3)]
            while not self._ended.is_set():
                pipe = clients[self._random.randrange(2)].pipeline(transaction=self._random.random() < 0.2)
                for _ in range(self._random.randrange(1, 40)):
                    pipe.execute_command(*self._words())
                    self.count += 1
                pipe.execute(raise_on_error=False)
                self._ended.wait(0.002)
            for client in clients:
                client.close()
        except BaseException as failed:  # noqa: BLE001  told to the test's thread
            self.failure = failed

    def _words(self) -> list[object]:
        rng = self._random
        kind = rng.choice("slhzxbgptev")
        key = f"{kind}:{rng.randrange(60)}"
        other = f"{kind}:{rng.randrange(60)}"
        word = rng.choice(["a", "b", "field", "long" * 30, str(rng.randrange(1000)), "\x00\r\n\xff"])
        number = rng.randrange(-5, 50)
        if rng.random() < 0.15:
            return rng.choice(
                [
                    ["DEL", key], ["UNLINK", key, other], ["RENAME", key, other],
                    ["COPY", key, other, "REPLACE"],
                    ["PEXPIRE", key, rng.choice([1, 20, 10**7])], ["PERSIST", key], ["MOVE", key, 3],
                    ["EXPIREAT", key, 1], ["GETDEL", key],
                ]
            )  # fmt: skip
        return rng.choice(self._of_kind(kind, key, other, word, number))

    @staticmethod
    def _of_kind(kind: str, key: str, other: str, word: str, number: int) -> list[list[object]]:
        one = abs(number) + 1
        return {
            "s": [
                ["SET", key, word], ["SET", key, word, "PX", 30], ["SETEX", key, 9999, word],
                ["APPEND", key, word],
                ["GETEX", key, "EX", 8888], ["SETRANGE", key, one, word], ["MSET", key, word, other, number],
                ["SETNX", key, word], ["GETSET", key, word], ["SET", key, number, "KEEPTTL"],
            ],
            "t": [["INCR", key], ["INCRBYFLOAT", key, "0.1"], ["DECRBY", key, number], ["SET", key, number]],
            "l": [
                ["RPUSH", key, word, number], ["LPUSH", key, word], ["LPOP", key], ["RPOP", key, 2],
                ["LMOVE", key, other, "LEFT", "RIGHT"], ["LTRIM", key, 0, 30], ["LSET", key, 0, word],
                ["LINSERT", key, "BEFORE", word, number], ["LREM", key, 1, word], ["LMPOP", 1, key, "LEFT"],
                ["SORT", key, "ALPHA", "STORE", other],
            ],
            "h": [
                ["HSET", key, word, number, "f", word], ["HDEL", key, word], ["HINCRBY", key, "n", number],
                ["HINCRBYFLOAT", key, "x", "1.5"], ["HSETNX", key, word, word],
            ],
            "z": [
                ["ZADD", key, number, word], ["ZINCRBY", key, "0.3", word], ["ZREM", key, word],
                ["ZPOPMIN", key],
                ["ZUNIONSTORE", other, 2, key, other], ["ZREMRANGEBYRANK", key, 20, -1],
                ["ZRANGESTORE", other, key, 0, 5],
            ],
            "x": [
                ["XADD", key, "*", word, number], ["XADD", key, "MAXLEN", "~", 50, "*", "f", word],
                ["XTRIM", key, "MAXLEN", 40], ["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"],
                ["XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", key, ">"],
                ["XGROUP", "DELCONSUMER", key, "g", "c"], ["XAUTOCLAIM", key, "g", "d", 0, 0],
            ],
            "b": [["SETBIT", key, one * 7, number & 1], ["BITFIELD", key, "INCRBY", "u8", one, number],
                  ["BITOP", "XOR", other, key, other]],
            "g": [["GEOADD", key, "13.4", "52.5", word], ["GEOADD", key, number, "38.1", number],
                  ["GEOSEARCHSTORE", other, key, "FROMLONLAT", 13, 52, "BYRADIUS", 500, "km"]],
            "v": [
                ["EVAL", "return redis.call('APPEND', KEYS[1], ARGV[1])", 1, key, word],
                ["EVAL", "redis.call('DEL', KEYS[1], KEYS[2]) redis.call('INCR', KEYS[1])", 2, key, other],
                ["EVAL", "return redis.call('SET', KEYS[1], redis.call('TIME')[2])", 1, key],
            ],
            "p": [["PFADD", key, word, number], ["PFMERGE", other, key]],
            "e": [
                ["SADD", key, word, number], ["SREM", key, word], ["SPOP", key, 2],
                ["SMOVE", key, other, word],
                ["SINTERSTORE", other, key, other], ["SUNIONSTORE", other, key, other],
            ],
        }[kind]  # fmt: skip


class Lab:
    """Starts what a test needs, and ends it."""

    def __init__(self, free_port: Callable[[], int], directory: Path) -> None:
        self._free_port = free_port
        self._directory = directory
        self._servers: list[Server] = []
        self._proxies: list[Proxy] = []
        self.wait_until = wait_until
        self.deadline_s = DEADLINE_S
        self.workload = Workload

    def server(self, kind: str, *arguments: str) -> Server:
        if kind == "redis" and shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        port = self._free_port()
        directory = self._directory / str(port)
        directory.mkdir()
        server = Server(kind, port, directory, arguments)
        self._servers.append(server)
        server.begin()
        return server

    def proxy(self, server: Server) -> Proxy:
        proxy = Proxy(server.port)
        self._proxies.append(proxy)
        return proxy

    def pair(self, kinds: str, *arguments: str) -> tuple[Server, Server, Proxy]:
        """`primary→replica`: both, and the proxy through which the second follows the first, in step."""
        first, _, second = kinds.partition("→")
        primary, replica = self.server(first, *arguments), self.server(second, *arguments)
        proxy = self.proxy(primary)
        replica.follow(proxy.port)
        wait_until(replica.is_linked, "the replica is connected")
        return primary, replica, proxy

    def in_step(self, primary: Server, *replicas: Server) -> None:
        """Until every replica is at the primary's offset, and then the same in every key."""
        for replica in replicas:
            wait_until(replica.is_linked, f"{replica.kind} is connected")

        def equal() -> bool:
            if any(replica.offset() != primary.offset() for replica in replicas):
                return False
            return len({server.digest() for server in (primary, *replicas)}) == 1

        wait_until(equal, "the same data everywhere")

    def end(self) -> None:
        for proxy in self._proxies:
            proxy.close()
        for server in self._servers:
            server.client.close()
            assert server.process is not None
            server.process.kill()
            server.process.wait()


@pytest.fixture
def lab(free_port: Callable[[], int], tmp_path: Path) -> Iterator[Lab]:
    made = Lab(free_port, tmp_path)
    yield made
    made.end()
