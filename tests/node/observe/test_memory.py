"""used_memory is what the allocators have handed out: it follows what is made and what is freed."""

from __future__ import annotations

import gc

import pytest

from node.observe import memory
from node.observe.memory import MemoryWatch, Usage

MB = 1 << 20


@pytest.mark.parametrize("size", [100, 3000, 500_000], ids=["python's blocks", "heap", "mappings"])
def test_what_is_made_is_counted_and_what_is_freed_no_more(size):
    gc.collect()
    before = memory.usage().used_bytes
    data = [bytes([65]) * (size + number % 7) for number in range(20 * MB // size)]
    full = memory.usage().used_bytes
    assert 19 * MB < full - before < 33 * MB  # small objects have headers, and a place in the list
    del data[::2]
    half = memory.usage().used_bytes
    assert 0.4 * (full - before) < half - before < 0.6 * (full - before)
    del data
    assert memory.usage().used_bytes - before < MB


def test_what_is_used_is_resident():
    data = bytearray(b"x" * (30 * MB))
    now = memory.usage()
    assert len(data) < now.used_bytes <= memory.private_bytes() * 1.05
    assert memory.private_bytes() < now.resident_bytes < memory.total_bytes()


def test_a_look_costs_no_more_than_its_share(monkeypatch):
    watch = MemoryWatch()
    now_s, looks = 100.0, 0

    def usage() -> Usage:
        nonlocal looks, now_s
        looks += 1
        now_s += 0.01
        return Usage(looks, looks)

    monkeypatch.setattr(memory, "usage", usage)
    monkeypatch.setattr(memory.time, "monotonic", lambda: now_s)
    assert watch.look() == Usage(1, 1)
    assert watch.cost_s == pytest.approx(0.01)
    now_s += 0.15
    assert watch.look(share=0.05) == Usage(1, 1)
    now_s += 0.06
    assert watch.look(share=0.05) == Usage(2, 2)
    assert watch.look() == Usage(3, 3)


def test_peak_is_the_most_of_all_looks(monkeypatch):
    watch = MemoryWatch()
    figures = iter([9 << 40, 1])
    monkeypatch.setattr(memory, "usage", lambda: Usage(next(figures), 0))
    watch.look()
    watch.look()
    assert watch.peak_bytes == 9 << 40


def test_statistics_name_both_allocators():
    text = memory.statistics()
    assert "bytes in allocated blocks" in text
    assert "from the C library" in text


@pytest.mark.parametrize(("size", "shown"), [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (5 << 30, "5.00G")])
def test_amounts_for_people(size, shown):
    assert memory.human(size) == shown
