"""Sorted arrays of integers: how small sets of integers are stored.

An array's items have 2, 4 or 8 bytes, as the largest needs; it is made wider when a member demands it, and
never narrower. Membership is a binary search.

Source: the encoding intset of Redis.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeAlias

IntArray: TypeAlias = "array[int]"

_TYPE_CODES = {2: "h", 4: "i", 8: "q"}


def width_bytes(value: int) -> int:
    """The narrowest width that holds `value`."""
    return 2 if -0x8000 <= value <= 0x7FFF else 4 if -0x80000000 <= value <= 0x7FFFFFFF else 8


def empty(width: int = 2) -> IntArray:
    """No integers, of `width` bytes each."""
    return array(_TYPE_CODES[width])


def from_sorted(values: Iterable[int]) -> IntArray:
    """An array of different integers in ascending order."""
    values = list(values)
    width = max(width_bytes(values[0]), width_bytes(values[-1])) if values else 2
    return array(_TYPE_CODES[width], values)


def contains(ints: IntArray, value: int) -> bool:
    at = bisect_left(ints, value)
    return at < len(ints) and ints[at] == value


def add(ints: IntArray, value: int) -> IntArray | None:
    """The array with `value` in it: `ints` itself, or a wider one. None when it was there already."""
    if width_bytes(value) > ints.itemsize:
        ints = array(_TYPE_CODES[width_bytes(value)], ints)
    at = bisect_left(ints, value)
    if at < len(ints) and ints[at] == value:
        return None
    ints.insert(at, value)
    return ints


def remove(ints: IntArray, value: int) -> bool:
    """False when it is not there."""
    at = bisect_left(ints, value)
    if at == len(ints) or ints[at] != value:
        return False
    del ints[at]
    return True


def check(ints: IntArray) -> None:
    """Asserts that the integers ascend."""
    assert all(ints[at] < ints[at + 1] for at in range(len(ints) - 1))
