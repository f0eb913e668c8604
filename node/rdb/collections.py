"""Lists, sets, hashes and sorted sets, to bytes and back.

`READERS` has a reader for each type code that Redis ever wrote for these types, `WRITERS` a writer for each
class. Written are type codes that Redis 7.0 loads; only a hash whose fields have deadlines needs one of 7.4.
Whatever a body holds, a reader returns a value or raises RdbError, RdbEmptyError for one without elements.

Source: rdb.c of Redis 7.4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from node.rdb import listpack, ziplist
from node.rdb.errors import RdbEmptyError, RdbError
from node.rdb.primitives import Reader, Writer
from node.resp.encode import format_double
from node.values.hashes import Hash
from node.values.lists import List
from node.values.sets import Set
from node.values.zsets import Entry, Zset

LIST = 1
SET = 2
ZSET = 3
HASH = 4
ZSET_2 = 5
HASH_ZIPMAP = 9
LIST_ZIPLIST = 10
SET_INTSET = 11
ZSET_ZIPLIST = 12
HASH_ZIPLIST = 13
LIST_QUICKLIST = 14
HASH_LISTPACK = 16
ZSET_LISTPACK = 17
LIST_QUICKLIST_2 = 18
SET_LISTPACK = 20
HASH_METADATA_PRE_RELEASE = 22
HASH_LISTPACK_EX_PRE_RELEASE = 23
HASH_METADATA = 24
HASH_LISTPACK_EX = 25

_NODE_PLAIN = 1
_NODE_PACKED = 2
_NODE_BYTES_MAX = 8192
_DEADLINE_MAX_MS = (1 << 48) - 2
_ASCII_SCORE_INFINITY = {253: float("nan"), 254: float("inf"), 255: float("-inf")}
_DOUBLE = struct.Struct("<d")


def _decoded[T](reader: Reader, decode: Callable[[bytes], T]) -> T:
    ...
