"""Files that real servers wrote, and ours loaded by a real server."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from node.rdb.file import Aux, End, Function, Item, Key, RdbReader, RdbWriter
from node.rdb.value import dump_payload, load_payload
from node.values import kinds
from node.values.hashes import Hash
from node.values.lists import List
from node.values.sets import Set
from node.values.streams import Stream
from node.values.streams_ids import format_id
from node.values.zsets import Zset

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "rdb"
_NAMES = ["redis-7.0.15", "valkey"]


def _walk(data: bytes, piece_bytes: int = 4096) -> list[Item]:
    reader = RdbReader()
    items = [
        item for at in range(0, len(data), piece_bytes) for item in reader.feed(data[at : at + piece_bytes])
    ]
    items += reader.close()
    return items


# --- recorded files
# ------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _as_recorded(value: Any) -> Any:
    """The value in the form that the JSON beside the files has."""
    if isinstance(value, bytes | int):
        return _text(value if isinstance(value, bytes) else b"%d" % value)
    if isinstance(value, Hash):
        return {_text(field): _text(text) for field, text in value.pairs()}
    if isinstance(value, Set):
        return sorted(map(_text, value))
    if isinstance(value, Zset):
        return [[_text(member), score] for score, member in value]
    if isinstance(value, Stream):
        return [[_text(format_id(id)), _pairs(list(map(_text, items)))] for id, items in value.entries()]
    assert isinstance(value, List)
    return list(map(_text, value))


def _pairs(words: list[str]) -> list[list[str]]:
    return [words[at : at + 2] for at in range(0, len(words), 2)]


def _recorded(entry: dict[str, Any]) -> Any:
    value = entry["value"]
    if entry["type"] == "set":
        return sorted(value)
    return [[member, float(score)] for member, score in value] if entry["type"] == "zset" else value


def _check_value(name: str, key: str, value: Any, entry: dict[str, Any]) -> None:
    assert _as_recorded(value) == _recorded(entry), key
    encoding = kinds.encoding(value).decode()
    if name == "valkey" or entry["type"] not in ("list", "set"):
        assert encoding == entry["encoding"], key


@pytest.mark.parametrize("name", _NAMES)
def test_recorded_files_are_as_recorded(name: str) -> None:
    recorded: dict[str, Any] = json.loads((_FIXTURES / f"{name}.json").read_text())
    items = _walk((_FIXTURES / f"{name}.rdb").read_bytes())
    keys = {_text(item.key): item for item in items if isinstance(item, Key)}
    assert set(keys) == set(recorded)
    for key, entry in recorded.items():
        item = keys[key]
        assert item.db == entry["db"]
        assert item.expire_at_ms == (None if entry["pexpiretime"] == -1 else entry["pexpiretime"])
        _check_value(name, key, item.value, entry)
    assert items[-1] == End(checked=True)
    assert next(item for item in items if isinstance(item, Function)).code.startswith(b"#!lua name=mylib\n")
    assert {item.name for item in items if isinstance(item, Aux)} >= {b"redis-bits", b"ctime", b"used-mem"}


@pytest.mark.parametrize("name", _NAMES)
def test_recorded_payloads_are_as_recorded(name: str) -> None:
    recorded: dict[str, Any] = json.loads((_FIXTURES / f"{name}.json").read_text())
    kinds_seen = set()
    for key, entry in recorded.items():
        if entry.get("dump_hex"):
            value = load_payload(bytes.fromhex(entry["dump_hex"]))
            _check_value(name, key, value, entry)
            assert _as_recorded(load_payload(dump_payload(value))) == _recorded(entry), key
            kinds_seen.add(entry["type"])
    assert kinds_seen >= {"string", "list", "set", "hash", "zset"}


# --- a live server
# ------------------------------------------------------------------------------


def _sample() -> dict[bytes, tuple[bytes, int | None]]:
    """key → (text, expiry): integers of all widths, strings around every length boundary, binary keys."""
    rng = random.Random(6)
    texts = [b"%d" % (sign * (1 << bits) + off) for bits in range(63) for sign in (1, -1) for off in (-1, 0)]
    texts += [
        b"9223372036854775807",
        b"-9223372036854775808",
        b"9223372036854775808",
        b"007",
        b"-0",
        b"+1",
        b" 1",
    ]
    texts += [rng.randbytes(size) for size in (0, 1, 20, 21, 63, 64, 16383, 16384, 70_000)]
    texts += [bytes([97 + size % 7]) * size for size in (11, 12, 20, 21, 63, 64, 300, 16384, 100_000)]
    texts += [b'{"id":%d,"name":"Jane Doe","tags":["a","a","a","b","b"]}' % n * n for n in range(1, 40)]
    sample: dict[bytes, tuple[bytes, int | None]] = {
        b"key:%d" % number: (text, None if number % 3 else 4102444800000 + number)
        for number, text in enumerate(texts)
    }
    sample |= {bytes([byte]): (bytes([byte]) * 3, None) for byte in range(256)}
    sample |= {
        b"": (b"empty key", None),
        b"x" * 5000: (b"long key", None),
        rng.randbytes(300): (b"binary", None),
    }
    return sample


def test_a_file_of_redis_server_loads(start_redis: Callable[..., Any]) -> None:
    sample = _sample()
    server = start_redis("--dbfilename", "theirs.rdb", "--maxmemory-policy", "allkeys-lfu")
    with redis.Redis(port=server.port) as client:
        pipe = client.pipeline(transaction=False)
        for key, (text, expire_at_ms) in sample.items():
            pipe.set(key, text, pxat=expire_at_ms)
        pipe.execute()
        client.save()
    items = _walk((server.directory / "theirs.rdb").read_bytes(), piece_bytes=1000)
    keys = [item for item in items if isinstance(item, Key)]
    assert len(keys) == len(sample)
    for item in keys:
        text = item.value if isinstance(item.value, bytes) else b"%d" % item.value
        assert (text, item.expire_at_ms) == sample[item.key]
        assert item.freq is not None
    assert items[-1] == End(checked=True)


def _write_sample(path: Path, sample: dict[bytes, tuple[bytes, int | None]], *, compress: bool) -> None:
    writer = RdbWriter(compress=compress)
    expire_count = sum(expire_at_ms is not None for _, expire_at_ms in sample.values())
    with path.open("wb") as file:
        file.write(writer.begin(created_at_s=1_800_000_000, used_memory_bytes=1 << 20))
        file.write(writer.select(0, key_count=len(sample), expire_count=expire_count))
        for number, (key, (text, expire_at_ms)) in enumerate(sample.items()):
            idle_s, freq = ((None, None), (70_000, None), (None, number % 256))[number % 3]
            file.write(writer.key(key, text, expire_at_ms, idle_s, freq))
        file.write(writer.select(5, key_count=1, expire_count=0))
        file.write(writer.key(b"in five", 5))
        file.write(writer.end())


@pytest.mark.parametrize("compress", [True, False])
def test_redis_server_loads_ours(start_redis: Callable[..., Any], tmp_path: Path, compress: bool) -> None:
    sample = _sample()
    _write_sample(tmp_path / "ours.rdb", sample, compress=compress)
    checker = shutil.which("redis-check-rdb")
    if checker is not None:
        checked = subprocess.run([checker, tmp_path / "ours.rdb"], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout
        assert b"RDB looks OK" in checked.stdout
    server = start_redis("--dir", str(tmp_path), "--dbfilename", "ours.rdb")
    with redis.Redis(port=server.port) as client:
        assert client.dbsize() == len(sample)
        for key, (text, expire_at_ms) in sample.items():
            assert client.get(key) == text
            assert client.pexpiretime(key) == (-1 if expire_at_ms is None else expire_at_ms)
    with redis.Redis(port=server.port, db=5) as client:
        assert client.get("in five") == b"5"
