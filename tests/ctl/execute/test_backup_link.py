"""ctl.execute.backup_link: what a node may answer to a replica of ctl's own, and how it may break off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from ctl.execute.backup_link import Link, RefusedError, open_link
from ctl.execute.fleet import Credentials, Fleet
from ctl.snapshot import Address
from node.resp.client import ConnectionLost, TimedOut

MARK = b"m" * 40
ANSWER = b"\n\n+FULLRESYNC " + b"i" * 40 + b" 77\r\n"


@asynccontextmanager
async def node(*pieces: bytes, stays: bool = True) -> AsyncIterator[tuple[Address, list[bytes]]]:
    """Answers REPLCONF with OK, and PSYNC with `pieces`, each a packet. Then it is silent, or ends."""
    heard: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async for data in stream:
            heard.append(bytes(data))
            if b"PSYNC" not in data:
                await stream.send_all(b"+OK\r\n")
                continue
            for piece in pieces:
                await stream.send_all(piece)
                for _ in range(3):
                    await trio.lowlevel.checkpoint()
            if not stays:
                await stream.aclose()
                return

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield Address("127.0.0.1", port), heard
        nursery.cancel_scope.cancel()


async def whole(address: Address, timeout_s: float = 5.0) -> tuple[bytes, Link]:
    async with Fleet(Credentials()) as fleet:
        link = await open_link(fleet, address, timeout_s=timeout_s)
        try:
            await link.begin()
            return b"".join([piece async for piece in link.snapshot()]), link
        finally:
            await link.aclose()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"$6\r\nabcdef"],
        [b"\n", b"\n$6\r\nab", b"cdef"],
        [b"$EOF:" + MARK + b"\r\nabcdef" + MARK],
        [b"$EOF:" + MARK + b"\r\nabc", b"def" + MARK[:7], MARK[7:]],
        [b"\n$EOF:" + MARK + b"\r\n", *(b"%c" % byte for byte in b"abcdef" + MARK)],
    ],
)
async def test_both_forms_of_a_snapshot_are_read(pieces: Sequence[bytes]) -> None:
    async with node(ANSWER, *pieces) as (address, heard):
        data, link = await whole(address)
    assert data == b"abcdef"
    assert (link.position.replication_id, link.position.offset) == ("i" * 40, 77)
    assert any(b"rdb-only" in words for words in heard)


async def test_an_end_before_the_end_is_an_error() -> None:
    for pieces in ([b"$6\r\nabc"], [b"$EOF:" + MARK + b"\r\nabcdef" + MARK[:39]], []):
        async with node(ANSWER, *pieces, stays=False) as (address, _):
            with pytest.raises(ConnectionLost):
                await whole(address)


async def test_silence_is_an_error() -> None:
    async with node(ANSWER, b"$6\r\nabc") as (address, _):
        with pytest.raises(TimedOut, match="sent nothing"):
            await whole(address, timeout_s=0.1)


@pytest.mark.parametrize(
    ("answer", "passing"),
    [
        (b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n", True),
        (b"-ERR unknown command\r\n", False),
        (b"+CONTINUE\r\n", False),
    ],
)
async def test_a_refusal_is_told(answer: bytes, passing: bool) -> None:
    async with node(answer) as (address, _):
        with pytest.raises(RefusedError) as caught:
            await whole(address)
    assert caught.value.passing == passing
