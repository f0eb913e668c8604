"""Arguments of commands → numbers and options, with Redis's errors."""

from __future__ import annotations

from node.errors import CommandError
from node.integers import parse_integer

NOT_INTEGER = b"ERR value is not an integer or out of range"
NOT_FLOAT = b"ERR value is not a valid float"
SYNTAX = b"ERR syntax error"
WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
NO_SUCH_KEY = b"ERR no such key"


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


def finite_float(text: bytes, error: bytes = NOT_FLOAT) -> float:
    """A floating-point argument, infinities included, NaN refused. Raises CommandError(error)."""
    try:
        if not text or text[0] in b" \t\n\r\v\f" or text[-1] in b" \t\n\r\v\f" or b"_" in text:
            raise ValueError
        value = float(text)
    except ValueError:
        raise CommandError(error) from None
    if value != value:
        raise CommandError(error)
    return value


def syntax_error() -> CommandError:
    return CommandError(SYNTAX)
