"""Where the memory of a node goes: the figures of MEMORY STATS, and what MEMORY DOCTOR makes of them.

Source: https://redis.io/commands/memory-stats/, https://redis.io/commands/memory-doctor/; the thresholds are
Redis's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from node.command.session import Session
from node.keyspace.database import Database
from node.keyspace.sizes import deadlines_bytes, table_bytes
from node.observe.memory import MemoryWatch, private_bytes

_WORTH_LOOKING_BYTES = 5 << 20  # of data; below this ratios say nothing
_PEAK_RATIO = 1.5
_FRAGMENTATION_RATIO = 1.4
_FRAGMENTATION_BYTES = 10 << 20
_CLIENT_BYTES = 200 << 10
_REPLICA_BYTES = 10 << 20


class DatabaseTables(NamedTuple):
    database: int
    keys_bytes: int
    deadlines_bytes: int


class Figures(NamedTuple):
    """Bytes, but for `keys`."""

    peak: int
    used: int
    startup: int
    private: int
    resident: int
    backlog: int
    replicas: int
    clients: int
    aof: int
    keys: int
    tables: list[DatabaseTables]

    @property
    def overhead(self) -> int:
        tables = sum(each.keys_bytes + each.deadlines_bytes for each in self.tables)
        return self.startup + self.backlog + self.replicas + self.clients + self.aof + tables

    @property
    def dataset(self) -> int:
        return max(0, self.used - self.overhead)


class MemoryReport:
    """Gathers the figures of one node. The application sets `backlog_bytes` and `aof_bytes`."""

    def __init__(
        self, watch: MemoryWatch, databases: list[Database], sessions: Callable[[], Iterable[Session]]
    ) -> None:
        self._watch = watch
        self._databases = databases
        self._sessions = sessions
        self.backlog_bytes: Callable[[], int] = lambda: 0
        self.aof_bytes: Callable[[], int] = lambda: 0

    def figures(self) -> Figures:
        """Takes about a millisecond for each database with keys."""
        usage = self._watch.look()
        sessions = list(self._sessions())
        return Figures(
            peak=self._watch.peak_bytes,
            used=usage.used_bytes,
            startup=self._watch.startup_bytes,
            private=private_bytes(),
            resident=usage.resident_bytes,
            backlog=self.backlog_bytes(),
            replicas=sum(_buffers_bytes(session) for session in sessions if session.is_replica),
            clients=sum(_buffers_bytes(session) for session in sessions if not session.is_replica),
            aof=self.aof_bytes(),
            keys=sum(database.count for database in self._databases),
            tables=[
                DatabaseTables(database.index, table_bytes(database), deadlines_bytes(database))
                for database in self._databases
                if database.count
            ],
        )

    def advice(self) -> str:
        """What is wrong with the use of memory, and what to do about it."""
        figures = self.figures()
        if figures.used - figures.startup < _WORTH_LOOKING_BYTES:
            return "There is too little data (less than 5 MB) for its memory to be judged."
        sessions = list(self._sessions())
        replicas = [_buffers_bytes(session) for session in sessions if session.is_replica]
        clients = [_buffers_bytes(session) for session in sessions if not session.is_replica]
        return "\n".join(_findings(figures, clients, replicas)) or "No problem with memory was found."


def _findings(figures: Figures, clients: list[int], replicas: list[int]) -> Iterable[str]:
    if figures.peak > figures.used * _PEAK_RATIO:
        yield (
            " * Peak: far more memory was in use than is now. The allocators may keep what became free for "
            "what comes; MEMORY PURGE gives back what can be."
        )
    waste = figures.private - figures.used
    if waste > _FRAGMENTATION_BYTES and figures.private > figures.used * _FRAGMENTATION_RATIO:
        yield (
            f" * Fragmentation: the process holds {figures.private / figures.used:.2f} times what is in use, "
            "in pages that are free in part. New values may fit in there; a restart puts all together."
        )
    if clients and sum(clients) / len(clients) > _CLIENT_BYTES:
        yield (
            " * Clients: their buffers take more than 200 KB on average. Look for slow readers and for long "
            "pipelines in CLIENT LIST (omem, qbuf)."
        )
    if replicas and sum(replicas) / len(replicas) > _REPLICA_BYTES:
        yield (
            " * Replicas: more than 10 MB each wait to be sent. They, or the network, are slower than the "
            "writes."
        )


def _buffers_bytes(session: Session) -> int:
    return session.transport.output_bytes() + session.transport.pending_bytes()
