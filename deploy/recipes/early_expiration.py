"""Stampede protection by chance: each reader may decide to load a little before the end, the likelier the
nearer the end is and the longer a load takes. With many readers one decides in time, and no lock is
needed.

A. Vattani, F. Chierichetti, K. Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from redis.cluster import RedisCluster


class EarlyExpiration:
    """`eagerness` above 1 loads earlier, below 1 later. `random_unit` returns numbers in (0, 1], `now_s`
    seconds.
    """

    def __init__(
        self,
        redis: RedisCluster,
        load: Callable[[str], bytes],
        ttl_s: float = 60,
        eagerness: float = 1.0,
        now_s: Callable[[], float] = time.time,
        random_unit: Callable[[], float] = lambda: 1.0 - random.random(),
    ) -> None:
        self._redis = redis
        self._load = load
        self._ttl_s = ttl_s
        self._eagerness = eagerness
        self._now_s = now_s
        self._random_unit = random_unit

    def get(self, name: str) -> bytes:
        value, end_s, load_s = self._redis.hmget(f"early:{name}", "value", "end_s", "load_s")
        if value is None or self._is_time(float(end_s), float(load_s)):
            return self._refresh(name)
        return bytes(value)

    def _is_time(self, end_s: float, load_s: float) -> bool:
        ahead_s = -load_s * self._eagerness * math.log(self._random_unit())
        return self._now_s() + ahead_s >= end_s

    def _refresh(self, name: str) -> bytes:
        began_s = self._now_s()
        value = self._load(name)
        ended_s = self._now_s()
        fields = {"value": value, "end_s": ended_s + self._ttl_s, "load_s": ended_s - began_s}
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(f"early:{name}", mapping=fields)
        pipeline.pexpire(f"early:{name}", int(self._ttl_s * 1000))
        pipeline.execute()
        return value


def main() -> None:
    cache = EarlyExpiration(RedisCluster(host="127.0.0.1", port=7000), lambda name: f"page {name}".encode())
    print(cache.get("home"), cache.get("home"))


if __name__ == "__main__":
    main()
