"""SIGTERM and SIGINT: the node ends in good order, and at once for whoever sends SIGINT twice.

The handlers are Python's own and not trio's, so that the second SIGINT works even while a command keeps the
loop busy.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio

from node.config.config import Config
from node.config.table import SHUTDOWN_ON_SIGINT, SHUTDOWN_ON_SIGTERM
from node.lifecycle import Lifecycle, ShutdownOptions
from node.log import Log


@contextmanager
def shutdown_signals(config: Config, lifecycle: Lifecycle, log: Log) -> Iterator[None]:
    """While this is entered, from a trio task, signals request a shutdown."""
    token = trio.lowlevel.current_trio_token()
    asked: list[str] = []  # requests that the loop has not come to yet

    def request(options: ShutdownOptions) -> None:
        asked.clear()
        lifecycle.is_signalled = False
        lifecycle.request_shutdown("User requested shutdown...", options=options)

    def received(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGINT and (asked or lifecycle.is_ending):
            log.warning("You insist... exiting now.")
            os._exit(1)
        log.warning(f"Received {name} scheduling shutdown...")
        asked.append(name)
        lifecycle.is_signalled = True
        flags = config[SHUTDOWN_ON_SIGINT if number == signal.SIGINT else SHUTDOWN_ON_SIGTERM]
        token.run_sync_soon(request, _options(flags))

    before = {number: signal.signal(number, received) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _options(flags: frozenset[str]) -> ShutdownOptions:
    save = True if "save" in flags else False if "nosave" in flags else None
    return ShutdownOptions(save, "now" in flags, "force" in flags)
