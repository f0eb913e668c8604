"""A lock with a fencing token: who holds it has a number that grows with every holder, and what the lock
protects refuses a number smaller than one it has seen.

A lock with a time-out alone is not safe: its holder may sleep through the time-out (a long collection, a
paused machine) and write when another holds it; replication is asynchronous, so a fail-over may forget a
lock. The token makes both harmless, provided that what is written to checks it, as `FencedRegister` does
here and a database would in its UPDATE … WHERE.
"""

from __future__ import annotations

import uuid

from redis.cluster import RedisCluster

_ACQUIRE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return false end
return redis.call('INCR', KEYS[2])
"""
_EXTEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
_WRITE = """
local seen = redis.call('HGET', KEYS[1], 'token')
if seen and tonumber(seen) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'value', ARGV[2])
return 1
"""


class FencedLock:
    def __init__(self, redis: RedisCluster, name: str, ttl_ms: int = 10_000) -> None:
        self._redis = redis
        self._keys = (f"lock:{{{name}}}", f"lock:{{{name}}}:token")
        self._ttl_ms = ttl_ms
        self._owner = uuid.uuid4().hex

    def acquire(self) -> int | None:
        """The fencing token, or None when another holds the lock."""
        token = self._redis.eval(_ACQUIRE, 2, *self._keys, self._owner, self._ttl_ms)
        return None if token is None else int(token)

    def extend(self) -> bool:
        """Holds it for another `ttl_ms`; False: it was lost."""
        return bool(self._redis.eval(_EXTEND, 1, self._keys[0], self._owner, self._ttl_ms))

    def release(self) -> bool:
        """False: it was lost before, and perhaps another holds it now."""
        return bool(self._redis.eval(_RELEASE, 1, self._keys[0], self._owner))


class FencedRegister:
    """A value that only the newest holder may change."""

    def __init__(self, redis: RedisCluster, name: str) -> None:
        self._redis = redis
        self._key = f"register:{name}"

    def write(self, value: bytes, token: int) -> bool:
        return bool(self._redis.eval(_WRITE, 1, self._key, token, value))

    def read(self) -> bytes | None:
        return self._redis.hget(self._key, "value")


def main() -> None:
    redis = RedisCluster(host="127.0.0.1", port=7000)
    first, second = FencedLock(redis, "billing"), FencedLock(redis, "billing")
    register = FencedRegister(redis, "billing")
    old = first.acquire()
    print("first holds it with token", old, "and second gets", second.acquire())
    first.release()
    new = second.acquire()
    assert old is not None
    assert new is not None
    print(
        "second writes:",
        register.write(b"by second", new),
        "first, too late:",
        register.write(b"by first", old),
    )
    second.release()


if __name__ == "__main__":
    main()
