"""Whether this node may serve: the cluster's state as CLUSTER INFO and redirects show it.

It is down, and clients are refused, when (in the order they are told):
- this node came back, from a pause or a restart, and a majority has not confirmed it (`gossip.confirmation`);
- slots are not covered, or their owner has failed, and full coverage is required;
- most of the primaries that serve slots cannot be reached: we may be the ones cut off, and the majority may
  elect replacements for us.

A primary that serves slots takes silence for that as well: it stops as soon as it has not heard from a
majority for the node time-out. Suspicion alone comes up to half a time-out later: it is counted from a PING,
and who has just answered one is not sent the next before half the time-out is over. The majority counts in
the same way, on its own links, so one side of a cut may be early and the other late, and then the old primary
and its heir both take writes (as Redis's do). Silence is counted from the cut at the latest, and nobody on
the other side may suspect us sooner than a time-out after it. So who is cut off has stopped before its heir
is elected. What it acknowledged until then is lost all the same, as replication is asynchronous.

A primary is careful to say ok again. After a minority it waits for the node time-out, between 0.5 and 5 s, so
that it can learn that it was replaced. One restarted with slots waits WRITABLE_DELAY_MS, and one restarted
without its data for its replicas (`gossip.vacancy`). A node that never
owned slots has nothing to be wrong about and does not wait, so a new cluster is up as soon as it is complete;
nor does a replica that is promoted, since a majority has just elected it.

Source: `cluster-require-full-coverage`; the Redis cluster specification, "Availability".
"""

from __future__ import annotations

from enum import Enum

from gossip.confirmation import Confirmation
from gossip.context import Context, Duty
from gossip.effects import LogLevel
from gossip.member import Member
from gossip.slots import SLOT_COUNT
from gossip.vacancy import Vacancy

WRITABLE_DELAY_MS = 2_000
# A look at the quorum that comes later than this was held up, and so was the reading of what others sent.
LATE_MS = 20


class Down(Enum):
    """Why the cluster's state is not ok, for the log and for people."""

    NOT = "ok"
    PAUSED = "this node was paused and is waiting to be confirmed by a majority of masters"
    REJOINING = "this node restarted and is waiting to learn the current configuration"
    EMPTY = "this node restarted without its data, which its replicas may have"
    UNCOVERED = "not all slots are served"
    MINORITY = "most masters cannot be reached"


class Health:
    """`down` is the current verdict; `Context.ok` says the same in a bit."""

    def __init__(self, ctx: Context, confirmation: Confirmation, vacancy: Vacancy) -> None:
        self._ctx = ctx
        self._confirmation = confirmation
        self._vacancy = vacancy
        self._writable_ms = ctx.now_ms + WRITABLE_DELAY_MS if ctx.me.slots else ctx.now_ms
        self._in_minority = False
        self._minority_ms: int | None = None
        self._quorum_due_ms = 0
        self.down = Down.REJOINING if ctx.me.slots else Down.UNCOVERED

    def update(self) -> None:
        """Judge anew; called when anything it depends on has changed or a delay is over."""
        ctx = self._ctx
        down = self._judge()
        if ctx.me.votes and not self._in_minority:
            self._await_silence()
        if ctx.me.is_replica:
            # Who is promoted from here has been elected by a majority, and has nothing left to wait for.
            self._writable_ms, self._minority_ms = ctx.now_ms, None
        if down is Down.NOT and not ctx.ok and ctx.me.is_primary:
            ready_ms = self._ready_ms()
            if ctx.now_ms < ready_ms:
                ctx.timers.by(Duty.HEALTH, ready_ms)
                down = Down.REJOINING
        if down is Down.NOT and self._vacancy.holds():
            down = Down.EMPTY
        if down is not self.down:
            self.down = down
            ctx.routes_changed = True
        ok = down is Down.NOT
        if ok != ctx.ok:
            ctx.ok = ok
            level = LogLevel.NOTICE if ok else LogLevel.WARNING
            ctx.log(level, f"Cluster state changed: {'ok' if ok else 'fail'}")

    def _judge(self) -> Down:
        ctx = self._ctx
        in_minority = self._is_minority()
        if in_minority or self._in_minority:
            self._minority_ms = ctx.now_ms
        self._in_minority = in_minority
        if self._confirmation.active:
            return Down.PAUSED if self._confirmation.paused else Down.REJOINING
        if in_minority:
            return Down.MINORITY
        if ctx.settings.require_full_coverage and not self._is_covered():
            return Down.UNCOVERED
        if not ctx.state.size:
            return Down.UNCOVERED
        return Down.NOT

    def heard(self, sender: Member) -> None:
        """Anything came from a member."""
        if self._in_minority and sender.votes:
            self._ctx.recheck_wanted = True

    def watch_quorum(self) -> None:
        """Whether a majority is still heard from; called when it may have been silent for too long."""
        ctx = self._ctx
        if not ctx.me.votes or self._in_minority:
            return
        if self._is_minority() and ctx.now_ms - self._quorum_due_ms > LATE_MS:
            # We were held up ourselves: what they have sent meanwhile is read first.
            self._look_again(ctx.now_ms + LATE_MS)
        elif self._is_minority():
            ctx.recheck_wanted = True
        else:
            self._await_silence()

    def _await_silence(self) -> None:
        """Look again when those that make a majority with us would have been silent for too long."""
        heard_ms = sorted(map(self._heard_ms, self._ctx.state.voters()), reverse=True)
        if len(heard_ms) > 1:
            self._look_again(heard_ms[self._ctx.state.quorum - 1] + self._silence_ms)

    def _look_again(self, due_ms: int) -> None:
        self._quorum_due_ms = max(due_ms, self._ctx.now_ms + 1)
        self._ctx.timers.at(Duty.QUORUM, self._quorum_due_ms)

    @property
    def _silence_ms(self) -> int:
        """Those who are well are heard from within half the node time-out, or the interval of PINGs."""
        settings = self._ctx.settings
        return max(settings.node_timeout_ms, settings.heartbeat_ms + settings.node_timeout_ms // 2)

    def _heard_ms(self, voter: Member) -> int:
        """When a primary gave a sign of life last; 0: it cannot be reached."""
        if voter.myself:
            return self._ctx.now_ms
        return 0 if voter.unreachable else max(voter.data_received_ms, voter.created_ms)

    def _is_minority(self) -> bool:
        ctx = self._ctx
        state = ctx.state
        silent_ms = ctx.now_ms - self._silence_ms if ctx.me.votes else 0
        reachable = sum(self._heard_ms(voter) > silent_ms for voter in state.voters())
        return state.size > 0 and reachable < state.quorum

    def _is_covered(self) -> bool:
        state = self._ctx.state
        served = sum(len(voter.slots) for voter in state.voters() if not voter.failed)
        return served == SLOT_COUNT

    def _ready_ms(self) -> int:
        """When a primary that was not ok may be so again."""
        if self._minority_ms is None:
            return self._writable_ms
        return max(self._writable_ms, self._minority_ms + self._ctx.settings.rejoin_delay_ms)
