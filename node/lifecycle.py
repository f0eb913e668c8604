"""The end of the process: who asks for it, and that it happens once."""

from __future__ import annotations

from collections.abc import Callable

import trio

from node.log import Log


class Lifecycle:
    """`before_exit` runs, in order, when a shutdown was requested and before sockets are closed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._requested = trio.Event()
        self.before_exit: list[Callable[[], None]] = []
        self.exit_status = 0

    @property
    def is_ending(self) -> bool:
        return self._requested.is_set()

    def request_shutdown(self, why: str, exit_status: int = 0) -> None:
        """Ends the process soon; the first request counts."""
        if self.is_ending:
            return
        self._log.notice(why)
        self.exit_status = exit_status
        self._requested.set()

    async def wait(self) -> None:
        """Returns when a shutdown has been requested."""
        await self._requested.wait()
