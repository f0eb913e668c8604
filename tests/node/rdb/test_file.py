"""Whole RDB files: written, read in pieces, damaged."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rdb.crc64 import crc64
from node.rdb.errors import RdbError, RdbTruncatedError, RdbUnsupportedError
from node.rdb.file import (
    Aux,
    End,
    Function,
    Item,
    Key,
    RdbReader,
    RdbWriter,
    ResizeDb,
    SelectDb,
    SlotInfo,
    Strings,
)

_KEYS = [
    Key(b"plain", b"value"),
    Key(b"", b""),
    Key(b"int", 7),
    Key(b"12345", 2**63 - 1),
    Key(b"ttl", b"later", 4102444800000),
    Key(b"past", -(2**31), -5, idle_s=100_000),
    Key(b"hot", b"x" * 64, 1, None, 255),
    Key(bytes(range(256)), bytes(range(256)) * 300),
    Key(b"k" * 63, b"v" * 63),
    Key(b"k" * 64, b"%d" % 2**63),
]


def _written(keys: list[Key] = _KEYS, **options: Any) -> bytes:
    writer = RdbWriter(**options)
    pieces = [
        writer.begin(created_at_s=1_800_000_000, used_memory_bytes=1234, replication=(0, b"f" * 40, 99)),
        writer.function(b"#!lua name=mylib\n"),
        writer.select(0, key_count=len(keys), expire_count=3),
    ]
    pieces += [writer.key(*key[:5]) for key in keys]
    pieces += [writer.select(9, key_count=1, expire_count=0), writer.key(b"nine", 9), writer.end()]
    return b"".join(pieces)


def _read(pieces: Iterable[bytes]) -> list[Item]:
    reader = RdbReader()
    items: list[Item] = []
    for piece in pieces:
        items.extend(reader.feed(piece))
    items.extend(reader.close())
    assert reader.rest == b""
    return items


def _sealed(body: bytes) -> bytes:
    return body + crc64(body).to_bytes(8, "little")


def test_everything_written_is_read() -> None:
    items = _read([_written()])
    assert items == [
        Aux(b"redis-ver", b"7.4.0"),
        Aux(b"redis-bits", b"64"),
        Aux(b"ctime", b"1800000000"),
        Aux(b"used-mem", b"1234"),
        Aux(b"repl-stream-db", b"0"),
        Aux(b"repl-id", b"f" * 40),
        Aux(b"repl-offset", b"99"),
        Aux(b"aof-base", b"0"),
        Function(b"#!lua name=mylib\n"),
        SelectDb(0),
        ResizeDb(len(_KEYS), 3),
        *_KEYS,
        SelectDb(9),
        ResizeDb(1, 0),
        Key(b"nine", 9, db=9),
        End(checked=True),
    ]
    assert [type(item.value) for item in items if isinstance(item, Key)] == [
        *(type(key.value) for key in _KEYS),
        int,
    ]


def test_keys_at_once_are_the_same_bytes_as_one_by_one() -> None:
    one, many = RdbWriter(), RdbWriter()
    assert many.keys([key[:5] for key in _KEYS]) == b"".join([one.key(*key[:5]) for key in _KEYS])
    assert many.end() == one.end()


def test_pieces_may_be_cut_anywhere() -> None:
    whole = _written()
    expected = _read([whole])
    rng = random.Random(5)
    for size in (1, 2, 3, 7, 100, 4096):
        assert _read(whole[at : at + size] for at in range(0, len(whole), size)) == expected
    for _ in range(200):
        cut = rng.randrange(len(whole))
        assert _read([whole[:cut], whole[cut:]]) == expected


def test_an_iterator_left_early_is_continued_by_the_next() -> None:
    whole = _written()
    reader = RdbReader()
    items = [next(reader.feed(whole[:150])) for _ in range(1)]
    items.extend(reader.feed(whole[150:]))
    assert items == _read([whole])


def test_items_come_as_soon_as_they_are_complete() -> None:
    """A key is there with its last byte, however many pieces it came in."""
    writer = RdbWriter(compress=False)
    head = writer.begin(created_at_s=0, used_memory_bytes=0)
    reader = RdbReader()
    assert len(list(reader.feed(head))) == 5
    key = Key(b"big", b"x" * 300_000)
    record = writer.key(*key[:5])
    for at in range(0, len(record) - 1, 1000):
        assert list(reader.feed(record[at : min(at + 1000, len(record) - 1)])) == []
    assert list(reader.feed(record[-1:])) == [key]


def test_a_value_of_many_parts_is_not_parsed_anew_with_every_piece() -> None:
    parts = 20_000
    reads = 0

    def read_list(source: Any) -> bytes:
        nonlocal reads
        for _ in range(source.read_length()):
            source.read_string()
            reads += 1
        return b"done"

    record = b"REDIS0010\x01\x01k" + b"\x80" + parts.to_bytes(4, "big") + b"\x03abc" * parts
    whole = _sealed(record + b"\xff")
    reader = RdbReader({1: read_list})
    items = [item for at in range(0, len(whole), 100) for item in reader.feed(whole[at : at + 100])]
    items += reader.close()
    assert items == [Key(b"k", b"done"), End(checked=True)]
    assert reads < 4 * parts


def test_what_follows_the_file_is_handed_back() -> None:
    """An AOF may begin with an RDB file."""
    reader = RdbReader()
    items = list(reader.feed(_written() + b"*1\r\n$4\r\nPING\r\n"))
    assert items[-1] == End(checked=True)
    assert reader.ended
    assert reader.rest == b"*1\r\n$4\r\nPING\r\n"
    assert list(reader.close()) == []


def test_no_checksum_is_no_error() -> None:
    whole = _written(checksum=False)
    assert whole.endswith(bytes(8))
    assert _read([whole])[-1] == End(checked=False)


def test_old_and_new_records_are_understood() -> None:
    body = b"REDIS0012" + b"\xfd" + (1000).to_bytes(4, "little") + b"\x00\x01k\x01v"
    body += b"\xf4\x45\x39\x02\x01"
    body += (
        b"\xf7" + b"\x81" + bytes(8) + b"\x02\x01" + b"\x01\x07\x02\x08\x03abcd\x04abcdefgh\x05\x03xyz\x00"
    )
    items = _read([_sealed(body + b"\xff")])
    assert items == [Key(b"k", b"v", 1_000_000), SlotInfo(1337, 2, 1), End(checked=True)]
    assert _read([b"REDIS0003\x00\x01k\x01v\xff"]) == [Key(b"k", b"v"), End(checked=False)]


@pytest.mark.parametrize(
    ("whole", "offset", "text"),
    [
        (b"RODIS0010", 0, "not an RDB file"),
        (b"\x00\x01k\x01v" + bytes(200), 0, "not an RDB file"),
        (b"REDIS00x0", 5, "RDB version 00x0 is not known"),
        (b"REDIS0013", 5, "RDB version 0013 is not known"),
        (b"REDIS0000", 5, "RDB version 0000 is not known"),
        (b"REDIS0010\xc8\x01k\x01v", 9, "unknown type or opcode 200"),
        (b"REDIS0010\xfc" + bytes(8) + b"\xff", 18, "opcode 255 between a key's expiry and the key"),
        (b"REDIS0010\xf6\x00", 9, "pre-release"),
        (b"REDIS0010\xfe\x81" + bytes([255] * 8), 19, "database 18446744073709551615"),
        (b"REDIS0010\xf7\x00\x01", 12, "when to load"),
        (b"REDIS0010\xf7\x00\x02\x00\x06", 14, "unknown opcode 6"),
        (b"REDIS0010\x00\x01k\x01v\xff12345678", 15, "the checksum does not match"),
    ],
)
def test_nonsense_is_refused_with_its_place(whole: bytes, offset: int, text: str) -> None:
    for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))]):
        with pytest.raises(RdbError, match=text) as error:
            _read(pieces)
        assert error.value.offset == offset


def test_types_that_have_no_reader_are_named() -> None:
    with pytest.raises(RdbUnsupportedError, match=r"type 7 \(module\) is not supported yet at byte 12"):
        _read([b"REDIS0011\x07\x01k\x01"])


def test_collections_without_elements_are_passed_over() -> None:
    """As Redis passes over such keys, which bugs of old versions left in files."""
    items = _read([b"REDIS0009\x01\x01k\x00\x00\x01l\x01v\xff" + bytes(8)])
    assert [(item.key, item.value) for item in items if isinstance(item, Key)] == [(b"l", b"v")]


@given(st.integers(0, 700))
def test_a_file_that_ends_early_is_an_error(size: int) -> None:
    whole = _written([key for key in _KEYS if len(key.key) < 100])
    with pytest.raises(RdbTruncatedError):
        _read([whole[: min(size, len(whole) - 1)]])


@settings(max_examples=300)
@given(st.data())
def test_damaged_files_load_or_are_refused(data: st.DataObject) -> None:
    """Bits flipped, bytes inserted or taken out: RdbError, unless the file says that it has no checksum."""
    whole = bytearray(
        _written([key for key in _KEYS if len(key.key) < 100], checksum=data.draw(st.booleans()))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                whole[at] ^= 1 << data.draw(st.integers(0, 7))
            case 1:
                whole[at:at] = data.draw(st.binary(max_size=10))
            case _:
                del whole[at : at + data.draw(st.integers(1, 10))]
        if not whole:
            break
    size = data.draw(st.integers(1, 200))
    reader = RdbReader()
    total = 0
    with suppress(RdbError):
        for at in range(0, len(whole), size):
            for item in reader.feed(whole[at : at + size]):
                if isinstance(item, Key):
                    total += len(item.key) + len(item.value if isinstance(item.value, bytes) else b"")
            if reader.ended:
                break
        list(reader.close())
    assert total <= 100 * len(whole)


def test_a_table_is_what_its_keys_are_one_by_one() -> None:
    """However short the way for simple keys is."""
    values = {
        b"k": b"v",
        b"": b"empty key",
        b"12": b"number",
        b"-x": b"",
        b"long" * 20: b"v",
        b"v": b"w" * 21,
    }
    values |= {b"n": 5, b"key:%d" % 3: b"x" * 70_000}
    deadlines = {b"v": 77}
    for at in ({}, deadlines):
        one, other = RdbWriter(compress=False), RdbWriter(compress=False)
        items = iter(values.items())
        pieces = []
        while piece := one.table(items, at):
            pieces.append(piece)
        expected = [other.key(key, value, at.get(key)) for key, value in values.items()]
        assert b"".join(pieces) == b"".join(expected)
    used = RdbWriter().table(iter(values.items()), {}, lambda key: (None, len(key)))
    assert used == RdbWriter().keys((key, value, None, None, len(key)) for key, value in values.items())


def test_a_table_comes_in_bounded_pieces() -> None:
    items = iter({b"%d" % n: b"x" * 30_000 for n in range(10)}.items())
    writer = RdbWriter(compress=False)
    sizes = []
    while piece := writer.table(items, {}):
        sizes.append(len(piece))
    assert max(sizes) < 100_000
    assert len(sizes) == 4


def test_batches_hold_what_single_keys_do() -> None:
    writer = RdbWriter()
    image = writer.begin(created_at_s=0, used_memory_bytes=0)
    for n in range(300):
        value: object = b"%d" % n if n % 3 else b"text-%d" % n
        image += writer.key(b"key:%d" % n, value, None if n % 50 else 77)
    image += writer.end()
    single = [item for item in RdbReader().feed(image) if type(item) is Key]
    reader = RdbReader(batches=True)
    batched: list[tuple[bytes, object]] = []
    count = 0
    for item in [*reader.feed(image), *reader.close()]:
        if type(item) is Strings:
            batched += zip(item.keys, item.values, strict=True)
            count += 1
        elif type(item) is Key:
            batched.append((item.key, item.value))
    assert sorted(batched) == sorted((item.key, item.value) for item in single)
    assert 5 <= count <= 20


def test_an_iterator_left_in_the_midst_of_a_batch_is_continued() -> None:
    writer = RdbWriter()
    image = writer.begin(created_at_s=0, used_memory_bytes=0)
    image += writer.keys((b"key:%d" % n, b"v", None, None, None) for n in range(100)) + writer.end()
    reader = RdbReader()
    seen = []
    for item in reader.feed(image):
        if type(item) is Key:
            seen.append(item.key)
            if len(seen) == 40:
                break
    seen += [item.key for item in reader.close() if type(item) is Key]
    assert seen == [b"key:%d" % n for n in range(100)]
