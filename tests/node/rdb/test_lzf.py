"""LZF: what is compressed comes back, what is damaged is refused."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.rdb.errors import RdbError
from node.rdb.lzf import EXPANSION_MAX, compress, decompress

_REPETITIVE = st.lists(
    st.tuples(st.binary(max_size=12), st.integers(1, 400)).map(lambda part: part[0] * part[1]), max_size=8
).map(b"".join)


@given(_REPETITIVE | st.binary(max_size=300))
@example(b"a" * 264)
@example(b"a" * 265)
@example(bytes(range(256)) * 33)
@example(bytes(8192) + b"xyz" + bytes(random.Random(1).randbytes(8189)) + b"xyz" * 20)
def test_round_trip(data: bytes) -> None:
    packed = compress(data)
    if packed is not None:
        assert len(packed) <= len(data) - 4
        assert len(data) <= len(packed) * EXPANSION_MAX
        assert decompress(packed, len(data)) == data


def test_short_strings_and_noise_are_left_alone() -> None:
    assert compress(b"a" * 20) is None
    assert compress(b"a" * 21) is not None
    assert compress(random.Random(2).randbytes(100_000)) is None


def test_matches_far_apart_and_beyond_a_segment() -> None:
    """A match may begin 8192 bytes back, no further, and wherever the compressor forgets its table."""
    noise = random.Random(3).randbytes(8000)
    data = noise * 12
    packed = compress(data)
    assert packed is not None
    assert decompress(packed, len(data)) == data
    assert len(packed) < len(data) / 2
    assert compress(random.Random(4).randbytes(9000) * 2) is None


@pytest.mark.parametrize(
    ("packed", "length", "text"),
    [
        (b"\x05abc", 6, "literals run past the end"),
        (b"\x00a\x20", 4, "cut short"),
        (b"\x00a\xe0", 10, "cut short"),
        (b"\x00a\xe0\x01", 10, "cut short"),
        (b"\x00a\x20\x01", 4, "before the start"),
        (b"\x20\x00", 3, "before the start"),
        (b"\x02abc", 2, "more than the announced 2 bytes"),
        (b"\x00a\xe0\xff\x00", 1 << 40, "makes 265 bytes, not the announced"),
        (b"", 1, "makes 0 bytes"),
    ],
)
def test_damage_is_refused(packed: bytes, length: int, text: str) -> None:
    with pytest.raises(RdbError, match=text):
        decompress(packed, length)


@given(st.binary(max_size=60), st.integers(0, 1 << 45))
def test_any_bytes_decompress_or_are_refused(packed: bytes, length: int) -> None:
    with suppress(RdbError):
        assert len(decompress(packed, length)) == length
