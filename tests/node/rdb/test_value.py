"""One value: DUMP and RESTORE payloads, and the registration of types."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from node.rdb import value as value_module
from node.rdb.crc64 import crc64
from node.rdb.errors import DumpFooterError, RdbError, RdbUnsupportedError
from node.rdb.primitives import Reader, Writer
from node.rdb.value import (
    dump_payload,
    load_payload,
    read_value,
    register_reader,
    register_writer,
    write_value,
)

_FIXTURES = Path(__file__).parents[2] / "fixtures" / "rdb"
_VALUES = [
    b"",
    b"hello",
    b"x" * 10_000,
    b"\x00\xff\r\n",
    0,
    -7,
    12345,
    2**31,
    -(2**63),
    2**63 - 1,
    b"007",
    b"3.0",
]


def _recorded(name: str) -> list[tuple[str, dict[str, Any]]]:
    entries = json.loads((_FIXTURES / name).read_text())
    return [(key, entry) for key, entry in entries.items() if entry.get("dump_hex")]


@pytest.mark.parametrize("name", ["redis-7.0.15.json", "valkey.json"])
def test_recorded_payloads_of_strings_load(name: str) -> None:
    loaded = 0
    for key, entry in _recorded(name):
        if entry["type"] != "string":
            continue
        value = load_payload(bytes.fromhex(entry["dump_hex"]))
        assert isinstance(value, bytes | int)
        assert (value if isinstance(value, bytes) else b"%d" % value) == entry["value"].encode("latin-1"), key
        assert isinstance(value, int) == (entry["encoding"] == "int"), key
        loaded += 1
    assert loaded >= 10


@pytest.mark.parametrize("value", _VALUES)
def test_payloads_round_trip(value: bytes | int) -> None:
    for compress in (True, False):
        payload = dump_payload(value, compress=compress)
        assert load_payload(payload) == value
        assert payload[-10:-8] == b"\x0a\x00"


def test_payloads_are_those_of_redis() -> None:
    """Where the encoding leaves no choice, byte for byte."""
    recorded = dict(_recorded("redis-7.0.15.json"))
    for key, value in (
        ("str:int", 12345),
        ("str:neg", -7),
        ("str:embstr", b"hello"),
        ("str:big64", 2**63 - 1),
    ):
        assert dump_payload(value).hex() == recorded[key]["dump_hex"]


def test_redis_server_restores_ours_and_we_load_its(start_redis: Callable[..., Any]) -> None:
    with redis.Redis(port=start_redis().port) as client:
        for number, value in enumerate(_VALUES):
            text = value if isinstance(value, bytes) else b"%d" % value
            client.restore(f"k{number}", 0, dump_payload(value))
            assert client.get(f"k{number}") == text
            client.set("theirs", text)
            assert load_payload(client.dump("theirs")) == value


def _sealed(body: bytes, version: int = 10) -> bytes:
    sealed = body + version.to_bytes(2, "little")
    return sealed + crc64(sealed).to_bytes(8, "little")


def test_the_footer_is_checked_before_the_body() -> None:
    """RESTORE tells a wrong version or checksum from a bad format."""
    good = dump_payload(b"hello")
    for bad in (
        b"",
        good[:9],
        good[:-1],
        good[:-1] + bytes([good[-1] ^ 1]),
        b"\x01" + good[1:],
        _sealed(b"\x00\x00", 13),
    ):
        with pytest.raises(DumpFooterError):
            load_payload(bad)
    assert load_payload(_sealed(b"\x00\x00", 12)) == load_payload(_sealed(b"\x00\x00", 1)) == b""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x00\x05abcd",
        b"\x00\x01ab",
        b"\x08\x00",
        b"\xfa\x00",
        b"\xff",
        b"\x00\x81" + b"\x7f" * 8,
    ],
)
def test_bad_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(RdbError) as error:
        load_payload(_sealed(body))
    assert not isinstance(error.value, DumpFooterError)


@given(st.binary(max_size=50), st.sampled_from([0, 0, 0, 6, 7, 8, 200]))
def test_any_sealed_body_loads_or_is_refused(body: bytes, type_code: int) -> None:
    with suppress(RdbError):
        assert isinstance(load_payload(_sealed(bytes([type_code]) + body)), bytes | int)


def test_known_types_without_a_reader_say_their_name() -> None:
    with pytest.raises(RdbUnsupportedError) as error:
        read_value(7, Reader(b"\x00"))
    assert error.value.text == "type 7 (module) is not supported yet"
    with pytest.raises(RdbError, match="unknown type 8"):
        read_value(8, Reader(b"\x00"))


def test_types_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of value needs a reader for each of its type codes and one writer."""

    class Pair(tuple[bytes, ...]):
        pass

    def write(value: Pair, out: Writer) -> int:
        out.write_length(len(value))
        for part in value:
            out.write_string(part)
        return 6

    monkeypatch.setattr(value_module, "_WRITERS", dict(value_module._WRITERS))
    register_writer(Pair, write)
    register_reader(6, lambda reader: Pair(reader.read_string() for _ in range(reader.read_length())))
    try:
        assert load_payload(dump_payload(Pair([b"a", b"12"]))) == Pair([b"a", b"12"])
        assert write_value(Pair([b"a", b"b"]), Writer()) == 6
    finally:
        del value_module.VALUE_READERS[6]


def test_a_string_that_was_changed_in_place_is_written_as_any_other():
    for data in (b"", b"12345", b"x" * 100, bytes(range(256)) * 400):
        assert dump_payload(bytearray(data)) == dump_payload(data)
