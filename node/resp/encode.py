"""Values → bytes of RESP. A reply is built as bytes by whoever knows its type; nothing guesses types from
values.

What both protocol versions write alike are functions; where they differ (null, map, set, double, push, …) the
connection's `Encoder` knows: `RESP2` or `RESP3`, chosen by HELLO.

Source: the RESP specification.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
QUEUED = b"+QUEUED\r\n"
ZERO = b":0\r\n"
ONE = b":1\r\n"
EMPTY_BULK = b"$0\r\n\r\n"
EMPTY_ARRAY = b"*0\r\n"
CRLF = b"\r\n"

_SMALL = 1024
_BULK_HEADS = [b"$%d\r\n" % n for n in range(_SMALL)]
_INTEGERS = [b":%d\r\n" % n for n in range(_SMALL)]
_MANY = 5


class _InnerHeads(dict[int, bytes]):
    """Heads of bulk strings behind others, which they end."""

    def __missing__(self, size: int) -> bytes:
        return b"\r\n$%d\r\n" % size


_INNER_HEADS = _InnerHeads({n: b"\r\n$%d\r\n" % n for n in range(_SMALL)})


def bulk(value: bytes) -> bytes:
    size = len(value)
    if size < _SMALL:
        return _BULK_HEADS[size] + value + b"\r\n"
    return b"$%d\r\n%b\r\n" % (size, value)


def integer(value: int) -> bytes:
    if 0 <= value < _SMALL:
        return _INTEGERS[value]
    return b":%d\r\n" % value


def simple(text: bytes) -> bytes:
    return b"+" + text + b"\r\n"


def error(text: bytes) -> bytes:
    """`text` begins with its code; a line break inside would end the reply early and is made a space."""
    return b"-" + text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"


def array(items: Sequence[bytes]) -> bytes:
    """An array of encoded items."""
    return b"*%d\r\n" % len(items) + b"".join(items)


def bulks(values: Iterable[bytes]) -> bytes:
    """An array of bulk strings."""
    values = list(values)
    return b"*%d\r\n%b" % (len(values), _strings(values))


def _strings(values: list[bytes]) -> bytes:
    """Bulk strings in a row; many are written by one join, which takes half the time or less."""
    if len(values) < _MANY:
        return b"".join([bulk(value) for value in values])
    sizes = list(map(len, values))
    if sizes.count(sizes[0]) == len(sizes):
        head = _INNER_HEADS[sizes[0]]
        return b"%b%b\r\n" % (head[2:], head.join(values))
    parts = values * 2
    parts[::2] = map(_INNER_HEADS.__getitem__, sizes)
    parts[1::2] = values
    parts[0] = parts[0][2:]
    parts.append(CRLF)
    return b"".join(parts)


def command(args: Sequence[bytes]) -> bytes:
    """A request as it travels to replicas and into the AOF."""
    parts = [b"*%d\r\n" % len(args)]
    for argument in args:
        parts.append(b"$%d\r\n" % len(argument))
        parts.append(argument)
        parts.append(b"\r\n")
    return b"".join(parts)


_EXACT_INTEGER_MAX = float(1 << 62)
_PLAIN_DECIMALS = 6


def format_double(value: float) -> bytes:
    """A double in the shortest form that reads back the same, laid out as Redis 7.2 prints scores: `3`,
    `0.1`, `0.00001`, `1e-7`, `1.2345678901234e+5`, `1e+100`, `inf`, `-0`.
    """
    if -_EXACT_INTEGER_MAX <= value <= _EXACT_INTEGER_MAX:
        whole = int(value)
        if whole == value:
            return b"%d" % whole if whole or math.copysign(1, value) > 0 else b"-0"
    elif value != value:
        return b"nan"
    elif value in (math.inf, -math.inf):
        return b"inf" if value > 0 else b"-inf"
    text = repr(value)
    if "e" not in text and len(text) - text.index(".") - 1 <= _PLAIN_DECIMALS:
        return text.encode()
    return _lay_out(text).encode()


def _lay_out(text: str) -> str:
    """Python's `text` of a double with the point or the exponent where fpconv puts it: all digits where at
    most six stand behind the point, or the exponent is below 4, else one digit before the point.
    """
    sign = "-" if text[0] == "-" else ""
    mantissa, _, power = text.removeprefix("-").partition("e")
    whole, _, part = mantissa.partition(".")
    part = part if part != "0" else ""
    shift = int(power or 0) - len(part)
    digits = (whole + part).lstrip("0")
    exponent = shift + len(digits) - 1
    if shift >= 0 and abs(exponent) < len(digits) + 7:
        return sign + digits + "0" * shift
    if shift < 0 and (-shift <= _PLAIN_DECIMALS or abs(exponent) < 4):
        digits = digits.rjust(1 - shift, "0")
        return f"{sign}{digits[:shift]}.{digits[shift:]}"
    point = "." if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{point}{digits[1:]}e{exponent:+d}"


class Encoder:
    """What RESP2 writes; RESP3 overrides it."""

    version = 2
    null = b"$-1\r\n"
    null_array = b"*-1\r\n"
    true = ONE
    false = ZERO

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Pairs of encoded keys and values."""
        return b"*%d\r\n" % (2 * len(pairs)) + b"".join([part for pair in pairs for part in pair])

    def set(self, items: Sequence[bytes]) -> bytes:
        return array(items)

    def set_of_bulks(self, values: list[bytes]) -> bytes:
        """A set of bulk strings."""
        return bulks(values)

    def map_of_bulks(self, values: list[bytes]) -> bytes:
        """A map of bulk strings: key, value, key, value, …"""
        return bulks(values)

    def push(self, items: Sequence[bytes]) -> bytes:
        return array(items)

    def double(self, value: float) -> bytes:
        return bulk(format_double(value))

    def verbatim(self, text: bytes) -> bytes:
        """Plain text for people."""
        return bulk(text)

    def optional(self, value: bytes | None) -> bytes:
        """A bulk string, or null."""
        return self.null if value is None else bulk(value)


class Encoder3(Encoder):
    """What RESP3 writes in its own way."""

    version = 3
    null = b"_\r\n"
    null_array = b"_\r\n"
    true = b"#t\r\n"
    false = b"#f\r\n"

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        return b"%%%d\r\n" % len(pairs) + b"".join([part for pair in pairs for part in pair])

    def set(self, items: Sequence[bytes]) -> bytes:
        return b"~%d\r\n" % len(items) + b"".join(items)

    def set_of_bulks(self, values: list[bytes]) -> bytes:
        return b"~%d\r\n%b" % (len(values), _strings(values))

    def map_of_bulks(self, values: list[bytes]) -> bytes:
        return b"%%%d\r\n%b" % (len(values) // 2, _strings(values))

    def push(self, items: Sequence[bytes]) -> bytes:
        return b">%d\r\n" % len(items) + b"".join(items)

    def double(self, value: float) -> bytes:
        return b"," + format_double(value) + b"\r\n"

    def verbatim(self, text: bytes) -> bytes:
        return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text)


RESP2 = Encoder()
RESP3 = Encoder3()
