"""How a replica gets its data: a primary played by hand sends them, over streams in memory."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from node.app import Node
from node.config import table as directives
from node.guards import Guard
from node.log import Log
from node.persistence.snapshot import Snapshots
from node.replication import load
from node.resp.client import encode_command

REPLID = b"c" * 40
MARK = b"0123456789" * 4
PING = encode_command(["PING"])


async def test_introduces_itself(node: Node, primary: Any) -> None:
    node.config.store(directives.MASTERUSER, b"me")
    node.config.store(directives.MASTERAUTH, b"secret")
    node.config.store(directives.REPLICA_ANNOUNCE_IP, "10.9.8.7")
    node.config.store(directives.REPLICA_ANNOUNCE_PORT, 999)
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    assert await conversation.request() == [b"PING"]
    await conversation.say(b"-NOAUTH Authentication required.\r\n")
    assert await conversation.request() == [b"AUTH", b"me", b"secret"]
    await conversation.say(b"+OK\r\n")
    assert await conversation.request() == [b"REPLCONF", b"listening-port", b"999"]
    assert await conversation.request() == [b"REPLCONF", b"ip-address", b"10.9.8.7"]
    assert await conversation.request() == [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]
    assert await conversation.request() == [b"REPLCONF", b"version", b"8.0.0"]
    await conversation.say(b"+OK\r\n-ERR what?\r\n+OK\r\n+OK\r\n")
    assert await conversation.request() == [b"PSYNC", b"?", b"-1"]


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("way", ["disabled", "on-empty-db", "swapdb"])
async def test_loads_a_snapshot_however_it_is_cut(
    node: Node, primary: Any, marked: bool, piece: int, way: str, snapshot_of: Any, stored: Any
) -> None:
    """Both forms on the wire, after empty lines that keep the connection alive, by every way."""
    node.config.store(directives.REPL_DISKLESS_LOAD, way)
    node.databases[0].put(b"old", 0, b"gone")
    snapshot = snapshot_of({b"k": b"v", b"n": 5, b"long": b"x" * 3000}, {b"three": b"1"})
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    head = b"$EOF:%b\r\n" % MARK if marked else b"$%d\r\n" % len(snapshot)
    wire = b"\n\n+FULLRESYNC %b 1000\r\n\n\n" % REPLID + head + snapshot + (MARK if marked else b"")
    for at in range(0, len(wire), piece):
        await conversation.say(wire[at : at + piece])
        assert not node.replication.link_up
    assert await conversation.acknowledged() == 1000
    assert stored(node) == {b"k": b"v", b"n": 5, b"long": b"x" * 3000}
    assert stored(node, 1) == {b"three": 1} or stored(node, 1) == {b"three": b"1"}
    assert node.replication.link_up
    assert node.replication.offset() == 1000
    assert node.replication.stream.replid == REPLID
    for database in node.databases:
        database.check()


async def test_serves_the_old_data_until_the_new_are_whole(
    node: Node, primary: Any, client: Any, snapshot_of: Any
) -> None:
    """A synchronisation that breaks off leaves everything as it was."""
    client.call("SET", "old", "data")
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    snapshot = snapshot_of({b"new": b"data"})
    await conversation.say(b"+FULLRESYNC %b 5\r\n$%d\r\n" % (REPLID, len(snapshot)) + snapshot[:-3])
    await trio.testing.wait_all_tasks_blocked()
    assert client.call("GET", "old") == b"data"
    await conversation.close()
    again = await primary.accept()
    assert client.call("GET", "old") == b"data"
    await again.full_sync(snapshot)
    assert client.call("GET", "old") is None
    assert client.call("GET", "new") == b"data"


async def test_old_data_go_when_the_file_is_whole(
    node: Node,
    primary: Any,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    nursery: trio.Nursery,
    snapshot_of: Any,
    stored: Any,
) -> None:
    """repl-diskless-load disabled: clients hear LOADING while it is read, and there is nobody to elect."""
    client.call("SET", "old", "data")
    node.replication.follow("p", 1)
    first = await primary.accept()
    await first.full_sync(snapshot_of({b"old": b"data"}))
    await first.close()
    conversation = await primary.accept()
    await conversation.greet()
    snapshot = snapshot_of({b"new": b"data"})
    wire = b"+FULLRESYNC %b 5\r\n$%d\r\n" % (b"d" * 40, len(snapshot)) + snapshot
    seen = []
    take = load.SnapshotLoader.feed

    async def feed(self: Any, data: bytes) -> bool:
        told = client.call("INFO", "persistence").decode()
        seen.append((client.error("GET", "old"), "\r\nloading:1\r\n" in "\r\n" + told))
        assert node.replication.data_age_ms(node.clock.now_ms) is None
        assert node.replication.stream.backlog is None
        return await take(self, data)

    monkeypatch.setattr(load.SnapshotLoader, "feed", feed)
    await conversation.say(wire[:-1])
    await trio.testing.wait_all_tasks_blocked()
    assert client.call("GET", "old") == b"data"
    await conversation.say(wire[-1:])
    assert await conversation.acknowledged() == 5
    assert seen == [("LOADING Shoal is loading the dataset in memory", True)]
    assert stored(node) == {b"new": b"data"}
    assert Guard.LOADING not in node.guards


async def test_old_data_are_served_beside_the_new(
    node: Node, primary: Any, client: Any, snapshot_of: Any
) -> None:
    """repl-diskless-load swapdb: INFO tells it, and what would disturb it is refused."""
    node.config.store(directives.REPL_DISKLESS_LOAD, "swapdb")
    client.call("SET", "old", "data")
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    snapshot = snapshot_of({b"new": b"data"})
    await conversation.say(b"+FULLRESYNC %b 5\r\n$%d\r\n" % (REPLID, len(snapshot)) + snapshot[:-3])
    await trio.testing.wait_all_tasks_blocked()
    told = client.call("INFO", "persistence").decode().split("\r\n")
    assert {"loading:0", "async_loading:1", f"loading_total_bytes:{len(snapshot)}"} <= set(told)
    assert client.call("GET", "old") == b"data"
    assert client.error("REPLICAOF", "h", 1) == "LOADING Shoal is loading the dataset in memory"
    await conversation.say(snapshot[-3:])
    await conversation.acknowledged()
    assert "async_loading:0" in client.call("INFO", "persistence").decode()
    assert client.call("REPLICAOF", "h", 1) == b"OK"


async def test_libraries_of_the_primary_are_handed_on(node: Node, primary: Any) -> None:
    """Those who run functions get the sources, in the place of the old ones."""
    taken: list[list[bytes]] = []
    node.replication.follower.take_functions = taken.append
    node.replication.follow("p", 1)
    snapshots = Snapshots(node.databases, Log())
    snapshots.functions = lambda: [b"#!lua name=a\n", b"#!lua name=b\n"]
    await (await primary.accept()).full_sync(b"".join(snapshots.pieces()))
    assert taken == [[b"#!lua name=a\n", b"#!lua name=b\n"]]


async def test_our_replicas_begin_in_the_database_that_the_stream_is_in(
    node: Node, linked: Any, replica: Any
) -> None:
    """The stream passed on says no SELECT for them: the snapshot tells."""
    await linked.say(encode_command(["SELECT", "3"]) + encode_command(["SET", "k", "v"]))
    await trio.testing.wait_all_tasks_blocked()
    replica.greet()
    replica.say("PSYNC", "?", -1)
    assert b"repl-stream-db\xc0\x03" in replica.take()
    await linked.say(encode_command(["SET", "k", "w"]))
    await trio.testing.wait_all_tasks_blocked()
    assert replica.take() == encode_command(["SET", "k", "w"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n", "Error reply to PING from master: 'HTTP/1.0 400 Bad Request'"),
        (b"\x00\x01\xff\r\n", "Error reply to PING from master: '??\\xff'"),
        (b"-ERR max number of clients reached\r\n", "max number of clients reached"),
        (b"x" * 3000, "sent a line of more than 1024 bytes"),
    ],
)
async def test_a_primary_that_speaks_something_else(
    node: Node, primary: Any, capfd: Any, answer: bytes, said: str
) -> None:
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.request()
    await conversation.say(answer)
    await primary.accept()
    assert said in capfd.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"+FULLRESYNC short 5\r\n", "wrong +FULLRESYNC syntax"),
        (b"+FULLRESYNC %b x\r\n" % REPLID, "wrong +FULLRESYNC syntax"),
        (b"+CONTINUE\r\n", "continue a stream that never began"),
        (b"+NONSENSE\r\n", "Unexpected reply to PSYNC from master: +NONSENSE"),
        (b"-ERR unknown command\r\n", "does not support PSYNC"),
        (b"-NOMASTERLINK Can't SYNC\r\n", "should be in the future"),
        (b"+FULLRESYNC %b 5\r\nnonsense\r\n" % REPLID, "the first byte is not '$'"),
        (b"+FULLRESYNC %b 5\r\n$EOF:short\r\n" % REPLID, "the first byte is not '$'"),
        (b"+FULLRESYNC %b 5\r\n-ERR broken\r\n" % REPLID, "aborted replication with an error: -ERR broken"),
        (b"+FULLRESYNC %b 5\r\n$8\r\nNOTREDIS" % REPLID, "not an RDB file"),
        (b"+FULLRESYNC %b 5\r\n$20\r\nREDIS0011%b" % (REPLID, b"\xff" * 11), "wrong checksum"),
        (b"+FULLRESYNC %b 5\r\n$9\r\nREDIS0011" % REPLID, "the file ends too soon"),
        (b"+FULLRESYNC %b 5\r\n$20\r\nREDIS9999%b" % (REPLID, b"\xff" * 11), "9999"),
    ],
)
async def test_a_primary_that_breaks_the_protocol(
    node: Node, primary: Any, capfd: Any, answer: bytes, said: str, stored: Any
) -> None:
    """The reason is logged, nothing is changed, and it is tried again."""
    node.databases[0].put(b"k", 0, b"v")
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    await conversation.say(answer)
    await primary.accept()
    assert said in capfd.readouterr().out
    assert stored(node) == {b"k": b"v"}
    assert not node.replication.link_up


async def test_a_mark_that_is_not_the_one_announced(
    node: Node, primary: Any, capfd: Any, snapshot_of: Any, stored: Any
) -> None:
    """It is told as soon as the file has been read; who only writes it to disk must wait for more."""
    node.config.store(directives.REPL_DISKLESS_LOAD, "swapdb")
    node.databases[0].put(b"k", 0, b"v")
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    answer = b"+FULLRESYNC %b 5\r\n$EOF:%b\r\n%b%b" % (REPLID, MARK, snapshot_of({}), MARK[::-1])
    await conversation.say(answer)
    await primary.accept()
    assert "EOF marker is broken" in capfd.readouterr().out
    assert stored(node) == {b"k": b"v"}


async def test_more_databases_than_here(
    node: Node, primary: Any, capfd: Any, snapshot_of: Any, stored: Any
) -> None:
    node.replication.follow("p", 1)
    conversation = await primary.accept()
    await conversation.greet()
    snapshot = snapshot_of(*[{b"k": b"v"}] * 17)
    await conversation.say(b"+FULLRESYNC %b 5\r\n$%d\r\n" % (REPLID, len(snapshot)) + snapshot)
    await primary.accept()
    assert "keys of database 16, and there are 16 here" in capfd.readouterr().out
    assert stored(node) == {}


async def test_pauses_grow_while_the_primary_refuses(
    autojump_clock: trio.testing.MockClock, node: Node, primary: Any, capfd: Any
) -> None:
    """Each refused attempt may have cost it a snapshot; a changed password is tried at once."""
    node.config.store(directives.MASTERAUTH, b"wrong")
    node.replication.follow("p", 1)
    for _ in range(8):
        conversation = await primary.accept()
        await conversation.request()
        await conversation.say(b"+PONG\r\n")
        await conversation.request()
        await conversation.say(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
    await trio.testing.wait_all_tasks_blocked()
    pauses = [round(b - a, 3) for a, b in zip(primary.attempts, primary.attempts[1:], strict=False)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
    assert "Unable to AUTH to MASTER: -WRONGPASS" in capfd.readouterr().out
    before = trio.current_time()
    node.config.set_many([(b"masterauth", b"right")])
    await primary.accept()
    assert trio.current_time() == before


async def test_an_unreachable_primary_is_tried_every_second(
    autojump_clock: trio.testing.MockClock, node: Node, primary: Any
) -> None:
    primary.is_down = True
    node.replication.follow("p", 1)
    await trio.sleep(10)
    pauses = [round(b - a, 3) for a, b in zip(primary.attempts, primary.attempts[1:], strict=False)]
    assert pauses[:5] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert set(pauses[5:]) == {1.0}
