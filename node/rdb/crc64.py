"""The CRC-64 that ends RDB files and DUMP payloads.

The polynomial is Jones' (0xad93d23594c935a9), bits reflected, starting from 0 and with no final inversion, so
that the checksum of `a + b` is `crc64(b, crc64(a))` and a stream is summed as it passes.
"""

from __future__ import annotations

from collections.abc import Callable

import crcmod
from crcmod.crcmod import _usingExtension

_POLYNOMIAL = 0x1AD93D23594C935A9

_sum: Callable[[bytes | bytearray | memoryview, int], int] = crcmod.mkCrcFun(
    _POLYNOMIAL, initCrc=0, rev=True, xorOut=0
)


def crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """The checksum of `data`, or of what `crc` sums up followed by `data`; an unsigned 64-bit integer."""
    return _sum(data, crc)


def has_c_extension() -> bool:
    """Whether crcmod runs its C part; without it checksums are hundreds of times slower."""
    return bool(_usingExtension)
