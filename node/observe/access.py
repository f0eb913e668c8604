"""When keys were used, or how often: what OBJECT IDLETIME and FREQ tell and LRU and LFU eviction compare.

Noting every access costs time and some 100 bytes a key, so it is done only where it is needed: under a policy
that names LRU or LFU, and from the first OBJECT IDLETIME on. Until then nothing is noted and commands are not
slowed: the notes are taken by wrappers around the commands that use keys, which are put in place when
observation begins and taken away when it ends. Of a key that was not used since observation began, it is only
known that it has been idle since then (or has the frequency of a new key): an idle time is never too long.

A note is the millisecond of the last access (LRU), or the minute of it with the counter in the low 8 bits
(LFU). The counter of LFU grows with a probability that falls with its value, and loses one in each
`lfu-decay-time` minutes. It belongs to the key's database, which forgets it with the key
(`Database.accesses`).

Most commands have one key, at the first argument: their wrappers do with two look-ups more. They note the
turn's time, one object for all, and a new counter only when it differs.

Source: https://redis.io/docs/reference/eviction/, "The new LFU mode".
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum

from gossip.slots import key_slot
from node.clock import Clock
from node.command.call import Call
from node.command.registry import Command, Runner, Table
from node.config.config import Config
from node.config.table import LFU_DECAY_TIME, LFU_LOG_FACTOR, MAXMEMORY_POLICY
from node.keyspace.database import Database

_INITIAL = 5
_MOST = 255
_NO_USE = frozenset(
    (
        b"RESTORE",  # says itself when its key was used
        b"EXISTS", b"TYPE", b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME",
        b"OBJECT|ENCODING", b"OBJECT|FREQ", b"OBJECT|IDLETIME", b"OBJECT|REFCOUNT", b"MEMORY|USAGE",
    )
)  # fmt: skip


_TO_ANOTHER_DATABASE = frozenset((b"COPY", b"MOVE"))


class Observed(Enum):
    NOTHING = 0
    TIMES = 1  # LRU
    FREQUENCIES = 2  # LFU


class Accesses:
    """The observer of one node. `bind` hands it the table of commands before anything is asked."""

    def __init__(
        self, config: Config, clock: Clock, databases: list[Database], rng: random.Random | None = None
    ) -> None:
        self._config = config
        self._clock = clock
        self._databases = databases
        self._rng = rng or random.Random()
        self._unwrapped: list[tuple[Command, Runner]] = []
        self._table: Table | None = None
        self._since_ms = 0
        self.observed = Observed.NOTHING
        config.on_change(MAXMEMORY_POLICY, self._follow_policy)
        config.on_change_of((LFU_LOG_FACTOR, LFU_DECAY_TIME), self._follow_frequencies)
        self._follow_frequencies()

    def bind(self, table: Table) -> None:
        self._table = table
        self._follow_policy(self._config[MAXMEMORY_POLICY])

    def _follow_frequencies(self) -> None:
        self._log_factor, self._decay_minutes = self._config[LFU_LOG_FACTOR], self._config[LFU_DECAY_TIME]

    def _follow_policy(self, policy: str) -> None:
        if policy.endswith("lfu"):
            self._observe(Observed.FREQUENCIES)
        elif policy.endswith("lru"):
            self._observe(Observed.TIMES)
        else:
            self._observe(Observed.NOTHING)

    def _observe(self, observed: Observed) -> None:
        if observed is self.observed:
            return
        assert self._table is not None, "bind comes first"
        self.observed = observed
        self._since_ms = self._clock.now_ms
        noting = observed is not Observed.NOTHING
        for database in self._databases:
            database.accesses = {} if noting else None
        self.wrap_all(self._table)

    def wrap_all(self, table: Table) -> None:
        """To be called again when there are other commands."""
        for command, run in self._unwrapped:
            command.run = run
        self._unwrapped = []
        noting = self.observed is not Observed.NOTHING
        for command in table.walk():
            if noting and command.has_keys and command.name not in _NO_USE:
                self._unwrapped.append((command, command.run))
                command.run = self._wrap(command)

    def _wrap(self, command: Command) -> Runner:
        if not command.has_one_key or command.name == b"TOUCH" or command.name in _TO_ANOTHER_DATABASE:
            return self._wrap_any(command)
        if self.observed is Observed.TIMES:
            return _wrap_times(command)
        return self._wrap_frequencies(command)

    def _wrap_any(self, command: Command) -> Runner:
        run, keys_of = command.run, command.keys_of
        always = command.name == b"TOUCH"  # even of a client that has asked for NO-TOUCH
        anywhere = command.name in _TO_ANOTHER_DATABASE
        note = self._note

        def observed(call: Call, argv: list[bytes]) -> object:
            reply = run(call, argv)
            if always or not call.session.no_touch:
                try:
                    positions = keys_of(argv)
                except ValueError:
                    return reply
                for database in call.databases if anywhere else (call.db,):
                    for position, _ in positions:
                        note(database, argv[position], call.now_ms)
            return reply

        return observed

    def _wrap_frequencies(self, command: Command) -> Runner:
        run, counted, creates = command.run, self._counted, command.is_write

        def observed(call: Call, argv: list[bytes]) -> object:
            reply = run(call, argv)
            db, name = call.db, argv[1]
            partition = db.slots[call.slot]
            if partition is not None and name in partition and not call.session.no_touch:
                accesses = db.accesses
                if accesses is None:
                    return reply  # an import's database: node.migration.staging
                before = accesses.get(name)
                if before is None and creates:
                    accesses[name] = call.now_ms // 60_000 << 8 | _INITIAL  # to be made is no use
                    return reply
                after = counted(before, call.now_ms)
                if after != before:
                    accesses[name] = after
            return reply

        return observed

    def _note(self, database: Database, name: bytes, now_ms: int) -> None:
        accesses = database.accesses
        if accesses is None or database.peek(name, key_slot(name), now_ms) is None:
            return
        if self.observed is Observed.TIMES:
            accesses[name] = now_ms
        else:
            accesses[name] = self._counted(accesses.get(name), now_ms)

    def _counted(self, noted: int | None, now_ms: int) -> int:
        """A note of a frequency, with one access more."""
        minute = now_ms // 60_000
        if noted is None or noted >> 8 != minute:
            counter = self._faded(noted, now_ms)
        else:
            counter = noted & 255
        above = counter - _INITIAL
        if counter < _MOST and (above <= 0 or self._rng.random() * (above * self._log_factor + 1) < 1):
            counter += 1
        return minute << 8 | counter

    def _faded(self, noted: int | None, now_ms: int) -> int:
        """A counter as it is now."""
        since, counter = divmod(noted, 256) if noted is not None else (self._since_ms // 60_000, _INITIAL)
        decay_minutes = self._decay_minutes
        if not decay_minutes:
            return counter
        return max(counter - (now_ms // 60_000 - since) // decay_minutes, 0)

    def idle_s(self, call: Call, name: bytes) -> int | None:
        """For how long a key has been idle, in seconds; None when frequencies are observed instead."""
        if self.observed is Observed.FREQUENCIES:
            return None
        if self.observed is Observed.NOTHING:
            self._observe(Observed.TIMES)
        assert call.db.accesses is not None
        return max(call.now_ms - call.db.accesses.get(name, self._since_ms), 0) // 1000

    def frequency(self, call: Call, name: bytes) -> int | None:
        """The counter of a key, 0 to 255; None when frequencies are not observed."""
        if self.observed is not Observed.FREQUENCIES:
            return None
        assert call.db.accesses is not None
        return self._faded(call.db.accesses.get(name), call.now_ms)

    def restore(self, call: Call, name: bytes, idle_s: int | None, frequency: int | None) -> None:
        """What RESTORE says of a key: its IDLETIME or FREQ; the one that is not observed does not count."""
        accesses = call.db.accesses
        if accesses is None:
            return
        if self.observed is Observed.TIMES and idle_s is not None:
            accesses[name] = call.now_ms - idle_s * 1000
        elif self.observed is Observed.FREQUENCIES and frequency is not None:
            accesses[name] = call.now_ms // 60_000 << 8 | frequency
        else:
            self._note(call.db, name, call.now_ms)

    # Eviction

    def rank(self, database: Database, name: bytes) -> int:
        """How much a key deserves to be evicted: the longer unused, or the less often used, the more."""
        accesses = database.accesses
        assert accesses is not None, "the policy looks at the use of keys"
        if self.observed is Observed.TIMES:
            return -accesses.get(name, self._since_ms)
        return -self._faded(accesses.get(name), self._clock.now_ms)

    # Snapshots

    def usage(self, database: Database) -> Callable[[bytes], tuple[int | None, int | None]] | None:
        """What a snapshot says of keys: idle time in seconds, counter. None: no policy asks for either."""
        accesses, now_ms = database.accesses, self._clock.now_ms
        policy = self._config[MAXMEMORY_POLICY]
        if accesses is None or not policy.endswith(("lru", "lfu")):
            return None
        if self.observed is Observed.FREQUENCIES:
            return lambda name: (None, self._faded(accesses.get(name), now_ms))
        since_ms = self._since_ms
        return lambda name: (max(now_ms - accesses.get(name, since_ms), 0) // 1000, None)

    def loaded(self, database: Database, name: bytes, idle_s: int | None, frequency: int | None) -> None:
        """What a snapshot says of a key; what is not observed does not count."""
        accesses, now_ms = database.accesses, self._clock.now_ms
        if accesses is None:
            return
        if self.observed is Observed.TIMES and idle_s is not None:
            accesses[name] = now_ms - idle_s * 1000
        elif self.observed is Observed.FREQUENCIES and frequency is not None:
            accesses[name] = now_ms // 60_000 << 8 | frequency


def _wrap_times(command: Command) -> Runner:
    run = command.run

    def observed(call: Call, argv: list[bytes]) -> object:
        reply = run(call, argv)
        db, name = call.db, argv[1]
        partition = db.slots[call.slot]
        if partition is not None and name in partition and not call.session.no_touch:
            accesses = db.accesses
            if accesses is not None:  # None in an import's database: node.migration.staging
                accesses[name] = call.now_ms
        return reply

    return observed
