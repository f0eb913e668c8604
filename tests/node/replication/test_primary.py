"""What replicas get from a node: snapshot, stream, continuation; and what the node makes of their answers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from node.app import Node
from node.config import table as directives
from node.config.limits import replica_output_limit
from node.config.special import BufferLimit, OutputBufferLimits
from node.guards import Guard
from node.persistence.snapshot import Snapshots
from node.replication.replicas import State
from node.resp.encode import command

SELECT_0 = command([b"SELECT", b"0"])
GETACK = command([b"REPLCONF", b"GETACK", b"*"])
PING = command([b"PING"])


def test_full_synchronisation_of_a_small_data_set(node: Node, client: Any, replica: Any) -> None:
    """The snapshot shows the data at the offset told; the stream goes on from the next byte."""
    client.call("SET", "k", "v")
    node.databases[3].put(b"n", 0, 17)
    replid, offset, keys, stream = replica.full_sync()
    assert replid == node.replication.stream.replid
    assert offset == 0
    assert keys == {(0, b"k"): b"v", (3, b"n"): 17}
    assert stream == b""
    client.call("SET", "k", "w")
    assert replica.take() == SELECT_0 + command([b"SET", b"k", b"w"])
    assert node.replication.offset() == len(SELECT_0 + command([b"SET", b"k", b"w"]))


def test_nothing_is_counted_before_there_is_a_backlog(node: Node, client: Any) -> None:
    """INFO's master_repl_offset stays 0 on a primary that never had a replica."""
    client.call("SET", "k", "v")
    node.replication.primary.flush()
    assert node.replication.offset() == 0
    assert node.after.tellers == []


def test_offset_advances_while_the_backlog_lives_without_replicas(
    node: Node, client: Any, replica: Any
) -> None:
    replica.full_sync()
    replica.transport.close(after_output=False)
    before = node.replication.offset()
    client.call("SET", "k", "v")
    assert node.replication.offset() > before


def test_a_second_replica_starts_with_select(client: Any, new_replica: Callable[[], Any]) -> None:
    """Each replica's stream must say first what database it is for."""
    first, second = new_replica(), new_replica()
    first.full_sync()
    client.call("SET", "a", "1")
    first.take()
    second.full_sync()
    client.call("SET", "b", "2")
    assert second.take() == SELECT_0 + command([b"SET", b"b", b"2"])
    assert first.take() == SELECT_0 + command([b"SET", b"b", b"2"])


def test_changes_of_the_turn_before_the_cut_are_not_sent_again(
    client: Any, new_replica: Callable[[], Any]
) -> None:
    first, second = new_replica(), new_replica()
    first.full_sync()
    client.call("SET", "a", "1")  # fed, and not flushed yet
    _, offset, keys, stream = second.full_sync()
    assert keys == {(0, b"a"): 1}
    assert stream == b""
    assert offset == len(SELECT_0 + command([b"SET", b"a", b"1"]))


# --- Continuation


def test_continues_from_the_backlog(node: Node, client: Any, new_replica: Callable[[], Any]) -> None:
    first = new_replica()
    replid, offset, _, _ = first.full_sync()
    client.call("SET", "k", "v")
    sent = first.take()
    first.transport.close(after_output=False)
    client.call("SET", "k", "w")
    again = new_replica()
    again.greet()
    assert again.say("PSYNC", replid, offset + 1 + len(sent)) == b""
    assert again.take() == b"+CONTINUE %b\r\n" % replid + command([b"SET", b"k", b"w"])
    assert node.stats.sync_partial_ok == 1
    client.call("SET", "k", "x")
    assert again.take() == command([b"SET", b"k", b"x"])


def test_a_replica_that_lacks_nothing_continues(new_replica: Callable[[], Any]) -> None:
    first, again = new_replica(), new_replica()
    replid, offset, _, _ = first.full_sync()
    again.greet()
    again.say("PSYNC", replid, offset + 1)
    assert again.take() == b"+CONTINUE %b\r\n" % replid


@pytest.mark.parametrize("wrong", ["unknown id", "before the backlog", "beyond the stream"])
def test_what_cannot_continue_gets_a_snapshot(
    node: Node, client: Any, new_replica: Callable[[], Any], wrong: str
) -> None:
    node.config.store(directives.REPL_BACKLOG_SIZE, 40)
    first, again = new_replica(), new_replica()
    replid, _, _, _ = first.full_sync()
    for n in range(10):
        client.call("SET", "k", n)
    node.replication.primary.flush()
    offset = node.replication.offset()
    asked = {
        "unknown id": (b"f" * 40, offset + 1),
        "before the backlog": (replid, 1),
        "beyond the stream": (replid, offset + 2),
    }[wrong]
    again.greet()
    again.say("PSYNC", *asked)
    assert again.take().startswith(b"+FULLRESYNC %b %d\r\n$" % (replid, offset))
    assert node.stats.sync_partial_err == 1


