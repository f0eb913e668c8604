"""Lists, sets, hashes and sorted sets, to bytes and back.

`READERS` has a reader for each type code that Redis ever wrote for these types, `WRITERS` a writer for each
class. Written are type codes that Redis 7.0 loads; only a hash whose fields have deadlines needs one of 7.4.
Whatever a body holds, a reader returns a value or raises RdbError; RdbEmptyError for one without elements.

Source: rdb.c of Redis 7.4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from node.rdb import listpack, ziplist
from node.rdb.errors import RdbEmptyError, RdbError
from node.rdb.primitives import Reader, Writer
from node.resp.encode import format_double
from node.values.hashes import Hash
from node.values.intset import IntArray
from node.values.lists import List
from node.values.ranking import Entry
from node.values.sets import Set
from node.values.zsets import Zset

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
_SCORE_SPECIAL = {253: float("nan"), 254: float("inf"), 255: float("-inf")}
_SCORE_BYTES_MAX = 128
_DOUBLE = struct.Struct("<d")

T = TypeVar("T")

# --- parts of bodies
# ------------------------------------------------------------------------------


def _blob(reader: Reader, decode: Callable[[bytes], T]) -> T:
    """What `decode` makes of a string; its errors get their place in the stream."""
    start = reader.offset
    data = reader.read_string()
    try:
        return decode(data)
    except RdbError as error:
        raise RdbError(start + error.offset, error.text) from None


def _count(reader: Reader) -> int:
    count = reader.read_length()
    if not count:
        raise RdbEmptyError(reader.offset, "a value without elements")
    return count


def _unique(reader: Reader, items: list[T], count: int) -> list[T]:
    if len(set(items)) != count:
        raise reader.error("an element twice")
    return items


def _pairs(reader: Reader, words: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    if not words:
        raise RdbEmptyError(reader.offset, "a value without elements")
    if len(words) & 1:
        raise reader.error("half a pair")
    return zip(words[::2], words[1::2], strict=True)


def _score(reader: Reader, text: bytes) -> float:
    try:
        if len(text) > _SCORE_BYTES_MAX or b"_" in text:
            raise ValueError
        score = float(text)
    except ValueError:
        raise reader.error("a score that is no number") from None
    if score != score:
        raise reader.error("a score that is no number")
    return score


def checked_deadline(reader: Reader, deadline_ms: int) -> int:
    """The deadline of a field."""
    if not 0 <= deadline_ms <= _DEADLINE_MAX_MS:
        raise reader.error(f"a field that expires at {deadline_ms}")
    return deadline_ms


# --- lists
# ------------------------------------------------------------------------------


def _read_list(reader: Reader) -> List:
    return List.from_items([reader.read_string() for _ in range(_count(reader))], reader.limits)


def _list(reader: Reader, items: list[bytes]) -> List:
    if not items:
        raise RdbEmptyError(reader.offset, "a list without elements")
    return List.from_items(items, reader.limits)


def _read_list_ziplist(reader: Reader) -> List:
    return _list(reader, _blob(reader, ziplist.decode_ziplist))


def _read_quicklist(reader: Reader) -> List:
    items: list[bytes] = []
    for _ in range(reader.read_length()):
        items += _blob(reader, ziplist.decode_ziplist)
    return _list(reader, items)


def _read_quicklist_2(reader: Reader) -> List:
    items: list[bytes] = []
    for _ in range(reader.read_length()):
        items += read_node(reader)
    return _list(reader, items)


def read_node(reader: Reader) -> list[bytes]:
    """The elements of the next node of a list."""
    container = reader.read_length()
    if container == _NODE_PACKED:
        return _blob(reader, listpack.decode)
    if container == _NODE_PLAIN:
        return [reader.read_string()]
    raise reader.error(f"a list's node of kind {container}")


def _write_list(value: List, out: Writer) -> int:
    whole = list(nodes(value))
    out.write_length(len(whole))
    for node in whole:
        write_node(node, out)
    return LIST_QUICKLIST_2


def write_node(node: list[bytes], out: Writer) -> None:
    plain = len(node) == 1 and len(node[0]) > _NODE_BYTES_MAX
    out.write_length(_NODE_PLAIN if plain else _NODE_PACKED)
    out.write_string(node[0] if plain else listpack.encode(node))


def nodes(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Runs of elements, of about 8 KB where none is longer."""
    node: list[bytes] = []
    node_bytes = 0
    for item in items:
        item_bytes = len(item) + 2
        if node and node_bytes + item_bytes > _NODE_BYTES_MAX:
            yield node
            node, node_bytes = [], 0
        node.append(item)
        node_bytes += item_bytes
    if node:
        yield node


