"""One value to bytes and back, by type code; and the payloads of DUMP and RESTORE.

A reader is known for each type code that may be found in a file, one writer for each Python class that the
keyspace stores. What is written is of RDB version 10 (type codes up to 19), so that Redis 7.0 loads it; only
hashes whose fields have deadlines need a type code of Redis 7.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from node.rdb import collections, streams
from node.rdb.crc64 import crc64
from node.rdb.errors import DumpFooterError, RdbError, RdbUnsupportedError
from node.rdb.primitives import Reader, Writer
from node.values.limits import DEFAULT, Limits

# What the keyspace stores under a key: bytes, int or bytearray for a string, an object of a registered class
# for the rest.
Value: TypeAlias = object
ValueReader = Callable[[Reader], Value]
ValueWriter = Callable[[Any, Writer], int]

WRITTEN_VERSION = 10
DUMP_VERSION_MAX = 12

STRING = 0
TYPE_NAMES = {
    0: "string",
    1: "list",
    2: "set",
    3: "sorted set, decimal scores",
    4: "hash",
    5: "sorted set, binary scores",
    6: "module, pre-release",
    7: "module",
    9: "hash, zipmap",
    10: "list, ziplist",
    11: "set, intset",
    12: "sorted set, ziplist",
    13: "hash, ziplist",
    14: "list, quicklist",
    15: "stream, listpacks",
    16: "hash, listpack",
    17: "sorted set, listpack",
    18: "list, quicklist 2",
    19: "stream, listpacks 2",
    20: "set, listpack",
    21: "stream, listpacks 3",
    22: "hash with field expiry, pre-release",
    23: "hash with field expiry, listpack, pre-release",
    24: "hash with field expiry",
    25: "hash with field expiry, listpack",
}

FOOTER_BYTES = 10


def _write_bytes(value: bytes, out: Writer) -> int:
    out.write_string(value)
    return STRING


def _write_int(value: int, out: Writer) -> int:
    out.write_integer(value)
    return STRING


def _write_bytearray(value: bytearray, out: Writer) -> int:
    out.write_string(bytes(value))
    return STRING


VALUE_READERS: dict[int, ValueReader] = {STRING: Reader.read_scalar, **collections.READERS, **streams.READERS}
_WRITERS: dict[type, ValueWriter] = {
    bytes: _write_bytes,
    int: _write_int,
    bytearray: _write_bytearray,
    **collections.WRITERS,
    **streams.WRITERS,
}


def register_reader(type_code: int, reader: ValueReader) -> None:
    """Values of `type_code` are read by `reader(source) -> value`; bytes it rejects are an RdbError."""
    assert type_code in TYPE_NAMES, type_code
    assert type_code not in VALUE_READERS, type_code
    VALUE_READERS[type_code] = reader


def register_writer(kind: type, writer: ValueWriter) -> None:
    """Values of exactly the class `kind` are written by `writer(value, out) -> type code`."""
    assert kind not in _WRITERS, kind
    _WRITERS[kind] = writer


def write_value(value: Value, out: Writer) -> int:
    """Append the body of `value` to `out`; its type code, which belongs before the key, is returned."""
    return _WRITERS[type(value)](value, out)


def read_value(
    type_code: int, reader: Reader, value_readers: Mapping[int, ValueReader] = VALUE_READERS
) -> Value:
    """The value of `type_code` whose body begins where `reader` stands.

    Raises RdbUnsupportedError for a type without a reader, RdbError for a type that RDB does not have or a
    bad body.
    """
    value_reader = value_readers.get(type_code)
    if value_reader is None:
        name = TYPE_NAMES.get(type_code)
        if name is None:
            raise reader.error(f"unknown type {type_code}")
        raise RdbUnsupportedError(reader.offset, type_code, name)
    return value_reader(reader)


def dump_payload(value: Value, *, compress: bool = True) -> bytes:
    """What DUMP replies: type code, body, RDB version (2 bytes) and CRC-64 (8 bytes), both little-endian."""
    writer = Writer(compress=compress)
    out = writer.out
    out.append(0)
    out[0] = write_value(value, writer)
    out += WRITTEN_VERSION.to_bytes(2, "little")
    out += crc64(out).to_bytes(8, "little")
    return bytes(out)


def load_payload(payload: bytes, limits: Limits = DEFAULT) -> Value:
    """The value of a DUMP payload of RDB version 12 or older, collections stored as `limits` say.

    Raises DumpFooterError where RESTORE says that the payload's version or checksum is wrong, and any other
    RdbError where it says that the data has a bad format.
    """
    body_end = len(payload) - FOOTER_BYTES
    if body_end < 0:
        raise DumpFooterError(0, f"a DUMP payload of {len(payload)} bytes has no footer")
    version = int.from_bytes(payload[body_end : body_end + 2], "little")
    if version > DUMP_VERSION_MAX:
        raise DumpFooterError(body_end, f"DUMP payload of version {version}")
    if crc64(memoryview(payload)[:-8]) != int.from_bytes(payload[-8:], "little"):
        raise DumpFooterError(body_end + 2, "the checksum of the DUMP payload is wrong")
    reader = Reader(payload[:body_end], limits=limits)
    value = read_value(reader.read_byte(), reader)
    if reader.pos != body_end:
        raise RdbError(reader.pos, f"{body_end - reader.pos} bytes follow the value")
    return value
