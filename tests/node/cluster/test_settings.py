"""Directives as the gossip core gets them."""

from __future__ import annotations

import pytest

from node.app import Node
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
