"""Who waits for replicas to have acknowledged an offset: WAIT, and whatever holds something back until then.

Replicas that keep an append-only file also tell the offset that is safe on their disk, for WAITAOF.

Source: https://redis.io/commands/wait/, https://redis.io/commands/waitaof/
"""

from __future__ import annotations

from collections.abc import Callable

from node.replication.replicas import Replicas, State


class Waiter:
    """One wait; `cancel()` forgets it."""

    __slots__ = ("callback", "count", "offset")

    def __init__(self, offset: int, count: int, callback: Callable[[int], None]) -> None:
        self.offset = offset
        self.count = count
        self.callback: Callable[[int], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Acks:
    """Counts acknowledgements and calls those back who waited for them."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._waiters: list[Waiter] = []
        self.wanted = False  # replicas are to be asked for an acknowledgement at the end of this turn
        self.wanted_synced = False  # and to sync before, if they can
        self.on_ack: list[Callable[[], None]] = []

    def count(self, offset: int) -> int:
        """How many replicas have acknowledged `offset`."""
        return sum(r.state is State.ONLINE and r.ack_offset >= offset for r in self._replicas)

    def count_synced(self, offset: int) -> int:
        """How many replicas have `offset` on disk."""
        return sum(r.state is State.ONLINE and r.synced_offset >= offset for r in self._replicas)

    def wait(self, offset: int, count: int, callback: Callable[[int], None]) -> Waiter:
        """Calls back once, with their number, when `count` replicas have acknowledged `offset`.

        Replicas are asked at once for how far they are.
        """
        waiter = Waiter(offset, count, callback)
        self._waiters.append(waiter)
        self.wanted = True
        return waiter

    def arrived(self) -> None:
        """An acknowledgement has come in: answers whom it satisfies."""
        for look in tuple(self.on_ack):
            look()
        if not self._waiters:
            return
        still: list[Waiter] = []
        ready: list[tuple[Waiter, int]] = []
        for waiter in self._waiters:
            if waiter.callback is None:
                continue
            have = self.count(waiter.offset)
            if have >= waiter.count:
                ready.append((waiter, have))
            else:
                still.append(waiter)
        self._waiters = still
        for waiter, have in ready:
            if waiter.callback is not None:
                waiter.callback(have)
