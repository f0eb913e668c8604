"""Strings as arrays of bits, against a model that is a list of ones and zeros."""

from __future__ import annotations

import random

import pytest

from node.values import bits
from node.values.bits import Field, Operation, Overflow

CHUNK = 32 * 1024
LENGTHS = [0, 1, 2, 7, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3]


def _unpacked(data: bytes) -> list[int]:
    return [byte >> (7 - bit) & 1 for byte in data for bit in range(8)]


def _sparse(rng: random.Random, length: int) -> bytes:
    """Mostly zero bytes, or mostly ones, or noise."""
    data = bytearray(rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)]))
    for _ in range(rng.randint(0, 3)):
        if length:
            data[rng.randrange(length)] = rng.randrange(256)
    return rng.choice([bytes(data), data])


def _range(rng: random.Random, size: int) -> tuple[int, int]:
    edges = [0, 1, 7, 8, 9, CHUNK * 8 - 1, CHUNK * 8, CHUNK * 8 + 1, size - 9, size - 8, size - 1, size]
    start, stop = (min(max(rng.choice(edges), 0), size) for _ in range(2))
    return start, stop


@pytest.mark.parametrize("length", LENGTHS)
def test_counting_and_searching_agree_with_a_list_of_bits(length: int) -> None:
    rng = random.Random(length)
    for _ in range(12):
        data = _sparse(rng, length)
        model = _unpacked(data)
        for _ in range(6):
            start, stop = _range(rng, length * 8)
            part = model[start:stop]
            assert bits.count(data, start, stop) == sum(part)
            for bit in (0, 1):
                expected = start + part.index(bit) if bit in part else -1
                assert bits.find(data, bit, start, stop) == expected


@pytest.mark.parametrize("operation", list(Operation))
def test_combining_agrees_with_bytes_one_by_one(operation: Operation) -> None:
    rng = random.Random(operation.value)
    for _ in range(25):
        count = 1 if operation is Operation.NOT else rng.randint(1, 4)
        sources = [_sparse(rng, rng.choice(LENGTHS)) for _ in range(count)]
        before = [bytes(source) for source in sources]
        size = max(map(len, sources))
        numbers = [int.from_bytes(source.ljust(size, b"\0"), "big") for source in sources]
        expected = numbers[0]
        for number in numbers[1:]:
            if operation is Operation.AND:
                expected &= number
            elif operation is Operation.OR:
                expected |= number
            else:
                expected ^= number
        if operation is Operation.NOT:
            expected ^= (1 << size * 8) - 1
        assert bits.combine(operation, sources) == expected.to_bytes(size, "big")
        assert sources == before


def test_no_strings_combine_to_nothing() -> None:
    assert bits.combine(Operation.OR, []) == b""
    assert bits.combine(Operation.NOT, [b""]) == b""


def test_bits_are_set_and_read_one_by_one() -> None:
    rng = random.Random(1)
    buffer, model = bytearray(), [0] * 300
    for _ in range(500):
        offset, bit = rng.randrange(300), rng.randrange(2)
        bits.set_bit(buffer, offset, bit)
        model[offset] = bit
        assert len(buffer) > offset >> 3
    assert [bits.get_bit(buffer, offset) for offset in range(300)] == model
    assert bits.get_bit(buffer, 10**12) == 0


def test_fields_of_any_width_and_place_keep_their_numbers_and_their_neighbours() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        signed = rng.random() < 0.5
        width = rng.randint(1, 64 if signed else 63)
        field = Field(rng.randrange(90), width, signed)
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        number = rng.choice([low, high, rng.randint(low, high)])
        buffer = bytearray(rng.randbytes(20))
        model = _unpacked(buffer)
        model[field.offset : field.offset + width] = [int(c) for c in f"{number % (1 << width):0{width}b}"]
        bits.set_field(buffer, field, number)
        assert _unpacked(buffer) == model
        assert bits.get_field(buffer, field) == number


def test_a_field_over_the_end_reads_zeros() -> None:
    assert bits.get_field(b"\xff", Field(4, 8, False)) == 0xF0
    assert bits.get_field(b"\xff", Field(4, 4, True)) == -1
    assert bits.get_field(b"", Field(1000, 64, True)) == 0


@pytest.mark.parametrize(
    ("signed", "old", "increment", "wrapped", "saturated"),
    [
        (True, 127, 1, -128, 127),
        (True, -128, -1, 127, -128),
        (True, 100, 1000, (100 + 1000 + 128) % 256 - 128, 127),
        (False, 255, 1, 0, 255),
        (False, 0, -1, 255, 0),
        (False, 200, 100, 44, 255),
    ],
)
def test_sums_that_do_not_fit(signed: bool, old: int, increment: int, wrapped: int, saturated: int) -> None:
    field = Field(0, 8, signed)
    assert bits.fitted(field, old, increment, Overflow.WRAP) == wrapped
    assert bits.fitted(field, old, increment, Overflow.SAT) == saturated
    assert bits.fitted(field, old, increment, Overflow.FAIL) is None
    assert bits.fitted(field, old, 0, Overflow.FAIL) == old


def test_an_unsigned_field_takes_negative_numbers_for_large_ones() -> None:
    field = Field(0, 8, False)
    assert bits.replaced(field, -1, Overflow.SAT) == 255
    assert bits.replaced(field, -2, Overflow.WRAP) == 254
    assert bits.replaced(field, -1, Overflow.FAIL) is None
    assert bits.replaced(field, 255, Overflow.FAIL) == 255
