"""How a failed primary is replaced: by the replica that a majority of the primaries votes for.

The voter's rules (`Voter`). Only a primary with slots votes. It votes once in an epoch, never in one older
than its current epoch; only for a replica whose primary has failed, or on FORCE_ACK (a manual fail-over);
for no second replica of one primary within two node time-outs, so that the winner has time to tell; and
never for a replica whose claim to any slot is older than the owner's stamp. The vote is on disk before it
is sent.

The candidate's way (`Candidate`):

    primary fails ──▶ GATHER offsets of the other replicas ──▶ WAIT by rank ──▶ ASK every primary
                                                                                  │ majority  │ time-out
                                                                               promoted     again later

Rank is the number of sibling replicas that are alive and have processed more of the stream, or as much with
a smaller id: so ranks differ, and two replicas do not split the votes. The best asks at once, the one ranked
k after k * RANK_DELAY_MS, ample time for a better one to be elected and tell. When several primaries have
failed together, their replicas' elections would collide in one epoch, in which each voter votes once. So
they take turns by their primaries' ids, SHARD_DELAY_MS apart.

Where Redis waits half a second and a random while before anybody asks, we wait for nothing that need not be
waited for. What its delay is for, we do as follows:
- so that the offsets are known: a candidate with living siblings pings them when its primary fails and
  waits for their answers, at most OFFSETS_WAIT_MS; the primary is dead, so the offsets stand still;
- so that the FAIL has reached the voters: the candidate sends it again right before its request, on the same
  link, which keeps order. A voter would ignore a request for a primary it still thinks well;
- so that elections do not collide: the turns above. Should two meet in one epoch all the same, each hears
  the other's request, and asks anew in a new epoch after COLLISION_WAIT_MS. A voter may vote again for the
  candidate it chose before (redis-server would not, for two node time-outs); votes given in any of the epochs
  we asked in count for that epoch.

An attempt that has no majority after max(2 * node time-out, 2000) ms is over, and the next one starts after
twice that. A replica that never had its primary's data, or has been cut off from it for longer than
`replica_validity_factor` node time-outs, does not stand (the latter may, in a manual fail-over).

Source: the Redis cluster specification, "Replica election and promotion", "Masters reply to replica vote
request", "Replica rank".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gossip.context import Context, Duty
from gossip.effects import LogLevel
from gossip.epochs import Epochs
from gossip.failover import Roles
from gossip.member import Member
from gossip.messages import NO_FLAGS, AuthAck, AuthRequest, Fail, Header, MessageFlag, NodeId
from gossip.speaker import Speaker

RANK_DELAY_MS = 500
SHARD_DELAY_MS = 100
COLLISION_WAIT_MS = 200
OFFSETS_WAIT_MS = 200
VOTE_PAUSE_TIMEOUTS = 2
RELOG_MS = 10_000
QUIET_MS = 5_000
RECHECK_MS = 1_000


class Voter:
    def __init__(self, ctx: Context, speaker: Speaker) -> None:
        self._ctx = ctx
        self._speaker = speaker

    def asked(self, candidate: Member, header: Header) -> None:
        """An AUTH REQUEST came: vote, or say why not in the log."""
        ctx = self._ctx
        if not ctx.me.votes:
            return
        refusal = self._refusal(candidate, header)
        if refusal:
            ctx.log(LogLevel.WARNING, f"Failover auth denied to {candidate.label}: {refusal}")
            return
        assert candidate.primary is not None
        ctx.state.last_vote_epoch = ctx.state.current_epoch
        candidate.primary.voted_ms = ctx.now_ms
        candidate.primary.voted_for = candidate.node_id
        ctx.save(fsync=True)
        self._speaker.send(candidate.link, AuthAck(self._speaker.header()))
        text = f"Failover auth granted to {candidate.label} for epoch {ctx.state.current_epoch}"
        ctx.log(LogLevel.NOTICE, text)

    def _refusal(self, candidate: Member, header: Header) -> str:
        """Why we do not vote for the candidate, "" if we do."""
        ctx = self._ctx
        current = ctx.state.current_epoch
        primary = candidate.primary
        if header.current_epoch < current:
            return f"reqEpoch ({header.current_epoch}) < curEpoch({current})"
        if ctx.state.last_vote_epoch == current:
            return f"already voted for epoch {current}"
        if candidate.is_primary:
            return "it is a master node"
        if primary is None:
            return "I don't know its master"
        if not (primary.failed or header.message_flags & MessageFlag.FORCE_ACK):
            return "its master is up"
        pause_ms = VOTE_PAUSE_TIMEOUTS * ctx.settings.node_timeout_ms
        left_ms = primary.voted_ms + pause_ms - ctx.now_ms
        if left_ms > 0 and candidate.node_id != primary.voted_for:
            return f"can't vote about this master before {left_ms} milliseconds"
        for owner, part in ctx.state.owners_of(header.slots - ctx.state.unclaimed):
            if owner.config_epoch > header.config_epoch:
                slot = next(iter(part))
                return f"slot {slot} epoch ({owner.config_epoch}) > reqEpoch ({header.config_epoch})"
        return ""


@dataclass(slots=True)
class Attempt:
    """One try to take `primary`'s place.

    `ask_ms` is when votes are asked for (again), an estimate while `awaited`, the siblings whose offsets are
    still to come, is not empty. `epoch` is the one we asked in last, 0 before, and `votes` are those of every
    epoch we asked in. `retry_ms` is when to ask anew after a collision, 0 if there was none.
    """

    primary: Member
    ask_ms: int
    awaited: list[Member] = field(default_factory=list)
    rank: int = 0
    epoch: int = 0
    retry_ms: int = 0
    votes: dict[int, set[NodeId]] = field(default_factory=dict)

    def most_votes(self) -> tuple[int, int]:
        """The most votes of any epoch, and that epoch."""
        return max(((len(voters), epoch) for epoch, voters in self.votes.items()), default=(0, 0))


class Candidate:
    def __init__(self, ctx: Context, speaker: Speaker, epochs: Epochs, roles: Roles) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self._epochs = epochs
        self._roles = roles
        self._attempt: Attempt | None = None
        self._hindrance = ""
        self._logged_ms = 0

    def reset(self) -> None:
        """Forget the current attempt; the next one need not wait for it."""
        self._attempt = None
        self._hindrance = ""
        self._ctx.timers.cancel(Duty.ELECTION)

    def voted(self, voter: Member, header: Header) -> None:
        """An AUTH ACK came."""
        attempt = self._attempt
        if attempt is not None and voter.votes and header.current_epoch in attempt.votes:
            attempt.votes[header.current_epoch].add(voter.node_id)

    def rival_asked(self, header: Header) -> None:
        """Another replica asks for votes: in our epoch, only one of us can win, and maybe none."""
        attempt = self._attempt
        if attempt is not None and attempt.epoch == header.current_epoch and not attempt.retry_ms:
            turn_ms = self._failed_before(attempt.primary) * SHARD_DELAY_MS
            attempt.retry_ms = self._ctx.now_ms + COLLISION_WAIT_MS + turn_ms

    def proceed(self) -> None:
        """Take whatever step is due; called after every input while we are a replica."""
        ctx = self._ctx
        primary = ctx.me.primary
        manual = ctx.manual.may_ask
        if primary is None or not primary.slots or not self._called_for(primary, manual=manual):
            if self._attempt is not None:
                self.reset()
            return
        if not self._data_is_fresh(manual=manual):
            self._hindered(
                "Disconnected from master for longer than allowed. Please check the"
                " 'cluster-replica-validity-factor' configuration option."
            )
            ctx.timers.by(Duty.ELECTION, ctx.now_ms + RECHECK_MS)
            return
        attempt = self._attempt
        if attempt is not None and attempt.primary is not primary:
            attempt = None
        if attempt is None or ctx.now_ms - attempt.ask_ms > 2 * self._timeout_ms:
            attempt = self._attempt = self._begin(primary, manual=manual)
        self._advance(attempt, manual=manual)

    def _called_for(self, primary: Member, *, manual: bool) -> bool:
        return manual or (primary.failed and not self._ctx.settings.replica_no_failover)

    def _data_is_fresh(self, *, manual: bool) -> bool:
        ctx = self._ctx
        age_ms = ctx.host.data_age_ms(ctx.now_ms)
        if age_ms is None:
            return False
        settings = ctx.settings
        if manual or settings.replica_validity_factor == 0:
            return True
        # The time it took to find the primary failed is nobody's fault.
        if age_ms > settings.node_timeout_ms:
            age_ms -= settings.node_timeout_ms
        allowed_ms = settings.node_timeout_ms * settings.replica_validity_factor
        return age_ms <= settings.repl_ping_period_ms + allowed_ms

    @property
    def _timeout_ms(self) -> int:
        return max(2 * self._ctx.settings.node_timeout_ms, 2_000)

    # the steps of an attempt

    def _begin(self, primary: Member, *, manual: bool) -> Attempt:
        ctx = self._ctx
        attempt = Attempt(primary, ctx.now_ms)
        if not manual:
            attempt.awaited = [
                sibling for sibling in self._rivals() if sibling.link is not None and sibling.link.is_open
            ]
        for sibling in attempt.awaited:
            sibling.offset_ms = 0
            self._speaker.ping(sibling.link)
        if attempt.awaited:
            attempt.ask_ms += OFFSETS_WAIT_MS
        else:
            self._schedule(attempt, manual=manual)
        return attempt

    def _rivals(self) -> list[Member]:
        """The siblings that may be elected too."""
        return [
            sibling
            for sibling in self._ctx.state.siblings()
            if not (sibling.unreachable or sibling.no_failover)
        ]

    def _schedule(self, attempt: Attempt, *, manual: bool) -> None:
        ctx = self._ctx
        attempt.awaited.clear()
        attempt.rank = 0 if manual else self._rank()
        delay_ms = attempt.rank * RANK_DELAY_MS
        if not manual:
            delay_ms += self._failed_before(attempt.primary) * SHARD_DELAY_MS
        attempt.ask_ms = ctx.now_ms + delay_ms
        ctx.log(
            LogLevel.NOTICE,
            f"Start of election delayed for {delay_ms} milliseconds"
            f" (rank #{attempt.rank}, offset {ctx.host.offset()}).",
        )

    def _failed_before(self, primary: Member) -> int:
        """How many other primaries are to be replaced before ours; a suspect may be."""
        return sum(
            other.unreachable
            and other.node_id < primary.node_id
            and any(not r.unreachable for r in other.replicas)
            for other in self._ctx.state.voters()
        )

    def _rank(self) -> int:
        me = self._ctx.me
        mine = (-self._ctx.host.offset(), me.node_id)
        return sum((-sibling.offset, sibling.node_id) < mine for sibling in self._rivals())

    def _advance(self, attempt: Attempt, *, manual: bool) -> None:
        ctx = self._ctx
        if attempt.awaited and (
            ctx.now_ms >= attempt.ask_ms or all(sibling.offset_ms for sibling in attempt.awaited)
        ):
            self._schedule(attempt, manual=manual)
        if not attempt.epoch and not attempt.awaited and not manual:
            self._demote(attempt)
        if ctx.now_ms < attempt.ask_ms:
            self._hindered("Waiting the delay before I can start a new failover.")
            ctx.timers.by(Duty.ELECTION, attempt.ask_ms)
        elif not attempt.epoch:
            self._ask(attempt, manual=manual)
        elif ctx.now_ms - attempt.ask_ms > self._timeout_ms:
            self._hindered("Failover attempt expired.")
            ctx.timers.by(Duty.ELECTION, attempt.ask_ms + 2 * self._timeout_ms + 1)
        elif attempt.most_votes()[0] >= ctx.state.quorum:
            self._win(attempt.most_votes()[1])
        elif attempt.retry_ms and ctx.now_ms >= attempt.retry_ms:
            self._ask(attempt, manual=manual)
        else:
            self._hindered("Waiting for votes, but majority still not reached.")
            ctx.timers.by(Duty.ELECTION, attempt.retry_ms or attempt.ask_ms + self._timeout_ms + 1)

    def _demote(self, attempt: Attempt) -> None:
        """A sibling has turned out to be ahead of us while we wait."""
        rank = self._rank()
        if rank > attempt.rank:
            added_ms = (rank - attempt.rank) * RANK_DELAY_MS
            attempt.ask_ms += added_ms
            attempt.rank = rank
            text = f"Replica rank updated to #{rank}, added {added_ms} milliseconds of delay."
            self._ctx.log(LogLevel.NOTICE, text)

    def _ask(self, attempt: Attempt, *, manual: bool) -> None:
        ctx = self._ctx
        attempt.epoch = self._epochs.next()
        attempt.votes[attempt.epoch] = set()
        attempt.retry_ms = 0
        ctx.log(LogLevel.NOTICE, f"Starting a failover election for epoch {attempt.epoch}.")
        if attempt.primary.failed:
            self._speaker.broadcast(Fail(self._speaker.header(), attempt.primary.node_id))
        flags = MessageFlag.FORCE_ACK if manual else NO_FLAGS
        self._speaker.broadcast(AuthRequest(self._speaker.header(flags)))
        ctx.timers.by(Duty.ELECTION, attempt.ask_ms + self._timeout_ms + 1)

    def _win(self, epoch: int) -> None:
        ctx = self._ctx
        ctx.log(LogLevel.NOTICE, "Failover election won: I'm the new master.")
        if ctx.me.config_epoch < epoch:
            ctx.me.config_epoch = epoch
            ctx.log(LogLevel.NOTICE, f"configEpoch set to {epoch} after successful failover")
        self.reset()
        self._roles.promote()

    def _hindered(self, why: str) -> None:
        """Say in the log why nothing happens: when the reason is new or old enough, and it takes long."""
        ctx = self._ctx
        if why == self._hindrance and ctx.now_ms - self._logged_ms < RELOG_MS:
            return
        self._hindrance = why
        primary = ctx.me.primary
        quiet_ms = ctx.settings.node_timeout_ms + QUIET_MS
        if primary is not None and primary.failed and ctx.now_ms - primary.failed_ms < quiet_ms:
            return
        self._logged_ms = ctx.now_ms
        ctx.log(LogLevel.NOTICE, f"Currently unable to failover: {why}")
        attempt = self._attempt
        if attempt is not None and attempt.epoch:
            quorum, (count, _) = ctx.state.quorum, attempt.most_votes()
            text = f"Needed quorum: {quorum}. Number of votes received so far: {count}"
            ctx.log(LogLevel.NOTICE, text)
