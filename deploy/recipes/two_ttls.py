"""Stampede protection by two times to live: after the soft one a value is stale and still served, while
one caller loads it again; after the hard one it is gone.

The soft one is a key of its own that expires: whoever sets it again (NX) is the one who loads.
"""

from __future__ import annotations

from collections.abc import Callable

from redis.cluster import RedisCluster


class TwoTtls:
    """If a load fails, the value stays stale for `retry_ms` before another caller tries."""

    def __init__(
        self,
        redis: RedisCluster,
        load: Callable[[str], bytes],
        soft_ms: int = 60_000,
        hard_ms: int = 600_000,
        retry_ms: int = 5000,
    ) -> None:
        self._redis = redis
        self._load = load
        self._soft_ms = soft_ms
        self._hard_ms = hard_ms
        self._retry_ms = retry_ms

    def get(self, name: str) -> bytes:
        value = self._redis.get(_key(name))
        is_ours_to_load = self._redis.set(_fresh(name), b"1", px=self._retry_ms, nx=True)
        if value is not None and not is_ours_to_load:
            return bytes(value)
        loaded = self._load(name)
        self._redis.set(_key(name), loaded, px=self._hard_ms)
        self._redis.set(_fresh(name), b"1", px=self._soft_ms)
        return loaded


def _key(name: str) -> str:
    return f"soft:{{{name}}}"


def _fresh(name: str) -> str:
    return f"soft:{{{name}}}:fresh"


def main() -> None:
    cache = TwoTtls(RedisCluster(host="127.0.0.1", port=7000), lambda name: f"prices of {name}".encode())
    print(cache.get("monday"), cache.get("monday"))


if __name__ == "__main__":
    main()
