"""A network between simulated processes, with the manners of TCP.

What is sent on a connection arrives whole and in order or not at all, so the faults here are those that TCP
lets through:

    delay      every segment takes a random time, none overtakes another
    loss       a lost segment is sent again later: it and all behind it are late
    reset      a connection breaks and both ends learn of it
    partition  segments wait until the network heals, connection attempts too (SYN is repeated)
    crash      the kernel of a killed process closes its connections, and refuses new ones
    power off  the machine is silent; a connection it had is reset by the first segment after it is back

A stopped process still has a kernel, which accepts connections and takes segments for it: what arrives is
handed to the process (`Process.deliver`), which queues it.

All randomness comes from the `Random` handed in, and nothing iterates over a set, so a seed determines a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Protocol

from gossip.testing.agenda import Agenda

RETRANSMISSION_MS = 200
SYN_RETRY_MS = 1_000
SYN_TRIES = 6

Address = tuple[str, int]


class Process(Protocol):
    """One life of a node, as the network sees it."""

    machine: int

    def deliver(self, event: Callable[[], None]) -> None:
        """Run the event now, or when the process runs again; drop it if it is dead."""

    def link_opened(self, end: End) -> None: ...

    def link_failed(self, end: End, *, refused: bool) -> None: ...

    def link_accepted(self, end: End, peer_ip: str) -> None: ...

    def link_closed(self, end: End) -> None: ...

    def received(self, end: End, frame: bytes) -> None: ...


class Phase(Enum):
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(eq=False, slots=True)
class End:
    """One end of a connection; `link` is the number by which its process's core knows it."""

    process: Process
    peer: End | None = None
    link: int = 0
    phase: Phase = Phase.CONNECTING
    arrives_ms: int = 0
    stalled: list[Callable[[], None]] = field(default_factory=list)


@dataclass(slots=True)
class Weather:
    """The faults that befall every segment, unless a test changes them."""

    delay_ms: tuple[int, int] = (1, 3)
    loss: float = 0.0
    reset: float = 0.0


