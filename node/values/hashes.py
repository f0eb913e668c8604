"""Hash values: fields with values, and deadlines of fields.

A hash of few short fields is one packed `bytes` (`packed.py`): separator, field, divider, value, separator,
field, … A field is found by one `bytes.find` of what stands around it. Beyond the limits it becomes a dict,
and a `SplitDict` with many fields. It never goes back.

A field whose deadline has passed is there until `expire_due` removes it. A primary calls that before
anything else it does with a hash that has deadlines, and tells its replicas what was removed; a replica must
not remove anything by itself, so the methods that read take the time (Unix milliseconds) and do not see such
fields. The time 0 sees all.

Source: the pages of the hash commands; t_hash.c of Redis 7.2 for when encodings change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from random import Random
from typing import ClassVar

from node.values import packed, split_dict
from node.values.field_deadlines import FieldDeadlines
from node.values.limits import Limits
from node.values.packed import DIVIDER, SEPARATOR, escape, unescape
from node.values.split_dict import BUCKET_KEYS, SplitDict, Table

Pair = tuple[bytes, bytes]
"""Field and value."""

_OBJECT_BYTES = 64
_DEADLINE_BYTES = 240  # an entry of a dict and of a heap, and what they hold


class Hash:
    """Fields with values. Empty only before its first field and after its last: its key has to go."""

    __slots__ = ("_count", "_deadlines", "_packed", "_table")

    type_name: ClassVar[bytes] = b"hash"

    def __init__(self) -> None:
        self._packed = packed.EMPTY  # all, while `_table` is None
        self._count = 0  # of fields in `_packed`
        self._table: Table[bytes] | None = None
        self._deadlines: FieldDeadlines | None = None  # None when no field has one

    @classmethod
    def from_pairs(cls, pairs: Iterable[Pair], limits: Limits) -> Hash:
        """A hash of `pairs`, of which the last counts when several have the same field."""
        new = cls()
        fields = dict(pairs)
        new._count = len(fields)
        if new._count > limits.hash_max_listpack_entries or _longest(fields) > limits.hash_max_listpack_value:
            new._to_table(fields)
        else:
            new._packed = _pack(fields)
        return new

    # Reading

    def __len__(self) -> int:
        """How many fields there are, those included whose time is over."""
        return self._count if self._table is None else len(self._table)

    def live_count(self, now_ms: int) -> int:
        """How many fields there are whose time is not over."""
        return len(self) - len(self._hidden(now_ms))

    def get(self, field: bytes, now_ms: int = 0) -> bytes | None:
        """The value of a field, None when there is none."""
        if self._deadlines is not None and self._deadlines.at.get(field, now_ms + 1) <= now_ms:
            return None
        if self._table is not None:
            return self._table.get(field)
        text = self._packed
        key = b"\xff%b\xfe" % (field if field.isascii() else escape(field))
        at = text.find(key)
        if at < 0:
            return None
        at += len(key)
        value = text[at : text.find(SEPARATOR, at)]
        return value if value.isascii() else unescape(value)

    def get_many(self, fields: Sequence[bytes], now_ms: int = 0) -> list[bytes | None]:
        """The value of each field, None where there is none."""
        if self._table is None and len(fields) > self._count // 4 + 1:
            mine = dict(self.pairs(now_ms))
            return [mine.get(field) for field in fields]
        return [self.get(field, now_ms) for field in fields]

    def has(self, field: bytes, now_ms: int = 0) -> bool:
        if self._table is None:
            return self.get(field, now_ms) is not None
        if self._deadlines is not None and self._deadlines.at.get(field, now_ms + 1) <= now_ms:
            return False
        return field in self._table

    def flat(self, now_ms: int = 0) -> list[bytes]:
        """All of it: field, value, field, value, …"""
        if self._table is None and (self._deadlines is None or not self._hidden(now_ms)):
            return packed.unpack_pairs(self._packed)
        return [item for pair in self.pairs(now_ms) for item in pair]

    def pairs(self, now_ms: int = 0) -> Iterable[Pair]:
        """All fields with their values. The hash must not change meanwhile."""
        if self._table is None:
            items = packed.unpack_pairs(self._packed)
            pairs: Iterable[Pair] = zip(items[::2], items[1::2], strict=True)
        else:
            pairs = self._table.items()
        if self._deadlines is None:
            return pairs
        hidden = self._hidden(now_ms)
        return [pair for pair in pairs if pair[0] not in hidden] if hidden else pairs

    def fields(self, now_ms: int = 0) -> list[bytes]:
        if self._table is None:
            return self.flat(now_ms)[::2]
        hidden = self._hidden(now_ms)
        return [field for field in self._table if field not in hidden] if hidden else list(self._table)

    def values(self, now_ms: int = 0) -> list[bytes]:
        if self._table is None:
            return self.flat(now_ms)[1::2]
        if self._hidden(now_ms):
            return [value for _, value in self.pairs(now_ms)]
        return list(self._table.values())

    def scan(self, cursor: int, count: int, now_ms: int = 0) -> tuple[int, list[Pair]]:
        """Some fields with their values, and the cursor to go on with, 0 at the end.

        About `count` of a hash in a table, all of a packed one. What is there during the whole scan is
        returned at least once.
        """
        table = self._table
        if table is None:
            return 0, list(self.pairs(now_ms))
        following, found = split_dict.scan(table, cursor, count)
        hidden = self._hidden(now_ms)
        return following, [(field, table[field]) for field in found if field not in hidden]

    def random_pair(self, rng: Random, now_ms: int = 0) -> Pair | None:
        """A field with its value, each with the same chance; None when there is none."""
        found = self.random_pairs(rng, 1, now_ms)
        return found[0] if found else None

    def random_pairs(self, rng: Random, count: int, now_ms: int = 0) -> list[Pair]:
        """`count` times a field with its value, the same more than once perhaps; none where there is none."""
        table = self._table
        if table is None or self._hidden(now_ms):
            pairs = list(self.pairs(now_ms))
            return [pairs[int(rng.random() * len(pairs))] for _ in range(count)] if pairs else []
        if not len(table):
            return []
        fields = [split_dict.random_key(table, rng) for _ in range(count)]
        return [(field, table[field]) for field in fields]

    def sample(self, rng: Random, count: int, now_ms: int = 0) -> list[Pair]:
        """`count` different fields with their values, all where there are fewer."""
        table = self._table
        if table is None or self._hidden(now_ms):
            pairs = list(self.pairs(now_ms))
            return pairs if count >= len(pairs) else rng.sample(pairs, count)
        return [(field, table[field]) for field in split_dict.sample_keys(table, rng, count)]

    # Writing

    def set(self, field: bytes, value: bytes, limits: Limits, *, keep_deadline: bool = False) -> bool:
        """Stores the value of a field, whose deadline goes unless it is to stay; True when it is new."""
        if self._deadlines is not None and not keep_deadline:
            self.clear_deadline(field)
        if self._table is None:
            longest = limits.hash_max_listpack_value
            if len(field) <= longest and len(value) <= longest:
                return self._set_packed(field, value, limits)
            self._to_table(dict(self.pairs()))
        table = self._table
        assert table is not None
        if isinstance(table, SplitDict):
            return table.put(field, value)
        before = len(table)
        table[field] = value
        if len(table) == before:
            return False
        if before == BUCKET_KEYS:
            self._table = SplitDict(table)
        return True

    def set_many(self, words: Sequence[bytes], limits: Limits) -> int:
        """Stores field, value, field, value, … (one pair or more); returns how many fields are new."""
        if len(words) == 2:
            return int(self.set(words[0], words[1], limits))
        if self._table is None and (
            len(words) // 2 > limits.hash_max_listpack_entries
            or max(map(len, words)) > limits.hash_max_listpack_value
        ):
            self._to_table(dict(self.pairs()))
        added = 0
        for at in range(0, len(words), 2):
            added += self.set(words[at], words[at + 1], limits)
        return added

    def delete(self, field: bytes) -> bool:
        """Removes a field; False when there is none."""
        if self._deadlines is not None:
            self.clear_deadline(field)
        if self._table is not None:
            return self._table.pop(field, None) is not None
        text = self._packed
        at = text.find(b"\xff%b\xfe" % (field if field.isascii() else escape(field)))
        if at < 0:
            return False
        self._packed = text[:at] + text[text.find(SEPARATOR, at + 1) :]
        self._count -= 1
        return True

    def _set_packed(self, field: bytes, value: bytes, limits: Limits) -> bool:
        if not value.isascii():
            value = escape(value)
        if not field.isascii():
            field = escape(field)
        text = self._packed
        key = b"\xff%b\xfe" % field
        at = text.find(key)
        if at >= 0:
            at += len(key)
            self._packed = b"%b%b%b" % (text[:at], value, text[text.find(SEPARATOR, at) :])
            return False
        self._packed = b"%b%b\xfe%b\xff" % (text, field, value)
        self._count += 1
        if self._count > limits.hash_max_listpack_entries:
            self._to_table(dict(self.pairs()))
        return True

    def _to_table(self, fields: dict[bytes, bytes]) -> None:
        self._table = fields if len(fields) <= BUCKET_KEYS else SplitDict(fields)
        self._packed = packed.EMPTY
        self._count = 0

    # Deadlines of fields

    @property
    def has_deadlines(self) -> bool:
        """Whether any field has one."""
        return self._deadlines is not None

    def deadline(self, field: bytes) -> int | None:
        """When a field expires, Unix milliseconds; None when it does not."""
        return None if self._deadlines is None else self._deadlines.at.get(field)

    def set_deadline(self, field: bytes, deadline_ms: int) -> None:
        """The field must exist; the deadline is above 0."""
        assert deadline_ms > 0
        assert self.has(field)
        if self._deadlines is None:
            self._deadlines = FieldDeadlines()
        self._deadlines.set(field, deadline_ms)

    def clear_deadline(self, field: bytes) -> bool:
        """False when the field had none."""
        deadlines = self._deadlines
        if deadlines is None or not deadlines.discard(field):
            return False
        if not deadlines.at:
            self._deadlines = None
        return True

    def next_deadline(self) -> int | None:
        """The earliest deadline of a field, Unix milliseconds; None without any."""
        return None if self._deadlines is None else self._deadlines.next_ms()

    def expire_due(self, now_ms: int, limit: int = sys.maxsize) -> list[bytes]:
        """Removes up to `limit` fields whose time is over; returns them."""
        deadlines = self._deadlines
        if deadlines is None:
            return []
        over = deadlines.take_due(now_ms, limit)
        if not deadlines.at:
            self._deadlines = None
        for field in over:
            self.delete(field)
        return over

    def _hidden(self, now_ms: int) -> AbstractSet[bytes]:
        """The fields whose time is over."""
        if self._deadlines is None:
            return set()
        next_ms = self._deadlines.next_ms()
        if next_ms is None or next_ms > now_ms:
            return set()
        return {field for field, deadline_ms in self._deadlines.at.items() if deadline_ms <= now_ms}

    # The value as a whole

    def encoding(self) -> bytes:
        """As OBJECT ENCODING answers: listpack, listpackex (with deadlines), hashtable."""
        if self._table is not None:
            return b"hashtable"
        return b"listpack" if self._deadlines is None else b"listpackex"

    def copy(self) -> Hash:
        """A hash of its own with the same content, deadlines included."""
        other = Hash()
        other._packed = self._packed
        other._count = self._count
        other._table = None if self._table is None else self._table.copy()
        other._deadlines = None if self._deadlines is None else self._deadlines.copy()
        return other

    def dismantle(self) -> Iterator[None]:
        """Frees the content in many steps; the value must not be used any more."""
        if isinstance(self._table, SplitDict):
            yield from self._table.dismantle()

    def memory_bytes(self, samples: int = 5) -> int:
        """An estimate of the memory it takes; the size of fields and values is that of `samples` (0: all)."""
        total = _OBJECT_BYTES
        if self._deadlines is not None:
            total += _DEADLINE_BYTES * len(self._deadlines.at)
        table = self._table
        if table is None:
            return total + sys.getsizeof(self._packed)
        total += sys.getsizeof(table) if isinstance(table, dict) else table.table_bytes()
        sizes = [sys.getsizeof(f) + sys.getsizeof(v) for f, v in islice(table.items(), samples or None)]
        return total + (sum(sizes) * len(table) // len(sizes) if sizes else 0)

    def check(self) -> None:
        """Asserts the invariants."""
        if self._table is None:
            items = packed.unpack_pairs(self._packed)
            assert len(items) == 2 * self._count
            assert len(set(items[::2])) == self._count, "a field twice"
            assert _pack(dict(self.pairs())) == self._packed
        else:
            assert self._packed == packed.EMPTY
            assert self._count == 0
            assert isinstance(self._table, SplitDict) or len(self._table) <= BUCKET_KEYS
            if isinstance(self._table, SplitDict):
                self._table.check()
        if self._deadlines is not None:
            assert self._deadlines.at, "no field has a deadline, yet there is an index"
            assert all(self.has(field) for field in self._deadlines.at)
            self._deadlines.check()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.fields())


def _longest(fields: dict[bytes, bytes]) -> int:
    return max(max(map(len, fields), default=0), max(map(len, fields.values()), default=0))


def _pack(fields: dict[bytes, bytes]) -> bytes:
    pairs = [escape(field) + DIVIDER + escape(value) for field, value in fields.items()]
    return SEPARATOR.join([b"", *pairs, b""])
