"""Requests for slots whose owner is about to change wait here, and run again once that is decided.

First writes wait, so that the rest of them can be sent; then, when the other side may have taken over
already, reads too, since it may have changed what we would answer. A request without keys that may write (a
script) waits as well. Nobody else pays: the slots leave the dispatcher's fast path (`Slots`), and the gate
is one look at an empty table while no hand-over is on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gossip.slots import SlotSet
from node.clients import POSTPONED
from node.command.registry import Command
from node.command.session import Block, Session
from node.command.spec import Flag

_MAY_WRITE = Flag.WRITE | Flag.MAY_REPLICATE


class Slots(Protocol):
    """Who keeps requests for a slot off the fast path."""

    def hold(self, slot: int) -> None: ...
    def free(self, slot: int) -> None: ...


class Hold:
    """The slots that are held; `end_block` is that of node.clients."""

    def __init__(self, slots: Slots, end_block: Callable[[Session], None]) -> None:
        self._slots = slots
        self._end_block = end_block
        self._held: dict[int, bool] = {}  # slot → whether reads wait too
        self._waiting: list[Session] = []

    @property
    def is_on(self) -> bool:
        return bool(self._held)

    def close(self, slots: SlotSet, *, reads: bool) -> None:
        """Holds requests for these slots; those held already may get stricter."""
        for slot in slots:
            if slot not in self._held:
                self._slots.hold(slot)
            self._held[slot] = reads

    def open(self, slots: SlotSet) -> None:
        """Lets requests for these slots go on, and whoever waits ask again."""
        found = False
        for slot in slots:
            if self._held.pop(slot, None) is not None:
                self._slots.free(slot)
                found = True
        if not found:
            return
        waiting, self._waiting = self._waiting, []
        for session in waiting:
            self._end_block(session)
            session.transport.resume()

    def gate(self, session: Session, command: Command, argv: list[bytes]) -> Block | None:
        """To stand behind the gate that finds the slot."""
        held = self._held
        if not held or session.from_primary:
            return None
        writes = bool(command.flags & _MAY_WRITE)
        if command.has_keys and _has_keys(command, argv):
            reads = held.get(session.call.slot)
            if reads is None or not (reads or writes):
                return None
        elif not writes:
            return None
        self._waiting.append(session)
        return Block(
            POSTPONED, None, lambda: b"", lambda: self._forget(session), retry=True, may_time_out=False
        )

    def _forget(self, session: Session) -> None:
        if session in self._waiting:
            self._waiting.remove(session)


def _has_keys(command: Command, argv: list[bytes]) -> bool:
    try:
        return bool(command.keys_of(argv))
    except ValueError:
        return False
