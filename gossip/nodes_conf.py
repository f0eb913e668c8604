"""nodes.conf and the lines of CLUSTER NODES: text to records and back.

One line describes one node, as the node that wrote it sees it:

    id ip:port@bus_port[,hostname[,aux=value…]] flags primary ping pong epoch link slot… [slot->-id]

and one line of the file holds the writer's epochs: `vars currentEpoch 7 lastVoteEpoch 6`. Redis 7.0 writes no
aux fields, Redis 7.2 `tls-port`, `nodename` and `shard-id`, Valkey more of them; those not known here are
passed over. What is written is what Redis 7.2 writes, and in the `vars` line a variable of ours after slots
were given to other nodes (`shoal-given 0-99,200`), which Redis passes over. CLUSTER NODES shows the same
lines without aux fields.

Redis starts on a file that lost its tail, with epochs of zero, and may then vote twice in one epoch. Here a
file that cannot be what its writer left behind is a NodesConfError: the `vars` line and the line break at the
end of the file must be there, and no slot, node or name may contradict another.

Source: the CLUSTER NODES page; files of Redis 7.0.15 in tests/fixtures/nodes_conf.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from gossip.errors import NodesConfError
from gossip.member import Member
from gossip.messages import NodeFlag, NodeId
from gossip.slots import SLOT_COUNT, SlotSet
from gossip.state import ClusterState, is_node_id, random_node_id, slots_of

FLAG_NAMES = {
    NodeFlag.MYSELF: "myself",
    NodeFlag.PRIMARY: "master",
    NodeFlag.REPLICA: "slave",
    NodeFlag.PFAIL: "fail?",
    NodeFlag.FAIL: "fail",
    NodeFlag.HANDSHAKE: "handshake",
    NodeFlag.NOADDR: "noaddr",
    NodeFlag.NOFAILOVER: "nofailover",
}
_FLAGS_BY_NAME = {
    **{name: flag for flag, name in FLAG_NAMES.items()},
    "primary": NodeFlag.PRIMARY,
    "replica": NodeFlag.REPLICA,
    "noflags": NodeFlag(0),
}
_BUS_PORT_OFFSET = 10000
_FIXED_FIELDS = 8
_EPOCH_MAX = 2**64 - 1
_GIVEN = "shoal-given"
_EPOCHS = {"currentepoch": "currentEpoch", "lastvoteepoch": "lastVoteEpoch"}

_open_slot = re.compile(r"\[(\d{1,5})-([<>])-([^\]]*)\]").fullmatch
_slot_range = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?").fullmatch


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node as a line tells of it.

    `ping_sent_ms` is 0 when no ping is under way, `pong_received_ms` 0 when none came yet; `replica_of` is ""
    for a primary; `config_epoch` of a replica is its primary's. `migrating` and `importing` map slots to the
    other node, and stand only in the line of the writer itself. `plain_port` is the second port (0: none),
    and `tls_first` says whether that is the plain one.
    """

    node: NodeId
    flags: NodeFlag
    ip: str = ""
    port: int = 0
    bus_port: int = 0
    replica_of: NodeId = ""
    ping_sent_ms: int = 0
    pong_received_ms: int = 0
    config_epoch: int = 0
    connected: bool = False
    slots: SlotSet = field(default_factory=SlotSet)
    migrating: dict[int, NodeId] = field(default_factory=dict)
    importing: dict[int, NodeId] = field(default_factory=dict)
    hostname: str = ""
    shard_id: str = ""
    human_nodename: str = ""
    plain_port: int = 0
    tls_first: bool = False
    availability_zone: str = ""
    client_ipv4: str = ""
    client_ipv6: str = ""


@dataclass(frozen=True, slots=True)
class NodesConf:
    """What a nodes.conf holds; exactly one record has the MYSELF flag. For `given` see `gossip.state`."""

    records: tuple[NodeRecord, ...]
    current_epoch: int
    last_vote_epoch: int
    given: SlotSet = field(default_factory=SlotSet)

    @property
    def myself(self) -> NodeRecord:
        return next(record for record in self.records if record.flags & NodeFlag.MYSELF)


# --- writing -----------------------------------------------------------------------------------------------


def render(conf: NodesConf) -> bytes:
    """The file. Records in HANDSHAKE are left out, as their ids are not real ones yet."""
    lines = [node_line(record, aux=True) for record in conf.records if not record.flags & NodeFlag.HANDSHAKE]
    given = f" {_GIVEN} {','.join(str(conf.given).split())}" if conf.given else ""
    lines.append(f"vars currentEpoch {conf.current_epoch} lastVoteEpoch {conf.last_vote_epoch}{given}\n")
    return "\n".join(lines).encode("ascii")


