"""Files into databases: everything of the file, or a clear refusal."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossip.slots import key_slot
from node.guards import Guards
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.log import Log
from node.persistence.loading import Loading
from node.persistence.rdb import LoadError, RdbFile, RdbLoader
from node.persistence.snapshot import Snapshots, StreamPosition
from node.rdb.errors import RdbError
from node.rdb.file import RdbWriter
from node.values.hashes import Hash

NOW_MS = 1_700_000_000_000
RECORDED = Path(__file__).parents[2] / "fixtures" / "rdb"


def make_databases(count: int = 3) -> list[Database]:
    changes, policy = Changes(), Policy()
    return [Database(index, changes, policy) for index in range(count)]


def put(database: Database, key: bytes, value: Any, deadline_ms: int | None = None) -> None:
    database.adopt(key, key_slot(key), value, deadline_ms)


def contents(databases: list[Database]) -> dict[tuple[int, bytes], Any]:
    found = {}
    for database in databases:
        database.check()
        for partition in database.slots:
            for key, value in (partition or {}).items():
                shown = dict(value.pairs()) if isinstance(value, Hash) else value
                found[database.index, key] = (shown, database.deadline(key))
    return found


def load(loader: RdbLoader, data: bytes) -> RdbLoader:
    for _ in loader.feed(data):
        pass
    for _ in loader.close():
        pass
    return loader


@pytest.fixture
def filled() -> list[Database]:
    rng = random.Random(1)
    databases = make_databases()
    for n in range(3000):
        put(databases[n % 2], b"key:%d" % n, b"value-%d" % n)
    for n in range(50):
        put(databases[0], b"{tag}%d" % n, rng.randrange(-(1 << 63), 1 << 63))
        put(databases[2], b"long:%d" % n, rng.randbytes(rng.randrange(300)), NOW_MS + n * 1000)
        put(databases[1], b"%d" % n, Hash.from_pairs([(b"f", b"%d" % n)], databases[0].limits))
    put(databases[0], b"", b"an empty key")
    put(databases[0], b"empty", b"")
    put(databases[0], b"k" * 70, b"v" * 70)
    return databases


@pytest.fixture
def image(filled: list[Database]) -> bytes:
    return b"".join(Snapshots(filled, Log()).pieces())


@pytest.mark.parametrize("merge", [False, True])
def test_what_was_saved_is_loaded(filled: list[Database], image: bytes, merge: bool) -> None:
    databases = make_databases()
    loader = load(RdbLoader(databases, now_ms=None, merge=merge), image)
    assert contents(databases) == contents(filled)
    assert loader.keys_loaded == sum(database.count for database in filled)


def test_pieces_of_any_size_will_do(filled: list[Database], image: bytes) -> None:
    rng = random.Random(2)
    databases = make_databases()
    loader = RdbLoader(databases, now_ms=None)
    at = 0
    while at < len(image):
        size = rng.choice((1, 7, 300, 5000))
        for _ in loader.feed(image[at : at + size]):
            pass
        at += size
    assert loader.ended
    assert contents(databases) == contents(filled)


def test_a_primary_passes_over_keys_whose_time_is_over(image: bytes) -> None:
    databases = make_databases()
    loader = load(RdbLoader(databases, now_ms=NOW_MS + 20_500), image)
    assert len(loader.expired) == 21
    assert databases[2].count == 29
    assert loader.expired[0][0] == 2


def test_a_replica_keeps_them(image: bytes) -> None:
    databases = make_databases()
    loader = load(RdbLoader(databases, now_ms=None), image)
    assert (loader.expired, databases[2].count) == ([], 50)


@pytest.mark.parametrize("value", [b"short", b"long" * 50])
def test_a_key_twice_is_damage(value: bytes) -> None:
    writer = RdbWriter()
    head = writer.begin(created_at_s=0, used_memory_bytes=0)
    data = head + writer.keys([(b"key", value, None, None, None)] * 2) + writer.keys([]) + b"x" * 200
    with pytest.raises(RdbError, match="twice"):
        load(RdbLoader(make_databases(), now_ms=None), data)


def test_merging_replaces_keys_and_their_expiry(image: bytes) -> None:
    databases = make_databases()
    put(databases[0], b"key:0", b"old", NOW_MS)
    put(databases[0], b"other", b"stays")
    load(RdbLoader(databases, now_ms=None, merge=True), image)
    found = contents(databases)
    assert found[0, b"key:0"] == (b"value-0", None)
    assert found[0, b"other"] == (b"stays", None)


def test_more_databases_than_there_are_here(image: bytes) -> None:
    with pytest.raises(RdbError, match="database 2, and there are 2 here"):
        load(RdbLoader(make_databases(2), now_ms=None), image)


def test_position_of_the_stream_and_functions_are_kept(filled: list[Database]) -> None:
    snapshots = Snapshots(filled, Log())
    snapshots.functions = lambda: [b"#!lua name=a\n", b"#!lua name=b\n"]
    image = b"".join(snapshots.pieces(StreamPosition(3, b"a" * 40, 77)))
    loader = load(RdbLoader(make_databases(), now_ms=None), image)
    assert loader.position() == StreamPosition(3, b"a" * 40, 77)
    assert loader.functions == [b"#!lua name=a\n", b"#!lua name=b\n"]
    assert loader.used_memory_bytes > 0


@pytest.mark.parametrize(
    "aux",
    [
        {},
        {b"repl-id": b"a" * 40, b"repl-offset": b"5"},
        {b"repl-id": b"short", b"repl-offset": b"5", b"repl-stream-db": b"0"},
        {b"repl-id": b"a" * 40, b"repl-offset": b"-1", b"repl-stream-db": b"0"},
        {b"repl-id": b"a" * 40, b"repl-offset": b"5", b"repl-stream-db": b"-1"},
    ],
)
def test_a_position_that_is_incomplete_is_none(aux: dict[bytes, bytes]) -> None:
    loader = RdbLoader(make_databases(), now_ms=None)
    loader.aux = aux
    assert loader.position() is None


def test_uses_of_keys_are_told(filled: list[Database]) -> None:
    snapshots = Snapshots(filled, Log())
    snapshots.usage = lambda database: lambda _key: (7, None) if database.index else (None, 9)
    image = b"".join(snapshots.pieces())
    told: dict[tuple[int, bytes], tuple[int | None, int | None]] = {}

    def note(database: Database, key: bytes, idle_s: int | None, freq: int | None) -> None:
        told[database.index, key] = (idle_s, freq)

    databases = make_databases()
    load(RdbLoader(databases, now_ms=None, note_use=note), image)
    assert told[0, b"key:0"] == (None, 9)
    assert told[1, b"key:1"] == (7, None)
    assert len(told) == len(contents(databases))


# Files


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[[bytes], RdbFile]:
    def make(data: bytes) -> RdbFile:
        path = tmp_path / "dump.rdb"
        path.write_bytes(data)
        return RdbFile(str(path), Log())

    return make


async def test_loading_tells_how_far_it_is(image: bytes, file_of: Callable[[bytes], RdbFile]) -> None:
    loading = Loading(Guards())
    seen: list[dict[str, object]] = []
    loading.on_progress.append(lambda: seen.append(dict(loading.info())))
    databases = make_databases()
    await file_of(image).load(RdbLoader(databases, now_ms=None), loading)
    assert not loading.active
    assert seen[-1]["loading_total_bytes"] == seen[-1]["loading_loaded_bytes"] == len(image)
    assert databases[0].count


def test_a_file_cut_anywhere_is_refused_and_left_alone(
    image: bytes, file_of: Callable[[bytes], RdbFile]
) -> None:
    rng = random.Random(3)
    for size in [*range(0, 100, 9), *(rng.randrange(len(image)) for _ in range(20)), len(image) - 1]:
        file = file_of(image[:size])
        with pytest.raises(LoadError, match=r"dump\.rdb.* at byte \d+"):
            file.load_now(RdbLoader(make_databases(), now_ms=None))
        assert Path(file.path).read_bytes() == image[:size]


def test_a_flipped_bit_is_refused(image: bytes, file_of: Callable[[bytes], RdbFile]) -> None:
    rng = random.Random(4)
    for _ in range(40):
        at = rng.randrange(len(image))
        damaged = bytearray(image)
        damaged[at] ^= 1 << rng.randrange(8)
        with pytest.raises(LoadError, match=r"at byte \d+"):
            file_of(bytes(damaged)).load_now(RdbLoader(make_databases(), now_ms=None))


def test_without_the_checksum_a_changed_value_is_not_seen(
    image: bytes, file_of: Callable[[bytes], RdbFile]
) -> None:
    damaged = image.replace(b"value-77", b"value-76")
    with pytest.raises(LoadError, match="checksum"):
        file_of(damaged).load_now(RdbLoader(make_databases(), now_ms=None))
    file_of(damaged).load_now(RdbLoader(make_databases(), now_ms=None, check=False))


@pytest.mark.parametrize("name", ["redis-7.0.15.rdb", "valkey.rdb"])
def test_recorded_files_load(name: str, tmp_path: Path) -> None:
    databases = make_databases(16)
    loader = RdbLoader(databases, now_ms=0)
    RdbFile(str(RECORDED / name), Log()).load_now(loader)
    assert loader.keys_loaded == sum(database.count for database in databases) == 30
    assert len(loader.functions) == 1
    for database in databases:
        database.check()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RdbFile(str(tmp_path / "none.rdb"), Log())


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="Is a directory"):
        RdbFile(str(tmp_path), Log()).load_now(RdbLoader(make_databases(), now_ms=None))
