"""The common kinds of values: yes/no, integers, amounts of memory, choices, texts.

Reasons are worded as Redis 7.2 words them, since clients and test suites look at them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from node.config.directive import ConfigError, FileLine, Kind
from node.integers import parse_integer
from node.words import quote

INT_MAX = 2**31 - 1
UINT_MAX = 2**32 - 1
LONG_MAX = 2**63 - 1
ULONG_MAX = 2**64 - 1

_MEMORY = re.compile(rb"([0-9]{1,20})(b|k|kb|m|mb|g|gb|)", re.IGNORECASE)
_UNITS = {
    b"": 1,
    b"b": 1,
    b"k": 1000,
    b"kb": 1 << 10,
    b"m": 1000**2,
    b"mb": 1 << 20,
    b"g": 1000**3,
    b"gb": 1 << 30,
}


def parse_memory(word: bytes) -> int | None:
    """Bytes from `512`, `100mb`, `1k` (1000), `1kb` (1024) …, or None. At most 64 bits.

    Redis takes `mb` and the empty word for 0, which turns a slip into "no limit": here they are refused.
    """
    match = _MEMORY.fullmatch(word)
    if match is None:
        return None
    size_bytes = int(match[1]) * _UNITS[match[2].lower()]
    return size_bytes if size_bytes <= ULONG_MAX else None


def format_memory(size_bytes: int) -> bytes:
    """With the largest unit (gb, mb, kb) that divides it, as CONFIG REWRITE writes it."""
    for unit, shift in ((b"gb", 30), (b"mb", 20), (b"kb", 10)):
        if size_bytes and size_bytes % (1 << shift) == 0:
            return b"%d%s" % (size_bytes >> shift, unit)
    return b"%d" % size_bytes


class YesNo(Kind[bool]):
    """`yes` or `no`."""

    def parse(self, words: Sequence[bytes], _old: bool, /) -> bool:
        word = words[0].lower()
        if word not in (b"yes", b"no"):
            raise ConfigError("argument must be 'yes' or 'no'")
        return word == b"yes"

    def format(self, value: bool) -> bytes:
        return b"yes" if value else b"no"

    def describe(self) -> str:
        return "yes or no"


class Integer(Kind[int]):
    """An integer between `low` and `high`; what lies outside of `cap` is cut to it without an error."""

    def __init__(self, low: int, high: int, cap: tuple[int, int] | None = None) -> None:
        self.low = low
        self.high = high
        self.cap = cap

    def parse(self, words: Sequence[bytes], _old: int, /) -> int:
        number = parse_integer(words[0])
        if number is None:
            raise ConfigError("argument couldn't be parsed into an integer")
        _check_bounds(number, self.low, self.high)
        if self.cap is not None:
            number = min(max(number, self.cap[0]), self.cap[1])
        return number

    def format(self, value: int) -> bytes:
        return b"%d" % value

    def describe(self) -> str:
        low, high = self.cap or (self.low, self.high)
        return f"integer, {low} or more" if high >= INT_MAX else f"integer, {low} to {high}"


class Memory(Kind[int]):
    """Bytes, with an optional unit."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def parse(self, words: Sequence[bytes], _old: int, /) -> int:
        size_bytes = parse_memory(words[0])
        if size_bytes is None:
            raise ConfigError("argument must be a memory value")
        _check_bounds(size_bytes, self.low, self.high)
        return size_bytes

    def format(self, value: int) -> bytes:
        return b"%d" % value

    def written(self, value: int) -> bytes:
        return format_memory(value)

    def describe(self) -> str:
        return (
            "bytes (kb, mb, gb)"
            if self.low == 0
            else f"bytes (kb, mb, gb), {format_memory(self.low).decode()} or more"
        )


class MemoryOrPercent(Kind[int]):
    """Bytes, or a percentage, which is held as a negative number: -5 is 5 %."""

    def parse(self, words: Sequence[bytes], _old: int, /) -> int:
        word = words[0]
        size_bytes = parse_memory(word)
        if size_bytes is not None and size_bytes <= LONG_MAX:
            return size_bytes
        percent = parse_integer(word[:-1]) if word.endswith(b"%") else None
        if percent is None or percent < 0:
            raise ConfigError("argument must be a memory or percent value")
        if percent > 100:
            raise ConfigError("percentage argument must be less or equal to 100")
        return -percent

    def format(self, value: int) -> bytes:
        return b"%d%%" % -value if value < 0 else b"%d" % value

    def written(self, value: int) -> bytes:
        return self.format(value) if value < 0 else format_memory(value)

    def describe(self) -> str:
        return "bytes (kb, mb, gb) or a percentage"


class Octal(Kind[int]):
    """A file mode."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def parse(self, words: Sequence[bytes], _old: int, /) -> int:
        if not re.fullmatch(rb"-?[0-7]{1,20}", words[0]):
            raise ConfigError("argument couldn't be parsed as an octal number")
        number = int(words[0], 8)
        if not self.low <= number <= self.high:
            raise ConfigError(f"argument must be between {self.low:o} and {self.high:o} inclusive")
        return number

    def format(self, value: int) -> bytes:
        return b"%o" % value

    def describe(self) -> str:
        return "octal number"


class Choice(Kind[str]):
    """One of several words; those that are keys of `synonyms` are accepted for another and shown as it."""

    def __init__(self, words: Sequence[str], synonyms: dict[str, str] | None = None) -> None:
        self.words = tuple(words)
        self.meaning = {word: (synonyms or {}).get(word, word) for word in words}

    def parse(self, words: Sequence[bytes], _old: str, /) -> str:
        word = self.meaning.get(words[0].lower().decode("latin-1"))
        if word is None:
            raise ConfigError(f"argument(s) must be one of the following: {', '.join(self.meaning)}")
        return word

    def format(self, value: str) -> bytes:
        return value.encode()

    def describe(self) -> str:
        return ", ".join(self.words)


class Text(Kind[str]):
    """A text: a path, host or name. Bytes that are not UTF-8 survive as surrogates (see os.fsencode).

    Where `unset` is true an empty text means that the directive is not set, and it is left out of files.
    """

    def __init__(self, *, unset: bool) -> None:
        self.unset = unset

    def parse(self, words: Sequence[bytes], _old: str, /) -> str:
        if b"\0" in words[0]:
            raise ConfigError("argument must not contain a null byte")
        return os.fsdecode(words[0])

    def format(self, value: str) -> bytes:
        return os.fsencode(value)

    def written(self, value: str) -> bytes:
        return quote(os.fsencode(value))

    def lines(self, name: bytes, value: str, default: str, /) -> list[FileLine]:
        return [] if self.unset and not value else super().lines(name, value, default)

    def describe(self) -> str:
        return "text"


class Secret(Kind[bytes]):
    """A user name or password: any bytes; empty means that it is not set."""

    def parse(self, words: Sequence[bytes], _old: bytes, /) -> bytes:
        return words[0]

    def format(self, value: bytes) -> bytes:
        return value

    def written(self, value: bytes) -> bytes:
        return quote(value)

    def lines(self, name: bytes, value: bytes, default: bytes, /) -> list[FileLine]:
        return super().lines(name, value, default) if value else []

    def describe(self) -> str:
        return "secret"


def _check_bounds(number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise ConfigError(f"argument must be between {low} and {high} inclusive")
