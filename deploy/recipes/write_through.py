"""Write-through: every write goes to the database and then to the cache, so that readers always find it
there.

Two writers may reach the cache in another order than the database. So each value carries the version that
the database gave it, and a script keeps the newer one: it runs alone on the node that owns the key.
"""

from __future__ import annotations

from collections.abc import Callable

from redis.cluster import RedisCluster

_STORE_IF_NEWER = """
local known = redis.call('HGET', KEYS[1], 'version')
if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'value', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class WriteThrough:
    """`save` commits a value and returns its version, a number that grows with each write of that name;
    `load` returns (value, version).
    """

    def __init__(
        self,
        redis: RedisCluster,
        save: Callable[[str, bytes], int],
        load: Callable[[str], tuple[bytes, int]],
        ttl_s: int = 3600,
    ) -> None:
        self._redis = redis
        self._save = save
        self._load = load
        self._ttl_s = ttl_s

    def put(self, name: str, value: bytes) -> None:
        self._store(name, value, self._save(name, value))

    def get(self, name: str) -> bytes:
        cached = self._redis.hget(_key(name), "value")
        if cached is not None:
            return bytes(cached)
        value, version = self._load(name)
        self._store(name, value, version)
        return value

    def _store(self, name: str, value: bytes, version: int) -> None:
        self._redis.eval(_STORE_IF_NEWER, 1, _key(name), version, value, self._ttl_s)


def _key(name: str) -> str:
    return f"through:{name}"


def main() -> None:
    rows: dict[str, tuple[bytes, int]] = {}

    def save(name: str, value: bytes) -> int:
        version = rows.get(name, (b"", 0))[1] + 1
        rows[name] = (value, version)
        return version

    cache = WriteThrough(RedisCluster(host="127.0.0.1", port=7000), save, rows.__getitem__)
    cache.put("ada", b"Ada Lovelace")
    print("without asking the database:", cache.get("ada"))


if __name__ == "__main__":
    main()
