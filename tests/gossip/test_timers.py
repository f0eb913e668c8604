from __future__ import annotations

from random import Random

from gossip.timers import Timers


def test_keys_come_up_in_order_and_once() -> None:
    timers: Timers[str] = Timers()
    for key, due_ms in (("c", 30), ("a", 10), ("b", 20)):
        timers.at(key, due_ms)
    assert timers.next_ms() == 10
    assert [timers.pop(25) for _ in range(3)] == ["a", "b", None]
    assert timers.next_ms() == 30


def test_a_deadline_can_move_both_ways_but_by_only_makes_it_earlier() -> None:
    timers: Timers[str] = Timers()
    timers.at("a", 10)
    timers.by("a", 20)
    assert timers.next_ms() == 10
    timers.at("a", 30)
    assert timers.pop(29) is None
    timers.by("a", 5)
    assert timers.next_ms() == 5


def test_what_is_cancelled_does_not_come_up() -> None:
    timers: Timers[str] = Timers()
    timers.at("a", 10)
    timers.cancel("a")
    assert timers.next_ms() is None
    assert timers.pop(100) is None


def test_against_a_plain_dictionary() -> None:
    rng = Random(1)
    timers: Timers[int] = Timers()
    plain: dict[int, int] = {}
    for now_ms in range(2_000):
        key = rng.randrange(20)
        due_ms = now_ms + rng.randrange(50)
        timers.at(key, due_ms)
        plain[key] = due_ms
        while (popped := timers.pop(now_ms)) is not None:
            assert plain.pop(popped) <= now_ms
        assert timers.next_ms() == min(plain.values(), default=None)
        assert all(due_ms > now_ms for due_ms in plain.values())
