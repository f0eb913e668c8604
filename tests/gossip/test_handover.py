"""Slots that change hands at one go, and what a majority knows of it."""

from __future__ import annotations

from gossip.effects import Persist, Send, SlotsLost
from gossip.slots import SlotSet
from gossip.testing.town import SETTINGS, Resident, Town

SLOTS = SlotSet.from_ranges([(0, 99)])


def take(town: Town, node: Resident) -> None:
    town.order(node, node.core.take_slots, SLOTS, 0)


def settled(town: Town, node: Resident) -> list[bool]:
    """Asks a majority; the list has an entry once it has answered."""
    answers: list[bool] = []
    node.core.ask_majority(lambda: answers.append(True), town.now_ms)
    town.carry_out(node)
    return answers


def test_the_claim_is_on_disk_before_anybody_is_told(town: Town) -> None:
    _, b, _ = town.cluster(3)
    take(town, b)
    batch = next(batch for batch in reversed(b.batches) if any(isinstance(each, Persist) for each in batch))
    kinds = [type(each) for each in batch]
    assert Persist(fsync=True) in batch
    assert kinds.index(Persist) < kinds.index(Send)


def test_everybody_believes_the_new_owner_and_the_old_one_lets_go(town: Town) -> None:
    a, b, c = town.cluster(3)
    before = a.me.slots
    take(town, b)
    town.until(lambda: SLOTS - a.sees(b).slots == SlotSet() and SLOTS - c.sees(b).slots == SlotSet(), 1_000)
    assert a.me.slots == before - SLOTS
    assert a.effects(SlotsLost) == [SlotsLost(SLOTS)]
    for node in (a, b, c):
        node.core.state.check()


def test_the_claim_is_greater_than_every_other(town: Town) -> None:
    a, b, c = town.cluster(3)
    take(town, a)
    take(town, b)
    assert b.me.config_epoch > max(b.sees(a).config_epoch, b.sees(c).config_epoch)


def test_the_claim_is_greater_than_the_grant_says(town: Town) -> None:
    """The source's stamp may be newer than what the target has heard of."""
    _, b, _ = town.cluster(3)
    town.order(b, b.core.take_slots, SLOTS, 77)
    assert b.me.config_epoch == b.core.state.current_epoch == 78


def test_a_source_keeps_its_stamp_until_it_knows_what_became_of_a_grant(town: Town) -> None:
    """A stamp is for all slots of a node: a new one would claim back those it has granted."""
    a, b, c = town.cluster(3)
    a.core.hold_epoch(True)
    before = a.me.config_epoch
    town.order(a, a.core.bump_epoch)
    assert a.me.config_epoch == before
    take(town, b)
    town.until(lambda: not a.me.slots & SLOTS, 1_000)
    a.core.hold_epoch(False)
    town.order(a, a.core.bump_epoch)
    assert a.me.config_epoch > b.me.config_epoch
    town.run(1_000)
    assert SLOTS - c.sees(b).slots == SlotSet()


def test_a_source_that_comes_back_learns_who_has_its_slots(town: Town) -> None:
    """It was killed right after the target took over: an UPDATE or a claim tells it before it serves."""
    a, b, _ = town.cluster(3)
    town.cut((a, b))
    take(town, b)
    town.run(50)
    town.kill(a)
    town.run(200)
    a = town.restart(a)
    town.until(lambda: a.core.ok, 20_000)
    assert not a.me.slots & SLOTS


def test_a_majority_answers_when_there_is_one(town: Town) -> None:
    _, b, _ = town.cluster(3)
    take(town, b)
    answers = settled(town, b)
    assert answers == []
    town.until(lambda: bool(answers), 1_000)
    town.run(1_000)
    assert answers == [True]


def test_alone_behind_a_partition_nobody_answers(town: Town) -> None:
    _, b, _ = town.cluster(3)
    town.isolate(b)
    take(town, b)
    answers = settled(town, b)
    town.run(SETTINGS.node_timeout_ms * 3)
    assert answers == []
    town.heal()
    town.until(lambda: bool(answers), 20_000)


def test_an_answer_to_an_earlier_ping_does_not_count(town: Town) -> None:
    """Its sender had not seen our claim."""
    a, b, c = town.cluster(3)
    for other in (a, c):
        b.core._speaker.ping(b.sees(other).link)
    town.carry_out(b)
    answers = settled(town, b)
    handover = b.core._handover
    question = handover._questions[0]
    assert sorted(question.due.values()) == [1, 1]
    town.until(lambda: bool(answers), 1_000)
    assert max(question.answers.values()) == 2


def test_a_claim_made_alone_is_outdated_when_the_source_has_gone_on(town: Town) -> None:
    """The target took the slots with nobody hearing of it; the source renewed its claim after asking; when
    the target is back, the slots stay where they are.
    """
    a, b, c = town.cluster(3)
    town.isolate(b)
    take(town, b)
    answers = settled(town, a)
    town.until(lambda: bool(answers), 1_000)
    town.order(a, a.core.keep_slots)
    town.run(100)
    town.heal()
    town.until(lambda: not b.me.slots & SLOTS, 20_000)
    for node in (a, c):
        assert node.core.state.owner(0) is (a.me if node is a else node.sees(a))


def test_a_forgotten_question_is_not_answered(town: Town) -> None:
    _, b, _ = town.cluster(3)
    answers: list[bool] = []
    question = b.core.ask_majority(lambda: answers.append(True), town.now_ms)
    b.core.forget_question(question, town.now_ms)
    town.carry_out(b)
    town.run(1_000)
    assert answers == []
