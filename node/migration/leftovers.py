"""Keys of slots that other nodes own now: out of sight at once, deleted little by little.

The slot's table is lifted out of the database, so no command finds its keys and none is counted. What is
left to do costs some time a key: forgetting its deadline, letting go of its value, telling replicas and the
AOF. A slot that is to come back before that is done is finished first (`finish`): a deadline of before
would be taken for the new key's, and a DEL told late would delete it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeAlias

from node.keyspace.database import Database, Value
from node.values.split_dict import SplitDict

DELETE_BATCH = 128

Partition: TypeAlias = "dict[bytes, Value] | SplitDict[Value]"


class Leftovers:
    """Those of one database. `tell` is that of server/after.py; `on_work` is called when there is some."""

    def __init__(self, database: Database, tell: Callable[[int, list[bytes]], None]) -> None:
        self._database = database
        self._tell = tell
        self._slots: dict[int, Partition] = {}
        self._keys: list[bytes] = []  # of the slot that is being worked on
        self._slot = -1
        self.on_work: Callable[[], None] = lambda: None
        self.count = 0

    def take(self, slots: Iterable[int]) -> int:
        """Lifts slots out; how many keys they have."""
        taken = 0
        for slot in slots:
            partition = self._database.lift_slot(slot)
            if partition is not None:
                self.finish((slot,))
                self._slots[slot] = partition
                taken += len(partition)
        self.count += taken
        if taken:
            self.on_work()
        return taken

    def pending(self, slots: Iterable[int]) -> int:
        """How many keys of these slots are still to be deleted."""
        return sum(len(self._slots[slot]) for slot in slots if slot in self._slots)

    def finish(self, slots: Iterable[int]) -> None:
        """Deletes what is left of these slots now."""
        for slot in slots:
            while slot in self._slots:
                self._delete_some(slot)

    def drop(self) -> None:
        """The whole data set has been replaced: nothing here is of it."""
        self._slots.clear()
        self._slot = -1
        self.count = 0

    def abandon(self) -> None:
        """The node makes no stream any more: what is left goes in silence."""
        for partition in self._slots.values():
            for key in partition:
                self._database.forget_lifted(key)
        self.drop()

    def work(self, slice_s: float) -> bool:
        """Deletes for about `slice_s`; whether some is left."""
        end_s = time.monotonic() + slice_s
        while self._slots and time.monotonic() < end_s:
            self._delete_some(self._slot if self._slot in self._slots else next(iter(self._slots)))
        return bool(self._slots)

    def _delete_some(self, slot: int) -> None:
        partition = self._slots[slot]
        if slot != self._slot:
            self._slot, self._keys = slot, list(partition)
        keys = self._keys
        batch = keys[-DELETE_BATCH:]
        del keys[-DELETE_BATCH:]
        for key in batch:
            self._database.forget_lifted(key)
            partition.pop(key, None)
        if batch:
            self._tell(self._database.index, [b"DEL", *batch])
        self.count -= len(batch)
        if not keys:
            del self._slots[slot]
            self._slot = -1
