"""The append-only file of real processes: killed, out of space, switched, and exchanged with redis-server."""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest

DEADLINE_S = 60.0
Client = Any
Start = Callable[..., Any]


def wait_for(what: Callable[[], bool], why: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < deadline_s, why
        time.sleep(0.01)


def persistence(client: Client) -> dict[str, str]:
    lines = client.call("INFO", "persistence").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def rewrite(client: Client) -> None:
    """BGREWRITEAOF, to its end."""
    count = int(persistence(client)["aof_rewrites"])
    client.call("BGREWRITEAOF")

    def is_done() -> bool:
        info = persistence(client)
        return int(info["aof_rewrites"]) > count and info["aof_rewrite_in_progress"] == "0"

    wait_for(is_done, "the rewrite ends")
    assert persistence(client)["aof_last_bgrewrite_status"] == "ok"


def read_all(client: Client) -> dict[tuple[int, bytes], Any]:
    """Every key of every database with what is in it, as any server of any version tells it."""
    found: dict[tuple[int, bytes], Any] = {}
    for db in range(16):
        client.call("SELECT", db)
        for key in client.call("KEYS", "*"):
            found[db, key] = (read_key(client, key), client.call("PEXPIRETIME", key))
    return found


def read_key(client: Client, key: bytes) -> Any:
    kind = client.call("TYPE", key)
    if kind == b"string":
        return client.call("GET", key)
    if kind == b"list":
        return client.call("LRANGE", key, 0, -1)
    if kind == b"set":
        return sorted(client.call("SMEMBERS", key))
    if kind == b"zset":
        flat = client.call("ZRANGE", key, 0, -1, "WITHSCORES")
        return [(member, float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]
    if kind == b"hash":
        flat = client.call("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))
    assert kind == b"stream"
    info = client.call("XINFO", "STREAM", key)
    facts = dict(zip(info[::2], info[1::2], strict=True))
    names = (b"length", b"last-generated-id", b"max-deleted-entry-id", b"entries-added")
    groups = []
    for group in client.call("XINFO", "GROUPS", key):
        name = group[1]
        pending = client.call("XPENDING", key, name, "-", "+", 100)
        groups.append((group[:12], [each[:2] + each[3:] for each in pending]))
    return client.call("XRANGE", key, "-", "+"), [facts[name] for name in names], groups


def fill(client: Client) -> None:
    """Keys of every type, small and large, with expiry, in several databases, some in transactions."""
    far_ms = 33177117420000
    commands: list[tuple[Any, ...]] = [
        ("SET", "s", b"\x00\r\n\xff"), ("SET", "int", 123456), ("SET", "long", b"x" * 100_000),
        ("APPEND", "s", "z"), ("SET", "t", "v", "PXAT", far_ms), ("SET", "rel", "v", "EX", 1_000_000),
        ("SETRANGE", "s", 3, "ab"), ("INCRBYFLOAT", "f", "3.25"), ("PFADD", "hll", "a", "b"),
        ("SETBIT", "bits", 1000, 1), ("RPUSH", "l", *range(5)),
        ("RPUSH", "big-l", *(f"item-{n}" for n in range(2000))), ("LPOP", "l"),
        ("SADD", "ints", *range(10)), ("SADD", "set", "a", "b"),
        ("SADD", "big-set", *(f"m{n}" for n in range(1000))), ("SPOP", "set"), ("SPOP", "big-set", 10),
        ("ZADD", "z", 1, "a", "-inf", "b", "3.141592653589793", "c"), ("ZINCRBY", "z", 2, "a"),
        ("ZADD", "big-z", *(x for n in range(1000) for x in (n / 7, f"m{n}"))),
        ("HSET", "h", "f", "v", "n", "1"), ("HINCRBYFLOAT", "h", "n", "0.5"),
        ("HSET", "big-h", *(x for n in range(1000) for x in (f"f{n}", f"v{n}"))),
        ("GEOADD", "geo", "13.361389", "38.115556", "Palermo"), ("EXPIREAT", "z", far_ms // 1000),
        ("XADD", "x", "1-1", "f", "v"), ("XADD", "x", "MAXLEN", "~", 100, "1-2", "f", "w", "g", "u"),
        ("XADD", "x", "*", "f", "auto"), ("XDEL", "x", "1-2"), ("XGROUP", "CREATE", "x", "g", "0"),
        ("XREADGROUP", "GROUP", "g", "c1", "COUNT", 1, "STREAMS", "x", ">"),
        ("XGROUP", "CREATE", "x", "h", "$"), ("XGROUP", "CREATECONSUMER", "x", "g", "c2"),
        ("XADD", "gone", "5-5", "a", "b"), ("XDEL", "gone", "5-5"), ("MULTI",), ("SET", "m1", "1"),
        ("SELECT", 5), ("SET", "m2", "2"), ("INCR", "m2"), ("EXEC",), ("SET", "in-five", "5"),
        ("COPY", "in-five", "moved"), ("MOVE", "moved", 7), ("SELECT", 0), ("RENAME", "f", "renamed"),
        ("SORT", "ints", "STORE", "sorted"), ("DEL", "ints"),
    ]  # fmt: skip
    for command in commands:
        reply = client.call(*command)
        assert not isinstance(reply, Exception), (command, reply)


# Crashes

LOG_MAX = 20_000


class Writer:
    """Pushes 1, 2, 3, … onto a list, a few at a time, until the connection breaks.

    `acknowledged` holds the numbers that were, with the time, and now and then a rewrite is asked for.
    """

    def __init__(self, client: Client, start: int, rng: random.Random) -> None:
        self._client = client
        self._next = start
        self._rng = rng
        self.acknowledged: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                batch = range(self._next, self._next + self._rng.randint(1, 40))
                data = b"".join(hiredis.pack_command(("RPUSH", "log", n)) for n in batch)
                if self._rng.random() < 0.01:
                    data += hiredis.pack_command(("BGREWRITEAOF",))
                self._client.send(data)
                for number in batch:
                    assert self._client.reply() == number
                    self.acknowledged.append((time.monotonic(), number))
                if len(data) != sum(len(hiredis.pack_command(("RPUSH", "log", n))) for n in batch):
                    self._client.reply()
                self._next = batch.stop
        except (EOFError, OSError):
            pass

    def wait(self) -> None:
        self._thread.join(DEADLINE_S)


def crash_often(shoal_node: Start, directory: Path, fsync: str, times: int, lost_s: float) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    arguments = ["--dir", str(directory), "--appendonly", "yes", "--appendfsync", fsync, "--save", ""]
    node = shoal_node(*arguments)
    length = 0
    for _ in range(times):
        writer = Writer(node.connect(), length + 1, rng)
        time.sleep(rng.random() * 0.3)
        node.process.kill()
        killed_s = time.monotonic()
        node.process.wait()
        writer.wait()
        sure = max([n for at_s, n in writer.acknowledged if at_s < killed_s - lost_s], default=length)
        node = shoal_node(*arguments)
        client = node.connect()
        log = client.call("LRANGE", "log", 0, -1)
        length = len(log)
        assert log == [b"%d" % n for n in range(1, length + 1)], f"seed {seed}"
        assert length >= sure, f"seed {seed}: {sure} were acknowledged, {length} are there"
        if length > LOG_MAX:
            assert client.call("DEL", "log") == 1
            length = 0


@pytest.mark.parametrize(("fsync", "lost_s"), [("always", 0.0), ("everysec", 1.0)])
def test_what_was_acknowledged_survives_kills(
    shoal_node: Start, tmp_path: Path, fsync: str, lost_s: float
) -> None:
    """always: every write; everysec: all but the last second's."""
    crash_often(shoal_node, tmp_path, fsync, 3, lost_s)


@pytest.mark.slow
@pytest.mark.parametrize(("fsync", "lost_s"), [("always", 0.0), ("everysec", 1.0)])
def test_what_was_acknowledged_survives_a_hundred_kills(
    shoal_node: Start, tmp_path: Path, fsync: str, lost_s: float
) -> None:
    crash_often(shoal_node, tmp_path, fsync, 100, lost_s)


# Out of space


def limit_files(node: Any, size_bytes: int) -> None:
    """No file of the process can become longer."""
    hard = resource.RLIM_INFINITY
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


def test_a_full_disk_refuses_writes_until_there_is_space(shoal_node: Start, tmp_path: Path) -> None:
    arguments = ["--dir", str(tmp_path), "--appendonly", "yes", "--save", ""]
    node = shoal_node(*arguments)
    client = node.connect()
    increment = tmp_path / "appendonlydir" / "appendonly.aof.1.incr.aof"
    assert client.call("SET", "a", "1") == b"OK"
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    whole = increment.read_bytes()
    limit_files(node, len(whole) + 100)
    client.call("SET", "b", "x" * 1000)
    wait_for(lambda: persistence(client)["aof_last_write_status"] == "err", "the failure is told")
    assert increment.read_bytes() == whole, "half a command is taken back"
    refusal = "MISCONF Errors writing to the AOF file: File too large"
    assert str(client.call("SET", "c", "1")).startswith(refusal)
    assert str(client.call("PING")).startswith("MISCONF")
    assert client.call("GET", "a") == b"1"
    assert str(client.call("BGREWRITEAOF")).startswith("ERR Can't execute an AOF background rewriting")
    limit_files(node, resource.RLIM_INFINITY)
    wait_for(lambda: persistence(client)["aof_last_write_status"] == "ok", "space is noticed")
    assert client.call("SET", "c", "1") == b"OK"
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    node.process.kill()
    node.process.wait()
    client = shoal_node(*arguments).connect()
    assert client.call("MGET", "a", "c") == [b"1", b"1"]
    assert client.call("STRLEN", "b") == 1000


def test_with_always_a_full_disk_ends_the_node_before_anybody_is_told(
    shoal_node: Start, tmp_path: Path
) -> None:
    node = shoal_node("--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync", "always", "--save", "")
    client = node.connect()
    client.call("SET", "a", "1")
    limit_files(node, 100_000)
    client.send(hiredis.pack_command(("SET", "b", "x" * 200_000)))
    assert client.is_closed()
    assert node.exit_status() == 1
    node.wait_for_log("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")


def test_a_rewrite_that_finds_no_space_changes_nothing(shoal_node: Start, tmp_path: Path) -> None:
    arguments = ["--dir", str(tmp_path), "--appendonly", "yes", "--save", ""]
    node = shoal_node(*arguments)
    client = node.connect()
    for number in range(50):
        client.call("SET", f"k{number}", "x" * 1000)
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    before = set((tmp_path / "appendonlydir").iterdir())
    limit_files(node, 20_000)
    assert client.call("BGREWRITEAOF") == b"Background append only file rewriting started"
    wait_for(lambda: persistence(client)["aof_last_bgrewrite_status"] == "err", "it fails")
    after = set((tmp_path / "appendonlydir").iterdir())
    assert {path.name for path in after - before} == {"appendonly.aof.2.incr.aof"}
    client.call("SET", "later", "1")
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    node.process.kill()
    node.process.wait()
    client = shoal_node(*arguments).connect()
    assert client.call("DBSIZE") == 51


# Switching, rewriting


def test_the_aof_can_be_switched_on_and_off(shoal_node: Start, tmp_path: Path) -> None:
    node = shoal_node("--dir", str(tmp_path), "--save", "")
    client = node.connect()
    fill(client)
    expected = read_all(client)
    assert client.call("CONFIG", "SET", "appendonly", "yes") == b"OK"
    client.call("SELECT", 0)
    client.call("SET", "meanwhile", "1")
    wait_for(lambda: (tmp_path / "appendonlydir" / "appendonly.aof.manifest").exists(), "the first base")
    client.call("SET", "then", "1")
    expected |= {(0, b"meanwhile"): (b"1", -1), (0, b"then"): (b"1", -1)}
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    assert client.call("CONFIG", "SET", "appendonly", "no") == b"OK"
    client.call("SET", "unseen", "1")
    assert str(client.call("WAITAOF", 1, 0, 0)).startswith("ERR WAITAOF cannot be used when numlocal is set")
    node.process.kill()
    node.process.wait()
    again = shoal_node("--dir", str(tmp_path), "--save", "", "--appendonly", "yes").connect()
    assert read_all(again) == expected


@pytest.mark.parametrize("as_rdb", ["yes", "no"])
def test_a_rewritten_aof_holds_every_type(shoal_node: Start, tmp_path: Path, as_rdb: str) -> None:
    arguments = ["--dir", str(tmp_path), "--save", "", "--appendonly", "yes"]
    arguments += ["--aof-use-rdb-preamble", as_rdb]
    node = shoal_node(*arguments, "--aof-timestamp-enabled", "yes")
    client = node.connect()
    fill(client)
    rewrite(client)
    client.call("SELECT", 3)
    client.call("SET", "after", "1")
    expected = read_all(client)
    suffix = "rdb" if as_rdb == "yes" else "aof"
    increment = "appendonly.aof.2.incr.aof"
    names = {f"appendonly.aof.2.base.{suffix}", increment, "appendonly.aof.manifest"}
    directory = tmp_path / "appendonlydir"
    wait_for(lambda: {path.name for path in directory.iterdir()} == names, "history is removed")
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    assert (tmp_path / "appendonlydir" / increment).read_bytes().startswith(b"#TS:")
    node.process.kill()
    node.process.wait()
    assert read_all(shoal_node(*arguments).connect()) == expected


def test_growth_starts_a_rewrite(shoal_node: Start, tmp_path: Path) -> None:
    node = shoal_node("--dir", str(tmp_path), "--appendonly", "yes", "--auto-aof-rewrite-min-size", "10kb")
    client = node.connect()
    for _ in range(30):
        client.call("SET", "a", "x" * 1000)
    wait_for(lambda: persistence(client)["aof_rewrites"] == "1", "a rewrite begins by itself")
    wait_for(lambda: int(persistence(client)["aof_current_size"]) < 5000, "it has an effect")
    assert "Starting automatic rewriting of AOF on" in node.logged()


# Replicas, clusters


def test_waitaof_is_answered_when_the_replicas_disk_has_it(shoal_node: Start, tmp_path: Path) -> None:
    """With everysec too: nobody waits for the second, or for the next heartbeat."""
    primary = shoal_node("--save", "", "--appendonly", "yes")
    following = ["--replicaof", f"127.0.0.1 {primary.port}", "--save", "", "--appendonly", "yes"]
    replica = shoal_node("--dir", str(tmp_path), *following)
    client = primary.connect()
    client.call("SET", "first", "1")
    wait_for(lambda: client.call("WAITAOF", 1, 1, 1000) == [1, 1], "the replica's first base")
    took_s = []
    for number in range(5):
        client.call("SET", f"k{number}", "1")
        start_s = time.monotonic()
        assert client.call("WAITAOF", 1, 1, 5000) == [1, 1]
        took_s.append(time.monotonic() - start_s)
    # Each began when the one before was over: had they waited for a second to end, all would be long.
    assert min(took_s[1:]) < 0.5, took_s
    replica.process.kill()
    replica.process.wait()
    alone = shoal_node("--dir", str(tmp_path), "--save", "", "--appendonly", "yes").connect()
    assert alone.call("DBSIZE") == 6
    assert client.call("WAITAOF", 1, 1, 50) == [1, 0]


def test_after_a_full_synchronisation_the_aof_begins_anew(shoal_node: Start, tmp_path: Path) -> None:
    """What the replica had before does not come back with a restart."""
    arguments = ["--dir", str(tmp_path), "--save", "", "--appendonly", "yes"]
    replica = shoal_node(*arguments)
    client = replica.connect()
    client.call("SET", "old", "1")
    primary = shoal_node("--save", "")
    primary.connect().call("SET", "new", "1")
    client.call("REPLICAOF", "127.0.0.1", primary.port)
    wait_for(lambda: client.call("GET", "new") == b"1", "the synchronisation")
    primary.connect().call("SET", "later", "1")
    wait_for(lambda: client.call("GET", "later") == b"1", "the stream")
    wait_for(lambda: persistence(client)["aof_rewrites"] == "1", "the rewrite")
    wait_for(lambda: not replica_is_rewriting(client), "the new base")
    replica.process.terminate()
    replica.process.wait()
    again = shoal_node(*arguments).connect()
    assert sorted(again.call("KEYS", "*")) == [b"later", b"new"]


def replica_is_rewriting(client: Client) -> bool:
    info = persistence(client)
    return info["aof_rewrite_in_progress"] == "1" or info["aof_rewrite_scheduled"] == "1"


def test_a_cluster_node_finds_its_keys_again(shoal_node: Start, tmp_path: Path) -> None:
    arguments = ["--dir", str(tmp_path), "--save", "", "--appendonly", "yes", "--cluster-enabled", "yes"]
    node = shoal_node(*arguments)
    client = node.connect()
    client.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_for(lambda: b"cluster_state:ok" in client.call("CLUSTER", "INFO"), "the cluster is whole")
    for number in range(100):
        client.call("SET", f"k{number}", number)
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    node.process.kill()
    node.process.wait()
    client = shoal_node(*arguments).connect()
    wait_for(lambda: b"cluster_state:ok" in client.call("CLUSTER", "INFO"), "the cluster is whole")
    assert [client.call("GET", f"k{number}") for number in range(100)] == [b"%d" % n for n in range(100)]


def test_two_nodes_on_one_directory(shoal_node: Start, start_node: Start, tmp_path: Path) -> None:
    arguments = ["--dir", str(tmp_path), "--save", "", "--appendonly", "yes"]
    node = shoal_node(*arguments)
    client = node.connect()
    client.call("SET", "a", "1")
    other = start_node(*arguments)
    assert other.exit_status() == 1
    assert "is already used by a different node" in other.logged()
    assert client.call("GET", "a") == b"1"


# redis-server


@pytest.fixture
def raw(shared_node: Any) -> Iterator[Callable[[int], Client]]:
    """Connections to any port of this machine."""
    opened: list[Client] = []

    def connect(port: int) -> Client:
        opened.append(shared_node.connect().__class__(("127.0.0.1", port)))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


def wait_loaded(client: Client) -> None:
    wait_for(lambda: client.call("PING") == b"PONG", "it has loaded")


@pytest.mark.parametrize("as_rdb", ["yes", "no"])
def test_the_directory_of_a_redis_server_starts_here(
    start_redis: Start, shoal_node: Start, raw: Callable[[int], Client], as_rdb: str
) -> None:
    settings = ["--aof-use-rdb-preamble", as_rdb, "--aof-timestamp-enabled", "yes"]
    server = start_redis("--appendonly", "yes", *settings)
    client = raw(server.port)
    fill(client)
    rewrite(client)
    client.call("SELECT", 0)
    client.call("DEL", "x", "gone", "l")
    fill(client)
    expected = read_all(client)
    server.process.terminate()
    server.process.wait()
    node = shoal_node("--dir", str(server.directory), "--appendonly", "yes", "--save", "")
    assert read_all(node.connect()) == expected


@pytest.mark.parametrize("as_rdb", ["yes", "no"])
def test_our_directory_starts_a_redis_server(
    start_redis: Start, shoal_node: Start, raw: Callable[[int], Client], tmp_path: Path, as_rdb: str
) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    node = shoal_node(
        "--dir", str(ours), "--appendonly", "yes", "--save", "", "--aof-use-rdb-preamble", as_rdb,
        "--aof-timestamp-enabled", "yes",
    )  # fmt: skip
    client = node.connect()
    fill(client)
    rewrite(client)
    client.call("SELECT", 0)
    client.call("DEL", "x", "gone", "l")
    fill(client)
    expected = read_all(client)
    assert client.call("WAITAOF", 1, 0, 0) == [1, 0]
    node.process.kill()
    node.process.wait()
    server = start_redis("--appendonly", "yes", "--dir", str(ours))
    client = raw(server.port)
    wait_loaded(client)
    assert read_all(client) == expected