def node_line(record: NodeRecord, *, aux: bool = False) -> str:
    """One line without its line break: of CLUSTER NODES, or with `aux` of nodes.conf."""
    address = f"{record.ip}:{record.port}@{record.bus_port}"
    if record.hostname or aux:
        address += f",{record.hostname}"
    if aux:
        address += "".join(f",{name}={value}" for name, value in _aux_fields(record))
    fields = [
        record.node,
        address,
        flag_names(record.flags),
        record.replica_of or "-",
        str(record.ping_sent_ms),
        str(record.pong_received_ms),
        str(record.config_epoch),
        "connected" if record.connected else "disconnected",
    ]
    if record.slots:
        fields.append(str(record.slots))
    if record.migrating or record.importing:
        fields += _open_slot_fields(record)
    return " ".join(fields)


@lru_cache(maxsize=4096)
def flag_names(flags: NodeFlag) -> str:
    """Flags as CLUSTER NODES shows them: `myself,master`, or `noflags`."""
    return ",".join(name for flag, name in FLAG_NAMES.items() if flags & flag) or "noflags"


def _aux_fields(record: NodeRecord) -> Iterable[tuple[str, str | int]]:
    """In the order of Redis, which leaves out empty texts but not a port of 0."""
    if record.availability_zone:
        yield "availability-zone", record.availability_zone
    if record.client_ipv6:
        yield "client-ipv6", record.client_ipv6
    if record.client_ipv4:
        yield "client-ipv4", record.client_ipv4
    yield "tcp-port" if record.tls_first else "tls-port", record.plain_port
    if record.human_nodename:
        yield "nodename", record.human_nodename
    if record.shard_id:
        yield "shard-id", record.shard_id


def _open_slot_fields(record: NodeRecord) -> list[str]:
    opened = [(slot, ">", node) for slot, node in record.migrating.items()]
    opened += [(slot, "<", node) for slot, node in record.importing.items()]
    return [f"[{slot}-{direction}-{node}]" for slot, direction, node in sorted(opened)]


# --- reading -----------------------------------------------------------------------------------------------


