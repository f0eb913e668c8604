"""Sparse HyperLogLogs: registers as runs of equal ones, one or two bytes a run.

    00xxxxxx            1 to 64 registers of 0
    01xxxxxx xxxxxxxx   1 to 16384 registers of 0
    1vvvvvxx            1 to 4 registers of 1 to 32

Each number is stored less one. The form is not unique, and replicas and DUMP payloads compare bytes, so a
change does what Redis does: the run that holds the register is split, and then, from the run before it, up to
five steps join neighbours of equal value where the two fit into one run.

The search for a register skips blocks of runs of one byte by summing what they cover: 20 instead of 100
microseconds for the longest strings.

Source: hyperloglog.c of Redis 7.2, "The sparse representation".
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from node.values.strings import Data

HEADER_BYTES = 16
REGISTERS = 1 << 14
RANK_MAX = 32
EMPTY = b"\x7f\xff"
"""The runs of one without elements."""

_KIND = 0xC0
_LONG_ZEROS = 0x40
_VALUE = 0x80
_ZEROS_MAX = 64
_VALUES_MAX = 4
_JOIN_STEPS = 5
_RANKS = bytes(range(RANK_MAX + 1))
_SPLIT_BYTES = 4  # what a string has more while a run of zeros is split than when the rest of it is gone
_NOT_ZERO = re.compile(rb"[^\0]")
_EQUAL = re.compile(rb"\0+|([^\0])\1{0,3}")


_REPEATED = [bytes((value,)) for value in range(RANK_MAX + 1)]
# How many registers a run of one byte has; what it says of bytes 0x40 to 0x7f is never asked.
_SPANS = bytes((byte & 3 if byte & _VALUE else byte & 63) + 1 for byte in range(256))
_SHORT_RUNS = re.compile(rb"[^\x40-\x7f]{32,128}")
_BLOCKS_FROM_BYTES = 1200  # below, runs of two bytes are too many for blocks without them to be found


class CorruptedError(Exception):
    """The runs are not those of 16384 registers."""


class TooLargeError(Exception):
    """The sparse form cannot hold a change: the string would be too long, or the rank is above 32."""


class Cursor(NamedTuple):
    """Where a search goes on: a run, its first register, and the run before it (0: none, -1: not known)."""

    at: int
    first: int
    before: int


START = Cursor(HEADER_BYTES, 0, 0)


Run: TypeAlias = tuple[int, int, bool]
"""A value, how many registers have it, and whether the run takes two bytes."""


def runs(data: Data) -> list[Run]:
    """All runs. Raises CorruptedError when there are more registers than there should be."""
    found = []
    at, total = HEADER_BYTES, 0
    while at < len(data):
        byte = data[at]
        if byte & _KIND == _LONG_ZEROS:
            span = _long_span(data, at)
            found.append((0, span, True))
            at += 2
        else:
            span = _SPANS[byte]
            found.append(((byte >> 2 & 31) + 1 if byte & _VALUE else 0, span, False))
            at += 1
        total += span
        if total > REGISTERS:
            raise CorruptedError
    return found


def registers(data: Data) -> bytes:
    """All registers, a byte each. Raises CorruptedError."""
    found = b"".join([_REPEATED[value] * span for value, span, _ in runs(data)])
    if len(found) != REGISTERS:
        raise CorruptedError
    return found


def raise_register(
    buffer: bytearray, index: int, rank: int, bytes_max: int, cursor: Cursor = START
) -> tuple[bool, Cursor]:
    """Makes a register at least `rank`; whether it was less, and from where to look for a later register.

    Raises TooLargeError, having changed nothing, and CorruptedError when there is no such register.
    """
    if rank > RANK_MAX:
        raise TooLargeError
    at, first, before, span, resume = _seek(buffer, index, cursor)
    byte = buffer[at]
    old = (byte >> 2 & 31) + 1 if byte & _VALUE else 0
    if old >= rank:
        return False, resume
    width = 2 if byte & _KIND == _LONG_ZEROS else 1
    parts = _encoded(old, index - first) + _encoded(rank, 1) + _encoded(old, first + span - 1 - index)
    if len(parts) > width and len(buffer) + len(parts) - width > bytes_max:
        raise TooLargeError
    buffer[at : at + width] = parts
    _join(buffer, before or HEADER_BYTES)
    return True, resume


def raise_registers(buffer: bytearray, values: bytes, bytes_max: int) -> None:
    """The same for all registers in order; what is in `values` is a byte each.

    Raises TooLargeError or CorruptedError, and then leaves the buffer somewhere between.
    """
    if values.translate(None, _RANKS):
        raise TooLargeError
    if buffer[HEADER_BYTES:] == EMPTY:
        encoded = b"".join(
            [_encoded(values[m.start()], m.end() - m.start()) for m in _EQUAL.finditer(values)]
        )
        # On the way there the string would never have been longer than that.
        if HEADER_BYTES + len(encoded) + _SPLIT_BYTES <= bytes_max:
            buffer[HEADER_BYTES:] = encoded
            return
    cursor = START
    for match in _NOT_ZERO.finditer(values):
        index = match.start()
        _, cursor = raise_register(buffer, index, values[index], bytes_max, cursor)


def _seek(buffer: bytearray, index: int, cursor: Cursor) -> tuple[int, int, int, int, Cursor]:
    """The run that holds a register: where, its first register, the run before, its length, and a cursor."""
    at, first, before = cursor
    before_first = 0
    size = len(buffer)
    many = size >= _BLOCKS_FROM_BYTES
    look = many  # for a block of short runs: after each long one, and after each block
    while at < size:
        byte = buffer[at]
        if byte & _KIND == _LONG_ZEROS:
            following, width = first + _long_span(buffer, at), 2
            look = many
        elif look:
            block = _SHORT_RUNS.match(buffer, at)
            end = block.end() if block else at
            beyond = first + sum(buffer[at:end].translate(_SPANS))
            look = at < end and index >= beyond
            if look:
                at, first, before = end, beyond, end - 1
                before_first = beyond - _SPANS[buffer[before]]
            continue
        else:
            following, width = first + _SPANS[byte], 1
        if index < following:
            if before < 0:
                return _seek(buffer, index, START)
            resume = Cursor(before, before_first, -1) if before else START
            return at, first, before, following - first, resume
        before, before_first = at, first
        at += width
        first = following
    raise CorruptedError


def _long_span(data: Data, at: int) -> int:
    if at + 1 >= len(data):
        raise CorruptedError
    return ((data[at] & 63) << 8 | data[at + 1]) + 1


def _encoded(value: int, span: int) -> bytes:
    """The run of `span` registers, nothing for none."""
    if not span:
        return b""
    if value:
        return bytes((_VALUE | value - 1 << 2 | span - 1,))
    if span <= _ZEROS_MAX:
        return bytes((span - 1,))
    return bytes((_LONG_ZEROS | span - 1 >> 8, span - 1 & 0xFF))


def _join(buffer: bytearray, at: int) -> None:
    for _ in range(_JOIN_STEPS):
        if at >= len(buffer):
            break
        byte = buffer[at]
        if byte & _KIND == _LONG_ZEROS:
            at += 2
            continue
        following = buffer[at + 1] if at + 1 < len(buffer) else 0
        span = (byte & 3) + (following & 3) + 2
        if byte & _VALUE and byte >> 2 == following >> 2 and span <= _VALUES_MAX:
            buffer[at : at + 2] = bytes((byte & ~3 | span - 1,))
        else:
            at += 1
