"""The clients of a node: who is connected, and CLIENT PAUSE.

A paused node keeps requests where they are: a session whose request must wait is blocked, its later requests
stay in order behind it, and all go on when the pause ends. A pause for writes concerns commands that may
change data; one for all concerns everything but what replicas and the primary send.

Source: https://redis.io/commands/client-pause/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from node.clock import Clock
from node.command.session import Block, Session
from node.guards import Guard, Guards
from node.timers import Timer, Timers

POSTPONED = b"postponed"
"""The kind of block of a request that waits for the end of a pause."""


class Pause:
    """One reason to hold requests back. A node may be paused by a client and by a fail-over at once."""

    __slots__ = ("all_commands", "until_ms")

    def __init__(self, until_ms: int, all_commands: bool) -> None:
        self.until_ms = until_ms
        self.all_commands = all_commands


class Clients:
    """Sessions by id; ids are never used twice."""

    def __init__(self, clock: Clock, guards: Guards, timers: Timers) -> None:
        self._clock = clock
        self._guards = guards
        self._timers = timers
        self._timer: Timer | None = None
        self._pauses: dict[str, Pause] = {}
        self._postponed: list[Session] = []
        self.next_ids = count(1)
        self.sessions: dict[int, Session] = {}
        self.on_pause_change: Callable[[], None] = lambda: None
        self.on_removed: list[Callable[[Session], None]] = []

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self.sessions.values()))

    def add(self, session: Session) -> None:
        self.sessions[session.id] = session

    def remove(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        self.end_block(session)
        for callback in self.on_removed:
            callback(session)

    # Blocking

    def block(self, session: Session, block: Block) -> None:
        """Makes `session` wait; its time-out is armed here."""
        session.blocked = block
        if block.deadline_ms is not None:
            block.timer = self._timers.at(block.deadline_ms, lambda: self._time_out(session, block))

    def unblock(self, session: Session, reply: bytes) -> None:
        """Answers a blocked session and lets it go on."""
        self.end_block(session)
        admitted = session.admitted(reply)
        if admitted is not None:
            session.transport.send(admitted)
        session.transport.resume()

    def end_block(self, session: Session) -> None:
        """Forgets what `session` waits for."""
        block, session.blocked = session.blocked, None
        if block is not None:
            if block.timer is not None:
                block.timer.cancel()
            block.cancel()

    def _time_out(self, session: Session, block: Block) -> None:
        if session.blocked is block:
            self.unblock(session, block.timed_out())

    def blocked(self) -> list[Session]:
        """The sessions in blocking commands; those that a pause holds back are not among them."""
        return [s for s in self.sessions.values() if s.blocked is not None and s.blocked.kind != POSTPONED]

    # Pausing

    def pause(self, reason: str, until_ms: int, all_commands: bool) -> None:
        """Holds requests back; a second pause for the same reason never shortens or softens the first."""
        held = self._pauses.get(reason)
        if held is not None and held.until_ms > self._clock.now_ms:
            until_ms = max(until_ms, held.until_ms)
            all_commands = all_commands or held.all_commands
        self._pauses[reason] = Pause(until_ms, all_commands)
        self._pauses_changed()

    def unpause(self, reason: str) -> None:
        if self._pauses.pop(reason, None) is not None:
            self._pauses_changed()

    def paused(self) -> Pause | None:
        """The pauses that hold now, as one."""
        held = [pause for pause in self._pauses.values() if pause.until_ms > self._clock.now_ms]
        if not held:
            return None
        return Pause(max(p.until_ms for p in held), any(p.all_commands for p in held))

    def postpone(self, session: Session) -> Block:
        """The block of a request that must wait for the end of the pause; it is run again then."""
        self._postponed.append(session)
        return Block(
            POSTPONED,
            None,
            lambda: b"",
            lambda: self._postponed.remove(session),
            retry=True,
            may_time_out=False,
        )

    def _pauses_changed(self) -> None:
        now_ms = self._clock.update()
        self._pauses = {why: pause for why, pause in self._pauses.items() if pause.until_ms > now_ms}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pauses:
            next_ms = min(pause.until_ms for pause in self._pauses.values())
            self._timer = self._timers.at(next_ms, self._pauses_changed)
        self._guards.set(Guard.PAUSED, bool(self._pauses))
        for session in list(self._postponed):
            self.end_block(session)
            session.transport.resume()
        self.on_pause_change()
