"""Deadlines: what is due, and when to look next."""

from __future__ import annotations

import time
from itertools import islice
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from node.keyspace.expire import Deadlines

BUCKET_MS = 64


def due(deadlines: Deadlines, now_ms: int) -> list[bytes]:
    """Takes out everything that is due."""
    found = []
    for key in deadlines.due(now_ms):
        assert not deadlines.discard(key)
        found.append(key)
    return found


def test_nothing_is_due_before_its_time_and_everything_within_a_bucket_after():
    deadlines = Deadlines()
    deadlines.set(b"a", 1000)
    assert due(deadlines, 999) == []
    assert due(deadlines, 1000 + BUCKET_MS) == [b"a"]
    assert len(deadlines) == 0


def test_a_deadline_that_is_moved_counts_once():
    deadlines = Deadlines()
    deadlines.set(b"a", 1000)
    deadlines.set(b"a", 5000)
    assert due(deadlines, 2000) == []
    assert due(deadlines, 6000) == [b"a"]
    deadlines.check()


def test_many_keys_of_one_deadline_are_taken_out_in_linear_time():
    """A batch costs about the same at the end as at the beginning."""
    deadlines = Deadlines()
    keys = {b"%d" % number for number in range(100_000)}
    for key in keys:
        deadlines.set(key, 1000)
    seconds = []
    for _ in range(100):
        began_s = time.perf_counter()
        assert len(list(islice(deadlines.due(2000), 1000))) == 1000
        seconds.append(time.perf_counter() - began_s)
    assert len(deadlines) == 0
    assert median(seconds[-20:]) < 10 * median(seconds[:20])


def test_next_ms_is_when_a_look_is_worthwhile():
    deadlines = Deadlines()
    assert deadlines.next_ms() is None
    deadlines.set(b"a", 1000)
    next_ms = deadlines.next_ms()
    assert next_ms is not None
    assert 1000 < next_ms <= 1000 + BUCKET_MS
    assert due(deadlines, next_ms) == [b"a"]
    assert deadlines.next_ms() is None


def test_next_ms_forgets_deadlines_that_were_taken_back():
    deadlines = Deadlines()
    deadlines.set(b"a", 1000)
    deadlines.set(b"b", 9000)
    deadlines.discard(b"a")
    next_ms = deadlines.next_ms()
    assert next_ms is not None
    assert next_ms > 9000


def test_deadlines_that_keep_moving_do_not_pile_up():
    deadlines = Deadlines()
    for ms in range(0, 1_000_000, 100):
        deadlines.set(b"a", ms)
    assert len(deadlines._heap) < 200
    deadlines.check()


def test_clear_forgets_everything():
    deadlines = Deadlines()
    deadlines.set(b"a", 1000)
    deadlines.clear()
    assert due(deadlines, 5000) == []
    deadlines.check()


@given(
    st.lists(
        st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.integers(-500, 3000)), max_size=40
    ),
    st.integers(0, 3000),
)
def test_index_and_deadlines_agree(steps, now_ms):
    deadlines = Deadlines()
    expected: dict[bytes, int] = {}
    for key, deadline_ms in steps:
        if deadline_ms is None:
            assert deadlines.discard(key) == (expected.pop(key, None) is not None)
        else:
            deadlines.set(key, deadline_ms)
            expected[key] = deadline_ms
        deadlines.check()
    assert deadlines.at == expected
    found = due(deadlines, now_ms)
    assert {key for key, ms in expected.items() if ms <= now_ms - BUCKET_MS} <= set(found)
    assert set(found) <= {key for key, ms in expected.items() if ms <= now_ms}


def test_absorbed_deadlines_are_as_if_they_had_been_set() -> None:
    """Before their index has moved, while it moves and after it."""
    ours, theirs, plain = Deadlines(), Deadlines(), Deadlines()
    for number in range(5000):
        ours.set(b"a%d" % number, number * 3)
        theirs.set(b"b%d" % number, number * 3 + 1)
    ours.absorb(theirs)
    for number in range(5000):
        plain.set(b"a%d" % number, number * 3)
        plain.set(b"b%d" % number, number * 3 + 1)
    for deadlines in (ours, plain):
        assert deadlines.next_ms() == BUCKET_MS
        assert deadlines.discard(b"b4999")
        assert not deadlines.discard(b"b4999")
        deadlines.set(b"b4998", 1)
        deadlines.set(b"c", 2)
    ours.check()
    for now_ms in (1000, 3000, 3001, 9000, 1 << 40):
        assert sorted(due(ours, now_ms)) == sorted(due(plain, now_ms))
        ours.check()
        assert ours.next_ms() == plain.next_ms()
    assert len(ours) == 0
