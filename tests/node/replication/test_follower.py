"""What a replica makes of its primary's stream, and of orders: the primary is played by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from node.app import Node
from node.config import table as directives
from node.guards import Guard
from node.replication import apply, load
from node.replication.follower import LinkState
from node.resp.client import encode_command
from node.resp.stream import LinkError

REPLID = b"c" * 40
MARK = b"0123456789" * 4
PING = encode_command(["PING"])


# --- The stream


async def test_applies_the_stream_and_counts_its_bytes(node: Node, linked: Any, stored: Any) -> None:
    """Offsets are the primary's, whatever pieces the bytes come in; only whole commands count."""
    wire = (
        encode_command(["SELECT", 2]) + encode_command(["SET", "a", "1"]) + encode_command(["SET", "b", "2"])
    )
    for at in range(0, len(wire) - 1, 5):
        await linked.say(wire[at : min(at + 5, len(wire) - 1)])
    await trio.testing.wait_all_tasks_blocked()
    assert stored(node, 2) == {b"a": 1}
    assert node.replication.offset() == 1000 + len(wire) - len(encode_command(["SET", "b", "2"]))
    await linked.say(wire[-1:])
    await trio.testing.wait_all_tasks_blocked()
    assert stored(node, 2) == {b"a": 1, b"b": 2}
    assert node.replication.offset() == 1000 + len(wire)


TRANSACTION = [["MULTI"], ["SET", "a", "1"], ["LPUSH", "l", "x"], ["EXEC"]]


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_a_transaction_is_applied_and_counted_whole(
    node: Node, linked: Any, monkeypatch: pytest.MonkeyPatch, piece: int, stored: Any
) -> None:
    """However its bytes come and its slices are cut, nobody sees half of it, nor an offset inside of it."""
    monkeypatch.setattr(apply, "SLICE_S", -1.0)
    wire = b"".join(map(encode_command, [["SET", "a", "0"], *TRANSACTION]))
    first = 1000 + len(encode_command(["SET", "a", "0"]))
    for at in range(0, len(wire), piece):
        await linked.say(wire[at : at + piece])
        await trio.testing.wait_all_tasks_blocked()
        offset = node.replication.offset()
        states = {1000: {b"k": b"v"}, first: {b"k": b"v", b"a": 0}}
        held = stored(node)
        assert len(held) == 3 if offset == 1000 + len(wire) else held == states[offset]
    assert node.replication.offset() == 1000 + len(wire)
    assert stored(node)[b"a"] == 1


async def test_a_link_lost_in_a_transaction_goes_on_before_it(
    node: Node, primary: Any, linked: Any, stored: Any
) -> None:
    await linked.say(b"".join(map(encode_command, TRANSACTION[:3])))
    await trio.testing.wait_all_tasks_blocked()
    await linked.close()
    conversation = await primary.accept()
    assert await conversation.greet() == [b"PSYNC", REPLID, b"1001"]
    assert stored(node) == {b"k": b"v"}
    await conversation.say(b"+CONTINUE\r\n" + b"".join(map(encode_command, TRANSACTION)))
    await trio.testing.wait_all_tasks_blocked()
    assert stored(node).keys() == {b"k", b"a", b"l"}


async def test_what_stood_before_an_open_transaction_counts(
    node: Node, primary: Any, linked: Any, replica: Any, stored: Any
) -> None:
    """It is applied: whoever goes on from here, or gets a snapshot now, must not have it a second time."""
    before = encode_command(["INCR", "n"])
    await linked.say(before + b"".join(map(encode_command, TRANSACTION[:2])))
    await trio.testing.wait_all_tasks_blocked()
    offset = 1000 + len(before)
    assert node.replication.offset() == offset
    _, told, keys, _ = replica.full_sync()
    assert (told, keys[0, b"n"]) == (offset, 1)
    whole = b"".join(map(encode_command, TRANSACTION))
    rest = whole[len(b"".join(map(encode_command, TRANSACTION[:2]))) :]
    await linked.say(rest[:-1])
    await trio.testing.wait_all_tasks_blocked()
    assert node.replication.offset() == offset
    await linked.say(rest[-1:] + before)
    await trio.testing.wait_all_tasks_blocked()
    assert node.replication.offset() == offset + len(whole) + len(before)
    assert stored(node)[b"n"] == 2


async def test_what_a_transaction_changes_touches_our_clients_watches(linked: Any, client: Any) -> None:
    client.call("WATCH", "a")
    await linked.say(b"".join(map(encode_command, TRANSACTION)))
    await trio.testing.wait_all_tasks_blocked()
    client.call("MULTI")
    assert client.raw("EXEC") == b"*-1\r\n"


