"""What nodes say to each other on the cluster bus, as plain values.

Every message carries a `Header` (who speaks, its epochs, its slots) and a body. The byte layout is not known
here; `gossip.wire` alone turns a `Message` into a frame and back. Node ids are 40-character lower-case hex
strings, epochs and offsets unsigned 64-bit integers, times on the wire whole seconds.

Source: the Redis cluster specification, "Cluster bus" and "Nodes handshake".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from gossip.slots import SlotSet

NodeId = str


class MessageType(IntEnum):
    """The type field of a frame's header."""

    PING = 0
    PONG = 1
    MEET = 2
    FAIL = 3
    PUBLISH = 4
    FAILOVER_AUTH_REQUEST = 5
    FAILOVER_AUTH_ACK = 6
    UPDATE = 7
    MFSTART = 8
    MODULE = 9
    PUBLISHSHARD = 10


class NodeFlag(IntFlag):
    """A node's role and health as they travel in headers and gossip entries, and stand in nodes.conf."""

    PRIMARY = 1
    REPLICA = 2
    PFAIL = 4
    FAIL = 8
    MYSELF = 16
    HANDSHAKE = 32
    NOADDR = 64
    MEET = 128
    MIGRATE_TO = 256
    NOFAILOVER = 512
    EXTENSIONS_SUPPORTED = 1024
    LIGHT_PUBLISH_SUPPORTED = 2048
    LIGHT_MODULE_SUPPORTED = 4096


class MessageFlag(IntFlag):
    """The first byte of the header's message flags."""

    PAUSED = 1  # the sender, a primary, holds its writes back for a manual fail-over
    FORCE_ACK = 2  # vote although the primary is not in FAIL (manual fail-over)
    EXT_DATA = 4  # extensions follow the gossip section


NO_FLAGS = MessageFlag(0)


@dataclass(frozen=True, slots=True)
class Header:
    """What every frame says of its sender.

    `replica_of` is "" for a primary; `ip` is "" when the receiver shall take the address it sees;
    `state_ok` is the sender's cluster_state; `slots` are those of the sender's shard (a replica repeats
    its primary's), and `config_epoch` likewise.
    """

    sender: NodeId
    flags: NodeFlag
    current_epoch: int
    config_epoch: int
    offset: int
    slots: SlotSet
    replica_of: NodeId = ""
    ip: str = ""
    port: int = 0
    bus_port: int = 0
    plain_port: int = 0
    state_ok: bool = True
    message_flags: MessageFlag = NO_FLAGS


@dataclass(frozen=True, slots=True)
class GossipEntry:
    """What the sender knows of one other node; times are Unix seconds, 0 when there is none."""

    node: NodeId
    ping_sent_s: int
    pong_received_s: int
    ip: str
    port: int
    bus_port: int
    flags: NodeFlag
    plain_port: int = 0


@dataclass(frozen=True, slots=True)
class ForgottenNode:
    """A node its sender was told to forget, and for how many seconds more."""

    node: NodeId
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Extensions:
    """Optional facts behind the gossip section; None means the sender did not say.

    `unknown` keeps (type, payload) pairs of extensions this version does not know, for the log.
    """

    hostname: str | None = None
    human_nodename: str | None = None
    shard_id: str | None = None
    forgotten: tuple[ForgottenNode, ...] = ()
    availability_zone: str | None = None
    client_ipv4: str | None = None
    client_ipv6: str | None = None
    unknown: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """PING, PONG or MEET: a heartbeat with gossip about some other nodes."""

    header: Header
    type: MessageType
    gossip: tuple[GossipEntry, ...] = ()
    extensions: Extensions = field(default_factory=Extensions)


@dataclass(frozen=True, slots=True)
class Fail:
    """A majority of primaries cannot reach `node`."""

    header: Header
    node: NodeId


@dataclass(frozen=True, slots=True)
class Update:
    """Your picture of `node` is out of date: it owns `slots` since `config_epoch`."""

    header: Header
    node: NodeId
    config_epoch: int
    slots: SlotSet


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """A replica asks every primary for its vote in `header.current_epoch`."""

    header: Header


@dataclass(frozen=True, slots=True)
class AuthAck:
    """The sender's vote in `header.current_epoch`."""

    header: Header


@dataclass(frozen=True, slots=True)
class ManualFailoverStart:
    """A replica asks its primary to hold writes back so that it can take over without loss."""

    header: Header


@dataclass(frozen=True, slots=True)
class Publish:
    """A pub/sub message for the clients of every node (`sharded`: of the channel's shard only).

    `header` is None when it came as Valkey's light message, which names no sender.
    """

    header: Header | None
    channel: bytes
    payload: bytes
    sharded: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """A module's message; carried but not interpreted."""

    header: Header | None
    module_id: int
    type: int
    payload: bytes


Message = Ping | Fail | Update | AuthRequest | AuthAck | ManualFailoverStart | Publish | Module
