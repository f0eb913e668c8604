"""What a session has in mind for EXEC: the requests queued since MULTI, and the keys it watches.

A request is queued when it has passed every gate, as it will run: command, words, slot. For EXEC itself the
gates are asked about all of them at once, as if they were one request (`as_one`): it writes when one of them
writes, it may run on a node that loads only when each of them may, and its keys are those of all.

Source: https://redis.io/docs/interact/transactions/; the cluster specification, "Multi-keys operations".
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from node.command.keyspec import KeyFlag
from node.command.registry import Command
from node.command.spec import Flag

if TYPE_CHECKING:
    from node.command.session import Session

AT_ONCE = frozenset((b"EXEC", b"DISCARD", b"MULTI", b"WATCH", b"QUIT", b"RESET"))
"""Commands that run at once inside a transaction."""

_OF_ANY = Flag.WRITE | Flag.DENYOOM | Flag.MAY_REPLICATE
_OF_ALL = Flag.STALE | Flag.LOADING | Flag.ALLOW_BUSY
_SHARD_CHANNELS = Flag.PUBSUB  # keys that are channels are routed in their own way


class Queued(NamedTuple):
    """A request as it will run."""

    command: Command
    argv: list[bytes]
    slot: int


WatchedKey = tuple[int, bytes]
"""Database index and key."""


class Watch:
    """What one client watches. `keys` says whether each key was there; None: its time was over already.

    Once `touched`, it watches nothing more.
    """

    __slots__ = ("keys", "touched")

    def __init__(self) -> None:
        self.keys: dict[WatchedKey, bool | None] = {}
        self.touched = False


class Units(Protocol):
    """How several commands run as one (`node.server.dispatch`): for EXEC, scripts and modules.

    Inside of `with units.unit(session):` each `units.run_within(...)` runs a command and applies what it
    changed. Nobody else's command comes between, none of them waits, clients that wait for keys are served
    behind the last, and replicas and the AOF are told all changes together, between MULTI and EXEC when there
    are several. A unit inside of another is part of that.
    """

    def unit(self, session: Session) -> AbstractContextManager[None]: ...

    def begin_unit(self, session: Session) -> bool:
        """The same for who has no time for a `with`: `end_unit` takes what this gives."""

    def end_unit(self, session: Session, denied: bool) -> None: ...

    def run_within(self, session: Session, command: Command, argv: list[bytes], slot: int) -> bytes:
        """The reply. `slot` is that of the first key (any without keys); no gate is asked."""


class Queue:
    """One open transaction. `broken` once a request was refused: EXEC will run nothing."""

    __slots__ = ("broken", "of_all", "of_any", "requests", "size_bytes")

    def __init__(self) -> None:
        self.requests: list[Queued] = []
        self.broken = False
        self.size_bytes = 0  # of the words of all requests
        self.of_any = Flag(0)
        self.of_all = _OF_ALL | _SHARD_CHANNELS

    def __len__(self) -> int:
        return len(self.requests)

    def add(self, command: Command, argv: list[bytes], slot: int, flags: Flag | None = None) -> None:
        """`flags` are those of the request, where they differ from the command's."""
        flags = command.flags if flags is None else flags
        self.requests.append(Queued(command, argv, slot))
        self.size_bytes += sum(map(len, argv))
        self.of_any |= flags
        self.of_all &= flags

    def as_one(self, execute: Command) -> tuple[Command, list[bytes]]:
        """EXEC as the gates see it: a command with the flags and the keys of all, and a request of those."""
        argv, positions = [execute.name], []
        for command, words, _ in self.requests:
            for at, flag in _keys_of(command, words):
                positions.append((len(argv), flag))
                argv.append(words[at])
        return _Whole(execute, self, positions), argv


class _Whole(Command):
    """EXEC with what it runs."""

    __slots__ = ("_positions",)

    def __init__(self, execute: Command, queue: Queue, positions: list[tuple[int, KeyFlag]]) -> None:
        super().__init__(execute.spec, execute.run)
        of_all = queue.of_all & (execute.flags | _SHARD_CHANNELS)
        flags = (execute.flags & ~_OF_ALL) | of_all | (queue.of_any & _OF_ANY)
        self.is_write = bool(flags & Flag.WRITE)
        self.flags = flags if self.is_write else flags | Flag.READONLY
        self.has_keys = bool(positions)
        self._positions = positions

    def keys_of(self, argv: list[bytes]) -> list[tuple[int, KeyFlag]]:  # noqa: ARG002  those of as_one
        return self._positions


def _keys_of(command: Command, argv: list[bytes]) -> list[tuple[int, KeyFlag]]:
    if not command.has_keys:
        return []
    try:
        return command.keys_of(argv)
    except ValueError:
        return []  # the handler has the words for what is wrong with the request
