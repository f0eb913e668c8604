"""What an operator may set, and what the core asks of the node it lives in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Settings:
    """The core's configuration; assign a changed copy to `Core.settings` at run time.

    Named after the directives `cluster-*`, `repl-ping-replica-period` and `port`. `announce_*` of 0 or ""
    means: announce the real thing, and let peers take the address they see us at. The last three have no
    directive in Redis: how long a forgotten node is kept out, and whether and how soon refused connections
    make a node suspect (`gossip.detector`).

    A node may have two ports for clients, one of them over TLS. `port` is the one that nodes name first,
    `plain_port` the second (0: none); `tls_first` says which is which, and must be the same in all nodes.
    Replicas follow the second one with `replicates_by_second_port`.
    """

    node_timeout_ms: int = 15_000
    ping_interval_ms: int = 0
    migration_barrier: int = 1
    allow_replica_migration: bool = True
    require_full_coverage: bool = True
    replica_validity_factor: int = 10
    replica_no_failover: bool = False
    repl_ping_period_ms: int = 10_000

    port: int = 6379
    plain_port: int = 0
    tls_first: bool = False
    replicates_by_second_port: bool = False
    bus_port: int = 16379
    announce_ip: str = ""
    announce_port: int = 0
    announce_plain_port: int = 0
    announce_bus_port: int = 0
    announce_hostname: str = ""
    announce_human_nodename: str = ""
    announce_client_ipv4: str = ""
    announce_client_ipv6: str = ""

    forget_ttl_ms: int = 60_000
    refusals_are_evidence: bool = True
    refusal_window_ms: int = 100

    def replace(self, **changes: int | str | bool) -> Settings:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def client_port(self) -> int:
        return self.announce_port or self.port

    @property
    def client_plain_port(self) -> int:
        return self.announce_plain_port or self.plain_port

    @property
    def peer_bus_port(self) -> int:
        return self.announce_bus_port or self.bus_port

    @property
    def handshake_timeout_ms(self) -> int:
        return max(self.node_timeout_ms, 1_000)

    @property
    def heartbeat_ms(self) -> int:
        """A member not heard from for longer is pinged."""
        return self.ping_interval_ms or self.node_timeout_ms // 2

    @property
    def rejoin_delay_ms(self) -> int:
        """How long a primary back from a minority keeps refusing, so that it hears of a fail-over."""
        return min(max(self.node_timeout_ms, 500), 5_000)


class Host(Protocol):
    """What the core must know of the data beside it; every answer is immediate."""

    def offset(self) -> int:
        """The replication offset: produced, on a primary; processed, on a replica."""

    def data_age_ms(self, now_ms: int) -> int | None:
        """On a replica, since when it has heard nothing of its primary; None: it never had its data."""

    def has_keys(self) -> bool:
        """Whether database 0 holds any key."""

    def count_keys_in_slot(self, slot: int) -> int:
        """How many keys of the slot are here."""

    def replicas_in_step(self) -> int:
        """On a primary, how many replicas have said that their data are ours."""
