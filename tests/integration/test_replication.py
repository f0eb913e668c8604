"""Replication between real processes: this node, and redis-server, in every pairing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

BIG = 30_000


@dataclass
class Server:
    """A node or a redis-server of the test's own."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]
    client: redis.Redis = field(init=False)

    def __post_init__(self) -> None:
        self.client = redis.Redis(port=self.port, socket_timeout=60, retry=Retry(NoBackoff(), 0))

    def follow(self, primary: Server | None) -> None:
        self.client.execute_command("REPLICAOF", *(("127.0.0.1", primary.port) if primary else ("NO", "ONE")))

    def role(self) -> list[Any]:
        return list(self.client.execute_command("ROLE"))

    def is_linked(self) -> bool:
        role = self.role()
        return role[0] == b"slave" and role[3] == b"connected"

    def offset(self) -> int:
        role = self.role()
        return int(role[1] if role[0] == b"master" else role[4])

    def info(self) -> dict[str, Any]:
        return dict(self.client.info("replication"))

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def contents(self, database: int = 0) -> dict[bytes, bytes]:
        """Every key with its value, read one by one."""
        with redis.Redis(port=self.port, db=database, socket_timeout=60) as client:
            keys = list(client.scan_iter(count=1000))
            found: dict[bytes, bytes] = {}
            for at in range(0, len(keys), 1000):
                part = keys[at : at + 1000]
                found.update(zip(part, client.mget(part), strict=True))
        return found


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def start(free_port: Callable[[], int], tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server (`shoal`, or `redis` where it is installed) with directives as arguments."""
    started: list[Server] = []

    def begin(kind: str, *arguments: str, password: str = "") -> Server:
        port = free_port()
        command = [sys.executable, "-m", "node"] if kind == "shoal" else ["redis-server"]
        directory = tmp_path / str(port)
        directory.mkdir()
        log = directory / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--port", str(port), "--bind", "127.0.0.1", "--save", "", *arguments],
                stdout=out,
                stderr=out,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        server = Server(port, log, process)
        if password:
            server.client = redis.Redis(port=port, password=password, socket_timeout=60)
        started.append(server)

        def answers() -> bool:
            assert process.poll() is None, server.logged()
            with contextlib.suppress(redis.ConnectionError):
                return bool(server.client.ping())
            return False

        wait_until(answers, "the server answers")
        return server

    yield begin
    for server in started:
        server.client.close()
        server.process.kill()
        server.process.wait()


@pytest.fixture(params=["shoal→shoal", "redis→shoal", "shoal→redis"])
def pair(
    request: pytest.FixtureRequest, start: Callable[..., Server]
) -> tuple[Callable[..., Server], Callable[..., Server]]:
    """What starts a primary, and what starts a replica."""
    if "redis" in request.param:
        request.getfixturevalue("redis_server_path")
    primary, _, replica = request.param.partition("→")
    return lambda *a: start(primary, *a), lambda *a: start(replica, *a)


Pair = tuple[Callable[..., Server], Callable[..., Server]]


def fill(server: Server, count: int) -> None:
    for at in range(0, count, 1000):
        pipe = server.client.pipeline(transaction=False)
        for n in range(at, min(at + 1000, count)):
            pipe.set(f"key:{n}", f"value-{n:060}")
        pipe.execute()


@contextlib.contextmanager
def writing(server: Server) -> Iterator[list[int]]:
    """Writes from another thread meanwhile: new keys, and all over the old ones. Gives the number written."""
    written = [0]
    ended = threading.Event()

    def write() -> None:
        with redis.Redis(port=server.port, socket_timeout=60) as client:
            while not ended.is_set():
                pipe = client.pipeline(transaction=False)
                for n in range(written[0], written[0] + 20):
                    pipe.set(f"during:{n}", n)
                    pipe.set(f"key:{n * 37 % BIG}", f"changed-{n}")
                pipe.execute()
                written[0] += 20

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join()


def wait_in_step(primary: Server, *replicas: Server) -> None:
    """Until every replica is at the primary's offset: its own count of bytes, not only its data."""
    for replica in replicas:
        wait_until(lambda replica=replica: replica.is_linked(), "the replica is connected")
        wait_until(lambda replica=replica: replica.offset() == primary.offset(), "the replica is in step")


def test_small_data_set_and_stream(pair: Pair) -> None:
    """Snapshot, stream, several databases, offsets, WAIT, and what both sides say about it."""
    primary, replica = pair[0]("--repl-diskless-sync-delay", "0"), pair[1]()
    primary.client.set("before", "1")
    replica.client.set("own", "old")
    replica.follow(primary)
    wait_until(replica.is_linked, "the replica is connected")
    primary.client.set("after", b"\x00\r\n\xff" * 5)
    with redis.Redis(port=primary.port, db=5) as other:
        other.set("elsewhere", "2")
    assert primary.client.wait(1, 5000) == 1
    assert replica.contents() == {b"before": b"1", b"after": b"\x00\r\n\xff" * 5}
    assert replica.contents(5) == {b"elsewhere": b"2"}
    wait_in_step(primary, replica)
    with pytest.raises(redis.ReadOnlyError):
        replica.client.set("k", "v")
    assert primary.role()[2][0][1] == b"%d" % replica.port
    said = replica.info()
    assert (said["role"], said["master_link_status"]) == ("slave", "up")
    assert said["slave_repl_offset"] == primary.info()["master_repl_offset"]


def test_big_data_set_under_load(pair: Pair) -> None:
    """Writes go on during the snapshot, and are all there, in order, afterwards."""
    primary, replica = pair[0]("--repl-diskless-sync-delay", "0"), pair[1]()
    fill(primary, BIG)
    with writing(primary) as written:
        replica.follow(primary)
        wait_until(replica.is_linked, "the replica is connected", 30)
        at_link = written[0]
        wait_until(lambda: written[0] > at_link + 200, "more is written")
    assert written[0] > 0
    wait_in_step(primary, replica)
    assert replica.contents() == primary.contents()


def test_disk_backed_primary(pair: Pair) -> None:
    """repl-diskless-sync no: the length is told before the snapshot."""
    primary, replica = pair[0]("--repl-diskless-sync", "no"), pair[1]()
    fill(primary, 15_000)
    replica.follow(primary)
    wait_in_step(primary, replica)
    assert replica.contents() == primary.contents()


def test_replica_goes_on_after_a_cut_link(pair: Pair) -> None:
    """From the backlog, without another snapshot."""
    primary, replica = pair[0]("--repl-diskless-sync-delay", "0"), pair[1]()
    replica.follow(primary)
    wait_until(replica.is_linked, "the replica is connected")
    primary.client.set("a", "1")
    wait_in_step(primary, replica)
    for round_ in range(3):
        for client in primary.client.client_list():
            if client["flags"] == "S":
                primary.client.client_kill(client["addr"])
        primary.client.set("a", f"round {round_}")
    wait_in_step(primary, replica)
    assert replica.contents() == {b"a": b"round 2"}
    stats = primary.client.info("stats")
    assert stats["sync_full"] == 1
    assert stats["sync_partial_ok"] >= 1


def test_transactions_are_whole_on_replicas(pair: Pair) -> None:
    """Two counters that only move together are never seen apart, though the link is cut again and again."""
    primary = pair[0]("--repl-diskless-sync-delay", "0", "--repl-backlog-size", "100mb")
    replica = pair[1]()
    replica.follow(primary)
    wait_until(replica.is_linked, "the replica is connected")
    ended = threading.Event()

    def write() -> None:
        with redis.Redis(port=primary.port, socket_timeout=60) as client:
            while not ended.is_set():
                several = client.pipeline(transaction=False)
                for _ in range(20):
                    several.execute_command("MULTI")
                    several.incr("a").set("x" * 200, "v", px=1).get("x" * 200).incr("b")
                    several.execute_command("EXEC")
                several.execute()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(6):
            for _ in range(30):
                a, b = replica.client.mget("a", "b")
                assert a == b
            links = [client for client in primary.client.client_list() if client["flags"] == "S"]
            for client in links:
                primary.client.client_kill(client["addr"])
            wait_until(replica.is_linked, "the replica is connected again")
    finally:
        ended.set()
        thread.join()
    wait_in_step(primary, replica)
    assert replica.client.mget("a", "b") == primary.client.mget("a", "b")
    assert primary.client.info("stats")["sync_full"] == 1


def test_what_is_published_is_heard_at_replicas(pair: Pair) -> None:
    primary, replica = pair[0]("--repl-diskless-sync-delay", "0"), pair[1]()
    replica.follow(primary)
    wait_until(replica.is_linked, "the replica is connected")
    with replica.client.pubsub() as listener:
        listener.psubscribe("new*")
        assert listener.get_message(timeout=5)["type"] == "psubscribe"
        assert primary.client.publish("news", "hello") == 0
        message = listener.get_message(timeout=5)
        assert (message["channel"], message["data"]) == (b"news", b"hello")
    wait_in_step(primary, replica)


def test_chain(start: Callable[..., Server], redis_server_path: str) -> None:
    """A replica passes its primary's stream on; all count one set of offsets, whoever made them."""
    first, middle, last = start("shoal"), start("shoal"), start("shoal")
    redis_last = start("redis", "--repl-diskless-sync-delay", "0")
    first.client.set("a", "1")
    middle.follow(first)
    wait_until(middle.is_linked, "the middle is connected")
    redis_last.follow(middle)
    last.follow(redis_last)
    wait_until(lambda: last.is_linked() and redis_last.is_linked(), "the chain is connected")
    with redis.Redis(port=first.port, db=3) as other:
        other.set("b", "2")
    wait_in_step(first, middle, redis_last, last)
    for server in (middle, redis_last, last):
        assert server.contents() == {b"a": b"1"}
        assert server.contents(3) == {b"b": b"2"}


def test_siblings_go_on_with_a_promoted_replica(start: Callable[..., Server]) -> None:
    """REPLICAOF NO ONE: the old history is known to the new primary, up to its own offset."""
    old, heir, sibling = start("shoal"), start("shoal"), start("shoal")
    for server in (heir, sibling):
        server.follow(old)
    wait_until(lambda: heir.is_linked() and sibling.is_linked(), "both are connected")
    old.client.set("a", "1")
    wait_in_step(old, heir, sibling)
    heir.follow(None)
    heir.client.set("b", "2")
    sibling.follow(heir)
    old.follow(heir)
    wait_in_step(heir, sibling, old)
    assert sibling.contents() == old.contents() == {b"a": b"1", b"b": b"2"}
    stats = heir.client.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (0, 2)


def test_wrong_password(start: Callable[..., Server]) -> None:
    """A clear line in the log, another try, and success as soon as the password is right."""
    primary = start("shoal", "--requirepass", "secret", password="secret")
    replica = start("shoal", "--masterauth", "wrong", "--replicaof", f"127.0.0.1 {primary.port}")
    wait_until(
        lambda: replica.logged().count("Unable to AUTH to MASTER: -WRONGPASS") >= 2, "it is told twice"
    )
    replica.client.config_set("masterauth", "secret")
    wait_until(replica.is_linked, "the replica is connected")


def test_a_port_that_speaks_something_else(
    start: Callable[..., Server], free_port: Callable[[], int]
) -> None:
    replica = start("shoal")
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        replica.client.execute_command("REPLICAOF", "127.0.0.1", listener.getsockname()[1])
        for _ in range(2):  # it comes again
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example.com ESMTP ready\r\n" * 100)
                while connection.recv(65536):
                    pass
    assert "Error reply to PING from master: '220 mail.example.com ESMTP ready'" in replica.logged()
    assert replica.client.ping()


def test_expiry_is_the_primarys(pair: Pair) -> None:
    """A replica hides what has expired, and drops it when its primary says so."""
    primary, replica = pair[0]("--repl-diskless-sync-delay", "0"), pair[1]()
    replica.follow(primary)
    wait_until(replica.is_linked, "the replica is connected")
    primary.client.set("k", "v", px=150)
    primary.client.set("stays", "v", ex=1000)
    assert primary.client.wait(1, 5000) == 1
    assert replica.client.pttl("stays") == pytest.approx(primary.client.pttl("stays"), abs=100)
    wait_until(lambda: replica.client.get("k") is None, "it is gone")
    wait_until(lambda: replica.client.dbsize() == 1, "it is dropped")


def children_of(server: Server) -> list[int]:
    listed = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def begin_slow_snapshot(start: Callable[..., Server], *arguments: str) -> tuple[Server, socket.socket]:
    """A primary with a large data set, and a replica that has begun to be sent it and does not read."""
    primary = start("shoal", "--repl-diskless-sync-delay", "0", *arguments)
    for n in range(60):
        primary.client.set(f"large:{n}", os.urandom(512 * 1024))
    replica = socket.create_connection(("127.0.0.1", primary.port))
    replica.sendall(b"REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n")
    wait_until(lambda: children_of(primary), "the snapshot has begun")
    return primary, replica


def test_a_killed_child_ends_the_synchronisation(start: Callable[..., Server]) -> None:
    """The replica is dropped (it would come again), the primary goes on."""
    primary, replica = begin_slow_snapshot(start)
    os.kill(children_of(primary)[0], signal.SIGKILL)
    with replica, contextlib.suppress(ConnectionError):
        while replica.recv(1 << 20):
            pass
    wait_until(lambda: "terminated by signal 9" in primary.logged(), "it is told")
    assert primary.info()["connected_slaves"] == 0
    assert children_of(primary) == []
    assert primary.client.get("large:1")


def test_a_replica_that_goes_away_ends_its_child(start: Callable[..., Server]) -> None:
    primary, replica = begin_slow_snapshot(start)
    replica.close()
    wait_until(lambda: children_of(primary) == [], "the child is ended")
    assert primary.info()["connected_slaves"] == 0
    assert "last replica dropped" in primary.logged()


def test_a_replica_that_takes_nothing_is_dropped(start: Callable[..., Server]) -> None:
    """repl-timeout holds during the snapshot too."""
    primary, replica = begin_slow_snapshot(start, "--repl-timeout", "1")
    with replica:
        wait_until(lambda: children_of(primary) == [], "the child is ended")
    assert "Disconnecting timedout replica (full sync)" in primary.logged()
