"""Who owns which slots: an even split of the 16384 slots into one range for each primary.

Boundaries are those of `redis-cli --cluster create` (each is rounded, so sizes differ by at most one), which
makes a three-node cluster look the way every tutorial shows it: 0-5460, 5461-10922, 10923-16383.
"""

from __future__ import annotations

from itertools import pairwise

from gossip.slots import SLOT_COUNT


def even_ranges(primary_count: int) -> list[tuple[int, int]]:
    """One inclusive range for each primary, in order. Asserts 1 <= primary_count <= 16384."""
    assert 1 <= primary_count <= SLOT_COUNT, primary_count
    ends = [
        (2 * SLOT_COUNT * number + primary_count) // (2 * primary_count)
        for number in range(primary_count + 1)
    ]
    return [(first, end - 1) for first, end in pairwise(ends)]
