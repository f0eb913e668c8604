"""Cache-aside: the application asks the cache, and on a miss the database, and keeps the answer for a
while.

A reader that loaded an old value just before a write could store it just after the invalidation. So an
invalidation leaves a tombstone for a few seconds, and readers store with NX: what stands there is never
replaced.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from redis.cluster import RedisCluster

TOMBSTONE = b""
TOMBSTONE_S = 10
"""Longer than a load takes: afterwards a late reader may store what it loaded before the write."""


class CacheAside:
    """`load` fetches a value, never empty, from the database; a value is kept for `ttl_s` seconds, give
    or take a tenth, so that what was stored together does not expire together.
    """

    def __init__(self, redis: RedisCluster, load: Callable[[str], bytes], ttl_s: int = 300) -> None:
        self._redis = redis
        self._load = load
        self._ttl_ms = ttl_s * 1000

    def get(self, name: str) -> bytes:
        cached = self._redis.get(_key(name))
        if cached:
            return bytes(cached)
        value = self._load(name)
        ttl_ms = int(self._ttl_ms * random.uniform(0.9, 1.1))
        self._redis.set(_key(name), value, px=ttl_ms, nx=True)
        return value

    def invalidate(self, name: str) -> None:
        """Call it after the database has committed the write."""
        self._redis.set(_key(name), TOMBSTONE, ex=TOMBSTONE_S)


def _key(name: str) -> str:
    return f"cache:{name}"


def main() -> None:
    database = {"ada": b"Ada Lovelace"}
    cache = CacheAside(RedisCluster(host="127.0.0.1", port=7000), database.__getitem__)
    print("loaded:", cache.get("ada"), "then from the cache:", cache.get("ada"))
    database["ada"] = b"Augusta Ada King"
    cache.invalidate("ada")
    print("after a write:", cache.get("ada"))


if __name__ == "__main__":
    main()
