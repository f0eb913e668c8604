"""Compressing takes no more time than all else."""

from __future__ import annotations

from node.persistence.compression import LENGTH_MIN, Ration
from node.rdb import lzf

TEXT = b"the same words and the same words " * 20


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_compresses_while_its_share_lasts() -> None:
    clock = Clock()
    costs_s = iter([0.0, 0.0, 3.0])

    def slow() -> float:
        clock.now_s += next(costs_s, 0.0)
        return clock.now_s

    ration = Ration(slow)
    assert ration(TEXT) == lzf.compress(TEXT)  # took 3 of 3 seconds
    assert ration(TEXT) is None
    clock.now_s += 2.9
    assert ration(TEXT) is None
    clock.now_s += 0.1  # as much again has gone by for other things
    assert ration(TEXT) is not None


def test_short_strings_are_not_tried() -> None:
    ration = Ration(Clock())
    assert ration(b"a" * (LENGTH_MIN - 1)) is None
    assert ration(b"a" * LENGTH_MIN) is not None
