"""Who is alive: heartbeats, suspicion, and the verdict of the majority.

    healthy ──no answer for the node time-out─────▶ pfail ──a majority of primaries reports it──▶ failed
    healthy ──connections refused (see below)─────▶ pfail
    pfail ──it answers──▶ healthy         failed ──it answers, and `_clear_if_due` agrees──▶ healthy

Each member is looked at when its next deadline comes, never all of them at once. It is sent a PING when it
was not heard from for half the node time-out, and once a second the one of five random members heard from
longest ago gets one. Anything received from a member proves it alive, but only a PONG on our own link ends
a wait.

Suspicion (`pfail`) is ours alone, and every heartbeat tells it. A primary's report about a member is kept for
twice the node time-out. When we suspect a member ourselves and the reports, with ours if we vote, make a
majority of the slot-serving primaries, the member has failed, and a FAIL message makes everyone agree. The
majority is weak: reports are gathered over a while, not at one instant. It need not be better, since a
fail-over is decided by votes in an epoch.

Refused connections as evidence (our addition). A host that answers a connection attempt with a reset is up,
and nothing listens on that port: the process died. So a member that we have had a PONG from, and that refuses
us twice or more over `refusal_window_ms`, is suspected at once instead of after the node time-out. It changes
only when suspicion starts: the majority must still agree, and a process that restarts within the window is
never suspected. A node in handshake is never judged so.

A primary that begins to suspect another primary sends a heartbeat to that one's replicas at once: they are
the ones who must learn of the majority to act. That is a handful of messages per primary, whatever the
cluster's size, and saves the wait for the next regular heartbeats.

Source: the Redis cluster specification, "Failure detection" and "Heartbeat and gossip messages".
"""

from __future__ import annotations

from gossip.context import Context, Duty
from gossip.effects import LogLevel
from gossip.links import RETRY_MS, Links
from gossip.member import Member
from gossip.messages import Fail
from gossip.speaker import Speaker

REPORT_VALIDITY_TIMEOUTS = 2
UNDO_TIMEOUTS = 2
RANDOM_PING_MS = 1_000
RANDOM_PING_CANDIDATES = 5


