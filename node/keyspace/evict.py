"""Which key goes when memory is full.

The eight values of maxmemory-policy are a choice of keys (all, or those with a deadline) and an order: the
longest unused (lru), the least often used (lfu), the one that ends next (ttl), or any (random).

An exact order by use would have to be kept up by every access, so it is approximated as in Redis: a few keys
are drawn at random and the best of them go into a pool of sixteen, ordered; the best of the pool is evicted,
and what is left of it competes with the next draw. The pool is what makes five keys a draw come close to the
true order: over a few evictions it has seen dozens. Keys in it may be gone or used since; the first is looked
at, the second is not (a draw is seldom old).

The order by deadline could be exact, since deadlines are filed by time. It is not, as a new key with the
nearest deadline would go with the next write: drawing gives it time to be used.

A Python dict has no random member. Keys are drawn from random slots, since each slot's dict is small; where
only keys with a deadline may go, until enough of them have one. When too few have, or when most slots are
empty, a batch is taken with one pass over all, at even steps from a random place, and used up key by key.

Source: https://redis.io/docs/reference/eviction/, "Approximated LRU algorithm".
"""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from gossip.slots import key_slot
from node.keyspace.database import Database

POOL_KEYS = 16
BATCH_KEYS = 1024
_DENSE = 16
"""While one key in so many has a deadline, drawing among all is cheaper than a pass over the deadlines."""
_TRIES = 10

Rank = Callable[[Database, bytes], int]
"""How much a key deserves to go."""

Victim = tuple[Database, bytes]


class Choice(NamedTuple):
    """A policy: which keys, and `order`, one of lru, lfu, ttl, random."""

    volatile: bool
    order: str


def choice_of(policy: str) -> Choice | None:
    """Of a value of maxmemory-policy; None for noeviction."""
    if policy == "noeviction":
        return None
    keys, order = policy.split("-")
    return Choice(keys == "volatile", order)


class Victims:
    """Finds keys to evict among the databases of a node."""

    def __init__(self, databases: list[Database], rng: random.Random) -> None:
        self._databases = databases
        self._rng = rng
        self._pool: list[tuple[int, int, bytes]] = []  # rank, database, key; the best is the last
        self._batches: dict[int, list[bytes]] = {}
        self._turn = 0

    def forget(self) -> None:
        """After a change of the policy: ranks of one mean nothing to another."""
        self._pool.clear()
        self._batches.clear()

    def next(self, choice: Choice, samples: int, rank: Rank) -> Victim | None:
        """The key to evict now, which exists; None when the policy allows none."""
        if choice.order == "random":
            return self._any(choice.volatile)
        return self._best(choice.volatile, samples, _nearness if choice.order == "ttl" else rank)

    def _any(self, volatile: bool) -> Victim | None:
        """Databases take turns."""
        count = len(self._databases)
        for step in range(count):
            database = self._databases[(self._turn + step) % count]
            found = self._draw(database, volatile, 1)
            if found:
                self._turn = (self._turn + step + 1) % count
                return database, found[0]
        return None

    def _best(self, volatile: bool, samples: int, rank: Rank) -> Victim | None:
        pool = self._pool
        for _ in range(_TRIES):
            for database in self._databases:
                for key in self._draw(database, volatile, samples) if database.count else ():
                    self._offer(rank(database, key), database.index, key)
            if not pool:
                return None
            while pool:
                _, index, key = pool.pop()
                database = self._databases[index]
                if _is_there(database, key) and (not volatile or key in database.deadlines.at):
                    return database, key
        return None

    def _offer(self, rank: int, index: int, key: bytes) -> None:
        pool = self._pool
        if len(pool) == POOL_KEYS:
            if rank <= pool[0][0]:
                return
            del pool[0]
        entry = (rank, index, key)
        if entry not in pool:
            insort(pool, entry)

    # Drawing

    def _draw(self, database: Database, volatile: bool, count: int) -> list[bytes]:
        """About `count` random keys that exist, some perhaps twice; none only when there are none."""
        deadlines = database.deadlines.at
        if not (deadlines if volatile else database.count):
            return []
        if database.is_sparse:
            return self._from_batch(database, volatile, count)
        if not volatile:
            return database.random_keys(self._rng, count)
        if len(deadlines) * _DENSE >= database.count:
            keys: list[bytes] = []
            for _ in range(_DENSE * 2):
                keys += [key for key in database.random_keys(self._rng, count) if key in deadlines]
                if len(keys) >= count:
                    return keys
        return self._from_batch(database, volatile, count)

    def _from_batch(self, database: Database, volatile: bool, count: int) -> list[bytes]:
        deadlines = database.deadlines.at
        batch = self._batches.setdefault(database.index, [])
        keys: list[bytes] = []
        for _ in range(2):
            while batch and len(keys) < count:
                key = batch.pop()
                if _is_there(database, key) and (not volatile or key in deadlines):
                    keys.append(key)
            if keys:
                break
            step = -(-(len(deadlines) if volatile else database.count) // BATCH_KEYS)
            batch += islice(deadlines if volatile else database.keys(), self._rng.randrange(step), None, step)
            self._rng.shuffle(batch)
        return keys


def _nearness(database: Database, key: bytes) -> int:
    """The rank by volatile-ttl: the sooner a key ends, the higher."""
    return -database.deadlines.at[key]


def _is_there(database: Database, key: bytes) -> bool:
    partition = database.slots[key_slot(key)]
    return partition is not None and partition.get(key) is not None
