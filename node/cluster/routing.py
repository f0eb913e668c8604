"""Which requests are served here, and where the others are sent.

The fast path of the dispatcher only looks into `served` (for READONLY sessions `served_readonly`), one byte
a slot, prepared whenever the core says that routes changed. Zero means that the full path decides, with
`route`: a slot of another node (MOVED), a slot on the move (ASK, TRYAGAIN), or a cluster that is down.

Source: the Redis cluster specification, "MOVED redirection", "ASK redirection", "Multi-keys operations" and
"Scaling reads using replica nodes".
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.core import Core
from gossip.member import Member
from gossip.slots import SLOT_COUNT, SlotSet
from gossip.state import slots_of
from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag

UNBOUND = b"-CLUSTERDOWN Hash slot not served\r\n"
DOWN = b"-CLUSTERDOWN The cluster is down\r\n"
DOWN_READS_ONLY = b"-CLUSTERDOWN The cluster is down and only accepts read commands\r\n"
TRYAGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"

KeyExists = Callable[[Session, bytes], bool]


class Router:
    """`endpoint` writes the host a session's client is told to go to; `reads_when_down` is the directive."""

    def __init__(
        self,
        core: Core,
        endpoint: Callable[[Session, Member], str],
        reads_when_down: Callable[[], bool],
        key_exists: KeyExists,
    ) -> None:
        self._core = core
        self._endpoint = endpoint
        self._reads_when_down = reads_when_down
        self._key_exists = key_exists
        self.served = bytearray(SLOT_COUNT)
        self.served_readonly = bytearray(SLOT_COUNT)

    def rebuild(self) -> None:
        """Takes over the core's view; the arrays are changed in place, since sessions hold them."""
        state = self._core.state
        own = readable = SlotSet()
        if self._core.ok:
            if state.me.is_primary:
                own = state.me.slots - slots_of(state.migrating)
                readable = own
            elif state.my_primary is not None:
                readable = state.my_primary.slots
        _fill(self.served, own)
        _fill(self.served_readonly, readable)

    def route(
        self, session: Session, command: Command, slot: int, keys: list[bytes], asking: bool
    ) -> bytes | None:
        """None when the request is served here, else the error or redirect it gets."""
        state = self._core.state
        owner = state.owner(slot)
        if owner is None:
            return UNBOUND
        if not self._core.ok:
            if not self._reads_when_down():
                return DOWN
            if not command.flags & Flag.READONLY:
                return DOWN_READS_ONLY
        if owner.myself:
            target = state.migrating.get(slot)
            return None if target is None else self._migrating(session, slot, keys, target)
        if slot in state.importing and (asking or command.flags & Flag.ASKING):
            missing = len(keys) > 1 and not all(self._key_exists(session, key) for key in keys)
            return TRYAGAIN if missing else None
        if session.readonly and command.flags & Flag.READONLY and owner is state.me.primary:
            return None
        return self._redirect(b"MOVED", session, slot, owner)

    def route_waiting(self, session: Session, slot: int, reads: bool) -> bytes | None:
        """The reply that ends a wait for keys of `slot`, since they will not come to be here; else None.

        A slot on the move keeps those who wait until it has another owner. `reads` are those who only read.
        """
        state = self._core.state
        if not self._core.ok:
            return DOWN
        owner = state.owner(slot)
        if owner is None:
            return UNBOUND
        if owner.myself or slot in state.importing:
            return None
        if session.readonly and reads and owner is state.me.primary:
            return None
        return self._redirect(b"MOVED", session, slot, owner)

    def _migrating(self, session: Session, slot: int, keys: list[bytes], target: Member) -> bytes | None:
        here = sum(self._key_exists(session, key) for key in keys)
        if here == len(keys):
            return None
        return TRYAGAIN if here else self._redirect(b"ASK", session, slot, target)

    def _redirect(self, kind: bytes, session: Session, slot: int, owner: Member) -> bytes:
        host = self._endpoint(session, owner).encode()
        return b"-%b %d %b:%d\r\n" % (kind, slot, host, owner.port)


def _fill(served: bytearray, slots: SlotSet) -> None:
    served[:] = bytes(SLOT_COUNT)
    for first, last in slots.ranges():
        served[first : last + 1] = b"\x01" * (last + 1 - first)
