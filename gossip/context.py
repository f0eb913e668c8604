"""What all parts of the core share: the state, the time, and what has been decided so far.

An input of the core sets `now_ms`, and its parts then change the state and note what shall follow from that:
effects, a save, a new look at the cluster's state. Nothing is carried out meanwhile; `take` hands the batch
over, in the order `gossip.effects` promises.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from gossip.effects import Effect, Local, Log, LogLevel, Network, Persist, RoutesChanged
from gossip.member import Link, LinkId, Member
from gossip.messages import MessageType, NodeId
from gossip.settings import Host, Settings
from gossip.state import ClusterState
from gossip.timers import Timers


class Duty(Enum):
    """What the core has to do at times of its own, beside looking at single members."""

    ALIVE = "alive"  # notice a gap in our own time
    RANDOM_PING = "random ping"
    HEALTH = "health"
    QUORUM = "quorum"
    CONFIRM = "confirm"
    ELECTION = "election"
    MANUAL_FAILOVER = "manual failover"
    REPLICA_MIGRATION = "replica migration"


@dataclass(slots=True)
class ManualFailoverState:
    """A manual fail-over in progress; see `gossip.failover`.

    `paused` and `replica` are set on the primary that holds writes back, `primary_offset` on the replica once
    it knows what to catch up with, `asked_ms` when it last sent MFSTART; `may_ask`: the replica may ask for
    votes although its primary is well.
    """

    end_ms: int = 0
    paused: bool = False
    replica: Member | None = None
    primary_offset: int | None = None
    may_ask: bool = False
    asked_ms: int = 0

    @property
    def active(self) -> bool:
        return self.end_ms != 0


@dataclass(slots=True)
class Context:
    state: ClusterState
    settings: Settings
    host: Host
    rng: Random
    now_ms: int
    ok: bool = False
    manual: ManualFailoverState = field(default_factory=ManualFailoverState)
    timers: Timers[Member | Duty] = field(default_factory=Timers)
    links: dict[LinkId, Link] = field(default_factory=dict)
    suspected: dict[NodeId, Member] = field(default_factory=dict)
    sent: Counter[MessageType] = field(default_factory=Counter)
    received: Counter[MessageType] = field(default_factory=Counter)
    local: list[Local] = field(default_factory=list)
    network: list[Network] = field(default_factory=list)
    routes_changed: bool = False
    save_wanted: bool = False
    fsync_wanted: bool = False
    recheck_wanted: bool = True
    epoch_held: bool = (
        False  # our stamp stays: slots of ours may have another owner by now, with one above it
    )

    @property
    def me(self) -> Member:
        return self.state.me

    def save(self, *, fsync: bool = False) -> None:
        self.save_wanted = True
        self.fsync_wanted |= fsync

    def recheck(self) -> None:
        """Routes and the cluster's state may have changed."""
        self.recheck_wanted = True
        self.routes_changed = True

    def log(self, level: LogLevel, text: str) -> None:
        self.local.append(Log(level, text))

    def take(self) -> list[Effect]:
        batch: list[Effect] = [*self.local]
        if self.routes_changed:
            batch.append(RoutesChanged())
        if self.save_wanted:
            batch.append(Persist(self.fsync_wanted))
        batch += self.network
        self.local, self.network = [], []
        self.routes_changed = self.save_wanted = self.fsync_wanted = False
        return batch