def test_siblings_continue_on_a_promoted_replica(node: Node, new_replica: Callable[[], Any]) -> None:
    """The old id holds up to the offset of the promotion."""
    replication = node.replication
    replication.follow("10.0.0.9", 7000)
    replication.stream.adopt(b"a" * 40, 1000, 1 << 20)
    replication.promote()
    sibling, ahead = new_replica(), new_replica()
    sibling.greet()
    sibling.say("PSYNC", b"a" * 40, 1001)
    assert sibling.take() == b"+CONTINUE %b\r\n" % replication.stream.replid
    ahead.greet()
    ahead.say("PSYNC", b"a" * 40, 1002)
    assert ahead.take().startswith(b"+FULLRESYNC ")


def test_backlog_freed_after_its_time_without_replicas(node: Node, replica: Any, advance: Any) -> None:
    """repl-backlog-ttl: the id that was given out means nothing any more."""
    replid, _, _, _ = replica.full_sync()
    advance(3_601_000)
    node.replication.primary.every_second()
    assert node.replication.stream.backlog is not None  # there is a replica, if a silent one
    replica.transport.close(after_output=False)
    advance(3_601_000)
    node.replication.primary.every_second()
    assert node.replication.stream.backlog is None
    assert node.replication.stream.replid != replid
    assert node.after.tellers == []


# --- Snapshots that need a process of their own


def large(node: Node) -> None:
    """From here on no snapshot is made in line."""
    snapshots: Snapshots = node.replication.primary._snapshots
    snapshots.inline_keys_max = -1


def test_waits_for_more_replicas_before_a_fork(
    node: Node, new_replica: Callable[[], Any], advance: Any
) -> None:
    """repl-diskless-sync-delay."""
    started: list[object] = []
    node.replication.primary._spawn = lambda task: started.append(task) is None
    large(node)
    first = new_replica()
    first.greet()
    first.say("PSYNC", "?", -1)
    advance(4_900)
    node.replication.primary.every_second()
    assert not started
    assert first.take() == b"\n"
    advance(200)
    node.replication.primary.every_second()
    assert len(started) == 1


def test_forks_at_once_when_all_known_replicas_are_there(node: Node, new_replica: Callable[[], Any]) -> None:
    started: list[object] = []
    node.replication.primary._spawn = lambda task: started.append(task) is None
    node.replication.expected_replicas = lambda: 2
    large(node)
    for count in (0, 1):
        replica = new_replica()
        replica.greet()
        replica.say("PSYNC", "?", -1)
        assert len(started) == count


def test_held_back_output_counts_against_the_limit(node: Node, client: Any, replica: Any) -> None:
    """A replica whose snapshot takes longer than its share of memory allows is dropped."""
    node.replication.primary._spawn = lambda _task: True
    node.replication.expected_replicas = lambda: 1
    limit = BufferLimit(100, 0, 0)  # less than a backlog: that counts then
    node.config.store(directives.CLIENT_OUTPUT_BUFFER_LIMIT, OutputBufferLimits(limit, limit, limit))
    node.config.store(directives.REPL_BACKLOG_SIZE, 200)
    large(node)
    replica.greet()
    replica.say("PSYNC", "?", -1)
    known = next(iter(node.replication.replicas))
    node.replication.primary.begin(known)
    replica.take()
    client.call("SET", "k", "v" * 50)
    assert replica.take() == b""
    assert not replica.transport.closed
    client.call("SET", "k", "v" * 150)
    replica.take()
    assert replica.transport.closed
    assert node.replication.replicas == []


def test_stream_begins_with_the_first_acknowledgement_after_a_marked_snapshot(
    node: Node, client: Any, replica: Any
) -> None:
    """redis-server finds the end mark only where nothing follows it."""
    node.replication.primary._spawn = lambda _task: True
    node.replication.expected_replicas = lambda: 1
    large(node)
    replica.greet()
    replica.say("PSYNC", "?", -1)
    known = next(iter(node.replication.replicas))
    node.replication.primary.begin(known)
    client.call("SET", "a", "1")
    node.replication.primary.flush()
    node.replication.primary.finish(known, starts_on_ack=True)
    client.call("SET", "b", "2")
    assert b"SET" not in replica.take()
    replica.say("REPLCONF", "ACK", 0)
    assert replica.take() == SELECT_0 + command([b"SET", b"a", b"1"]) + command([b"SET", b"b", b"2"])


# --- Acknowledgements


