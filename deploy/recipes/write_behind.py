"""Write-behind: a write is accepted by the cluster at once, and workers bring it to the database in
batches.

The value and its entry in a stream share a hash tag, so one transaction writes both: nothing is accepted
that no worker will see. Workers acknowledge after the database has committed, so a write may be saved
twice, never not at all; `save` must not mind. Of several writes of one name in a batch only the last is
saved.

What is acknowledged and not yet saved lives in the cluster alone: give it replicas and an append-only file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

_GROUP = "database"


class WriteBehind:
    """`shard` names one of the streams that share the load (a hash tag: all its keys are in one slot)."""

    def __init__(self, redis: RedisCluster, shard: str) -> None:
        self._redis = redis
        self._shard = shard
        self._stream = f"behind:{{{shard}}}:log"
        try:
            redis.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def put(self, name: str, value: bytes) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(self._key(name), value)
        pipeline.xadd(self._stream, {"name": name, "value": value})
        pipeline.execute()

    def get(self, name: str) -> bytes | None:
        return self._redis.get(self._key(name))

    def save_batch(
        self,
        worker: str,
        save: Callable[[Mapping[str, bytes]], None],
        wait_ms: int = 1000,
        idle_ms: int = 60_000,
    ) -> int:
        """Saves what one worker can take, first what another left for `idle_ms`; returns the number of
        writes.
        """
        claimed = self._redis.xautoclaim(self._stream, _GROUP, worker, min_idle_time=idle_ms, count=500)[1]
        entries = claimed or self._new_entries(worker, wait_ms)
        if not entries:
            return 0
        save({fields[b"name"].decode(): fields[b"value"] for _, fields in entries})
        ids = [entry_id for entry_id, _ in entries]
        self._redis.xack(self._stream, _GROUP, *ids)
        self._redis.xdel(self._stream, *ids)
        return len(ids)

    def _new_entries(self, worker: str, wait_ms: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found = self._redis.xreadgroup(_GROUP, worker, {self._stream: ">"}, count=500, block=wait_ms)
        return found[0][1] if found else []

    def _key(self, name: str) -> str:
        return f"behind:{{{self._shard}}}:{name}"


def main() -> None:
    database: dict[str, bytes] = {}
    cache = WriteBehind(RedisCluster(host="127.0.0.1", port=7000), "users-0")
    for version in range(3):
        cache.put("ada", f"Ada {version}".encode())
    print("accepted:", cache.get("ada"))
    print("writes:", cache.save_batch("worker-1", database.update), "rows:", database)


if __name__ == "__main__":
    main()