def parse(data: bytes) -> NodesConf:
    """The contents of a nodes.conf file, which may not be empty.

    Raises NodesConfError with the line and what is wrong there.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        line_number = data.count(b"\n", 0, error.start) + 1
        raise NodesConfError(line_number, f"byte {data[error.start]:#04x} is not ASCII") from None
    lines = text.split("\n")
    if lines[-1]:
        raise NodesConfError(len(lines), "the line does not end: the file was cut")
    epochs: dict[str, int] = {}
    given = SlotSet()
    records: dict[int, NodeRecord] = {}
    for number, line in enumerate(lines, 1):
        if line.lower().startswith("vars "):
            variables = _parse_vars(number, line)
            given |= _parse_slots(number, variables.pop(_GIVEN, "").replace(",", " ").split())[0]
            epochs |= {name: _parse_number(number, _EPOCHS[name], text) for name, text in variables.items()}
        elif line:
            record = parse_node_line(line, number)
            if not record.flags & NodeFlag.HANDSHAKE:
                records[number] = record
    for name in ("currentepoch", "lastvoteepoch"):
        if name not in epochs:
            raise NodesConfError(0, f"no vars line with {name}: the file was cut")
    _check_agreement(records)
    return NodesConf(tuple(records.values()), epochs["currentepoch"], epochs["lastvoteepoch"], given)


def parse_node_line(line: str, number: int = 0) -> NodeRecord:
    """One line of nodes.conf or CLUSTER NODES; `number` is for the error.

    Raises NodesConfError.
    """
    fields = line.split()
    if len(fields) < _FIXED_FIELDS:
        raise NodesConfError(number, f"{len(fields)} fields where at least {_FIXED_FIELDS} are due")
    node, address, flags, replica_of, ping_sent, pong_received, epoch, link = fields[:_FIXED_FIELDS]
    if link not in ("connected", "disconnected"):
        raise NodesConfError(number, f"link state {link!r} is neither connected nor disconnected")
    ip, port, bus_port, hostname, aux = _parse_address(number, address)
    slots, migrating, importing = _parse_slots(number, fields[_FIXED_FIELDS:])
    return NodeRecord(
        node=_parse_id(number, node),
        flags=_parse_flags(number, flags),
        ip=ip,
        port=port,
        bus_port=bus_port,
        replica_of="" if replica_of == "-" else _parse_id(number, replica_of),
        ping_sent_ms=_parse_number(number, "ping time", ping_sent),
        pong_received_ms=_parse_number(number, "pong time", pong_received),
        config_epoch=_parse_number(number, "config epoch", epoch),
        connected=link == "connected",
        slots=slots,
        migrating=migrating,
        importing=importing,
        hostname=hostname,
        shard_id=_parse_id(number, aux["shard-id"]) if "shard-id" in aux else "",
        human_nodename=aux.get("nodename", ""),
        plain_port=_parse_number(number, "port", aux.get("tls-port", aux.get("tcp-port", "0")), 65535),
        tls_first="tcp-port" in aux,
        availability_zone=aux.get("availability-zone", ""),
        client_ipv4=aux.get("client-ipv4", ""),
        client_ipv6=aux.get("client-ipv6", ""),
    )


def _parse_vars(number: int, line: str) -> dict[str, str]:
    """Those that are known here."""
    names_and_values = line.split()[1:]
    if len(names_and_values) % 2:
        raise NodesConfError(number, f"variable {names_and_values[-1]!r} has no value")
    pairs = zip(names_and_values[::2], names_and_values[1::2], strict=True)
    return {name.lower(): value for name, value in pairs if name.lower() in (*_EPOCHS, _GIVEN)}


def _parse_id(number: int, text: str) -> NodeId:
    if not is_node_id(text):
        raise NodesConfError(number, f"{text!r} is no node id")
    return text


def _parse_number(number: int, what: str, text: str, largest: int = _EPOCH_MAX) -> int:
    if not text.isdigit() or len(text) > 20 or int(text) > largest:
        raise NodesConfError(number, f"{what} {text!r} is no number from 0 to {largest}")
    return int(text)


def _parse_address(number: int, text: str) -> tuple[str, int, int, str, dict[str, str]]:
    """ip, port, bus port, hostname and aux fields."""
    address, *names = text.split(",")
    hostname = names[0] if names else ""
    aux: dict[str, str] = {}
    for pair in names[1:]:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise NodesConfError(number, f"aux field {pair!r} is not of the form name=value")
        aux[name] = value
    ip, colon, ports = address.rpartition(":")
    if not colon:
        raise NodesConfError(number, f"address {address!r} has no port")
    port_text, at, bus_port_text = ports.partition("@")
    port = _parse_number(number, "port", port_text, 65535)
    # Files from before Redis 4.0 have no bus port.
    bus_port = _parse_number(number, "bus port", bus_port_text, 65535) if at else port + _BUS_PORT_OFFSET
    return ip, port, bus_port, hostname, aux


def _parse_flags(number: int, text: str) -> NodeFlag:
    flags = NodeFlag(0)
    for name in text.split(","):
        flag = _FLAGS_BY_NAME.get(name.lower())
        if flag is None:
            raise NodesConfError(number, f"flag {name!r} is not known")
        flags |= flag
    return flags


def _check_role(number: int, record: NodeRecord) -> None:
    if record.flags & NodeFlag.REPLICA:
        if record.flags & NodeFlag.PRIMARY:
            raise NodesConfError(number, "the node is flagged both master and slave")
        if record.slots:
            raise NodesConfError(number, f"a replica cannot own slots {record.slots}")
        if record.replica_of == record.node:
            raise NodesConfError(number, "the node is its own replica")
    elif record.replica_of:
        raise NodesConfError(number, "the node replicates another but is not flagged slave")


def _parse_slots(number: int, fields: list[str]) -> tuple[SlotSet, dict[int, NodeId], dict[int, NodeId]]:
    """Slots served, slots on their way to other nodes, and slots on their way here."""
    ranges: list[tuple[int, int]] = []
    migrating: dict[int, NodeId] = {}
    importing: dict[int, NodeId] = {}
    for text in fields:
        if text.startswith("["):
            opened = _open_slot(text)
            if not opened or int(opened[1]) >= SLOT_COUNT:
                raise NodesConfError(number, f"{text!r} is no open slot")
            towards = migrating if opened[2] == ">" else importing
            towards[int(opened[1])] = _parse_id(number, opened[3])
        else:
            served = _slot_range(text)
            if not served:
                raise NodesConfError(number, f"{text!r} is no slot or range of slots")
            ranges.append((int(served[1]), int(served[2] or served[1])))
    try:
        slots = SlotSet.from_ranges(ranges)
    except ValueError as error:
        raise NodesConfError(number, str(error)) from None
    if len(slots) != sum(last - first + 1 for first, last in ranges):
        raise NodesConfError(number, "a slot stands there twice")
    return slots, migrating, importing


def _check_agreement(records: dict[int, NodeRecord]) -> None:
    """What no line shows alone: one myself, no node twice, no slot of two owners, no reference to nowhere."""
    lines_by_node: dict[NodeId, int] = {}
    owned = SlotSet()
    myself_line = 0
    for number, record in records.items():
        if record.node in lines_by_node:
            raise NodesConfError(number, f"node {record.node} is in line {lines_by_node[record.node]} too")
        lines_by_node[record.node] = number
        _check_role(number, record)
        if owned & record.slots:
            raise NodesConfError(number, f"slots {owned & record.slots} belong to an earlier line's node")
        owned |= record.slots
        if record.flags & NodeFlag.MYSELF:
            if myself_line:
                raise NodesConfError(number, f"line {myself_line} is flagged myself too")
            myself_line = number
    if not myself_line:
        raise NodesConfError(0, "no line is flagged myself")
    for number, record in records.items():
        for node in (record.replica_of, *record.migrating.values(), *record.importing.values()):
            if node and node not in lines_by_node:
                raise NodesConfError(number, f"names node {node}, which has no line")


# --- the state of a node -----------------------------------------------------------------------------------


def dump(state: ClusterState) -> bytes:
    """The nodes.conf that brings `state` back."""
    records = tuple(record_of(state, member) for member in state.members.values())
    return render(NodesConf(records, state.current_epoch, state.last_vote_epoch, state.given))


def record_of(state: ClusterState, member: Member) -> NodeRecord:
    """What a line of nodes.conf or CLUSTER NODES says of a member."""
    opened = state if member.myself else None
    return NodeRecord(
        node=member.node_id,
        flags=member.flags,
        ip=member.ip,
        port=member.port,
        bus_port=member.bus_port,
        replica_of=member.primary.node_id if member.primary else "",
        ping_sent_ms=member.ping_sent_ms,
        pong_received_ms=member.pong_received_ms,
        config_epoch=member.primary.config_epoch if member.primary else member.config_epoch,
        connected=member.myself or (member.link is not None and member.link.is_open),
        slots=member.slots,
        migrating={slot: peer.node_id for slot, peer in opened.migrating.items()} if opened else {},
        importing={slot: peer.node_id for slot, peer in opened.importing.items()} if opened else {},
        hostname=member.hostname,
        shard_id=member.shard_id,
        human_nodename=member.human_nodename,
        plain_port=member.plain_port,
        tls_first=state.tls_first,
        availability_zone=member.availability_zone,
        client_ipv4=member.client_ipv4,
        client_ipv6=member.client_ipv6,
    )


def load(data: bytes, now_ms: int, rng: Random) -> ClusterState:
    """The state a nodes.conf file describes. Raises NodesConfError.

    Times in the file are of another run, so that only "some" and "none" survive of them: what was some time
    ago is now. `rng` names the shards of a file from before there were shard ids. A replica is of its
    primary's shard, whatever its own line says.
    """
    conf = parse(data)
    members = {record.node: _member_of(record, now_ms) for record in conf.records}
    state = ClusterState(members[conf.myself.node])
    state.tls_first = conf.myself.tls_first
    for member in members.values():
        if not member.myself:
            state.add(member)
    for record in conf.records:
        member = members[record.node]
        state.assign(record.slots, member)
        if member.is_replica and record.replica_of:
            state.make_replica(member, members[record.replica_of])
    for member in members.values():
        if member.primary is None:
            state.set_shard(member, member.shard_id or random_node_id(rng))
    state.migrating = {slot: members[node] for slot, node in conf.myself.migrating.items()}
    state.importing = {slot: members[node] for slot, node in conf.myself.importing.items()}
    if state.me.is_primary:
        state.given = conf.given - state.me.slots - slots_of(state.importing)
    state.last_vote_epoch = conf.last_vote_epoch
    state.current_epoch = conf.current_epoch
    # An epoch behind a member's can only come of an edited file; it may not make us propose a used one.
    state.current_epoch = state.greatest_epoch()
    return state


def _member_of(record: NodeRecord, now_ms: int) -> Member:
    failed = bool(record.flags & NodeFlag.FAIL)
    return Member(
        node_id=record.node,
        ip=record.ip,
        port=record.port,
        bus_port=record.bus_port,
        plain_port=record.plain_port,
        hostname=record.hostname,
        human_nodename=record.human_nodename,
        shard_id=record.shard_id,
        availability_zone=record.availability_zone,
        client_ipv4=record.client_ipv4,
        client_ipv6=record.client_ipv6,
        created_ms=now_ms,
        is_primary=bool(record.flags & NodeFlag.PRIMARY),
        is_replica=bool(record.flags & NodeFlag.REPLICA),
        pfail=bool(record.flags & NodeFlag.PFAIL) and not failed,
        failed=failed,
        failed_ms=now_ms if failed else 0,
        no_address=bool(record.flags & NodeFlag.NOADDR),
        no_failover=bool(record.flags & NodeFlag.NOFAILOVER),
        config_epoch=0 if record.replica_of else record.config_epoch,
        ping_sent_ms=now_ms if record.ping_sent_ms else 0,
        pong_received_ms=now_ms if record.pong_received_ms else 0,
    )
