"""The --json forms. Keys are stable: one may be added, none changes its meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ctl.plan.check import Finding
from ctl.render.words import health, server_of
from ctl.snapshot import ClusterSnapshot, Member
from gossip.slots import SLOT_COUNT, SlotSet

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"


def text(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def member(node: Member) -> dict[str, Json]:
    view = node.view
    memory = view.info.get("used_memory", "") if view else ""
    pid = view.info.get("process_id", "") if view else ""
    return {
        "id": node.node_id,
        "address": str(node.address) if node.address else None,
        "bus_port": node.line.bus_port,
        "hostname": node.line.hostname or None,
        "role": "primary" if node.is_primary else "replica",
        "primary_id": node.line.primary_id,
        "slots": ranges(node.line.slots),
        "slot_count": len(node.line.slots),
        "migrating": {str(slot): to for slot, to in node.line.migrating.items()},
        "importing": {str(slot): origin for slot, origin in node.line.importing.items()},
        "config_epoch": node.line.config_epoch,
        "flags": sorted(node.line.flags - {"myself"}),
        "health": health(node),
        "reachable": node.reachable,
        "reason": node.reason or None,
        "failed_by": sorted(node.failed_by),
        "suspected_by": sorted(node.suspected_by),
        "link": node.link_state or None,
        "replication_offset": node.replication_offset,
        "state": view.cluster_info.get("cluster_state") if view else None,
        "keys": view.key_count if view else None,
        "memory_bytes": int(memory) if memory.isdecimal() else None,
        "pid": int(pid) if pid.isdecimal() else None,
        "server": server_of(node) or None,
    }


def cluster(snapshot: ClusterSnapshot) -> dict[str, Json]:
    return {
        "state": "ok" if all(view.state_ok for view in snapshot.views) else "fail",
        "slots_covered": SLOT_COUNT - len(snapshot.uncovered),
        "slots_uncovered": ranges(snapshot.uncovered),
        "current_epoch": max((view.current_epoch for view in snapshot.views), default=0),
        "nodes": [member(node) for node in snapshot.members],
    }


def finding(found: Finding) -> dict[str, Json]:
    return {
        "severity": found.severity,
        "code": found.code,
        "text": found.text,
        "explanation": found.explanation,
        "action": found.action or None,
        "nodes": found.nodes,
        "slots": ranges(found.slots),
    }


def ranges(slots: SlotSet) -> list[Json]:
    """Inclusive ranges, `[[0, 5460]]`."""
    return [[first, last] for first, last in slots.ranges()]
