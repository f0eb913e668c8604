"""Which way to other nodes a client is told: cluster-preferred-endpoint-type and cluster-inside-networks."""

from __future__ import annotations

import pytest

from gossip.member import Member
from node.cluster.endpoints import endpoint_host, endpoint_kind
from node.config.config import Config
from node.config.file import Arguments, ConfigFileError, load

INSIDE = b"cluster-inside-networks 172.30.77.128/25 fd00::/8\n"
HOSTNAME = b"cluster-preferred-endpoint-type hostname\n"


def config(lines: bytes) -> Config:
    return load(Arguments(options=lines)).config


@pytest.mark.parametrize(
    "client",
    [b"172.30.77.131:50000", b"172.30.77.255:1", b"[fd00::7]:50000", b"[::ffff:172.30.77.200]:50000"],
)
def test_clients_inside_are_told_addresses(client: bytes) -> None:
    assert endpoint_kind(config(HOSTNAME + INSIDE), client) == "ip"


@pytest.mark.parametrize(
    "client", [b"172.30.77.1:50000", b"127.0.0.1:50000", b"[2001:db8::1]:50000", b"/run/shoal.sock:0"]
)
def test_all_others_are_told_what_is_preferred(client: bytes) -> None:
    assert endpoint_kind(config(HOSTNAME + INSIDE), client) == "hostname"
    assert endpoint_kind(config(INSIDE), client) == "ip"


def test_without_networks_one_word_holds_for_all() -> None:
    assert endpoint_kind(config(HOSTNAME), b"172.30.77.131:50000") == "hostname"
    assert endpoint_kind(config(b"cluster-preferred-endpoint-type unknown-endpoint"), b"10.0.0.1:1") == (
        "unknown-endpoint"
    )


def test_hosts_by_kind() -> None:
    """A host name that is not known is a question mark, as redis-server tells it."""
    member = Member("a" * 40, "10.0.0.1", 7000, 17000, 0, created_ms=0)
    assert endpoint_host(member, "ip") == "10.0.0.1"
    assert endpoint_host(member, "hostname") == "?"
    assert endpoint_host(member, "unknown-endpoint") is None
    member.hostname = "node-1"
    assert endpoint_host(member, "hostname") == "node-1"


def test_a_network_that_is_none_stops_the_start() -> None:
    with pytest.raises(ConfigFileError, match="has host bits set"):
        config(b"cluster-inside-networks 172.30.77.131/25")


def test_networks_are_shown_as_they_were_given() -> None:
    assert config(INSIDE).get([b"cluster-inside-networks"])[0][1] == b"172.30.77.128/25 fd00::/8"
