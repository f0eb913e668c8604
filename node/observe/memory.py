"""How much memory the process takes, from the books of its allocators and of the kernel.

Eviction needs a figure that falls as soon as a key is removed. Resident pages do not: the allocators keep
what is freed, and a server that evicted until its pages went back to the system would empty its store.
Estimates per key that every command keeps up to date would do, but each write would pay for them and they
would drift. So `used_memory` is what redis-server's is: what the allocators have handed out and not got back.
Objects up to 512 bytes come from Python's allocator, which tells its totals to a C stream only (we give it
one in memory), all else from the C library, which has `mallinfo2`. `used_memory_rss` is what the kernel
counts; the difference is what the allocators hold in reserve.

Neither figure is free. Python's allocator looks at each of its pools (16 KB) and the C library at each free
chunk: a few tens of microseconds for a small process, some milliseconds a gigabyte. Who asks often therefore
says which share of the time the answer may cost (`MemoryWatch.look`), and asks first for `private_bytes`, 10
microseconds whatever the size: what is in use is not more than that.

The interpreter and its libraries are counted, since the machine has to have that memory too: see
`used_memory_startup`. On a platform without these functions `used_memory` is the private pages.
"""

from __future__ import annotations

import ctypes
import os
import re
import time
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_IN_BLOCKS = re.compile(rb"# bytes in allocated blocks += +([0-9,]+)")


class Usage(NamedTuple):
    used_bytes: int
    resident_bytes: int


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2; `uordblks` are bytes in use in heaps, `hblkhd` those in mappings of their own."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
                     "fordblks", "keepcost")
    ]  # fmt: skip


class _Allocators:
    """The functions of Python's allocator and the C library's. Raises AttributeError where they are not."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._python_statistics = ctypes.pythonapi["_PyObject_DebugMallocStats"]
        self._python_statistics.argtypes = [ctypes.c_void_p]
        self._open_memstream = library["open_memstream"]
        self._open_memstream.restype = ctypes.c_void_p
        self._fclose = library["fclose"]
        self._fclose.argtypes = [ctypes.c_void_p]
        self._free = library["free"]
        self._free.argtypes = [ctypes.c_void_p]
        self._mallinfo = library["mallinfo2"]
        self._mallinfo.restype = _Mallinfo
        self._trim = library["malloc_trim"]
        self._trim.argtypes = [ctypes.c_size_t]

    def python_text(self) -> bytes:
        """What Python's allocator tells of itself: a table of its size classes, and totals."""
        text, size = ctypes.c_void_p(), ctypes.c_size_t()
        stream = self._open_memstream(ctypes.byref(text), ctypes.byref(size))
        if not stream:
            raise MemoryError
        self._python_statistics(stream)
        self._fclose(stream)
        try:
            return ctypes.string_at(text, size.value)
        finally:
            self._free(text)

    def in_use(self) -> tuple[int, int]:
        """Bytes handed out by Python's allocator, and by the C library to all but that."""
        found = _IN_BLOCKS.search(self.python_text())
        info = self._mallinfo()
        return int(found[1].replace(b",", b"")) if found else 0, info.uordblks + info.hblkhd

    def trim(self) -> None:
        self._trim(0)


def _find_allocators() -> _Allocators | None:
    try:
        return _Allocators()
    except AttributeError:
        return None


_ALLOCATORS = _find_allocators()


def usage() -> Usage:
    """What the process takes now, as exactly as it can be told."""
    private, resident = _pages()
    return Usage(private if _ALLOCATORS is None else sum(_ALLOCATORS.in_use()), resident)


def private_bytes() -> int:
    """Resident memory that is not shared with others: at least what is in use."""
    return _pages()[0]


def _pages() -> tuple[int, int]:
    """Private and all resident memory, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        _, resident, shared, *_ = file.read().split()
    return (int(resident) - int(shared)) * _PAGE_BYTES, int(resident) * _PAGE_BYTES


def statistics() -> str:
    """MEMORY MALLOC-STATS: what the allocators tell, for people."""
    if _ALLOCATORS is None:
        return "The allocators of this platform tell nothing"
    small, large = _ALLOCATORS.in_use()
    totals = f"in use: {small} bytes in small blocks, {large} bytes from the C library"
    return f"{_ALLOCATORS.python_text().decode()}\n{totals}\n"


def purge() -> None:
    """MEMORY PURGE: gives free pages of the C library's heaps back to the system."""
    if _ALLOCATORS is not None:
        _ALLOCATORS.trim()


def total_bytes() -> int:
    """The memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES


class MemoryWatch:
    """Remembers what was used at the start, the most there was at any look, and what a look costs."""

    SAMPLE_SHARE = 0.002

    def __init__(self) -> None:
        self.cost_s = 0.0  # of the last look
        self._looked_s = 0.0
        self._last = usage()
        self.startup_bytes = self.peak_bytes = self._last.used_bytes

    def started(self) -> None:
        """Everything is set up, and no data is there yet."""
        self.startup_bytes = self.look().used_bytes

    def sample(self) -> None:
        """Called by the cron, so that a peak between two looks is seen."""
        self.look(self.SAMPLE_SHARE)

    def look(self, share: float = 1.0) -> Usage:
        """What is used; the answer of last time when a new one would cost more than `share` of the time."""
        begin_s = time.monotonic()
        if share < 1 and begin_s - self._looked_s < self.cost_s / share:
            return self._last
        self._last = now = usage()
        self._looked_s = time.monotonic()
        self.cost_s = self._looked_s - begin_s
        self.peak_bytes = max(self.peak_bytes, now.used_bytes)
        return now


def human(size_bytes: int) -> str:
    """As INFO prints amounts for people: `512B`, `1.50K`, `3.20M`, …"""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    amount = float(size_bytes)
    for unit in "KMGTP":
        amount /= 1024
        if amount < 1024 or unit == "P":
            break
    return f"{amount:.2f}{unit}"
