"""The kinds of single directives: save points, output buffer limits, key-space events, addresses, …"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple, TypeAlias

from node.config.directive import ConfigError, FileLine, Kind
from node.config.kinds import INT_MAX, LONG_MAX, format_memory, parse_memory
from node.words import quote

Network: TypeAlias = "IPv4Network | IPv6Network"

# Some values are read with C's strtol in Redis: signs and leading zeros are welcome.
_LOOSE_INTEGER = re.compile(rb"[ \t\n\v\f\r]*[+-]?[0-9]{1,19}")


def _loose_integer(word: bytes) -> int | None:
    return int(word) if _LOOSE_INTEGER.fullmatch(word) else None


class SavePoint(NamedTuple):
    """Save when `changes` keys changed within `seconds`."""

    seconds: int
    changes: int


class SavePoints(Kind[tuple[SavePoint, ...]]):
    """Pairs of seconds and changes; several lines of a file add up, `save ""` takes back the earlier ones."""

    multi_arg = True
    accumulates = True

    def parse(self, words: Sequence[bytes], _old: tuple[SavePoint, ...], /) -> tuple[SavePoint, ...]:
        if list(words) == [b""]:
            return ()
        numbers = [_loose_integer(word) for word in words]
        points: list[SavePoint] = []
        for seconds, changes in zip(numbers[::2], numbers[1::2], strict=False):
            if (
                seconds is None
                or changes is None
                or not 1 <= seconds <= LONG_MAX
                or not 0 <= changes <= INT_MAX
            ):
                raise ConfigError("Invalid save parameters")
            points.append(SavePoint(seconds, changes))
        if len(numbers) % 2:
            raise ConfigError("Invalid save parameters")
        return tuple(points)

    def combine(self, earlier: tuple[SavePoint, ...], later: tuple[SavePoint, ...]) -> tuple[SavePoint, ...]:
        return earlier + later if later else ()

    def format(self, value: tuple[SavePoint, ...]) -> bytes:
        return b" ".join(b"%d %d" % point for point in value)

    def lines(
        self,
        name: bytes,
        value: tuple[SavePoint, ...],
        _default: tuple[SavePoint, ...],
        /,
    ) -> list[FileLine]:
        # Always written: one `save` line in a file switches the defaults off, and so must be exact.
        return [FileLine(b"%s %d %d" % (name, *point), True) for point in value] or [
            FileLine(name + b' ""', True)
        ]

    def describe(self) -> str:
        return 'pairs of seconds and changes, or ""'


class BufferLimit(NamedTuple):
    """A client is dropped above `hard_bytes`, or after `soft_seconds` above `soft_bytes`; 0 is no limit."""

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


class OutputBufferLimits(NamedTuple):
    """The limits of each class of clients."""

    normal: BufferLimit
    replica: BufferLimit
    pubsub: BufferLimit


class OutputBufferLimitsKind(Kind[OutputBufferLimits]):
    """Groups of class, hard limit, soft limit and soft seconds; classes that are not named keep theirs."""

    multi_arg = True

    def parse(self, words: Sequence[bytes], old: OutputBufferLimits, /) -> OutputBufferLimits:
        if len(words) % 4:
            raise ConfigError("Wrong number of arguments in buffer limit configuration.")
        limits = old._asdict()
        for at in range(0, len(words), 4):
            client_class = words[at].lower().decode("latin-1").replace("slave", "replica")
            if client_class not in limits:
                raise ConfigError("Invalid client class specified in buffer limit configuration.")
            hard, soft = parse_memory(words[at + 1]), parse_memory(words[at + 2])
            seconds = _loose_integer(words[at + 3])
            if hard is None or soft is None or seconds is None or seconds < 0:
                raise ConfigError(
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                )
            limits[client_class] = BufferLimit(hard, soft, seconds)
        return OutputBufferLimits(**limits)

    def format(self, value: OutputBufferLimits) -> bytes:
        # CONFIG GET still says slave, as monitoring tools expect.
        return b"normal %d %d %d slave %d %d %d pubsub %d %d %d" % (
            *value.normal,
            *value.replica,
            *value.pubsub,
        )

    def lines(self, name: bytes, value: OutputBufferLimits, default: OutputBufferLimits, /) -> list[FileLine]:
        return [
            FileLine(
                b"%s %s %s %s %d"
                % (name, client_class.encode(), format_memory(limit[0]), format_memory(limit[1]), limit[2]),
                limit != standard,
            )
            for client_class, limit, standard in zip(value._fields, value, default, strict=True)
        ]

    def describe(self) -> str:
        return "groups of class (normal, replica, pubsub), hard bytes, soft bytes, soft seconds"


# Classes of key-space events, by their letters (https://redis.io/docs/manual/keyspace-notifications/).
NOTIFY_KEYSPACE = 1 << 0
NOTIFY_KEYEVENT = 1 << 1
NOTIFY_GENERIC = 1 << 2
NOTIFY_STRING = 1 << 3
NOTIFY_LIST = 1 << 4
NOTIFY_SET = 1 << 5
NOTIFY_HASH = 1 << 6
NOTIFY_ZSET = 1 << 7
NOTIFY_EXPIRED = 1 << 8
NOTIFY_EVICTED = 1 << 9
NOTIFY_STREAM = 1 << 10
NOTIFY_KEY_MISS = 1 << 11
NOTIFY_MODULE = 1 << 13
NOTIFY_NEW = 1 << 14

EVENT_LETTERS = {
    b"g": NOTIFY_GENERIC,
    b"$": NOTIFY_STRING,
    b"l": NOTIFY_LIST,
    b"s": NOTIFY_SET,
    b"h": NOTIFY_HASH,
    b"z": NOTIFY_ZSET,
    b"x": NOTIFY_EXPIRED,
    b"e": NOTIFY_EVICTED,
    b"t": NOTIFY_STREAM,
    b"d": NOTIFY_MODULE,
}
NOTIFY_ALL = sum(EVENT_LETTERS.values())  # A: everything but key misses and new keys
_OTHER_LETTERS = {b"K": NOTIFY_KEYSPACE, b"E": NOTIFY_KEYEVENT, b"m": NOTIFY_KEY_MISS}


class KeyspaceEvents(Kind[int]):
    """Letters, held as a union of the NOTIFY_ bits."""

    def parse(self, words: Sequence[bytes], _old: int, /) -> int:
        bits = {b"A": NOTIFY_ALL, b"n": NOTIFY_NEW} | EVENT_LETTERS | _OTHER_LETTERS
        flags = 0
        for letter in words[0]:
            bit = bits.get(bytes((letter,)))
            if bit is None:
                raise ConfigError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
            flags |= bit
        return flags

    def format(self, value: int) -> bytes:
        # Redis leaves n out behind A, and so loses it in CONFIG REWRITE.
        letters = (
            [b"A"]
            if value & NOTIFY_ALL == NOTIFY_ALL
            else [c for c, bit in EVENT_LETTERS.items() if value & bit]
        )
        letters += [b"n"] if value & NOTIFY_NEW else []
        return b"".join(letters + [letter for letter, bit in _OTHER_LETTERS.items() if value & bit])

    def written(self, value: int) -> bytes:
        return quote(self.format(value))

    def describe(self) -> str:
        return "letters of Ag$lshzxeKEtmdn"


class OomScores(Kind[tuple[int, int, int]]):
    """Scores of a primary, a replica and a child process."""

    multi_arg = True

    def parse(self, words: Sequence[bytes], _old: tuple[int, int, int], /) -> tuple[int, int, int]:
        if len(words) != 3:
            raise ConfigError("wrong number of arguments")
        scores = [_loose_integer(word) for word in words]
        known = [score for score in scores if score is not None and -2000 <= score <= 2000]
        if len(known) != 3:
            raise ConfigError("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        return known[0], known[1], known[2]

    def format(self, value: tuple[int, int, int]) -> bytes:
        return b"%d %d %d" % value

    def describe(self) -> str:
        return "three integers, -2000 to 2000"


class Addresses(Kind[tuple[str, ...]]):
    """Addresses to listen on: one after a dash may be unavailable; `*` and `::*` are all of IPv4 and IPv6."""

    multi_arg = True
    MOST = 16

    def parse(self, words: Sequence[bytes], _old: tuple[str, ...], /) -> tuple[str, ...]:
        if len(words) > self.MOST:
            raise ConfigError("Too many bind addresses specified.")
        if list(words) == [b""]:
            return ()
        return tuple(os.fsdecode(word) for word in words)

    def format(self, value: tuple[str, ...]) -> bytes:
        return b" ".join(os.fsencode(address) for address in value)

    def written(self, value: tuple[str, ...]) -> bytes:
        return self.format(value) if value else b'""'

    def lines(self, name: bytes, value: tuple[str, ...], default: tuple[str, ...], /) -> list[FileLine]:
        return [] if value == default else super().lines(name, value, default)

    def describe(self) -> str:
        return "up to 16 addresses"


class Networks(Kind[tuple[Network, ...]]):
    """Networks in the notation 10.0.0.0/8 or fd00::/8; none is allowed."""

    multi_arg = True

    def parse(self, words: Sequence[bytes], _old: tuple[Network, ...], /) -> tuple[Network, ...]:
        if list(words) == [b""]:
            return ()
        try:
            return tuple(ip_network(os.fsdecode(word)) for word in words)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def format(self, value: tuple[Network, ...]) -> bytes:
        return b" ".join(str(network).encode() for network in value)

    def written(self, value: tuple[Network, ...]) -> bytes:
        return self.format(value) if value else b'""'

    def describe(self) -> str:
        return "networks, as 10.0.0.0/8"


class PrimaryAddress(Kind[tuple[str, int] | None]):
    """Host and port of the primary; None (`no one`) is no primary."""

    multi_arg = True

    def parse(
        self,
        words: Sequence[bytes],
        _old: tuple[str, int] | None,
        /,
    ) -> tuple[str, int] | None:
        if len(words) != 2:
            raise ConfigError("wrong number of arguments")
        if (words[0].lower(), words[1].lower()) == (b"no", b"one"):
            return None
        port = _loose_integer(words[1])
        if port is None or not 0 <= port <= 65535:
            raise ConfigError("Invalid master port")
        return os.fsdecode(words[0]), port

    def format(self, value: tuple[str, int] | None) -> bytes:
        return b"" if value is None else b"%s %d" % (os.fsencode(value[0]), value[1])

    def lines(
        self, name: bytes, value: tuple[str, int] | None, default: tuple[str, int] | None, /
    ) -> list[FileLine]:
        return [] if value is None else super().lines(name, value, default)

    def describe(self) -> str:
        return "host and port, or no one"


class Percentiles(Kind[tuple[float, ...]]):
    """Percentages between 0 and 100."""

    multi_arg = True

    def parse(self, words: Sequence[bytes], _old: tuple[float, ...], /) -> tuple[float, ...]:
        if list(words) == [b""]:
            return ()
        values: list[float] = []
        for word in words:
            if not re.fullmatch(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", word):
                raise ConfigError("Invalid latency-tracking-info-percentiles parameters")
            values.append(float(word))
        if not all(0.0 <= value <= 100.0 for value in values):
            raise ConfigError("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return tuple(values)

    def format(self, value: tuple[float, ...]) -> bytes:
        return " ".join(f"{percent:f}".rstrip("0").rstrip(".") for percent in value).encode()

    def written(self, value: tuple[float, ...]) -> bytes:
        return self.format(value) or b'""'

    def describe(self) -> str:
        return "percentages"


class ShutdownFlags(Kind[frozenset[str]]):
    """A set of save, nosave, now and force; empty (`default`) saves if there are save points."""

    multi_arg = True
    WORDS = ("save", "nosave", "now", "force")

    def parse(self, words: Sequence[bytes], _old: frozenset[str], /) -> frozenset[str]:
        flags = {word.lower().decode("latin-1") for word in words}
        if not flags or not flags <= {"default", *self.WORDS}:
            raise ConfigError(f"argument(s) must be one of the following: default, {', '.join(self.WORDS)}")
        if flags >= {"save", "nosave"}:
            raise ConfigError("shutdown options SAVE and NOSAVE can't be used simultaneously")
        return frozenset(flags - {"default"})

    def format(self, value: frozenset[str]) -> bytes:
        return " ".join(word for word in self.WORDS if word in value).encode() or b"default"

    def describe(self) -> str:
        return "default, or a set of save, nosave, now, force"


class Directory(Kind[str]):
    """An existing directory, held as an absolute path; a relative one is taken from the directory before."""

    def parse(self, words: Sequence[bytes], old: str, /) -> str:
        path = os.path.normpath(os.path.join(old or os.getcwd(), os.fsdecode(words[0])))
        try:
            os.stat(os.path.join(path, "."))  # needs what chdir needs: a directory that may be entered
        except (OSError, ValueError) as error:
            raise ConfigError(getattr(error, "strerror", None) or str(error)) from error
        return path

    def format(self, value: str) -> bytes:
        return os.fsencode(value)

    def written(self, value: str) -> bytes:
        return quote(os.fsencode(value))

    def describe(self) -> str:
        return "directory"
