"""Who replicates whom: taking a primary's place, following one, and the manual fail-over between both.

Taking over and following are the two transitions of a node's role. Both leave open slots and a manual
fail-over behind, are saved before anything is sent, and tell the adapter (BecomePrimary, FollowPrimary).

Manual fail-over, without losing a write:

    replica                                    primary
    CLUSTER FAILOVER ──MFSTART──▶              holds clients' writes back, its offset now stands still
                     ◀──PING, PAUSED, offset── at once, then every PING_PERIOD_MS
    processes the stream up to that offset
    asks for votes with FORCE_ACK (`gossip.election`), wins, claims the slots
                     ──PONG, new epoch──▶      becomes its replica, clients are let go and redirected

Either side gives up after TIMEOUT_MS, and the primary lets its clients go on. It holds them for twice that
long at most, so that a replica that wins at the last moment still finds them waiting. FORCE leaves the
primary out and asks for votes at once; TAKEOVER asks nobody and stamps itself a new epoch.

Source: the page of CLUSTER FAILOVER.
"""

from __future__ import annotations

from gossip.context import Context, Duty, ManualFailoverState
from gossip.effects import BecomePrimary, FollowPrimary, LogLevel, PauseWrites, ResumeWrites
from gossip.member import Link, Member
from gossip.messages import Header, ManualFailoverStart, MessageFlag
from gossip.speaker import Speaker

TIMEOUT_MS = 5_000
PAUSE_TIMEOUTS = 2
PING_PERIOD_MS = 100
ASK_PERIOD_MS = 1_000
CATCH_UP_POLL_MS = 10


class Roles:
    """The transitions of our own role."""

    def __init__(self, ctx: Context, speaker: Speaker, manual: ManualFailover) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self._manual = manual
        self._followed: tuple[str, str, int] | None = None

    def follow(self, primary: Member) -> None:
        """Become a replica of `primary`; we own no slots.

        Everybody is told: until our primary knows, it ignores our MFSTART.
        """
        ctx = self._ctx
        # A sibling of the one that is followed now: what it was told of open slots still holds.
        if ctx.me.is_primary or ctx.me.shard_id != primary.shard_id:
            ctx.state.close_slots()
        ctx.state.make_replica(ctx.me, primary)
        ctx.me.shard_id = primary.shard_id
        self._followed = None
        self.refresh()
        self._manual.reset()
        ctx.save(fsync=True)
        ctx.recheck()
        self._speaker.broadcast_pong()

    def refresh(self) -> None:
        """Point replication at our primary's address, once it is known and whenever it has moved."""
        primary = self._ctx.me.primary
        if primary is None or primary.no_address or not primary.ip:
            return
        port = primary.port_of(second=self._ctx.settings.replicates_by_second_port)
        target = (primary.node_id, primary.ip, port)
        if target != self._followed:
            self._followed = target
            self._ctx.local.append(FollowPrimary(*target))

    def promote(self) -> None:
        """Take our primary's place under our config epoch, which is new, and tell everybody."""
        ctx = self._ctx
        old = ctx.me.primary
        assert old is not None
        self.step_up()
        ctx.state.assign(old.slots, ctx.me)
        self._speaker.broadcast_pong()
        self._manual.reset()

    def step_up(self) -> None:
        """Become a primary, with the slots we have (none)."""
        ctx = self._ctx
        ctx.state.make_primary(ctx.me)
        self._followed = None
        ctx.local.append(BecomePrimary())
        ctx.save(fsync=True)
        ctx.recheck()


class ManualFailover:
    """A fail-over by agreement with the primary; the state is `Context.manual`."""

    def __init__(self, ctx: Context, speaker: Speaker) -> None:
        self._ctx = ctx
        self._speaker = speaker

    def reset(self) -> None:
        """End whatever is under way."""
        ctx = self._ctx
        if ctx.manual.paused:
            ctx.local.append(ResumeWrites())
        ctx.manual = ManualFailoverState()
        ctx.timers.cancel(Duty.MANUAL_FAILOVER)

    # the replica's side

    def start(self, *, may_ask: bool) -> None:
        """CLUSTER FAILOVER here; `may_ask`: without agreeing on an offset first."""
        ctx = self._ctx
        self.reset()
        ctx.manual.end_ms = ctx.now_ms + TIMEOUT_MS
        ctx.manual.may_ask = may_ask
        if may_ask:
            ctx.timers.at(Duty.MANUAL_FAILOVER, ctx.manual.end_ms + 1)
        else:
            self._ask_primary()

    def _ask_primary(self) -> None:
        """Sends MFSTART, and again while no answer comes: a primary ignores one who it does not know yet to
        be its replica.
        """
        ctx = self._ctx
        ctx.manual.asked_ms = ctx.now_ms
        if ctx.me.primary is not None:
            self._speaker.send(ctx.me.primary.link, ManualFailoverStart(self._speaker.header()))
        ctx.timers.at(Duty.MANUAL_FAILOVER, ctx.now_ms + ASK_PERIOD_MS)

    def observe(self, sender: Member, header: Header) -> None:
        """A header of our primary may tell at which offset it stands still."""
        ctx = self._ctx
        manual = ctx.manual
        if not manual.active or sender is not ctx.me.primary or manual.primary_offset is not None:
            return
        if header.message_flags & MessageFlag.PAUSED:
            manual.primary_offset = header.offset
            text = f"Received replication offset for paused master manual failover: {header.offset}"
            ctx.log(LogLevel.NOTICE, text)

    # the primary's side

    def requested(self, link: Link, replica: Member) -> None:
        """MFSTART came: if it is from a replica of ours, stand still for it."""
        ctx = self._ctx
        if not ctx.me.is_primary or replica.primary is not ctx.me:
            return
        self.reset()
        ctx.manual.end_ms = ctx.now_ms + TIMEOUT_MS
        ctx.manual.paused, ctx.manual.replica = True, replica
        ctx.local.append(PauseWrites(ctx.now_ms + PAUSE_TIMEOUTS * TIMEOUT_MS))
        ctx.log(LogLevel.NOTICE, f"Manual failover requested by replica {replica.label}.")
        self._speaker.ping(link)
        ctx.timers.at(Duty.MANUAL_FAILOVER, ctx.now_ms + PING_PERIOD_MS)

    # both

    def proceed(self) -> None:
        """Time passed: give up, catch up, or tell our offset again."""
        ctx = self._ctx
        manual = ctx.manual
        if not manual.active:
            return
        if ctx.now_ms > manual.end_ms:
            ctx.log(LogLevel.WARNING, "Manual failover timed out.")
            self.reset()
            return
        next_ms = manual.end_ms + 1
        if manual.replica is None and not manual.may_ask and manual.primary_offset is None:
            if ctx.now_ms >= manual.asked_ms + ASK_PERIOD_MS:
                self._ask_primary()
            next_ms = min(next_ms, manual.asked_ms + ASK_PERIOD_MS)
        elif manual.replica is not None:
            self._speaker.ping(manual.replica.link)
            next_ms = min(next_ms, ctx.now_ms + PING_PERIOD_MS)
        elif not manual.may_ask and manual.primary_offset is not None:
            if ctx.host.offset() == manual.primary_offset:
                manual.may_ask = True
                text = "All master replication stream processed, manual failover can start."
                ctx.log(LogLevel.NOTICE, text)
            else:
                next_ms = min(next_ms, ctx.now_ms + CATCH_UP_POLL_MS)
        ctx.timers.at(Duty.MANUAL_FAILOVER, next_ms)
