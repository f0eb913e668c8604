"""Arguments of commands → numbers and options, with Redis's errors."""

from __future__ import annotations

import math
import re

from node.errors import CommandError
from node.integers import parse_integer

NOT_INTEGER = b"ERR value is not an integer or out of range"
NOT_FLOAT = b"ERR value is not a valid float"
SYNTAX = b"ERR syntax error"
WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
NO_SUCH_KEY = b"ERR no such key"

_DECIMAL = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(rb"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?")
_INFINITY = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)
_UNDERSCORE = ord("_")
_NOT_ZERO = re.compile(rb"[+-]?(?:0[xX])?[0.]*[1-9a-dfA-DF]")


def integer(text: bytes, error: bytes = NOT_INTEGER) -> int:
    """A 64-bit integer argument. Raises CommandError(error)."""
    value = parse_integer(text)
    if value is None:
        raise CommandError(error)
    return value


def int32(text: bytes, error: bytes | None = None) -> int:
    """An integer of 32 bits. Raises CommandError, with `error` in either case when it is given."""
    value = integer(text, error or NOT_INTEGER)
    if not -(1 << 31) <= value < 1 << 31:
        raise CommandError(
            error or b"ERR value is out of range, value must between -2147483648 and 2147483647"
        )
    return value


def bounded(text: bytes, low: int, high: int, error: bytes) -> int:
    """An integer between `low` and `high`. Raises CommandError: `error` when out of bounds."""
    value = integer(text)
    if not low <= value <= high:
        raise CommandError(error)
    return value


def within(text: bytes, low: int, high: int, error: bytes) -> int:
    """An integer between `low` and `high`. Raises CommandError(error), also for what is no integer."""
    value = integer(text, error)
    if not low <= value <= high:
        raise CommandError(error)
    return value


def finite_float(text: bytes, error: bytes = NOT_FLOAT) -> float:
    """A floating-point argument as C's strtod takes it, infinities included when they are spelled out; NaN,
    space around it and what is out of range are refused. Raises CommandError(error).
    """
    try:
        value = float(text)
        # Only a plain number ends here; what Python takes and C does not is looked at below.
        is_plain = text[0] > 32 and text[-1] > 32 and _UNDERSCORE not in text
        if is_plain and value - value == 0 and (value or text == b"0"):
            return value
    except ValueError:
        pass
    number = c_float(text)
    if number is None or (math.isinf(number) and not _INFINITY.fullmatch(text)):
        raise CommandError(error)
    if not number and _NOT_ZERO.match(text):
        raise CommandError(error)
    return number


def c_float(text: bytes) -> float | None:
    """The number that is all of `text`, decimal, hexadecimal or infinity; None when it is none.

    One out of range is infinite, or zero.
    """
    if _DECIMAL.fullmatch(text) or _INFINITY.fullmatch(text):
        return float(text)
    if not _HEXADECIMAL.fullmatch(text):
        return None
    try:
        return float.fromhex(text.decode())
    except OverflowError:
        return -math.inf if text[:1] == b"-" else math.inf


def syntax_error() -> CommandError:
    return CommandError(SYNTAX)
