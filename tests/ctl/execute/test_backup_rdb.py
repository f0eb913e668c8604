"""ctl.execute.backup_rdb: files of real servers cut as node.rdb reads them, and bodies of every type."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctl.execute.backup_rdb import Cutter, Entry, Item, Library, functions_payload
from node.rdb.crc64 import crc64
from node.rdb.errors import RdbError
from node.rdb.file import Function, Key, RdbReader, RdbWriter, Strings
from node.rdb.primitives import Reader
from node.rdb.value import dump_payload, load_payload

FIXTURES = Path(__file__).parents[2] / "fixtures" / "rdb"
NAMES = ["redis-7.0.15", "valkey"]
S = b"\x03abc"
ID = b"\x01\x02"


def cut(data: bytes, piece_bytes: int = 4096, *, payloads: bool = True) -> list[Item]:
    cutter = Cutter(payloads=payloads)
    items = [
        item for at in range(0, len(data), piece_bytes) for item in cutter.feed(data[at : at + piece_bytes])
    ]
    return [*items, *cutter.close()]


@pytest.mark.parametrize("piece_bytes", [13, 4096, 1 << 20])
@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_a_recorded_file_is_cut_as_it_is_read(name: str, piece_bytes: int) -> None:
    data = (FIXTURES / f"{name}.rdb").read_bytes()
    reader = RdbReader()
    read = [item for item in [*reader.feed(data), *reader.close()] if isinstance(item, Key)]
    entries = [item for item in cut(data, piece_bytes) if isinstance(item, Entry)]
    assert len(read) == len(entries) > 10
    for key, entry in zip(read, entries, strict=True):
        assert (entry.key, entry.expire_at_ms, entry.idle_s, entry.freq, entry.db) == (
            key.key,
            key.expire_at_ms,
            key.idle_s,
            key.freq,
            key.db,
        )
        if entry.string is not None:
            assert entry.string == (b"%d" % key.value if isinstance(key.value, int) else key.value)
            assert entry.payload == b""
        else:
            assert dump_payload(load_payload(entry.payload)) == dump_payload(key.value)


@pytest.mark.parametrize("name", NAMES)
def test_libraries_are_cut_as_they_stand(name: str) -> None:
    data = (FIXTURES / f"{name}.rdb").read_bytes()
    reader = RdbReader()
    codes = [item.code for item in [*reader.feed(data), *reader.close()] if isinstance(item, Function)]
    libraries = [item for item in cut(data) if isinstance(item, Library)]
    assert len(libraries) == len(codes)
    for library, code in zip(libraries, codes, strict=True):
        assert Reader(library.record, 1).read_string() == code
        payload = functions_payload([library])
        assert crc64(payload[:-8]) == int.from_bytes(payload[-8:], "little")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_ends_anywhere_too_early_is_an_error(name: str) -> None:
    data = (FIXTURES / f"{name}.rdb").read_bytes()
    for end in range(0, len(data) - 1, 97):
        with pytest.raises(RdbError):
            cut(data[:end], payloads=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_byte_is_noticed(name: str) -> None:
    data = bytearray((FIXTURES / f"{name}.rdb").read_bytes())
    for at in range(40, len(data), 211):
        data[at] ^= 1
        with pytest.raises(RdbError):
            cut(bytes(data), payloads=False)
        data[at] ^= 1
    cut(bytes(data), payloads=False)


@pytest.mark.parametrize(
    ("code", "body", "version"),
    [
        (0, b"\xc0\x05", 8),
        (0, b"\xc3\x04\x0aabcd", 8),
        (0, b"\x80\x00\x00\x00\x03abc", 8),
        (1, b"\x02" + S + b"\xc1\x01\x02", 8),
        (2, b"\x41\x00" + S * 256, 8),
        (3, b"\x03" + S + b"\x011" + S + b"\xfd" + S + b"\xfe", 8),
        (4, b"\x01" + S + S, 8),
        (5, b"\x01" + S + bytes(8), 8),
        (7, b"\x05\x02\x07\x04" + bytes(8) + b"\x03" + bytes(4) + b"\x05" + S + b"\x00", 8),
        (14, b"\x02" + S + S, 8),
        (15, b"\x01" + S + S + b"\x01" + ID + b"\x00", 9),
        (18, b"\x01\x02" + S, 10),
        (
            19,
            b"\x01" + S + S + b"\x01" + ID * 3 + b"\x05"
            b"\x01"
            + S
            + ID
            + b"\x03"
            + b"\x01"
            + bytes(24)
            + b"\x01\x01"
            + S
            + bytes(8)
            + b"\x01"
            + bytes(16),
            10,
        ),
        (21, b"\x00\x00" + ID * 3 + b"\x05\x01" + S + ID + b"\x03\x00\x01" + S + bytes(16) + b"\x00", 11),
        (22, b"\x01\x07" + S + S, 12),
        (23, S, 12),
        (24, bytes(8) + b"\x01\x07" + S + S, 12),
        (25, bytes(8) + S, 12),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 4096])
def test_bodies_end_where_their_type_says(code: int, body: bytes, version: int, piece_bytes: int) -> None:
    """Each stands between two other keys, so a wrong end is noticed."""
    other = b"\x00\x01a\x01b"
    records = b"REDIS0012" + other + b"%c\x01k" % code + body + other + b"\xff"
    _, entry, last = cut(records + crc64(records).to_bytes(8, "little"), piece_bytes)
    assert isinstance(entry, Entry)
    assert isinstance(last, Entry)
    assert (entry.key, last.key) == (b"k", b"a")
    if entry.string is not None:
        assert entry.string == b"abc"
        return
    assert entry.payload[:-10] == b"%c" % code + body
    assert int.from_bytes(entry.payload[-10:-8], "little") == version


def test_what_a_node_of_ours_writes_is_cut() -> None:
    writer = RdbWriter(compress=False)
    data = b"".join(
        (
            writer.begin(created_at_s=1, used_memory_bytes=1),
            writer.select(0, key_count=3, expire_count=1),
            writer.keys([(b"a", b"x" * 70_000, None, None, None), (b"12", 12, 99, 5, None)]),
            writer.select(3, key_count=1, expire_count=0),
            writer.key(b"c", b"", None, None, 7),
            writer.end(),
        )
    )
    reader = RdbReader()
    assert not any(isinstance(item, Strings) for item in reader.feed(data))
    assert [item[:1] + item[2:6] for item in cut(data) if isinstance(item, Entry)] == [
        (b"a", None, None, None, 0),
        (b"12", 99, 5, None, 0),
        (b"c", None, None, 7, 3),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"nothing of the kind", "not an RDB file"),
        (b"REDIS0099", "version 0099"),
        (b"REDIS0011\x1f", "type 31"),
        (b"REDIS0011\x06\x01a", "module, pre-release"),
        (b"REDIS0011\xf6", "opcode 246"),
    ],
)
def test_what_is_not_known_is_said(data: bytes, said: str) -> None:
    with pytest.raises(RdbError, match=said):
        cut(data + bytes(40))


def test_what_follows_the_file_is_kept() -> None:
    """An AOF that begins with an RDB file."""
    cutter = Cutter()
    records = b"REDIS0011\xff"
    list(cutter.feed(records + crc64(records).to_bytes(8, "little") + b"*1\r\n"))
    list(cutter.feed(b"$4\r\nPING\r\n"))
    assert cutter.ended
    assert cutter.rest == b"*1\r\n$4\r\nPING\r\n"
