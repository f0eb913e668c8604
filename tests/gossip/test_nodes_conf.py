"""nodes.conf: files of real servers are read and written back; what no server leaves behind is refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.errors import NodesConfError
from gossip.member import Member
from gossip.messages import NodeFlag
from gossip.nodes_conf import NodeRecord, dump, flag_names, load, node_line, parse, parse_node_line, record_of
from gossip.slots import SlotSet
from gossip.state import ClusterState

FILES = Path(__file__).parent.parent / "fixtures" / "nodes_conf"
REDIS_70 = sorted(FILES.glob("redis-7.0.15-*.conf"))
NOW_MS = 1_700_000_000_000
A, B, C = ("a" * 40), ("b" * 40), ("c" * 40)
SHARD = "5" * 40
MYSELF = f"{A} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-99"
PRIMARY = f"{B} 127.0.0.1:7001@17001 master - 0 0 2 connected 100-199"
REPLICA = f"{C} 127.0.0.1:7002@17002 slave {A} 0 0 1 connected"
VARS = "vars currentEpoch 7 lastVoteEpoch 6"


def conf(*lines: str) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


# --- files of real servers ---------------------------------------------------------------------------------


def test_files_of_redis_are_here() -> None:
    assert len(REDIS_70) == 4


@pytest.mark.parametrize("path", REDIS_70, ids=lambda path: path.stem)
def test_lines_of_redis_are_written_back_as_they_were(path: Path) -> None:
    """Every line but `vars`, in the form without aux fields that Redis 7.0 uses for both."""
    lines = path.read_text().splitlines()
    assert [node_line(record) for record in parse(path.read_bytes()).records] == lines[:-1]


@pytest.mark.parametrize("path", sorted(FILES.glob("*.nodes")), ids=lambda path: path.stem)
def test_cluster_nodes_of_redis_is_written_back_as_it_was(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [node_line(parse_node_line(line)) for line in lines] == lines


def test_lines_of_redis_72_are_written_back_as_they_were() -> None:
    """Every line but `vars`, aux fields and their order included."""
    data = (FILES / "redis-7.2.conf").read_bytes()
    lines = data.decode().splitlines()
    assert [node_line(record, aux=True) for record in parse(data).records] == lines[:-1]


def test_state_of_a_node_with_open_slots() -> None:
    data = (FILES / "redis-7.0.15-open-slots.conf").read_bytes()
    state = load(data, NOW_MS, Random(1))
    state.check()
    other = state.members["b4b0237bec496117431c253be93b6e76f4f464ac"]
    assert state.me.node_id == "f8c09de7c2f9bd4330fd066134e4d0a09cea5b4f"
    assert (state.me.hostname, state.me.ip, state.me.port, state.me.bus_port) == (
        "node1.example.com",
        "127.0.0.1",
        18401,
        28401,
    )
    assert str(state.me.slots) == "1 3 5-5459"
    assert (state.migrating, state.importing) == ({100: other}, {7000: other, 9000: other})
    assert [replica.port for replica in other.replicas] == [18405]
    assert (state.current_epoch, state.last_vote_epoch) == (6, 0)


def test_state_after_a_failure_keeps_the_verdict_from_now_on() -> None:
    data = (FILES / "redis-7.0.15-failed-primary.conf").read_bytes()
    state = load(data, NOW_MS, Random(1))
    failed = state.members["24fc7c2e2abb3119dbe62584e0a109ed8a48b9c8"]
    assert (failed.failed, failed.failed_ms, failed.pfail) == (True, NOW_MS, False)
    assert (failed.ping_sent_ms, failed.pong_received_ms) == (NOW_MS, NOW_MS)
    assert state.me.ping_sent_ms == 0
    assert (state.current_epoch, state.last_vote_epoch) == (7, 7)


def test_aux_fields_of_redis_72() -> None:
    state = load((FILES / "redis-7.2.conf").read_bytes(), NOW_MS, Random(1))
    shard = "92d1ab8ff0b9e5bc0a0c4d0d9b87e9a1c6c5cbbd"
    assert (state.me.shard_id, state.me.plain_port, state.me.hostname) == (shard, 7443, "")
    (replica,) = state.me.replicas
    assert (replica.shard_id, replica.hostname, replica.config_epoch) == (shard, "host4.example.com", 0)
    assert state.members["67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1"].human_nodename == "second"


def test_aux_fields_of_valkey_load_and_those_not_kept_are_passed_over() -> None:
    state = load((FILES / "valkey-8.conf").read_bytes(), NOW_MS, Random(1))
    assert (state.me.availability_zone, state.me.human_nodename) == ("eu-1a", "first")
    other = state.members["67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1"]
    assert other.no_failover
    assert (other.client_ipv4, other.client_ipv6) == ("203.0.113.2", "2001:db8::2")


def test_shards_of_an_old_file_get_names() -> None:
    """Files of Redis 7.0 have no shard ids: a primary's is invented, its replicas share it."""
    state = load((FILES / "redis-7.0.15-replica.conf").read_bytes(), NOW_MS, Random(1))
    primary = state.me.primary
    assert primary is not None
    assert len(state.me.shard_id) == 40
    assert state.me.shard_id == primary.shard_id
    assert len({member.shard_id for member in state.members.values()}) == 3