async def test_long_pieces_are_applied_in_slices(
    node: Node, linked: Any, monkeypatch: pytest.MonkeyPatch, stored: Any
) -> None:
    """Other tasks get their turn in between, and see an offset that fits the data."""
    monkeypatch.setattr(apply, "SLICE_S", -1.0)
    one = encode_command(["SET", "n", "00"])
    seen: set[int] = set()
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            while True:
                value = stored(node).get(b"n")
                applied = (node.replication.offset() - 1000) // len(one)
                assert value is None or int(value) + 1 == applied
                seen.add(applied)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(look)
        await linked.say(b"".join(encode_command(["SET", "n", f"{n:02}"]) for n in range(64)))
        with trio.fail_after(5):
            while node.replication.offset() < 1000 + 64 * len(one):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert seen & {16, 32, 48}


async def test_acknowledges_every_second_and_when_asked(
    autojump_clock: trio.testing.MockClock, node: Node, linked: Any
) -> None:
    start = trio.current_time()
    assert await linked.acknowledged() == 1000
    assert trio.current_time() - start == pytest.approx(1.0)
    getack = encode_command(["REPLCONF", "GETACK", "*"])
    await linked.say(PING + getack)
    assert await linked.acknowledged() == 1000 + len(PING) + len(getack)
    assert trio.current_time() - start == pytest.approx(1.0)


async def test_bare_newlines_are_counted(node: Node, linked: Any) -> None:
    await linked.say(b"\n")
    await linked.say(b"\n\n" + PING)
    await trio.testing.wait_all_tasks_blocked()
    assert node.replication.offset() == 1003 + len(PING)


@pytest.mark.parametrize(
    "bad", [b"SET k w\r\n", b"*1\r\n$x\r\n", b"*01\r\n$4\r\nPING\r\n" + PING, b"garbage" * 20000]
)
async def test_a_stream_that_is_none_ends_the_link(node: Node, primary: Any, linked: Any, bad: bytes) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_ignoring_loss, linked, bad)
        again = await primary.accept()
        await again.greet()
        assert not node.replication.link_up
        nursery.cancel_scope.cancel()


async def send_ignoring_loss(conversation: Any, data: bytes) -> None:
    try:
        await conversation.say(data)
    except LinkError:
        return


async def test_a_refused_command_is_told_and_does_not_end_the_link(
    node: Node, linked: Any, capfd: Any, stored: Any
) -> None:
    await linked.say(encode_command(["NOSUCH", "x"]) + encode_command(["SET", "k", "w"]))
    await trio.testing.wait_all_tasks_blocked()
    assert (
        "This replica is sending an error to its primary: 'ERR unknown command 'NOSUCH'"
        in capfd.readouterr().out
    )
    assert stored(node)[b"k"] == b"w"


async def test_a_silent_primary_is_given_up(
    autojump_clock: trio.testing.MockClock, node: Node, primary: Any, linked: Any
) -> None:
    """repl-timeout, 60 s."""
    start = trio.current_time()
    await primary.accept()
    assert trio.current_time() - start == pytest.approx(60, abs=1)


async def test_continues_after_the_link_broke(
    autojump_clock: trio.testing.MockClock, node: Node, primary: Any, linked: Any, stored: Any
) -> None:
    """At once, from the byte after the last command applied; half a command is asked for again."""
    await linked.say(encode_command(["SELECT", 3]) + encode_command(["SET", "a", "1"]) + b"*3\r\n$3\r\nSE")
    await trio.sleep(2)
    offset = node.replication.offset()
    await linked.close()
    start = trio.current_time()
    again = await primary.accept()
    assert await again.greet() == [b"PSYNC", REPLID, b"%d" % (offset + 1)]
    assert trio.current_time() == start
    await again.say(b"+CONTINUE\r\n" + encode_command(["SET", "a", "2"]))
    await again.acknowledged()
    await trio.testing.wait_all_tasks_blocked()
    assert stored(node, 3) == {b"a": 2}
    assert node.replication.link_up


async def test_continues_under_another_name(
    autojump_clock: trio.testing.MockClock,
    node: Node,
    primary: Any,
    linked: Any,
    replica: Any,
) -> None:
    """The primary was promoted meanwhile: our own replicas have to ask again, and may continue."""
    replica.full_sync()
    await trio.sleep(2)
    await linked.close()
    again = await primary.accept()
    await again.greet()
    await again.say(b"+CONTINUE " + b"d" * 40 + b"\r\n")
    await again.acknowledged()
    assert node.replication.stream.replid == b"d" * 40
    assert node.replication.stream.replid2 == REPLID
    assert replica.transport.closed


