"""MONITOR: see node.observe.monitor."""

from __future__ import annotations

from node.command.call import Call
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command
from node.errors import CommandError
from node.observe.monitor import Monitors
from node.resp.encode import OK


@command(
    b"MONITOR", arity=1, group="server", since="1.0.0", flags=ADMIN | NOSCRIPT | LOADING | STALE,
    needs=Monitors,
)  # fmt: skip
def monitor(monitors: Monitors, call: Call, _argv: list[bytes]) -> bytes:
    """Tells all commands that run, as they run."""
    session = call.session
    if session.deny_blocking:
        raise CommandError(b"ERR MONITOR isn't allowed for DENY BLOCKING client")
    if session.monitors or session.is_replica:
        return b""
    monitors.add(session)
    return OK
