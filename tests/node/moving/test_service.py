"""MIGRATE, with the target played by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from node.app import Node
from node.moving.targets import IDLE_MAX_S
from node.rdb.value import dump_payload, load_payload

MOVE = (b"MIGRATE", b"host", 7000)


async def _settled(client: Any) -> bytes:
    """What the client that was blocked has got."""
    while client.session.blocked is not None:
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(0.001)
    sent: bytes = client.transport.sent
    client.transport.sent = b""
    return sent


async def test_a_key_goes_with_its_time_to_live(moving_node: Node, client: Any, target: Any) -> None:
    client.call("SET", "k", "value", "PX", 5000)
    assert client.raw(*MOVE, "k", 0, 1000) is None
    conversation = await target.accept_selected()
    request = await conversation.request()
    assert request == [b"RESTORE", b"k", b"5000", dump_payload(b"value", compress=False)]
    assert client.call("EXISTS", "k") == 1, "it is here until it is there"
    await conversation.say(b"+OK\r\n")
    assert await _settled(client) == b"+OK\r\n"
    assert client.call("EXISTS", "k") == 0


async def test_no_key_is_told_without_a_connection(moving_node: Node, client: Any, target: Any) -> None:
    assert client.raw(*MOVE, "nope", 0, 1000) == b"+NOKEY\r\n"
    assert client.raw(*MOVE, "", 0, 1000, "KEYS", "a", "b") == b"+NOKEY\r\n"
    assert target.attempts == 0


async def test_keys_are_pipelined_and_a_refused_one_stays(
    moving_node: Node, client: Any, target: Any, told: list[list[bytes]]
) -> None:
    client.call("MSET", "a", 1, "b", 2, "c", 3)
    told.clear()
    client.raw(*MOVE, "", 0, 1000, "REPLACE", "KEYS", "a", "b", "nope", "c")
    conversation = await target.accept_selected()
    requests = [await conversation.request() for _ in range(3)]
    assert [request[1] for request in requests] == [b"a", b"b", b"c"]
    assert {request[-1] for request in requests} == {b"REPLACE"}
    await conversation.say(b"+OK\r\n-BUSYKEY Target key name already exists.\r\n+OK\r\n")
    reply = b"-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n"
    assert await _settled(client) == reply
    assert client.call("KEYS", "*") == [b"b"]
    assert told == [[b"DEL", b"a", b"c"]]


async def test_copy_leaves_the_key(moving_node: Node, client: Any, target: Any, told: list[Any]) -> None:
    client.call("SET", "k", "v")
    told.clear()
    client.raw(*MOVE, "k", 0, 1000, "COPY")
    conversation = await target.accept_selected()
    assert (await conversation.request())[:2] == [b"RESTORE", b"k"]
    await conversation.say(b"+OK\r\n")
    assert await _settled(client) == b"+OK\r\n"
    assert client.call("GET", "k") == b"v"
    assert told == []


@pytest.mark.parametrize(
    ("words", "sent"),
    [(("AUTH", "secret"), [b"AUTH", b"secret"]), (("AUTH2", "me", "secret"), [b"AUTH", b"me", b"secret"])],
)
async def test_a_refused_password_sends_no_key(
    moving_node: Node, client: Any, target: Any, words: tuple[str, ...], sent: list[bytes]
) -> None:
    """Redis sends the keys all the same, and keeps them although the target may have taken them."""
    client.call("SET", "k", "v")
    client.raw(*MOVE, "k", 0, 1000, *words)
    conversation = await target.accept()
    assert await conversation.request() == sent
    assert await conversation.request() == [b"SELECT", b"0"]
    await conversation.say(b"-WRONGPASS no\r\n-NOAUTH Authentication required.\r\n")
    assert await _settled(client) == b"-ERR Target instance replied with error: WRONGPASS no\r\n"
    assert client.call("EXISTS", "k") == 1


async def test_the_connection_is_used_again_and_closed_when_idle(
    moving_node: Node, client: Any, target: Any, autojump_clock: trio.testing.MockClock
) -> None:
    client.call("MSET", "a", 1, "b", 2)
    client.raw(*MOVE, "a", 0, 1000)
    conversation = await target.accept_selected()
    await conversation.request()
    await conversation.say(b"+OK\r\n")
    await _settled(client)
    client.raw(*MOVE, "b", 0, 1000)
    assert (await conversation.request())[:2] == [b"RESTORE", b"b"], "no SELECT: it is selected"
    await conversation.say(b"+OK\r\n")
    await _settled(client)
    assert target.attempts == 1
    assert b"migrate_cached_sockets:1\r\n" in client.call("INFO", "stats")
    moving_node.moving.targets._now_s = lambda: trio.current_time() + 1e9
    await trio.sleep(IDLE_MAX_S)
    assert b"migrate_cached_sockets:0\r\n" in client.call("INFO", "stats")


async def test_a_cached_connection_that_was_closed_is_replaced_once(
    moving_node: Node, client: Any, target: Any
) -> None:
    client.call("MSET", "a", 1, "b", 2, "c", 3)
    client.raw(*MOVE, "a", 0, 1000)
    first = await target.accept_selected()
    await first.request()
    await first.say(b"+OK\r\n")
    await _settled(client)
    await first.close()
    client.raw(*MOVE, "b", 0, 1000)
    second = await target.accept_selected()
    await second.request()
    await second.say(b"+OK\r\n")
    assert await _settled(client) == b"+OK\r\n"
    client.raw(*MOVE, "c", 0, 1000)
    await second.request()
    await second.close()
    third = await target.accept_selected()
    await third.request()
    await third.close()
    assert await _settled(client) == b"-IOERR error or timeout reading to target instance\r\n"
    assert client.call("KEYS", "*") == [b"c"]


async def test_what_was_answered_before_the_link_broke_has_moved(
    moving_node: Node, client: Any, target: Any
) -> None:
    client.call("MSET", "a", 1, "b", 2)
    client.raw(*MOVE, "", 0, 1000, "KEYS", "a", "b")
    conversation = await target.accept_selected()
    await conversation.request()
    await conversation.request()
    await conversation.say(b"+OK\r\n")
    await conversation.close()
    assert await _settled(client) == b"-IOERR error or timeout reading to target instance\r\n"
    assert client.call("KEYS", "*") == [b"b"]
    assert target.attempts == 1, "no second attempt once something has been done"


async def test_a_target_that_is_not_there(moving_node: Node, client: Any, target: Any) -> None:
    target.is_down = True
    client.call("SET", "k", "v")
    client.raw(*MOVE, "k", 0, 1000)
    assert await _settled(client) == b"-IOERR error or timeout writing to target instance\r\n"
    assert client.call("GET", "k") == b"v"


async def test_a_silent_target_is_given_up_after_the_time_out(
    moving_node: Node, client: Any, target: Any, autojump_clock: trio.testing.MockClock
) -> None:
    client.call("SET", "k", "v")
    start_s = trio.current_time()
    client.raw(*MOVE, "k", 0, 70)
    assert await _settled(client) == b"-IOERR error or timeout reading to target instance\r\n"
    assert 0.07 <= trio.current_time() - start_s < 0.3
    assert target.attempts == 1, "a time-out is not tried again"
    assert client.call("GET", "k") == b"v"


async def test_writes_wait_while_a_key_is_in_flight_and_reads_do_not(
    moving_node: Node, client: Any, target: Any, new_client: Callable[[], Any]
) -> None:
    client.call("SET", "k", "v")
    client.raw(*MOVE, "k", 0, 1000)
    conversation = await target.accept_selected()
    await conversation.request()
    other, third = new_client(), new_client()
    assert other.call("GET", "k") == b"v"
    assert other.raw("SET", "k", "new") is None
    assert other.session.blocked is not None
    assert third.raw("MSET", "x", 1, "k", 2) is None, "one of its keys is in flight"
    assert client.node.clients.blocked() == [client.session], "they are held back, not blocked"
    await conversation.say(b"+OK\r\n")
    await _settled(client)
    assert other.session.blocked is None
    assert other.transport.resumed == third.transport.resumed == 1
    assert other.call("SET", "k", "new") == b"OK"


async def test_a_read_of_several_keys_and_a_copy_of_one_are_served(
    moving_node: Node, client: Any, target: Any, new_client: Callable[[], Any]
) -> None:
    """What a writing command only reads may be in flight."""
    client.call("SADD", "s", "a")
    client.raw(*MOVE, "s", 0, 1000)
    await target.accept_selected()
    other = new_client()
    assert other.call("SUNIONSTORE", "d", "s") == 1
    assert other.call("SUNION", "s", "d") == [b"a"]
    assert other.raw("SUNIONSTORE", "s", "d") is None


async def test_a_transaction_waits_as_a_whole(
    moving_node: Node, client: Any, target: Any, new_client: Callable[[], Any]
) -> None:
    client.call("SET", "k", "v")
    client.raw(*MOVE, "k", 0, 1000)
    conversation = await target.accept_selected()
    await conversation.request()
    other = new_client()
    assert other.call("MULTI") == b"OK"
    assert other.call("SET", "x", 1) == b"QUEUED"
    assert other.call("INCR", "k") == b"QUEUED"
    assert other.raw("EXEC") is None
    assert client.call("EXISTS", "x") == 0
    await conversation.say(b"+OK\r\n")
    await _settled(client)
    assert other.call("EXEC") == [b"OK", 1]


async def test_a_key_that_changed_all_the_same_is_sent_again(
    moving_node: Node, client: Any, target: Any, new_client: Callable[[], Any]
) -> None:
    """A client that waited for another key gets what it moves to this one, and that passes no gate."""
    client.call("RPUSH", "k", "a")
    other = new_client()
    assert other.raw("BLMOVE", "source", "k", "LEFT", "RIGHT", 0) is None
    client.raw(*MOVE, "k", 0, 1000)
    conversation = await target.accept_selected()
    assert list(load_payload((await conversation.request())[3])) == [b"a"]  # type: ignore[call-overload]
    new_client().call("RPUSH", "source", "b")
    await conversation.say(b"+OK\r\n")
    again = await conversation.request()
    assert list(load_payload(again[3])) == [b"a", b"b"]  # type: ignore[call-overload]
    assert again[4] == b"REPLACE"
    await conversation.say(b"+OK\r\n")
    assert await _settled(client) == b"+OK\r\n"
    assert client.call("EXISTS", "k") == 0


async def test_a_client_that_goes_away_does_not_stop_the_move(
    moving_node: Node, client: Any, target: Any, new_client: Callable[[], Any]
) -> None:
    client.call("SET", "k", "v")
    client.raw(*MOVE, "k", 0, 1000)
    conversation = await target.accept_selected()
    await conversation.request()
    moving_node.clients.remove(client.session)
    await conversation.say(b"+OK\r\n")
    await trio.testing.wait_all_tasks_blocked()
    assert new_client().call("EXISTS", "k") == 0
    assert len(moving_node.moving.flight) == 0


async def test_big_values_arrive_whole_and_are_deleted_little_by_little(
    moving_node: Node, client: Any, target: Any
) -> None:
    fields = [b"%s%d" % (kind, number) for number in range(30_000) for kind in (b"f", b"v")]
    client.call("HSET", "big", *fields)
    client.raw(*MOVE, "big", 0, 1000)
    conversation = await target.accept_selected()
    value: Any = load_payload((await conversation.request())[3])
    assert sorted(value.flat()) == sorted(fields)
    await conversation.say(b"+OK\r\n")
    await _settled(client)
    assert client.call("EXISTS", "big") == 0
    assert moving_node.disposal.pending == 1
    rounds = 0
    while moving_node.disposal.work(0.00001):
        rounds += 1
    assert rounds > 5
    assert moving_node.disposal.pending == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("k", 0, 1000, "NOPE"), "syntax error"),
        (("k", 0, 1000, "AUTH"), "syntax error"),
        (("k", 0, 1000, "AUTH2", "user"), "syntax error"),
        (("k", "x", 1000), "value is not an integer or out of range"),
        (("k", 0, "x"), "value is not an integer or out of range"),
        (
            ("k", 0, 1000, "KEYS", "a"),
            "When using MIGRATE KEYS option, the key argument must be set to the empty string",
        ),
    ],
)
def test_bad_arguments(client: Any, words: tuple[str | int, ...], text: str) -> None:
    assert client.error(*MOVE, *words) == "ERR " + text


def test_inside_a_transaction_it_is_refused(client: Any) -> None:
    """It would have to wait; Redis stops everybody else meanwhile, which a node must not do."""
    client.call("SET", "k", "v")
    client.call("MULTI")
    client.call(*MOVE, "k", 0, 1000)
    [reply] = client.call("EXEC")
    assert "MIGRATE cannot wait" in str(reply)