async def test_passes_the_stream_on_byte_for_byte(
    node: Node, primary: Any, linked: Any, replica: Any
) -> None:
    """A chain counts one set of offsets; what this node changes by itself is not in it."""
    replid, offset, keys, _ = replica.full_sync()
    assert (replid, offset, keys) == (REPLID, 1000, {(0, b"k"): b"v"})
    wire = encode_command(["SELECT", 0]) + encode_command(["SET", "a", "1"])
    await linked.say(wire)
    await trio.testing.wait_all_tasks_blocked()
    assert replica.take() == wire


async def test_own_replicas_must_ask_again_after_a_full_synchronisation(
    autojump_clock: trio.testing.MockClock,
    node: Node,
    primary: Any,
    linked: Any,
    replica: Any,
    snapshot_of: Any,
) -> None:
    replica.full_sync()
    await trio.sleep(2)
    await linked.close()
    again = await primary.accept()
    assert not replica.transport.closed
    await again.full_sync(snapshot_of({}), 5000)
    assert replica.transport.closed


# --- Orders


async def test_not_one_more_command_after_a_promotion(
    node: Node, linked: Any, monkeypatch: pytest.MonkeyPatch, stored: Any
) -> None:
    """Even what has been received is not applied: the new primary's history begins at its offset."""
    monkeypatch.setattr(apply, "SLICE_S", -1.0)
    one = encode_command(["SET", "n", "00"])
    await linked.say(b"".join(encode_command(["SET", "n", f"{n:02}"]) for n in range(64)))
    with trio.fail_after(5):
        while node.replication.offset() == 1000:
            await trio.lowlevel.checkpoint()
    node.replication.promote()
    offset = node.replication.offset()
    value = stored(node)[b"n"]
    assert 1000 < offset < 1000 + 64 * len(one)
    await trio.testing.wait_all_tasks_blocked()
    assert (node.replication.offset(), stored(node)[b"n"]) == (offset, value)
    assert node.replication.stream.replid2 == REPLID
    assert node.replication.stream.second_offset == offset + 1


async def test_a_former_primary_asks_to_continue_its_own_history(
    node: Node, primary: Any, client: Any, replica: Any
) -> None:
    """The promoted replica knows it as its second id."""
    replid, _, _, _ = replica.full_sync()
    client.call("SET", "k", "v")
    node.replication.follow("p", 1)
    offset = node.replication.offset()
    conversation = await primary.accept()
    assert await conversation.greet() == [b"PSYNC", replid, b"%d" % (offset + 1)]


async def test_following_another_primary_drops_the_link(
    node: Node, primary: Any, linked: Any, snapshot_of: Any, stored: Any
) -> None:
    node.replication.follow("q", 2)
    assert not node.replication.link_up
    conversation = await primary.accept()
    await conversation.full_sync(snapshot_of({b"other": b"x"}), 7)
    assert stored(node) == {b"other": b"x"}
    with pytest.raises(LinkError):
        await linked.stream.read_exactly(100_000)


async def test_following_the_same_primary_changes_nothing(node: Node, linked: Any) -> None:
    node.replication.follow("p", 1)
    assert node.replication.link_up


async def test_roles_change_what_is_allowed(node: Node, client: Any) -> None:
    changes: list[bool] = []
    node.replication.on_role_change.append(lambda: changes.append(node.replication.is_primary))
    node.replication.follow("p", 1)
    assert not node.policy.expires
    assert client.error("SET", "k", "v").startswith("READONLY ")
    client.call("CONFIG", "SET", "replica-read-only", "no")
    assert client.raw("SET", "k", "v") == b"+OK\r\n"
    client.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    assert client.error("GET", "k").startswith("MASTERDOWN ")
    node.replication.promote()
    assert client.call("GET", "k") == b"v"
    assert node.policy.expires
    assert changes == [False, True]


async def test_stale_data_are_hidden_only_while_the_link_is_down(
    autojump_clock: trio.testing.MockClock,
    node: Node,
    primary: Any,
    linked: Any,
    client: Any,
) -> None:
    ups: list[bool] = []
    node.replication.on_link_change.append(lambda: ups.append(node.replication.link_up))
    client.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    assert client.call("GET", "k") == b"v"
    await trio.sleep(2)
    await linked.close()
    again = await primary.accept()
    await again.greet()
    assert Guard.STALE in node.guards
    await again.say(b"+CONTINUE\r\n")
    await again.acknowledged()
    assert client.call("GET", "k") == b"v"
    assert ups == [False, True]


