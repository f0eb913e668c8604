"""A frozen picture of a cluster: what each node that answered says of itself and of the others.

Every node has a view of its own, and views differ while news spreads or when something is wrong. So a
snapshot keeps them all (`views`), and derives from them one list of `members`: a node's word about itself
counts first; for a node that did not answer, the newest word that others have (largest configuration epoch).
What disagrees with that list is a matter for `ctl.plan.check`.

Pure data: made by `ctl.execute.gather` from replies, read by plans and renderers.
Source of the formats: the pages of CLUSTER NODES, CLUSTER INFO and INFO.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gossip.slots import SLOT_COUNT, SlotSet


@dataclass(frozen=True, order=True, slots=True)
class Address:
    """Where a node listens for clients."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Of `host:port`, `[v6]:port` or Redis's bare `v6:port`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not an address like 127.0.0.1:7000")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One line of CLUSTER NODES: a node as the node that was asked sees it."""

    node_id: str
    address: Address | None
    bus_port: int
    hostname: str
    flags: frozenset[str]
    primary_id: str | None
    ping_sent_ms: int
    pong_received_ms: int
    config_epoch: int
    link_up: bool
    slots: SlotSet
    migrating: Mapping[int, str]
    importing: Mapping[int, str]

    @property
    def is_primary(self) -> bool:
        return "master" in self.flags

    @property
    def failed(self) -> bool:
        return "fail" in self.flags

    @property
    def suspected(self) -> bool:
        return "fail?" in self.flags

    @property
    def in_handshake(self) -> bool:
        return "handshake" in self.flags


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node's answers. `address` is the one that reached it, `lines` its CLUSTER NODES."""

    address: Address
    lines: tuple[NodeLine, ...]
    cluster_info: Mapping[str, str]
    info: Mapping[str, str]

    @property
    def myself(self) -> NodeLine:
        return next(line for line in self.lines if "myself" in line.flags)

    @property
    def others(self) -> tuple[NodeLine, ...]:
        return tuple(line for line in self.lines if "myself" not in line.flags)

    @property
    def state_ok(self) -> bool:
        return self.cluster_info.get("cluster_state") == "ok"

    @property
    def current_epoch(self) -> int:
        return int(self.cluster_info.get("cluster_current_epoch", "0"))

    @property
    def key_count(self) -> int:
        """Keys of all databases, from the keyspace lines of INFO (`db0:keys=3,expires=0,…`)."""
        return sum(
            int(value.partition("keys=")[2].partition(",")[0])
            for name, value in self.info.items()
            if name.startswith("db") and value.startswith("keys=")
        )

    def owners(self) -> dict[str, SlotSet]:
        """Slots by the id of the primary that owns them in this view."""
        return {line.node_id: line.slots for line in self.lines if line.slots}


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster: its best known line, and its own view when it answered.

    `reason` says why it did not answer. `failed_by` and `suspected_by` are the ids of the nodes that flag it.
    """

    line: NodeLine
    address: Address | None
    view: NodeView | None
    reason: str
    failed_by: frozenset[str]
    suspected_by: frozenset[str]

    def __hash__(self) -> int:
        return hash(self.line.node_id)

    @property
    def node_id(self) -> str:
        return self.line.node_id

    @property
    def name(self) -> str:
        """What to call it in a sentence: its address, or its id where it has none."""
        return str(self.address) if self.address else self.line.node_id[:8]

    @property
    def host(self) -> str:
        return self.address.host if self.address else ""

    @property
    def is_primary(self) -> bool:
        return self.line.is_primary

    @property
    def reachable(self) -> bool:
        return self.view is not None

    @property
    def healthy(self) -> bool:
        return self.reachable and not self.failed_by

    @property
    def link_state(self) -> str:
        """`up`, `syncing` or `down` for a replica's link to its primary; empty where unknown or a primary."""
        if self.view is None or self.is_primary:
            return ""
        if self.view.info.get("master_link_status") == "up":
            return "up"
        return "syncing" if self.view.info.get("master_sync_in_progress") == "1" else "down"

    @property
    def replication_offset(self) -> int | None:
        """How far it is in the replication stream, in bytes."""
        if self.view is None:
            return None
        name = "master_repl_offset" if self.is_primary else "slave_repl_offset"
        text = self.view.info.get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else None


