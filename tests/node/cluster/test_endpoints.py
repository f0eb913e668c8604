"""Which way to other nodes a client is told: cluster-preferred-endpoint-type, cluster-inside-networks, and
the addresses that nodes announce for clients."""

from __future__ import annotations

import pytest

from gossip.member import Member
from node.app import Node
from node.cluster.endpoints import Audience, audience
from node.config.config import Config
from node.config.file import Arguments, ConfigFileError, load

INSIDE = b"cluster-inside-networks 172.30.77.128/25 fd00::/8\n"
HOSTNAME = b"cluster-preferred-endpoint-type hostname\n"


def config(lines: bytes) -> Config:
    return load(Arguments(options=lines)).config


@pytest.fixture
def node(tmp_path) -> Node:
    """In cluster mode, behind addresses that are not its own."""
    announced = b"cluster-announce-ip 10.0.0.1\ncluster-announce-client-ipv4 203.0.113.5\n"
    return Node(config(b"cluster-enabled yes\ndir %b\n%b" % (bytes(tmp_path), announced)))


@pytest.mark.parametrize(
    "client",
    [b"172.30.77.131:50000", b"172.30.77.255:1", b"[fd00::7]:50000", b"[::ffff:172.30.77.200]:50000"],
)
def test_clients_inside_are_told_addresses(client: bytes) -> None:
    assert audience(config(HOSTNAME + INSIDE), client).kind == "ip"


@pytest.mark.parametrize(
    "client", [b"172.30.77.1:50000", b"127.0.0.1:50000", b"[2001:db8::1]:50000", b"/run/shoal.sock:0"]
)
def test_all_others_are_told_what_is_preferred(client: bytes) -> None:
    assert audience(config(HOSTNAME + INSIDE), client).kind == "hostname"
    assert audience(config(INSIDE), client).kind == "ip"


def test_without_networks_one_word_holds_for_all() -> None:
    assert audience(config(HOSTNAME), b"172.30.77.131:50000").kind == "hostname"
    assert audience(config(b"cluster-preferred-endpoint-type unknown-endpoint"), b"10.0.0.1:1").kind == (
        "unknown-endpoint"
    )


def test_hosts_by_kind() -> None:
    """A host name that is not known is a question mark, as redis-server tells it."""
    member = Member("a" * 40, "10.0.0.1", 7000, 17000, 0, created_ms=0)
    assert Audience("ip").host(member) == "10.0.0.1"
    assert Audience("hostname").host(member) == "?"
    assert Audience("unknown-endpoint").host(member) is None
    member.hostname = "node-1"
    assert Audience("hostname").host(member) == "node-1"


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (b"192.0.2.9:50000", "203.0.113.5"),
        (b"[2001:db8::9]:50000", "2001:db8::5"),
        (b"/run/shoal.sock:0", "203.0.113.5"),
        (b"172.30.77.131:50000", "172.30.77.129"),
        (b"[fd00::7]:50000", "172.30.77.129"),
    ],
)
def test_announced_addresses_are_for_the_clients_of_their_version_outside(client: bytes, told: str) -> None:
    member = Member("a" * 40, "172.30.77.129", client_ipv4="203.0.113.5", client_ipv6="2001:db8::5")
    assert audience(config(INSIDE), client).ip(member) == told
    assert audience(config(INSIDE), client).host(member) == told


def test_where_a_node_announces_no_address_for_clients_its_own_is_told() -> None:
    member = Member("a" * 40, "172.30.77.129", client_ipv4="203.0.113.5")
    assert audience(config(b""), b"[2001:db8::9]:50000").ip(member) == "172.30.77.129"


def test_every_reply_tells_the_announced_address(client) -> None:
    """Whatever a client asks for the map of the cluster with, it is told one address of a node."""
    client.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    [[_first, _last, [host, *_]]] = client.call("CLUSTER", "SLOTS")
    [[_slots, _ranges, _nodes, [facts]]] = client.call("CLUSTER", "SHARDS")
    told = dict(zip(facts[::2], facts[1::2], strict=True))
    assert host == told[b"ip"] == told[b"endpoint"] == b"203.0.113.5"
    assert client.call("CLUSTER", "NODES").split()[1] == b"203.0.113.5:6379@16379"
    assert client.node.cluster.core.state.me.ip == "10.0.0.1"


def test_a_network_that_is_none_stops_the_start() -> None:
    with pytest.raises(ConfigFileError, match="has host bits set"):
        config(b"cluster-inside-networks 172.30.77.131/25")


def test_networks_are_shown_as_they_were_given() -> None:
    assert config(INSIDE).get([b"cluster-inside-networks"])[0][1] == b"172.30.77.128/25 fd00::/8"


@pytest.mark.parametrize("tls_cluster", [b"no", b"yes"])
def test_clients_are_told_ports_of_their_kind(tls_cluster: bytes) -> None:
    """Whichever port the nodes themselves name first."""
    member = Member("a" * 40, port=7000, plain_port=7001)
    settings = config(b"tls-cluster " + tls_cluster)
    told = [audience(settings, b"10.0.0.1:1", over_tls=over_tls).port(member) for over_tls in (False, True)]
    assert told == ([7000, 7001] if tls_cluster == b"no" else [7001, 7000])
