"""The manifest is Redis's, and each of its steps leaves one that can be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.persistence.aof.manifest import AofFile, FileType, Manifest, ManifestError, parse, read, write

REDIS = b"""\
file appendonly.aof.2.base.rdb seq 2 type b
file appendonly.aof.1.incr.aof seq 1 type h
file appendonly.aof.4.incr.aof seq 4 type i
file appendonly.aof.5.incr.aof seq 5 type i
"""


def test_a_manifest_of_redis_is_read_and_written_alike() -> None:
    manifest = parse(REDIS)
    assert [file.name for file in manifest.files] == [
        "appendonly.aof.2.base.rdb",
        "appendonly.aof.4.incr.aof",
        "appendonly.aof.5.incr.aof",
    ]
    assert manifest.dump() == REDIS


def test_comments_unknown_fields_and_quotes_are_understood() -> None:
    manifest = parse(b'# by hand\nfile "a b\\x01.aof" seq 1 type b more "x y"\n')
    assert manifest.base == AofFile("a b\x01.aof", 1, FileType.BASE)
    assert parse(manifest.dump()) == manifest


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"file a.aof seq 1\n", "Invalid AOF manifest file format"),
        (b"file a.aof seq 0 type b\n", "Invalid AOF manifest file format"),
        (b"file a.aof seq x type b\n", "Invalid AOF manifest file format"),
        (b"file a.aof seq 1 type b", "too long line"),
        (b"\n", "Invalid AOF manifest file format"),
        (b'file "a.aof seq 1 type b\n', "Invalid AOF manifest file format"),
        (b"file x/a.aof seq 1 type b\n", "can't be a path"),
        (b"file .. seq 1 type b\n", "can't be a path"),
        (b"file a.aof seq 1 type x\n", "Unknown AOF file type"),
        (b"file " + b"a" * 1100 + b" seq 1 type b\n", "too long line"),
        (b"file appendonly.aof.9.base.rdb seq 9 type b\n", "duplicate base"),
        (b"file appendonly.aof.5.incr.aof seq 5 type i\n", "non-monotonic"),
        (b"file appendonly.aof.3.incr.aof seq 3 type i\n", "non-monotonic"),
    ],
)
def test_a_bad_line_is_named(line: bytes, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason) as caught:
        parse(REDIS + line)
    assert "at line 5" in str(caught.value)


def test_an_empty_manifest_is_damage() -> None:
    with pytest.raises(ManifestError, match="empty"):
        parse(b"")


def test_no_new_file_takes_the_name_of_an_old_one() -> None:
    """What is history may still be there when the next file is opened."""
    manifest, first = Manifest().with_increment("a.aof")
    manifest, base = manifest.with_base("a.aof", "rdb")
    assert (first.name, base.name) == ("a.aof.1.incr.aof", "a.aof.1.base.rdb")
    manifest = manifest.with_rewritten(keep=0)
    assert not manifest.increments
    manifest, second = manifest.with_increment("a.aof")
    assert second.name == "a.aof.2.incr.aof"
    manifest, base = manifest.with_base("a.aof", "aof")
    assert base.name == "a.aof.2.base.aof"
    assert {file.name for file in manifest.history} == {"a.aof.1.incr.aof", "a.aof.1.base.rdb"}


def test_a_rewrite_keeps_the_increment_that_is_being_written() -> None:
    manifest = parse(REDIS)
    after, base = manifest.with_base("appendonly.aof", "rdb")
    after = after.with_rewritten(keep=1)
    assert [file.name for file in after.files] == [base.name, "appendonly.aof.5.incr.aof"]
    assert parse(after.dump()) == after
    assert parse(after.without_history().dump()).history == ()


def test_a_manifest_is_replaced_or_left(tmp_path: Path) -> None:
    path = str(tmp_path / "a.manifest")
    assert read(path) is None
    write(path, parse(REDIS))
    assert read(path) == parse(REDIS)
    (tmp_path / "temp-a.manifest").mkdir()  # where the new one would be written
    with pytest.raises(ManifestError, match=r"a\.manifest"):
        write(path, Manifest())
    assert read(path) == parse(REDIS)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.manifest").mkdir()
    with pytest.raises(ManifestError, match=r"a\.manifest"):
        read(str(tmp_path / "a.manifest"))
