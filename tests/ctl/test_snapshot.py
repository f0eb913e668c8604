"""ctl.snapshot: parsing what nodes say, and one list of members from many views."""

from __future__ import annotations

from typing import Any

import pytest

from ctl.snapshot import Address, parse_cluster_nodes, parse_info

REPLICA, SECOND, FIRST, LOST, SIXTH = (name * 40 for name in "12345")
CLUSTER_NODES = f"""\
{REPLICA} 127.0.0.1:30004@31004,host-4 slave {FIRST} 0 1426238317239 4 connected
{SECOND} 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922 [77->-{FIRST}]
{FIRST} :30001@31001 myself,master - 0 0 1 connected 0-5459 5460 [78-<-{SECOND}]
{LOST} :0@0 master,fail,noaddr - 1426238316000 1426238310000 5 disconnected
{SIXTH} fd00::7:30006@31006 master,fail? - 0 0 6 connected 10923-16383
"""


def test_cluster_nodes_lines_are_parsed() -> None:
    replica, moving, me, lost, six = parse_cluster_nodes(CLUSTER_NODES)
    assert replica.address == Address("127.0.0.1", 30004)
    assert (replica.bus_port, replica.hostname) == (31004, "host-4")
    assert replica.primary_id == me.node_id
    assert not replica.is_primary
    assert moving.is_primary
    assert moving.migrating == {77: me.node_id}
    assert moving.slots.ranges() == [(5461, 10922)]
    assert me.importing == {78: moving.node_id}
    assert me.slots.ranges() == [(0, 5460)]
    assert me.address is None  # it has not been told its own address yet
    assert (lost.failed, lost.address, lost.link_up) == (True, None, False)
    assert (six.suspected, six.failed) == (True, False)
    assert six.address == Address("fd00::7", 30006)


@pytest.mark.parametrize("text", ["OK", "abc 127.0.0.1:1 master", "x 1.1.1.1:1@2 master - a b c connected"])
def test_text_that_is_not_cluster_nodes_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cluster_nodes(text)


def test_info_fields() -> None:
    text = "# Replication\r\nrole:slave\r\n\r\nslave0:ip=1.1.1.1,port=1\r\n"
    assert parse_info(text) == {"role": "slave", "slave0": "ip=1.1.1.1,port=1"}


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("a.example:7000", "a.example", 7000),
        ("[fd00::1]:7000", "fd00::1", 7000),
        ("fd00::1:7000", "fd00::1", 7000),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", "7000", ":7000", "host:", "host:x", "host:0", "host:65536"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)


def test_members_come_in_slot_order_with_replicas_below(clusters: Any) -> None:
    specs = clusters.three_shards()
    snapshot = clusters.build(*reversed(specs))
    assert [member.host[-1] for member in snapshot.members] == ["1", "4", "2", "5", "3", "6"]


def test_a_nodes_word_about_itself_counts_first(clusters: Any) -> None:
    specs = clusters.three_shards()
    edit = {("b", "a"): {"slots": clusters.slots("0-1"), "config_epoch": 99}}
    snapshot = clusters.build(*specs, edit=edit)
    assert snapshot.member(clusters.node_id("a")).line.slots.ranges() == [(0, 5460)]


def test_of_a_silent_node_the_newest_epoch_counts(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[0].answers = False
    edit = {("c", "a"): {"slots": clusters.slots("0-1"), "config_epoch": 99}}
    member = clusters.build(*specs, edit=edit).member(clusters.node_id("a"))
    assert member.line.slots.ranges() == [(0, 1)]
    assert (member.reachable, member.reason) == (False, "connection refused")


def test_find_by_address_port_id_and_its_beginning(clusters: Any) -> None:
    snapshot = clusters.build(*clusters.three_shards())
    wanted = snapshot.member(clusters.node_id("b"))
    for text in ("10.0.0.2:7001", "7001", wanted.node_id, wanted.node_id[:4]):
        assert snapshot.find(text) == [wanted]
    assert snapshot.find(wanted.node_id[:3]) == []  # too short to mean one


def test_uncovered_slots(clusters: Any) -> None:
    specs = clusters.three_shards()
    specs[1].slots = "5461-10000"
    assert clusters.build(*specs).uncovered.ranges() == [(10001, 10922)]
