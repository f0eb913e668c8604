"""HyperLogLogs against a model that is a list of registers; what Redis makes of the same elements is compared
in tests/compat.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from node.values import hyperloglog, hyperloglog_sparse
from node.values.hyperloglog import DENSE_BYTES, EMPTY, CorruptedError
from node.values.hyperloglog_sparse import REGISTERS, TooLargeError

HEADER = EMPTY[:16]
ALWAYS_SPARSE = 1 << 20


def _new(*elements: bytes, limit: int = ALWAYS_SPARSE) -> bytearray:
    buffer = bytearray(EMPTY)
    hyperloglog.add(buffer, elements, limit)
    return buffer


def _random_registers(rng: random.Random, rank_max: int) -> bytes:
    """Few that are set or many, alone or side by side."""
    density = rng.choice([0.001, 0.05, 0.5, 1.0])
    ranks = [rng.randint(1, rank_max) if rng.random() < density else 0 for _ in range(REGISTERS)]
    start = rng.randrange(REGISTERS)
    ranks[start : start + 9] = [3] * len(ranks[start : start + 9])
    return bytes(ranks)


@pytest.mark.parametrize(
    ("element", "hashed"),
    [
        (b"", 0xD8DFEA6585BC9732),
        (b"a", 0x53D2470A9B43B1A7),
        (b"12345678", 0x95EBB86389132953),
        (b"hello, world: 21 byte", 0x46090F69EC900B1B),
    ],
)
def test_the_hash_is_murmur_64a(element: bytes, hashed: int) -> None:
    assert hyperloglog.hash64(element) == hashed


@pytest.mark.parametrize("seed", range(8))
def test_dense_registers_are_packed_and_unpacked(seed: int) -> None:
    values = _random_registers(random.Random(seed), 63)
    buffer = bytearray(EMPTY)
    hyperloglog.make_dense(buffer, values)
    assert len(buffer) == DENSE_BYTES
    assert hyperloglog.registers(buffer) == values
    packed = int.from_bytes(buffer[16:], "little")
    assert [packed >> 6 * index & 63 for index in range(0, REGISTERS, 7)] == list(values[::7])


@pytest.mark.parametrize("seed", range(8))
def test_the_union_has_the_greatest_of_each_register(seed: int) -> None:
    rng = random.Random(seed)
    several = [_random_registers(rng, 63) for _ in range(rng.randint(1, 4))]
    assert hyperloglog.greatest(several) == bytes(map(max, *several, bytes(REGISTERS)))
    assert hyperloglog.greatest([]) == bytes(REGISTERS)


@pytest.mark.parametrize("seed", range(30))
def test_sparse_registers_are_raised_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    buffer, model = bytearray(EMPTY), bytearray(REGISTERS)
    spread = rng.choice([20, 300, REGISTERS])
    for _ in range(rng.choice([10, 100, 1500])):
        index, rank = rng.randrange(spread), rng.choice([1, 1, 2, 3, 32])
        changed, _ = hyperloglog_sparse.raise_register(buffer, index, rank, ALWAYS_SPARSE)
        assert changed == (model[index] < rank)
        model[index] = max(model[index], rank)
    assert hyperloglog.registers(buffer) == model
    assert all(span <= 4 for value, span, _ in hyperloglog_sparse.runs(buffer) if value)


def _one_by_one(buffer: bytearray, values: bytes, limit: int) -> None:
    for index, rank in enumerate(values):
        if rank:
            hyperloglog_sparse.raise_register(buffer, index, rank, limit)


def _outcome(
    make: Callable[[bytearray, bytes, int], None], start: bytes, values: bytes, limit: int
) -> bytes | None:
    buffer = bytearray(start)
    try:
        make(buffer, values, limit)
    except TooLargeError:
        return None
    return bytes(buffer)


@pytest.mark.parametrize("seed", range(30))
def test_many_registers_are_raised_as_one_after_the_other(seed: int) -> None:
    """The shortcuts (a search that goes on where it was, a new string made at once) show in no byte."""
    rng = random.Random(seed)
    start = bytearray(EMPTY)
    for _ in range(rng.choice([0, 5, 500])):
        index, rank = rng.randrange(REGISTERS), rng.choice([1, 1, 2, 3])
        hyperloglog_sparse.raise_register(start, index, rank, ALWAYS_SPARSE)
    values = _random_registers(rng, rng.choice([2, 32]))
    for limit in (100, 1500, 3000, ALWAYS_SPARSE):
        at_once = _outcome(hyperloglog_sparse.raise_registers, start, values, limit)
        assert at_once == _outcome(_one_by_one, start, values, limit)


@pytest.mark.parametrize("limit", range(18, 50))
def test_a_string_made_at_once_is_refused_where_it_would_have_been_on_the_way(limit: int) -> None:
    for ranks in (b"\5\5\5\5\5\0\5", bytes(range(1, 11)), b"\5\0\5\0\5\0", b"\1" + bytes(70) + b"\1\1"):
        for place in (0, 1, 64, 65, 200, REGISTERS - len(ranks)):
            values = bytes(place) + ranks + bytes(REGISTERS - place - len(ranks))
            at_once = _outcome(hyperloglog_sparse.raise_registers, EMPTY, values, limit)
            assert at_once == _outcome(_one_by_one, EMPTY, values, limit)


def test_a_sparse_string_becomes_dense_when_it_grows_too_long() -> None:
    elements = [b"%d" % number for number in range(2000)]
    small, large = _new(*elements, limit=3000), _new(*elements)
    assert hyperloglog.is_dense(small)
    assert not hyperloglog.is_dense(large)
    assert hyperloglog.registers(small) == hyperloglog.registers(large)


def test_a_rank_above_32_needs_the_dense_form() -> None:
    buffer = bytearray(EMPTY)
    with pytest.raises(TooLargeError):
        hyperloglog_sparse.raise_register(buffer, 0, 33, ALWAYS_SPARSE)
    assert buffer == EMPTY
    values = b"\x21" + bytes(REGISTERS - 1)
    hyperloglog.merge(buffer, values, ALWAYS_SPARSE, dense=False)
    assert hyperloglog.is_dense(buffer)
    assert hyperloglog.registers(buffer) == values


def test_estimates_are_within_a_few_standard_errors() -> None:
    for total in (0, 1, 10, 100, 1000, 30_000):
        buffer = _new(*(b"member:%d" % number for number in range(total)), limit=3000)
        count = hyperloglog.count(hyperloglog.registers(buffer))
        assert abs(count - total) <= max(0.0081 * 4 * total, total > 9)


def test_registers_that_no_elements_make_have_an_estimate_too() -> None:
    assert hyperloglog.count(bytes(REGISTERS)) == 0
    assert hyperloglog.count(b"\x33" * REGISTERS) == -(1 << 63)
    assert hyperloglog.count(b"\x3f" * REGISTERS) == -(1 << 63)


def test_the_estimate_in_the_header_is_of_old_after_a_change() -> None:
    buffer = bytearray(EMPTY)
    assert hyperloglog.estimate(buffer) == 0
    hyperloglog.add(buffer, [b"a"], ALWAYS_SPARSE)
    assert hyperloglog.estimate(buffer) is None
    hyperloglog.keep_estimate(buffer, 1)
    assert hyperloglog.estimate(buffer) == 1
    assert not hyperloglog.add(buffer, [b"a"], ALWAYS_SPARSE)
    assert hyperloglog.estimate(buffer) == 1


@pytest.mark.parametrize(
    "runs",
    [b"", b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x80", b"\x7f\xff" * 100_000, b"\xff" * 4097],
)
def test_runs_of_another_number_of_registers_are_refused(runs: bytes) -> None:
    with pytest.raises(CorruptedError):
        hyperloglog.registers(HEADER + runs)


def test_no_sparse_string_whatsoever_does_more_than_be_refused() -> None:
    rng = random.Random(5)
    for _ in range(2000):
        data = HEADER + rng.randbytes(rng.randrange(12)) + rng.choice([b"", b"\x7f\xff", b"\x7f\xf0"])
        buffer = bytearray(data)
        for action in (
            lambda data=data: hyperloglog.registers(data),
            lambda buffer=buffer: hyperloglog.add(buffer, [b"a", b"b", b"c"], 30),
            lambda buffer=buffer: hyperloglog.merge(buffer, b"\1" * REGISTERS, 30, dense=False),
        ):
            try:
                action()
            except CorruptedError:
                break