class Network:
    """Machines are numbers; `groups` holds each machine's side of a partition."""

    def __init__(self, agenda: Agenda, rng: Random, machine_count: int) -> None:
        self.weather = Weather()
        self._agenda = agenda
        self._rng = rng
        self._groups = [0] * machine_count
        self._powered = [True] * machine_count
        self._listeners: dict[Address, Process] = {}
        self._machines: dict[Address, int] = {}
        self._ips: dict[int, str] = {}
        self._ends: dict[int, End] = {}

    # --- what tests do to it -------------------------------------------------------------------------------

    def partition(self, groups: list[list[int]]) -> None:
        """Cut the machines into groups that cannot reach each other; those not named form one more."""
        self._groups = [0] * len(self._groups)
        for number, group in enumerate(groups, 1):
            for machine in group:
                self._groups[machine] = number
        self._release()

    def heal(self) -> None:
        """Make one network of all machines again."""
        self.partition([])

    def _release(self) -> None:
        """Send again what waited; what still cannot pass waits anew."""
        for end in list(self._ends.values()):
            if not end.stalled:
                continue
            waiting, end.stalled = end.stalled, []
            start_ms = self._agenda.now_ms + self._rng.randrange(RETRANSMISSION_MS)
            for action in waiting:
                self._agenda.at(start_ms, action)
            end.arrives_ms = max(end.arrives_ms, start_ms)

    def reachable(self, one: int, other: int) -> bool:
        return self._powered[one] and self._powered[other] and self._groups[one] == self._groups[other]

    # --- processes -----------------------------------------------------------------------------------------

    def place(self, address: Address, machine: int) -> None:
        """Say which machine an address is of; a machine's last one is where its connections come from."""
        self._machines[address] = machine
        self._ips[machine] = address[0]

    def listen(self, address: Address, process: Process) -> None:
        self._powered[self._machines[address]] = True
        self._listeners[address] = process

    def process_died(self, address: Address) -> None:
        """Its kernel closes its connections and refuses new ones from now on."""
        process = self._listeners.pop(address)
        for end in self._ends_of(process):
            self.close(end)

    def power_off(self, address: Address) -> None:
        """The machine falls silent: its peers learn nothing."""
        process = self._listeners.pop(address)
        self._powered[self._machines[address]] = False
        for end in self._ends_of(process):
            self._forget(end)

    def _ends_of(self, process: Process) -> list[End]:
        return [end for end in self._ends.values() if end.process is process]

    # --- connections ---------------------------------------------------------------------------------------

    def connect(self, process: Process, link: int, address: Address) -> End:
        """Start to connect; the process is told how it went."""
        end = End(process, link=link)
        self._ends[id(end)] = end
        self._agenda.after(self._delay_ms(), lambda: self._syn(end, address, 1))
        return end

    def send(self, end: End, frame: bytes) -> None:
        assert end.phase is Phase.OPEN
        peer = end.peer
        assert peer is not None
        if self.weather.reset and self._rng.random() < self.weather.reset:
            self._reset(end)
            return
        self._carry(end, peer, lambda: self._arrive(end, peer, frame))

    def close(self, end: End) -> None:
        """Close one end; what was sent before still arrives, then the peer is told."""
        peer = end.peer
        self._forget(end)
        if peer is not None:
            self._carry(end, peer, lambda: self._closed_by_peer(peer))

    def _syn(self, end: End, address: Address, attempt: int) -> None:
        if end.phase is Phase.CLOSED:
            return
        machine = self._machines.get(address)
        lost = self.weather.loss and self._rng.random() < self.weather.loss
        if machine is None or lost or not self.reachable(end.process.machine, machine):
            if attempt == SYN_TRIES:
                self._fail(end, refused=False)
            else:
                wait_ms = SYN_RETRY_MS << (attempt - 1)
                self._agenda.after(wait_ms, lambda: self._syn(end, address, attempt + 1))
            return
        listener = self._listeners.get(address)
        if listener is None:
            self._agenda.after(self._delay_ms(), lambda: self._fail(end, refused=True))
            return
        peer = End(listener, peer=end, phase=Phase.OPEN)
        self._ends[id(peer)] = peer
        end.peer = peer
        peer_ip = self._ips[end.process.machine]
        listener.deliver(lambda: self._accepted(peer, peer_ip))
        self._carry(peer, end, lambda: self._opened(end))

    def _fail(self, end: End, *, refused: bool) -> None:
        def tell() -> None:
            # The process may have given up on the connection while it was stopped.
            if end.phase is not Phase.CLOSED:
                self._forget(end)
                end.process.link_failed(end, refused=refused)

        end.process.deliver(tell)

    def _accepted(self, end: End, peer_ip: str) -> None:
        end.process.link_accepted(end, peer_ip)

    def _opened(self, end: End) -> None:
        def tell() -> None:
            if end.phase is Phase.CONNECTING:
                end.phase = Phase.OPEN
                end.process.link_opened(end)

        end.process.deliver(tell)

    def _arrive(self, sender: End, receiver: End, frame: bytes) -> None:
        if receiver.phase is Phase.CLOSED:
            # The receiver's kernel knows no such connection (any more), and says so.
            if sender.phase is not Phase.CLOSED:
                self._carry(receiver, sender, lambda: self._closed_by_peer(sender))
            return

        def tell() -> None:
            if receiver.phase is Phase.OPEN:
                receiver.process.received(receiver, frame)

        receiver.process.deliver(tell)

    def _closed_by_peer(self, end: End) -> None:
        if end.phase is Phase.CONNECTING:
            self._fail(end, refused=True)
            return

        def tell() -> None:
            if end.phase is Phase.OPEN:
                self._forget(end)
                end.process.link_closed(end)

        end.process.deliver(tell)

    def _reset(self, end: End) -> None:
        def break_both() -> None:
            for one in (end, end.peer):
                if one is not None:
                    self._closed_by_peer(one)

        self._agenda.after(self._delay_ms(), break_both)

    def _forget(self, end: End) -> None:
        end.phase = Phase.CLOSED
        self._ends.pop(id(end), None)

    # --- segments ------------------------------------------------------------------------------------------

    def _carry(self, sender: End, receiver: End, action: Callable[[], None]) -> None:
        """Run the action when a segment sent now arrives, behind all segments before it."""
        due_ms = max(self._agenda.now_ms + self._delay_ms(), receiver.arrives_ms)
        receiver.arrives_ms = due_ms
        self._agenda.at(due_ms, lambda: self._arrive_or_stall(sender, receiver, action))

    def _arrive_or_stall(self, sender: End, receiver: End, action: Callable[[], None]) -> None:
        one, other = sender.process.machine, receiver.process.machine
        if not (self._powered[one] and self._powered[other]):
            return
        if self.reachable(one, other) and not receiver.stalled:
            action()
        elif id(receiver) in self._ends:
            receiver.stalled.append(lambda: self._arrive_or_stall(sender, receiver, action))

    def _delay_ms(self) -> int:
        low_ms, high_ms = self.weather.delay_ms
        delay_ms = self._rng.randint(low_ms, high_ms)
        if self.weather.loss:
            retry_ms = RETRANSMISSION_MS
            while self._rng.random() < self.weather.loss:
                delay_ms += retry_ms
                retry_ms *= 2
        return delay_ms
