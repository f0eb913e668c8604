"""The backlog holds the last bytes of the stream, by offset."""

from __future__ import annotations

import random

import pytest

from node.replication.backlog import Backlog


def test_is_empty_at_first() -> None:
    backlog = Backlog(10, offset=100)
    assert len(backlog) == 0
    assert backlog.first == 101
    assert backlog.since(101) == b""
    assert backlog.since(100) is None
    assert backlog.since(102) is None


def test_keeps_the_latest_bytes() -> None:
    backlog = Backlog(4, offset=0)
    backlog.append(b"abc")
    backlog.append(b"def")
    assert (backlog.first, backlog.last) == (3, 6)
    assert backlog.since(3) == b"cdef"
    assert backlog.since(2) is None


def test_one_append_larger_than_the_ring() -> None:
    backlog = Backlog(4, offset=0)
    backlog.append(b"abcdefghij")
    assert backlog.since(backlog.first) == b"ghij"
    backlog.append(b"k")
    assert backlog.since(backlog.first) == b"hijk"


@pytest.mark.parametrize("seed", range(20))
def test_every_offset_gives_the_end_of_the_stream(seed: int) -> None:
    """Against the whole stream as a model; sizes change on the way."""
    rng = random.Random(seed)
    size = rng.randint(1, 40)
    last = rng.randint(0, 1000)
    backlog = Backlog(size, last)
    held = b""
    for _ in range(60):
        if rng.random() < 0.1:
            size = rng.randint(1, 40)
            backlog.resize(size)
        data = rng.randbytes(rng.randint(0, 60))
        backlog.append(data)
        held = (held[-size:] + data)[-size:]
        last += len(data)
        assert (backlog.last, len(backlog)) == (last, len(held))
        for missing in range(len(held) + 1):
            assert backlog.since(backlog.first + missing) == held[missing:]
        assert backlog.since(backlog.first - 1) is None
        assert backlog.since(last + 2) is None
