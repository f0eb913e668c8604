"""How a client is told to find other nodes: by address, by host name, or on the host it used already.

cluster-preferred-endpoint-type decides, one word for all clients. Where an address is told, it is the one the
node announces for clients of that IP version (cluster-announce-client-ipv4, -ipv6), else the one the nodes
themselves use. That is not enough where nodes are reached by two ways: in a container network by their
addresses there, from outside by published ports under another name. So clients of the networks in
cluster-inside-networks are told the addresses the nodes themselves use, whatever others are told.

A client that came by TLS is told TLS ports, any other plain ones.

Source: redis.conf on cluster-preferred-endpoint-type, valkey.conf on cluster-announce-client-ipv4; the last
directive is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from gossip.member import Member
from node.config.config import Config
from node.config.special import Network
from node.config.table import CLUSTER_INSIDE_NETWORKS, CLUSTER_PREFERRED_ENDPOINT_TYPE, TLS_CLUSTER

BY_ADDRESS = "ip"


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom we tell: `kind` is `ip`, `hostname` or `unknown-endpoint`; `inside` are clients in the nodes' own
    network, `over_ipv6` those that came by IPv6, and `by_second_port` those that came by TLS where nodes name
    their plain ports first, or the other way round.
    """

    kind: str
    inside: bool = False
    over_ipv6: bool = False
    by_second_port: bool = False

    def host(self, member: Member) -> str | None:
        """The host; "?" for a host name that is not known, None for the host that the client used already."""
        if self.kind == "hostname":
            return member.hostname or "?"
        return self.ip(member) if self.kind == BY_ADDRESS else None

    def port(self, member: Member) -> int:
        """The port of the client's kind."""
        return member.port_of(second=self.by_second_port)

    def ip(self, member: Member) -> str:
        """The address."""
        if self.inside:
            return member.ip
        return (member.client_ipv6 if self.over_ipv6 else member.client_ipv4) or member.ip


def audience(config: Config, client_address: bytes, *, over_tls: bool = False) -> Audience:
    """What a client at `host:port` (`[v6]:port`) is told by."""
    networks, second = config[CLUSTER_INSIDE_NETWORKS], over_tls != config[TLS_CLUSTER]
    if networks and _is_in(networks, client_address):
        return Audience(BY_ADDRESS, inside=True, by_second_port=second)
    kind = config[CLUSTER_PREFERRED_ENDPOINT_TYPE]
    return Audience(kind, over_ipv6=client_address.startswith(b"["), by_second_port=second)


def _is_in(networks: tuple[Network, ...], client_address: bytes) -> bool:
    host = client_address.decode(errors="replace").rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:  # a client of a unix socket
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