# --- round trip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FILES.glob("*.conf")), ids=lambda path: path.stem)
def test_what_is_dumped_loads_to_the_same(path: Path) -> None:
    state = load(path.read_bytes(), NOW_MS, Random(1))
    again = load(dump(state), NOW_MS, Random(2))
    assert dump(again) == dump(state)
    assert again.migrating.keys() == state.migrating.keys()


def test_an_edited_epoch_behind_a_members_is_raised() -> None:
    state = load(conf(MYSELF, PRIMARY, "vars currentEpoch 1 lastVoteEpoch 0"), NOW_MS, Random(1))
    assert state.current_epoch == 2


def test_handshakes_are_neither_written_nor_read() -> None:
    """The id of a node in handshake is made up and means nothing to the next run."""
    state = ClusterState(Member(A, shard_id=SHARD, is_primary=True))
    state.add(Member(B, shard_id=SHARD, handshake=True))
    assert [record.node for record in parse(dump(state)).records] == [A]
    line = f"{B} 127.0.0.1:7001@17001 handshake - 0 0 0 disconnected"
    assert [record.node for record in parse(conf(MYSELF, line, VARS)).records] == [A]
    assert node_line(record_of(state, state.members[B])).split()[2] == "handshake"


def test_a_replicas_line_shows_its_primarys_epoch() -> None:
    state = load(conf(MYSELF, REPLICA, VARS), NOW_MS, Random(1))
    assert record_of(state, state.members[C]).config_epoch == 1


def test_variables_and_order_of_another_version_are_no_obstacle() -> None:
    """`vars` need not be last, may hold more, and blank lines mean nothing."""
    read = parse(conf("vars currentEpoch 7 lastVoteEpoch 6 newThing 1", "", MYSELF))
    assert (read.current_epoch, read.last_vote_epoch, len(read.records)) == (7, 6, 1)


def test_lines_from_before_bus_ports_and_with_new_role_names() -> None:
    record = parse_node_line(f"{A} fe80::1:7000 myself,primary - 0 0 1 connected 5")
    assert (record.ip, record.port, record.bus_port) == ("fe80::1", 7000, 17000)
    assert record.flags == NodeFlag.MYSELF | NodeFlag.PRIMARY


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (NodeFlag.MYSELF | NodeFlag.PRIMARY | NodeFlag.MIGRATE_TO, "myself,master"),
        (NodeFlag.REPLICA | NodeFlag.PFAIL | NodeFlag.NOFAILOVER, "slave,fail?,nofailover"),
        (NodeFlag.EXTENSIONS_SUPPORTED, "noflags"),
    ],
)
def test_flags_as_cluster_nodes_names_them(flags: NodeFlag, text: str) -> None:
    assert flag_names(flags) == text


ids = st.text("0123456789abcdef", min_size=40, max_size=40)
numbers = st.integers(0, 2**64 - 1)
ports = st.integers(0, 65535)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", max_size=20)
slots = st.integers(0, 16383)
records = st.builds(
    NodeRecord,
    node=ids,
    flags=st.sets(st.sampled_from([1, 2, 4, 8, 16, 32, 64, 512])).map(lambda bits: NodeFlag(sum(bits))),
    ip=st.sampled_from(["", "127.0.0.1", "2001:db8::1"]),
    port=ports,
    bus_port=ports,
    replica_of=st.just("") | ids,
    ping_sent_ms=numbers,
    pong_received_ms=numbers,
    config_epoch=numbers,
    connected=st.booleans(),
    slots=st.lists(slots, max_size=4).map(SlotSet),
    migrating=st.dictionaries(slots, ids, max_size=2),
    importing=st.dictionaries(slots, ids, max_size=2),
    hostname=names,
    shard_id=st.just("") | ids,
    human_nodename=names,
    plain_port=ports,
    availability_zone=names,
    client_ipv4=st.sampled_from(["", "203.0.113.2"]),
    client_ipv6=st.sampled_from(["", "2001:db8::2"]),
)


