"""The arithmetic of INCRBYFLOAT and HINCRBYFLOAT, which is C's 80-bit `long double`.

Python's floats have 53 bits of mantissa, those commands 64: 10.50 + 0.1 must be 10.6, and a digit more is a
visible difference. So a number here is a pair of integers, `mantissa * 2 ** exponent` with a mantissa below
2**64, and every operation is exact in integers, then rounded once, half to even, as the processor does.
`decimal` reads and prints the digits because Python's int refuses more than 4300 of them.

Source: the INCRBYFLOAT page; x87 extended precision; C's strtold and printf("%.17Lf").
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

_MANTISSA_BITS = 64
# The value of the lowest bit of the smallest denormal, and the first power of two that is too large.
_EXPONENT_MIN = -16445
_OVERFLOW_BITS = 16384
# Decimal exponents outside are certain to overflow or to vanish; those inside cost little to compute with.
_DECIMAL_EXPONENT_MAX = 4933
_DECIMAL_EXPONENT_MIN = -4952
_DECIMALS = 17
_TEXT_BYTES_MAX = 5 * 1024 - 1

_DECIMAL = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(
    rb"([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?[0-9]+))?"
)
_INFINITY = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)


class LongDouble(NamedTuple):
    """`mantissa * 2 ** exponent`; the mantissa carries the sign."""

    mantissa: int
    exponent: int


class NotFiniteError(ArithmeticError):
    """The sum would be infinite or NaN."""


def from_int(value: int) -> LongDouble:
    """A signed 64-bit integer, exactly."""
    return LongDouble(value, 0)


def parse(text: bytes) -> LongDouble:
    """The number nearest to `text`, which may be anything strtold takes but NaN or leading space.

    Raises ValueError for text that is no number, or one out of range. Infinity, spelled out, is a number, but
    one that `add` refuses.
    """
    if len(text) > _TEXT_BYTES_MAX:
        raise ValueError(f"a number of {len(text)} characters")
    if _DECIMAL.fullmatch(text):
        return _parse_decimal(text)
    if match := _HEXADECIMAL.fullmatch(text):
        return _parse_hexadecimal(*match.groups(default=b""))
    if _INFINITY.fullmatch(text):
        return LongDouble(-1 if text.startswith(b"-") else 1, _OVERFLOW_BITS)
    raise ValueError("not a number")


def is_finite(value: LongDouble) -> bool:
    """Whether the number is none of the infinities."""
    return value.mantissa.bit_length() + value.exponent <= _OVERFLOW_BITS


def _parse_decimal(text: bytes) -> LongDouble:
    mantissa, _, power = text.lower().partition(b"e")
    digits = Decimal(mantissa.decode())
    if not digits:
        return LongDouble(0, 0)
    # Read apart from the mantissa: Decimal itself gives up on exponents of more than 18 digits.
    shift = _bounded(power)
    if not _DECIMAL_EXPONENT_MIN <= digits.adjusted() + shift <= _DECIMAL_EXPONENT_MAX:
        raise ValueError("out of range")
    numerator, denominator = digits.as_integer_ratio()
    if shift >= 0:
        numerator *= 10**shift
    else:
        denominator *= 10**-shift
    return _parsed(_round_ratio(numerator, denominator))


def _parse_hexadecimal(sign: bytes, whole: bytes, part: bytes, only_part: bytes, power: bytes) -> LongDouble:
    fraction = part or only_part
    magnitude = int(whole + fraction, 16)
    if not magnitude:
        return LongDouble(0, 0)
    exponent = _bounded(power) - 4 * len(fraction)
    if magnitude.bit_length() + exponent > _OVERFLOW_BITS:
        raise ValueError("out of range")
    return _parsed(_round(-magnitude if sign == b"-" else magnitude, exponent))


def _bounded(power: bytes) -> int:
    """The exponent written as `power`, or one as hopeless: no mantissa is long enough to make up for it."""
    digits = power.lstrip(b"+-").lstrip(b"0")
    magnitude = int(digits or b"0") if len(digits) < 7 else 10**6
    return -magnitude if power[:1] == b"-" else magnitude


def _parsed(value: LongDouble) -> LongDouble:
    if not value.mantissa or not is_finite(value):
        raise ValueError("out of range")
    return value


def add(left: LongDouble, right: LongDouble) -> LongDouble:
    """The rounded sum. Raises NotFiniteError when it overflows or a part is infinite."""
    if not is_finite(left) or not is_finite(right):
        raise NotFiniteError
    exponent = min(left.exponent, right.exponent)
    total = (left.mantissa << (left.exponent - exponent)) + (right.mantissa << (right.exponent - exponent))
    value = _round(total, exponent)
    if not is_finite(value):
        raise NotFiniteError
    return value


def format_fixed(value: LongDouble) -> bytes:
    """The finite number with 17 decimals, half to even, less the zeros (and the point) it may end in."""
    scaled, exponent = abs(value.mantissa) * 10**_DECIMALS, value.exponent
    scaled = scaled << exponent if exponent >= 0 else _shift_half_even(scaled, -exponent)
    if not scaled:
        return b"0"
    # An integer Decimal prints all of its digits.
    digits = str(Decimal(scaled)).rjust(_DECIMALS + 1, "0")
    text = f"{digits[:-_DECIMALS]}.{digits[-_DECIMALS:]}".rstrip("0").rstrip(".")
    return (f"-{text}" if value.mantissa < 0 else text).encode()


def _round(mantissa: int, exponent: int) -> LongDouble:
    """The number with at most 64 bits of mantissa, fewer below the normal range."""
    excess = max(mantissa.bit_length() - _MANTISSA_BITS, _EXPONENT_MIN - exponent)
    if excess <= 0:
        return LongDouble(mantissa, exponent)
    magnitude = _shift_half_even(abs(mantissa), excess)
    return LongDouble(-magnitude if mantissa < 0 else magnitude, exponent + excess)


def _round_ratio(numerator: int, denominator: int) -> LongDouble:
    if denominator == 1:
        return _round(numerator, 0)
    # Two bits more than the mantissa has; what the division leaves over only matters as "more than nothing".
    shift = max(_MANTISSA_BITS + 2 - numerator.bit_length() + denominator.bit_length(), 0)
    quotient, left_over = divmod(abs(numerator) << shift, denominator)
    magnitude = quotient << 1 | bool(left_over)
    return _round(-magnitude if numerator < 0 else magnitude, -shift - 1)


def _shift_half_even(value: int, bits: int) -> int:
    """`value / 2**bits`, rounded to the nearest integer, to the even one of two."""
    quotient = value >> bits
    left_over = value - (quotient << bits)
    half = 1 << (bits - 1)
    return quotient + (left_over > half or (left_over == half and quotient & 1))
