"""The side of a node that follows a primary: keeps a link to it, and the data as the primary has them.

One task. It connects, introduces itself, asks to go on from where it is, loads a snapshot when that cannot be
(by the ways of `node.replication.full_sync`), and applies the stream until the link breaks; then
it begins anew, at once after a link that held, with growing pauses (`BACKOFF_FIRST_S`, doubling) after a
failure. A second task acknowledges the offset every second, and at once when the primary asks.

    CONNECT → CONNECTING → HANDSHAKE → (SYNC →) CONNECTED → CONNECT …

Whoever gives the order to follow someone else, or nobody, is obeyed at once: not one more command of the old
primary is applied, though it may have been received.

Source: https://redis.io/docs/management/replication/; the log lines are Redis 7.2's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import trio

from node.clock import Clock
from node.command.session import Session, Transport
from node.config import table as directives
from node.config.config import Config
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.keyspace.disposal import Disposal
from node.log import Log
from node.observe.stats import Stats
from node.persistence.loading import Loading
from node.persistence.rdb import NoteUse
from node.rdb.errors import RdbError
from node.replication.apply import Applier, Dispatch, Prepare, StreamError, prepare_nothing
from node.replication.full_sync import FullSync, way_of
from node.replication.handshake import Continue, FullResync, Introduction, Refused, ask, greet
from node.replication.load import SnapshotLoader
from node.replication.receive import Receiver
from node.replication.stream import Stream
from node.replication.void import EmptyPrimary, is_void, refuses_void
from node.resp.encode import command
from node.resp.stream import BufferedStream, ConnectError, LinkError, TimedOut, TlsClient, connect

CONNECT_TIMEOUT_S = 5.0
ACK_PERIOD_S = 1.0
BACKOFF_FIRST_S = 0.1
BACKOFF_UNREACHABLE_S = 1.0  # a primary that restarts is to be found soon
BACKOFF_REFUSED_S = 8.0  # each try may cost the primary a snapshot
HELD_S = 1.0  # a link that lasted so long was a good one


class LinkState(Enum):
    """The value is the word of ROLE."""

    NONE = "none"
    CONNECT = "connect"
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    SYNC = "sync"
    CONNECTED = "connected"


class Handover(Protocol):
    """A fail-over that may be on: who is asked to be our primary is to become one."""

    @property
    def asks(self) -> bool: ...
    def accepted(self) -> None: ...
    def refused(self) -> None: ...


class Follower:
    """`primary` is whom to follow, None for nobody. `on_link` is called when `is_up` changes; `on_replaced`
    when a snapshot has taken the place of the data; `on_new_history` when our own replicas must ask again,
    since what they follow has a new name.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        stats: Stats,
        stream: Stream,
        databases: list[Database],
        changes: Changes,
        policy: Policy,
        disposal: Disposal,
        new_session: Callable[[Transport, bytes], Session],
        end_session: Callable[[Session], None],
        dispatch: Callable[[], Dispatch],
        flush: Callable[[], None],
        settle: Callable[[], None],
        loading: Loading,
    ) -> None:
        self._loading = loading
        self._config = config
        self._log = log
        self._clock = clock
        self._stats = stats
        self._stream = stream
        self._databases = databases
        self._changes = changes
        self._policy = policy
        self._disposal = disposal
        self._new_session = new_session
        self._end_session = end_session
        self._dispatch = dispatch
        self._flush = flush
        self._settle = settle
        self._scope: trio.CancelScope | None = None  # the work for the present primary
        self._attempt: trio.CancelScope | None = None  # the present connection
        self._ordered = trio.Event()
        self._hurry = trio.Event()
        self._ack_now = trio.Event()
        self._db_index = 0  # selected by the stream, when no link is there
        self._first_db_index = 0  # by that of the next primary
        self._session: Session | None = None  # that stands for the primary
        self._synced = False  # the data are this primary's
        self._data_of: tuple[str, int] | None = None  # whom the present order has got data from
        self._connected_at_s: float | None = None
        self.primary: tuple[str, int] | None = None
        self.state = LinkState.NONE
        self.applier: Applier | None = None
        self.receiver: Receiver | None = None
        self.last_io_ms: int | None = None
        self.down_since_ms: int | None = None
        self.on_link: Callable[[], None] = lambda: None
        self.prepare: Prepare = prepare_nothing
        self.on_replaced: Callable[[], None] = lambda: None
        self.on_new_history: Callable[[], None] = lambda: None
        self.on_empty_primary: Callable[[], None] = lambda: None
        self.take_functions: Callable[[list[bytes]], None] = lambda _sources: None
        self.failover: Handover | None = None
        self.may_reach: Callable[[str, int], bool] = lambda _host, _port: True
        self.tls: Callable[[], TlsClient | None] = lambda: None
        self.note_use: NoteUse | None = None
        self.synced_offset: Callable[[], int | None] = lambda: None
        self.hurry_sync: Callable[[], None] = lambda: None
        self._asked = False  # the primary waits for what we have on disk
        config.on_change_of((directives.MASTERAUTH, directives.MASTERUSER), self._hurry_up)

    # Orders

    @property
    def is_up(self) -> bool:
        return self.state is LinkState.CONNECTED

    def follow(self, primary: tuple[str, int] | None) -> None:
        """Takes effect at once; the link follows as soon as the task runs."""
        if self.applier is not None:
            self.applier.ended = True
        self.primary = primary
        self._synced = False
        self._data_of = None
        self._db_index, self._first_db_index = self._first_db_index, 0
        self.down_since_ms = None
        self._set_state(LinkState.NONE if primary is None else LinkState.CONNECT)
        self._ordered.set()
        if self._scope is not None:
            self._scope.cancel()

    @property
    def selected_db(self) -> int:
        """The database that the stream has selected, at the offset that is applied."""
        session = self._session
        return self._db_index if session is None else session.call.db.index

    def begin_in(self, db_index: int) -> None:
        """The data are those of a snapshot, behind which the primary's stream begins in that database.

        It holds for the primary that is followed next.
        """
        self._first_db_index = db_index

    def data_age_ms(self, now_ms: int) -> int | None:
        """How long ago the primary was last heard of; None while its data never were here."""
        if not self._synced or self.last_io_ms is None:
            return None
        return max(0, now_ms - self.last_io_ms)

    def acknowledge(self, *, synced: bool = False) -> None:
        """Tells the primary our offset without waiting for the second to be over; with `synced` syncs the
        append-only file at once, and tells it again when that is done.
        """
        self._asked = True
        if synced:
            self.hurry_sync()
        self._ack_now.set()

    def more_is_synced(self) -> None:
        """More of our append-only file is on disk: tells a primary that has asked."""
        if self._asked:
            self._ack_now.set()

    def _hurry_up(self) -> None:
        self._hurry.set()

    def _set_state(self, state: LinkState) -> None:
        was_up = self.is_up
        self.state = state
        if was_up != self.is_up:
            if was_up:
                self.down_since_ms = self._clock.update()
            self.on_link()

    # The task

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._ordered = trio.Event()
            primary = self.primary
            if primary is None:
                await self._ordered.wait()
                continue
            with trio.CancelScope() as self._scope:
                await self._keep_link(*primary)
            self._scope = None

    async def _keep_link(self, host: str, port: int) -> None:
        pause_s = 0.0
        while True:
            self._connected_at_s = None
            longest_s = BACKOFF_REFUSED_S
            try:
                with trio.CancelScope() as self._attempt:
                    await self._try(host, port)
                self._log.notice("Connection with master lost.")
            except ConnectError as failed:
                longest_s = BACKOFF_UNREACHABLE_S
                self._log.warning(f"Error condition on socket for SYNC: {failed}")
            except LinkError as failed:
                longest_s = BACKOFF_UNREACHABLE_S
                self._log.warning(f"Connection with master lost: {failed}")
            except Refused as refused:
                longest_s = BACKOFF_UNREACHABLE_S if refused.soon else BACKOFF_REFUSED_S
                self._log.warning(str(refused))
            except EmptyPrimary as empty:
                self._log.warning(f"MASTER {host}:{port} {empty}")
                self.on_empty_primary()
            except RdbError as bad:
                self._log.warning(f"Failed trying to load the MASTER synchronization DB from socket: {bad}")
            except StreamError as bad:
                self._log.warning(f"Protocol error from MASTER {host}:{port}: {bad}")
            if self.primary != (host, port):
                return
            self._set_state(LinkState.CONNECT)
            pause_s = 0.0 if self._held() else min(max(BACKOFF_FIRST_S, 2 * pause_s), longest_s)
            self._log.notice(f"Reconnecting to MASTER {host}:{port}")
            self._hurry = trio.Event()
            with trio.move_on_after(pause_s):
                await self._hurry.wait()

    def _held(self) -> bool:
        """Whether the connection that has just ended was a good one."""
        since_s = self._connected_at_s
        return since_s is not None and trio.current_time() - since_s >= HELD_S

    async def _try(self, host: str, port: int) -> None:
        """One connection, to its end. Raises what ended it."""
        config, log = self._config, self._log
        timeout_s = float(config[directives.REPL_TIMEOUT])
        log.notice(f"Connecting to MASTER {host}:{port}")
        self._set_state(LinkState.CONNECTING)
        log.notice("MASTER <-> REPLICA sync started")
        if not self.may_reach(host, port):
            raise ConnectError(f"{host}:{port}", "cut off by DEBUG FAULT")
        connection = await connect(
            host,
            port,
            timeout_s=min(CONNECT_TIMEOUT_S, timeout_s),
            local_host=config[directives.BIND_SOURCE_ADDR] or None,
            tls=self.tls(),
        )
        try:
            self._set_state(LinkState.HANDSHAKE)
            log.notice("Non blocking connect for SYNC fired the event.")
            await greet(connection, self._introduction(), log, timeout_s)
            history = self._stream if self._stream.backlog is not None else None
            answer = await self._ask(connection, history, timeout_s)
            rest = b""
            if isinstance(answer, FullResync):
                rest = await self._load(connection, answer)
            else:
                self._continue(answer)
            await self._follow_stream(connection, rest)
        finally:
            await connection.aclose()

    async def _ask(
        self, connection: BufferedStream, history: Stream | None, timeout_s: float
    ) -> Continue | FullResync:
        failover = self.failover
        if failover is None or not failover.asks:
            return await ask(connection, history, self._log, timeout_s)
        try:
            answer = await ask(connection, history, self._log, timeout_s, failover=True)
        except (Refused, LinkError) as no:
            self._log.warning(str(no))
            failover.refused()
            raise
        failover.accepted()
        return answer

    def _own_port(self) -> int:
        """Where our primary's side finds us, should it ever follow us."""
        config = self._config
        tls_port = config[directives.TLS_PORT] if config[directives.TLS_REPLICATION] else 0
        return config[directives.REPLICA_ANNOUNCE_PORT] or tls_port or config[directives.PORT]

    def _introduction(self) -> Introduction:
        config = self._config
        return Introduction(
            user=config[directives.MASTERUSER],
            password=config[directives.MASTERAUTH],
            port=self._own_port(),
            ip=config[directives.REPLICA_ANNOUNCE_IP].encode(),
        )

    # Synchronisation

    async def _load(self, connection: BufferedStream, answer: FullResync) -> bytes:
        """A full synchronisation. Returns what was received behind it."""
        self._set_state(LinkState.SYNC)
        loader = SnapshotLoader(self._databases, self._changes, self._policy, self.note_use)
        sync = FullSync(
            self._config, self._log, self._loading, loader, connection,
            lambda: self._read(connection),
            lambda: self._give_up_data(loader),
            way_of(self._config, self._held_keys(), careful=self._may_be_void(answer)),
        )  # fmt: skip
        self.receiver = sync.receiver
        try:
            rest = await sync.run(float(self._config[directives.REPL_TIMEOUT]))
        finally:
            self.receiver = None
        self._refuse_void(loader.keys_loaded, answer)
        self._log.notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB")
        self._flush()
        self.on_new_history()
        old = loader.swap_in()
        self._stream.adopt(answer.replid, answer.offset, self._config[directives.REPL_BACKLOG_SIZE])
        self._db_index = loader.stream_db
        self.take_functions(loader.functions)
        self.on_replaced()
        self._log.notice(f"MASTER <-> REPLICA sync: Finished with success, {loader.keys_loaded} keys loaded")
        for database in old:
            self._disposal.take(database.slots)
        return rest

    def _refuse_void(self, keys_loaded: int, answer: FullResync) -> None:
        """Raises EmptyPrimary for a primary that has lost what we have from it (`node.replication.void`)."""
        held = self._held_keys()
        if self._may_be_void(answer) and is_void(keys_loaded, held):
            raise EmptyPrimary(keys_loaded, held)

    def _may_be_void(self, answer: FullResync) -> bool:
        stream = self._stream
        return (
            self._data_of == self.primary
            and answer.replid not in (stream.replid, stream.replid2)
            and refuses_void(self._config)
        )

    def _held_keys(self) -> int:
        return sum(database.count for database in self._databases)

    def _give_up_data(self, loader: SnapshotLoader) -> None:
        """What we had makes room for what the primary has: until that is here, we have no history."""
        self._synced = False
        self._flush()
        self.on_new_history()
        if self._stream.backlog is not None:
            self._stream.close_backlog()
        for database in loader.empty_out():
            self._disposal.take(database.slots)

    def _continue(self, answer: Continue) -> None:
        if answer.replid and answer.replid != self._stream.replid:
            self._log.notice(f"Master replication ID changed to {answer.replid.decode()}")
            self._flush()
            self._stream.rename(answer.replid)
            self.on_new_history()
        self._log.notice("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.")

    # The stream

    async def _follow_stream(self, connection: BufferedStream, rest: bytes) -> None:
        session = self._new_session(LinkTransport(self), connection.peer.encode())
        session.call.db = session.call.databases[min(self._db_index, len(session.call.databases) - 1)]
        self._session = session
        applier = self.applier = Applier(
            session, self._stream, self._clock, self._policy, self._log, self._dispatch(), self._settle,
            self.prepare,
        )  # fmt: skip
        self._synced = True
        self._data_of = self.primary
        self._connected_at_s = trio.current_time()
        self._set_state(LinkState.CONNECTED)
        ended: list[LinkError | StreamError] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_acks, connection, ended, nursery.cancel_scope)
                try:
                    while True:
                        await applier.feed(rest or await self._read(connection))
                        rest = b""
                except (LinkError, StreamError) as lost:
                    ended.append(lost)
                    nursery.cancel_scope.cancel()
        finally:
            applier.ended = True
            self.applier = None
            self._db_index = session.call.db.index
            self._session = None
            self._end_session(session)
        raise ended[0]

    async def _send_acks(
        self, connection: BufferedStream, ended: list[LinkError | StreamError], scope: trio.CancelScope
    ) -> None:
        try:
            while True:
                self._ack_now = trio.Event()
                words = [b"REPLCONF", b"ACK", b"%d" % self._stream.offset]
                synced_offset = self.synced_offset()
                if synced_offset is not None:
                    words += [b"FACK", b"%d" % synced_offset]
                    self._asked = self._asked and synced_offset < self._stream.offset
                await connection.send(command(words))
                with trio.move_on_after(ACK_PERIOD_S):
                    await self._ack_now.wait()
        except LinkError as lost:
            ended.append(lost)
            scope.cancel()

    async def _read(self, connection: BufferedStream) -> bytes:
        """The next bytes. Raises LinkError, also after repl-timeout without any."""
        timeout_s = float(self._config[directives.REPL_TIMEOUT])
        with trio.move_on_after(timeout_s):
            data = await connection.read_some()
            self.last_io_ms = self._clock.update()
            self._stats.replication_input_bytes += len(data)
            return data
        raise TimedOut(connection.peer, f"MASTER timeout: no data nor PING received for {timeout_s:g} s")

    def drop(self) -> None:
        """Ends the present connection; the link is built anew."""
        if self._attempt is not None:
            self._attempt.cancel()


class LinkTransport:
    """The transport of the session that stands for the primary: replies go nowhere."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def send(self, data: bytes) -> None:
        """Primaries expect no replies."""

    def push(self, data: bytes) -> None:
        """Nor messages."""

    def close(self, after_output: bool) -> None:  # noqa: ARG002  nothing is ever queued
        self._follower.drop()

    def resume(self) -> None:
        """The stream's commands never wait."""

    def trust(self) -> None:
        """It is trusted."""

    def when_sent(self, callback: Callable[[], None]) -> None:
        callback()

    def output_bytes(self) -> int:
        return 0

    def output_parts(self) -> int:
        return 0

    def pending_bytes(self) -> int:
        return 0

    def descriptor(self) -> int:
        return -1

    def waits_for(self) -> str:
        return "r"
