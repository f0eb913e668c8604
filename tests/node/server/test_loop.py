"""The reactor: how long a turn takes, and in which order sockets are served."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from node.clock import Clock
from node.server import loop
from node.server.loop import Reactor


class Ready:
    """A socket that is always ready to be read."""

    def __init__(self, name: int, served: list[int], stack: ExitStack) -> None:
        self.ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        theirs.send(b"x")
        self.name = name
        self.served = served
        self.then: Callable[[], None] = lambda: None

    def readable(self) -> None:
        self.served.append(self.name)
        self.then()

    def writable(self) -> None:
        raise AssertionError("nothing is sent")

    def hung_up(self) -> None:
        raise AssertionError("nobody hangs up")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_turn_begins_no_further_socket_after_its_end_and_the_next_goes_on_there(stack: ExitStack) -> None:
    """However many clients are busy, trio's other tasks get their time; nobody is served twice before all."""
    reactor = Reactor(Clock())
    served: list[int] = []
    for name in range(5):
        source = Ready(name, served, stack)
        reactor.add(source.ours.fileno(), source)
    for count in range(1, 6):
        assert reactor.turn(end_s=time.monotonic() - 1)
        assert len(served) == count
    assert sorted(served) == [0, 1, 2, 3, 4]
    assert reactor.turn()
    assert sorted(served) == sorted([0, 1, 2, 3, 4] * 2)


def test_an_event_left_for_later_is_not_given_to_who_has_the_descriptor_now(stack: ExitStack) -> None:
    reactor = Reactor(Clock())
    served: list[int] = []
    first, second = Ready(1, served, stack), Ready(2, served, stack)
    for source in (first, second):
        reactor.add(source.ours.fileno(), source)
    assert reactor.turn(end_s=time.monotonic() - 1)
    late = second if served == [1] else first
    descriptor = late.ours.fileno()
    reactor.remove(descriptor)
    late.ours.close()
    newcomer = Ready(3, served, stack)
    assert newcomer.ours.fileno() == descriptor
    newcomer.ours.recv(1)  # it has nothing to read
    reactor.add(descriptor, newcomer)
    reactor.turn(end_s=time.monotonic() - 1)
    assert 3 not in served


class Subscriber:
    """A connection that has a message to send; `order` notes who sent when."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self._order = order

    def flush(self) -> None:
        self._order.append(self.name)


def test_messages_leave_behind_replies_and_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is sent by the next turns, which come though no client asks for anything."""
    monkeypatch.setattr(loop, "PUSHES_S", -1.0)
    reactor = Reactor(Clock())
    order: list[str] = []
    for number in range(40):
        reactor.has_pushes(Subscriber(f"message {number}", order))  # type: ignore[arg-type]
    reactor.has_output(Subscriber("reply", order))  # type: ignore[arg-type]
    reactor.settle()
    assert order == ["reply", *(f"message {number}" for number in range(16))]
    assert reactor.turn()
    assert len(order) == 33
    assert reactor.turn()
    assert order[1:] == [f"message {number}" for number in range(40)]
    assert not reactor.turn(), "nothing is left, and nothing wakes the reactor"


def test_a_message_from_outside_of_a_turn_makes_one_follow() -> None:
    """The bus delivers what other nodes' clients publish, and settles nothing."""
    reactor = Reactor(Clock())
    order: list[str] = []
    for _ in range(2):
        assert not reactor.turn()
        reactor.has_pushes(Subscriber("message", order))  # type: ignore[arg-type]
        assert reactor.turn()
    assert order == ["message", "message"]


def test_a_message_made_in_a_turn_leaves_with_it(stack: ExitStack) -> None:
    reactor = Reactor(Clock())
    order: list[str] = []
    source = Ready(0, [], stack)
    source.then = lambda: reactor.has_pushes(Subscriber("message", order))  # type: ignore[arg-type]
    reactor.add(source.ours.fileno(), source)
    assert reactor.turn()
    assert order == ["message"]