async def test_data_age(node: Node, primary: Any, advance: Callable[[int], None], snapshot_of: Any) -> None:
    """None until the first synchronisation with this primary has ended; then the time since it was heard."""
    replication = node.replication
    assert replication.data_age_ms(node.clock.now_ms) is None
    replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    assert replication.data_age_ms(node.clock.now_ms) is None
    snapshot = snapshot_of({})
    await conversation.say(b"+FULLRESYNC %b 1\r\n$%d\r\n" % (REPLID, len(snapshot)) + snapshot)
    await conversation.acknowledged()
    advance(1500)
    assert replication.data_age_ms(node.clock.now_ms) == 1500
    await conversation.say(PING)
    await trio.testing.wait_all_tasks_blocked()
    assert replication.data_age_ms(node.clock.now_ms) == 0
    replication.follow("q", 1)
    assert replication.data_age_ms(node.clock.now_ms) is None


# --- Expiry


async def test_expiry_is_the_primarys(
    node: Node, primary: Any, client: Any, advance: Callable[[int], None], snapshot_of: Any, stored: Any
) -> None:
    """A key whose time is over is hidden here, is there for the primary's commands, and goes with its DEL."""
    now_ms = node.clock.now_ms
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    snapshot = snapshot_of({b"a": b"1", b"b": b"2"}, expire_at_ms={b"a": now_ms + 10, b"b": now_ms + 10})
    await conversation.full_sync(snapshot)
    advance(20)
    assert client.call("GET", "a") is None
    assert not node.cron.expire(1.0)
    assert stored(node).keys() == {b"a", b"b"}
    await conversation.say(encode_command(["APPEND", "b", "0"]) + encode_command(["DEL", "a"]))
    await trio.testing.wait_all_tasks_blocked()
    assert stored(node) in ({b"b": b"20"}, {b"b": 20})


# --- What others see


async def test_role_and_info_tell_the_primary(
    node: Node, client: Any, primary: Any, snapshot_of: Any
) -> None:
    node.replication.follow("p", 1)
    assert client.call("ROLE") == [b"slave", b"p", 1, b"connect", -1]
    conversation = await primary.accept()
    await conversation.greet()
    assert client.call("ROLE") == [b"slave", b"p", 1, b"handshake", -1]
    snapshot = snapshot_of({})
    await conversation.say(b"+FULLRESYNC %b 9\r\n$%d\r\n%b" % (REPLID, len(snapshot), snapshot[:10]))
    await trio.testing.wait_all_tasks_blocked()
    assert node.replication.follower.state is LinkState.SYNC
    text = client.call("INFO", "replication").decode()
    assert "master_sync_in_progress:1\r\n" in text
    assert f"master_sync_left_bytes:{len(snapshot) - 10}\r\n" in text
    await conversation.say(snapshot[10:])
    await conversation.acknowledged()
    assert client.call("ROLE") == [b"slave", b"p", 1, b"connected", 9]
    text = client.call("INFO", "replication").decode()
    assert "role:slave\r\nmaster_host:p\r\nmaster_port:1\r\nmaster_link_status:up\r\n" in text
    assert "slave_repl_offset:9\r\n" in text


def test_replicaof(node: Node, client: Any) -> None:
    assert client.raw("REPLICAOF", "10.0.0.1", "7000") == b"+OK\r\n"
    assert node.replication.primary_address == ("10.0.0.1", 7000)
    assert client.call("CONFIG", "GET", "replicaof") == [b"replicaof", b"10.0.0.1 7000"]
    assert client.raw("SLAVEOF", "10.0.0.1", "7000") == b"+OK Already connected to specified master\r\n"
    assert client.error("REPLICAOF", "h", "70000") == "ERR Invalid master port"
    assert client.error("WAIT", 1, 0).startswith("ERR WAIT cannot be used with replica instances.")
    assert client.raw("REPLICAOF", "No", "oNe") == b"+OK\r\n"
    assert node.replication.is_primary
    node.config.store(directives.CLUSTER_ENABLED, True)
    assert client.error("REPLICAOF", "h", "1") == "ERR REPLICAOF not allowed in cluster mode."


def test_blocked_clients_of_a_primary_that_turns_replica_are_set_free(
    node: Node, client: Any, new_client: Any, replica: Any
) -> None:
    replica.full_sync()
    client.call("SET", "k", "v")
    assert client.raw("WAIT", 1, 0) is None
    node.replication.follow("p", 1)
    assert client.transport.sent.startswith(b"-UNBLOCKED ")
    assert client.transport.closed


async def test_old_data_are_freed_in_slices(
    node: Node, monkeypatch: pytest.MonkeyPatch, snapshot_of: Any
) -> None:
    """The loader looks at the time now and then, and lets others run when its slice is over."""
    monkeypatch.setattr(load, "SLICE_S", -1.0)
    loader = load.SnapshotLoader(node.databases, node.changes, node.policy)
    turns = 0
    async with trio.open_nursery() as nursery:

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(count)
        await loader.feed(snapshot_of({b"%d" % n: b"x" for n in range(1000)}))
        nursery.cancel_scope.cancel()
    assert loader.ended
    assert turns > 10
