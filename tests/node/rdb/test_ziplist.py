"""Small encodings of older versions as bytes."""

from __future__ import annotations

from array import array
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rdb.errors import RdbError
from node.rdb.ziplist import decode_intset, decode_ziplist, decode_zipmap, encode_intset

# From the head comment of ziplist.c: the entries 2 and 5.
_TWO_FIVE = bytes.fromhex("0f0000000c000000020000f302f6ff")
# From the head comment of zipmap.c, its second value with two bytes unused behind it.
_ZIPMAP = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world..\xff"


def _ziplist(*bodies: bytes) -> bytes:
    """Entries given as encoding and data, a length of the one before put in front of each."""
    out = b""
    before = tail = 0
    for body in bodies:
        tail = len(out)
        entry = (bytes([before]) if before < 254 else b"\xfe" + before.to_bytes(4, "little")) + body
        out += entry
        before = len(entry)
    sizes = (11 + len(out)).to_bytes(4, "little") + (10 + tail).to_bytes(4, "little")
    return sizes + len(bodies).to_bytes(2, "little") + out + b"\xff"


def test_ziplist_entries_of_every_kind() -> None:
    long = b"y" * 300
    data = _ziplist(
        b"\x03abc", b"\x41\x2c" + long, b"\x80\x00\x00\x40\x00" + b"z" * 16384, b"\x00",
        b"\xf1", b"\xfd", b"\xfe\x80", b"\xc0\x00\x80", b"\xf0\x00\x00\x80", b"\xd0\x00\x00\x00\x80",
        b"\xe0" + b"\x00" * 7 + b"\x80",
    )  # fmt: skip
    assert decode_ziplist(data) == [
        b"abc", long, b"z" * 16384, b"", b"0", b"12", b"-128", b"-32768", b"-8388608", b"-2147483648",
        b"-9223372036854775808",
    ]  # fmt: skip
    assert decode_ziplist(_TWO_FIVE) == [b"2", b"5"]
    assert decode_ziplist(_ziplist()) == []


def test_zipmaps() -> None:
    assert decode_zipmap(_ZIPMAP) == [b"foo", b"bar", b"hello", b"world"]
    assert decode_zipmap(b"\x00\xff") == []
    long = b"\xfe\x00\x01\x00\x00"
    assert decode_zipmap(b"\xfe" + long + b"f" * 256 + long + b"\x00" + b"v" * 256 + b"\xff") == [
        b"f" * 256,
        b"v" * 256,
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"\x01\xff", b"\x00\x00", b"\x01\x03foo\xff", b"\x01\x03foo\x03\xff",
        b"\x01\x03foo\x03\x00ba\xff", b"\x02\x01f\x01\x00v\xff", b"\x01\x01f\x01\x09v\xff",
        b"\x01\xff\x01\x01\x00v\xff", b"\x01\xfe\xff\xff\xff\xfff\xff",
    ],
)  # fmt: skip
def test_damaged_zipmaps_are_refused(data: bytes) -> None:
    with pytest.raises(RdbError):
        decode_zipmap(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", _TWO_FIVE[:-1], _TWO_FIVE[:-1] + b"\x00", _TWO_FIVE.replace(b"\x02\xf6", b"\x03\xf6"),
        _ziplist(b"\x05abc"), _ziplist(b"\xff"), _ziplist(b"\xc1\x00\x00"), _ziplist(b"\x80\xff\xff\xff\xff"),
        b"\x0f\x00\x00\x00\x0a" + _TWO_FIVE[5:], _TWO_FIVE[:8] + b"\x03" + _TWO_FIVE[9:],
    ],
)  # fmt: skip
def test_damaged_ziplists_are_refused(data: bytes) -> None:
    with pytest.raises(RdbError):
        decode_ziplist(data)


@given(st.sets(st.integers(-9, 9) | st.integers(-(2**15), 2**15 - 1) | st.integers(-(2**63), 2**63 - 1)))
def test_intsets(values: set[int]) -> None:
    ints = array("q", sorted(values))
    assert decode_intset(encode_intset(ints)) == ints


def test_intsets_of_every_width() -> None:
    for type_code, width in (("h", 2), ("i", 4), ("q", 8)):
        data = encode_intset(array(type_code, [-5, 7]))
        assert data[:8] == bytes([width, 0, 0, 0, 2, 0, 0, 0])
        decoded = decode_intset(data)
        assert decoded.tolist() == [-5, 7]
        assert decoded.itemsize == width


@pytest.mark.parametrize(
    "data",
    [
        "", "03000000 01000000 000000", "02000000 02000000 0100", "02000000 02000000 01000100",
        "02000000 02000000 02000100", "02000000 ffffffff",
    ],
)  # fmt: skip
def test_damaged_intsets_are_refused(data: str) -> None:
    with pytest.raises(RdbError):
        decode_intset(bytes.fromhex(data))


@given(
    st.sampled_from([_TWO_FIVE, _ZIPMAP, _ziplist(b"\x03abc", b"\xfe\x80", b"\x41\x2c" + b"y" * 300)]),
    st.data(),
)
def test_damage_is_an_error_or_another_value(good: bytes, data: st.DataObject) -> None:
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for decode in (decode_ziplist, decode_zipmap, decode_intset):
        with suppress(RdbError):
            decode(bytes(raw))
