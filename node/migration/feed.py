"""Changes to slots that move, picked out of all that replicas are told.

We are among the tellers of server/after.py only while a migration runs. A command is for the slot of its
first key (all its keys are in one). The bounds of transactions are left out: what the target gets becomes
visible at once, and a hand-over never comes between two commands of one transaction, which run in one turn.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.slots import SlotSet, key_slot
from node.command.registry import Table
from node.migration.snapshot import encode

Take = Callable[[bytes], None]
Teller = Callable[[int, list[bytes]], None]


class Feed:
    """`tellers` are those of server/after.py."""

    def __init__(self, tellers: list[Teller]) -> None:
        self._tellers = tellers
        self._takers: dict[int, Take] = {}
        self.table: Table | None = None  # set by the application

    def begin(self, slots: SlotSet, take: Take) -> None:
        """From now on changes to these slots go to `take`, encoded."""
        for slot in slots:
            self._takers[slot] = take
        if self._tell not in self._tellers:
            self._tellers.append(self._tell)

    def end(self, slots: SlotSet) -> None:
        for slot in slots:
            self._takers.pop(slot, None)
        if not self._takers and self._tell in self._tellers:
            self._tellers.remove(self._tell)

    def _tell(self, _db_index: int, words: list[bytes]) -> None:
        assert self.table is not None
        if words[0] in self.table.fast_all and len(words) > 1:
            slot = key_slot(words[1])
        else:
            command = self.table.lookup(words[0])
            if command is not None and command.subcommands is not None and len(words) > 1:
                command = command.subcommands.get(words[1].upper())
            if command is None or not command.has_keys:
                return
            try:
                keys = command.keys_of(words)
            except ValueError:
                return
            if not keys:
                return
            slot = key_slot(words[keys[0][0]])
        take = self._takers.get(slot)
        if take is not None:
            take(encode(tuple(words)))