def test_a_replica_is_in_step_when_it_has_said_so(node: Node, replica: Any) -> None:
    """It may refuse what it was sent: until it acknowledges, nobody knows whose data it holds."""
    replica.full_sync()
    assert node.replication.replicas_in_step() == 0
    replica.say("REPLCONF", "ACK", 0)
    assert node.replication.replicas_in_step() == 1
    node.clients.remove(replica.session)
    assert node.replication.replicas_in_step() == 0


def test_wait_asks_replicas_once_and_answers_with_the_acknowledgement(
    node: Node, client: Any, new_client: Any, replica: Any
) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    written = node.replication.offset()
    other = new_client()
    assert client.raw("WAIT", 1, 0) is None
    assert other.raw("WAIT", 1, 0) is None
    assert replica.take().endswith(GETACK)
    assert replica.take() == b""
    replica.say("REPLCONF", "ACK", written - 1)
    assert client.transport.sent == b""
    replica.say("REPLCONF", "ACK", written)
    assert client.transport.sent == other.transport.sent == b":1\r\n"


def test_wait_is_answered_at_once_when_replicas_are_up_to_date(node: Node, client: Any, replica: Any) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    replica.take()
    replica.say("REPLCONF", "ACK", node.replication.offset())
    assert client.call("WAIT", 1, 100) == 1
    assert client.call("WAIT", 0, 0) == 1


def test_wait_times_out_with_the_number_reached(node: Node, client: Any, replica: Any, advance: Any) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    assert client.raw("WAIT", 2, 100) is None
    replica.say("REPLCONF", "ACK", node.replication.offset())
    advance(100)
    node.timers.run_due(node.clock.now_ms)
    assert client.transport.sent == b":1\r\n"


def test_wait_is_for_changes_and_not_for_pings(node: Node, client: Any, replica: Any, advance: Any) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    replica.say("REPLCONF", "ACK", node.replication.offset())
    advance(20_000)
    node.replication.primary.every_second()
    assert PING in replica.take()
    assert client.call("WAIT", 1, 100) == 1


def test_a_shutdown_waits_for_what_has_not_been_acknowledged(node: Node, client: Any, replica: Any) -> None:
    replica.full_sync()
    assert node.replication.lagging() == []
    client.call("SET", "k", "v")
    written = node.replication.offset()
    assert node.replication.lagging() == [f"10.0.0.7:7001 reported offset {written} behind master"]
    assert replica.take().endswith(GETACK)
    replica.say("REPLCONF", "ACK", written)
    assert node.replication.lagging() == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("x", 0), "value is not an integer or out of range"),
        ((-1, 0), "value is out of range, must be positive"),
        ((1, "x"), "timeout is not an integer or out of range"),
        ((1, -1), "timeout is negative"),
    ],
)
def test_wait_refuses_bad_arguments(client: Any, arguments: tuple[object, object], text: str) -> None:
    assert client.error("WAIT", *arguments) == "ERR " + text


def test_offset_is_held_during_a_failover(node: Node, client: Any, replica: Any, advance: Any) -> None:
    """Neither PING nor GETACK may move it while a replica is to match it."""
    replica.full_sync()
    client.call("SET", "k", "v")
    replica.take()
    offset = node.replication.offset()
    node.databases[0].set_deadline(b"k", node.clock.now_ms + 1000)
    node.replication.hold_offset(node.clock.now_ms + 50_000)
    client.raw("WAIT", 1, 0)
    advance(40_000)
    node.replication.primary.every_second()
    node.cron.expire(1.0)
    assert replica.take() == b""
    assert node.replication.offset() == offset
    advance(10_000)
    node.timers.run_due(node.clock.now_ms)
    node.replication.primary.every_second()
    node.cron.expire(1.0)
    assert replica.take() == PING + command([b"DEL", b"k"]) + GETACK


def test_pings_every_period(node: Node, replica: Any, advance: Any) -> None:
    """repl-ping-replica-period, 10 s."""
    replica.full_sync()
    pings = 0
    for _ in range(35):
        advance(1000)
        node.replication.primary.every_second()
        pings += replica.take().count(PING)
    assert pings == 3


def test_a_silent_replica_is_dropped(node: Node, replica: Any, advance: Any) -> None:
    """repl-timeout, 60 s since its last acknowledgement."""
    replica.full_sync()
    advance(60_000)
    node.replication.primary.every_second()
    assert not replica.transport.closed
    advance(1_000)
    node.replication.primary.every_second()
    assert replica.transport.closed


def test_a_replica_that_loads_for_long_is_not_silent(node: Node, replica: Any, advance: Any) -> None:
    """It has been sent everything and acknowledges nothing yet, but bare line ends come from it."""
    replica.full_sync()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = node.server.connect(ours, "127.0.0.1:1", "127.0.0.1:2")
    with theirs:
        for _ in range(3):
            advance(40_000)
            theirs.send(b"\n")
            connection.readable()
            replica.session.last_seen_ms = connection.session.last_seen_ms
            node.replication.primary.every_second()
        assert not replica.transport.closed
        connection.fail("the test is over")


