"""What a restore or an import is about to do, whether it can, and what came of it.

Keys go wherever the cluster's map says that their slots are, so the shape of the cluster that was backed up
does not matter. What matters is what the cluster has already: nothing, or it has to be said whose value
survives. ctl never chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ctl.plan.backup import Manifest
from ctl.plan.steps import PlanError
from ctl.snapshot import ClusterSnapshot

Existing = Literal["refuse", "replace", "skip"]
CONFLICTS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Restore:
    """For the reader: a title, what will be done, what to know."""

    title: str
    lines: tuple[str, ...]
    risks: tuple[str, ...]


@dataclass
class Outcome:
    """What was done; counts are of keys. `conflicts` holds the first of those that are at both ends."""

    restored: int = 0
    size_bytes: int = 0
    existing: int = 0
    expired: int = 0
    foreign: int = 0
    functions: int = 0
    commands: int = 0
    conflict_count: int = 0
    conflicts: list[bytes] = field(default_factory=list)
    keys_in_cluster: int = 0
    verified: bool = False
    took_ms: int = 0
    notes: list[str] = field(default_factory=list)

    def conflict(self, key: bytes) -> None:
        self.conflict_count += 1
        if len(self.conflicts) < CONFLICTS_KEPT:
            self.conflicts.append(key)


def plan_restore(manifest: Manifest, snapshot: ClusterSnapshot, existing: Existing, own_keys: int) -> Restore:
    """Raises PlanError when the cluster cannot take the backup. `own_keys` are keys of ctl itself in it."""
    check_databases({int(db) for shard in manifest.shards for db in shard.databases})
    keys = check_target(snapshot, existing, own_keys)
    shards = "1 shard" if len(manifest.shards) == 1 else f"{len(manifest.shards)} shards"
    targets = [member for member in snapshot.primaries if member.line.slots]
    risks = [*manifest.notes, *at_risk(keys, existing)]
    lines = (
        f"{manifest.keys:,} keys, {manifest.size_bytes:,} bytes, of {shards}, taken {manifest.made_at}",
        f"into {len(targets)} primaries: {', '.join(member.name for member in targets)}",
    )
    return Restore("restore a backup", lines, tuple(risks))


def check_databases(databases: set[int]) -> None:
    """Raises PlanError for others than 0: a cluster has one."""
    if others := sorted(databases - {0}):
        raise PlanError(
            f"there are keys in database {others[0]}, and a cluster has database 0 alone",
            "`ctl cluster import FILE --db N` takes one database out of a file or a server.",
        )


def check_target(snapshot: ClusterSnapshot, existing: Existing, own_keys: int) -> int:
    """The keys that the cluster has. Raises PlanError where it is not well, or not empty and has to be."""
    if snapshot.uncovered:
        raise PlanError(f"slots {snapshot.uncovered} have no owner", "`ctl cluster check` says more.")
    for member in snapshot.primaries:
        if member.line.slots and not member.healthy:
            raise PlanError(f"{member.name} does not answer: {member.reason or 'others say it failed'}")
    keys = sum(member.view.key_count for member in snapshot.primaries if member.view) - own_keys
    if keys > 0 and existing == "refuse":
        raise PlanError(
            f"the cluster is not empty: it has {keys:,} keys",
            "Say whose value survives: --replace (the backup's) or --skip-existing (the cluster's).",
        )
    return max(keys, 0)


def at_risk(keys: int, existing: Existing) -> Sequence[str]:
    if not keys:
        return []
    if existing == "replace":
        return [f"The cluster has {keys:,} keys; those of the same name are replaced."]
    return [f"The cluster has {keys:,} keys; those of the same name are left as they are."]
