"""The reactor: one trio task that serves every client socket through one epoll.

All sockets are registered once, level-triggered, in an epoll of our own, and that epoll's descriptor is what
trio waits for. A turn polls it without waiting, serves what is ready, settles (AOF and replicas before
replies), and sends. Turns follow each other for at most `SLICE_S`; then trio's other tasks (bus, replication,
timers) get their time, so a heartbeat never waits on data for longer. A turn that finds more sockets ready
than fit leaves the rest to the next, which serves these before it polls: nobody is served twice before all
are served once.

Replies leave first. Messages that are no replies (`has_pushes`) are sent behind them, for at most
`PUSHES_S` a turn, so that a message to ten thousand subscribers does not make everybody else wait for as many
system calls. While some are left, an event of our own is set, and the next turn follows at once.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

import trio

from node.clock import Clock
from node.server.connection import Connection

SLICE_S = 0.002
PUSHES_S = 0.001
_PUSHES_BETWEEN_LOOKS = 16
MAX_EVENTS = 1024
_READABLE = select.EPOLLIN
_GONE = select.EPOLLHUP | select.EPOLLRDHUP | select.EPOLLERR


class Source(Protocol):
    """Anything with a descriptor that the reactor serves: connections and listeners."""

    def readable(self) -> None: ...
    def writable(self) -> None: ...
    def hung_up(self) -> None: ...


class Reactor:
    """`before_turn` is called first in every turn; `before_flush` runs before replies
    leave.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._sources: dict[int, Source] = {}
        self._with_output: list[Connection] = []
        self._pushed: deque[Connection] = deque()
        self._alarm = -1
        self._alarmed = False
        self._in_turn = False
        self._resumed: list[Connection] = []
        self._late: list[tuple[int, Source | None, int]] = []  # events that a turn had no time for
        self.before_turn: list[Callable[[], None]] = []
        self.before_flush: list[Callable[[], None]] = []

    def add(self, fd: int, source: Source) -> None:
        self._sources[fd] = source
        self._epoll.register(fd, select.EPOLLIN)

    def modify(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        del self._sources[fd]
        self._epoll.unregister(fd)

    def has_output(self, connection: Connection) -> None:
        self._with_output.append(connection)

    def has_pushes(self, connection: Connection) -> None:
        self._pushed.append(connection)
        if not self._alarmed and not self._in_turn:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm < 0:
            self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._epoll.register(self._alarm, select.EPOLLIN)
        os.eventfd_write(self._alarm, 1)
        self._alarmed = True

    def may_go_on(self, connection: Connection) -> None:
        self._resumed.append(connection)

    async def run(self) -> None:
        """The task; runs until cancelled."""
        descriptor = self._epoll.fileno()
        try:
            while True:
                await trio.lowlevel.wait_readable(descriptor)
                end_s = time.monotonic() + SLICE_S
                while self.turn(end_s) and time.monotonic() < end_s:
                    pass
        finally:
            self._epoll.close()
            if self._alarm >= 0:
                os.close(self._alarm)

    def turn(self, end_s: float = math.inf) -> bool:
        """One turn, which begins with no further socket after `end_s`; False when none was ready."""
        events = self._take_late() or self._epoll.poll(0, MAX_EVENTS)
        if not events:
            return False
        self._in_turn = True
        self._clock.update()
        for wake in self.before_turn:
            wake()
        sources = self._sources
        monotonic = time.monotonic
        for done, (fd, mask) in enumerate(events, 1):
            source = sources.get(fd)  # gone when an earlier event of this turn closed it
            if source is None:
                continue
            if mask == _READABLE:
                source.readable()
            else:
                self._serve(fd, source, mask)
            if monotonic() > end_s:
                self._late = [(fd, sources.get(fd), mask) for fd, mask in islice(events, done, None)]
                break
        self.settle()
        self._in_turn = False
        return True

    def pump(self, skip: int) -> None:
        """Serves whoever is ready now, but nothing of the connection with descriptor `skip`, whose command is
        running: it is neither read nor written.
        """
        self._clock.update()
        sources = self._sources
        for fd, mask in self._epoll.poll(0, MAX_EVENTS):
            source = sources.get(fd)
            if source is None or fd == skip:
                continue
            self._serve(fd, source, mask)
        held, self._with_output = _apart(self._with_output, skip)
        pushed, others = _apart(self._pushed, skip)
        self._pushed = deque(others)
        self.settle()
        self._with_output += held
        self._pushed += pushed

    def _serve(self, fd: int, source: Source, mask: int) -> None:
        if mask & _READABLE:
            source.readable()
        elif mask & _GONE:
            source.hung_up()
        if mask & select.EPOLLOUT and fd in self._sources:
            source.writable()

    def _take_late(self) -> list[tuple[int, int]]:
        late = self._late
        if not late:
            return []
        self._late = []
        sources = self._sources  # a descriptor may be another socket's by now
        return [(fd, mask) for fd, source, mask in late if sources.get(fd) is source]

    def settle(self) -> None:
        """Lets sessions go on that were set free, and sends what has gathered.

        To be called by tasks outside the reactor that caused replies or set sessions free.
        """
        while True:
            self._go_on()
            for hook in self.before_flush:
                hook()
            if not self._resumed:
                break
        while self._with_output:
            ready, self._with_output = self._with_output, []
            for connection in ready:
                connection.flush()
        if self._pushed or self._alarmed:
            self._flush_pushed()

    def _flush_pushed(self) -> None:
        pushed = self._pushed
        end_s = time.monotonic() + PUSHES_S
        while pushed:
            for _ in range(min(len(pushed), _PUSHES_BETWEEN_LOOKS)):
                pushed.popleft().flush()
            if time.monotonic() > end_s:
                break
        if pushed and not self._alarmed:
            self._set_alarm()
        elif not pushed and self._alarmed:
            os.eventfd_read(self._alarm)
            self._alarmed = False

    def _go_on(self) -> None:
        while self._resumed:
            resumed, self._resumed = self._resumed, []
            for connection in resumed:
                connection.go_on()


def _apart(connections: Iterable[Connection], fd: int) -> tuple[list[Connection], list[Connection]]:
    """Those with a descriptor, and the others."""
    connections = list(connections)
    return [c for c in connections if c.fd == fd], [c for c in connections if c.fd != fd]
