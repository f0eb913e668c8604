"""RESTORE of a big payload: its client is blocked while the value is made in slices, then the command runs
again, through every gate, and finds the value ready. Whatever has happened meanwhile (the key was made by
somebody else, the slot went away) is seen as if the command had come only now.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from node.clients import Clients
from node.command.call import Call
from node.command.session import Block, Session
from node.moving.slicing import in_slices
from node.rdb.errors import RdbError
from node.rdb.slices import load_slices
from node.rdb.value import Value, load_payload
from node.values.limits import Limits

PAYLOAD_BYTES_AT_ONCE = 64 * 1024
"""What is loaded by the command itself: within a few milliseconds."""
BLOCKED_KIND = b"restore"
_COMMANDS = frozenset((b"RESTORE", b"RESTORE-ASKING"))


class _Load:
    """A value in the making; `outcome` once it is made, or what is wrong with it."""

    __slots__ = ("outcome", "payload", "scope")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.scope = trio.CancelScope()
        self.outcome: tuple[Value, RdbError | None] | None = None

    def given_up(self) -> None:
        if self.outcome is None:
            self.scope.cancel()


class Loads:
    """One per node."""

    def __init__(self, clients: Clients, settle: Callable[[], None]) -> None:
        self._clients = clients
        self._settle = settle
        self._nursery: trio.Nursery | None = None
        self._made: dict[int, _Load] = {}  # by session: for the time until its command runs again

    async def run(self) -> None:
        """The task; runs until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def load(self, call: Call, payload: bytes, may_wait: bool) -> Value | Block:
        """The value of a DUMP payload, or the block of a client that has to wait for it.

        Raises RdbError.
        """
        session, limits = call.session, call.db.limits
        made = self._made.pop(session.id, None)
        if made is not None and made.payload is payload and made.outcome is not None:
            value, wrong = made.outcome
            if wrong is not None:
                raise wrong
            return value
        if len(payload) <= PAYLOAD_BYTES_AT_ONCE or not may_wait or self._nursery is None:
            return load_payload(payload, limits)
        load = _Load(payload)
        block = Block(BLOCKED_KIND, None, lambda: b"", load.given_up, retry=True, may_time_out=False)
        self._nursery.start_soon(self._make, session, block, load, limits)
        return block

    async def prepare(self, session: Session, argv: list[bytes]) -> None:
        """For who runs commands in a task of their own: makes the value that a RESTORE will ask for next."""
        if argv[0].upper() in _COMMANDS and len(argv) > 3:
            load = _Load(argv[3])
            load.outcome = await _outcome(argv[3], session.call.db.limits)
            self._made[session.id] = load

    async def _make(self, session: Session, block: Block, load: _Load, limits: Limits) -> None:
        with load.scope:
            load.outcome = await _outcome(load.payload, limits)
            if session.blocked is not block:
                return
            self._made[session.id] = load
            self._clients.end_block(session)
            session.transport.resume()
            self._settle()
            self._made.pop(session.id, None)  # unless the command has: it may have been refused


async def _outcome(payload: bytes, limits: Limits) -> tuple[Value, RdbError | None]:
    try:
        return await in_slices(load_slices(payload, limits)), None
    except RdbError as wrong:
        return None, wrong
