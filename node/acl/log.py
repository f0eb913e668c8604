"""What was denied: counters for INFO, and the entries of ACL LOG.

A denial that is much like one of the ten newest entries counts there, within a minute, so that a client which
tries again and again fills one entry and not the log.

Source: https://redis.io/commands/acl-log/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from node.acl.selector import Reason

_LIKE_MS = 60_000
_LOOKED_AT = 10


class Context(Enum):
    """Where the command came from."""

    TOPLEVEL = b"toplevel"
    MULTI = b"multi"
    LUA = b"lua"
    MODULE = b"module"


@dataclass(slots=True)
class Entry:
    """Times are Unix time; `client` is the line of CLIENT LIST."""

    id: int
    reason: Reason
    context: Context
    object: bytes
    user: bytes
    client: bytes
    created_ms: int
    updated_ms: int
    count: int = 1


class AclLog:
    """The newest entries first, at most as many as acllog-max-len says."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._next_id = 0
        self.entries: list[Entry] = []
        self.denials: Counter[Reason] = Counter()

    def add(
        self, reason: Reason, context: Context, what: bytes, user: bytes, client: bytes, now_ms: int
    ) -> None:
        self.denials[reason] += 1
        for at, known in enumerate(self.entries[:_LOOKED_AT]):
            same = (known.reason, known.context, known.object, known.user) == (reason, context, what, user)
            if same and now_ms - known.updated_ms <= _LIKE_MS:
                known.count += 1
                known.updated_ms = now_ms
                known.client = client
                self.entries.insert(0, self.entries.pop(at))
                return
        self.entries.insert(0, Entry(self._next_id, reason, context, what, user, client, now_ms, now_ms))
        self._next_id += 1
        del self.entries[self._limit() :]
