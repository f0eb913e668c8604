"""A cache in the client itself: what was read stays in the process, and the servers tell when it is true no
longer (CLIENT TRACKING).

A hit costs no round trip. A value that somebody else changes may be read for as long as the word of it
travels, and no longer: a server sends it behind all replies with the old value, so that none of them is kept
by mistake, and a connection that breaks takes what it has read out of the cache, since nobody would hear of
changes any more. When a slot moves, its old owner says so of all its keys.

Keys that change more often than they are read are better read with `plain`: each change would have to be
told.
"""

from __future__ import annotations

from redis.cache import CacheConfig, CacheFactory
from redis.cluster import ClusterNode, RedisCluster


class LocalCache:
    """`cached` is a client that keeps up to `max_replies`, those used last; `plain` keeps none."""

    def __init__(self, nodes: list[ClusterNode], max_replies: int = 10_000) -> None:
        self._replies = CacheFactory(CacheConfig(max_size=max_replies)).get_cache()
        self.cached = RedisCluster(startup_nodes=nodes, protocol=3, cache=self._replies)
        self.plain = RedisCluster(startup_nodes=nodes, protocol=3)

    def get(self, name: str) -> bytes | None:
        """The value, from memory where it was read before."""
        value = self.cached.get(name)
        return None if value is None else bytes(value)

    @property
    def size(self) -> int:
        """How many replies are kept."""
        return int(self._replies.size)

    def close(self) -> None:
        self.cached.close()
        self.plain.close()


def main() -> None:
    cache = LocalCache([ClusterNode("127.0.0.1", 7000)])
    cache.plain.set("motd", "hello")
    print("asked:", cache.get("motd"), "kept:", cache.get("motd"), cache.size)
    cache.plain.set("motd", "changed")
    while cache.get("motd") == b"hello":
        pass
    print("told and asked again:", cache.get("motd"))
    cache.close()


if __name__ == "__main__":
    main()
