"""A file is whole under its name or not there; a name has one owner."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.persistence import files
from node.persistence.files import InUseError, NameLock, publish, remove_leftovers, temporary_name, write


def test_what_is_written_is_there_after_publishing(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"old")
    temporary = temporary_name(str(path), 7)
    pieces = [bytes([n % 256]) * 70_000 for n in range(100)]
    assert write(temporary, iter(pieces), incremental_fsync=True) == 7_000_000
    assert path.read_bytes() == b"old"
    publish(temporary, str(path))
    assert path.read_bytes() == b"".join(pieces)
    assert os.listdir(tmp_path) == ["dump.rdb"]


def test_a_disk_that_is_full_leaves_no_half_file(tmp_path: Path) -> None:
    path = str(tmp_path / "dump.rdb")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(OSError):
            write(path, iter([b"x" * 100_000] * 5), incremental_fsync=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_pieces_that_cannot_be_made_leave_no_half_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 200_000
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(str(tmp_path / "dump.rdb"), pieces(), incremental_fsync=False)
    assert os.listdir(tmp_path) == []


def test_a_large_file_is_synced_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    monkeypatch.setattr(files.os, "fdatasync", syncs.append)
    write(str(tmp_path / "a"), iter([b"x" * files.SYNC_BYTES] * 3), incremental_fsync=True)
    assert len(syncs) == 3
    write(str(tmp_path / "b"), iter([b"x" * files.SYNC_BYTES] * 3), incremental_fsync=False)
    assert len(syncs) == 3


def test_a_name_that_cannot_be_had_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").mkdir()
    temporary = temporary_name(str(tmp_path / "dump.rdb"), 1)
    write(temporary, iter([b"x"]), incremental_fsync=False)
    with pytest.raises(OSError):
        publish(temporary, str(tmp_path / "dump.rdb"))
    assert os.listdir(tmp_path) == ["dump.rdb"]


def test_leftovers_are_those_of_this_name_only(tmp_path: Path) -> None:
    for name in ("temp-dump.rdb-12", "temp-dump.rdb-x", "temp-other.rdb-12", "dump.rdb"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(str(tmp_path / "dump.rdb"))
    assert sorted(os.listdir(tmp_path)) == ["dump.rdb", "temp-dump.rdb-x", "temp-other.rdb-12"]


def test_a_name_has_one_owner_at_a_time(tmp_path: Path) -> None:
    path, other = str(tmp_path / "dump.rdb"), str(tmp_path / "other.rdb")
    first, second = NameLock(), NameLock()
    first.hold(path)
    first.hold(path)
    second.hold(other)
    with pytest.raises(InUseError, match=r"dump\.rdb"):
        second.hold(path)
    first.release()
    second.hold(path)
    first.hold(other)
    first.release()
    second.release()
    assert os.listdir(tmp_path) == []


def test_a_lock_is_not_lost_when_its_last_owner_removes_the_file_late(tmp_path: Path) -> None:
    """Who opened the file before it was removed has locked nothing, and tries again."""
    path = str(tmp_path / "dump.rdb")
    first, second, third = NameLock(), NameLock(), NameLock()
    first.hold(path)
    opened = files.os.open
    released = False

    def open_then_release(name: str, flags: int, mode: int = 0o777) -> int:
        nonlocal released
        descriptor = opened(name, flags, mode)
        if not released:
            released = True
            first.release()
        return descriptor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "open", open_then_release)
        second.hold(path)
    with pytest.raises(InUseError):
        third.hold(path)
    second.release()
