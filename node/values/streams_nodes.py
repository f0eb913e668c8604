"""A macro node: some hundred entries of a stream, next to each other and compact.

Ids are in an array, 8 bytes each, relative to the node's base (the id of the first entry it ever had); only
where those do not do, in a list. The entries of the node at a stream's end, which is *open*, are a list of
packed byte strings. When the next node is begun it is *sealed*: its entries become one byte string. Entries
removed at the front are only counted (`_first`); removing one elsewhere rebuilds the node.

A packed entry is its values, escaped as in `packed.py`, with DIVIDER between them. The fields are those of
the node, which are the fields of its first entry; an entry with others has the mark OWN before it, then
fields and values by turns.

What a node may hold is limited in terms of the listpack that Redis makes of it, in which removed entries
still count; so that trimming to whole nodes leaves what Redis leaves, the size of that listpack is kept up to
date.

Source: t_stream.c of Redis 7.2, the comments in streamAppendItem.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from node.values.limits import Limits
from node.values.packed import (
    DIVIDER,
    LISTPACK_BYTES,
    SEPARATOR,
    escape,
    listpack_entry_bytes,
    listpack_integer_bytes,
    unescape,
)
from node.values.streams_ids import SEQ_MAX, StreamId

ENTRY_BYTES_MAX = 1 << 30
"""So long may the fields and values of an entry be in all."""

_OWN = b"\xfd\x03"
_ESCAPE = 0xFD
_KEY_SEQ_BITS = 24
_KEY_SEQ_MAX = (1 << _KEY_SEQ_BITS) - 1
_KEY_MS_MAX = (1 << 64 - _KEY_SEQ_BITS) - 1
_NAUGHT, _NINE = b"09"
_OBJECT_BYTES = 120


class StreamEntry(NamedTuple):
    """An entry: its id, and field, value, field, value, …"""

    id: StreamId
    items: list[bytes]


class Row(NamedTuple):
    """An entry as it is stored: `fields` is None when they are those of the node."""

    id: StreamId
    fields: list[bytes] | None
    values: list[bytes]


class Node:
    """Entries in the order of their ids. `base` is at or below all ids, `last` the highest there ever was.

    `total` is how many entries were ever added, `live` how many of them are left.
    """

    __slots__ = (
        "_base_ms", "_base_seq", "_body_bytes", "_entries", "_first", "_ids",
        "base", "fields", "last", "total",
    )  # fmt: skip

    def __init__(self, base: StreamId, fields: list[bytes]) -> None:
        """An empty node."""
        self.base = base
        self._base_ms, self._base_seq = base >> 64, base & SEQ_MAX
        self.fields = fields
        self.last = base
        self.total = 0
        self._first = 0
        self._ids: list[StreamId] | array[int] = array("Q")
        self._entries: list[bytes] | bytes = []
        # The count of fields, the fields, and the 0 that ends them.
        self._body_bytes = LISTPACK_BYTES + listpack_integer_bytes(len(fields)) + _texts_bytes(fields) + 2

    # Asking

    @property
    def live(self) -> int:
        return len(self._ids) - self._first

    @property
    def first(self) -> int:
        """The position of the first entry."""
        return self._first

    @property
    def end(self) -> int:
        """The position behind the last entry."""
        return len(self._ids)

    def listpack_bytes(self) -> int:
        """What Redis needs for the same entries, removed ones included."""
        live = len(self._ids) - self._first
        if self.total < 128:
            return self._body_bytes + 4
        return self._body_bytes + listpack_integer_bytes(live) + listpack_integer_bytes(self.total - live)

    def has_room(self, text_bytes: int, limits: Limits) -> bool:
        """Whether an entry whose fields and values have so many bytes in all may be added here."""
        total = self.total
        if total >= limits.stream_node_entries:
            return False
        size = self._body_bytes + 4 if total < 128 else self.listpack_bytes()
        return size + text_bytes < limits.stream_node_bytes

    def position(self, id: StreamId) -> int:
        """Where the first entry with an id not below `id` is; `end` when there is none."""
        ids = self._ids
        if type(ids) is list:
            return bisect_left(ids, id, self._first)
        ms, seq = (id >> 64) - (self.base >> 64), id & SEQ_MAX
        if ms < 0:
            return self._first
        if seq > _KEY_SEQ_MAX:
            ms, seq = ms + 1, 0
        if ms > _KEY_MS_MAX:
            return len(ids)
        return bisect_left(ids, ms << _KEY_SEQ_BITS | seq, self._first)

    def id_at(self, position: int) -> StreamId:
        return self._ids_between(position, position + 1)[0]

    def find(self, id: StreamId) -> int:
        """The position of the entry `id`, -1 when there is none."""
        at = self.position(id)
        return at if at < len(self._ids) and self.id_at(at) == id else -1

    def between(self, start: int, stop: int) -> list[StreamEntry]:
        """The entries at these positions."""
        return list(
            map(StreamEntry, self._ids_between(start, stop), map(self._items, self._packed(start, stop)))
        )

    def rows(self) -> list[Row]:
        """All entries as they are stored."""
        found = []
        ids = self._ids_between(self._first, len(self._ids))
        for id, packed in zip(ids, self._packed(self._first, len(self._ids)), strict=True):
            if packed[:2] == _OWN:
                items = self._items(packed)
                found.append(Row(id, items[::2], items[1::2]))
            else:
                found.append(Row(id, None, _texts(packed) if self.fields else []))
        return found

    def _ids_between(self, start: int, stop: int) -> list[StreamId]:
        ids = self._ids
        if type(ids) is list:
            return ids[start:stop]
        ms = self.base >> 64
        return [(ms + (key >> _KEY_SEQ_BITS)) << 64 | key & _KEY_SEQ_MAX for key in ids[start:stop]]

    def _packed(self, start: int, stop: int) -> list[bytes]:
        entries = self._entries
        if type(entries) is bytes:
            return entries.split(SEPARATOR)[start:stop]
        return entries[start:stop]  # type: ignore[return-value]  # a list: bytes were told apart above

    def _items(self, packed: bytes) -> list[bytes]:
        if packed[:2] == _OWN:
            return _texts(packed[2:]) if len(packed) > 2 else []
        fields = self.fields
        if len(fields) == 1:
            return [fields[0], unescape(packed)]
        items = [b""] * (2 * len(fields))
        if fields:
            items[::2] = fields
            items[1::2] = _texts(packed)
        return items

    # Changing

    def append(self, id: StreamId, items: list[bytes]) -> None:
        """Adds an entry (field, value, …) with an id above `last`; that of the first entry may be `last`.

        In Redis's listpack it takes two bytes for its flags, the id, the values (with other fields than the
        node's their count and they themselves) and the count of all these.
        """
        entries = self._entries
        if type(entries) is not list:
            entries = self._entries = self._packed(0, len(self._ids))
        fields = self.fields
        if len(items) == 2 and len(fields) == 1 and items[0] == fields[0]:
            packed = items[1]
            # By far the most: one value, short, ASCII, and because of its first bytes no number.
            no_number = 1 < len(packed) < 64 and ((first := packed[0]) > _NINE or first == _NAUGHT)
            if no_number and packed.isascii():
                size = 2 + len(packed) + 2 + 2
            else:
                size = 2 + listpack_entry_bytes(packed) + 2
                packed = escape(packed)
        elif items[::2] == fields:
            values = items[1::2]
            size = 2 + _texts_bytes(values) + listpack_integer_bytes(len(values) + 3)
            packed = DIVIDER.join(map(escape, values))
        else:
            half = len(items) // 2
            size = 2 + _texts_bytes(items)
            size += listpack_integer_bytes(half) + listpack_integer_bytes(2 * half + 4)
            packed = _OWN + DIVIDER.join(map(escape, items))
        self._body_bytes += size + self._append_id(id)
        entries.append(packed)
        self.last = id
        self.total += 1

    def _append_id(self, id: StreamId) -> int:
        """Returns what it takes in Redis's listpack: its differences to the two parts of the base."""
        ids = self._ids
        seq = id & SEQ_MAX
        ms = (id >> 64) - self._base_ms
        if type(ids) is list:
            ids.append(id)
        elif seq <= _KEY_SEQ_MAX and ms <= _KEY_MS_MAX:
            ids.append(ms << _KEY_SEQ_BITS | seq)
        else:
            self._ids = [*self._ids_between(0, len(ids)), id]
        past = seq - self._base_seq
        if ms < 128 and 0 <= past < 128:
            return 4
        return _delta_bytes(ms) + _delta_bytes(past)

    def remove(self, position: int) -> None:
        """Removes one entry."""
        if position == self._first:
            self._first += 1
            return
        entries = self._packed(0, len(self._ids))
        del self._ids[position], entries[position]
        self._entries = entries if type(self._entries) is list else SEPARATOR.join(entries)

    def remove_first(self, count: int) -> None:
        """Removes the first `count` entries."""
        self._first += count

    def seal(self) -> None:
        """Makes the node smaller; it can still be changed, at some expense."""
        entries = self._entries
        if type(entries) is list:
            del self._ids[: self._first], entries[: self._first]
            self._first = 0
            self._entries = SEPARATOR.join(entries)

    # Whole

    def copy(self) -> Node:
        """A node that does not change with this one."""
        new = Node.__new__(Node)
        new.base, new.fields, new.last, new.total = self.base, self.fields, self.last, self.total
        new._base_ms, new._base_seq = self._base_ms, self._base_seq
        new._first, new._body_bytes = self._first, self._body_bytes
        new._ids = self._ids[:]
        new._entries = self._entries[:]
        return new

    def memory_bytes(self) -> int:
        """The memory it takes, fields not counted: nodes with the same share them."""
        ids, entries = self._ids, self._entries
        size = _OBJECT_BYTES + sys.getsizeof(ids) + sys.getsizeof(entries)
        if type(ids) is list:
            size += sum(map(sys.getsizeof, ids))
        if type(entries) is list:
            size += sum(map(sys.getsizeof, entries))
        return size

    def check(self) -> None:
        """Asserts the invariants: ids in order within base and last, an entry for each."""
        ids = self._ids_between(0, len(self._ids))
        assert ids == sorted(set(ids))
        assert all(self.base <= id <= self.last for id in ids)
        assert 0 <= self._first <= len(ids) <= self.total
        if ids:
            assert len(self._packed(0, len(ids))) == len(ids)
        else:
            assert not self._entries
        for row in self.rows():
            assert len(row.values) == len(self.fields if row.fields is None else row.fields)
            assert row.fields != self.fields
            assert self.find(row.id) >= 0


def _texts(packed: bytes) -> list[bytes]:
    items = packed.split(DIVIDER)
    return [unescape(item) for item in items] if _ESCAPE in packed else items


def _texts_bytes(texts: Sequence[bytes]) -> int:
    return sum([listpack_entry_bytes(text) for text in texts])


def _delta_bytes(delta: int) -> int:
    """What a difference of two unsigned integers of 64 bits takes, stored as a signed one."""
    if 0 <= delta < 128:
        return 2
    delta &= SEQ_MAX
    return listpack_integer_bytes(delta - (1 << 64) if delta >> 63 else delta)
