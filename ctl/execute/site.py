"""Where a change is carried out: the cluster as it is now, and all that a step needs to work on it.

Plans name nodes by id. Since a plan was made a primary may have failed over: what was meant for it is then
for the one of its shard that has taken its place, as the plan's roster knows who was in that shard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ctl.errors import UnreachableError
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import gather
from ctl.execute.local import LocalCluster
from ctl.plan.change import Roster
from ctl.snapshot import Address, ClusterSnapshot, Member


@dataclass
class Site:
    """`guard` raises when ctl may not change anything any more. `local` follows processes made and ended."""

    fleet: Fleet
    credentials: Credentials
    seeds: tuple[Address, ...]
    roster: Roster
    local: LocalCluster | None
    timeout_s: float
    guard: Callable[[], None] = field(default=lambda: None)
    say: Callable[[str], None] = field(default=lambda _: None)
    atomic: bool = True

    async def look(self) -> ClusterSnapshot:
        """The cluster now. Raises UnreachableError."""
        return await gather(self.fleet, self.seeds)

    def primary(self, snapshot: ClusterSnapshot, node: str) -> Member:
        """The primary that `node` was, or the one that took its place. Raises UnreachableError for none."""
        member = snapshot.member(node)
        if member is not None and member.is_primary and member.healthy:
            return member
        shard = self.roster.shard_of(node)
        for other in snapshot.primaries:
            if other.node_id in shard and other.healthy:
                return other
        name = self.roster.name(node)
        why = f": {member.reason}" if member is not None and member.reason else ""
        raise UnreachableError(
            f"{name} does not answer{why}", "`ctl cluster resume` goes on when it, or its replica, does."
        )


def addresses(snapshot: ClusterSnapshot) -> list[Address]:
    """Of all nodes that answer."""
    return [view.address for view in snapshot.views]


def primary_addresses(snapshot: ClusterSnapshot) -> list[Address]:
    return [member.view.address for member in snapshot.primaries if member.view]
