"""A rate limiter: `burst` requests at once, then one every `period_ms`; each caller has one key and no
counter to reset.

The generic cell rate algorithm: the key holds the time at which the next request would be due if all came
evenly. A request is let through while that is at most `burst - 1` periods ahead. One script reads, decides
and writes; its clock is the node's.
"""

from __future__ import annotations

from redis.cluster import RedisCluster

_TAKE = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local period_ms, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due_ms = math.max(tonumber(redis.call('GET', KEYS[1]) or now_ms), now_ms)
local wait_ms = due_ms - now_ms - (burst - 1) * period_ms
if wait_ms > 0 then return wait_ms end
local next_ms = due_ms + period_ms
redis.call('SET', KEYS[1], string.format('%d', next_ms), 'PX', next_ms - now_ms)
return 0
"""


class RateLimiter:
    def __init__(self, redis: RedisCluster, period_ms: int, burst: int) -> None:
        self._redis = redis
        self._period_ms = period_ms
        self._burst = burst

    def take(self, caller: str) -> int:
        """0: go on; otherwise in how many milliseconds to try again (as in a Retry-After header)."""
        return int(self._redis.eval(_TAKE, 1, f"rate:{caller}", self._period_ms, self._burst))


def main() -> None:
    limiter = RateLimiter(RedisCluster(host="127.0.0.1", port=7000), period_ms=1000, burst=3)
    print("wait in ms:", [limiter.take("198.51.100.7") for _ in range(5)])


if __name__ == "__main__":
    main()
