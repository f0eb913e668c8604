"""What each slot costs: commands, their time, and the bytes of requests and replies.

Counted only while cluster-slot-stats-enabled is yes. Then nothing takes the dispatcher's fast path and the
full path runs commands through `counted`; otherwise nobody knows that this is here. A transaction is counted
as one command with all that it does; a command that waits is counted when it is asked, not when it is served.

Source: https://valkey.io/commands/cluster-slot-stats/; `operations` is our own.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from gossip.slots import SLOT_COUNT, key_slot
from node.command.registry import Command
from node.command.session import Session
from node.resp.request import wire_length

Run = Callable[[Session, Command, list[bytes]], bytes | None]
"""Runs a command that has passed the gates; None when the reply does not come now."""

COUNTED = ("cpu-usec", "network-bytes-in", "network-bytes-out", "operations")

_MULTI_BYTES = 15


class SlotCounters:
    """One per node. `totals` is None while nothing is counted, else an array of a number by slot each."""

    def __init__(self, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now_ns = now_ns
        self.totals: dict[str, array[int]] | None = None

    def enable(self, enabled: bool) -> None:
        """Counting begins at 0."""
        self.totals = {name: array("Q", bytes(8 * SLOT_COUNT)) for name in COUNTED} if enabled else None

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.enable(self.totals is not None)

    def forget(self, served: Callable[[int], bool]) -> None:
        """Slots that are another node's now are counted anew should they come back."""
        for counts in (self.totals or {}).values():
            for slot, count in enumerate(counts):
                if count and not served(slot):
                    counts[slot] = 0

    def counted(self, run: Run) -> Run:
        """`run`, counting what it runs."""

        def run_counted(session: Session, command: Command, argv: list[bytes]) -> bytes | None:
            totals = self.totals
            slot, received = _subject(session, command, argv)
            if totals is None or slot is None:
                return run(session, command, argv)
            start_ns = self._now_ns()
            reply = run(session, command, argv)
            totals["cpu-usec"][slot] += (self._now_ns() - start_ns) // 1000
            totals["operations"][slot] += 1
            if session.blocked is None:
                totals["network-bytes-in"][slot] += received
            totals["network-bytes-out"][slot] += len(reply or b"")
            return reply

        return run_counted


def _subject(session: Session, command: Command, argv: list[bytes]) -> tuple[int | None, int]:
    """The slot a request concerns, None for none, and its size on the wire."""
    size = wire_length([argv])
    queue = session.queue
    if queue is not None and command.name == b"EXEC":
        keyed = [request for request in queue.requests if request.command.has_keys]
        size += _MULTI_BYTES + wire_length([request.argv for request in queue.requests])
        return (keyed[0].slot if keyed else None), size
    if not command.has_keys:
        return None, size
    try:
        keys = command.keys_of(argv)
    except ValueError:
        return None, size
    return (key_slot(argv[keys[0][0]]) if keys else None), size
