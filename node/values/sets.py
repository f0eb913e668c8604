"""Set values.

A set of few integers is a sorted array (`intset.py`), one of few short members one packed `bytes`
(`packed.py`), any other a dict (`SplitDict` with many members). An array becomes one of the others with a
member that is no integer or with too many, a packed set becomes a dict; it never goes back.

Source: the pages of the set commands; t_set.c of Redis 7.2 for when encodings change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random
from typing import ClassVar

from node.integers import parse_integer
from node.values import intset, packed, split_dict
from node.values.intset import IntArray
from node.values.limits import Limits
from node.values.packed import SEPARATOR, escape, unescape
from node.values.split_dict import BUCKET_KEYS, SplitDict, Table

_OBJECT_BYTES = 64
_INTSET_ENTRIES_MAX = 1 << 30


class Set:
    """Different byte strings. Empty only before its first member and after its last: its key has to go."""

    __slots__ = ("_count", "_ints", "_packed", "_table")

    type_name: ClassVar[bytes] = b"set"

    def __init__(self) -> None:
        self._packed = packed.EMPTY  # all, while the two others are None
        self._count = 0  # of members in `_packed`
        self._ints: IntArray | None = None
        self._table: Table[bool] | None = None

    @classmethod
    def create(cls, first: bytes, size_hint: int, limits: Limits) -> Set:
        """An empty set in the encoding that SADD of `size_hint` members, `first` among them, begins with."""
        new = cls()
        if size_hint <= limits.set_max_intset_entries and parse_integer(first) is not None:
            new._ints = intset.empty()
        elif size_hint > limits.set_max_listpack_entries:
            new._table = {}
        return new

    @classmethod
    def from_members(cls, members: Iterable[bytes], limits: Limits) -> Set:
        """A set of `members`, of which some may be the same, in the most compact encoding allowed."""
        new = cls()
        unique = dict.fromkeys(members, True)
        if len(unique) <= min(limits.set_max_intset_entries, _INTSET_ENTRIES_MAX):
            values = [parse_integer(member) for member in unique]
            if None not in values:
                new._ints = intset.from_sorted(sorted(value for value in values if value is not None))
                return new
        longest = max(map(len, unique), default=0)
        if len(unique) <= limits.set_max_listpack_entries and longest <= limits.set_max_listpack_value:
            new._packed = packed.pack(list(unique))
            new._count = len(unique)
        else:
            new._to_table(unique)
        return new

    @classmethod
    def from_ints(cls, ints: IntArray, limits: Limits) -> Set:
        """A set of the ascending integers in `ints`, which it takes over."""
        new = cls()
        new._ints = ints
        if len(ints) > min(limits.set_max_intset_entries, _INTSET_ENTRIES_MAX):
            new._to_table(dict.fromkeys(new.members(), True))
        return new

    # Reading

    def __len__(self) -> int:
        if self._table is not None:
            return len(self._table)
        return self._count if self._ints is None else len(self._ints)

    def __contains__(self, member: bytes) -> bool:
        if self._table is not None:
            return member in self._table
        if self._ints is not None:
            value = parse_integer(member)
            return value is not None and intset.contains(self._ints, value)
        return self._packed.find(b"\xff%b\xff" % (member if member.isascii() else escape(member))) >= 0

    def __iter__(self) -> Iterator[bytes]:
        """The members; the set must not change meanwhile."""
        return iter(self._table) if self._table is not None else iter(self.members())

    def members(self) -> list[bytes]:
        """All members: of an array in ascending order, of a packed set in the order they came."""
        if self._table is not None:
            return list(self._table)
        if self._ints is not None:
            return [b"%d" % value for value in self._ints]
        return packed.unpack(self._packed)

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Some members, and the cursor to go on with, 0 at the end.

        About `count` of a set in a table, else all. What is there during the whole scan is returned at least
        once.
        """
        if self._table is None:
            return 0, self.members()
        return split_dict.scan(self._table, cursor, count)

    def random_member(self, rng: Random) -> bytes:
        """A member, each with the same chance. The set must not be empty."""
        if self._table is not None:
            return split_dict.random_key(self._table, rng)
        if self._ints is not None:
            return b"%d" % self._ints[int(rng.random() * len(self._ints))]
        return packed.unpack(self._packed)[int(rng.random() * self._count)]

    def random_members(self, rng: Random, count: int) -> list[bytes]:
        """`count` times a member, the same more than once perhaps. The set must not be empty."""
        table = self._table
        if table is not None:
            return [split_dict.random_key(table, rng) for _ in range(count)]
        members = self.members()
        return [members[int(rng.random() * len(members))] for _ in range(count)]

    def sample(self, rng: Random, count: int) -> list[bytes]:
        """`count` different members, all where there are fewer."""
        if self._table is not None:
            return split_dict.sample_keys(self._table, rng, count)
        members = self.members()
        return members if count >= len(members) else rng.sample(members, count)

    # Writing

    def reserve(self, size_hint: int, limits: Limits) -> None:
        """Called before `size_hint` members are added, as SADD does: very many make it a table at once."""
        if self._table is None:
            entries_max = limits.set_max_listpack_entries
            if self._ints is not None:
                entries_max = limits.set_max_intset_entries
            if size_hint > entries_max:
                self._to_table(dict.fromkeys(self.members(), True))

    def add(self, member: bytes, limits: Limits) -> bool:
        """False when it is there already."""
        table = self._table
        if table is None:
            return self._add_packed(member, limits) if self._ints is None else self._add_int(member, limits)
        if isinstance(table, SplitDict):
            return table.put(member, True)
        before = len(table)
        table[member] = True
        if len(table) == before:
            return False
        if before == BUCKET_KEYS:
            self._table = SplitDict(table)
        return True

    def _add_packed(self, member: bytes, limits: Limits) -> bool:
        escaped = member if member.isascii() else escape(member)
        text = self._packed
        if text.find(b"\xff%b\xff" % escaped) >= 0:
            return False
        if self._count < limits.set_max_listpack_entries and len(member) <= limits.set_max_listpack_value:
            self._packed = b"%b%b\xff" % (text, escaped)
            self._count += 1
            return True
        self._to_table(dict.fromkeys(packed.unpack(text), True))
        return self.add(member, limits)

    def _add_int(self, member: bytes, limits: Limits) -> bool:
        ints = self._ints
        assert ints is not None
        value = parse_integer(member)
        if value is not None:
            ints = intset.add(ints, value)
            if ints is None:
                return False
            self._ints = ints
            if len(ints) > min(limits.set_max_intset_entries, _INTSET_ENTRIES_MAX):
                self._to_table(dict.fromkeys(self.members(), True))
            return True
        members = self.members()
        longest = max(len(member), len(b"%d" % ints[0]), len(b"%d" % ints[-1])) if ints else len(member)
        if len(ints) < limits.set_max_listpack_entries and longest <= limits.set_max_listpack_value:
            members.append(member)
            self._packed = packed.pack(members)
            self._count = len(members)
            self._ints = None
        else:
            self._to_table(dict.fromkeys([*members, member], True))
        return True

    def remove(self, member: bytes) -> bool:
        """False when it is not there."""
        if self._table is not None:
            return self._table.pop(member, None) is not None
        if self._ints is not None:
            value = parse_integer(member)
            return value is not None and intset.remove(self._ints, value)
        text = self._packed
        key = b"\xff%b\xff" % (member if member.isascii() else escape(member))
        at = text.find(key)
        if at < 0:
            return False
        self._packed = text[:at] + text[at + len(key) - 1 :]
        self._count -= 1
        return True

    def pop(self, rng: Random) -> bytes:
        """Removes and returns a member, each with the same chance. The set must not be empty."""
        table = self._table
        if table is not None:
            return table.pop_random(rng) if type(table) is SplitDict else split_dict.pop_random(table, rng)
        if self._ints is not None:
            return b"%d" % self._ints.pop(int(rng.random() * len(self._ints)))
        nth = int(rng.random() * self._count)
        before, after = self._packed.split(SEPARATOR, nth + 1), nth + 1
        member, _, rest = before[after].partition(SEPARATOR)
        self._packed = SEPARATOR.join([*before[:after], rest])
        self._count -= 1
        return unescape(member)

    def pop_many(self, rng: Random, count: int) -> list[bytes]:
        """Removes and returns `count` members, all where there are fewer, chosen as by `sample`."""
        popped = self.sample(rng, count)
        if len(popped) * 2 > len(self) and self._ints is None:
            gone = set(popped)
            left = [member for member in self if member not in gone]
            if self._table is not None:
                self._to_table(dict.fromkeys(left, True))
            else:
                self._packed = packed.pack(left)
                self._count = len(left)
        else:
            for member in popped:
                self.remove(member)
        return popped

    def _to_table(self, members: dict[bytes, bool]) -> None:
        self._table = members if len(members) <= BUCKET_KEYS else SplitDict(members)
        self._ints = None
        self._packed = packed.EMPTY
        self._count = 0

    # The value as a whole

    @property
    def ints(self) -> IntArray | None:
        """The array of a set that is one, for reading."""
        return self._ints

    def encoding(self) -> bytes:
        """As OBJECT ENCODING answers: intset, listpack, hashtable."""
        if self._table is not None:
            return b"hashtable"
        return b"listpack" if self._ints is None else b"intset"

    def copy(self) -> Set:
        """A set of its own with the same members."""
        other = Set()
        other._packed = self._packed
        other._count = self._count
        other._ints = None if self._ints is None else self._ints[:]
        other._table = None if self._table is None else self._table.copy()
        return other

    def dismantle(self) -> Iterator[None]:
        """Frees the content in many steps; the value must not be used any more."""
        if isinstance(self._table, SplitDict):
            yield from self._table.dismantle()

    def memory_bytes(self, samples: int = 5) -> int:
        """An estimate of the memory it takes; the size of members is that of `samples` of them (0: all)."""
        table = self._table
        if table is None:
            return _OBJECT_BYTES + sys.getsizeof(self._packed if self._ints is None else self._ints)
        total = sys.getsizeof(table) if isinstance(table, dict) else table.table_bytes()
        sizes = [sys.getsizeof(member) for member in islice(table, samples or None)]
        return _OBJECT_BYTES + total + (sum(sizes) * len(table) // len(sizes) if sizes else 0)

    def check(self) -> None:
        """Asserts the invariants."""
        members = packed.unpack(self._packed)
        assert len(members) == len(set(members)) == self._count
        assert packed.pack(members) == self._packed
        assert (self._ints is not None) + (self._table is not None) + (self._count > 0) <= 1
        if self._ints is not None:
            intset.check(self._ints)
        if isinstance(self._table, SplitDict):
            self._table.check()
        elif self._table is not None:
            assert len(self._table) <= BUCKET_KEYS
