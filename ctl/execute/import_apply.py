"""Carries commands of a stream over to a cluster, in their order, each exactly once.

Commands are pipelined a few hundred at a time, by slot. One whose keys are in several slots is the exception:
copies of its keys are made in one slot, under names of ctl's own, it runs there, and what became of the
copies goes back under the real names. That is exact, since nobody else writes these keys while clients still
use the source; it costs some ten round trips.

When the link to a target breaks nobody knows what was carried out; an INCR must not be sent twice. Following
ends there, and an import has to begin anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import hiredis

from ctl.errors import CtlError
from ctl.execute.fleet import Fleet
from ctl.execute.gather import refused
from ctl.execute.restore_load import send_to_all
from ctl.execute.restore_routes import Routes
from ctl.plan.import_ import (
    FOR_ALL,
    FORBIDDEN,
    IGNORED,
    Argv,
    Keys,
    command_table,
    positions,
    positions_of,
    split,
)
from ctl.plan.restore import Outcome
from ctl.snapshot import Address
from gossip.slots import key_slot
from node.resp.client import LinkError, Reply, ReplyError

PIPELINE_COMMANDS = 500
BEGIN_ANEW = "Run the import again, with --replace."


class FollowError(CtlError):
    """The stream cannot be carried over any further."""

    def __init__(self, text: str, hint: str = BEGIN_ANEW) -> None:
        super().__init__(text, hint)


async def key_table(fleet: Fleet, node: Address) -> dict[bytes, Keys]:
    """COMMAND of a node, by name. Raises CtlError."""
    try:
        reply = await fleet.call(node, "COMMAND", timeout_s=30.0)
    except ReplyError as error:
        raise refused(node, "COMMAND", error) from error
    assert isinstance(reply, list), reply
    return command_table(reply)


class Applier:
    """Takes a stream's bytes; `feed` returns when what was whole in them is carried out.

    Only commands for database `db` count. Several appliers may work at the same time on different slots.
    """

    def __init__(self, routes: Routes, table: dict[bytes, Keys], outcome: Outcome, db: int = 0) -> None:
        self._routes = routes
        self._table = table
        self._outcome = outcome
        self._db = db
        self._selected = 0
        self._reader = hiredis.Reader()
        self._slots: list[int] = []
        self._commands: list[Argv] = []
        self.wants_ack = False

    def ended_whole(self) -> bool:
        """At the stream's end: whether no command has begun and not ended. Nothing can be fed any more."""
        self._reader.feed(b"+the end\r\n")
        try:
            return bool(self._reader.gets() == b"the end")
        except hiredis.ProtocolError:
            return False

    async def feed(self, data: bytes) -> None:
        """Raises FollowError for what cannot be carried over, CtlError, UnreachableError."""
        self._reader.feed(data)
        try:
            while (argv := self._reader.gets()) is not False:
                if not isinstance(argv, list) or not argv or not all(type(a) is bytes for a in argv):
                    raise FollowError(f"the stream has something that is no command: {argv!r:.60}")
                await self._take(argv)
        except hiredis.ProtocolError as error:
            raise FollowError(f"the stream has something that is no command: {error}") from error
        await self._flush()

    async def _take(self, argv: list[bytes]) -> None:
        name = argv[0].lower()
        if name == b"select":
            self._selected = int(argv[1])
        elif name == b"replconf":
            self.wants_ack = True
        if name in FORBIDDEN and (self._selected == self._db or name in (b"flushall", b"swapdb")):
            raise FollowError(f"the source was given {name.decode().upper()}, which is not carried over")
        if name in IGNORED or (self._selected != self._db and name not in FOR_ALL):
            return
        if name in FOR_ALL:
            await self._flush()
            await self._to_all(argv)
            return
        places = await self._places(argv, name)
        if not places:
            raise FollowError(
                f"{name.decode(errors='replace')!r} has no keys, and is not known what to do with"
            )
        parts = split(argv, places)
        self._outcome.commands += 1
        if parts.crossing:
            await self._flush()
            await self._cross(argv, places)
            return
        for slot, part in parts.parts:
            self._slots.append(slot)
            self._commands.append(part)
        if len(self._commands) >= PIPELINE_COMMANDS:
            await self._flush()

    async def _places(self, argv: list[bytes], name: bytes) -> list[int]:
        keys = self._table.get(name)
        if keys is None:
            raise FollowError(f"the cluster does not know {name.decode(errors='replace')!r}")
        if not keys.movable:
            return positions(argv, keys)
        node = self._routes.primaries[0]
        try:
            found = await self._routes.fleet.call(node, "COMMAND", "GETKEYS", *argv)
        except (ReplyError, LinkError) as error:
            raise FollowError(
                f"nobody can tell the keys of {name.decode(errors='replace')}: {error}"
            ) from error
        assert isinstance(found, list), found
        return positions_of(argv, [key for key in found if isinstance(key, bytes)])

    async def _flush(self) -> None:
        slots, commands = self._slots, self._commands
        if not commands:
            return
        self._slots, self._commands = [], []
        for command, reply in zip(commands, await self._send(slots, commands), strict=True):
            if isinstance(reply, ReplyError):
                name, key = command[0].decode(errors="replace"), command[1][:60]
                raise FollowError(f"the cluster refused {name} of {key!r}: {reply.text}")

    async def _send(self, slots: Sequence[int], commands: Sequence[Argv]) -> list[Reply]:
        answers = await self._routes.send(slots, [tuple(command) for command in commands], once=True)
        return [answer.reply for answer in answers]

    async def _to_all(self, argv: list[bytes]) -> None:
        try:
            await send_to_all(self._routes, *argv)
        except (ReplyError, LinkError) as error:
            raise FollowError(f"{argv[0].decode()} was refused: {error}") from error

    async def _cross(self, argv: list[bytes], places: Sequence[int]) -> None:
        """Runs a command on copies of its keys in one slot, and brings them back."""
        tag = secrets.token_hex(6).encode()
        real = list(dict.fromkeys(argv[at] for at in places))
        copies = {key: b"{shoal-import-%b}:%d" % (tag, number) for number, key in enumerate(real)}
        slot = key_slot(copies[real[0]])
        await self._copy({key: (key, copies[key]) for key in real})
        moved = [copies[word] if at in places else word for at, word in enumerate(argv)]
        [reply] = await self._send([slot], [moved])
        if isinstance(reply, ReplyError):
            raise FollowError(f"the cluster refused {argv[0].decode(errors='replace')}: {reply.text}")
        await self._copy({key: (copies[key], key) for key in real})
        await self._send([slot] * len(real), [(b"DEL", copy) for copy in copies.values()])

    async def _copy(self, pairs: dict[bytes, tuple[bytes, bytes]]) -> None:
        """The values of the first of each pair to the second, deadlines and absence included."""
        origins = [origin for origin, _ in pairs.values()]
        slots = [key_slot(origin) for origin in origins]
        payloads = await self._send(slots, [(b"DUMP", origin) for origin in origins])
        deadlines = await self._send(slots, [(b"PEXPIRETIME", origin) for origin in origins])
        commands: list[Argv] = []
        for (_, goal), payload, at_ms in zip(pairs.values(), payloads, deadlines, strict=True):
            if isinstance(at_ms, ReplyError):
                raise FollowError(f"the cluster refused PEXPIRETIME: {at_ms.text}", "It needs Redis 7.0.")
            if isinstance(payload, bytes):
                words: Argv = (b"0", payload, b"REPLACE")
                if isinstance(at_ms, int) and at_ms > 0:
                    words = (b"%d" % at_ms, payload, b"REPLACE", b"ABSTTL")
                commands.append((b"RESTORE", goal, *words))
            else:
                commands.append((b"DEL", goal))
        replies = await self._send([key_slot(command[1]) for command in commands], commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise FollowError(f"a key could not be carried over: {reply.text}")