@settings(max_examples=150, deadline=None)
@given(records)
def test_any_record_survives_its_line(record: NodeRecord) -> None:
    assert parse_node_line(node_line(record, aux=True)) == record


# --- what is refused ---------------------------------------------------------------------------------------

BAD_FILES = {
    "empty": (conf(), 0, "no vars line"),
    "without vars": (conf(MYSELF), 0, "no vars line with currentepoch"),
    "half of vars": (conf(MYSELF, "vars currentEpoch 7"), 0, "no vars line with lastvoteepoch"),
    "variable without value": (conf(MYSELF, "vars currentEpoch 7 lastVoteEpoch"), 2, "no value"),
    "given slots that are none": (
        conf(MYSELF, "vars currentEpoch 1 lastVoteEpoch 1 shoal-given 0-5,x"),
        2,
        "'x' is no slot",
    ),
    "variable no number": (conf(MYSELF, "vars currentEpoch x lastVoteEpoch 1"), 2, "currentEpoch 'x'"),
    "cut in the last number": (conf(MYSELF, VARS)[:-1], 2, "does not end"),
    "cut in a line": (conf(MYSELF, PRIMARY)[:150], 2, "does not end"),
    "too few fields": (conf(MYSELF, f"{B} 127.0.0.1:1@2 master - 0 0 1", VARS), 2, "7 fields"),
    "not ASCII": (conf(MYSELF, PRIMARY).replace(b"7001", b"70\xff1"), 2, "byte 0xff"),
    "id": (conf(MYSELF.replace("a" * 40, "a" * 39), VARS), 1, "no node id"),
    "no port": (conf(MYSELF.replace("127.0.0.1:7000@17000", "127.0.0.1"), VARS), 1, "no port"),
    "port out of range": (conf(MYSELF.replace("7000@", "77000@"), VARS), 1, "port '77000'"),
    "bus port empty": (conf(MYSELF.replace("@17000", "@"), VARS), 1, "bus port ''"),
    "aux without value": (conf(MYSELF.replace("@17000", "@17000,,shard-id"), VARS), 1, "aux field"),
    "shard id": (conf(MYSELF.replace("@17000", "@17000,,shard-id=1"), VARS), 1, "no node id"),
    "flag": (conf(MYSELF.replace("master", "mistress"), VARS), 1, "flag 'mistress'"),
    "both roles": (conf(MYSELF.replace("master", "master,slave"), VARS), 1, "both master and slave"),
    "link state": (conf(MYSELF.replace("connected", "connecte"), VARS), 1, "link state"),
    "epoch negative": (conf(MYSELF.replace(" 1 conn", " -1 conn"), VARS), 1, "config epoch '-1'"),
    "epoch over 64 bits": (conf(MYSELF, f"vars currentEpoch {2**64} lastVoteEpoch 0"), 2, "currentEpoch"),
    "slot out of range": (conf(MYSELF.replace("0-99", "0-16384"), VARS), 1, "slot range 0-16384"),
    "range reversed": (conf(MYSELF.replace("0-99", "99-0"), VARS), 1, "slot range 99-0"),
    "slot no number": (conf(MYSELF.replace("0-99", "0-"), VARS), 1, "'0-' is no slot"),
    "slot twice": (conf(MYSELF.replace("0-99", "0-99 5"), VARS), 1, "stands there twice"),
    "open slot cut": (conf(MYSELF + f" [5->-{B}", VARS), 1, "no open slot"),
    "open slot out of range": (conf(MYSELF + f" [16384->-{B}]", VARS), 1, "no open slot"),
    "open slot to nobody": (conf(MYSELF + " [5->-x]", VARS), 1, "no node id"),
    "open slot to a stranger": (conf(MYSELF + f" [5->-{B}]", VARS), 1, "which has no line"),
    "slot of two nodes": (conf(MYSELF, PRIMARY.replace("100-", "99-"), VARS), 2, "slots 99 belong"),
    "node twice": (conf(MYSELF, PRIMARY, PRIMARY, VARS), 3, "is in line 2 too"),
    "no myself": (conf(PRIMARY, VARS), 0, "no line is flagged myself"),
    "two of myself": (conf(MYSELF, PRIMARY.replace("master", "myself,master"), VARS), 2, "line 1"),
    "replica of a stranger": (conf(PRIMARY, REPLICA.replace("slave", "myself,slave"), VARS), 2, "no line"),
    "replica with slots": (conf(MYSELF, REPLICA + " 500", VARS), 2, "cannot own slots 500"),
    "replica of itself": (conf(MYSELF, REPLICA.replace(A, C), VARS), 2, "its own replica"),
    "primary that replicates": (conf(MYSELF, REPLICA.replace("slave", "master"), VARS), 2, "not flagged"),
}


