"""A replica's link of ctl's own: how a node is asked for its snapshot, and for the writes that follow.

    PING, AUTH by the client → REPLCONF rdb-only 1 | listening-port 0, capa eof capa psync2 → PSYNC ? -1
    → +FULLRESYNC id offset → $<length> CRLF bytes, or $EOF:<40 bytes> CRLF bytes and the same 40 bytes

`capa eof` lets the node stream from its forked child without a file on its disk. With `rdb-only` (Redis 7)
the node keeps no buffer of writes for us; where that is unknown the link is closed when the snapshot is in,
before anything is acknowledged, so nothing else is sent either. To the node we are one more replica for a
while, never one that counts for WAIT or min-replicas-to-write.

Source: Redis's replication protocol; PSYNC's and REPLCONF's pages; redis-cli --rdb.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

from ctl.errors import CtlError
from ctl.execute.fleet import Fleet
from ctl.snapshot import Address
from node.resp.client import BufferedStream, Client, ReplyError, TimedOut, encode_command

MARK_BYTES = 40
PIECE_BYTES = 256 * 1024
_NOT_NOW = (b"-NOMASTERLINK", b"-LOADING", b"-MASTERDOWN")


class RefusedError(CtlError):
    """The node does not let itself be followed. `passing` when it should in a moment."""

    def __init__(self, node: Address, reason: str, *, passing: bool = False) -> None:
        super().__init__(
            f"{node} refused to give a snapshot: {reason}",
            "The user needs the commands PSYNC, REPLCONF and PING." if "NOPERM" in reason else "",
        )
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the replication stream a snapshot was cut."""

    replication_id: str
    offset: int


class Link:
    """From `open_link`. First `position`, then all of `snapshot()`, then (unless rdb-only) `stream`."""

    def __init__(self, client: Client, node: Address, position: Position, timeout_s: float) -> None:
        self._client = client
        self._node = node
        self._timeout_s = timeout_s
        self.position = position
        self.stream: BufferedStream = client.stream
        self.size_bytes: int | None = None
        self._mark = b""

    async def begin(self) -> None:
        """Waits until the snapshot begins. Then `size_bytes` is known, or None for one with a mark."""
        line = b""
        while not line:  # empty lines keep the link alive until the node has forked
            line = await _line(self.stream, self._timeout_s)
        if not line.startswith(b"$"):
            raise RefusedError(self._node, line.lstrip(b"-").decode(errors="replace"))
        self._mark = line[5:] if line.startswith(b"$EOF:") else b""
        if not self._mark:
            self.size_bytes = int(line[1:])

    async def snapshot(self) -> AsyncIterator[bytes]:
        """Its bytes in pieces. Raises LinkError where the node or the link ends before its end."""
        if self.size_bytes is not None:
            left = self.size_bytes
            while left:
                piece = await self._read(min(left, PIECE_BYTES))
                left -= len(piece)
                yield piece
            return
        tail = b""
        while True:
            tail += await self._read(PIECE_BYTES)
            if tail.endswith(self._mark):
                yield tail[:-MARK_BYTES]
                return
            if len(tail) > MARK_BYTES:
                yield tail[:-MARK_BYTES]
                tail = tail[-MARK_BYTES:]

    async def _read(self, limit_bytes: int) -> bytes:
        with trio.move_on_after(self._timeout_s):
            return await self.stream.read_some(limit_bytes)
        raise TimedOut(self.stream.peer, f"sent nothing for {self._timeout_s:g} s")

    async def aclose(self) -> None:
        await self._client.aclose()


async def open_link(fleet: Fleet, node: Address, *, timeout_s: float, snapshot_only: bool = True) -> Link:
    """Asks for a full resynchronisation. `timeout_s` is how long the node may be silent.

    Raises LinkError, ReplyError for a wrong password, RefusedError.
    """
    client = await fleet.connect(node)
    try:
        for words in (["capa", "eof", "capa", "psync2"], *([["rdb-only", "1"]] if snapshot_only else [])):
            try:
                await client.call("REPLCONF", *words)
            except ReplyError as error:
                # A node that does not know rdb-only gives snapshots all the same.
                if error.code in ("NOPERM", "NOAUTH"):
                    raise RefusedError(node, error.text) from error
        await client.stream.send(encode_command(["PSYNC", "?", "-1"]))
        line = b""
        while not line:
            line = await _line(client.stream, timeout_s)
        words = line.decode(errors="replace").split()
        if line.startswith(b"-"):
            raise RefusedError(node, line[1:].decode(errors="replace"), passing=line.startswith(_NOT_NOW))
        if words[0] != "+FULLRESYNC" or len(words) != 3 or not words[2].isdecimal():
            raise RefusedError(node, f"it answered PSYNC with {line[:60]!r}")
        return Link(client, node, Position(words[1], int(words[2])), timeout_s)
    except BaseException:
        await client.aclose()
        raise


async def _line(stream: BufferedStream, timeout_s: float) -> bytes:
    with trio.move_on_after(timeout_s):
        return await stream.read_line()
    raise TimedOut(stream.peer, f"sent nothing for {timeout_s:g} s")
