"""HyperLogLogs: strings that estimate how many different elements were added to them.

An element's hash chooses one of 16384 registers, and the register keeps the longest run of zero bits (the
*rank*) that a hash had. The string is Redis's own: a header of 16 bytes ("HYLL", the encoding, three bytes
not used, the last estimate), then the registers, either *dense*, of 6 bits each with the lowest bit first, or
*sparse*, as runs of equal registers (`hyperloglog_sparse.py`). A sparse one becomes dense when it would grow
too long, or when a rank is above 32, and never goes back.

Two tricks make Python quick here. Read from its end, a dense string is base64 without the alphabet: three
bytes are four registers; so the C code for base64 packs and unpacks. And the greater of all pairs of
registers comes from arithmetic on integers of 16384 lanes.

Source: the pages of the PF* commands, hyperloglog.c for the format and the hash (MurmurHash64A); the estimate
is that of Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable
from struct import iter_unpack

from node.integers import INT64_MAX, INT64_MIN
from node.values import hyperloglog_sparse as sparse
from node.values.hyperloglog_sparse import (
    HEADER_BYTES,
    REGISTERS,
    CorruptedError,
    TooLargeError,
)
from node.values.strings import Data

__all__ = ["CorruptedError"]

DENSE_BYTES = HEADER_BYTES + REGISTERS * 6 // 8
EMPTY = b"HYLL\x01\0\0\0" + bytes(8) + sparse.EMPTY
"""One without elements, its estimate of 0 being valid."""

_ENCODING_AT = 4
_ESTIMATE_AT = 8
_STALE_AT = 15  # the estimate's highest byte; its highest bit says that the estimate is of old
_STALE = 0x80
_DENSE, _SPARSE = 0, 1

_INDEX_BITS = 14
_RANK_MAX = 64 - _INDEX_BITS + 1
_SEED = 0xADC83B19
_MULTIPLIER = 0xC6A4A7935BD1E995
_UINT64_MAX = (1 << 64) - 1
_ALPHA = 0.721347520444481703680  # 0.5 / ln 2

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FROM_BASE64 = bytes(max(_BASE64.find(byte), 0) for byte in range(256))
_TO_BASE64 = bytes(_BASE64[register & 63] for register in range(256))
_LANES_HIGH = int.from_bytes(b"\x80" * REGISTERS, "little")


# The string as a whole


def is_valid(data: Data) -> bool:
    """Whether a string looks like a HyperLogLog; what it says of its registers may be wrong nevertheless."""
    if len(data) < HEADER_BYTES or data[:4] != b"HYLL":
        return False
    return data[_ENCODING_AT] == _SPARSE or (data[_ENCODING_AT] == _DENSE and len(data) == DENSE_BYTES)


def is_dense(data: Data) -> bool:
    return data[_ENCODING_AT] == _DENSE


def registers(data: Data) -> bytes:
    """All registers, a byte each. Raises CorruptedError when a sparse string has more or fewer."""
    if not is_dense(data):
        return sparse.registers(data)
    packed = data[: HEADER_BYTES - 1 : -1]
    return binascii.b2a_base64(packed, newline=False).translate(_FROM_BASE64)[::-1]


def make_dense(buffer: bytearray, values: bytes | None = None) -> None:
    """Gives a HyperLogLog these registers (its own, where none are given) in the dense form.

    Raises CorruptedError, having changed nothing.
    """
    values = registers(buffer) if values is None else values
    packed = binascii.a2b_base64(values[::-1].translate(_TO_BASE64))[::-1]
    buffer[_ENCODING_AT] = _DENSE
    buffer[HEADER_BYTES:] = packed


# Adding


def add(buffer: bytearray, elements: Iterable[bytes], sparse_bytes_max: int) -> bool:
    """Adds elements; whether any register changed. The estimate is of old then.

    Raises CorruptedError when a sparse string is found to be wrong; part of the elements may be in it then.
    """
    changed = False
    for element in elements:
        index, rank = place(element)
        if is_dense(buffer):
            changed |= _raise_dense(buffer, index, rank)
            continue
        try:
            changed |= sparse.raise_register(buffer, index, rank, sparse_bytes_max)[0]
        except TooLargeError:
            make_dense(buffer)
            changed |= _raise_dense(buffer, index, rank)
    if changed:
        forget_estimate(buffer)
    return changed


def place(element: bytes) -> tuple[int, int]:
    """Register and rank of an element."""
    hashed = hash64(element)
    # The bit above all others ends the run of zeros of a hash that has no other.
    rest = hashed >> _INDEX_BITS | 1 << (_RANK_MAX - 1)
    return hashed & (REGISTERS - 1), (rest & -rest).bit_length()


def hash64(data: bytes) -> int:
    """MurmurHash64A with the seed that Redis uses."""
    hashed = _SEED ^ (len(data) * _MULTIPLIER & _UINT64_MAX)
    whole = len(data) & ~7
    if whole:
        for (block,) in iter_unpack("<Q", data[:whole]):
            block = block * _MULTIPLIER & _UINT64_MAX
            block = (block ^ block >> 47) * _MULTIPLIER & _UINT64_MAX
            hashed = (hashed ^ block) * _MULTIPLIER & _UINT64_MAX
    if whole < len(data):
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _UINT64_MAX
    hashed = (hashed ^ hashed >> 47) * _MULTIPLIER & _UINT64_MAX
    return hashed ^ hashed >> 47


def _raise_dense(buffer: bytearray, index: int, rank: int) -> bool:
    """Makes a register at least `rank`; False when it was."""
    at, shift = HEADER_BYTES + (index * 6 >> 3), index * 6 & 7
    if shift <= 2:
        byte = buffer[at]
        if byte >> shift & 63 >= rank:
            return False
        buffer[at] = byte & ~(63 << shift) | rank << shift
        return True
    both = buffer[at] | buffer[at + 1] << 8
    if both >> shift & 63 >= rank:
        return False
    both = both & ~(63 << shift) | rank << shift
    buffer[at] = both & 0xFF
    buffer[at + 1] = both >> 8
    return True


# Merging


def greatest(several: Iterable[bytes]) -> bytes:
    """The registers of the union: of each register the greatest value. Zeros when there are none."""
    result = 0
    for values in several:
        other = int.from_bytes(values, "little")
        if not result:
            result = other
            continue
        # No lane holds more than 63, so that the highest bit of a lane tells which of two was greater.
        is_less = ((other | _LANES_HIGH) - result & _LANES_HIGH) >> 7
        result ^= (result ^ other) & (is_less << 8) - is_less
    return result.to_bytes(REGISTERS, "little")


def merge(buffer: bytearray, values: bytes, sparse_bytes_max: int, dense: bool) -> None:
    """Makes every register at least as great as the one in `values`, none of which is less than it was.

    The result is dense if `dense` says so or the sparse form cannot hold it. Raises CorruptedError.
    """
    if not dense and not is_dense(buffer):
        attempt = bytearray(buffer)
        try:
            sparse.raise_registers(attempt, values, sparse_bytes_max)
        except TooLargeError:
            make_dense(buffer, values)
        else:
            buffer[:] = attempt
    else:
        make_dense(buffer, values)
    forget_estimate(buffer)


# Estimating


def estimate(data: Data) -> int | None:
    """The estimate that the header keeps, None when it is of old."""
    if data[_STALE_AT] & _STALE:
        return None
    return int.from_bytes(data[_ESTIMATE_AT:HEADER_BYTES], "little")


def keep_estimate(buffer: bytearray, count: int) -> None:
    """Stores an estimate in the header."""
    buffer[_ESTIMATE_AT:HEADER_BYTES] = (count & _UINT64_MAX).to_bytes(8, "little")


def forget_estimate(buffer: bytearray) -> None:
    """Says in the header that the estimate is of old."""
    buffer[_STALE_AT] |= _STALE


def count(values: bytes) -> int:
    """How many elements were added, judging by the registers. Far out of 64 bits it is the least integer."""
    total = float(REGISTERS)
    histogram = [values.count(rank) for rank in range(_RANK_MAX + 1)]
    z = total * _tau((total - histogram[_RANK_MAX]) / total)
    for rank in range(_RANK_MAX - 1, 0, -1):
        z += histogram[rank]
        z *= 0.5
    z += total * _sigma(histogram[0] / total)
    if z == 0.0:
        return INT64_MIN
    exact = _ALPHA * total * total / z
    rounded = math.floor(exact)
    rounded += exact - rounded >= 0.5
    return rounded if rounded <= INT64_MAX else INT64_MIN


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1.0 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
    return z / 3.0
