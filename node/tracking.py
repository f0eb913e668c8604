"""Client-side caching: clients keep what they have read, and are told when it is true no longer.

A client that has turned tracking on is remembered with every key it reads, whatever the database. The next
change of the key, by a command, expiry, eviction or a slot that moves away, tells all who are remembered with
it, once: they forget the key, and are remembered again when they read it again. So a key costs memory while
clients hold it, and no more than `tracking-table-max-keys` are remembered: beyond, keys chosen at random are
forgotten as if they had changed. Only numbers of clients are kept with a key; that of a client which has left
is found to be nobody's when the key changes.

A client that broadcasts is remembered with no key. It names prefixes, and is told all keys changed under
them, gathered over a turn of the reactor. Prefixes are looked up by their lengths, so ten thousand of them
cost a change no more than one.

A message follows the reply to the command that caused it, where that is the client's own (`node.pushes`). It
is a push in RESP3; a client of RESP2 lets another connection hear for it (REDIRECT), which is told as if a
message had been published on `__redis__:invalidate`, if it is subscribed to anything. That all keys have
changed (a database was emptied or swapped, another data set came) is told by a null.

While nobody tracks, we are not among those who look at changes, and no session is asked what it reads.

Different from Redis on purpose: NOLOOP keeps from a client what its own commands change, but not that a key
expired, was evicted or is remembered no more while its command ran; SWAPDB empties caches; keys of a slot
that has moved away are told even where they were not there (a client may hold that, too).

Source: https://redis.io/docs/manual/client-side-caching/, https://redis.io/commands/client-tracking/
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from gossip.slots import key_slot
from node.clients import Clients
from node.clock import Clock
from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.command.tracked import Tracked
from node.config import table as directives
from node.config.config import Config
from node.errors import CommandError
from node.keyspace.changes import Change, EventClass
from node.observe.info import Fields
from node.pushes import Pushes
from node.resp.encode import RESP2, RESP3, bulk, bulks, integer
from node.timers import Timers
from node.tracking_table import Readers, TrackedKeys

CHANNEL = b"__redis__:invalidate"

_FORGET_KEYS = 128  # at a time, where many must go
_SLICE_S = 0.001
_PUSH = b">2\r\n" + bulk(b"invalidate")
_MESSAGE = b"*3\r\n" + bulk(b"message") + bulk(CHANNEL)
_SILENT = frozenset(
    (b"", b"xgroup-createconsumer", b"xgroup-delconsumer", b"xgroup-setid", b"xgroup-destroy", b"xsetid")
)
"""Events that concern only the groups of a stream: what reads the stream itself answers as before."""
_NOBODYS = frozenset((EventClass.EXPIRED, EventClass.EVICTED))
"""Kinds of changes that are not the doing of whose command is running."""

Watcher = Callable[[list[Change]], None]


class _Told(NamedTuple):
    """What clients are told, as a push of RESP3 and as a message of RESP2."""

    push: bytes
    message: bytes


def _of(keys: Sequence[bytes]) -> _Told:
    names = bulks(keys)
    return _Told(_PUSH + names, _MESSAGE + names)


_OF_ALL = _Told(_PUSH + RESP3.null, _MESSAGE + RESP2.null)


class _Audience:
    """Those who want to be told of one prefix, and the keys under it that changed in this turn, each with the
    session that changed it last.
    """

    __slots__ = ("changed", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}
        self.changed: dict[bytes, Session | None] = {}


class Tracking:
    """All tracking clients of a node. `watchers` are those of server/after.py, and `before_flush` those of
    the reactor; we are among them only once somebody needs it.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        clients: Clients,
        timers: Timers,
        pushes: Pushes,
        watchers: list[Watcher],
        before_flush: list[Callable[[], None]],
    ) -> None:
        self._clock = clock
        self._clients = clients
        self._timers = timers
        self._pushes = pushes
        self._watchers = watchers
        self._before_flush = before_flush
        self._rng = random.Random()
        self._sessions: dict[int, Session] = {}  # all that track
        self._keys = TrackedKeys()
        self._reads: dict[Command, bool] = {}  # whether it reads keys: flags are slow to ask
        self._audiences: dict[bytes, _Audience] = {}
        self._lengths: list[int] = []  # of the prefixes, each once
        self._changed: dict[bytes, _Audience] = {}  # those that have something to be told
        self._to_check: list[bytes] = []  # keys whose slots are to be looked at
        self._is_ours: Callable[[int], bool] = lambda _slot: True
        self._is_shrinking = False
        clients.on_removed.append(self.disable)
        config.on_change(directives.TRACKING_TABLE_MAX_KEYS, self._follow_limit)
        self._max_keys = config[directives.TRACKING_TABLE_MAX_KEYS]

    # Who tracks

    def enable(self, session: Session, wanted: Tracked) -> None:
        """CLIENT TRACKING ON: `wanted` with the options, whose prefixes add to those there are.

        Raises CommandError when options contradict each other or what is there.
        """
        before = session.tracked
        _check_options(before, wanted)
        if wanted.broadcasts:
            there = before.prefixes if before is not None else []
            _check_prefixes(there, wanted.prefixes)
            new = wanted.prefixes or [b""]
            self._hear(session, new)
            wanted.prefixes = sorted({*there, *new})
        if before is not None:
            wanted.caching = before.caching
        else:
            if not self._sessions:
                self._watchers.append(self._noticed)
            self._sessions[session.id] = session
        session.tracked = wanted
        session.update_guard()

    def _hear(self, session: Session, prefixes: list[bytes]) -> None:
        if self._broadcast not in self._before_flush:
            self._before_flush.append(self._broadcast)
        for prefix in prefixes:
            self._audiences.setdefault(prefix, _Audience()).sessions[session.id] = session
        self._lengths = sorted(set(map(len, self._audiences)))

    def disable(self, session: Session) -> None:
        """CLIENT TRACKING OFF, RESET; also for one that does not track, or has ended."""
        tracked, session.tracked = session.tracked, None
        if tracked is None:
            return
        session.update_guard()
        del self._sessions[session.id]
        for prefix in tracked.prefixes:
            audience = self._audiences[prefix]
            del audience.sessions[session.id]
            if not audience.sessions:
                del self._audiences[prefix]
                self._changed.pop(prefix, None)
        if tracked.prefixes:
            self._lengths = sorted(set(map(len, self._audiences)))
        if not self._sessions:
            self._watchers.remove(self._noticed)
            self._keys = TrackedKeys()
            self._to_check.clear()

    # What they read

    def end_of_command(self, session: Session) -> None:
        """CLIENT CACHING holds for one command or transaction: called behind each on the full path."""
        tracked, command, blocked = session.tracked, session.last_command, session.blocked
        if tracked is None or session.queue is not None or (blocked is not None and blocked.retry):
            return
        if command is not None and command.name.startswith(b"CLIENT|"):
            return
        tracked.caching = False
        session.update_guard()

    def read(self, session: Session, command: Command, argv: list[bytes]) -> None:
        """A tracking client's command has run, by itself or within a transaction or a script: remembers what
        keys it read.
        """
        reads = self._reads.get(command)
        if reads is None:
            reads = self._reads[command] = _reads_keys(command)
        tracked = session.tracked
        if not reads or tracked is None or not tracked.notes_reads:
            return
        if command.has_one_key:
            self._keys.add(argv[1], session.id)
        else:
            try:
                positions = command.keys_of(argv)
            except ValueError:
                return  # the request was refused
            for position, _ in positions:
                self._keys.add(argv[position], session.id)
        if self._max_keys and len(self._keys) > self._max_keys:
            self._shrink()

    def _follow_limit(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._shrink()

    def _shrink(self) -> None:
        """Forgets keys until there are no more than may be, a batch now and the others by and by."""
        for _ in range(_FORGET_KEYS):
            if not self._max_keys or len(self._keys) <= self._max_keys:
                return
            self._forget(self._keys.random(self._rng), None)
        if not self._is_shrinking:
            self._is_shrinking = True
            self._later(self._shrink_on)

    def _shrink_on(self) -> None:
        self._is_shrinking = False
        self._shrink()

    def _later(self, work: Callable[[], None]) -> None:
        self._timers.at(self._clock.update() + 1, work)

    # What changes

    def _noticed(self, changes: list[Change]) -> None:
        keys, lengths = self._keys.readers, self._lengths
        current = self._pushes.current
        is_flushed = False
        for kind, event, key, _ in changes:
            if kind is EventClass.DATABASE:
                is_flushed = True
            elif event not in _SILENT:
                by = None if kind in _NOBODYS else current
                if key in keys:
                    self._forget(key, by)
                if lengths:
                    self._note(key, by)
        if is_flushed:
            self.all_changed()

    def _forget(self, key: bytes, by: Session | None) -> None:
        """Tells who was remembered with `key`, which `by` changed."""
        readers: Readers | None = self._keys.pop(key)
        if readers is None:
            return
        told = _of((key,))
        for id in (readers,) if isinstance(readers, int) else readers:
            session = self._sessions.get(id)
            tracked = None if session is None else session.tracked
            if session is None or tracked is None or tracked.broadcasts:
                continue
            if session is not by or not tracked.no_loop:
                self._tell(session, tracked, told)

    def _note(self, key: bytes, by: Session | None) -> None:
        size = len(key)
        for length in self._lengths:
            if length > size:
                break
            prefix = key[:length]
            audience = self._audiences.get(prefix)
            if audience is not None:
                audience.changed[key] = by
                self._changed[prefix] = audience

    def _broadcast(self) -> None:
        """Called before replies leave."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        for _, audience in sorted(changed.items()):
            keys, audience.changed = audience.changed, {}
            names = sorted(keys)
            told = _of(names)
            for session in audience.sessions.values():
                tracked = session.tracked
                assert tracked is not None, "who is in an audience tracks"
                if not tracked.no_loop:
                    self._tell(session, tracked, told)
                elif of_others := [name for name in names if keys[name] is not session]:
                    self._tell(session, tracked, _of(of_others))

    def all_changed(self) -> None:
        """Every key may have changed: a database was emptied or swapped, or another data set came."""
        self._keys = TrackedKeys()
        self._to_check.clear()
        for session in list(self._sessions.values()):
            if session.tracked is not None:
                self._tell(session, session.tracked, _OF_ALL)

    def _tell(self, session: Session, tracked: Tracked, told: _Told) -> None:
        """Sends a client, or who hears for it, what has changed."""
        if not tracked.redirect_id:
            if session.speaks is RESP3:
                self._pushes.send(session, told.push)
            return
        target = self._clients.sessions.get(tracked.redirect_id)
        if target is None:
            tracked.is_broken = True
            if session.speaks is RESP3:
                gone = [bulk(b"tracking-redir-broken"), integer(tracked.redirect_id)]
                self._pushes.send(session, RESP3.push(gone))
        elif target.speaks is RESP3:
            self._pushes.send(target, told.push)
        elif target.subscriptions is not None:
            self._pushes.send(target, told.message)

    # Slots move

    @property
    def has_keys(self) -> bool:
        """Whether any key is remembered."""
        return len(self._keys) > 0

    def leave_slots(self, is_ours: Callable[[int], bool]) -> None:
        """Tells of the keys whose slots are not ours, whose changes we shall not see; a slice at a time."""
        self._is_ours = is_ours
        was_idle = not self._to_check
        self._to_check = list(self._keys.readers)
        if was_idle and self._to_check:
            self._check_slots()

    def _check_slots(self) -> None:
        end_s = time.monotonic() + _SLICE_S
        keys, is_ours = self._to_check, self._is_ours
        while keys and time.monotonic() < end_s:
            for _ in range(min(_FORGET_KEYS, len(keys))):
                key = keys.pop()
                if not is_ours(key_slot(key)):
                    self._forget(key, None)
        if keys:
            self._later(self._check_slots)

    # What is told of it

    def info_clients(self) -> Fields:
        """Fields of INFO clients."""
        yield "tracking_clients", len(self._sessions)

    def info_stats(self) -> Fields:
        """Fields of INFO stats."""
        yield "tracking_total_keys", len(self._keys)
        yield "tracking_total_items", self._keys.item_count
        yield "tracking_total_prefixes", len(self._audiences)


def _reads_keys(command: Command) -> bool:
    """A script's keys are those of the commands it runs, and channels are no keys."""
    flags = command.flags
    return command.has_keys and bool(flags & Flag.READONLY) and not flags & (Flag.SKIP_MONITOR | Flag.PUBSUB)


def _check_options(before: Tracked | None, wanted: Tracked) -> None:
    """Raises CommandError."""
    if wanted.prefixes and not wanted.broadcasts:
        raise CommandError(b"ERR PREFIX option requires BCAST mode to be enabled")
    if before is not None and before.broadcasts != wanted.broadcasts:
        raise CommandError(
            b"ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
            b"re-enabling it with a different mode."
        )
    if wanted.broadcasts and (wanted.opts_in or wanted.opts_out):
        raise CommandError(b"ERR OPTIN and OPTOUT are not compatible with BCAST")
    if wanted.opts_in and wanted.opts_out:
        raise CommandError(b"ERR You can't specify both OPTIN mode and OPTOUT mode")
    if before is not None and ((wanted.opts_in and before.opts_out) or (wanted.opts_out and before.opts_in)):
        raise CommandError(
            b"ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
            b"re-enabling it with a different mode."
        )


def _check_prefixes(there: list[bytes], new: list[bytes]) -> None:
    """Raises CommandError when a key could be under two of a client's prefixes.

    In order, a prefix that overlaps with any does so with its neighbour. Only the empty one, which is what a
    client hears that names none, may overlap with others that are there.
    """
    if b"" in there and new:
        raise _overlap(new[0], b"an existing", b"")
    numbered = [(prefix, -1) for prefix in there] + [(prefix, at) for at, prefix in enumerate(new)]
    for (prefix, at), (longer, longer_at) in pairwise(sorted(numbered)):
        if not longer.startswith(prefix):
            continue
        if at < 0:
            raise _overlap(longer, b"an existing", prefix)
        if longer_at < 0:
            raise _overlap(prefix, b"an existing", longer)
        first, second = (prefix, longer) if at < longer_at else (longer, prefix)
        raise _overlap(first, b"another provided", second)


def _overlap(prefix: bytes, how: bytes, other: bytes) -> CommandError:
    return CommandError(
        b"ERR Prefix '%b' overlaps with %b prefix '%b'. Prefixes for a single client must not overlap."
        % (prefix, how, other)
    )
