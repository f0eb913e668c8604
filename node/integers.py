"""The one rule for which byte strings are integers, and the bounds of an integer here."""

from __future__ import annotations

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

_LONGEST = len(b"-9223372036854775808")


def parse_integer(data: bytes) -> int | None:
    """The signed 64-bit integer whose canonical decimal form `data` is, or None when it is none.

    Canonical: an optional `-`, then digits with no leading zero; no `+`, no spaces, no `-0`.
    """
    if data.isdigit():
        if (data[0] == 48 and len(data) > 1) or len(data) > _LONGEST:
            return None
        value = int(data)
        return value if value <= INT64_MAX else None
    if data[:1] != b"-" or len(data) > _LONGEST:
        return None
    digits = data[1:]
    if not digits.isdigit() or digits[0] == 48:
        return None
    value = int(data)
    return value if value >= INT64_MIN else None
