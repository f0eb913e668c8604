"""Refresh-ahead: what is still asked for is loaded again shortly before it expires, so popular values
never miss.

The first reader who finds little time left takes a short lock and hands the loading to a worker; everybody,
that reader too, gets the value that is there. What nobody reads expires.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from redis.cluster import RedisCluster


class RefreshAhead:
    """Values live for `ttl_ms`; in the last `ahead_ms` of it a read causes a refresh by `executor`. A
    load must end within `load_limit_ms`, after which another reader may try.
    """

    def __init__(
        self,
        redis: RedisCluster,
        load: Callable[[str], bytes],
        executor: Executor,
        ttl_ms: int = 60_000,
        ahead_ms: int = 15_000,
        load_limit_ms: int = 10_000,
    ) -> None:
        self._redis = redis
        self._load = load
        self._executor = executor
        self._ttl_ms = ttl_ms
        self._ahead_ms = ahead_ms
        self._load_limit_ms = load_limit_ms

    def get(self, name: str) -> bytes:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(_key(name))
        pipeline.pttl(_key(name))
        value, left_ms = pipeline.execute()
        if value is None:
            return self._refresh(name)
        if left_ms < self._ahead_ms and self._redis.set(_lock(name), b"1", px=self._load_limit_ms, nx=True):
            self._executor.submit(self._refresh, name)
        return bytes(value)

    def _refresh(self, name: str) -> bytes:
        value = self._load(name)
        self._redis.set(_key(name), value, px=self._ttl_ms)
        self._redis.delete(_lock(name))
        return value


def _key(name: str) -> str:
    return f"ahead:{{{name}}}"


def _lock(name: str) -> str:
    return f"ahead:{{{name}}}:loading"


def main() -> None:
    loads = iter(range(1, 100))
    with ThreadPoolExecutor(1) as executor:
        redis = RedisCluster(host="127.0.0.1", port=7000)
        cache = RefreshAhead(
            redis, lambda name: f"{name}, load {next(loads)}".encode(), executor, ahead_ms=60_000
        )
        print("missed:", cache.get("weather"))
        print("at once, while a worker loads again:", cache.get("weather"))
    print("refreshed:", cache.get("weather"))


if __name__ == "__main__":
    main()
