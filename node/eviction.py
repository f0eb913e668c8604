"""maxmemory: keys are evicted, or writes refused, while more memory is used than may be.

When to look. Redis compares before each command, since its allocator's figure costs nothing; ours does not
(`node.observe.memory`). So we look once a turn of the reactor at most, spend at most `SHARE` of the time on
it, and not at all while the process' private pages are below the limit. Between two looks we go by an
estimate: what was used, and what clients have sent since, times how much memory a byte received has lately
become.

How long to evict. In Redis each command may wait for `maxmemory-eviction-tenacity`'s 0.5 ms of eviction. A
turn serves many commands, so it may take as much for each of them, up to `TURN_S`; what is left goes on in
the turns to come and between them, so a limit that was lowered stalls nobody. That alone would not hold
writers who fill memory faster than a slice empties it: whatever the last turn has added is made up for at
once, within `GROWTH_S`.

What is freed is estimated key by key (`node.keyspace.sizes`), until the next look tells the truth. When the
policy leaves nothing to evict, `Guard.MEMORY` is held: commands that may need memory take the full path,
where `gate` refuses them. It looks again when something was changed in the meantime, since that may have been
a DEL.

Nothing is evicted on a replica that leaves it to its primary (replica-ignore-maxmemory), while data are
loaded, and while the node is paused or gives slots away: then others rely on the data not changing.

An evicted key is told to replicas and the AOF as DEL, or UNLINK with lazyfree-lazy-eviction. Buffers of
replicas and of the AOF are not counted, or a burst of evictions, which fills them, would feed itself.

Source: https://redis.io/docs/reference/eviction/
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from gossip.slots import key_slot
from node.command.queue import AT_ONCE
from node.command.registry import Command
from node.command.session import Session
from node.command.spec import Flag
from node.config import table as directives
from node.config.config import Config
from node.guards import Guard, Guards
from node.keyspace.changes import Changes
from node.keyspace.database import Database
from node.keyspace.disposal import Disposal
from node.keyspace.evict import Choice, Rank, Victims, choice_of
from node.keyspace.sizes import value_bytes
from node.log import Log
from node.observe.info import Fields
from node.observe.memory import MemoryWatch, private_bytes
from node.observe.stats import Stats

OOM = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"

SHARE = 0.05
LOOK_S = 0.01
QUIET_LOOK_S = 0.1
TURN_S = 0.002
GROWTH_S = 0.025
GO_ON_MS = 2
_SLICE_S = 0.0005
_BATCH_KEYS = 16
_GROWTH_MAX = 8.0
_LEARN_BYTES = 4096


class Eviction:
    """One per node. The application hands over `turns` (called before each turn), `apply_removed` (as after
    expiry), `later` (calls back after some ms), and sets `is_allowed` and `not_counted_bytes`.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        stats: Stats,
        guards: Guards,
        databases: list[Database],
        changes: Changes,
        disposal: Disposal,
        watch: MemoryWatch,
        rank: Rank,
        turns: list[Callable[[], None]],
        apply_removed: Callable[[], None],
        later: Callable[[int, Callable[[], None]], object],
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._log = log
        self._stats = stats
        self._guards = guards
        self._changes = changes
        self._disposal = disposal
        self._watch = watch
        self._rank = rank
        self._turns = turns
        self._apply_removed = apply_removed
        self._later = later
        self._victims = Victims(databases, rng or random.Random())
        self.is_allowed: Callable[[], bool] = lambda: True
        self.is_replica: Callable[[], bool] = lambda: False
        self.not_counted_bytes: Callable[[], int] = lambda: 0
        self.exceeded_s = 0.0  # for how long the limit has been exceeded, all in all
        self._exceeded_since_s: float | None = None
        self._limit_bytes = 0
        self._slice_s = _SLICE_S
        self._choice: Choice | None = None
        self._goes_on = False
        self._forget_looks()
        config.on_change(directives.MAXMEMORY, self._follow_limit)
        config.on_change(directives.MAXMEMORY_POLICY, self._follow_policy)
        config.on_change(directives.MAXMEMORY_EVICTION_TENACITY, self._follow_tenacity)
        self._follow_limit(config[directives.MAXMEMORY])
        self._follow_policy(config[directives.MAXMEMORY_POLICY])
        self._follow_tenacity(config[directives.MAXMEMORY_EVICTION_TENACITY])

    # Settings

    def _follow_limit(self, limit_bytes: int) -> None:
        if self._limit_bytes:
            self._turns.remove(self.turn)
        self._limit_bytes = limit_bytes
        self._forget_looks()
        if not limit_bytes:
            self._settle(full=False)
            return
        self._turns.append(self.turn)
        used_bytes = self._watch.look().used_bytes
        if used_bytes > limit_bytes:
            self._log.warning(
                f"maxmemory, {limit_bytes} bytes, is less than what is used, {used_bytes}, of which "
                f"{self._watch.startup_bytes} were used before there was any key: keys will be evicted, and "
                "writes refused when that does not help."
            )
        self._go_on_soon()

    def _follow_policy(self, policy: str) -> None:
        self._choice = choice_of(policy)
        self._victims.forget()
        if self._limit_bytes:
            self._looked_s = 0.0
            self._go_on_soon()

    def _follow_tenacity(self, tenacity: int) -> None:
        if tenacity <= 10:
            self._slice_s = _SLICE_S * tenacity / 10
        elif tenacity < 100:
            self._slice_s = _SLICE_S * 1.15 ** (tenacity - 10)
        else:
            self._slice_s = float("inf")

    # Looking

    def _forget_looks(self) -> None:
        self._looked_s = 0.0
        self._over_bytes = -self._limit_bytes  # by the last look
        self._is_exact = False
        self._freed_bytes = 0  # since then, estimated
        self._growth = 2.0  # bytes of memory that a byte received becomes
        self._received_then = self._received_last = self._stats.input_bytes
        self._commands_last = self._stats.commands_processed
        self._changes_then = 0

    def _expected_over(self) -> float:
        received = max(0, self._stats.input_bytes - self._received_then)
        return self._over_bytes + self._growth * received - self._freed_bytes

    def _look(self, now_s: float) -> None:
        limit_bytes = self._limit_bytes + self.not_counted_bytes()
        over_bytes, is_exact = private_bytes() - limit_bytes, False
        if over_bytes > 0:
            over_bytes, is_exact = self._watch.look().used_bytes - limit_bytes, True
        received = self._stats.input_bytes - self._received_then
        if is_exact and self._is_exact and received > _LEARN_BYTES:
            grown = over_bytes - self._over_bytes + self._freed_bytes
            self._growth += 0.3 * (min(max(grown / received, 0.0), _GROWTH_MAX) - self._growth)
        self._over_bytes, self._is_exact = over_bytes, is_exact
        self._freed_bytes = 0
        self._received_then = self._stats.input_bytes
        self._changes_then = self._changes.total
        self._looked_s = now_s
        if over_bytes > 0 and self._exceeded_since_s is None:
            self._exceeded_since_s = now_s
        elif over_bytes <= 0 and self._exceeded_since_s is not None:
            self.exceeded_s += now_s - self._exceeded_since_s
            self._exceeded_since_s = None

    def _is_due(self, now_s: float) -> bool:
        wait_s = LOOK_S if self._expected_over() > 0 else QUIET_LOOK_S
        return now_s - self._looked_s >= max(wait_s, self._watch.cost_s / SHARE)

    def turn(self) -> None:
        """Called before each turn while there is a limit, and while something is left to do."""
        now_s = time.monotonic()
        if self._is_due(now_s):
            self._look(now_s)
        if self._expected_over() > 0:
            self._relieve()
        else:
            self._settle(full=False)
        self._received_last = self._stats.input_bytes
        self._commands_last = self._stats.commands_processed

    def is_full(self) -> bool:
        """Whether commands that may need memory (Flag.DENYOOM) are to be refused now."""
        if Guard.MEMORY not in self._guards:
            return False
        if self._changes.total != self._changes_then:
            self._look(time.monotonic())
        self.turn()
        return Guard.MEMORY in self._guards

    def _settle(self, *, full: bool) -> None:
        self._guards.set(Guard.MEMORY, full)

    # Evicting

    def _relieve(self) -> None:
        if not self.is_allowed():
            self._settle(full=False)
            return
        choice = self._choice
        if choice is None or not self._evict(choice):
            if not self._is_exact or self._over_bytes - self._freed_bytes <= 0:
                self._look(time.monotonic())  # nobody is refused because of an estimate
            self._settle(full=self._over_bytes > 0)
            return
        self._settle(full=False)
        if self._expected_over() > 0:
            self._go_on_soon()

    def _evict(self, choice: Choice) -> bool:
        """Evicts for as long as it may; False when there is nothing to evict and more is needed."""
        over_bytes = self._expected_over()
        received = max(0, self._stats.input_bytes - self._received_last)
        commands = max(1, self._stats.commands_processed - self._commands_last)
        owed_bytes = min(over_bytes, 1.25 * self._growth * received)
        samples = self._config[directives.MAXMEMORY_SAMPLES]
        lazy = self._config[directives.LAZYFREE_LAZY_EVICTION]
        begin_s = time.monotonic()
        patient = self._slice_s == float("inf")
        end_s = begin_s + (self._slice_s if patient else min(self._slice_s * commands, TURN_S))
        growth_end_s = max(end_s, begin_s + GROWTH_S)
        freed_bytes = evicted = 0
        is_more = True
        while freed_bytes < over_bytes:
            victim = self._victims.next(choice, samples, self._rank)
            if victim is None:
                is_more = False
                break
            freed_bytes += self._remove(*victim, lazy=lazy)
            evicted += 1
            if evicted % _BATCH_KEYS == 0:
                self._apply_removed()
                if time.monotonic() > (growth_end_s if freed_bytes < owed_bytes else end_s):
                    break
        self._apply_removed()
        self._stats.evicted_keys += evicted
        self._freed_bytes += freed_bytes
        return is_more

    def _remove(self, database: Database, key: bytes, *, lazy: bool) -> int:
        """Returns an estimate of what this frees."""
        slot = key_slot(key)
        value = database.remove(key, slot)
        database.trim(slot)
        told = None if self.is_replica() else [b"UNLINK" if lazy else b"DEL", key]
        self._changes.key_evicted(database.index, key, told)
        if lazy:
            self._disposal.take_value(value)
        return value_bytes(value) + sys.getsizeof(key)

    def _go_on_soon(self) -> None:
        if not self._goes_on:
            self._goes_on = True
            self._later(GO_ON_MS, self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._limit_bytes:
            self.turn()

    def tick(self) -> None:
        """Every 100 ms: memory grows without clients too, and shrinks by expiry."""
        if self._limit_bytes:
            self.turn()

    # Told

    def gate(self, session: Session, command: Command, _argv: list[bytes]) -> bytes | None:
        """Refuses what may need memory while there is none; in a transaction all that would be queued."""
        if Guard.MEMORY not in self._guards or session.from_primary:
            return None
        queued = session.queue is not None and command.name not in AT_ONCE
        if not queued and not command.flags & Flag.DENYOOM:
            return None
        return OOM if self.is_full() else None

    def info_memory(self) -> Fields:
        """Fields of INFO memory."""
        yield "mem_not_counted_for_evict", self.not_counted_bytes()

    def info_stats(self) -> Fields:
        """Fields of INFO stats."""
        since_s = self._exceeded_since_s
        current_s = 0.0 if since_s is None else time.monotonic() - since_s
        yield "total_eviction_exceeded_time", round((self.exceeded_s + current_s) * 1000)
        yield "current_eviction_exceeded_time", round(current_s * 1000)
