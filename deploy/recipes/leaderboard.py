"""A leaderboard: the best score of each player, ranks, the top, and the neighbours of one player.

A sorted set is one key, so one node serves it: millions of players are no problem, but a board that all the
world writes to is better split (by league, by region), and the tops merged by the reader as `merged_top`
does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from redis.cluster import RedisCluster

Entry = tuple[str, float]


class Leaderboard:
    def __init__(self, redis: RedisCluster, name: str) -> None:
        self._redis = redis
        self._key = f"board:{name}"

    def report(self, player: str, score: float) -> bool:
        """Keeps the better of the old and the new score (GT); says whether it was better."""
        return bool(self._redis.zadd(self._key, {player: score}, gt=True, ch=True))

    def rank(self, player: str) -> int | None:
        """0 is the best; None: not on the board."""
        return self._redis.zrevrank(self._key, player)

    def top(self, count: int) -> list[Entry]:
        return self._range(0, count - 1)

    def around(self, player: str, each_side: int) -> list[Entry]:
        rank = self.rank(player)
        return [] if rank is None else self._range(max(rank - each_side, 0), rank + each_side)

    def _range(self, first: int, last: int) -> list[Entry]:
        found = self._redis.zrange(self._key, first, last, desc=True, withscores=True)
        return [(player.decode(), float(score)) for player, score in found]


def merged_top(boards: Iterable[Leaderboard], count: int) -> list[Entry]:
    """The best of several boards: the top of each is enough to know the top of all."""
    entries = (entry for board in boards for entry in board.top(count))
    return heapq.nlargest(count, entries, key=lambda entry: entry[1])


def main() -> None:
    board = Leaderboard(RedisCluster(host="127.0.0.1", port=7000), "season-1")
    for player, score in (("ada", 310), ("alan", 270), ("grace", 330), ("ada", 290)):
        board.report(player, score)
    print("top:", board.top(2), "around ada:", board.around("ada", 1))


if __name__ == "__main__":
    main()
