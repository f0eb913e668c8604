"""One ctl at a time: a lock in the cluster, with an owner and a lease.

The lock is the string key `{shoal-ctl}:lock`, taken with SET NX PX: whoever finds it there keeps out. Its
value says who holds it, since when and for what, and ends in a token that no other ctl has. While the holder
works it reads the value and prolongs the lease, three times in each; a ctl that was killed prolongs nothing,
so the key is gone one lease later, and nobody has to steal anything. Who meets a lock looks for the length of
a lease whether it is prolonged: if not, its holder is gone, and the wait ends with the lock taken.

The commands are GET, SET, GETEX and DEL of one key, known to Redis since 6.2, to Valkey and to Shoal. The key
is in an ordinary slot, found by MOVED and ASK like any key, so it may be among the slots that are moved.

What it guarantees: of two ctl that reach the same primary of that slot, one works. `check` raises as soon as
the lease may be over by ctl's own clock, or the key was found to be another's; it is called before every
command that changes something. What it does not: a fail-over of that primary may lose the key before its
replica has it, and a ctl that was stopped between `check` and its command sends that command late. Neither
loses data: nodes refuse SETSLOT from the wrong owner, and keys move by MIGRATE, which is safe beside another.

It never touches a key of the user: a value under that name that is not in ctl's form is an error.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from ctl.errors import CtlError
from ctl.execute.fleet import Credentials, Fleet
from ctl.execute.gather import refused
from ctl.snapshot import Address
from node.resp.client import LinkError, Reply, ReplyError

KEY = b"{shoal-ctl}:lock"
LEASE_S = 6.0
LOOK_EVERY_S = 0.1
REDIRECTIONS_MAX = 8
MARK = "shoal-ctl-lock"


class LockedError(CtlError):
    """Another ctl is at work."""


class LockLostError(CtlError):
    """The lease is over or may be: another ctl may be at work."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds the lock, as its value says."""

    who: str
    verb: str
    since_s: float
    token: str

    @classmethod
    def me(cls, verb: str) -> Owner:
        who = f"{_user()}@{socket.gethostname()} (process {os.getpid()})"
        return cls(who, verb, time.time(), secrets.token_hex(8))

    def value(self) -> bytes:
        words = {"who": self.who, "verb": self.verb, "since": self.since_s, "token": self.token}
        return json.dumps({"lock": MARK, **words}).encode()

    @classmethod
    def parse(cls, value: bytes) -> Owner:
        """Raises CtlError for a value that ctl did not write."""
        try:
            words = json.loads(value)
            if words["lock"] != MARK:
                raise ValueError(words["lock"])
            return cls(str(words["who"]), str(words["verb"]), float(words["since"]), str(words["token"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CtlError(
                f"the key {KEY.decode()} is in use and is not a lock of ctl",
                "ctl keeps its lock under this name. Rename the key, then try again.",
            ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class Lock:
    """A lock held. `check` raises LockLostError when it may not be any more."""

    def __init__(self, place: KeyPlace, owner: Owner, lease_s: float) -> None:
        self._place = place
        self._owner = owner
        self._lease_s = lease_s
        self._sure_until = trio.current_time() + lease_s
        self._lost_to = ""

    @property
    def lost(self) -> bool:
        """Whether the key was found to be another's, or gone."""
        return bool(self._lost_to)

    def check(self) -> None:
        """Raises LockLostError unless the lock is ours beyond doubt."""
        if self._lost_to:
            raise LockLostError(f"the lock of the cluster was taken by {self._lost_to}", _LOST_HINT)
        if trio.current_time() >= self._sure_until:
            raise LockLostError("the lock of the cluster could not be prolonged in time", _LOST_HINT)

    async def keep(self) -> None:
        """Prolongs the lease, until it is lost or the task is cancelled. Broken links are tried again."""
        while not self._lost_to:
            await trio.sleep(self._lease_s / 3)
            await self._prolong()

    async def _prolong(self) -> bool:
        """Whether the lock is ours for another lease."""
        asked = trio.current_time()
        try:
            found = await self._place.call("GET")
            if found == self._owner.value():
                found = await self._place.call("GETEX", "PX", round(self._lease_s * 1000))
            if found != self._owner.value():
                self._lost_to = Owner.parse(found).who if isinstance(found, bytes) else "nobody: it is gone"
                return False
        except (LinkError, ReplyError, CtlError):
            return False
        self._sure_until = asked + self._lease_s
        return True

    async def release(self) -> None:
        """Deletes the key if it is ours beyond doubt; else it ends by itself, within a lease."""
        with trio.move_on_after(self._lease_s / 3):
            if await self._prolong():
                await self._place.call("DEL")


_LOST_HINT = "Stopped before the next step. `ctl cluster resume` goes on when nobody else is at work."


class KeyPlace:
    """The lock's key, wherever its slot is: calls follow MOVED and ASK."""

    def __init__(self, fleet: Fleet, seeds: tuple[Address, ...], lease_s: float) -> None:
        self._fleet = fleet
        self._seeds = seeds
        self._at = seeds[0]
        self._timeout_s = lease_s / 3

    async def call(self, name: str, *words: str | int | bytes) -> Reply:
        """The reply of `name KEY words…`. Raises ReplyError, LinkError."""
        where, asking = self._at, False
        for _ in range(REDIRECTIONS_MAX):
            commands: list[tuple[str | int | bytes, ...]] = [("ASKING",)] if asking else []
            try:
                replies = await self._fleet.pipeline(
                    where, [*commands, (name, KEY, *words)], timeout_s=self._timeout_s
                )
            except LinkError:
                self._at = self._next_seed()
                raise
            reply = replies[-1]
            if not isinstance(reply, ReplyError):
                return reply
            if reply.code not in ("MOVED", "ASK"):
                raise reply
            where, asking = told(reply.text, where), reply.code == "ASK"
            if not asking:
                self._at = where
        raise ReplyError(f"ERR the slot of {KEY.decode()} is sent from node to node")

    @property
    def address(self) -> Address:
        """Where it was last."""
        return self._at

    def _next_seed(self) -> Address:
        number = self._seeds.index(self._at) if self._at in self._seeds else -1
        return self._seeds[(number + 1) % len(self._seeds)]


def told(text: str, asked: Address) -> Address:
    """The address of `MOVED 3999 host:port`; an empty host is that of the node that was asked."""
    where = text.split()[2]
    return Address(asked.host, int(where[1:])) if where.startswith(":") else Address.parse(where)


@asynccontextmanager
async def locked(
    credentials: Credentials,
    seeds: tuple[Address, ...],
    verb: str,
    on_wait: Callable[[str], None] = lambda _: None,
    *,
    lease_s: float | None = None,
) -> AsyncIterator[Lock]:
    """Holds the lock. Raises LockedError when another ctl is at work, CtlError where it cannot be taken.

    It is kept until the block ends, in a task that a cancellation from outside does not reach, so that what
    is finished in a shield is still under the lock.
    """
    lease_s = LEASE_S if lease_s is None else lease_s
    async with Fleet(credentials) as fleet, trio.open_nursery() as nursery:
        lock = await _acquire(KeyPlace(fleet, seeds, lease_s), Owner.me(verb), on_wait, lease_s)
        keeping = trio.CancelScope(shield=True)

        async def keep() -> None:
            with keeping:
                await lock.keep()

        nursery.start_soon(keep)
        try:
            yield lock
        finally:
            keeping.cancel()
            with trio.CancelScope(shield=True):
                await lock.release()


async def _acquire(place: KeyPlace, owner: Owner, on_wait: Callable[[str], None], lease_s: float) -> Lock:
    deadline = trio.current_time() + lease_s + 2 * LOOK_EVERY_S
    left_ms = -1
    while True:
        lock = Lock(place, owner, lease_s)
        holder, ms = await _try(place, owner, lease_s)
        if holder is None:
            return lock
        prolonged = 0 <= left_ms < ms
        if prolonged or trio.current_time() > deadline:
            raise LockedError(
                f"another ctl is at work on this cluster: {holder.verb}, by {holder.who}",
                "Wait for it, or end it; its lock ends by itself then.",
            )
        on_wait(f"the lock of {holder.who} is not prolonged, it ends in {ms / 1000:.0f} s")
        left_ms = ms
        await trio.sleep(LOOK_EVERY_S)


async def _try(place: KeyPlace, owner: Owner, lease_s: float) -> tuple[Owner | None, int]:
    """(None, 0) when the lock is `owner`'s now, else who has it and for how many milliseconds more."""
    try:
        if await place.call("SET", owner.value(), "NX", "PX", round(lease_s * 1000)) is not None:
            return None, 0
        found = await place.call("GET")
        left_ms = await place.call("PTTL")
    except ReplyError as error:
        if error.code == "WRONGTYPE":
            Owner.parse(b"")
        raise refused(place.address, "to keep the lock of ctl", error) from error
    except LinkError as error:
        raise CtlError(f"the lock of the cluster cannot be taken: {error}") from error
    if not isinstance(found, bytes):
        return await _try(place, owner, lease_s)  # it has just ended
    holder = Owner.parse(found)
    if holder.token == owner.token:
        return None, 0
    return holder, left_ms if isinstance(left_ms, int) else 0