def test_a_limit_below_the_backlogs_size_counts_as_that(node: Node) -> None:
    """Who comes back gets all of the backlog at once: it would be dropped for it again and again."""
    node.config.store(directives.REPL_BACKLOG_SIZE, 1000)
    for hard_bytes, counts in ((0, 0), (10, 1000), (1000, 1000), (2000, 2000)):
        limit = BufferLimit(hard_bytes, 5, 60)
        node.config.store(directives.CLIENT_OUTPUT_BUFFER_LIMIT, OutputBufferLimits(limit, limit, limit))
        assert replica_output_limit(node.config) == BufferLimit(counts, 5, 60)


def test_min_replicas_to_write(node: Node, client: Any, replica: Any, advance: Any) -> None:
    client.call("CONFIG", "SET", "min-replicas-to-write", 1)
    assert client.error("SET", "k", "v").startswith("NOREPLICAS ")
    replica.full_sync()
    assert client.call("SET", "k", "v") in (b"OK", "OK")
    advance(11_000)
    node.replication.primary.every_second()
    assert client.error("SET", "k", "v").startswith("NOREPLICAS ")
    replica.say("REPLCONF", "ACK", 1)
    assert Guard.FEW_REPLICAS not in node.guards
    replica.transport.close(after_output=False)
    assert Guard.FEW_REPLICAS in node.guards


# --- Requests


def test_sync_is_answered_with_the_bare_file(node: Node, client: Any, replica: Any, advance: Any) -> None:
    """The protocol before PSYNC: no header, no acknowledgements expected."""
    assert replica.say("SYNC") == b""
    assert replica.take().startswith(b"$")
    client.call("SET", "k", "v")
    assert replica.take() == SELECT_0 + command([b"SET", b"k", b"v"])
    advance(100_000)
    node.replication.primary.every_second()
    assert not replica.transport.closed


def test_a_replica_may_want_the_snapshot_only(node: Node, client: Any, replica: Any) -> None:
    """REPLCONF rdb-only, as redis-cli --rdb asks."""
    assert replica.say("REPLCONF", "rdb-only", 1) == b"+OK\r\n"
    replica.full_sync()
    client.call("SET", "k", "v")
    assert replica.take() == b""
    assert next(iter(node.replication.replicas)).state is State.SNAPSHOT_ONLY


def test_a_second_psync_of_a_replica_is_ignored(replica: Any) -> None:
    replica.full_sync()
    assert replica.say("PSYNC", "?", -1) == b""
    assert replica.take() == b""


def test_replicas_of_a_replica_wait_until_it_is_connected(node: Node, replica: Any) -> None:
    node.replication.follow("10.0.0.9", 7000)
    replica.greet()
    assert replica.say("PSYNC", "?", -1) == (
        b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("listening-port",), "syntax error"),
        (("listening-port", "x"), "value is not an integer or out of range"),
        (
            ("ip-address", "x" * 256),
            "REPLCONF ip-address provided by replica instance is too long: 256 bytes",
        ),
        (("nonsense", "1"), "Unrecognized REPLCONF option: nonsense"),
        (
            ("rdb-filter-only", "functions"),
            "REPLCONF rdb-filter-only is not supported: snapshots are always whole",
        ),
    ],
)
def test_replconf_refuses(client: Any, arguments: tuple[str, ...], text: str) -> None:
    assert client.error("REPLCONF", *arguments) == "ERR " + text


def test_acknowledgements_get_no_reply(replica: Any) -> None:
    assert replica.say("REPLCONF", "ACK", 5) == b""
    replica.full_sync()
    assert replica.say("REPLCONF", "ACK", 5) == b""
    assert replica.say("REPLCONF", "GETACK", "*") == b""


def test_role_and_info_tell_the_replicas(node: Node, client: Any, replica: Any, advance: Any) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    offset = node.replication.offset()
    replica.say("REPLCONF", "ACK", offset)
    advance(2_500)
    assert client.call("ROLE") == [b"master", offset, [[b"10.0.0.7", b"7001", b"%d" % offset]]]
    text = client.call("INFO", "replication").decode()
    assert f"slave0:ip=10.0.0.7,port=7001,state=online,offset={offset},lag=2\r\n" in text
    assert "role:master\r\nconnected_slaves:1\r\n" in text
    assert f"master_replid:{node.replication.stream.replid.decode()}\r\n" in text
    assert f"repl_backlog_histlen:{offset}\r\n" in text
