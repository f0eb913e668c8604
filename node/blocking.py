"""Clients that wait for keys: BLPOP, BZMPOP, XREAD BLOCK and their kin.

A command that finds nothing to take returns `Blocking.wait(...)`, with the `attempt` that shall be made again
when one of its keys changes, in whatever way the key came to be. Waiters of a key are served first come,
first served, right after the command that changed it, before the next request of anyone: nobody overtakes
them. An attempt runs like a command: what it changes is applied and told to replicas as it says
(`call.rewrite`). It leaves all as it was when it returns None, and then the client waits on in its place. A
waiter costs nothing but its entries in the queues of its keys, and to serve the first of very many costs no
more than to serve the only one.

Source: https://redis.io/commands/blpop/, "Blocking behavior", "What key is served first?".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from node.clients import Clients
from node.clock import Clock
from node.command.call import Call
from node.command.session import Block, Session
from node.errors import CommandError
from node.keyspace.changes import Change, EventClass
from node.observe.info import Fields
from node.resp.encode import error

BLOCKED_KIND = b"keys"

TAKES_OF_GROUP = b"group:"
"""What `takes` of those begins with who read as a group: they hear that their key is gone, too."""

Attempt = Callable[[Call, bytes], bytes | None]
"""Tries again, since the key has changed; the reply, or None when there is still nothing. To take from
another key would be to overtake those who wait for that. May raise CommandError, which ends the wait.
"""

Watcher = Callable[[list[Change]], None]

Refusal = Callable[[Session, list[bytes]], bytes | None]

WaitedKey = tuple[int, bytes]
"""Database index and key."""


class Apply(Protocol):
    """Applies what an attempt changed: that of server/after.py."""

    def __call__(self, session: Session, argv: list[bytes]) -> None: ...


def _is_of_group(takes: bytes) -> bool:
    return takes.startswith(TAKES_OF_GROUP)


def _allow(_session: Session, _argv: list[bytes]) -> None:
    """Until the application sets something stricter."""


class Waiter:
    """One blocked client with its keys, in the order it named them."""

    __slots__ = ("argv", "attempt", "block", "keys", "session", "takes")

    def __init__(
        self, session: Session, argv: list[bytes], keys: list[WaitedKey], attempt: Attempt, takes: bytes
    ) -> None:
        self.session = session
        self.argv = argv
        self.keys = keys
        self.attempt = attempt
        self.takes = takes
        self.block: Block | None = None


Queue = OrderedDict[Waiter, None]
"""Waiters by the time they came: the first is found and any is removed in O(1), which a dict cannot do."""


class Blocking:
    """All waiters. `apply` is handed in by node.app, and `refusal`: the error for what a session of
    restricted rights may not run, though it might when its wait began.
    """

    def __init__(self, clock: Clock, clients: Clients, watchers: list[Watcher]) -> None:
        """`watchers` are those of server/after.py; we are among them only while somebody waits."""
        self._clock = clock
        self._clients = clients
        self._watchers = watchers
        self._queues: dict[WaitedKey, dict[bytes, Queue]] = {}  # of each key by what its waiters take
        self._ready: dict[WaitedKey, None] = {}
        self._serving = False
        self.apply: Apply
        self.refusal: Refusal = _allow

    def may_wait(self, call: Call) -> bool:
        """Whether the client of `call` may be made to wait; where not, its time is over at once."""
        session = call.session
        return not (session.from_primary or session.deny_blocking)

    def wait(
        self,
        call: Call,
        argv: list[bytes],
        keys: Sequence[bytes],
        attempt: Attempt,
        deadline_ms: int | None,
        timed_out: Callable[[], bytes],
        takes: bytes = b"",
    ) -> Block:
        """Makes the client of `call` wait for `keys` of its database; what the handler then returns.

        `deadline_ms` is Unix time, None for ever; `timed_out` makes the reply when it has passed. `takes`
        names what an attempt takes, a type for example: where one waiter found nothing, those behind it that
        take the same are not even tried. Empty for those that only read: each of them is tried.
        """
        index = call.db.index
        named = [(index, key) for key in dict.fromkeys(keys)]
        waiter = Waiter(call.session, argv, named, attempt, takes)
        if not self._queues:
            self._watchers.append(self._noticed)
        for key in named:
            self._queues.setdefault(key, {}).setdefault(takes, OrderedDict())[waiter] = None
        waiter.block = Block(BLOCKED_KIND, deadline_ms, timed_out, lambda: self._forget(waiter))
        return waiter.block

    def _forget(self, waiter: Waiter) -> None:
        for key in waiter.keys:
            queues = self._queues[key]
            queue = queues[waiter.takes]
            del queue[waiter]
            if not queue:
                del queues[waiter.takes]
                if not queues:
                    del self._queues[key]
        if not self._queues:
            self._watchers.remove(self._noticed)

    @property
    def key_count(self) -> int:
        """How many keys are waited for."""
        return len(self._queues)

    def info(self) -> Fields:
        """Fields of INFO clients."""
        yield "total_blocking_keys", len(self._queues)
        of_groups = [key for key, queues in self._queues.items() if any(map(_is_of_group, queues))]
        yield "total_blocking_keys_on_nokey", len(of_groups)

    # Keys change

    def _noticed(self, changes: list[Change]) -> None:
        for kind, event, key, index in changes:
            if kind is EventClass.DATABASE:
                self._database_replaced(index)
            elif event and (index, key) in self._queues:
                self._ready[(index, key)] = None

    def _database_replaced(self, index: int) -> None:
        """SWAPDB and the like: any key waited for in it may be there now."""
        for key in self._queues:
            if key[0] == index:
                self._ready[key] = None

    def serve(self) -> None:
        """Called after each command that changed something: serves those whose keys changed.

        What serving one changes may serve another; the loop goes on until nothing is ready.
        """
        if self._serving or not self._ready:
            return
        self._serving = True
        try:
            while self._ready:
                key = next(iter(self._ready))
                del self._ready[key]
                for takes, queue in list(self._queues.get(key, {}).items()):
                    if takes:
                        self._serve_takers(queue, key[1])
                    else:
                        self._serve_readers(queue, key[1])
        finally:
            self._serving = False

    def _serve_takers(self, queue: Queue, key: bytes) -> None:
        while queue and self._serve_one(next(iter(queue)), key):
            pass

    def _serve_readers(self, queue: Queue, key: bytes) -> None:
        for waiter in list(queue):
            self._serve_one(waiter, key)

    def _serve_one(self, waiter: Waiter, key: bytes) -> bool:
        """Whether the waiter waits no more."""
        session = waiter.session
        if session.blocked is not waiter.block:  # its command is still being finished
            return False
        call = session.call
        call.now_ms = self._clock.now_ms
        if session.restricted and (refusal := self.refusal(session, waiter.argv)) is not None:
            self._clients.unblock(session, error(refusal))
            return True
        try:
            reply = waiter.attempt(call, key)
        except CommandError as refused:
            reply = error(refused.text)
        if call.changes.log or reply is not None:  # keys may have expired when they were looked at
            self.apply(session, waiter.argv)
        if reply is None:
            return False
        self._clients.unblock(session, reply)
        return True

    def recheck(self, verdict: Callable[[Session, list[bytes]], bytes | None]) -> None:
        """Ends the waits for which `verdict` (session, keys) has a reply: a slot moved away, say."""
        waiters = dict.fromkeys(
            waiter for queues in self._queues.values() for queue in queues.values() for waiter in queue
        )
        for waiter in waiters:
            reply = verdict(waiter.session, [key for _, key in waiter.keys])
            if reply is not None:
                self._clients.unblock(waiter.session, reply)