# --- sets
# ------------------------------------------------------------------------------


def _read_set(reader: Reader) -> Set:
    count = _count(reader)
    members = [reader.read_string() for _ in range(count)]
    return Set.from_members(_unique(reader, members, count), reader.limits)


def _read_set_intset(reader: Reader) -> Set:
    ints: IntArray = _blob(reader, ziplist.decode_intset)
    if not ints:
        raise RdbEmptyError(reader.offset, "a set without members")
    return Set.from_ints(ints, reader.limits)


def _read_set_listpack(reader: Reader) -> Set:
    members = _blob(reader, listpack.decode)
    if not members:
        raise RdbEmptyError(reader.offset, "a set without members")
    return Set.from_members(_unique(reader, members, len(members)), reader.limits)


def _write_set(value: Set, out: Writer) -> int:
    if value.ints is not None:
        out.write_string(ziplist.encode_intset(value.ints))
        return SET_INTSET
    out.write_length(len(value))
    for member in value:
        out.write_string(member)
    return SET


# --- hashes
# ------------------------------------------------------------------------------


def _read_hash(reader: Reader) -> Hash:
    count = _count(reader)
    pairs = [(reader.read_string(), reader.read_string()) for _ in range(count)]
    return _hash(reader, pairs)


def _hash(reader: Reader, pairs: Iterable[tuple[bytes, bytes]]) -> Hash:
    pairs = list(pairs)
    value = Hash.from_pairs(pairs, reader.limits)
    if len(value) != len(pairs):
        raise reader.error("a field twice")
    return value


def _read_hash_of(decode: Callable[[bytes], list[bytes]]) -> Callable[[Reader], Hash]:
    return lambda reader: _hash(reader, _pairs(reader, _blob(reader, decode)))


def _read_hash_metadata(reader: Reader) -> Hash:
    """Deadlines count from one less than the earliest; 0 is none."""
    return _read_hash_with_deadlines(reader, reader.read_int(8) - 1)


def _read_hash_metadata_pre_release(reader: Reader) -> Hash:
    return _read_hash_with_deadlines(reader, 0)


def _read_hash_with_deadlines(reader: Reader, base_ms: int) -> Hash:
    triplets = []
    for _ in range(_count(reader)):
        after_ms = reader.read_length()
        deadline_ms = checked_deadline(reader, base_ms + after_ms) if after_ms else 0
        triplets.append((reader.read_string(), reader.read_string(), deadline_ms))
    return _expiring_hash(reader, triplets)


def _read_hash_listpack_ex(reader: Reader) -> Hash:
    reader.read_int(8)  # the earliest deadline, which the fields have too
    return _read_hash_listpack_ex_pre_release(reader)


def _read_hash_listpack_ex_pre_release(reader: Reader) -> Hash:
    words = _blob(reader, listpack.decode)
    if not words:
        raise RdbEmptyError(reader.offset, "a hash without fields")
    if len(words) % 3 or not all(word.isdigit() for word in words[2::3]):
        raise reader.error("a hash whose deadlines are no integers")
    deadlines = [checked_deadline(reader, int(word)) for word in words[2::3] if len(word) < 20]
    if len(deadlines) * 3 != len(words):
        raise reader.error("a hash whose deadlines are too far away")
    return _expiring_hash(reader, list(zip(words[::3], words[1::3], deadlines, strict=True)))


def _expiring_hash(reader: Reader, triplets: list[tuple[bytes, bytes, int]]) -> Hash:
    value = _hash(reader, [(field, text) for field, text, _ in triplets])
    for field, _, deadline_ms in triplets:
        if deadline_ms:
            value.set_deadline(field, deadline_ms)
    return value


def _write_hash(value: Hash, out: Writer) -> int:
    if value.has_deadlines:
        return _write_expiring_hash(value, out)
    if value.encoding() == b"listpack":
        out.write_string(listpack.encode(value.flat()))
        return HASH_LISTPACK
    out.write_length(len(value))
    for field, text in value.pairs():
        out.write_string(field)
        out.write_string(text)
    return HASH


