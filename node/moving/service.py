"""MIGRATE: keys go to another server and are deleted here, each when the other has said that it has it.

Redis does this while everything else waits. Here the client that asked is blocked, its keys are in flight
(`node.moving.flight`), and a task of its own talks to the target: payloads are made in slices, batches of
keys are pipelined, the next one on its way while the answers to the last come in. An answer lands its keys
one by one, so whenever either side dies, a key is here, or there, or in the moment between two answers on
both; never on neither.

A connection that breaks before the first answer is replaced once, since a cached one may have been closed by
the other side; what was refused stays here, and the first refusal is the reply.

Source: https://redis.io/commands/migrate/; the texts of errors are those of Redis 7.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import trio

from gossip.slots import key_slot
from node.clients import Clients
from node.clock import Clock
from node.command.call import Call
from node.command.session import Block, Session
from node.errors import CommandError
from node.keyspace.changes import Changes, EventClass
from node.keyspace.database import Database, Value
from node.keyspace.disposal import Disposal
from node.moving.flight import KeysInFlight
from node.moving.slicing import in_slices
from node.moving.targets import ReadFailed, Target, Targets, WriteFailed
from node.rdb.slices import dump_slices
from node.resp.client import Reply, ReplyError, encode_command
from node.resp.encode import OK, error
from node.resp.stream import ConnectError

BATCH_KEYS = 256
BATCH_BYTES = 256 * 1024
BATCHES_UNANSWERED = 2
ATTEMPTS_AT_ONE_KEY = 8
BLOCKED_KIND = b"migrate"
NO_KEY = b"+NOKEY\r\n"
_CANNOT_CONNECT = b"IOERR error or timeout connecting to the client"
_CANNOT_WRITE = b"IOERR error or timeout writing to target instance"
_CANNOT_READ = b"IOERR error or timeout reading to target instance"
_REFUSED_CONNECTION = "connection refused"  # Redis sees it when it writes
_REFUSED = b"ERR Target instance replied with error: "
_RESTLESS = b"ERR A key kept changing while it was sent, and stays here"
_NOT_OURS = b"READONLY You can't write against a read only replica."
_NOT_HERE = b"ERR MIGRATE cannot wait for the target inside a transaction or a script"


class Order(NamedTuple):
    """A parsed MIGRATE. `auth` is what follows AUTH: nothing, a password, or user and password."""

    host: str
    port: int
    database: int
    timeout_ms: int
    copy: bool
    replace: bool
    auth: tuple[bytes, ...]
    keys: list[bytes]


class _Job:
    """An order on its way. `left` are the keys whose answer has not come, `refusal` is the reply if any."""

    __slots__ = ("answered", "db", "keys", "order", "refusal", "restless")

    def __init__(self, order: Order, db: Database, keys: list[bytes]) -> None:
        self.order = order
        self.db = db
        self.keys = dict.fromkeys(keys)  # in flight
        self.answered = False  # whether the target has said anything about a key
        self.refusal: bytes | None = None
        self.restless: dict[bytes, None] = {}  # changed after they were sent

    @property
    def timeout_s(self) -> float:
        return self.order.timeout_ms / 1000


class Moving:
    """One per node. `in_cluster` sends keys as RESTORE-ASKING."""

    def __init__(
        self,
        clock: Clock,
        clients: Clients,
        changes: Changes,
        flight: KeysInFlight,
        disposal: Disposal,
        targets: Targets,
        apply_removed: Callable[[], None],
        settle: Callable[[], None],
        is_replica: Callable[[], bool],
        in_cluster: bool,
    ) -> None:
        """`apply_removed` is apply_expired of server/after.py: keys went outside a command."""
        self._clock = clock
        self._clients = clients
        self._changes = changes
        self.flight = flight
        self._disposal = disposal
        self.targets = targets
        self._apply_removed = apply_removed
        self._settle = settle
        self._is_replica = is_replica
        self._restore = b"RESTORE-ASKING" if in_cluster else b"RESTORE"
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """The task; runs until cancelled."""
        async with trio.open_nursery() as self._nursery:
            while True:
                await trio.sleep(1)
                await self.targets.drop_idle()

    def begin(self, call: Call, order: Order, may_wait: bool) -> Block | bytes:
        """The reply to MIGRATE when no key is here, else the block of its client. Raises CommandError."""
        db = call.db
        here = [
            key for key in dict.fromkeys(order.keys) if db.read(key, key_slot(key), call.now_ms) is not None
        ]
        if not here:
            return NO_KEY
        if not may_wait:
            raise CommandError(_NOT_HERE)
        assert self._nursery is not None, "the task has not been started"
        self.flight.depart(db.index, here)
        block = Block(BLOCKED_KIND, None, lambda: b"", lambda: None, may_time_out=False)
        self._nursery.start_soon(self._move, _Job(order, db, here), call.session, block)
        return block

    async def _move(self, job: _Job, session: Session, block: Block) -> None:
        try:
            reply = await self._attempts(job)
        finally:
            for key in job.keys:
                self.flight.land(job.db.index, key)
        if session.blocked is block:
            self._clients.unblock(session, reply)
        self._settle()

    async def _attempts(self, job: _Job) -> bytes:
        """Sends everything; the reply to the client."""
        order = job.order
        may_retry = True
        while True:
            try:
                target = await self.targets.take((order.host, order.port), job.timeout_s)
            except ConnectError as failed:
                return error(_CANNOT_WRITE if failed.reason == _REFUSED_CONNECTION else _CANNOT_CONNECT)
            try:
                await self._send_all(job, target)
                self.targets.give_back(target)
                return OK if job.refusal is None else error(job.refusal)
            except WriteFailed as failed:
                await self.targets.drop(target)
                if may_retry and not failed.timed_out and not job.answered and job.refusal is None:
                    may_retry = False
                    continue
                text = _CANNOT_READ if isinstance(failed, ReadFailed) else _CANNOT_WRITE
                return error(job.refusal or text)
            except BaseException:
                await self.targets.drop(target)
                raise

    async def _send_all(self, job: _Job, target: Target) -> None:
        """Raises WriteFailed, ReadFailed."""
        if not await self._introduce(job, target):
            return
        replace = job.order.replace
        keys = deque(job.keys)
        for _ in range(ATTEMPTS_AT_ONE_KEY):
            unanswered: deque[list[bytes]] = deque()
            while keys:
                batch, pieces = await self._batch(job, keys, replace)
                await target.send(pieces, job.timeout_s)
                unanswered.append(batch)
                if len(unanswered) == BATCHES_UNANSWERED:
                    await self._answers(job, target, unanswered.popleft())
            while unanswered:
                await self._answers(job, target, unanswered.popleft())
            if not job.restless:
                return
            keys, replace = deque(job.restless), True
            job.restless.clear()
        job.refusal = job.refusal or _RESTLESS

    async def _introduce(self, job: _Job, target: Target) -> bool:
        """AUTH and SELECT, as far as they are needed; whether the target is content."""
        order = job.order
        requests: list[list[bytes]] = []
        if order.auth:
            requests.append([b"AUTH", *order.auth])
        if target.database != order.database:
            requests.append([b"SELECT", b"%d" % order.database])
        if requests:
            await target.send([b"".join(map(encode_command, requests))], job.timeout_s)
            for _ in requests:
                self._refuse(job, await target.reply(job.timeout_s))
        target.database = order.database if job.refusal is None else -1
        return job.refusal is None

    def _refuse(self, job: _Job, reply: Reply) -> bool:
        """Whether a reply is an error; the first one is kept for the client."""
        if not isinstance(reply, ReplyError):
            return False
        if job.refusal is None:
            job.refusal = _REFUSED + reply.text.encode("utf-8", "surrogateescape")
        return True

    # Sending

    async def _batch(self, job: _Job, keys: deque[bytes], replace: bool) -> tuple[list[bytes], list[bytes]]:
        """Takes some of `keys`: those that are still here, and the bytes that send them, some hundred
        kilobytes unless one value is bigger.
        """
        batch: list[bytes] = []
        pieces: list[bytes] = []
        size = 0
        while keys and len(batch) < BATCH_KEYS and size < BATCH_BYTES:
            key = keys.popleft()
            request = await self._request(job, key, replace)
            if request:
                batch.append(key)
                pieces += request
                size += sum(map(len, request))
        return batch, _joined(pieces)

    async def _request(self, job: _Job, key: bytes, replace: bool) -> list[bytes]:
        """RESTORE of a key in pieces; nothing when its time is over or it was deleted."""
        db = job.db
        slot = key_slot(key)
        payload: list[bytes] | None = None
        while payload is None:
            self.flight.changed.discard((db.index, key))
            value = db.peek(key, slot, self._clock.update())
            if value is None:
                return []
            payload = await self._payload(db.index, key, value)
        ttl_ms = 0
        deadline_ms = db.deadline(key)
        if deadline_ms is not None:
            ttl_ms = max(1, deadline_ms - self._clock.update())
        head = b"*%d\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%d\r\n$%d\r\n" % (
            5 if replace else 4,
            len(self._restore),
            self._restore,
            len(key),
            key,
            len(b"%d" % ttl_ms),
            ttl_ms,
            sum(map(len, payload)),
        )
        return [head, *payload, b"\r\n$7\r\nREPLACE\r\n" if replace else b"\r\n"]

    async def _payload(self, db_index: int, key: bytes, value: Value) -> list[bytes] | None:
        """None when the value has changed while the payload was made."""
        try:
            payload = await in_slices(dump_slices(value))
        except RuntimeError:
            if (db_index, key) not in self.flight.changed:
                raise
            return None
        return None if (db_index, key) in self.flight.changed else payload

    # Answers

    async def _answers(self, job: _Job, target: Target, batch: list[bytes]) -> None:
        """Reads the replies to a batch; keys that have arrived are deleted here. Raises ReadFailed."""
        arrived: list[bytes] = []
        try:
            for key in batch:
                reply = await target.reply(job.timeout_s)
                job.answered = True
                if self._refuse(job, reply):
                    target.database = -1
                elif (job.db.index, key) in self.flight.changed:
                    job.restless[key] = None
                elif not job.order.copy:
                    arrived.append(key)
        finally:
            self._gone(job, arrived)

    def _gone(self, job: _Job, keys: list[bytes]) -> None:
        """Deletes keys that have arrived, here and on our replicas, and lands them."""
        if not keys:
            return
        db, changes = job.db, self._changes
        if self._is_replica():  # since a moment ago: the keys are the new primary's
            job.refusal = job.refusal or _NOT_OURS
            return
        removed: list[bytes] = []
        for key in keys:
            value = db.remove(key, key_slot(key))
            if value is not None:
                removed.append(key)
                self._disposal.take_value(value)
                changes.log.append((EventClass.GENERIC, b"del", key, db.index))
        if removed:
            changes.expired_logged += len(removed)
            changes.expired.append((db.index, [b"DEL", *removed]))
            self._apply_removed()
        for key in keys:
            del job.keys[key]
            self.flight.land(db.index, key)
        self._settle()


def _joined(pieces: list[bytes]) -> list[bytes]:
    """Small pieces as one; a big value's stay as they are."""
    joined: list[bytes] = []
    gathered: list[bytes] = []
    for piece in pieces:
        gathered.append(piece)
        if len(piece) >= BATCH_BYTES // 2:
            joined.append(b"".join(gathered))
            gathered.clear()
    if gathered:
        joined.append(b"".join(gathered))
    return joined
