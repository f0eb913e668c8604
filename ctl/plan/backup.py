"""A backup as data: which node gives which shard, the manifest, and whether the map stood still meanwhile.

A backup is a directory with an RDB file a shard and `manifest.json`, which says of each file whose slots it
holds, where in the replication stream it was cut, and size and checksum. The files are cut at nearly the same
moment, not at the same one: Redis has no point in time that shards share. What must not happen in between is
that a slot changes hands, since its keys would be in two files or in none; so owners are compared before and
after, with their epochs: a slot that went away and came back has raised one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from ctl.errors import CtlError
from ctl.plan.steps import PlanError
from ctl.snapshot import Address, ClusterSnapshot, Member
from gossip.slots import SLOT_COUNT, SlotSet

FORMAT = 1
MANIFEST = "manifest.json"
# Directives that say how data is kept; the rest belongs to hosts, not to data.
KEPT_SETTINGS = (
    "maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save", "notify-keyspace-events",
    "hash-max-listpack-entries", "hash-max-listpack-value", "list-max-listpack-size", "list-compress-depth",
    "set-max-intset-entries", "zset-max-listpack-entries", "zset-max-listpack-value",
    "cluster-node-timeout", "cluster-require-full-coverage", "cluster-allow-reads-when-down",
)  # fmt: skip

Json: TypeAlias = Mapping[str, Any]


class BackupError(CtlError):
    """A backup is damaged, or is none."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One file. `offset` is where in the replication stream it was cut; `source` gave it, for `primary`."""

    file: str
    primary: str
    slots: str
    source: str
    source_address: str
    source_role: str
    server: str
    replication_id: str
    offset: int
    rdb_version: int
    size_bytes: int
    sha256: str
    keys: int
    expiring: int
    foreign: int
    databases: dict[str, int]
    functions: int
    took_ms: int
    settings: dict[str, str]

    @property
    def slot_set(self) -> SlotSet:
        return slots_of(self.slots)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`cluster` tells clusters apart: a digest of the ids of its primaries. Times are Unix milliseconds."""

    made_at: str
    started_ms: int
    cut_within_ms: int
    took_ms: int
    cluster: str
    current_epoch: int
    shards: tuple[Shard, ...]
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def keys(self) -> int:
        return sum(shard.keys for shard in self.shards)

    @property
    def size_bytes(self) -> int:
        return sum(shard.size_bytes for shard in self.shards)


@dataclass(frozen=True, slots=True)
class Source:
    """`giver` gives the snapshot of the shard of `primary`."""

    primary: Member
    giver: Member

    @property
    def address(self) -> Address:
        assert self.giver.address is not None, "a giver answers"
        return self.giver.address


@dataclass(frozen=True, slots=True)
class Transfer:
    """Progress: what has come or gone; `size_total` is None where nobody knows."""

    title: str
    size_bytes: int
    size_total: int | None
    keys: int
    elapsed_s: float


@dataclass
class Tally:
    """What was counted in one file while it came."""

    keys: int = 0
    expiring: int = 0
    foreign: int = 0
    functions: int = 0
    databases: dict[str, int] = field(default_factory=dict)


def choose_sources(snapshot: ClusterSnapshot, *, replicas: bool) -> tuple[Source, ...]:
    """Who gives the snapshot of each shard: its primary, or its most advanced replica whose link is up.

    Raises PlanError where slots are open or without an owner, or a shard has nobody to ask.
    """
    if snapshot.uncovered:
        raise PlanError(
            f"slots {snapshot.uncovered} have no owner: a backup would lack their keys",
            "`ctl cluster check` says more.",
        )
    if (moving := opened(snapshot)) is not None:
        raise PlanError(moving, "Wait for the move to end, or finish it with `ctl cluster resume` or `fix`.")
    sources = []
    for primary in snapshot.primaries:
        if not primary.line.slots:
            continue
        giver: Member | None = primary
        if replicas:
            able = [r for r in snapshot.replicas_of(primary.node_id) if r.healthy and r.link_state == "up"]
            giver = max(able, key=lambda r: r.replication_offset or 0, default=None)
            if giver is None:
                raise PlanError(
                    f"{primary.name} has no replica that is in step with it", "Leave --from-replicas out."
                )
        assert giver is not None
        if not giver.reachable:
            raise PlanError(
                f"{giver.name} does not answer: {giver.reason}",
                "Its slots would be missing. With --from-replicas replicas give the data.",
            )
        sources.append(Source(primary, giver))
    return tuple(sources)


def opened(snapshot: ClusterSnapshot) -> str | None:
    """The first slot that a node says is being moved, in a sentence."""
    for view in snapshot.views:
        for slot in (*view.myself.migrating, *view.myself.importing):
            return f"slot {slot} is being moved, says {view.address}"
    return None


def changed(before: ClusterSnapshot, after: ClusterSnapshot) -> str | None:
    """What is not any more as it was with slots and owners, a phrase; None when nothing."""
    if (moving := opened(after)) is not None:
        return moving
    earlier = {m.node_id: m for m in before.primaries if m.line.slots}
    later = {m.node_id: m for m in after.primaries if m.line.slots}
    for node_id, member in {**earlier, **later}.items():
        if node_id not in earlier:
            return f"{member.name} has come to own slots"
        if node_id not in later:
            return f"{member.name} owns no slots any more"
        if earlier[node_id].line.slots != later[node_id].line.slots:
            return f"the slots of {member.name} have changed"
        if earlier[node_id].line.config_epoch != later[node_id].line.config_epoch:
            return f"the epoch of {member.name} has changed"
    return None


def cluster_of(snapshot: ClusterSnapshot) -> str:
    """A name for the cluster: a digest of the ids of those that own slots."""
    ids = sorted(member.node_id for member in snapshot.primaries if member.line.slots)
    return hashlib.sha256("".join(ids).encode()).hexdigest()[:16]


def slots_of(text: str) -> SlotSet:
    """Of `0-5460,6000`. Raises ValueError."""
    pairs = (word.partition("-") for word in text.split(",") if word)
    return SlotSet.from_ranges([(int(first), int(last or first)) for first, _, last in pairs])


def slot_table(slots: SlotSet) -> bytes:
    """A byte a slot, 1 for those in `slots`."""
    table = bytearray(SLOT_COUNT)
    for first, last in slots.ranges():
        table[first : last + 1] = b"\1" * (last + 1 - first)
    return bytes(table)


def slots_text(slots: SlotSet) -> str:
    return ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in slots.ranges())


# --- the manifest as JSON


def to_json(manifest: Manifest) -> dict[str, Any]:
    """`checksum` is of all the rest."""
    document: dict[str, Any] = {
        "format": manifest.format,
        "kind": "shoal-backup",
        **{name: value for name, value in asdict(manifest).items() if name not in ("format", "shards")},
        "keys": manifest.keys,
        "size_bytes": manifest.size_bytes,
        "shards": [asdict(shard) for shard in manifest.shards],
    }
    document["notes"] = list(manifest.notes)
    return {**document, "checksum": _checksum(document)}


def from_json(text: str) -> Manifest:
    """Raises BackupError for what is no manifest, was changed, or is of a newer format."""
    try:
        document = json.loads(text)
        if document["kind"] != "shoal-backup":
            raise ValueError("it is something else")
        number = int(document["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{MANIFEST} is not the manifest of a backup ({error})") from error
    if number > FORMAT:
        raise BackupError(
            f"{MANIFEST} has format {number}, this ctl reads up to {FORMAT}",
            "It was made by a newer ctl: restore with that one.",
        )
    if document.get("checksum") != _checksum(document):
        raise BackupError(f"{MANIFEST} was changed: its checksum does not match")
    names = Manifest.__dataclass_fields__
    words = {name: value for name, value in document.items() if name in names}
    try:
        shards = tuple(Shard(**shard) for shard in document["shards"])
        for shard in shards:
            if "/" in shard.file or shard.file in ("", ".", "..") or not shard.slot_set:
                raise ValueError(f"shard {shard.file!r}")
        return Manifest(**{**words, "shards": shards, "notes": tuple(document["notes"])})
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{MANIFEST} lacks something, or has too much ({error})") from error


def _checksum(document: Json) -> str:
    body = {name: value for name, value in document.items() if name != "checksum"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
