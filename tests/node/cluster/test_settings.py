"""Directives as the gossip core gets them."""

from __future__ import annotations

import pytest

from node.app import Node
from node.cluster.settings import bus_port, core_settings
from node.config.config import Config
from node.config.file import Arguments, load


def started(options: bytes) -> Config:
    return load(Arguments(options=options)).config


@pytest.fixture
def node(tmp_path) -> Node:
    return Node(started(b"cluster-enabled yes\nport 7000\ndir %b\n" % bytes(tmp_path)))


def test_the_bus_stays_where_it_listens_when_the_port_for_clients_changes(node, client):
    """CONFIG SET port opens no other bus, so none may be announced."""
    assert (node.cluster.core.state.me.port, node.cluster.core.state.me.bus_port) == (7000, 17000)
    client.call("CONFIG", "SET", "port", "0")
    assert node.cluster.core.settings.port == 0
    assert node.cluster.core.settings.bus_port == 17000


def test_config_set_reaches_the_core(node, client):
    client.call(
        "CONFIG", "SET", "cluster-node-timeout", "1234", "cluster-announce-client-ipv6", "2001:db8::5"
    )
    assert node.cluster.core.settings.node_timeout_ms == 1234
    assert node.cluster.core.state.me.client_ipv6 == "2001:db8::5"


PORTS = (
    b"cluster-enabled yes\nport 7000\ntls-port 7100\ncluster-announce-port 1\ncluster-announce-tls-port 2\n"
)


def settings(more: bytes) -> tuple[int, int, int, bool, bool]:
    config = started(PORTS + more)
    made = core_settings(config, bus_port(config))
    return (
        made.client_port,
        made.client_plain_port,
        made.bus_port,
        made.tls_first,
        made.replicates_by_second_port,
    )


def test_tls_cluster_decides_which_port_is_first():
    """So in Redis 7.2, whose header has a port and a second one."""
    assert settings(b"") == (1, 2, 17000, False, False)
    assert settings(b"tls-cluster yes\n") == (2, 1, 17100, True, True)
    assert settings(b"tls-cluster yes\ntls-replication yes\n") == (2, 1, 17100, True, False)
    assert settings(b"tls-replication yes\n") == (1, 2, 17000, False, True)


def test_a_tls_port_is_told_at_once(node, client):
    client.call("CONFIG", "SET", "cluster-announce-tls-port", "7443")
    me = node.cluster.core.state.me
    assert (me.port, me.plain_port) == (7000, 7443)
