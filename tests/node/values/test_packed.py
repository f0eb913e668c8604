"""Byte strings packed into one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.rdb import listpack
from node.values import packed

_ITEMS = st.lists(
    st.binary(max_size=8) | st.lists(st.sampled_from([0, 1, 2, 0xFD, 0xFE, 0xFF])).map(bytes), max_size=8
)


@given(_ITEMS)
def test_what_is_packed_is_unpacked(items: list[bytes]) -> None:
    assert packed.unpack(packed.pack(items)) == items


@given(_ITEMS, st.binary(max_size=3))
def test_an_item_is_found_only_where_it_is(items: list[bytes], item: bytes) -> None:
    """No item, and no end of one with the beginning of the next, looks like another between separators."""
    key = packed.SEPARATOR + packed.escape(item) + packed.SEPARATOR
    assert (key in packed.pack(items)) == (item in items)


@given(st.binary(max_size=30))
def test_escaped_items_have_no_byte_with_a_meaning(item: bytes) -> None:
    escaped = packed.escape(item)
    assert not {0xFE, 0xFF} & set(escaped)
    assert packed.unescape(escaped) == item


def test_text_costs_one_byte_a_string() -> None:
    assert len(packed.pack([b"field", "größe".encode(), b""])) == 1 + 5 + 1 + 7 + 1 + 1


@given(
    st.binary(max_size=200)
    | st.integers(-(2**63), 2**63 - 1).map(lambda n: b"%d" % n)
    | st.sampled_from([63, 64, 126, 127, 4095, 4096, 16380, 16381, 16382, 2097145, 2097149]).map(bytes)
)
def test_bytes_of_a_listpack_entry_are_those_it_takes(item: bytes) -> None:
    assert packed.LISTPACK_BYTES + packed.listpack_entry_bytes(item) == len(listpack.encode([item]))
    assert packed.listpack_entry_bytes(item) <= 2 * len(packed.pack([item])) - 2
