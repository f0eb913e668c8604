"""The primary's stream → changes here, in bounded slices, with exact offsets.

The stream is commands in canonical RESP (arrays of bulk strings), so the bytes a command took are known from
the command. After each slice exactly the bytes of what has been applied are passed on to our own replicas and
counted; what is still to be applied is in neither. Where the parser stands at a command's boundary the two
ways of counting must meet; a primary for which they do not is not one whose offsets can be trusted.

While the stream runs, keys whose time is over are as if it were not (`Policy.obeys`): the primary decides,
and its commands presume what it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
    ) -> None:
        self._session = session
        self._stream = stream
        self._clock = clock
        self._policy = policy
        self._log = log
        self._dispatch = dispatch
        self._settle = settle
        self._fast = dispatch.table.fast_all
        self._parser = RequestParser()
        self._raw = bytearray()  # received and not yet applied
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
        done = 0
        while done < len(requests) and not self.ended:
            count = self._apply_slice(requests, done)
            self._account(wire_length(requests[done : done + count]))
            done += count
            self._settle()
            if done < len(requests):
                await trio.lowlevel.checkpoint()
        if self._parser.error is not None:
            raise StreamError(self._parser.error.decode("utf-8", "backslashreplace"))
        if not self._parser.is_waiting and self._raw and not self.ended:
            raise StreamError("its commands are not in canonical form")

    def _skip_newlines(self, data: bytes) -> bytes:
        """Bare line ends between commands are counted and mean nothing: some primaries ping with them."""
        rest = data.lstrip(b"\n") if not self._parser.is_waiting else data
        if len(rest) != len(data):
            self._stream.relay(data[: len(data) - len(rest)])
        return rest

    def _apply_slice(self, requests: list[Request], start: int) -> int:
        """Applies requests from `start` on for about SLICE_S; returns how many."""
        end_s = time.monotonic() + SLICE_S
        self._policy.obeys = True
        try:
            for count, index in enumerate(range(start, len(requests)), 1):
                reply = self._apply(requests[index])
                if reply is not None and reply[:1] == b"-":
                    self._complain(requests[index], reply)
                if self.ended or (count % _REQUESTS_BETWEEN_LOOKS == 0 and time.monotonic() > end_s):
                    return count
            return len(requests) - start
        finally:
            self._policy.obeys = False

    def _apply(self, argv: Request) -> bytes | None:
        """No gate has a say about the primary's commands, so those of one key, which are nearly all, do not
        take the path that asks them.
        """
        command = self._fast.get(argv[0])
        if command is None or not command.arity_fits(len(argv)):
            return self._dispatch.execute(self._session, argv)
        call = self._session.call
        call.slot = key_slot(argv[1])
        call.now_ms = self._clock.now_ms
        return self._dispatch.run(self._session, command, argv)

    def _account(self, size: int) -> None:
        raw = self._raw
        if size > len(raw) or (len(raw) > size and raw[size] != 0x2A):
            raise StreamError("its commands are not in canonical form")
        self._stream.relay(bytes(raw[:size]))
        del raw[:size]

    def _complain(self, request: Request, reply: bytes) -> None:
        self._log.warning(
            "== CRITICAL == This replica is sending an error to its primary: "
            f"'{reply[1:-2].decode('utf-8', 'backslashreplace')}' after processing the command "
            f"'{request[0].decode('utf-8', 'backslashreplace')}'"
        )