def _write_expiring_hash(value: Hash, out: Writer) -> int:
    earliest_ms = value.next_deadline()
    assert earliest_ms is not None
    out.out += earliest_ms.to_bytes(8, "little")
    triplets = [(value.deadline(field) or 0, field, text) for field, text in value.pairs()]
    if value.encoding() == b"listpackex":
        # Redis looks for what is due from the front on.
        triplets.sort(key=lambda triplet: triplet[0] or _DEADLINE_MAX_MS)
        words = [word for at, field, text in triplets for word in (field, text, b"%d" % at)]
        out.write_string(listpack.encode(words))
        return HASH_LISTPACK_EX
    out.write_length(len(triplets))
    for deadline_ms, field, text in triplets:
        out.write_length(deadline_ms - earliest_ms + 1 if deadline_ms else 0)
        out.write_string(field)
        out.write_string(text)
    return HASH_METADATA


# --- sorted sets
# ------------------------------------------------------------------------------


def _read_ascii_score(reader: Reader) -> float:
    size = reader.read_byte()
    special = _SCORE_SPECIAL.get(size)
    return _score(reader, reader.read_bytes(size)) if special is None else special


def _read_binary_score(reader: Reader) -> float:
    score: float = _DOUBLE.unpack(reader.read_bytes(8))[0]
    return score


def _read_zset_with(read_score: Callable[[Reader], float]) -> Callable[[Reader], Zset]:
    def read(reader: Reader) -> Zset:
        entries: list[Entry] = []
        for _ in range(_count(reader)):
            member = reader.read_string()
            entries.append((read_score(reader), member))
        return _zset(reader, entries)

    return read


def _read_zset_of(decode: Callable[[bytes], list[bytes]]) -> Callable[[Reader], Zset]:
    def read(reader: Reader) -> Zset:
        pairs = _pairs(reader, _blob(reader, decode))
        return _zset(reader, [(_score(reader, text), member) for member, text in pairs])

    return read


def _zset(reader: Reader, entries: list[Entry]) -> Zset:
    if any(score != score for score, _ in entries):
        raise reader.error("a score that is no number")
    value = Zset.from_entries(entries, reader.limits)
    if len(value) != len(entries):
        raise reader.error("a member twice")
    return value


def _write_zset(value: Zset, out: Writer) -> int:
    entries = value.entries()
    if value.encoding() == b"listpack":
        out.write_string(
            listpack.encode([word for score, member in entries for word in (member, format_double(score))])
        )
        return ZSET_LISTPACK
    out.write_length(len(entries))
    # The greatest first: Redis inserts fastest before all others.
    for score, member in reversed(entries):
        out.write_string(member)
        out.out += _DOUBLE.pack(score)
    return ZSET_2


READERS: dict[int, Callable[[Reader], object]] = {
    LIST: _read_list,
    SET: _read_set,
    ZSET: _read_zset_with(_read_ascii_score),
    HASH: _read_hash,
    ZSET_2: _read_zset_with(_read_binary_score),
    HASH_ZIPMAP: _read_hash_of(ziplist.decode_zipmap),
    LIST_ZIPLIST: _read_list_ziplist,
    SET_INTSET: _read_set_intset,
    ZSET_ZIPLIST: _read_zset_of(ziplist.decode_ziplist),
    HASH_ZIPLIST: _read_hash_of(ziplist.decode_ziplist),
    LIST_QUICKLIST: _read_quicklist,
    HASH_LISTPACK: _read_hash_of(listpack.decode),
    ZSET_LISTPACK: _read_zset_of(listpack.decode),
    LIST_QUICKLIST_2: _read_quicklist_2,
    SET_LISTPACK: _read_set_listpack,
    HASH_METADATA_PRE_RELEASE: _read_hash_metadata_pre_release,
    HASH_LISTPACK_EX_PRE_RELEASE: _read_hash_listpack_ex_pre_release,
    HASH_METADATA: _read_hash_metadata,
    HASH_LISTPACK_EX: _read_hash_listpack_ex,
}

WRITERS: dict[type, Callable[[Any, Writer], int]] = {
    List: _write_list,
    Set: _write_set,
    Hash: _write_hash,
    Zset: _write_zset,
}
