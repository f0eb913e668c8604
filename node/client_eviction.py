"""maxmemory-clients: when what clients make the server keep for them is too much, the greediest are closed.

Counted are the replies a client has not read, requests not run yet, and the queue of its transaction. While
there is a limit all are added up ten times a second (Redis does it with each command); within that time a
single client is bound by `client-output-buffer-limit` and `client-query-buffer-limit`. Replicas and the
primary are not counted, since they have limits of their own; clients with NO-EVICT are not closed.

Source: https://redis.io/docs/reference/clients/, "Client Eviction".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from node.command.session import Session
from node.config.config import Config
from node.config.table import MAXMEMORY, MAXMEMORY_CLIENTS
from node.log import Log
from node.observe.stats import Stats


class ClientEviction:
    """One per node; `tick` is called every 100 ms."""

    def __init__(
        self, config: Config, log: Log, stats: Stats, sessions: Callable[[], Iterable[Session]]
    ) -> None:
        self._config = config
        self._log = log
        self._stats = stats
        self._sessions = sessions

    def _limit_bytes(self) -> int:
        """0 is no limit; a percentage is of maxmemory, and of nothing when that is not set."""
        limit = self._config[MAXMEMORY_CLIENTS]
        return limit if limit >= 0 else self._config[MAXMEMORY] * -limit // 100

    def tick(self) -> None:
        limit_bytes = self._limit_bytes()
        if not limit_bytes:
            return
        sizes = [(kept_bytes(session), session) for session in self._sessions() if _counts(session)]
        total_bytes = sum(size for size, _ in sizes)
        if total_bytes <= limit_bytes:
            return
        for size, session in sorted(sizes, key=lambda each: each[0], reverse=True):
            if total_bytes <= limit_bytes or not size:
                break
            if session.no_evict:
                continue
            total_bytes -= size
            self._stats.evicted_clients += 1
            self._log.notice(f"Evicting client id={session.id}, for which {size} bytes are kept")
            session.transport.close(after_output=False)


def _counts(session: Session) -> bool:
    return not (session.is_replica or session.from_primary or session.closing)


def kept_bytes(session: Session) -> int:
    """What is kept for a client."""
    queue = session.queue
    transport = session.transport
    queued_bytes = 0 if queue is None else queue.size_bytes
    return transport.output_bytes() + transport.pending_bytes() + queued_bytes