class Detector:
    def __init__(self, ctx: Context, speaker: Speaker, links: Links) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self._links = links

    # one member's deadline

    def examine(self, member: Member) -> None:
        """Connect, reconnect, ping or suspect a member, whichever is due, and set its next deadline."""
        ctx = self._ctx
        if member.no_address:
            return
        if member.link is None:
            self._links.connect(member)
        elif member.ping_sent_ms and ctx.now_ms >= self._links.stale_at_ms(member):
            self._links.close(member.link)
            self._links.connect(member)
        elif ctx.now_ms >= self._ping_at_ms(member):
            self._speaker.ping(member.link)
        if self._timed_out(member):
            self.suspect(member)
        ctx.timers.by(member, max(self._next_ms(member), ctx.now_ms + 1))

    def _next_ms(self, member: Member) -> int:
        ctx = self._ctx
        if member.ping_sent_ms == 0:
            return self._ping_at_ms(member)
        if member.handshake:
            return member.created_ms + ctx.settings.handshake_timeout_ms + 1
        stale_ms = self._links.stale_at_ms(member) if member.link is not None else ctx.now_ms + RETRY_MS
        return stale_ms if member.unreachable else min(stale_ms, self._timeout_at_ms(member))

    def _ping_at_ms(self, member: Member) -> int:
        if member.link is None or not member.link.is_open or member.ping_sent_ms or member.handshake:
            return self._ctx.now_ms + self._ctx.settings.node_timeout_ms
        return member.pong_received_ms + self._ctx.settings.heartbeat_ms + 1

    def _timeout_at_ms(self, member: Member) -> int:
        heard_ms = max(member.ping_sent_ms, member.data_received_ms)
        return heard_ms + self._ctx.settings.node_timeout_ms + 1

    def _timed_out(self, member: Member) -> bool:
        waiting = member.ping_sent_ms and not member.handshake
        return bool(waiting) and self._ctx.now_ms >= self._timeout_at_ms(member)

    def ping_random(self) -> None:
        """Once a second: of five random members, ping the one heard from longest ago."""
        ctx = self._ctx
        oldest: Member | None = None
        for _ in range(RANDOM_PING_CANDIDATES):
            member = ctx.state.random_member(ctx.rng)
            if member.myself or member.handshake or member.ping_sent_ms or member.link is None:
                continue
            if oldest is None or member.pong_received_ms < oldest.pong_received_ms:
                oldest = member
        if oldest is not None:
            self._speaker.ping(oldest.link)
        ctx.timers.at(Duty.RANDOM_PING, ctx.now_ms + RANDOM_PING_MS)

    # suspicion

    def suspect(self, member: Member) -> None:
        """We cannot reach the member."""
        ctx = self._ctx
        if member.unreachable:
            return
        member.pfail = True
        ctx.suspected[member.node_id] = member
        ctx.recheck()
        ctx.log(LogLevel.DEBUG, f"*** NODE {member.node_id} possibly failing")
        self.judge(member)
        if ctx.me.votes and member.votes:
            for replica in member.replicas:
                if not (replica.myself or replica.unreachable):
                    self._speaker.ping(replica.link)

    def refused(self, member: Member) -> None:
        """The member's host says that nothing listens on its bus port."""
        ctx = self._ctx
        if not ctx.settings.refusals_are_evidence or member.handshake or not member.reached:
            return
        if member.refused_since_ms == 0:
            member.refused_since_ms = ctx.now_ms
        elif ctx.now_ms - member.refused_since_ms >= ctx.settings.refusal_window_ms:
            self.suspect(member)

    def answered(self, member: Member) -> None:
        """A PONG came on our own link."""
        ctx = self._ctx
        member.pong_received_ms = ctx.now_ms
        member.ping_sent_ms = member.refused_since_ms = 0
        member.reached = True
        ctx.timers.by(member, ctx.now_ms + ctx.settings.heartbeat_ms + 1)
        if member.pfail:
            self._trust(member)
            ctx.save()
        elif member.failed:
            self._clear_if_due(member)

    def _trust(self, member: Member) -> None:
        member.pfail = False
        ctx = self._ctx
        ctx.suspected.pop(member.node_id, None)
        ctx.recheck()

    # reports and verdict

    def report(self, about: Member, reporter: Member) -> None:
        """A voting primary says that it cannot reach `about`."""
        if reporter.node_id not in about.failure_reports:
            text = f"Node {reporter.label} reported node {about.label} as not reachable."
            self._ctx.log(LogLevel.VERBOSE, text)
        about.failure_reports[reporter.node_id] = self._ctx.now_ms
        self.judge(about)

    def withdraw(self, about: Member, reporter: Member) -> None:
        """The reporter can reach `about` (again)."""
        if about.failure_reports.pop(reporter.node_id, None) is not None:
            text = f"Node {reporter.label} reported node {about.label} is back online."
            self._ctx.log(LogLevel.VERBOSE, text)

    def count_reports(self, member: Member) -> int:
        """Reports about the member that still hold, ours not included."""
        reports = member.failure_reports
        if reports:
            oldest_ms = self._ctx.now_ms - REPORT_VALIDITY_TIMEOUTS * self._ctx.settings.node_timeout_ms
            for reporter in [name for name, told_ms in reports.items() if told_ms < oldest_ms]:
                del reports[reporter]
        return len(reports)

    def judge(self, member: Member) -> None:
        """Declare a suspected member failed if a majority of the voting primaries reports it."""
        ctx = self._ctx
        if not member.pfail:
            return
        if self.count_reports(member) + ctx.me.votes < ctx.state.quorum:
            return
        ctx.log(LogLevel.NOTICE, f"Marking node {member.label} as failing (quorum reached).")
        self.mark_failed(member)
        self._speaker.broadcast(Fail(self._speaker.header(), member.node_id))

    def mark_failed(self, member: Member) -> None:
        """The majority's verdict, found here or heard from another node."""
        ctx = self._ctx
        self._trust(member)
        member.failed = True
        member.failed_ms = ctx.now_ms
        ctx.save()

    def _clear_if_due(self, member: Member) -> None:
        """A failed member answers again.

        A replica, or a primary without slots, is well at once. A primary that still owns slots after twice
        the node time-out was not replaced, so it is taken back; sooner, a fail-over may be under way.
        """
        ctx = self._ctx
        if not member.slots:
            what = "replica" if member.is_replica else "master without slots"
            why = f"{what} is reachable again."
        elif ctx.now_ms - member.failed_ms > UNDO_TIMEOUTS * ctx.settings.node_timeout_ms:
            why = "is reachable again and nobody is serving its slots after some time."
        else:
            return
        ctx.log(LogLevel.NOTICE, f"Clear FAIL state for node {member.label}: {why}")
        member.failed = False
        ctx.save()
        ctx.recheck()

    def shift(self, gap_ms: int) -> None:
        """We did not run for a while: that says nothing about the members, so give them the time again."""
        now_ms = self._ctx.now_ms
        for member in self._ctx.state.others():
            if member.ping_sent_ms:
                member.ping_sent_ms = min(member.ping_sent_ms + gap_ms, now_ms)
            if member.data_received_ms:
                member.data_received_ms = min(member.data_received_ms + gap_ms, now_ms)
