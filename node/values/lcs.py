"""The longest common subsequence of two strings.

L(i, j), the length for the first i bytes of one string and the first j of the other, grows by 0 or 1 from one
column to the next. So a row of the table is an integer with a bit a column, and one row follows from the one
before with an addition and three logical operations on integers (Hyyrö's bit-parallel recurrence), whatever
their length. Rows go along the shorter string, columns along the longer one.

The way back through the table must take the turns that Redis takes, or other subsequences of the same length
come out: a match goes up and left; else to the left (one byte less of `b`) unless only the cell above keeps
the length. Where it goes the same way several times in a row, one search of the bits or bytes finds the end
of that.

Two strings of 10,000 bytes take some 30 ms and 12 MB; time and memory are proportional to the product of the
lengths, which `table_bytes` lets the caller bound.

Source: the LCS page. Bit-vector algorithm: H. Hyyrö, 2004.
"""

from __future__ import annotations

from typing import NamedTuple

_CELL_BYTES = 4


class Match(NamedTuple):
    """A stretch that both strings share: where it is in `a` and where in `b`, both ends inclusive."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int

    @property
    def length(self) -> int:
        return self.a_end - self.a_start + 1


def table_bytes(a_length: int, b_length: int) -> int:
    """The memory that Redis takes for such a pair, which it holds against proto-max-bulk-len."""
    return (a_length + 1) * (b_length + 1) * _CELL_BYTES


def lcs_length(a: bytes, b: bytes) -> int:
    """How long the longest common subsequence is."""
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    row = full = (1 << len(long)) - 1
    masks = _masks(short, long)
    for byte in short:
        shared = row & masks[byte]
        row = (row + shared | row - shared) & full
    return (row ^ full).bit_count()


def lcs_string(a: bytes, b: bytes) -> bytes:
    """A longest common subsequence, the one that Redis finds."""
    return b"".join([a[match.a_start : match.a_end + 1] for match in reversed(lcs_matches(a, b))])


def lcs_matches(a: bytes, b: bytes) -> list[Match]:
    """The stretches that make up that subsequence, the last one first, as LCS IDX lists them."""
    pairs = _walk_rows_of_a(a, b) if len(a) <= len(b) else _walk_rows_of_b(a, b)
    matches = []
    for run_end, (a_end, b_end) in enumerate(pairs):
        if run_end and pairs[run_end - 1] == (a_end + 1, b_end + 1):
            continue
        length = 1
        while run_end + length < len(pairs) and pairs[run_end + length] == (a_end - length, b_end - length):
            length += 1
        matches.append(Match(a_end - length + 1, a_end, b_end - length + 1, b_end))
    return matches


def _masks(short: bytes, long: bytes) -> dict[int, int]:
    """For each byte of `short`, the columns of `long` that hold it."""
    backwards = long[::-1]
    masks = {}
    for byte in set(short):
        table = bytearray(b"0" * 256)
        table[byte] = ord("1")
        masks[byte] = int(backwards.translate(table) or b"0", 2)
    return masks


def _rows(short: bytes, long: bytes) -> list[int]:
    """For each number of bytes of `short`, from 0 on, the columns at which the length grows."""
    row = full = (1 << len(long)) - 1
    masks = _masks(short, long)
    rows = [0]
    for byte in short:
        shared = row & masks[byte]
        row = (row + shared | row - shared) & full
        rows.append(row ^ full)
    return rows


def _walk_rows_of_a(a: bytes, b: bytes) -> list[tuple[int, int]]:
    """The way back where a row belongs to a byte of `a`: pairs of equal bytes' indices, last first."""
    rows = _rows(a, b)
    found = []
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] != b[j - 1]:
            # Left until a match, or a column where the length would shrink: there only the row above keeps
            # it.
            grows_at = (rows[i] & ((1 << j) - 1)).bit_length()
            matches_at = b.rfind(a[i - 1], 0, j) + 1
            j = max(grows_at, matches_at)
            if grows_at > matches_at:
                i -= 1
                continue
            if not j:
                break
        i -= 1
        j -= 1
        found.append((i, j))
    return found


def _walk_rows_of_b(a: bytes, b: bytes) -> list[tuple[int, int]]:
    """The same where a row belongs to a byte of `b`."""
    rows = _rows(b, a)
    found = []
    i, j = len(a), len(b)
    left = rows[j].bit_count()
    while left:
        if a[i - 1] != b[j - 1]:
            if (rows[j - 1] & ((1 << i) - 1)).bit_count() == left:
                j -= 1
                continue
            # One byte less of b costs a match and so, at every cell on the way up, does: up to that match.
            i = a.rfind(b[j - 1], 0, i) + 1
        i -= 1
        j -= 1
        left -= 1
        found.append((i, j))
    return found
