"""`backup`, `restore` and `import`: between clusters of ours and of redis-server, of other shapes."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from redis import Redis
from redis.cluster import RedisCluster

from ctl.errors import UnreachableError
from ctl.execute import import_live, restore_load
from ctl.execute.backup_link import Link
from ctl.execute.restore_routes import Routes
from gossip.slots import key_slot

FAR_MS = 4_000_000_000_000
CODE = """#!lua name=greetings
redis.register_function('greet', function(keys) return 'hello ' .. redis.call('GET', keys[1]) end)
"""


def port_of(ctl: Any) -> int:
    port: int = ctl.cluster.nodes[0].port
    return port


def cluster(ctl: Any) -> RedisCluster:
    return RedisCluster(host="127.0.0.1", port=port_of(ctl))


@pytest.fixture(scope="module")
def source(made: Any) -> Any:
    """Six nodes with keys of every type."""
    if "redis" in made.json("nodes")[0]["server"]:
        made("set-config", "--yes", "repl-diskless-sync-delay", "0")
    with cluster(made) as client:
        fill(client)
    return made


def fill(client: Any) -> None:
    for number in range(300):
        client.set(f"string:{number}", f"value {number}")
    client.set("dies", "later", pxat=FAR_MS)
    client.set("integer", 12345)
    client.hset("hash", mapping={f"field:{n}": n for n in range(900)})
    client.rpush("list", *(f"element {n}" * 3 for n in range(900)))
    client.sadd("numbers", *range(50))
    client.zadd("scores", {f"member:{n}": n / 7 for n in range(300)})
    client.xadd("stream", {"a": 1}, id="5-1")
    client.xgroup_create("stream", "group", "0")
    client.xreadgroup("group", "me", {"stream": ">"})


def contents(client: Any) -> dict[bytes, Any]:
    return {key: (client.pexpiretime(key), read(client, key)) for key in client.scan_iter(count=1000)}


def read(client: Any, key: bytes) -> Any:
    kind = client.type(key)
    if kind == b"string":
        return client.get(key)
    if kind == b"hash":
        return client.hgetall(key)
    if kind == b"list":
        return client.lrange(key, 0, -1)
    if kind == b"set":
        return client.smembers(key)
    if kind == b"zset":
        return client.zrange(key, 0, -1, withscores=True)
    return client.xrange(key), client.xpending(key, "group")["pending"]


@pytest.fixture(scope="module")
def other(
    source: Any, tmp_path_factory: pytest.TempPathFactory, free_run: Callable[[int], int]
) -> Iterator[Any]:
    """Four primaries of the other kind."""
    ours = "shoal" in source.json("nodes")[0]["server"]
    ctl = type(source)(tmp_path_factory.mktemp("other") / "shoal")
    server = ["--server", "redis-server"] if ours else []
    ctl("create", *server, "--nodes", "4", "--replicas", "0", "--base-port", str(free_run(4)))
    yield ctl
    ctl("destroy", "--yes", "--timeout", "0.5")


@pytest.fixture
def target(other: Any) -> Any:
    other("call", "--node", "primaries", "FLUSHALL")
    return other


def test_a_backup_is_restored_into_a_cluster_of_another_shape(
    source: Any, target: Any, tmp_path: Path
) -> None:
    with cluster(source) as client:
        before = contents(client)
    made = source.json("backup", str(tmp_path / "b"))
    assert made["keys"] == len(before)
    assert [shard["source_role"] for shard in made["shards"]] == ["primary"] * 3
    assert "every file is as it was written" in source("backup", "--verify", str(tmp_path / "b"))
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["checksum"] == made["checksum"]
    assert f"{len(before):,} keys" in target("restore", str(tmp_path / "b"), "--dry-run")
    done = target.json("restore", str(tmp_path / "b"), "--yes")
    assert (done["keys"], done["verified"], done["conflict_count"]) == (len(before), True, 0)
    with cluster(target) as client:
        assert contents(client) == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def libraries(ctl: Any) -> list[str]:
    """The names of every primary's libraries of functions, one after the other."""
    replies = ctl.json("call", "--node", "primaries", "FUNCTION", "LIST").values()
    return [
        dict(zip(each[::2], each[1::2], strict=True))["library_name"] for reply in replies for each in reply
    ]


@pytest.fixture
def without_functions(target: Any) -> Iterator[Any]:
    """The target, to which functions may be brought."""
    assert libraries(target) == []
    yield target
    target("call", "--node", "primaries", "FUNCTION", "FLUSH")


