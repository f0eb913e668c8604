"""Builders of snapshots: clusters described in a line each, with every node's own view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ctl.snapshot import Address, ClusterSnapshot, NodeLine, NodeView
from gossip.slots import SlotSet


@dataclass
class NodeSpec:
    """One node of a built cluster; `slots` in the words of CLUSTER NODES, `primary` a name."""

    name: str
    host: str = "10.0.0.1"
    slots: str = ""
    primary: str | None = None
    epoch: int = 0
    answers: bool = True
    info: dict[str, str] = field(default_factory=dict)


def node_id(name: str) -> str:
    return (name.encode().hex() + "0" * 40)[:40]


def slot_set(text: str) -> SlotSet:
    pairs = (word.partition("-") for word in text.split())
    return SlotSet.from_ranges([(int(first), int(last or first)) for first, _, last in pairs])


def line_of(spec: NodeSpec, port: int) -> NodeLine:
    return NodeLine(
        node_id=node_id(spec.name),
        address=Address(spec.host, port),
        bus_port=port + 10_000,
        hostname="",
        flags=frozenset({"slave" if spec.primary else "master"}),
        primary_id=node_id(spec.primary) if spec.primary else None,
        ping_sent_ms=0,
        pong_received_ms=1,
        config_epoch=spec.epoch,
        link_up=True,
        slots=slot_set(spec.slots),
        migrating={},
        importing={},
    )


def build(
    *specs: NodeSpec, edit: Mapping[tuple[str, str], Mapping[str, Any]] | None = None
) -> ClusterSnapshot:
    """The snapshot of a cluster. `edit[(viewer, seen)]` changes fields of that one line in that one view."""
    lines = {spec.name: line_of(spec, 7000 + number) for number, spec in enumerate(specs)}
    views, unreachable = [], {}
    for viewer in specs:
        own = lines[viewer.name]
        assert own.address is not None
        if not viewer.answers:
            unreachable[own.address] = "connection refused"
            continue
        seen = []
        for name, line in lines.items():
            flags = line.flags | ({"myself"} if name == viewer.name else set())
            changes = dict((edit or {}).get((viewer.name, name), {}))
            seen.append(replace(line, flags=flags | frozenset(changes.pop("flags", ())), **changes))
        link = {"master_link_status": "up", "slave_repl_offset": "10"} if viewer.primary else {}
        info = {**link, **viewer.info}
        state = {"cluster_state": info.pop("cluster_state", "ok"), "cluster_current_epoch": "9"}
        views.append(NodeView(own.address, tuple(seen), state, info))
    return ClusterSnapshot(tuple(views), unreachable)


def three_shards() -> list[NodeSpec]:
    """Three primaries a, b, c and replicas x, y, z, on six hosts."""
    return [
        NodeSpec("a", "10.0.0.1", "0-5460", epoch=1),
        NodeSpec("b", "10.0.0.2", "5461-10922", epoch=2),
        NodeSpec("c", "10.0.0.3", "10923-16383", epoch=3),
        NodeSpec("x", "10.0.0.4", primary="a", epoch=1),
        NodeSpec("y", "10.0.0.5", primary="b", epoch=2),
        NodeSpec("z", "10.0.0.6", primary="c", epoch=3),
    ]


class Builders:
    """What tests of plans and renderers build clusters with."""

    node = NodeSpec
    build = staticmethod(build)
    three_shards = staticmethod(three_shards)
    node_id = staticmethod(node_id)
    slots = staticmethod(slot_set)


@pytest.fixture
def clusters() -> Builders:
    return Builders()
