"""The end of the process: asked for, perhaps waited for, prepared, and perhaps given up.

A shutdown is requested by a signal, by SHUTDOWN, or by a part of the node that cannot go on. Unless it is to
be at once, it first waits, with writes held back, for replicas that have not got everything yet, at most
`shutdown-timeout` seconds; meanwhile SHUTDOWN ABORT can call it off. Then the data set is saved, if it is to
be; when that fails the node goes on serving, unless the shutdown is forced.

Source: https://redis.io/commands/shutdown/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import trio

from node.clients import Clients
from node.config.config import Config
from node.config.table import SHUTDOWN_TIMEOUT
from node.integers import INT64_MAX
from node.log import Log

_LOOK_AGAIN_S = 0.02
_REASON = "shutdown"


class ShutdownError(Exception):
    """What had to be done before the exit could not be done; the text says why."""


class ShutdownOptions(NamedTuple):
    """`save` None: as configured. `now`: wait for no replica. `force`: exit even if saving fails."""

    save: bool | None = None
    now: bool = False
    force: bool = False


def _nothing_saves(save: bool | None) -> None:
    if save:
        raise ShutdownError("This version keeps no snapshots on disk: there is nothing to save to.")


class Lifecycle:
    """`before_exit` runs, in order, when nothing can hold up the exit any more and sockets are still open.

    `lagging` are callables that each describe replicas which lack data; `final_save` is called with
    ShutdownOptions.save and raises ShutdownError; `on_failure` are called, and forgotten, when a shutdown
    is given up.
    """

    def __init__(self, log: Log, config: Config, clients: Clients) -> None:
        self._log = log
        self._config = config
        self._clients = clients
        self._requested = trio.Event()
        self._aborted = trio.Event()
        self._prepared = False
        self._options = ShutdownOptions()
        self.is_signalled = False  # a signal has come whose request the loop has not come to yet
        self.lagging: list[Callable[[], list[str]]] = []
        self.final_save: Callable[[bool | None], None] = _nothing_saves
        self.before_exit: list[Callable[[], None]] = []
        self.on_failure: list[Callable[[], None]] = []
        self.exit_status = 0

    @property
    def is_ending(self) -> bool:
        return self._requested.is_set()

    def request_shutdown(
        self, why: str, exit_status: int = 0, options: ShutdownOptions | None = None
    ) -> None:
        """Ends the process soon; the first request counts. With an exit status other than 0, at once."""
        if self.is_ending:
            return
        self._log.notice(why)
        self.exit_status = exit_status
        self._options = options or ShutdownOptions(now=exit_status != 0, force=exit_status != 0)
        self._requested.set()

    def abort(self) -> bool:
        """Calls a shutdown off; False when none is on, or it is too late."""
        if not self.is_ending or self._prepared:
            return False
        self._log.notice("Shutdown manually aborted.")
        self._aborted.set()
        self._give_up()
        return True

    async def wait(self) -> None:
        """Returns when the process is to end now."""
        while True:
            await self._requested.wait()
            aborted = self._aborted
            await self._wait_for_replicas(aborted)
            if not aborted.is_set() and self._prepare():
                return

    async def _wait_for_replicas(self, aborted: trio.Event) -> None:
        timeout_s = self._config[SHUTDOWN_TIMEOUT]
        if self._options.now or not timeout_s or not self._lagging():
            return
        self._log.notice("Waiting for replicas before shutting down.")
        self._clients.pause(_REASON, INT64_MAX, all_commands=False)
        with trio.move_on_after(timeout_s):
            while self._lagging() and not aborted.is_set():
                with trio.move_on_after(_LOOK_AGAIN_S):
                    await aborted.wait()

    def _lagging(self) -> list[str]:
        return [replica for describe in self.lagging for replica in describe()]

    def _prepare(self) -> bool:
        """Does what must be done before the exit; False when it cannot be, and the node goes on."""
        for replica in self._lagging():
            self._log.notice(f"Lagging replica {replica}.")
        try:
            self.final_save(self._options.save)
        except ShutdownError as refused:
            self._log.warning(str(refused))
            if not self._options.force:
                self._log.warning(
                    "Errors trying to shut down the server. Check the logs for more information."
                )
                self._give_up()
                return False
        self._prepared = True
        for work in self.before_exit:
            work()
        return True

    def _give_up(self) -> None:
        self._requested, self._aborted = trio.Event(), trio.Event()
        self._clients.unpause(_REASON)
        failed, self.on_failure = self.on_failure, []
        for tell in failed:
            tell()
