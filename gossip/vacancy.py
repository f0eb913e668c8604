"""A primary that comes back without its data lets its replicas speak before it serves.

Restarted without persistence, or with its files gone, it owns its slots by nodes.conf and holds nothing,
while a replica may hold everything and is about to take its place (what makes it do so is not the core's
business). Whatever the primary told clients until then would be wrong, and whatever it took from them would
be lost. So from the moment when all else would let it serve, it waits. That ends when

- it is a primary no more: a replica has taken over;
- as many replicas have said that they hold what it holds (`Host.replicas_in_step`) as it knows replicas that
  have not failed: none of them has anything to give back; or
- MIN_LIMIT_MS or LIMIT_TIMEOUTS node time-outs are over: whoever was to take over cannot.

Who comes back with data, or without replicas, or has served once, never waits here.
"""

from __future__ import annotations

from gossip.context import Context, Duty
from gossip.effects import LogLevel

LIMIT_TIMEOUTS = 2
MIN_LIMIT_MS = 5_000
LOOK_PERIOD_MS = 100


class Vacancy:
    """`begin` says that nothing was there at the start; `holds` is asked when nothing else is in the way."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._wanted = False
        self._until_ms = 0

    def begin(self) -> None:
        """The data are gone: whoever knows them is to be waited for."""
        ctx = self._ctx
        if ctx.me.is_primary and ctx.me.slots and ctx.me.replicas:
            self._wanted = True
            ctx.recheck()

    def holds(self) -> bool:
        """Whether the wait goes on; it begins with the first call after `begin`."""
        if not self._wanted:
            return False
        ctx = self._ctx
        if not ctx.me.is_primary:
            self._end()
            return False
        if not self._until_ms:
            limit_ms = max(LIMIT_TIMEOUTS * ctx.settings.node_timeout_ms, MIN_LIMIT_MS)
            self._until_ms = ctx.now_ms + limit_ms
            ctx.log(
                LogLevel.WARNING,
                "This master was restarted without its data: it serves when its replicas have shown what they"
                f" hold, at most {limit_ms} milliseconds from now.",
            )
        awaited = sum(not replica.failed for replica in ctx.me.replicas)
        if ctx.host.replicas_in_step() >= awaited:
            ctx.log(LogLevel.NOTICE, "No replica holds more than this master, which serves from now on.")
            self._end()
            return False
        if ctx.now_ms >= self._until_ms:
            text = "No replica has taken over or asked for our data: this master serves without its data."
            ctx.log(LogLevel.WARNING, text)
            self._end()
            return False
        ctx.timers.by(Duty.HEALTH, min(ctx.now_ms + LOOK_PERIOD_MS, self._until_ms))
        return True

    def _end(self) -> None:
        self._wanted = False
        self._until_ms = 0
