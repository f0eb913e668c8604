"""Lengths and strings of RDB, in every encoding."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rdb.errors import RdbError, RdbTruncatedError
from node.rdb.primitives import COMPRESS_BYTES_MAX, Reader, Writer


@pytest.mark.parametrize(
    ("length", "encoded"),
    [
        (0, "00"),
        (63, "3f"),
        (64, "4040"),
        (16383, "7fff"),
        (16384, "8000004000"),
        (2**32 - 1, "80ffffffff"),
        (2**32, "810000000100000000"),
        (2**64 - 1, "81ffffffffffffffff"),
    ],
)
def test_lengths(length: int, encoded: str) -> None:
    """6, 14, 32 and 64 bits, big-endian, the shortest that fits."""
    writer = Writer()
    writer.write_length(length)
    assert writer.out.hex() == encoded
    assert Reader(bytes.fromhex(encoded)).read_length() == length


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        (b"", "00"),
        (b"0", "c000"),
        (b"-128", "c080"),
        (b"127", "c07f"),
        (b"128", "c18000"),
        (b"-32768", "c10080"),
        (b"32768", "c200800000"),
        (b"-2147483648", "c200000080"),
        (b"2147483648", "0a32313437343833363438"),
        (b"007", "03303037"),
        (b"-0", "022d30"),
        (b"a" * 20, "14" + "61" * 20),
    ],
)
def test_short_strings(text: bytes, encoded: str) -> None:
    """Canonical integers of at most 32 bits take 2, 3 or 5 bytes; everything else is a length and bytes."""
    writer = Writer()
    writer.write_string(text)
    assert writer.out.hex() == encoded
    assert Reader(bytes.fromhex(encoded)).read_string() == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_written_as_their_text_is(value: int) -> None:
    by_text, by_value = Writer(), Writer()
    by_text.write_string(b"%d" % value)
    by_value.write_integer(value)
    assert by_text.out == by_value.out
    assert Reader(bytes(by_value.out)).read_scalar() == value
    assert Reader(bytes(by_value.out)).read_string() == b"%d" % value


@given(st.binary(max_size=100) | st.binary(max_size=5).map(lambda part: part * 9000))
def test_strings_round_trip(text: bytes) -> None:
    for compress in (True, False):
        writer = Writer(compress=compress)
        writer.write_string(text)
        reader = Reader(bytes(writer.out))
        assert reader.read_string() == text
        assert reader.pos == len(writer.out)


def test_compression_is_a_choice_and_has_a_limit() -> None:
    for size, compress, shrinks in (
        (1000, True, True),
        (1000, False, False),
        (COMPRESS_BYTES_MAX, True, True),
        (COMPRESS_BYTES_MAX + 1, True, False),
    ):
        writer = Writer(compress=compress)
        writer.write_string(b"a" * size)
        assert (len(writer.out) < size) == shrinks


@pytest.mark.parametrize(
    ("encoded", "missing"),
    [
        ("", 1),
        ("40", 1),
        ("800000", 2),
        ("8100", 7),
        ("056162", 3),
        ("c1", 2),
        ("c201", 3),
        ("c3050a0061", 3),
    ],
)
def test_what_is_cut_says_how_much_is_missing(encoded: str, missing: int) -> None:
    with pytest.raises(RdbTruncatedError) as error:
        Reader(bytes.fromhex(encoded)).read_string()
    assert error.value.missing == missing


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("82", "unknown length encoding 0x82"),
        ("bf", "unknown length encoding"),
        ("c4", "unknown string encoding 4"),
        ("8100ffffffffffffff", "a string of 72057594037927935 bytes"),
        ("c3c001", "expected a length"),
        ("c30180ffffffff", "1 bytes of LZF cannot make 4294967295"),
        ("c302052000", "before the start at byte 15"),
    ],
)
def test_nonsense_is_refused_with_its_place(encoded: str, text: str) -> None:
    with pytest.raises(RdbError, match=text) as error:
        Reader(bytes.fromhex(encoded), base=10).read_string()
    assert not isinstance(error.value, RdbTruncatedError)
    assert 10 <= error.value.offset <= 10 + len(encoded) // 2


@given(st.binary(max_size=40))
def test_any_bytes_are_a_string_or_refused(data: bytes) -> None:
    reader = Reader(data)
    with suppress(RdbError):
        text = reader.read_string()
        assert reader.pos <= len(data)
        assert len(text) <= 100 * len(data) + 20


@pytest.mark.parametrize(
    "encoded", ["80ffffffff", "810000004000000000", "c380ffffffff80ffffffff", "c3028000000060e0ff"]
)
def test_memory_is_not_taken_for_what_is_only_announced(encoded: str) -> None:
    data = bytes.fromhex(encoded)
    tracemalloc.start()
    try:
        with pytest.raises(RdbError):
            Reader(data).read_string()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000
