"""How a client is told to find other nodes: by address, by host name, or on the host it used already.

cluster-preferred-endpoint-type decides, one word for all clients. That is not enough where nodes are reached
by two ways: in a container network by their addresses there, from outside by published ports under another
name. So clients of the networks in cluster-inside-networks are told addresses, whatever others are told.

Source: redis.conf on cluster-preferred-endpoint-type; the second directive is our own.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from gossip.member import Member
from node.config.config import Config
from node.config.special import Network
from node.config.table import CLUSTER_INSIDE_NETWORKS, CLUSTER_PREFERRED_ENDPOINT_TYPE

BY_ADDRESS = "ip"


def endpoint_kind(config: Config, client_address: bytes) -> str:
    """`ip`, `hostname` or `unknown-endpoint`, for a client at `host:port` (`[v6]:port`)."""
    kind = config[CLUSTER_PREFERRED_ENDPOINT_TYPE]
    networks = config[CLUSTER_INSIDE_NETWORKS]
    return BY_ADDRESS if networks and _is_in(networks, client_address) else kind


def endpoint_host(member: Member, kind: str) -> str | None:
    """The host; "?" for a host name that is not known, None for the host that the client used already."""
    if kind == "hostname":
        return member.hostname or "?"
    return member.ip if kind == BY_ADDRESS else None


def _is_in(networks: tuple[Network, ...], client_address: bytes) -> bool:
    host = client_address.decode(errors="replace").rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:  # a client of a unix socket
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
