"""Sparse HyperLogLogs: registers as runs of equal ones, one or two bytes a run.

    00xxxxxx            1 to 64 registers of 0
    01xxxxxx xxxxxxxx   1 to 16384 registers of 0
    1vvvvvxx            1 to 4 registers of 1 to 32

Each number is stored less one. The form is not unique, and replicas and DUMP payloads compare bytes, so a
change does what Redis does: the run that holds the register is split, and then, from the run before it, up to
five steps join neighbours of equal value where the two fit into one run.

Source: hyperloglog.c of Redis 7.2, "The sparse representation".
"""

from __future__ import annotations

import re
from typing import NamedTuple

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
_NOT_ZERO = re.compile(rb"[^\0]")


def _run(byte: int) -> bytes:
    """The registers of a run of one byte."""
    if byte & _VALUE:
        return bytes(((byte >> 2 & 31) + 1,)) * ((byte & 3) + 1)
    return bytes((byte & 63) + 1)


_RUNS = [_run(byte) for byte in range(256)]
_SPANS = [len(run) for run in _RUNS]  # what it says of bytes 0x40 to 0x7f is never asked


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


def runs(data: Data) -> list[tuple[int, int]]:
    """(value, how many registers) of every run. Raises CorruptedError."""
    found = []
    at = HEADER_BYTES
    while at < len(data):
        byte = data[at]
        if byte & _KIND == _LONG_ZEROS:
            found.append((0, _long_span(data, at)))
            at += 2
        else:
            found.append((_RUNS[byte][0], _SPANS[byte]))
            at += 1
    return found


def registers(data: Data) -> bytes:
    """All registers, a byte each. Raises CorruptedError."""
    parts = []
    total = 0
    for value, span in runs(data):
        total += span
        if total > REGISTERS:
            raise CorruptedError
        parts.append(bytes((value,)) * span)
    if total != REGISTERS:
        raise CorruptedError
    return b"".join(parts)


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
    cursor = START
    for match in _NOT_ZERO.finditer(values):
        index = match.start()
        _, cursor = raise_register(buffer, index, values[index], bytes_max, cursor)


def _seek(buffer: bytearray, index: int, cursor: Cursor) -> tuple[int, int, int, int, Cursor]:
    """The run that holds a register: where, its first register, the run before, its length, and a cursor."""
    at, first, before = cursor
    resume = START
    size = len(buffer)
    while at < size:
        byte = buffer[at]
        width = 1
        if byte & _KIND == _LONG_ZEROS:
            span = _long_span(buffer, at)
            width = 2
        else:
            span = _SPANS[byte]
        following = first + span
        if index < following:
            if before < 0:
                return _seek(buffer, index, START)
            return at, first, before, span, resume
        resume_first, before = first, at
        resume = Cursor(at, resume_first, -1)
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
