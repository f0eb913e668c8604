"""A snapshot on disk is looked over before anything is given up for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gossip.slots import key_slot
from node.app import Node
from node.persistence.snapshot import Snapshots
from node.rdb.errors import RdbError
from node.replication.handshake import Refused
from node.replication.spool import Spool

MARK = b"m" * 40


def snapshot(node: Node) -> bytes:
    for n in range(2000):
        key = b"key:%d" % n
        node.databases[0].put(key, key_slot(key), b"x" * 200)
    return b"".join(Snapshots(node.databases, node.log).pieces())


async def spooled(directory: Path, data: bytes, *, has_mark: bool = False) -> Spool:
    spool = Spool(str(directory), has_mark=has_mark)
    for at in range(0, len(data), 7000):
        assert await spool.feed(data[at : at + 7000]) is False
    await spool.close()
    return spool


@pytest.mark.parametrize("has_mark", [False, True])
async def test_gives_back_the_file_without_the_mark(node: Node, tmp_path: Path, has_mark: bool) -> None:
    """And leaves no name in the directory."""
    data = snapshot(node)
    spool = await spooled(tmp_path, data + (MARK if has_mark else b""), has_mark=has_mark)
    assert list(tmp_path.iterdir()) == []
    assert spool.size_bytes == len(data)
    assert spool.rest == (MARK if has_mark else b"")
    await spool.look_over()
    for _ in range(2):
        spool.rewind()
        pieces = []
        while piece := await spool.read():
            pieces.append(piece)
        assert b"".join(pieces) == data
    spool.discard()


@pytest.mark.parametrize("at", [0, 5, 10, 1000, 400_000, -9, -1])
async def test_a_damaged_byte_is_found(node: Node, tmp_path: Path, at: int) -> None:
    data = bytearray(snapshot(node))
    data[at] ^= 0x40
    spool = await spooled(tmp_path, bytes(data))
    with pytest.raises(RdbError):
        await spool.look_over()
    spool.discard()


@pytest.mark.parametrize("size", [0, 3, 9, 16, 100_000])
async def test_a_file_cut_short_is_found(node: Node, tmp_path: Path, size: int) -> None:
    spool = await spooled(tmp_path, snapshot(node)[:size])
    with pytest.raises(RdbError):
        await spool.look_over()
    spool.discard()


async def test_a_file_without_a_checksum_is_believed(node: Node, tmp_path: Path) -> None:
    """rdbchecksum no, on the primary: zeros stand in its place."""
    spool = await spooled(tmp_path, snapshot(node)[:-8] + bytes(8))
    await spool.look_over()
    spool.discard()


async def test_a_disk_that_fails_is_a_reason_to_try_later(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(Refused, match="Opening the temp file needed for"):
        Spool(str(tmp_path / "missing"), has_mark=False)
    spool = Spool(str(tmp_path), has_mark=False)

    def full(_data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "_put", full)
    await spool.feed(b"x")
    with pytest.raises(Refused, match="No space left on device"):
        await spool.close()
    spool.discard()
