"""The checker of histories, on made-up ones: what is lost, stale, a phantom or came back, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ctl.plan.drill_history import FOREIGN, Findings, History, Outcome, Read, Write, check

OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN


def write(number: int, replaced: int | None, outcome: Outcome = OK, key: str = "k") -> Write:
    """Sent at ten times its number, done five milliseconds later."""
    return Write(key, number, number * 10.0, number * 10.0 + 5, outcome, replaced, "node")


def read(found: int | None, at_ms: float) -> Read:
    return Read("k", at_ms, at_ms + 1, found, "node")


def judged(writes: Sequence[Write], final: int | None, reads: Sequence[Read] = ()) -> Findings:
    return check(History(tuple(writes), tuple(reads), {"k": final}))


def lost(findings: Findings) -> list[int]:
    return [each.number for each in findings.lost]


def nothing_wrong(findings: Findings) -> bool:
    return not any((findings.lost, findings.stale, findings.vanished, findings.phantoms, findings.replayed))


def test_a_chain_of_writes_that_replaced_each_other_is_well() -> None:
    findings = judged([write(1, None), write(2, 1), write(3, 2)], 3, [read(1, 16), read(3, 40)])
    assert nothing_wrong(findings)
    assert (findings.acked, findings.undecided, findings.unread) == (3, 0, 0)


def test_an_acknowledged_write_that_is_not_there_at_the_end_is_lost() -> None:
    findings = judged([write(1, None), write(2, 1), write(3, 2)], 1)
    assert lost(findings) == [2, 3]
    assert (findings.lost[0].acked_ms, findings.lost[0].node) == (25.0, "node")


def test_a_loss_is_found_under_the_writes_that_cover_it() -> None:
    """The new primary had 1 when 4 came; 2 and 3 were acknowledged by the old one."""
    writes = [write(1, None), write(2, 1), write(3, 2), write(4, 1), write(5, 4)]
    assert lost(judged(writes, 5)) == [2, 3]


def test_a_write_to_a_primary_that_was_replaced_is_lost_and_what_it_replaced_is_not() -> None:
    """4 went to a node that had missed 2 and 3; 5 went to the right one."""
    writes = [write(1, None), write(2, 1), write(3, 2), write(4, 1), write(5, 3)]
    assert lost(judged(writes, 5)) == [4]


def test_a_whole_key_that_is_gone() -> None:
    assert lost(judged([write(1, None), write(2, 1)], None)) == [1, 2]


@pytest.mark.parametrize("final", [1, 2])
def test_a_write_without_a_reply_may_have_been_done_or_not(final: int) -> None:
    findings = judged([write(1, None), write(2, None, UNKNOWN)], final)
    assert nothing_wrong(findings)
    assert findings.undecided == final - 1


def test_the_chain_goes_on_behind_a_write_without_a_reply() -> None:
    writes = [write(1, None), write(2, 1), write(3, None, UNKNOWN), write(4, 3)]
    findings = judged(writes, 4)
    assert nothing_wrong(findings)
    assert findings.undecided == 1


def test_a_write_without_a_reply_that_came_late_covers_acknowledged_ones() -> None:
    """Reordered: 2 had no reply, was done after 3, and is what is left."""
    assert lost(judged([write(1, None), write(2, None, UNKNOWN), write(3, 1)], 2)) == [3]


def test_a_refused_write_must_not_take_effect() -> None:
    assert nothing_wrong(judged([write(1, None), write(2, None, REFUSED)], 1))
    findings = judged([write(1, None), write(2, None, REFUSED)], 2)
    assert [odd.found for odd in findings.phantoms] == [2]


@pytest.mark.parametrize("value", [9, FOREIGN])
def test_a_value_that_nobody_sent_is_a_phantom(value: int) -> None:
    assert [odd.found for odd in judged([write(1, None)], value).phantoms] == [value]
    assert [odd.found for odd in judged([write(1, value)], 1).phantoms] == [value]
    findings = judged([write(1, None)], 1, [read(value, 20)])
    assert [(odd.found, odd.at_ms) for odd in findings.phantoms] == [(value, 21)]


def test_a_value_read_before_it_was_sent_is_a_phantom() -> None:
    findings = judged([write(1, None), write(2, 1)], 2, [read(2, 16)])
    assert [odd.found for odd in findings.phantoms] == [2]


def test_a_value_that_came_back_is_told_and_ends_the_walk() -> None:
    """Done twice: 1 was replaced by 2, and 1 is again what 2 is said to have been replaced by."""
    findings = judged([write(1, 2), write(2, 1)], 2)
    assert [odd.found for odd in findings.replayed] == [2]


@pytest.mark.parametrize(
    ("found", "at_ms", "stale"),
    [(1, 30, True), (None, 30, True), (1, 24, False), (2, 30, False), (None, 5, False)],
)
def test_a_read_is_stale_when_a_newer_write_was_acknowledged_before_it_began(
    found: int | None, at_ms: float, stale: bool
) -> None:
    findings = judged([write(1, None), write(2, 1)], 2, [read(found, at_ms)])
    assert bool(findings.stale) is stale
    assert not findings.phantoms


def test_a_read_of_a_value_that_is_lost_later() -> None:
    findings = judged([write(1, None), write(2, 1), write(3, 1)], 3, [read(2, 26)])
    assert [odd.found for odd in findings.vanished] == [2]
    assert not findings.stale


def test_the_order_of_the_records_does_not_matter() -> None:
    writes = [write(1, None), write(2, 1), write(3, 2), write(4, 1)]
    assert lost(judged(writes[::-1], 4)) == lost(judged(writes, 4)) == [2, 3]


def test_a_number_used_twice_is_a_mistake_of_the_writer() -> None:
    with pytest.raises(ValueError, match="used twice for k"):
        judged([write(1, None), write(1, None)], 1)


def test_keys_that_cannot_be_read_are_counted_and_judged_by_their_last_write() -> None:
    findings = check(History((write(1, None), write(2, 1), write(3, 1)), (), {}))
    assert (findings.unread, lost(findings)) == (1, [2])


def test_keys_have_histories_of_their_own() -> None:
    writes = (write(1, None, key="a"), write(1, None, key="b"), write(2, 1, key="b"))
    findings = check(History(writes, (), {"a": 1, "b": 1}))
    assert [(each.key, each.number) for each in findings.lost] == [("b", 2)]
    assert findings.keys == 2
