"""A spare replica goes to a primary that has none left.

A primary is orphaned when it serves slots, had replicas once (`migrate_to`) and has no working one now. A
replica moves there when, all at once:
- the cluster's state is ok, and `allow_replica_migration` is set;
- its own primary keeps at least `migration_barrier` working replicas without it;
- its primary is one of those with the most working replicas, at least two;
- of all the working replicas of those primaries it has the smallest id, so that (mostly) only one moves;
- the orphan has been one for DELAY_MS: after a fail-over, its own replicas need time to say whom they follow.

Source: the Redis cluster specification, "Replica migration".
"""

from __future__ import annotations

from gossip.context import Context, Duty
from gossip.effects import LogLevel
from gossip.failover import Roles
from gossip.member import Member

DELAY_MS = 5_000
CHECK_PERIOD_MS = 1_000


def working_replicas(primary: Member) -> int:
    return sum(not replica.failed for replica in primary.replicas)


class ReplicaMigration:
    def __init__(self, ctx: Context, roles: Roles) -> None:
        self._ctx = ctx
        self._roles = roles

    def check(self) -> None:
        """Look for orphans once a second while we are a replica, and move if it is up to us."""
        ctx = self._ctx
        ctx.timers.at(Duty.REPLICA_MIGRATION, ctx.now_ms + CHECK_PERIOD_MS)
        mine = ctx.me.primary
        if mine is None or not ctx.settings.allow_replica_migration:
            return
        target = self._orphan()
        if target is None or not ctx.ok or not self._is_up_to_us(mine):
            return
        if ctx.now_ms - target.orphaned_ms > DELAY_MS:
            ctx.log(LogLevel.NOTICE, f"Migrating to orphaned master {target.node_id}")
            self._roles.follow(target)

    def _orphan(self) -> Member | None:
        """The first orphaned primary; how long each one is orphaned is kept on it."""
        first: Member | None = None
        for primary in self._ctx.state.primaries():
            orphaned = (
                primary.migrate_to
                and bool(primary.slots)
                and not primary.failed
                and working_replicas(primary) == 0
            )
            if not orphaned:
                primary.orphaned_ms = 0
                continue
            primary.orphaned_ms = primary.orphaned_ms or self._ctx.now_ms
            first = first or primary
        return first

    def _is_up_to_us(self, mine: Member) -> bool:
        reachable = sum(not replica.unreachable for replica in mine.replicas)
        if reachable <= self._ctx.settings.migration_barrier:
            return False
        healthy = [primary for primary in self._ctx.state.primaries() if not primary.failed]
        most = max((working_replicas(primary) for primary in healthy), default=0)
        if most < 2 or working_replicas(mine) != most:
            return False
        rivals = (
            replica.node_id
            for primary in healthy
            if working_replicas(primary) == most
            for replica in primary.replicas
            if not replica.failed
        )
        return min(rivals) == self._ctx.me.node_id