@pytest.mark.parametrize(("data", "line", "problem"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_line_and_problem(data: bytes, line: int, problem: str) -> None:
    with pytest.raises(NodesConfError, match=problem) as caught:
        parse(data)
    assert caught.value.line == line


@pytest.mark.parametrize("path", sorted(FILES.glob("*.conf")), ids=lambda path: path.stem)
def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    """Redis would start on most of these, with an epoch it has used before."""
    data = path.read_bytes()
    for length in range(len(data)):
        with pytest.raises(NodesConfError):
            parse(data[:length])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_loads_or_is_refused(data: st.DataObject) -> None:
    damaged = bytearray((FILES / "redis-7.2.conf").read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.sampled_from(b" ,:@-[]\n0f\xff") | st.integers(0, 255))
    try:
        state = load(bytes(damaged), NOW_MS, Random(1))
    except NodesConfError:
        return
    state.check()


# --- ports over TLS ----------------------------------------------------------------------------------------


def test_the_second_port_has_the_name_of_its_kind() -> None:
    """Redis 7.2: with tls-cluster the address has the TLS port, and an aux field the plain one."""
    record = parse_node_line(
        f"{A} 127.0.0.1:7000@17000,,tcp-port=7001,shard-id={SHARD} myself,master - 0 0 1 connected"
    )
    assert (record.port, record.plain_port, record.tls_first) == (7000, 7001, True)
    assert ",,tcp-port=7001,shard-id" in node_line(record, aux=True)
    other = parse_node_line(
        f"{A} 127.0.0.1:7000@17000,,tls-port=7001,shard-id={SHARD} myself,master - 0 0 1 connected"
    )
    assert (other.port, other.plain_port, other.tls_first) == (7000, 7001, False)
    assert ",,tls-port=7001,shard-id" in node_line(other, aux=True)


@pytest.mark.parametrize("tls_first", [False, True])
def test_which_port_is_first_is_kept(tls_first: bool) -> None:
    state = ClusterState.fresh(Random(1))
    state.lead_with(tls=tls_first)
    state.me.ip, state.me.port, state.me.plain_port, state.me.bus_port = "127.0.0.1", 7000, 7001, 17000
    loaded = load(dump(state), NOW_MS, Random(2))
    assert loaded.tls_first == tls_first
    assert (loaded.me.port, loaded.me.plain_port) == (7000, 7001)


def test_members_ports_change_places_with_the_directive() -> None:
    """A file was written without tls-cluster, and the node starts with it; and back."""
    state = ClusterState.fresh(Random(1))
    both, one = Member(B, "127.0.0.1", 7002, 17002, 7003), Member(C, "127.0.0.1", 7004, 17004)
    state.add(both)
    state.add(one)
    state.lead_with(tls=True)
    assert (both.port, both.plain_port) == (7003, 7002)
    assert (one.port, one.plain_port) == (7004, 0)  # whatever it is: there is no other
    state.lead_with(tls=True)
    state.lead_with(tls=False)
    assert (both.port, both.plain_port) == (7002, 7003)


def test_ports_by_kind() -> None:
    both, one = Member(A, port=7000, plain_port=7001), Member(B, port=7002)
    assert [member.port_of(second=second) for member in (both, one) for second in (False, True)] == [
        *(7000, 7001),
        *(7002, 7002),
    ]
