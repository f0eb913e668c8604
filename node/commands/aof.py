"""The append-only file: BGREWRITEAOF, and WAITAOF, which waits until writes are safe on disks."""

from __future__ import annotations

from node.clients import Clients
from node.command.args import bounded, integer
from node.command.call import Call
from node.command.session import Block
from node.command.spec import ADMIN, BLOCKING, NO_ASYNC_LOADING, NOSCRIPT, command
from node.errors import CommandError
from node.integers import INT64_MAX
from node.persistence.aof.errors import AofError
from node.persistence.aof.service import Aof
from node.replication.service import Replication
from node.resp.encode import array, error, simple
from node.resp.encode import integer as number

_ON_REPLICA = (
    b"ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just "
    b"local and are not propagated."
)
_NO_AOF = b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."


@command(
    b"BGREWRITEAOF", arity=1, group="server", since="1.0.0", flags=ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    needs=Aof, complexity="O(1)",
)  # fmt: skip
def bgrewriteaof(aof: Aof, _call: Call, _argv: list[bytes]) -> bytes:
    """Rewrites the append-only file in the background."""
    try:
        started = aof.request_rewrite()
    except AofError as failed:
        if aof.rewriting:
            raise CommandError(b"ERR " + str(failed).encode()) from failed
        raise CommandError(
            b"ERR Can't execute an AOF background rewriting. "
            b"Please check the server logs for more information."
        ) from failed
    return simple(b"Background append only file rewriting " + (b"started" if started else b"scheduled"))


@command(
    b"WAITAOF", arity=4, group="generic", since="7.2.0", flags=BLOCKING, categories=("connection",),
    needs=(Aof, Replication, Clients), complexity="O(1)",
    tips=("request_policy:all_shards", "response_policy:agg_min"),
)  # fmt: skip
def waitaof(
    aof: Aof, replication: Replication, clients: Clients, call: Call, argv: list[bytes]
) -> bytes | Block:
    """Waits until all writes so far are synced to disk, here and by a number of replicas."""
    range_error = b"ERR value is out of range, must be positive"
    local = bounded(argv[1], 0, 1, b"ERR value is out of range, value must between 0 and 1")
    count = bounded(argv[2], 0, INT64_MAX, range_error)
    timeout_ms = integer(argv[3], b"ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise CommandError(b"ERR timeout is negative")
    if timeout_ms > INT64_MAX - call.now_ms:
        raise CommandError(b"ERR timeout is out of range")
    if not replication.is_primary:
        raise CommandError(_ON_REPLICA)
    if local and not aof.is_on:
        raise CommandError(_NO_AOF)
    wait = _Wait(aof, replication, clients, call, local, count)
    if wait.is_over() or call.session.deny_blocking:
        return wait.reply()
    wait.begin()
    deadline_ms = call.now_ms + timeout_ms if timeout_ms else None
    return Block(b"waitaof", deadline_ms, wait.reply, wait.end)


class _Wait:
    """One client's WAITAOF: for what had been written when it came."""

    def __init__(
        self, aof: Aof, replication: Replication, clients: Clients, call: Call, local: int, count: int
    ) -> None:
        self._aof = aof
        self._acks = replication.primary.acks
        self._clients = clients
        self._session = call.session
        self._fed = aof.fed
        self._offset = replication.stream.data_offset
        self._local = local
        self._count = count

    def _have(self) -> tuple[int, int]:
        return int(self._aof.is_safe(self._fed)), self._acks.count_synced(self._offset)

    def is_over(self) -> bool:
        local, count = self._have()
        return local >= self._local and count >= self._count

    def reply(self) -> bytes:
        local, count = self._have()
        return array([number(local), number(count)])

    def begin(self) -> None:
        self._aof.on_synced.append(self._look)
        self._acks.on_ack.append(self._look)
        if self._local:
            self._aof.hurry()
        if self._count:
            self._acks.wanted_synced = True

    def end(self) -> None:
        self._aof.on_synced.remove(self._look)
        self._acks.on_ack.remove(self._look)

    def _look(self) -> None:
        if self._local and not self._aof.is_on:
            self._clients.unblock(self._session, error(_NO_AOF))
        elif self.is_over():
            self._clients.unblock(self._session, self.reply())
