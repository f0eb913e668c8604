"""Directives of the configuration → the settings of the gossip core, kept in step with CONFIG SET."""

from __future__ import annotations

from gossip.settings import Settings
from node.config import table as directives
from node.config.config import Config

FOLLOWED = (
    directives.CLUSTER_NODE_TIMEOUT,
    directives.CLUSTER_PING_INTERVAL,
    directives.CLUSTER_MIGRATION_BARRIER,
    directives.CLUSTER_ALLOW_REPLICA_MIGRATION,
    directives.CLUSTER_REQUIRE_FULL_COVERAGE,
    directives.CLUSTER_REPLICA_VALIDITY_FACTOR,
    directives.CLUSTER_REPLICA_NO_FAILOVER,
    directives.CLUSTER_BLACKLIST_TTL,
    directives.REPL_PING_REPLICA_PERIOD,
    directives.PORT,
    directives.TLS_PORT,
    directives.TLS_CLUSTER,
    directives.TLS_REPLICATION,
    directives.CLUSTER_ANNOUNCE_TLS_PORT,
    directives.CLUSTER_ANNOUNCE_IP,
    directives.CLUSTER_ANNOUNCE_PORT,
    directives.CLUSTER_ANNOUNCE_BUS_PORT,
    directives.CLUSTER_ANNOUNCE_HOSTNAME,
    directives.CLUSTER_ANNOUNCE_HUMAN_NODENAME,
    directives.CLUSTER_ANNOUNCE_CLIENT_IPV4,
    directives.CLUSTER_ANNOUNCE_CLIENT_IPV6,
)
"""What changes the core's settings when it changes."""


def bus_port(config: Config) -> int:
    """The port the bus listens on from the start of the node: CONFIG SET port leaves it alone."""
    first = directives.TLS_PORT if config[directives.TLS_CLUSTER] else directives.PORT
    return config[directives.CLUSTER_PORT] or config[first] + directives.BUS_PORT_OFFSET


def core_settings(config: Config, bus_port: int) -> Settings:
    """The core's settings as the directives have them now."""
    tls_first = config[directives.TLS_CLUSTER]
    plain = config[directives.PORT], config[directives.CLUSTER_ANNOUNCE_PORT]
    tls = config[directives.TLS_PORT], config[directives.CLUSTER_ANNOUNCE_TLS_PORT]
    first, second = (tls, plain) if tls_first else (plain, tls)
    return Settings(
        node_timeout_ms=config[directives.CLUSTER_NODE_TIMEOUT],
        ping_interval_ms=config[directives.CLUSTER_PING_INTERVAL],
        migration_barrier=config[directives.CLUSTER_MIGRATION_BARRIER],
        allow_replica_migration=config[directives.CLUSTER_ALLOW_REPLICA_MIGRATION],
        require_full_coverage=config[directives.CLUSTER_REQUIRE_FULL_COVERAGE],
        replica_validity_factor=config[directives.CLUSTER_REPLICA_VALIDITY_FACTOR],
        replica_no_failover=config[directives.CLUSTER_REPLICA_NO_FAILOVER],
        repl_ping_period_ms=config[directives.REPL_PING_REPLICA_PERIOD] * 1000,
        port=first[0],
        plain_port=second[0],
        tls_first=tls_first,
        replicates_by_second_port=config[directives.TLS_REPLICATION] != tls_first,
        bus_port=bus_port,
        announce_ip=config[directives.CLUSTER_ANNOUNCE_IP] or "",
        announce_port=first[1],
        announce_plain_port=second[1],
        announce_bus_port=config[directives.CLUSTER_ANNOUNCE_BUS_PORT],
        announce_hostname=config[directives.CLUSTER_ANNOUNCE_HOSTNAME] or "",
        announce_human_nodename=config[directives.CLUSTER_ANNOUNCE_HUMAN_NODENAME] or "",
        announce_client_ipv4=config[directives.CLUSTER_ANNOUNCE_CLIENT_IPV4],
        announce_client_ipv6=config[directives.CLUSTER_ANNOUNCE_CLIENT_IPV6],
        forget_ttl_ms=config[directives.CLUSTER_BLACKLIST_TTL] * 1000,
    )
