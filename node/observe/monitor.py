"""MONITOR: clients that are told each command that ran, and when, where and by whom.

A command is told when it has run (what it did to the session shows: SELECT tells the new database), so EXEC
comes behind what it ran; a script is told before what it runs. Administrative commands are not told, and no
secret is. While nobody monitors, nobody comes here; while somebody does, no request goes the fast path.

Source: https://redis.io/commands/monitor/
"""

from __future__ import annotations

import time
from collections.abc import Callable

from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.observe.redaction import redacted
from node.words import quote


class Monitors:
    """Who monitors. `on_change` is told whether anybody does; `in_script` says whether a script runs in a
    session's name.
    """

    def __init__(self, send: Callable[[Session, bytes], None]) -> None:
        """`send` queues a line for a session, behind the reply to a command of its own."""
        self._send = send
        self._sessions: dict[int, Session] = {}
        self.on_change: Callable[[bool], None] = lambda _anybody: None
        self.in_script: Callable[[Session], bool] = lambda _session: False

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Session) -> None:
        session.monitors = True
        session.update_guard()
        self._sessions[session.id] = session
        self.on_change(True)

    def remove(self, session: Session) -> None:
        """Also for one that does not monitor, or has ended."""
        if not session.monitors:
            return
        session.monitors = False
        session.update_guard()
        del self._sessions[session.id]
        self.on_change(bool(self._sessions))

    def feed(self, session: Session, command: Command, argv: list[bytes]) -> None:
        if command.flags & Flag.ADMIN:
            return
        peer = b"lua" if self.in_script(session) else session.address
        now_us = time.time_ns() // 1000
        line = b"+%d.%06d [%d %b] %b\r\n" % (
            now_us // 1_000_000,
            now_us % 1_000_000,
            session.call.db.index,
            peer,
            b" ".join(map(quote, redacted(command, argv))),
        )
        for each in self._sessions.values():
            self._send(each, line)
