"""The simulated network has the manners of TCP."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from gossip.testing.agenda import Agenda
from gossip.testing.network import End, Network, Weather

SERVER = ("10.0.0.2", 17000)


class Recorder:
    """A process that writes down what the network tells it."""

    def __init__(self, machine: int) -> None:
        self.machine = machine
        self.events: list[str] = []
        self.ends: list[End] = []
        self.paused = False
        self.inbox: list[Callable[[], None]] = []

    def deliver(self, event: Callable[[], None]) -> None:
        if self.paused:
            self.inbox.append(event)
        else:
            event()

    def link_opened(self, end: End) -> None:
        self.events.append("opened")

    def link_failed(self, end: End, *, refused: bool) -> None:
        self.events.append("refused" if refused else "failed")

    def link_accepted(self, end: End, peer_ip: str) -> None:
        self.events.append(f"accepted {peer_ip}")
        self.ends.append(end)

    def link_closed(self, end: End) -> None:
        self.events.append("closed")

    def received(self, end: End, frame: bytes) -> None:
        self.events.append(frame.decode())


class Pair:
    """A client and a server on two machines."""

    def __init__(self) -> None:
        self.agenda = Agenda(0)
        self.network = Network(self.agenda, Random(1), 2)
        self.client, self.server = Recorder(0), Recorder(1)
        self.network.place(("10.0.0.1", 17000), 0)
        self.network.place(SERVER, 1)

    def run(self, for_ms: int) -> None:
        self.agenda.run_until(self.agenda.now_ms + for_ms)

    def connected(self) -> End:
        self.network.listen(SERVER, self.server)
        end = self.network.connect(self.client, 1, SERVER)
        self.run(1_000)
        assert (self.client.events, self.server.events) == (["opened"], ["accepted 10.0.0.1"])
        self.client.events.clear()
        self.server.events.clear()
        return end


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_frames_arrive_in_order_however_bad_the_weather(pair: Pair) -> None:
    end = pair.connected()
    pair.network.weather = Weather((1, 500), loss=0.5)
    sent = [str(number) for number in range(50)]
    for text in sent:
        pair.network.send(end, text.encode())
        pair.run(5)
    pair.run(3_600_000)
    assert pair.server.events == sent


def test_a_port_without_process_refuses(pair: Pair) -> None:
    pair.network.connect(pair.client, 1, SERVER)
    pair.run(100)
    assert pair.client.events == ["refused"]


def test_a_machine_without_power_does_not_answer(pair: Pair) -> None:
    pair.network.listen(SERVER, pair.server)
    pair.network.power_off(SERVER)
    pair.network.connect(pair.client, 1, SERVER)
    pair.run(30_000)
    assert pair.client.events == []
    pair.run(60_000)
    assert pair.client.events == ["failed"]


def test_a_killed_process_closes_its_connections(pair: Pair) -> None:
    pair.connected()
    pair.network.process_died(SERVER)
    pair.run(100)
    assert pair.client.events == ["closed"]


def test_a_connection_of_a_machine_that_lost_power_is_reset_when_it_is_back(pair: Pair) -> None:
    end = pair.connected()
    pair.network.power_off(SERVER)
    pair.network.send(end, b"lost")
    pair.run(60_000)
    assert pair.client.events == []
    pair.network.listen(SERVER, Recorder(1))
    pair.network.send(end, b"found")
    pair.run(100)
    assert (pair.client.events, pair.server.events) == (["closed"], [])


def test_what_is_sent_in_a_partition_arrives_when_it_heals(pair: Pair) -> None:
    end = pair.connected()
    pair.network.partition([[0], [1]])
    pair.network.send(end, b"one")
    pair.network.send(end, b"two")
    pair.run(60_000)
    assert pair.server.events == []
    pair.network.heal()
    pair.network.send(end, b"three")
    pair.run(1_000)
    assert pair.server.events == ["one", "two", "three"]


def test_a_connection_attempt_survives_a_short_partition(pair: Pair) -> None:
    pair.network.listen(SERVER, pair.server)
    pair.network.partition([[0], [1]])
    pair.network.connect(pair.client, 1, SERVER)
    pair.run(500)
    pair.network.heal()
    pair.run(1_000)
    assert pair.client.events == ["opened"]


def test_the_kernel_accepts_for_a_stopped_process(pair: Pair) -> None:
    """The peer sees an open connection; the process finds all of it when it continues."""
    pair.network.listen(SERVER, pair.server)
    pair.server.paused = True
    end = pair.network.connect(pair.client, 1, SERVER)
    pair.run(100)
    pair.network.send(end, b"hello")
    pair.run(100)
    pair.network.close(end)
    pair.run(100)
    assert (pair.client.events, pair.server.events) == (["opened"], [])
    for event in pair.server.inbox:
        event()
    assert pair.server.events == ["accepted 10.0.0.1", "hello", "closed"]


def test_a_reset_is_told_to_both_ends(pair: Pair) -> None:
    end = pair.connected()
    pair.network.weather = Weather(reset=1.0)
    pair.network.send(end, b"lost")
    pair.run(100)
    assert (pair.client.events, pair.server.events) == (["closed"], ["closed"])


def test_who_closes_is_told_nothing(pair: Pair) -> None:
    end = pair.connected()
    pair.network.send(end, b"last")
    pair.network.close(end)
    pair.run(100)
    assert (pair.client.events, pair.server.events) == ([], ["last", "closed"])
