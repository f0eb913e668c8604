"""The checksum of RDB."""

from __future__ import annotations

from importlib.util import find_spec

from node.rdb.crc64 import crc64, has_c_extension


def test_check_value() -> None:
    """The published check value of CRC-64/Jones as Redis uses it."""
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA
    assert crc64(b"") == 0


def test_continues_over_pieces() -> None:
    assert crc64(memoryview(b"6789"), crc64(bytearray(b"12345"))) == crc64(b"123456789")


def test_c_extension_is_reported() -> None:
    """Where the wheel was built without a compiler crcmod works all the same, but slowly."""
    assert has_c_extension() == (find_spec("crcmod._crcfunext") is not None)
