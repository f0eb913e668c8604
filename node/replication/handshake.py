"""The conversation by which a replica gets its primary's stream, up to the answer to PSYNC.

    PING → +PONG (or an error that asks for a password)
    AUTH [user] password → +OK
    REPLCONF listening-port n, ip-address a, capa eof capa psync2, version v → +OK each; errors there are
    not fatal
    PSYNC id offset [FAILOVER] → +FULLRESYNC id offset | +CONTINUE [id] | an error

Source: Redis's replication protocol (https://redis.io/docs/management/replication/, PSYNC's and REPLCONF's
pages).
"""

from __future__ import annotations

from typing import NamedTuple

import trio

from node.integers import parse_integer
from node.log import Log
from node.replication.stream import Stream
from node.resp.encode import command
from node.resp.stream import BufferedStream, TimedOut

LINE_BYTES_MAX = 1024
# The Valkey that we are like as a replica: the first that takes CLUSTER SETSLOT from its primary.
REPLICA_VERSION = b"8.0.0"
_UNPRINTABLE = dict.fromkeys((*range(32), 127), "?")
_ASKS_FOR_PASSWORD = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")


class Refused(Exception):  # noqa: N818  the name says what happened
    """The primary does not want us, or is none. `soon` when it should be able to serve us in a moment."""

    def __init__(self, reason: str, soon: bool = False) -> None:
        super().__init__(reason)
        self.soon = soon


class Introduction(NamedTuple):
    """What a replica says about itself; `ip` is empty for the address the primary sees."""

    user: bytes
    password: bytes
    port: int
    ip: bytes


class Continue(NamedTuple):
    """The stream goes on from where we are, under this id (empty: the old one)."""

    replid: bytes


class FullResync(NamedTuple):
    """A snapshot follows, and then the stream from `offset` + 1 on."""

    replid: bytes
    offset: int


async def greet(stream: BufferedStream, introduction: Introduction, log: Log, timeout_s: float) -> None:
    """Everything before PSYNC. Raises Refused, LinkError."""
    await stream.send(command([b"PING"]))
    reply = await reply_line(stream, timeout_s)
    if not reply.startswith(b"+") and not reply.startswith(_ASKS_FOR_PASSWORD):
        raise Refused(f"Error reply to PING from master: '{shown(reply)}'")
    log.notice("Master replied to PING, replication can continue...")
    if introduction.password:
        user = [introduction.user] if introduction.user else []
        await stream.send(command([b"AUTH", *user, introduction.password]))
        reply = await reply_line(stream, timeout_s)
        if not reply.startswith(b"+"):
            raise Refused(f"Unable to AUTH to MASTER: {shown(reply)}")
    facts = [
        [b"listening-port", b"%d" % introduction.port],
        [b"capa", b"eof", b"capa", b"psync2"],
        [b"version", REPLICA_VERSION],
    ]
    if introduction.ip:
        facts.insert(1, [b"ip-address", introduction.ip])
    await stream.send(b"".join(command([b"REPLCONF", *fact]) for fact in facts))
    for fact in facts:
        reply = await reply_line(stream, timeout_s)
        if reply.startswith(b"-"):
            log.notice(
                f"(Non critical) Master does not understand REPLCONF {fact[0].decode()}: {shown(reply)}"
            )
        elif not reply.startswith(b"+"):
            raise Refused(f"Bad protocol from MASTER, it answered REPLCONF with '{shown(reply)}'")


async def ask(
    stream: BufferedStream, history: Stream | None, log: Log, timeout_s: float, *, failover: bool = False
) -> Continue | FullResync:
    """PSYNC; `history` is what we have, None when that is nothing. With `failover` the other side is to
    become a primary. Raises Refused, LinkError.
    """
    if history is None:
        log.notice("Partial resynchronization not possible (no cached master)")
        await stream.send(command([b"PSYNC", b"?", b"-1"]))
    else:
        replid, offset = history.replid, b"%d" % (history.offset + 1)
        log.notice(f"Trying a partial resynchronization (request {replid.decode()}:{offset.decode()}).")
        request = [b"PSYNC", replid, offset]
        await stream.send(command([*request, b"FAILOVER"] if failover else request))
    reply = b""
    while not reply:  # empty lines keep the connection alive while the primary is busy
        reply = await reply_line(stream, timeout_s)
    words = reply.split(b" ")
    if words[0] == b"+FULLRESYNC":
        offset_read = parse_integer(words[2]) if len(words) == 3 else None
        if len(words) != 3 or len(words[1]) != 40 or offset_read is None:
            raise Refused("Master replied with wrong +FULLRESYNC syntax.")
        log.notice(f"Full resync from master: {shown(words[1])}:{offset_read}")
        return FullResync(words[1], offset_read)
    if words[0] == b"+CONTINUE":
        if history is None:
            raise Refused("Master wants to continue a stream that never began")
        log.notice("Successful partial resynchronization with master.")
        return Continue(words[1] if len(words) == 2 and len(words[1]) == 40 else b"")
    if words[0] in (b"-NOMASTERLINK", b"-LOADING", b"-MASTERDOWN"):
        raise Refused(
            f"Master is currently unable to PSYNC but should be in the future: {shown(reply)}", soon=True
        )
    if reply.startswith(b"-"):
        raise Refused(f"Master does not support PSYNC or is in error state (reply: {shown(reply)})")
    raise Refused(f"Unexpected reply to PSYNC from master: {shown(reply)}")


async def reply_line(stream: BufferedStream, timeout_s: float) -> bytes:
    """A line of the primary. Raises LinkError."""
    with trio.move_on_after(timeout_s):
        return await stream.read_line(LINE_BYTES_MAX)
    raise TimedOut(stream.peer, f"no answer within {timeout_s:g} s")


def shown(data: bytes) -> str:
    """A peer's bytes in a log line: bounded, nothing that breaks the line."""
    return data[:128].decode("ascii", "backslashreplace").translate(_UNPRINTABLE)
