"""check-rdb tells what is in a file, and where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.rdb.check import check_file
from node.rdb.file import RdbWriter
from node.values.hashes import Hash
from node.values.limits import DEFAULT

RECORDED = Path(__file__).parents[2] / "fixtures" / "rdb"


@pytest.fixture
def image() -> bytes:
    writer = RdbWriter()
    pieces = [writer.begin(created_at_s=1, used_memory_bytes=2), writer.function(b"#!lua name=lib\nreturn 1")]
    pieces.append(writer.select(3, key_count=200, expire_count=2))
    pieces.append(writer.keys((b"key:%d" % n, b"v", None, None, None) for n in range(200)))
    pieces.append(writer.key(b"past", b"v", 1))
    pieces.append(writer.key(b"future", Hash.from_pairs([(b"f", b"v")], DEFAULT), 1 << 42))
    return b"".join([*pieces, writer.end()])


def check(path: Path) -> tuple[int, list[str]]:
    said: list[str] = []
    return check_file(str(path), said.append), said


def test_a_good_file(image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(image)
    status, said = check(path)
    assert status == 0
    assert said[0] == f"[offset 0] Checking RDB file {path}"
    assert said[1] == "[offset 9] AUX FIELD redis-ver = '7.4.0'"
    library = next(line for line in said if "Library" in line)
    offset = int(library.split("]")[0].removeprefix("[offset "))
    assert image[offset] == 245
    assert library.endswith("23 bytes: #!lua name=lib")
    assert any(line.endswith("Selecting DB ID 3") for line in said)
    assert said[-5].endswith("Checksum OK")
    assert said[-4] == f"[offset {len(image)}] RDB looks OK"
    assert said[-3] == "[info] 202 keys read: 1 of type hash, 201 of type string"
    assert said[-2:] == ["[info] 2 keys with an expiry", "[info] 1 keys whose time is over"]


@pytest.mark.parametrize("name", ["redis-7.0.15.rdb", "valkey.rdb"])
def test_recorded_files(name: str) -> None:
    status, said = check(RECORDED / name)
    assert status == 0
    assert any(line.startswith("[info] 30 keys read") for line in said)


def test_a_cut_file(image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(image[:-40])
    status, said = check(path)
    assert status == 1
    at = said.index("--- RDB ERROR DETECTED ---")
    assert said[at + 1].startswith("[offset ")
    assert "[info] Last key read: 'past' of database 3" in said
    assert "[info] 201 keys read: 201 of type string" in said


def test_a_flipped_bit(image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(image.replace(b"key:77", b"key:76", 1))
    status, said = check(path)
    assert status == 1
    assert any("the checksum does not match" in line for line in said)


def test_what_follows_the_end_is_told(image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(image + b"rest")
    status, said = check(path)
    assert status == 0
    assert "[info] 4 bytes follow the end of the file, and are ignored" in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    status, said = check(tmp_path / "none")
    assert (status, said[-1]) == (1, f"Cannot read {tmp_path}/none: No such file or directory")
