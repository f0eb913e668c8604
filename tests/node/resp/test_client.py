"""node.resp.client and node.resp.stream, against a scripted server and a real one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from node.resp.client import (
    BufferedStream,
    Client,
    ConnectError,
    ConnectionLost,
    ReplyError,
    TimedOut,
    connect,
    encode_command,
)


def scripted() -> tuple[Client, trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]:
    """A client, and the two ends that a scripted peer writes to and reads from."""
    ours, theirs = trio.testing.memory_stream_pair()
    return Client(BufferedStream(ours, "peer:1"), timeout_s=5), theirs.send_stream, theirs.receive_stream


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert encode_command(["SET", b"k\x00", 12, 1.5, "é"]) == (
        b"*5\r\n$3\r\nSET\r\n$2\r\nk\x00\r\n$2\r\n12\r\n$3\r\n1.5\r\n$2\r\n\xc3\xa9\r\n"
    )


async def test_every_kind_of_reply() -> None:
    client, peer, _ = scripted()
    await peer.send_all(
        b"+OK\r\n:-7\r\n$-1\r\n*-1\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n-EXECABORT no\r\n-ERR bad\r\n"
    )
    replies = await client.pipeline([["X"]] * 7)
    assert replies[:4] == [b"OK", -7, None, None]
    assert replies[4] == b"a\r\n"
    nested, error = replies[5], replies[6]
    assert isinstance(nested, list)
    assert nested[0] == 1
    assert isinstance(nested[1], ReplyError)
    assert isinstance(error, ReplyError)
    assert (error.code, error.text) == ("ERR", "ERR bad")


async def test_a_reply_may_come_in_single_bytes() -> None:
    client, peer, _ = scripted()

    async def drip() -> None:
        for byte in b"*2\r\n$3\r\nabc\r\n:5\r\n":
            await peer.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        assert await client.call("X") == [b"abc", 5]


async def test_an_error_reply_raises_and_leaves_the_connection_usable() -> None:
    client, peer, _ = scripted()
    await peer.send_all(b"-MOVED 5 127.0.0.1:1\r\n+OK\r\n")
    with pytest.raises(ReplyError) as caught:
        await client.call("GET", "k")
    assert caught.value.code == "MOVED"
    assert await client.call("PING") == b"OK"


async def test_tasks_that_share_a_client_get_their_own_replies() -> None:
    client, peer, requests = scripted()
    answers: dict[str, object] = {}

    async def ask(word: str) -> None:
        answers[word] = await client.call("ECHO", word)

    async def echo() -> None:
        for _ in range(3):
            request = bytes(await requests.receive_some())
            word = request.split(b"\r\n")[4]
            await peer.send_all(b"$%d\r\n%b\r\n" % (len(word), word))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        for word in ("one", "three", "fifteen"):
            nursery.start_soon(ask, word)
    assert answers == {"one": b"one", "three": b"three", "fifteen": b"fifteen"}


async def test_a_time_out_closes_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    client, _, _ = scripted()
    with pytest.raises(TimedOut, match=r"peer:1: no answer within 2 s"):
        await client.call("BLPOP", "k", 0, timeout_s=2)
    assert client.closed
    with pytest.raises(ConnectionLost, match="connection is closed"):
        await client.call("PING")


async def test_a_cancelled_call_closes_the_connection() -> None:
    client, _, _ = scripted()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.call, "BLPOP", "k", 0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert client.closed


async def test_the_end_of_the_stream_is_connection_lost() -> None:
    client, peer, _ = scripted()
    await peer.send_all(b"$10\r\nabc")
    await peer.aclose()
    with pytest.raises(ConnectionLost, match="peer:1: closed the connection"):
        await client.call("GET", "k")


async def test_what_is_not_resp_is_connection_lost() -> None:
    client, peer, _ = scripted()
    await peer.send_all(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(ConnectionLost, match="does not speak RESP"):
        await client.call("PING")
    assert client.closed


async def test_the_stream_reads_a_psync_handshake() -> None:
    """A line, a bulk without trailing CRLF, then a stream: all from the same buffered bytes."""
    client, peer, requests = scripted()
    await peer.send_all(b"+OK\r\n")
    await client.call("REPLCONF", "capa", "eof")
    await requests.receive_some()
    await client.stream.send(encode_command(["PSYNC", "?", "-1"]))
    assert bytes(await requests.receive_some()) == b"*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n"
    await peer.send_all(b"+FULLRESYNC abc 0\r\n$5\r\nREDIS*1\r\n$4\r\nPING\r\n")
    assert await client.stream.read_line() == b"+FULLRESYNC abc 0"
    assert await client.stream.read_line() == b"$5"
    assert await client.stream.read_exactly(5) == b"REDIS"
    assert await client.stream.read_some(4) == b"*1\r\n"
    assert await client.stream.read_some() == b"$4\r\nPING\r\n"


async def test_a_line_without_end_is_given_up() -> None:
    client, peer, _ = scripted()
    await peer.send_all(b"x" * 200)
    with pytest.raises(ConnectionLost, match="more than 100 bytes"):
        await client.stream.read_line(limit_bytes=100)


async def test_connect_error_names_address_and_reason(free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(ConnectError, match=f"^127.0.0.1:{port}: connection refused$"):
        await connect("127.0.0.1", port, timeout_s=5)


async def test_a_host_that_does_not_exist(free_port: Callable[[], int]) -> None:
    with pytest.raises(ConnectError, match="no such host"):
        await connect("host.invalid", 1, timeout_s=5)


async def test_a_unix_socket_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="no such file"):
        await connect(str(tmp_path / "none.sock"), 0, timeout_s=5)


async def test_a_server_that_never_accepts_times_out(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> Awaitable[Any]:
        return await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", never)
    with pytest.raises(ConnectError, match="no answer within 3 s"):
        await connect("127.0.0.1", 1, timeout_s=3)


async def test_real_server_over_tcp_and_unix_socket(start_redis: Callable[..., Any]) -> None:
    server = start_redis("--unixsocket", "r.sock", "--requirepass", "secret")
    async with await Client.connect(server.host, server.port, timeout_s=5, password="secret") as client:
        every_byte = bytes(range(256))
        assert await client.pipeline([["SET", "k", every_byte], ["GET", "k"], ["INCR", "n"]]) == [
            b"OK",
            every_byte,
            1,
        ]
    path = str(server.directory / "r.sock")
    async with await Client.connect(path, 0, timeout_s=5, username="default", password="secret") as client:
        assert client.peer == path
        assert await client.call("PING") == b"PONG"


async def test_a_refused_password_raises_the_servers_reply(start_redis: Callable[..., Any]) -> None:
    server = start_redis("--requirepass", "secret")
    with pytest.raises(ReplyError) as caught:
        await Client.connect(server.host, server.port, timeout_s=5, password="guess")
    assert caught.value.code == "WRONGPASS"


async def test_a_killed_server_is_connection_lost(start_redis: Callable[..., Any]) -> None:
    server = start_redis()
    async with await Client.connect(server.host, server.port, timeout_s=5) as client:
        await client.call("PING")
        server.process.kill()
        with pytest.raises(ConnectionLost):
            await client.call("BLPOP", "k", 0)
