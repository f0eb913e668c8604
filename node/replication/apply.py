"""The primary's stream → changes here, in bounded slices, with exact offsets.

The stream is commands in canonical RESP (arrays of bulk strings), so the bytes a command took are known from
the command. After each slice exactly the bytes of what has been applied are passed on to our own replicas and
counted; what is still to be applied is in neither. Where the parser stands at a command's boundary the two
ways of counting must meet; a primary for which they do not is not one whose offsets can be trusted. A
transaction is applied, and counts, when its EXEC has come: who loses the link in the midst of one goes on
from before it.

While the stream runs, keys whose time is over are as if it were not (`Policy.obeys`): the primary decides,
and its commands presume what it had.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from gossip.slots import key_slot
from node.clock import Clock
from node.command.registry import Command, Table
from node.command.session import Session
from node.keyspace.database import Policy
from node.log import Log
from node.replication.stream import Stream
from node.resp.request import Request, RequestParser, wire_length

SLICE_S = 0.002
_REQUESTS_BETWEEN_LOOKS = 16
_LONG_BYTES = 64 * 1024

Prepare = Callable[[Session, Request], Awaitable[None]]
"""Does ahead of a long request what can be done ahead, in slices: makes the value of a big RESTORE."""


async def prepare_nothing(_session: Session, _request: Request) -> None:
    """Each request does its work when it runs."""


class Dispatch(Protocol):
    """What is needed of the dispatcher: `run` for what may run, `execute` for the full path."""

    table: Table

    def run(self, session: Session, command: Command, argv: Request) -> bytes | None: ...
    def execute(self, session: Session, argv: Request) -> bytes | None: ...


class StreamError(Exception):
    """The primary sent what is no replication stream."""


class Applier:
    """Applies what one connection brings. `session` stands for the primary among the clients."""

    def __init__(
        self,
        session: Session,
        stream: Stream,
        clock: Clock,
        policy: Policy,
        log: Log,
        dispatch: Dispatch,
        settle: Callable[[], None],
        prepare: Prepare = prepare_nothing,
    ) -> None:
        self._session = session
        self._stream = stream
        self._clock = clock
        self._policy = policy
        self._log = log
        self._dispatch = dispatch
        self._settle = settle
        self._prepare = prepare
        self._fast = dispatch.table.fast_all
        self._parser = RequestParser()
        self._raw = bytearray()  # received and not yet applied
        self._outside = 0
        self._held = 0  # how much of it are queued commands of an open transaction
        self.ended = False  # nothing more is applied: the node has stopped following

    @property
    def read_offset(self) -> int:
        """The offset of the last byte received."""
        return self._stream.offset + len(self._raw)

    async def feed(self, data: bytes) -> None:
        """Applies all commands that are complete with `data`. Raises StreamError."""
        if not self._raw:
            data = self._skip_newlines(data)
        self._raw += data
        requests = self._parser.feed(data)
        long = [at for at, request in enumerate(requests) if _is_long(request)] if self._is_much() else []
        done = 0
        while done < len(requests) and not self.ended:
            if long and long[0] == done:
                await self._prepare(self._session, requests[long.pop(0)])
                continue
            count = self._apply_slice(requests, done, long[0] if long else len(requests))
            outside = self._outside
            if outside > done:
                self._account(self._held + wire_length(requests[done:outside]))
                self._held = 0
            self._held += wire_length(requests[outside : done + count])
            done += count
            self._settle()
            if done < len(requests):
                await trio.lowlevel.checkpoint()
        if self._parser.error is not None:
            raise StreamError(self._parser.error.decode("utf-8", "backslashreplace"))
        if not self._parser.is_waiting and len(self._raw) != self._held and not self.ended:
            raise StreamError("its commands are not in canonical form")

    def _skip_newlines(self, data: bytes) -> bytes:
        """Bare line ends between commands are counted and mean nothing: some primaries ping with them."""
        rest = data.lstrip(b"\n") if not self._parser.is_waiting else data
        if len(rest) != len(data):
            self._stream.relay(data[: len(data) - len(rest)])
        return rest

    def _is_much(self) -> bool:
        """Whether a long request may be among what has come."""
        return len(self._raw) > _LONG_BYTES

    def _apply_slice(self, requests: list[Request], start: int, stop: int) -> int:
        """Applies requests from `start` on, up to before `stop`, for about SLICE_S; returns how many.

        `_outside` is then the end of the last one that stood, or ended, outside of a transaction.
        """
        end_s = time.monotonic() + SLICE_S
        session = self._session
        self._outside = start
        self._policy.obeys = True
        try:
            for count, index in enumerate(range(start, stop), 1):
                reply = self._apply(requests[index])
                if session.queue is None:
                    self._outside = index + 1
                if reply is not None and reply[:1] == b"-":
                    self._complain(requests[index], reply)
                if self.ended or (count % _REQUESTS_BETWEEN_LOOKS == 0 and time.monotonic() > end_s):
                    return count
            return stop - start
        finally:
            self._policy.obeys = False

    def _apply(self, argv: Request) -> bytes | None:
        """No gate has a say about the primary's commands, so those of one key, which are nearly all, do not
        take the path that asks them, which inside of a transaction queues them.
        """
        command = self._fast.get(argv[0])
        session = self._session
        peculiar = session.queue is not None or session.taken is not None
        if command is None or peculiar or not command.arity_fits(len(argv)):
            return self._dispatch.execute(session, argv)
        call = session.call
        call.slot = key_slot(argv[1])
        call.now_ms = self._clock.now_ms
        return self._dispatch.run(session, command, argv)

    def _account(self, size: int) -> None:
        raw = self._raw
        if size > len(raw) or (len(raw) > size and raw[size] != 0x2A):
            raise StreamError("its commands are not in canonical form")
        with memoryview(raw) as view:
            applied = bytes(view[:size])
        self._stream.relay(applied)
        del raw[:size]

    def _complain(self, request: Request, reply: bytes) -> None:
        self._log.warning(
            "== CRITICAL == This replica is sending an error to its primary: "
            f"'{reply[1:-2].decode('utf-8', 'backslashreplace')}' after processing the command "
            f"'{request[0].decode('utf-8', 'backslashreplace')}'"
        )


def _is_long(request: Request) -> bool:
    return any(len(word) > _LONG_BYTES for word in request)
