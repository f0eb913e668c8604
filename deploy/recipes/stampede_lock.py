"""Stampede protection by a lock: when a popular value is missing, one caller loads it and the others wait
for that one.

The waiters block on a list, in the cluster, not in a loop: BLMOVE from the list to itself leaves the
element there, so one push wakes them all. If the loader dies, its lock expires and the next caller loads.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from redis.cluster import RedisCluster

_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('RPUSH', KEYS[2], 'ready')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])
"""


class StampedeLock:
    """A load must end within `load_limit_ms`; a caller waits at most that long and then loads for itself."""

    def __init__(
        self,
        redis: RedisCluster,
        load: Callable[[str], bytes],
        ttl_ms: int = 60_000,
        load_limit_ms: int = 5000,
    ) -> None:
        self._redis = redis
        self._load = load
        self._ttl_ms = ttl_ms
        self._load_limit_ms = load_limit_ms

    def get(self, name: str) -> bytes:
        key, lock, ready = (f"stampede:{{{name}}}{part}" for part in ("", ":lock", ":ready"))
        value = self._redis.get(key)
        if value is not None:
            return bytes(value)
        owner = uuid.uuid4().hex
        if not self._redis.set(lock, owner, px=self._load_limit_ms, nx=True):
            self._redis.blmove(ready, ready, self._load_limit_ms / 1000, "LEFT", "RIGHT")
            value = self._redis.get(key)
            if value is not None:
                return bytes(value)
        self._redis.delete(ready)
        loaded = self._load(name)
        self._redis.set(key, loaded, px=self._ttl_ms)
        self._redis.eval(_RELEASE, 2, lock, ready, owner, self._load_limit_ms)
        return loaded


def main() -> None:
    cache = StampedeLock(RedisCluster(host="127.0.0.1", port=7000), lambda name: f"report {name}".encode())
    print("one caller loads:", cache.get("2026"), "and the others find:", cache.get("2026"))


if __name__ == "__main__":
    main()