def test_functions_are_backed_up_and_restored(source: Any, without_functions: Any, tmp_path: Path) -> None:
    """On every primary, whichever the shard that had them in its file; and they run there."""
    target = without_functions
    source("call", "--node", "primaries", "FUNCTION", "LOAD", "REPLACE", CODE)
    try:
        source("backup", str(tmp_path / "b"))
    finally:
        source("call", "--node", "primaries", "FUNCTION", "DELETE", "greetings")
    target("restore", str(tmp_path / "b"), "--yes")
    assert libraries(target) == ["greetings"] * 4
    with cluster(target) as client:
        assert client.fcall("greet", 1, "string:1") == b"hello value 1"
    assert target.json("restore", str(tmp_path / "b"), "--yes", "--replace")["keys"] > 300
    assert libraries(target) == ["greetings"] * 4


@pytest.mark.parametrize("way", ["live", "file"])
def test_functions_are_imported(server: Redis, without_functions: Any, way: str) -> None:
    server.function_load(CODE)
    server.save()
    file = Path(str(server.config_get("dir")["dir"])) / "dump.rdb"
    without_functions("import", str(file) if way == "file" else address(server), "--yes")
    assert libraries(without_functions) == ["greetings"] * 4
    with cluster(without_functions) as client:
        assert client.fcall("greet", 1, "string:1") == b"hello value 1"


def test_replicas_may_give_the_data(source: Any, tmp_path: Path) -> None:
    made = source.json("backup", str(tmp_path / "b"), "--from-replicas")
    assert [shard["source_role"] for shard in made["shards"]] == ["replica"] * 3
    assert made["keys"] == sum(
        node["keys"] for node in source.json("status")["nodes"] if node["role"] == "primary"
    )


def test_what_the_cluster_has_already_is_never_chosen_over(source: Any, target: Any, tmp_path: Path) -> None:
    where = str(tmp_path / "b")
    keys = source.json("backup", where)["keys"]
    with cluster(target) as client:
        client.set("string:1", "mine")
        assert "it has 1 key" in target("restore", where, "--yes", status=1)
        assert "Add --yes" in target("restore", where, "--replace", status=2)
        assert target.json("restore", where, "--yes", "--skip-existing")["skipped_existing"] == 1
        assert client.get("string:1") == b"mine"
        assert target.json("restore", where, "--yes", "--skip-existing")["skipped_existing"] == keys
        assert target.json("restore", where, "--yes", "--replace")["keys"] == keys
        assert client.get("string:1") == b"value 1"
    assert "opposites" in target("restore", where, "--replace", "--skip-existing", status=2)


def test_a_restore_that_was_stopped_is_gone_on_with(
    source: Any, target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "b")
    keys = source.json("backup", where)["keys"]
    send, sent = Routes.send, []

    async def fail_late(routes: Routes, slots: Any, commands: Any, **more: Any) -> Any:
        sent.append(len(commands))
        if sum(sent) > keys / 2:
            raise UnreachableError("127.0.0.1:1: closed the connection")
        return await send(routes, slots, commands, **more)

    with monkeypatch.context() as patch:
        patch.setattr(restore_load, "BATCH_KEYS", 10)
        patch.setattr(Routes, "send", fail_late)
        said = target("restore", where, "--yes", status=3)
    assert "keys were written before" in said
    assert "--skip-existing` goes on" in said
    done = target.json("restore", where, "--yes", "--skip-existing")
    assert 0 < done["skipped_existing"] < keys
    assert done["skipped_existing"] + done["keys"] == keys
    with cluster(source) as one, cluster(target) as two:
        assert contents(two) == contents(one)


def test_a_damaged_backup_is_refused_before_anything_is_written(
    source: Any, target: Any, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    source("backup", str(good))

    def damaged(name: str, harm: Callable[[Path], object]) -> str:
        shutil.copytree(good, tmp_path / name)
        harm(tmp_path / name)
        said: str = target("restore", str(tmp_path / name), "--yes", status=1)
        assert said == source("backup", "--verify", str(tmp_path / name), status=1)
        return said

    def flip(where: Path) -> None:
        data = bytearray((where / "shard-02.rdb").read_bytes())
        data[200] ^= 1
        (where / "shard-02.rdb").write_bytes(data)

    def newer(where: Path) -> None:
        manifest = where / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))

    assert "shard-01.rdb is missing" in damaged("missing", lambda where: (where / "shard-01.rdb").unlink())
    assert "checksum does not match" in damaged("flipped", flip)
    assert "made by a newer ctl" in damaged("newer", newer)
    assert "not a whole one" in damaged("bare", lambda where: (where / "manifest.json").unlink())
    assert "is not a directory" in target("restore", str(tmp_path / "none"), "--yes", status=2)
    assert sum(node["keys"] for node in target.json("status")["nodes"]) == 0


