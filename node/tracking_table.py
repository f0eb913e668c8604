"""The keys that clients hold, each with the numbers of those clients.

Most keys are held by one client or a few: one number, or a tuple, stands in place of a set, which would take
up to ten times the room. A key at random is found in a list of all, in which keys that are gone stay until
they are met or are half of it; a key that comes back stands in it twice then, and is as likely again, which
does no harm.
"""

from __future__ import annotations

import random

Readers = int | tuple[int, ...] | set[int]

FEW = 16
_GONE_MIN = 64


class TrackedKeys:
    """`readers` is to be looked at, not changed."""

    __slots__ = ("_listed", "item_count", "readers")

    def __init__(self) -> None:
        self.readers: dict[bytes, Readers] = {}
        self.item_count = 0  # pairs of a key and a client
        self._listed: list[bytes] = []

    def __len__(self) -> int:
        return len(self.readers)

    def add(self, key: bytes, id: int) -> None:
        """The client of that number, which is above 0, holds `key`."""
        readers = self.readers.get(key)
        if readers is None:
            self.readers[key] = id
            self._listed.append(key)
        elif isinstance(readers, int):
            if readers == id:
                return
            self.readers[key] = (readers, id)
        elif id in readers:
            return
        elif isinstance(readers, set):
            readers.add(id)
        elif len(readers) < FEW:
            self.readers[key] = (*readers, id)
        else:
            self.readers[key] = {*readers, id}
        self.item_count += 1

    def pop(self, key: bytes) -> Readers | None:
        """Forgets a key; who held it, None: nobody."""
        readers = self.readers.pop(key, None)
        if readers is None:
            return None
        self.item_count -= 1 if isinstance(readers, int) else len(readers)
        if len(self._listed) > 2 * len(self.readers) + _GONE_MIN:
            self._listed = list(self.readers)
        return readers

    def random(self, rng: random.Random) -> bytes:
        """Some key, which is to be popped next. There must be one."""
        listed = self._listed
        while True:
            at = int(rng.random() * len(listed))
            key = listed[at]
            listed[at] = listed[-1]
            listed.pop()
            if key in self.readers:
                return key

    def check(self) -> None:
        """Asserts the invariants: every key is listed, items are counted."""
        assert self.readers.keys() <= set(self._listed)
        assert len(self._listed) <= 2 * len(self.readers) + _GONE_MIN
        counts = [1 if isinstance(readers, int) else len(readers) for readers in self.readers.values()]
        assert sum(counts) == self.item_count
