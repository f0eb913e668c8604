"""List values.

A list of few bytes is one packed `bytes` (`packed.py`), any longer one a `Quicklist`. A list becomes the
other where Redis 7.2 changes between listpack and quicklist: by what it takes, or would take, as one of
Redis's own listpacks, `_bytes`. That is worked out only where the answer could matter, and then kept up.

Redis looks at its nodes when a list shrinks and we at the whole list, so that a long list that was thinned
out may be called listpack a little earlier here.

Source: the pages of the list commands; t_list.c of Redis 7.2 for when encodings change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from node.values import packed
from node.values.limits import Limits
from node.values.packed import LISTPACK_BYTES, SEPARATOR, escape, listpack_entry_bytes, unescape
from node.values.quicklist import Quicklist

_OBJECT_BYTES = 64
_UNKNOWN = -1
_ENTRY_BYTES_MIN = 2
# No string takes more of a listpack than twice what it takes packed.
_LISTPACK_RATIO_MAX = 2


class List:
    """Byte strings in a row. Empty only before its first element and after its last: its key has to go.

    Indices are those of the commands: from 0, negative ones from the end.
    """

    __slots__ = ("_big", "_bytes", "_count", "_packed")

    type_name: ClassVar[bytes] = b"list"

    def __init__(self) -> None:
        self._packed = packed.EMPTY  # all, while `_big` is None
        self._count = 0  # of elements in `_packed`
        self._big: Quicklist | None = None
        self._bytes = _UNKNOWN

    @classmethod
    def from_items(cls, items: Iterable[bytes], limits: Limits) -> List:
        """A list of `items`, as compact as allowed."""
        new = cls()
        items = list(items)
        small = (len(items) + 1) * _ENTRY_BYTES_MIN <= limits.list_bytes and len(items) <= limits.list_entries
        if small and LISTPACK_BYTES + sum(map(listpack_entry_bytes, items)) <= limits.list_bytes:
            new._pack(items)
        else:
            new._big = Quicklist(items)
        return new

    # Reading

    def __len__(self) -> int:
        return self._count if self._big is None else self._big.count

    def __iter__(self) -> Iterator[bytes]:
        """The elements; the list must not change meanwhile."""
        return iter(packed.unpack(self._packed) if self._big is None else self._big)

    def items(self) -> list[bytes]:
        """All elements."""
        return packed.unpack(self._packed) if self._big is None else list(self._big)

    def get(self, index: int) -> bytes | None:
        """The element at `index`, None when there is none."""
        size = len(self)
        if index < 0:
            index += size
        if not 0 <= index < size:
            return None
        if self._big is not None:
            return self._big.get(index)
        if index > size // 2:
            return unescape(self._packed.rsplit(SEPARATOR, size - index + 1)[1])
        return unescape(self._packed.split(SEPARATOR, index + 2)[index + 1])

    def range(self, first: int, last: int) -> list[bytes]:
        """The elements from the index `first` to the index `last`, both included."""
        start, stop = self._span(first, last)
        if start >= stop:
            return []
        if self._big is not None:
            return self._big.slice(start, stop)
        if stop > self._count // 2:
            return packed.unpack(self._packed)[start:stop]
        return [unescape(item) for item in self._packed.split(SEPARATOR, stop + 1)[start + 1 : stop + 1]]

    def _span(self, first: int, last: int) -> tuple[int, int]:
        size = len(self)
        return (max(first + size, 0) if first < 0 else first), min(
            last + size if last < 0 else last, size - 1
        ) + 1

    def positions(self, item: bytes, rank: int = 1, count: int = 1, maxlen: int = 0) -> list[int]:
        """The indices of elements equal to `item`: from match `rank` on, `count` of them, or all for 0.

        A negative `rank` counts from the end, and so goes the result. `maxlen` elements are looked at, or all
        for 0. Source: the page of LPOS.
        """
        found: list[int] = []
        reverse = rank < 0
        skip = abs(rank) - 1
        size = len(self)
        for index in self._find(item, reverse):
            if maxlen and (size - 1 - index if reverse else index) >= maxlen:
                break
            if skip:
                skip -= 1
                continue
            found.append(index)
            if len(found) == count:
                break
        return found

    def _find(self, item: bytes, reverse: bool) -> Iterator[int]:
        if self._big is not None:
            return self._big.find(item, reverse=reverse)
        if b"\xff%b\xff" % escape(item) not in self._packed:
            return iter(())
        found = [index for index, one in enumerate(packed.unpack(self._packed)) if one == item]
        return reversed(found) if reverse else iter(found)

    # The ends

    def push_left(self, items: Sequence[bytes], limits: Limits) -> int:
        """Puts each of `items` (one or more) before all, so that the last comes to stand first.

        Returns how many elements there are.
        """
        if self._big is None and not self._grow(items, limits):
            parts = [item if item.isascii() else escape(item) for item in reversed(items)]
            self._packed = b"\xff%b%b" % (SEPARATOR.join(parts), self._packed)
            self._count += len(items)
            return self._count
        big = self._big
        assert big is not None
        if self._bytes >= 0:
            self._add_bytes(items, limits)
        for item in items:
            big.push_left(item)
        return big.count

    def push_right(self, items: Sequence[bytes], limits: Limits) -> int:
        """Puts each of `items` (one or more) behind all.

        Returns how many elements there are.
        """
        if self._big is None and not self._grow(items, limits):
            parts = [item if item.isascii() else escape(item) for item in items]
            self._packed = b"%b%b\xff" % (self._packed, SEPARATOR.join(parts))
            self._count += len(items)
            return self._count
        big = self._big
        assert big is not None
        if self._bytes >= 0:
            self._add_bytes(items, limits)
        for item in items:
            big.push_right(item)
        return big.count

    def pop_left(self, limits: Limits) -> bytes:
        """Removes and returns the first element. The list must not be empty."""
        if self._big is not None:
            item = self._big.pop_left()
            self._shrink(item, limits)
            return item
        end = self._packed.find(SEPARATOR, 1)
        item = self._packed[1:end]
        self._packed = self._packed[end:]
        self._count -= 1
        if not item.isascii():
            item = unescape(item)
        if self._bytes >= 0:
            self._bytes -= listpack_entry_bytes(item)
        return item

    def pop_right(self, limits: Limits) -> bytes:
        """Removes and returns the last element. The list must not be empty."""
        if self._big is not None:
            item = self._big.pop_right()
            self._shrink(item, limits)
            return item
        start = self._packed.rfind(SEPARATOR, 0, -1) + 1
        item = self._packed[start:-1]
        self._packed = self._packed[:start]
        self._count -= 1
        if not item.isascii():
            item = unescape(item)
        if self._bytes >= 0:
            self._bytes -= listpack_entry_bytes(item)
        return item

    def pop_left_many(self, count: int, limits: Limits) -> list[bytes]:
        """Removes and returns the first `count` elements, all where there are fewer."""
        items = self.range(0, count - 1) if count else []
        self._drop(len(items), 0, limits)
        return items

    def pop_right_many(self, count: int, limits: Limits) -> list[bytes]:
        """Removes and returns the last `count` elements, the last one first, all where there are fewer."""
        items = self.range(-count, -1) if count else []
        self._drop(0, len(items), limits)
        items.reverse()
        return items

    # Anywhere

    def set(self, index: int, item: bytes, limits: Limits) -> bool:
        """Replaces the element at `index`; False when there is none."""
        size = len(self)
        if index < 0:
            index += size
        if not 0 <= index < size:
            return False
        if self._big is None and not self._grow([item], limits):
            items = packed.unpack(self._packed)
            old, items[index] = items[index], item
            known = self._bytes
            self._pack(items)
            self._bytes = known if known < 0 else known - listpack_entry_bytes(old)
            return True
        assert self._big is not None
        self._big.set(index, item)
        self._bytes = _UNKNOWN
        self._try_pack(limits)
        return True

    def insert(self, pivot: bytes, item: bytes, limits: Limits, *, after: bool = False) -> bool:
        """Puts `item` before (after) the first element equal to `pivot`; False when there is none."""
        if self._big is None:
            self._grow([item], limits)
        index = next(self._find(pivot, reverse=False), None)
        if index is None:
            self._bytes = _UNKNOWN
            return False
        index += after
        if self._big is None:
            items = packed.unpack(self._packed)
            items.insert(index, item)
            known = self._bytes
            self._pack(items)
            self._bytes = known
        else:
            self._big.insert(index, item)
            if self._bytes >= 0:
                self._bytes += listpack_entry_bytes(item)
        return True

    def remove(self, item: bytes, count: int, limits: Limits) -> int:
        """Removes `count` elements equal to `item`, the last ones when negative, all for 0; says how many."""
        limit = abs(count) or sys.maxsize
        if self._big is not None:
            removed = self._big.remove(item, limit, from_end=count < 0)
            if removed:
                self._bytes = _UNKNOWN
                self._try_pack(limits)
            return removed
        found = list(self._find(item, reverse=count < 0))[:limit]
        if found:
            gone = set(found)
            self._pack([one for index, one in enumerate(packed.unpack(self._packed)) if index not in gone])
        return len(found)

    def trim(self, first: int, last: int, limits: Limits) -> int:
        """Keeps the elements from the index `first` to the index `last`, both included; says how many go."""
        start, stop = self._span(first, last)
        size = len(self)
        if start >= stop:
            start, stop = size, size
        self._drop(start, size - stop, limits)
        return size - len(self)

    def _drop(self, left: int, right: int, limits: Limits) -> None:
        """Removes the first `left` and the last `right` elements."""
        if left + right == 0:
            return
        if self._big is None:
            self._pack(packed.unpack(self._packed)[left : self._count - right])
            return
        self._big.drop_left(left)
        self._big.drop_right(right)
        self._bytes = _UNKNOWN
        self._try_pack(limits)

    # Encodings

    def _grow(self, items: Sequence[bytes], limits: Limits) -> bool:
        """Makes a packed list a quicklist if it cannot take `items` too; True if so."""
        added = len(items[0]) if len(items) == 1 else sum(map(len, items))
        if self._count + len(items) <= limits.list_entries:
            if len(self._packed) * _LISTPACK_RATIO_MAX + LISTPACK_BYTES + added <= limits.list_bytes:
                if self._bytes >= 0:
                    self._bytes += sum(map(listpack_entry_bytes, items))
                return False
            if self._bytes < 0:
                self._bytes = self._listpack_bytes()
            if self._bytes + added <= limits.list_bytes:
                self._bytes += sum(map(listpack_entry_bytes, items))
                return False
        self._big = Quicklist(packed.unpack(self._packed))
        self._packed = packed.EMPTY
        self._count = 0
        return True

    def _add_bytes(self, items: Sequence[bytes], limits: Limits) -> None:
        """Called when a quicklist got more elements; one far from shrinking is not followed any more."""
        if self._bytes > 2 * limits.list_bytes:
            self._bytes = _UNKNOWN
        else:
            self._bytes += sum(map(listpack_entry_bytes, items))

    def _shrink(self, popped: bytes, limits: Limits) -> None:
        """Called when a quicklist has lost an element."""
        if self._bytes >= 0:
            self._bytes -= listpack_entry_bytes(popped)
        assert self._big is not None
        if self._big.count * _ENTRY_BYTES_MIN < limits.list_shrunk_bytes:
            self._try_pack(limits)
        else:
            self._bytes = _UNKNOWN

    def _try_pack(self, limits: Limits) -> None:
        """Makes a quicklist that has become small a packed list."""
        big = self._big
        assert big is not None
        if big.count > limits.list_shrunk_entries:
            return
        if big.count * _ENTRY_BYTES_MIN + LISTPACK_BYTES > limits.list_shrunk_bytes:
            return
        if self._bytes < 0:
            self._bytes = self._listpack_bytes()
        if self._bytes <= limits.list_shrunk_bytes:
            self._pack(list(big))

    def _listpack_bytes(self) -> int:
        return LISTPACK_BYTES + sum(map(listpack_entry_bytes, self))

    def _pack(self, items: list[bytes]) -> None:
        self._packed = packed.pack(items)
        self._count = len(items)
        self._big = None
        self._bytes = _UNKNOWN

    # The value as a whole

    def encoding(self) -> bytes:
        """As OBJECT ENCODING answers: listpack, quicklist."""
        return b"listpack" if self._big is None else b"quicklist"

    def copy(self) -> List:
        """A list of its own with the same elements."""
        other = List()
        other._packed = self._packed
        other._count = self._count
        other._big = None if self._big is None else self._big.copy()
        other._bytes = self._bytes
        return other

    def memory_bytes(self, samples: int = 5) -> int:
        """An estimate of the memory it takes; the size of loose elements is that of `samples` (0: all)."""
        if self._big is None:
            return _OBJECT_BYTES + sys.getsizeof(self._packed)
        return _OBJECT_BYTES + self._big.memory_bytes(samples)

    def check(self) -> None:
        """Asserts the invariants."""
        items = packed.unpack(self._packed)
        assert len(items) == self._count
        assert packed.pack(items) == self._packed
        assert self._big is None or not items
        if self._big is not None:
            self._big.check()
        assert self._bytes in (_UNKNOWN, self._listpack_bytes())
