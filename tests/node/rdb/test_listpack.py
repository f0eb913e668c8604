"""Listpacks as bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rdb import listpack
from node.rdb.errors import RdbError

_EDGES = [
    sign * (1 << bits) + off for bits in (0, 7, 12, 15, 23, 31, 62) for sign in (1, -1) for off in (-1, 0, 1)
]
_SIZES = [0, 1, 20, 63, 64, 125, 126, 127, 4095, 4096, 16380, 16381, 16382, 16383, 2097145, 2097146]


@given(
    st.lists(
        st.binary(max_size=80) | st.sampled_from([*_EDGES, 2**63 - 1, -(2**63)]).map(lambda n: b"%d" % n)
    )
)
def test_what_is_encoded_is_decoded(items: list[bytes]) -> None:
    assert listpack.decode(listpack.encode(items)) == items


@pytest.mark.parametrize("size", _SIZES)
def test_entries_of_every_width(size: int) -> None:
    items = [b"a", b"x" * size, b"b"]
    assert listpack.decode(listpack.encode(items)) == items


def test_encoding_is_that_of_redis() -> None:
    """A payload of redis-server 7.0: the entries ninf -inf c -3 a 1 b 2.5 inf inf."""
    recorded = (
        "300000000a00846e696e6605842d696e6605816302dffd02816102010181620283322e350483696e660483696e6604ff"
    )
    words = [b"ninf", b"-inf", b"c", b"-3", b"a", b"1", b"b", b"2.5", b"inf", b"inf"]
    assert listpack.encode(words).hex() == recorded
    assert listpack.decode(bytes.fromhex(recorded)) == words


def test_very_many_entries_have_no_count() -> None:
    items = [b"%d" % number for number in range(70_000)]
    data = listpack.encode(items)
    assert data[4:6] == b"\xff\xff"
    assert listpack.decode(data) == items


@given(st.lists(st.binary(max_size=5) | st.sampled_from([b"x" * 200, b"300"])), st.data())
def test_damage_is_an_error_or_another_listpack(items: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(listpack.encode(items))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw) * 4)) :]
    with suppress(RdbError):
        assert all(isinstance(item, bytes) for item in listpack.decode(bytes(raw)))


@pytest.mark.parametrize(
    "body",
    [
        b"\x81",
        b"\x82a\x02",
        b"\x81a\x03",
        b"\x81a",
        b"\xc0",
        b"\xf0\xff\xff\xff\xff",
        b"\xf5\x01",
        b"\xff",
        b"\xf4\x01\x00",
        b"\xe0\x80" + b"x" * 128 + b"\x01",
    ],
)
def test_damaged_entries_are_refused(body: bytes) -> None:
    raw = (7 + len(body)).to_bytes(4, "little") + b"\x01\x00" + body + b"\xff"
    with pytest.raises(RdbError):
        listpack.decode(raw)


def test_a_wrong_header_is_refused() -> None:
    good = listpack.encode([b"a"])
    for bad in (b"", good[:-1], good + b"\xff", b"\x00" + good[1:], good[:4] + b"\x02" + good[5:]):
        with pytest.raises(RdbError):
            listpack.decode(bad)
