"""One replica as its primary sees it, and the collection of all of them.

A replica is a client's session that asked to be one. It waits for a snapshot (`WAITING`), gets it (`LOADING`:
what changes meanwhile is held back for it, from the cut on), and then gets the stream (`ONLINE`). After a
snapshot that ended with a mark, the stream begins only with the replica's first acknowledgement: redis-server
finds the mark at the end of what it has read, and so nothing may follow it at once.

Source: https://redis.io/docs/management/replication/; the names of states are those of INFO replication.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import trio

from node.command.session import Session
from node.config.special import BufferLimit


class State(Enum):
    """The value is the word of INFO replication."""

    GREETING = "none"  # said something about itself, and has not asked for the stream
    WAITING = "wait_bgsave"
    LOADING = "send_bulk"
    ONLINE = "online"
    SNAPSHOT_ONLY = "rdb_transmitted"  # has all that it asked for


class Replica:
    """`ack_offset` is the last offset acknowledged, `ack_ms` when (Unix time); `synced_offset` is what it has
    on disk, -1 while it keeps no append-only file.
    """

    __slots__ = (
        "_held",
        "_held_bytes",
        "_soft_since_ms",
        "ack_ms",
        "ack_offset",
        "acknowledges",
        "address",
        "asked_ms",
        "changed",
        "gone",
        "has_loaded",
        "knows_setslot",
        "port",
        "session",
        "snapshot_only",
        "starts_on_ack",
        "state",
        "synced_offset",
        "understands_eof",
        "understands_psync2",
    )

    def __init__(self, session: Session) -> None:
        self.session = session
        self.address = session.address.rpartition(b":")[0].strip(b"[]")
        self.port = 0
        self.state = State.GREETING
        self.understands_eof = False
        self.understands_psync2 = False
        self.snapshot_only = False
        self.knows_setslot = False  # it takes CLUSTER SETSLOT from its primary
        self.acknowledges = True  # False after SYNC, which is older than acknowledgements
        self.ack_offset = 0
        self.synced_offset = -1
        self.ack_ms = 0
        self.asked_ms = 0
        self.starts_on_ack = False
        self.gone = False
        self.has_loaded = False  # it has said that what we hold is what it holds
        self.changed = trio.Event()  # set when it has taken what was sent, or is gone
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._soft_since_ms = 0

    @property
    def name(self) -> str:
        """As the log tells it."""
        if self.port:
            return f"{self.address.decode()}:{self.port}"
        return f"client id #{self.session.id}"

    @property
    def is_streaming(self) -> bool:
        return self.state is State.ONLINE and not self.starts_on_ack

    def lag_s(self, now_ms: int) -> int:
        """Seconds since the last acknowledgement of one that is online."""
        return max(0, now_ms - self.ack_ms) // 1000 if self.state is State.ONLINE else 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream: sent, held back, or not meant for it yet."""
        if self.is_streaming:
            self.session.transport.send(data)
        elif self.state in (State.LOADING, State.ONLINE) and not self.snapshot_only:
            self._held.append(data)
            self._held_bytes += len(data)

    def release(self) -> None:
        """Sends what was held back; from now on the stream goes straight through."""
        self.starts_on_ack = False
        for data in self._held:
            self.session.transport.send(data)
        self._held.clear()
        self._held_bytes = 0

    def exceeds(self, limit: BufferLimit, now_ms: int) -> bool:
        """Whether what is held back is more than client-output-buffer-limit lets a replica have."""
        size = self._held_bytes
        if limit.hard_bytes and size > limit.hard_bytes:
            return True
        if not limit.soft_bytes or size <= limit.soft_bytes:
            self._soft_since_ms = 0
            return False
        self._soft_since_ms = self._soft_since_ms or now_ms
        return now_ms - self._soft_since_ms > limit.soft_seconds * 1000

    def leave(self) -> None:
        """The connection is gone."""
        self.gone = True
        self._held.clear()
        self._held_bytes = 0
        self.changed.set()

    async def drained(self, timeout_s: float) -> bool:
        """Waits until the socket has taken all that was sent, or the replica is gone; False when it takes
        longer.
        """
        transport = self.session.transport
        if self.gone or not transport.output_bytes():
            return True
        self.changed = trio.Event()
        transport.when_sent(self.changed.set)
        with trio.move_on_after(timeout_s):
            await self.changed.wait()
        return self.changed.is_set()


class Replicas:
    """Those that asked for the stream, in the order they came, and those that only have greeted."""

    def __init__(self) -> None:
        self._by_session: dict[int, Replica] = {}

    def __iter__(self) -> Iterator[Replica]:
        return iter([r for r in self._by_session.values() if r.state is not State.GREETING])

    def __len__(self) -> int:
        return sum(r.state is not State.GREETING for r in self._by_session.values())

    def of(self, session: Session) -> Replica:
        """What is known of a session; it becomes no replica by this."""
        replica = self._by_session.get(session.id)
        if replica is None:
            replica = self._by_session[session.id] = Replica(session)
        return replica

    def find(self, session: Session) -> Replica | None:
        return self._by_session.get(session.id)

    def remove(self, session: Session) -> Replica | None:
        """Forgets a session; returns the replica it was, if it was one."""
        replica = self._by_session.pop(session.id, None)
        if replica is None:
            return None
        replica.leave()
        return replica if replica.state is not State.GREETING else None

    def online(self) -> list[Replica]:
        return [r for r in self if r.state is State.ONLINE]

    def waiting(self) -> list[Replica]:
        return [r for r in self if r.state is State.WAITING]
