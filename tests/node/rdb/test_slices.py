"""Payloads made and read in slices are those made and read at once, in steps that are small."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from node.rdb import slices
from node.rdb.crc64 import crc64
from node.rdb.errors import DumpFooterError, RdbError
from node.rdb.slices import dump_slices, load_slices
from node.rdb.value import dump_payload, load_payload
from node.values.hashes import Hash
from node.values.limits import DEFAULT
from node.values.lists import List
from node.values.sets import Set
from node.values.streams import Stream
from node.values.zsets import Zset

T = TypeVar("T")
_FIXTURES = Path(__file__).parents[2] / "fixtures" / "rdb"


def _run(steps: Generator[None, None, T]) -> tuple[T, int]:
    """The result, and after how many steps."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value, count
        count += 1


def _names(count: int) -> list[bytes]:
    return [b"name:%d" % number for number in range(count)]


def _expiring_hash(count: int) -> Hash:
    value = Hash.from_pairs([(name, b"v" + name) for name in _names(count)], DEFAULT)
    for number, name in enumerate(_names(count)):
        if number % 3:
            value.set_deadline(name, 2_000_000_000_000 + number)
    return value


def _stream(count: int) -> Stream:
    stream = Stream()
    for number in range(1, count + 1):
        stream.append(number << 64, [b"field", b"%d" % number], 10, DEFAULT)
        stream.last_id = number << 64
    stream.entries_added = count
    stream.find_first()
    group = stream.add_group(b"group", 0, 0)
    assert group is not None
    return stream


_VALUES = {
    "integer": 42,
    "string": b"x" * 100_000,
    "small hash": Hash.from_pairs([(b"f", b"v")], DEFAULT),
    "hash": Hash.from_pairs([(name, b"v" + name) for name in _names(20_000)], DEFAULT),
    "hash with deadlines": _expiring_hash(3_000),
    "integers": Set.from_members([b"%d" % number for number in range(100)], DEFAULT),
    "set": Set.from_members(_names(20_000), DEFAULT),
    "sorted set": Zset.from_entries(
        [(number / 7, name) for number, name in enumerate(_names(9_000))], DEFAULT
    ),
    "list": List.from_items([name * (1 + number % 9) for number, name in enumerate(_names(20_000))], DEFAULT),
    "list of long elements": List.from_items([b"y" * 20_000] * 40, DEFAULT),
    "stream": _stream(5_000),
}


@pytest.mark.parametrize("name", _VALUES)
def test_the_bytes_are_those_of_dump(name: str) -> None:
    pieces, _ = _run(dump_slices(_VALUES[name]))
    assert b"".join(pieces) == dump_payload(_VALUES[name], compress=False)


@pytest.mark.parametrize("name", _VALUES)
def test_what_was_dumped_is_loaded(name: str) -> None:
    payload = dump_payload(_VALUES[name], compress=False)
    value, _ = _run(load_slices(payload))
    assert type(value) is type(_VALUES[name])
    assert _described(value) == _described(_VALUES[name])


def _described(value: Any) -> tuple[object, ...]:
    """Content and encoding."""
    if isinstance(value, bytes | int):
        return (value,)
    value.check()
    if isinstance(value, Hash):
        return value.encoding(), {f: (text, value.deadline(f)) for f, text in value.pairs()}
    if isinstance(value, Set):
        return value.encoding(), set(value)
    if isinstance(value, Stream):
        return (dump_payload(value),)
    return value.encoding(), list(value)


@pytest.mark.parametrize("name", ["redis-7.0.15.json", "valkey.json"])
def test_recorded_payloads_load_as_they_do_at_once(name: str) -> None:
    loaded = 0
    for key, entry in json.loads((_FIXTURES / name).read_text()).items():
        if not entry.get("dump_hex"):
            continue
        payload = bytes.fromhex(entry["dump_hex"])
        value, _ = _run(load_slices(payload))
        assert _described(value) == _described(load_payload(payload)), key
        loaded += 1
    assert loaded > 10


@pytest.mark.parametrize("name", ["hash", "hash with deadlines", "set", "sorted set"])
def test_a_step_is_some_hundred_elements(name: str) -> None:
    """So that work can be left off within a millisecond or two."""
    value: Any = _VALUES[name]
    pieces, dumped = _run(dump_slices(value))
    _, loaded = _run(load_slices(b"".join(pieces)))
    assert min(dumped, loaded) >= len(value) / slices.STEP_ELEMENTS


def test_a_payload_comes_in_pieces_that_can_be_sent_one_by_one() -> None:
    pieces, _ = _run(dump_slices(Hash.from_pairs([(n, n * 10) for n in _names(20_000)], DEFAULT)))
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 2 * slices.PIECE_BYTES


@pytest.mark.parametrize("name", ["hash", "hash with deadlines", "set", "sorted set", "list", "stream"])
def test_a_damaged_payload_is_an_error_and_no_exception_else(name: str) -> None:
    payload = dump_payload(_VALUES[name], compress=False)
    with pytest.raises(DumpFooterError):
        _run(load_slices(payload[:-1]))
    with pytest.raises(DumpFooterError):
        _run(load_slices(payload[:-2] + b"\0\0"))
    for cut in (1, 5, len(payload) // 2):
        body = bytearray(payload[:-10])
        del body[len(body) - cut :]
        with pytest.raises(RdbError):
            _run(load_slices(_sealed(bytes(body))))
    for at in range(1, len(payload) - 10, len(payload) // 50):
        body = bytearray(payload[:-10])
        body[at] ^= 0xFF
        with suppress(RdbError):
            value: Any = _run(load_slices(_sealed(bytes(body))))[0]
            value.check()


def _sealed(body: bytes) -> bytes:
    """A body with a footer that is right."""
    data = body + (10).to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


def test_an_element_twice_is_refused() -> None:
    value = Set.from_members(_names(600), DEFAULT)
    body = dump_payload(value, compress=False)[:-10].replace(b"name:599", b"name:598")
    with pytest.raises(RdbError, match="twice"):
        _run(load_slices(_sealed(body)))


def test_a_table_that_grows_meanwhile_is_noticed() -> None:
    """Whoever lets the value change has to begin again, and must not send half of each."""
    big = Hash.from_pairs([(name, name) for name in _names(50_000)], DEFAULT)
    steps = dump_slices(big)
    next(steps)
    for number in range(100_000):
        big.set(b"new:%d" % number, b"", DEFAULT)
    with pytest.raises(RuntimeError):
        _run(steps)
