"""How much memory the process takes, from the kernel's books.

Python does not tell what its allocator has handed out, so `used_memory` is what the process has of its own:
resident pages that are not shared with others (libraries, the interpreter's code). It therefore contains what
the allocator holds in reserve, and falls only when that goes back to the system. `used_memory_rss` is all
resident pages.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    used_bytes: int
    resident_bytes: int


def usage() -> Usage:
    """What the process takes now; costs about 10 microseconds."""
    with open("/proc/self/statm", "rb") as file:
        _, resident, shared, *_ = file.read().split()
    return Usage((int(resident) - int(shared)) * _PAGE_BYTES, int(resident) * _PAGE_BYTES)


def total_bytes() -> int:
    """The memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES


class MemoryWatch:
    """Remembers what was used at the start, and the most there was at any look."""

    def __init__(self) -> None:
        self.startup_bytes = self.peak_bytes = usage().used_bytes

    def started(self) -> None:
        """Everything is set up, and no data is there yet."""
        self.startup_bytes = self.look().used_bytes

    def sample(self) -> None:
        """Called by the cron, so that a peak between two looks is seen."""
        self.look()

    def look(self) -> Usage:
        now = usage()
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