def test_a_backup_never_overwrites_and_leaves_nothing_when_it_fails(source: Any, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert "exists already" in source("backup", str(tmp_path / "there"), status=2)
    assert "is not a directory" in source("backup", str(tmp_path / "no" / "b"), status=2)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))  # a disk that is full after so many bytes
    try:
        assert "file too large" in source("backup", str(tmp_path / "b"), status=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_slots_that_move_meanwhile_are_noticed(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = next(
        slot for slot in range(5000) if not any(key_slot(b"string:%d" % n) == slot for n in range(300))
    )
    nodes = {node["address"]: node["id"] for node in source.json("nodes") if node["role"] == "primary"}
    first, second, third = (Redis(port=int(address.rpartition(":")[2])) for address in nodes)
    ids = list(nodes.values())

    def give(owner: str) -> None:
        for client in (second, first, third) if owner == ids[1] else (first, second, third):
            client.cluster("SETSLOT", slot, "NODE", owner)

    begin = Link.begin

    async def move_then_begin(link: Link) -> None:
        give(ids[1])
        await begin(link)

    monkeypatch.setattr(Link, "begin", move_then_begin)
    try:
        assert "the map changed while the backup was taken" in source("backup", str(tmp_path / "b"), status=1)
    finally:
        give(ids[0])
        for client in (first, second, third):
            client.close()
    assert list(tmp_path.iterdir()) == []
    deadline = time.monotonic() + 60
    while "changed" in source("backup", str(tmp_path / "after"), status=None):  # until all have heard
        assert time.monotonic() < deadline
        shutil.rmtree(tmp_path / "after", ignore_errors=True)


# --- import


@pytest.fixture
def server(start_redis: Callable[..., Any]) -> Iterator[Redis]:
    """A standalone redis-server with keys of every type."""
    running = start_redis("--repl-diskless-sync-delay", "0")
    with Redis(port=running.port) as client:
        fill(client)
        yield client


def address(client: Redis) -> str:
    return f"127.0.0.1:{client.connection_pool.connection_kwargs['port']}"


def await_follower(client: Redis) -> None:
    deadline = time.monotonic() + 60
    while client.info("replication").get("slave0", {}).get("state") != "online":
        assert time.monotonic() < deadline, "nobody follows"


@pytest.mark.parametrize("way", [[], ["--scan"]])
def test_a_server_is_imported(server: Redis, target: Any, way: list[str]) -> None:
    keys = server.dbsize()
    assert f"{keys:,} keys" in target("import", address(server), "--dry-run", *way)
    assert target.json("import", address(server), "--yes", *way)["keys"] == keys
    with cluster(target) as client:
        assert contents(client) == contents(server)
        client.set("integer", 1)
    said = target("import", address(server), "--yes", *way, status=1)
    assert f"{keys:,} keys were there already" in said
    assert "and 297 more" in said
    with cluster(target) as client:
        assert client.get("integer") == b"1"
    assert target.json("import", address(server), "--yes", "--replace", *way)["keys"] == keys
    with cluster(target) as client:
        assert client.get("integer") == b"12345"


def test_a_cluster_is_imported(source: Any, target: Any) -> None:
    done = target.json("import", f"127.0.0.1:{port_of(source)}", "--yes")
    with cluster(source) as one, cluster(target) as two:
        assert contents(two) == contents(one)
    assert done["keys"] > 300
    said = source("import", f"127.0.0.1:{source.cluster.nodes[1].port}", "--yes", status=1)
    assert "the same cluster" in said


def test_files_are_imported(server: Redis, target: Any, tmp_path: Path) -> None:
    directory = Path(str(server.config_get("dir")["dir"]))
    server.save()
    rdb = directory / "dump.rdb"
    before = contents(server)
    assert target.json("import", str(rdb), "--yes")["keys"] == len(before)
    with cluster(target) as client:
        assert contents(client) == before
    cut = tmp_path / "cut.rdb"
    cut.write_bytes(rdb.read_bytes()[:-40])
    assert "the data ends" in target("import", str(cut), "--yes", "--replace", status=1)
    aof = tmp_path / "tail.aof"
    aof.write_bytes(
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n"
    )
    assert "they would change keys" in target("import", str(aof), "--yes", status=1)
    assert target.json("import", str(aof), "--yes", "--replace")["commands"] == 1
    aof.write_bytes(aof.read_bytes() + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n")
    assert "in the middle of a command" in target("import", str(aof), "--yes", "--replace", status=1)
    with cluster(target) as client:
        assert (client.get("a"), client.get("b")) == (b"1", b"2")


def test_other_databases_are_chosen_or_refused(server: Redis, target: Any) -> None:
    server.select(3)
    server.set("three", 3)
    server.select(0)
    assert "keys in database 3" in target("import", address(server), "--yes", status=1)
    for way in ([], ["--scan"]):
        target("call", "--node", "primaries", "FLUSHALL")
        assert target.json("import", address(server), "--yes", "--db", "3", *way)["keys"] == 1


def test_what_cannot_be_imported_is_told_in_a_line(server: Redis, target: Any, tmp_path: Path) -> None:
    server.config_set("requirepass", "secret")
    assert "NOAUTH" in target("import", address(server), "--yes", status=1)
    assert "WRONGPASS" in target("import", address(server), "--yes", "--source-password", "x", status=1)
    assert target.json("import", address(server), "--yes", "--source-password", "secret")["keys"] > 300
    assert "neither a file nor an address" in target("import", "nowhere", "--yes", status=2)
    assert "connection refused" in target("import", "127.0.0.1:1", "--yes", status=3)
    (tmp_path / "text").write_text("hello")
    assert "not an RDB file" in target("import", str(tmp_path / "text"), "--yes", status=1)
    refused = target("import", address(server), "--live", "--skip-existing", "--yes", status=2)
    assert "cannot follow writes" in refused


def test_writes_are_followed_until_the_cut_over(
    server: Redis, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INCR would show a command that is lost or done twice; the others have keys in several slots."""
    ended = threading.Event()
    followed = threading.Event()
    cut_over = import_live._cut_over

    async def cut_over_late(*words: Any) -> None:
        """Only when commands of each kind were written while ctl followed."""
        followed.set()
        with trio.fail_after(20):
            while not ended.is_set() and writer.is_alive() and not written.is_set():
                await trio.sleep(0.01)
        await cut_over(*words)

    monkeypatch.setattr(import_live, "_cut_over", cut_over_late)
    written = threading.Event()
    port = server.connection_pool.connection_kwargs["port"]

    def write() -> None:
        with Redis(port=port) as client:
            turn = several = 0
            while not ended.is_set():
                turn += 1
                client.incr(f"count:{turn % 40}")
                several += followed.is_set()
                if several > 40:
                    written.set()
                    continue
                client.mset({f"m:{turn % 30}": turn, f"m:{turn % 31}": turn})
                client.set("moving", turn, pxat=FAR_MS)
                client.rename("moving", f"renamed:{turn % 5}")
                client.sadd(f"set:{turn % 3}", turn)
                client.sunionstore("union", [f"set:{n}" for n in range(3)])
                client.zadd(f"zset:{turn % 3}", {str(turn): turn})
                client.zunionstore("zunion", {f"zset:{n}": 1 for n in range(3)})
                client.sort(f"zset:{turn % 3}", store="sorted")
                client.delete(f"m:{turn % 29}", f"count:{turn % 37}")
                with client.pipeline() as pipeline:
                    pipeline.incr("one").incr("two").execute()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = target.json("import", address(server), "--yes", "--cutover", "--pause", "20")
        ended.set()
        with cluster(target) as client:
            assert contents(client) == contents(server)
        assert done["commands"] > 400
        assert "paused for 20 s" in done["notes"][0]
    finally:
        ended.set()
        server.client_unpause()
        writer.join()


def test_following_ends_at_what_would_undo_the_cluster(server: Redis, target: Any) -> None:
    def flush_when_followed() -> None:
        await_follower(server)
        server.set("a", 1)
        server.flushall()

    flusher = threading.Thread(target=flush_when_followed)
    flusher.start()
    said = target("import", address(server), "--yes", "--live", status=1)
    flusher.join()
    assert "FLUSHALL, which is not carried over" in said
    with cluster(target) as client:
        assert client.get("integer") == b"12345"


def test_a_source_that_dies_midway_is_told(server: Redis, target: Any) -> None:
    def die_when_followed() -> None:
        await_follower(server)
        server.shutdown(nosave=True, now=True)

    killer = threading.Thread(target=die_when_followed)
    killer.start()
    assert "was lost before all was read" in target("import", address(server), "--yes", "--live", status=3)
    killer.join()
