"""Slots that change hands at one go: the end of an atomic migration, and a majority's word on it.

The target of a migration takes the slots by a stamp of its own (`take`): what it claims is greater than what
the source claims, so whoever hears both believes it. The stamp is on disk before anybody is told. A stamp is
for all slots of a node, so a source must not make itself a new one between the grant and the news of how it
was used (`Context.epoch_held`): with slots of a third node taken over meanwhile it would claim back what it
has just given away.

Two questions come with that, and both are asked of the voting primaries (`ask`). The target's: does a
majority know that the slots are mine? Until it does, a partition may have left me alone with my claim, and
what I acknowledged would be lost. The source's, when the target fell silent at the worst moment: does
anybody know of its claim? A PONG to a PING of ours that was sent after the question is an answer, since a
link keeps order: the PING carried our claim, and a peer that knows a greater one has sent an UPDATE, which
arrives on the same link at the same time or before the next PONG. So each is asked twice.

A source that goes on (`keep`) takes a stamp some steps above all it has heard of: a target that made its own
without anybody hearing of it, and comes back, finds its claim outdated.

Source: the Redis cluster specification, "Hash slots configuration propagation"; Valkey 9's atomic slot
migration, which asks neither question.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.context import Context
from gossip.effects import LogLevel
from gossip.epochs import Epochs
from gossip.member import Link, LinkId, Member
from gossip.messages import NodeId
from gossip.slots import SlotSet
from gossip.speaker import Speaker

KEEP_STEPS = 16
"""So many stamps a silent target may have made of its own: one a migration that it finished alone."""
ROUNDS = 2


class Question:
    """One question to all voters, `settled` once a majority, us included, has answered `ROUNDS` times."""

    def __init__(self, on_settled: Callable[[], None]) -> None:
        self.on_settled = on_settled
        self.settled = False
        self.answers: dict[NodeId, int] = {}
        self.due: dict[LinkId, int] = {}  # PONGs on a link that answer earlier PINGs, or our last one


class Handover:
    def __init__(self, ctx: Context, speaker: Speaker, epochs: Epochs) -> None:
        self._ctx = ctx
        self._speaker = speaker
        self._epochs = epochs
        self._questions: list[Question] = []

    def take(self, slots: SlotSet, above_epoch: int) -> None:
        """These slots are ours from now on; their owner of before says that its stamp is `above_epoch`."""
        ctx = self._ctx
        assert ctx.me.is_primary
        assert not ctx.epoch_held
        ctx.state.current_epoch = max(ctx.state.current_epoch, above_epoch)
        if ctx.me.config_epoch <= above_epoch:
            ctx.me.config_epoch = self._epochs.next()
        else:
            self._epochs.bump()
        for slot in slots:
            ctx.state.importing.pop(slot, None)
        ctx.state.assign(slots, ctx.me)
        ctx.log(LogLevel.NOTICE, f"Took over slots {slots} with configEpoch {ctx.me.config_epoch}")
        self._announce()

    def keep(self) -> None:
        """Our slots stay ours, whatever a node that fell silent may claim later."""
        ctx = self._ctx
        ctx.state.current_epoch = ctx.state.greatest_epoch() + KEEP_STEPS
        ctx.me.config_epoch = self._epochs.next()
        ctx.log(LogLevel.NOTICE, f"New configEpoch set to {ctx.me.config_epoch}")
        self._announce()

    def _announce(self) -> None:
        self._ctx.save(fsync=True)
        self._ctx.recheck()
        self._speaker.broadcast_pong()

    # The majority's word

    def ask(self, on_settled: Callable[[], None]) -> Question:
        """Asks all voters; `on_settled` is called once, among the effects of an answer."""
        question = Question(on_settled)
        self._questions.append(question)
        for voter in self._ctx.state.voters():
            if voter.link is not None and not voter.myself:
                self._ask(question, voter.link)
        self._look(question)
        return question

    def forget(self, question: Question) -> None:
        if question in self._questions:
            self._questions.remove(question)

    def _ask(self, question: Question, link: Link) -> None:
        question.due[link.id] = link.unanswered
        self._speaker.ping(link)

    def answered(self, member: Member, link: Link) -> None:
        """A PONG came on our own link."""
        for question in list(self._questions):
            due = question.due.get(link.id)
            if due is None:
                if member.votes:
                    self._ask(question, link)  # a new link, or a new voter
                continue
            if due:
                question.due[link.id] = due - 1
                continue
            count = question.answers.get(member.node_id, 0) + 1
            question.answers[member.node_id] = count
            if count < ROUNDS:
                self._ask(question, link)
            else:
                question.due[link.id] = 1 << 30  # nothing more is asked of it
                self._look(question)

    def _look(self, question: Question) -> None:
        state = self._ctx.state
        count = sum(
            voter.myself or question.answers.get(voter.node_id, 0) >= ROUNDS for voter in state.voters()
        )
        if count >= state.quorum:
            question.settled = True
            self.forget(question)
            question.on_settled()
