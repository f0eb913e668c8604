"""What the core wants done: the values `Core.drain()` returns, to be carried out in order.

A batch is ordered so that its parts are safe to interrupt anywhere:

    1. local     Log, FollowPrimary, BecomePrimary, SlotsLost, PauseWrites, ResumeWrites, FlushAll, Deliver
    2. routing   RoutesChanged (at most one)
    3. disk      Persist (at most one)
    4. network   OpenLink, CloseLink, Send

Local effects come first and need no waiting: what they refuse is refused before anything else happens, and
what they permit depends on no other node. Persist stands before the network: a vote or a claim is never sent
before it would survive a crash. One message object sent on many links is the same object in each Send, so
that it need be encoded only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gossip.member import LinkId
from gossip.messages import Message, NodeId
from gossip.slots import SlotSet


class LogLevel(Enum):
    DEBUG = "debug"
    VERBOSE = "verbose"
    NOTICE = "notice"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Persist:
    """Write nodes.conf of the core's state atomically; done before any later effect.

    With `fsync`, a crash of the machine must not undo it.
    """

    fsync: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Queue a message on a link that is open."""

    link: LinkId
    message: Message


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Connect to a bus port; report `link_opened` or `link_failed`. `node_id` is for the log."""

    link: LinkId
    node_id: NodeId
    ip: str
    bus_port: int


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close a link or stop connecting; the core has forgotten it and wants no report of its end."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class FollowPrimary:
    """We are a replica of this node now, or still are and its address has moved: replicate from it."""

    node_id: NodeId
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BecomePrimary:
    """We are a primary now: stop replicating, keep the data."""


@dataclass(frozen=True, slots=True)
class RoutesChanged:
    """Slot owners, roles, health or the cluster's state changed: build routing anew from the core's state."""


@dataclass(frozen=True, slots=True)
class SlotsLost:
    """Other nodes took these slots with a higher epoch: keys in them are no longer ours, delete them."""

    slots: SlotSet


@dataclass(frozen=True, slots=True)
class PauseWrites:
    """A replica of ours takes over by agreement: hold clients' writes back until then, or `ResumeWrites`."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class ResumeWrites:
    """The manual fail-over is over, one way or the other."""


@dataclass(frozen=True, slots=True)
class FlushAll:
    """CLUSTER RESET of a replica: its data belonged to its primary, empty the database."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message published on another node, for our subscribers."""

    channel: bytes
    payload: bytes
    sharded: bool


@dataclass(frozen=True, slots=True)
class Log:
    level: LogLevel
    text: str


Local = Log | FollowPrimary | BecomePrimary | SlotsLost | PauseWrites | ResumeWrites | FlushAll | Deliver
Network = OpenLink | CloseLink | Send
Effect = Local | RoutesChanged | Persist | Network
