"""A primary that was away does not trust itself: it serves again when a majority has answered it.

A process can stop for a long time without noticing: SIGSTOP, a suspended laptop, a hypervisor that
schedules others. When it runs again, requests wait in its sockets, and by its own tables it is the primary;
but if it was away for longer than the node time-out, a replica may have been elected, and every write it
acknowledges would be lost. Redis and Valkey acknowledge them. So when the core notices that its own time
has a gap longer than the node time-out, a primary's state is not ok from that moment (`Down.PAUSED`),
before any socket is served. The same holds at start for a primary that comes back with slots from its file
(`Down.REJOINING`).

It then asks every voting primary by a PING and serves again when, itself included, a majority of them has
answered it. What counts as an answer:
- It is a PONG to a PING sent after the gap. A link keeps order, so those due from before are counted off.
- Its gossip does not call us failing. (Shoal nodes tell a failed receiver so; redis-server tells a
  suspected one.) Such a peer is asked again every ASK_AGAIN_MS: it changes its mind when it hears from us,
  or when twice the node time-out has shown that nobody replaced us.
- If its current epoch is greater than ours was before the gap, an election has taken place somewhere, and its
  outcome may still be on its way to us: we wait for the rejoin delay on top.

A majority that has not voted up to an epoch leaves none that could have elected our replica in it. If we were
replaced, the claim of the new primary, or an UPDATE from anyone, makes us its replica meanwhile.

The gap is no evidence against others either: what we waited for from them gets its time again
(`Detector.shift`).
"""

from __future__ import annotations

from gossip.context import Context, Duty
from gossip.effects import LogLevel
from gossip.hearsay import UNREACHABLE
from gossip.member import Link, LinkId, Member
from gossip.messages import NodeId, Ping
from gossip.speaker import Speaker

ASK_AGAIN_MS = 100


class Confirmation:
    """`active` while we wait to be confirmed; `paused` tells a gap from a start."""

    def __init__(self, ctx: Context, speaker: Speaker) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self.active = False
        self.paused = False
        self._epoch_before = 0
        self._hold_until_ms = 0
        self._confirmed: set[NodeId] = set()
        self._doubted: dict[NodeId, Member] = {}
        self._stale_pongs: dict[LinkId, int] = {}

    def begin(self, *, paused: bool) -> None:
        """Distrust ourselves from now on, if we are a voting primary among others."""
        ctx = self._ctx
        if not ctx.me.votes or ctx.state.size < 2:
            return
        self.active, self.paused = True, paused
        self._epoch_before = ctx.state.current_epoch
        self._hold_until_ms = 0
        self._confirmed.clear()
        self._doubted.clear()
        self._stale_pongs.clear()
        for voter in ctx.state.voters():
            if voter.link is not None:
                self._stale_pongs[voter.link.id] = voter.link.unanswered
                self._speaker.ping(voter.link)
        ctx.recheck()

    def answered(self, member: Member, link: Link, pong: Ping) -> None:
        """A PONG came on our own link."""
        if not self.active:
            return
        ctx = self._ctx
        stale = self._stale_pongs.get(link.id, 0)
        if stale:
            self._stale_pongs[link.id] = stale - 1
            return
        if any(entry.node == ctx.me.node_id and entry.flags & UNREACHABLE for entry in pong.gossip):
            self._doubted[member.node_id] = member
            ctx.timers.by(Duty.CONFIRM, ctx.now_ms + ASK_AGAIN_MS)
            return
        self._doubted.pop(member.node_id, None)
        self._confirmed.add(member.node_id)
        if pong.header.current_epoch > self._epoch_before and not self._hold_until_ms:
            self._hold_until_ms = ctx.now_ms + ctx.settings.rejoin_delay_ms
        self.proceed()

    def proceed(self) -> None:
        """See whether we are confirmed, and ask those again who doubted us."""
        ctx = self._ctx
        if not self.active:
            return
        for member in self._doubted.values():
            if member.link is not None and not member.link.unanswered:
                self._speaker.ping(member.link)
            ctx.timers.by(Duty.CONFIRM, ctx.now_ms + ASK_AGAIN_MS)
        if ctx.me.votes:
            count = sum(voter.myself or voter.node_id in self._confirmed for voter in ctx.state.voters())
            if count < ctx.state.quorum:
                return
            if ctx.now_ms < self._hold_until_ms:
                ctx.timers.by(Duty.CONFIRM, self._hold_until_ms)
                return
            if self.paused:
                ctx.log(LogLevel.NOTICE, "Confirmed by a majority of masters after the pause.")
        self.active = self.paused = False
        self._doubted.clear()
        ctx.recheck()
