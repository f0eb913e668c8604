"""Which requests are served here, and where the others are sent.

The fast path of the dispatcher only looks into `served` (for READONLY sessions `served_readonly`), one byte
a slot, prepared whenever the core says that routes changed. Zero means that the full path decides, with
`route`: a slot of another node (MOVED), a slot on the move (ASK, TRYAGAIN), or a cluster that is down.

Source: the Redis cluster specification, "MOVED redirection", "ASK redirection", "Multi-keys operations" and
"Scaling reads using replica nodes".
"""

from __future__ import annotations

from collections import Counter
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
    """`endpoint` writes where a session's client is told to go, host:port; `reads_when_down` and
    `shard_channels_when_down` are the directives.
    """

    def __init__(
        self,
        core: Core,
        endpoint: Callable[[Session, Member], str],
        reads_when_down: Callable[[], bool],
        shard_channels_when_down: Callable[[], bool],
        key_exists: KeyExists,
    ) -> None:
        self._core = core
        self._endpoint = endpoint
        self._reads_when_down = reads_when_down
        self._shard_channels_when_down = shard_channels_when_down
        self._key_exists = key_exists
        self.served = bytearray(SLOT_COUNT)
        self.served_readonly = bytearray(SLOT_COUNT)
        self._own = self._readable = SlotSet()
        self._held: Counter[int] = Counter()

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
        self._own, self._readable = own, readable
        _fill(self.served, own)
        _fill(self.served_readonly, readable)
        for slot in self._held:
            self.served[slot] = self.served_readonly[slot] = 0

    # Slots with something peculiar about them: their requests take the full path

    def hold(self, slot: int) -> None:
        self._held[slot] += 1
        self.served[slot] = self.served_readonly[slot] = 0

    def free(self, slot: int) -> None:
        self._held[slot] -= 1
        if self._held[slot]:
            return
        del self._held[slot]
        self.served[slot] = slot in self._own
        self.served_readonly[slot] = slot in self._readable

    def route(
        self, session: Session, command: Command, slot: int, keys: list[bytes], asking: bool
    ) -> bytes | None:
        """None when the request is served here, else the error or redirect it gets."""
        state = self._core.state
        owner = state.owner(slot)
        if owner is None:
            return UNBOUND
        if command.flags & Flag.PUBSUB:
            return self._route_channel(session, slot, owner, asking)
        if not self._core.ok:
            if not self._reads_when_down():
                return DOWN
            if not command.flags & Flag.READONLY:
                return DOWN_READS_ONLY
        if command.name == b"MIGRATE" and (slot in state.migrating or slot in state.importing):
            return None  # keys of an open slot may be moved from wherever they are
        if owner.myself:
            target = state.migrating.get(slot)
            return None if target is None else self._migrating(session, slot, keys, target)
        if slot in state.importing and (asking or command.flags & Flag.ASKING):
            several = len(set(keys)) > 1
            missing = several and not all(self._key_exists(session, key) for key in keys)
            return TRYAGAIN if missing else None
        if session.readonly and command.flags & Flag.READONLY and owner is state.me.primary:
            return None
        return self._redirect(b"MOVED", session, slot, owner)

    def _route_channel(self, session: Session, slot: int, owner: Member, asking: bool) -> bytes | None:
        """Shard channels are with every node of the shard that has their slot, wherever its keys may be."""
        if not (self._core.ok or self._shard_channels_when_down()):
            return DOWN
        state = self._core.state
        if owner is state.my_primary or (asking and slot in state.importing):
            return None
        return self._redirect(b"MOVED", session, slot, owner)

    def keeps_channels(self, slot: int) -> bool:
        """Whether shard channels of `slot` may have subscribers here."""
        state = self._core.state
        return state.owner(slot) is state.my_primary or slot in state.importing

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
        return b"-%b %d %b\r\n" % (kind, slot, self._endpoint(session, owner).encode())


def _fill(served: bytearray, slots: SlotSet) -> None:
    served[:] = bytes(SLOT_COUNT)
    for first, last in slots.ranges():
        served[first : last + 1] = b"\x01" * (last + 1 - first)