@dataclass(frozen=True)
class ClusterSnapshot:
    """The views of all nodes that answered, and the addresses that did not, with the reason."""

    views: tuple[NodeView, ...]
    unreachable: Mapping[Address, str] = field(default_factory=dict)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every node that a view knows, primaries by their first slot, each followed by its replicas."""
        own = {view.myself.node_id: view for view in self.views}
        lines: dict[str, list[tuple[NodeView, NodeLine]]] = {}
        for view in self.views:
            for line in view.lines:
                if not line.in_handshake:
                    lines.setdefault(line.node_id, []).append((view, line))
        members = [self._member(own.get(node_id), seen) for node_id, seen in lines.items()]
        return _in_order(members)

    def _member(self, own: NodeView | None, seen: list[tuple[NodeView, NodeLine]]) -> Member:
        best = own.myself if own else max((line for _, line in seen), key=lambda line: line.config_epoch)
        address = own.address if own else best.address
        return Member(
            line=best,
            address=address,
            view=own,
            reason="" if own or address is None else self.unreachable.get(address, "not asked"),
            failed_by=frozenset(view.myself.node_id for view, line in seen if line.failed),
            suspected_by=frozenset(view.myself.node_id for view, line in seen if line.suspected),
        )

    @cached_property
    def primaries(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.is_primary)

    @cached_property
    def replicas(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if not member.is_primary)

    @cached_property
    def failed(self) -> tuple[Member, ...]:
        """Those that some node flags as failed: what they were is no longer their role."""
        return tuple(member for member in self.members if member.failed_by)

    def member(self, node_id: str) -> Member | None:
        return next((member for member in self.members if member.node_id == node_id), None)

    def replicas_of(self, node_id: str) -> tuple[Member, ...]:
        return tuple(member for member in self.replicas if member.line.primary_id == node_id)

    def find(self, text: str) -> list[Member]:
        """Members that `text` may mean: an address, a port, a host name, a node id or its beginning."""
        exact = [m for m in self.members if text in (str(m.address), m.node_id, m.line.hostname)]
        if exact:
            return exact
        return [
            m
            for m in self.members
            if (m.address and text == str(m.address.port)) or (len(text) >= 4 and m.node_id.startswith(text))
        ]

    @cached_property
    def covered(self) -> SlotSet:
        """Slots that have an owner, by the members' best known lines, answering or not."""
        covered = SlotSet()
        for member in self.primaries:
            covered |= member.line.slots
        return covered

    @cached_property
    def uncovered(self) -> SlotSet:
        return SlotSet.all() - self.covered


def parse_cluster_nodes(text: str) -> tuple[NodeLine, ...]:
    """The lines of CLUSTER NODES. Raises ValueError for text that is not in its format."""
    return tuple(_parse_line(line) for line in text.splitlines() if line)


def parse_info(text: str) -> dict[str, str]:
    """Fields of INFO or CLUSTER INFO; section headings and blank lines are dropped."""
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def _parse_line(line: str) -> NodeLine:
    fields = line.split()
    if len(fields) < 8:
        raise ValueError(f"not a line of CLUSTER NODES: {line!r}")
    node_id, where, flags, primary, ping_sent, pong_received, epoch, link = fields[:8]
    endpoint, _, hostname = where.partition(",")
    host_port, _, bus_port = endpoint.partition("@")
    slots, migrating, importing = _parse_slots(fields[8:])
    flag_set = frozenset(flags.split(","))
    if "slave" in flag_set:
        # Valkey's replicas and ours remember what their primary has open; it is the primary's to close.
        migrating, importing = {}, {}
    return NodeLine(
        node_id=node_id,
        address=None if "noaddr" in flag_set or host_port.startswith(":") else Address.parse(host_port),
        bus_port=int(bus_port or 0),
        hostname=hostname.partition(",")[0],
        flags=flag_set,
        primary_id=None if primary == "-" else primary,
        ping_sent_ms=int(ping_sent),
        pong_received_ms=int(pong_received),
        config_epoch=int(epoch),
        link_up=link == "connected",
        slots=slots,
        migrating=migrating,
        importing=importing,
    )


def _parse_slots(words: Iterable[str]) -> tuple[SlotSet, dict[int, str], dict[int, str]]:
    """`0-5460 5462 [77->-id] [78-<-id]` as owned, migrating to, importing from."""
    ranges: list[tuple[int, int]] = []
    migrating: dict[int, str] = {}
    importing: dict[int, str] = {}
    for word in words:
        if word.startswith("["):
            slot, arrow, node_id = word[1:-1].partition("->-")
            if arrow:
                migrating[int(slot)] = node_id
                continue
            slot, _, node_id = word[1:-1].partition("-<-")
            importing[int(slot)] = node_id
        else:
            first, _, last = word.partition("-")
            ranges.append((int(first), int(last or first)))
    return SlotSet.from_ranges(ranges), migrating, importing


def _in_order(members: list[Member]) -> tuple[Member, ...]:
    def place(member: Member) -> tuple[int, str, int]:
        ranges = member.line.slots.ranges()
        return (
            ranges[0][0] if ranges else SLOT_COUNT,
            member.host,
            member.address.port if member.address else 0,
        )

    primaries = sorted((m for m in members if m.is_primary), key=place)
    replicas = sorted((m for m in members if not m.is_primary), key=place)
    ordered: list[Member] = []
    for primary in primaries:
        ordered.append(primary)
        ordered += [r for r in replicas if r.line.primary_id == primary.node_id]
    placed = {member.node_id for member in ordered}
    return (*ordered, *(r for r in replicas if r.node_id not in placed))
