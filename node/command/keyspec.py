"""Where a command's keys are, said once for cluster routing, ACL, COMMAND INFO and COMMAND GETKEYS.

A key specification has two steps: where to begin the search (at an index, or behind a keyword) and how to
find the keys from there (a range, or a count that stands in the request). Some commands' keys cannot be told
that way; they hand in a function.

Source: https://redis.io/docs/reference/key-specs/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag


class KeyFlag(IntFlag):
    """What a command does to a key; the names are those of COMMAND INFO."""

    RO = 1
    RW = 2
    OW = 4
    RM = 8
    ACCESS = 16
    UPDATE = 32
    INSERT = 64
    DELETE = 128
    NOT_KEY = 256
    INCOMPLETE = 512
    VARIABLE_FLAGS = 1024

    def names(self) -> list[bytes]:
        """RO, RW, OW and RM stand in capitals, the others in lower case."""
        return [_FLAG_NAMES[flag] for flag in KeyFlag if flag in self]


_FLAG_NAMES = {
    flag: (flag.name or "").encode() if flag < KeyFlag.ACCESS else (flag.name or "").lower().encode()
    for flag in KeyFlag
}


@dataclass(frozen=True, slots=True)
class Index:
    """The search begins at argument `index`."""

    index: int


@dataclass(frozen=True, slots=True)
class Keyword:
    """The search begins behind `keyword`, looked for from `start_from` (negative: backwards from the end)."""

    keyword: bytes
    start_from: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """Cannot be told from the form of the request."""


@dataclass(frozen=True, slots=True)
class Range:
    """Keys up to `last` (relative to the beginning; negative: from the end), each `step`th argument.

    With `last` -1, a `limit` of 2 or more stops after 1/limit of the remaining arguments.
    """

    last: int = 0
    step: int = 1
    limit: int = 0


@dataclass(frozen=True, slots=True)
class KeyNum:
    """A count at `count_index`, keys from `first`, all relative to the beginning."""

    count_index: int
    first: int
    step: int


@dataclass(frozen=True, slots=True)
class KeySpec:
    flags: KeyFlag
    begin: Index | Keyword | Unknown
    find: Range | KeyNum | Unknown
    notes: str = ""


KeysFunction = Callable[[list[bytes]], list[tuple[int, KeyFlag]]]
"""Positions and flags of the keys of a request; raises ValueError when it has none it could have."""


def key(index: int, flags: KeyFlag, notes: str = "") -> KeySpec:
    """One key at `index`."""
    return KeySpec(flags, Index(index), Range(), notes)


def keys(first: int, flags: KeyFlag, last: int = -1, step: int = 1, notes: str = "") -> KeySpec:
    """Keys from `first` to `last`; a `last` of 0 or more is relative to `first`."""
    return KeySpec(flags, Index(first), Range(last, step), notes)


def counted_keys(count_index: int, flags: KeyFlag, notes: str = "") -> KeySpec:
    """As many keys as the argument at `count_index` says, right behind it."""
    return KeySpec(flags, Index(count_index), KeyNum(0, 1, 1), notes)


def unknown_keys(flags: KeyFlag, notes: str = "") -> KeySpec:
    return KeySpec(flags, Unknown(), Unknown(), notes)


def find_keys(specs: tuple[KeySpec, ...], argv: list[bytes]) -> list[tuple[int, KeyFlag]]:
    """Positions of the keys of a request, with what is done to them, by its specifications.

    Raises ValueError when a count is no number or more than there are arguments.
    """
    found: list[tuple[int, KeyFlag]] = []
    for spec in specs:
        begin = _begin(spec.begin, argv)
        if begin is None:
            continue
        positions = _positions(spec.find, begin, argv)
        found += [(position, spec.flags) for position in positions]
    return found


def _begin(begin: Index | Keyword | Unknown, argv: list[bytes]) -> int | None:
    if isinstance(begin, Index):
        return begin.index if begin.index < len(argv) else None
    if isinstance(begin, Unknown):
        return None
    if begin.start_from >= 0:
        candidates = range(begin.start_from, len(argv) - 1)
    else:
        candidates = range(len(argv) + begin.start_from, 0, -1)
    for position in candidates:
        if argv[position].upper() == begin.keyword:
            return position + 1
    return None


def _positions(find: Range | KeyNum | Unknown, begin: int, argv: list[bytes]) -> range:
    if isinstance(find, Range):
        if find.last >= 0:
            last = begin + find.last
        elif find.limit <= 1:
            last = len(argv) + find.last
        else:
            last = begin + (len(argv) - begin) // find.limit + find.last
        if last >= len(argv):
            raise ValueError("a key is missing")
        return range(begin, last + 1, find.step)
    if isinstance(find, KeyNum):
        first = begin + find.first
        count = int(argv[begin + find.count_index])
        last = first + (count - 1) * find.step
        if count < 0 or last >= len(argv):
            raise ValueError("more keys are announced than there are")
        return range(first, last + 1, find.step)
    return range(0)


def legacy_range(specs: tuple[KeySpec, ...]) -> tuple[int, int, int]:
    """(first, last, step) as COMMAND INFO's older fields have it; zeros when there are no keys to tell."""
    first, last, step = 0, 0, 0
    for spec in specs:
        if not isinstance(spec.begin, Index) or not isinstance(spec.find, Range):
            continue
        end = spec.find.last if spec.find.last < 0 else spec.begin.index + spec.find.last
        if first == 0:
            first, last, step = spec.begin.index, end, spec.find.step
        elif spec.begin.index == last + 1 and spec.find.step == 1:
            last = end
    return first, last, step
