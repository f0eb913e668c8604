"""What one node knows of another: a `Member`; and the bus connections between them: `Link`.

Between two nodes there are up to two links. The outbound one we open, and what we ask (PING, MEET, AUTH
REQUEST) goes out on it; its answers come back on it. The inbound one the peer opened, and we use it only to
answer. So each side measures the other by its own outbound link.

Roles. A member is a primary, a replica, or (in a handshake, or known by hearsay only) neither yet. `primary`
of a replica is None when it follows a node we do not know. A primary's `replicas` mirrors that relation;
`gossip.state.ClusterState` alone changes roles and slots, so that both ends always agree.

Health. `pfail` is our own suspicion, `failed` the verdict of a majority of primaries; never both at once.

All times are Unix milliseconds, 0 for "never" or "none".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from gossip.messages import NodeFlag, NodeId
from gossip.slots import SlotSet

LinkId = int
# Making a flag from bits is slow, and there is one in every gossip entry.
_node_flag = cache(NodeFlag)
NO_SLOTS = SlotSet()


@dataclass(eq=False, slots=True)
class Link:
    """One bus connection.

    `member` is None on an inbound link until its peer has named itself. `unanswered` counts PINGs and MEETs
    sent on an outbound link whose PONG is still due: a link keeps order, so this tells which PING a PONG
    answers.
    """

    id: LinkId
    inbound: bool
    created_ms: int
    member: Member | None = None
    peer_ip: str = ""
    local_ip: str = ""
    is_open: bool = False
    unanswered: int = 0


@dataclass(eq=False, slots=True)
class Member:
    """A node of the cluster as seen from here (`myself` for the one we are).

    `port` is the first port for clients and `plain_port` the second (0: none): see `gossip.settings`. While
    `handshake` holds, `node_id` is a random stand-in for the name the peer has not told us yet. `client_ipv4`
    and `client_ipv6` are what clients are told in place of `ip` ("" where nothing else is announced).
    """

    node_id: NodeId
    ip: str = ""
    port: int = 0
    bus_port: int = 0
    plain_port: int = 0
    hostname: str = ""
    human_nodename: str = ""
    shard_id: str = ""
    availability_zone: str = ""
    client_ipv4: str = ""
    client_ipv6: str = ""
    created_ms: int = 0

    myself: bool = False
    is_primary: bool = False
    is_replica: bool = False
    pfail: bool = False
    failed: bool = False
    handshake: bool = False
    no_address: bool = False
    wants_meet: bool = False
    migrate_to: bool = False
    no_failover: bool = False
    extensions: bool = False
    light_publish: bool = False  # it takes published messages without a full header

    primary: Member | None = field(default=None, repr=False)
    replicas: list[Member] = field(default_factory=list, repr=False)
    slots: SlotSet = NO_SLOTS
    config_epoch: int = 0

    ping_sent_ms: int = 0
    pong_received_ms: int = 0
    data_received_ms: int = 0
    failed_ms: int = 0
    refused_since_ms: int = 0
    reached: bool = False
    voted_ms: int = 0
    voted_for: NodeId = ""
    orphaned_ms: int = 0
    offset: int = 0
    offset_ms: int = 0
    silent_pongs: int = 0
    failure_reports: dict[NodeId, int] = field(default_factory=dict, repr=False)

    link: Link | None = field(default=None, repr=False)
    inbound_link: Link | None = field(default=None, repr=False)

    @property
    def unreachable(self) -> bool:
        """Suspected by us or declared failed by the majority."""
        return self.pfail or self.failed

    @property
    def votes(self) -> bool:
        """Only a primary that serves slots counts in a majority."""
        return self.is_primary and bool(self.slots)

    @property
    def flags(self) -> NodeFlag:
        """The member's role and health as they stand on the wire."""
        bits = (
            (self.is_primary and 1)
            | (self.is_replica and 2)
            | (self.pfail and 4)
            | (self.failed and 8)
            | (self.myself and 16)
            | (self.handshake and 32)
            | (self.no_address and 64)
            | (self.wants_meet and 128)
            | (self.migrate_to and 256)
            | (self.no_failover and 512)
            | (self.extensions and 1024)
        )
        return _node_flag(bits)

    def port_of(self, *, second: bool) -> int:
        """The port for clients of one kind; the other one where none of that kind is known."""
        return self.plain_port if second and self.plain_port else self.port

    @property
    def understands_shards(self) -> bool:
        """Whether extensions newer than the host name may be sent to it.

        Redis 7.0 warns in its log of each extension it does not know. A peer of 7.2 or later answers our
        PINGs with its shard id; one that stays silent about it three times over is taken for an older one.
        """
        return self.extensions and self.silent_pongs < 3

    @property
    def label(self) -> str:
        """Id and human name as log lines show them."""
        return f"{self.node_id} ({self.human_nodename})"
