"""Replication as the rest of a node sees it: the role, whom we follow, who follows us, and how far everyone
is.

A node has one stream (`node.replication.stream`) and two sides to it: `primary`, that gives it to replicas,
and `follower`, that gets it from a primary. A primary makes the stream from the changes it is told of; a
replica is told of changes too, when it applies its primary's, and listens to none of them, since it passes on
what it received. So a write to a replica that is not read-only stays on that replica.

Source: https://redis.io/docs/management/replication/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from node.clients import POSTPONED, Clients
from node.clock import Clock
from node.command.call import Call
from node.command.session import Block, Session, Transport
from node.config import table as directives
from node.config.config import Config
from node.errors import CommandError
from node.guards import Guard, Guards
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.keyspace.disposal import Disposal
from node.log import Log
from node.observe.stats import Stats
from node.persistence.loading import Loading
from node.persistence.snapshot import Snapshots, StreamPosition
from node.replication.apply import Dispatch
from node.replication.failover import Failover
from node.replication.follower import Follower
from node.replication.primary import Primary
from node.replication.replicas import Replica
from node.replication.stream import Stream
from node.resp.encode import error, integer
from node.timers import Timers

UNBLOCKED = error(
    b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)

Teller = Callable[[int, list[bytes]], None]
Task = Callable[[], Awaitable[None]]


class Replication:
    """One per node. `tellers` are those of `node.server.after`; the application sets `dispatcher`, and may
    set `expected_replicas`, which tells how many replicas are known to this node.

    Services hang themselves into `on_role_change`, `on_link_change` (the link to the primary went up or
    down), `on_link_session` (a new session stands for the primary)
    and `on_data_replaced` (another data set took the place of ours: every key may have changed).
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        stats: Stats,
        guards: Guards,
        clients: Clients,
        timers: Timers,
        databases: list[Database],
        changes: Changes,
        policy: Policy,
        disposal: Disposal,
        tellers: list[Teller],
        snapshots: Snapshots,
        new_call: Callable[[], Call],
        settle: Callable[[], None],
        loading: Loading,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._guards = guards
        self._clients = clients
        self._timers = timers
        self._policy = policy
        self._tellers = tellers
        self._new_call = new_call
        self._nursery: trio.Nursery | None = None
        self.dispatcher: Dispatch | None = None
        self.expected_replicas: Callable[[], int | None] = lambda: None
        self.on_role_change: list[Callable[[], None]] = []
        self.on_link_change: list[Callable[[], None]] = []
        self.on_data_replaced: list[Callable[[], None]] = []
        self.on_link_session: list[Callable[[Session], None]] = []
        self.stream = Stream()
        self.primary = Primary(
            config, log, clock, stats, guards, self.stream, snapshots, settle, self._spawn,
            lambda: self.is_primary, lambda: self.expected_replicas(),
        )  # fmt: skip
        self.follower = Follower(
            config, log, clock, stats, self.stream, databases, changes, policy, disposal,
            self._new_link_session,
            clients.remove, self._dispatch, self.primary.flush,
            settle, loading,
        )  # fmt: skip
        self.failover = Failover(config, log, clock, clients, timers, self.stream, self.primary, self)
        self.follower.failover = self.failover
        self.primary.on_backlog = self._choose_teller
        self.primary.selected_db = lambda: 0 if self.is_primary else self.follower.selected_db
        self.follower.on_link = self._link_changed
        self.follower.on_replaced = self._data_replaced
        self.follower.on_new_history = self.primary.drop_replicas
        clients.on_removed.append(self.primary.closed)
        config.on_change_of(
            (directives.REPLICA_READ_ONLY, directives.REPLICA_SERVE_STALE_DATA), self._update_guards
        )

    # Who we are

    @property
    def is_primary(self) -> bool:
        return self.follower.primary is None

    @property
    def primary_address(self) -> tuple[str, int] | None:
        """Host and port of the primary; None when we are one."""
        return self.follower.primary

    @property
    def link_up(self) -> bool:
        """Whether a replica is connected to its primary and in step with it."""
        return self.follower.is_up

    @property
    def replicas(self) -> list[Replica]:
        """Those that asked for the stream: address, port, state, ack_offset, lag_s()."""
        return list(self.primary.replicas)

    def offset(self) -> int:
        """How much of the stream is in our data: made (a primary) or applied (a replica)."""
        return self.stream.offset

    def position(self) -> StreamPosition | None:
        """Where the stream stands, for a snapshot of this moment; None when nobody could go on from there."""
        stream = self.stream
        if stream.backlog is None:
            return None
        db = stream.selected_db if self.is_primary else self.follower.selected_db
        return StreamPosition(db, stream.replid, stream.offset)

    def data_age_ms(self, now_ms: int) -> int | None:
        """A replica's time since it heard of its primary; None while it never finished a synchronisation with
        it, and for a primary.
        """
        return self.follower.data_age_ms(now_ms)

    def replicas_in_step(self) -> int:
        """How many replicas have said that they hold what we hold."""
        return self.primary.in_step()

    # Orders

    def follow(self, host: str, port: int) -> None:
        """Becomes a replica of another primary, at once; nothing happens when it is that one's already."""
        if self.follower.primary == (host, port):
            return
        was_primary = self.is_primary
        self.primary.flush()
        if was_primary and self.stream.backlog is not None:
            self._log.notice(
                "Before turning into a replica, using my own master parameters to synthesize a cached "
                "master: I may be able to synchronize with the new master with just a partial transfer."
            )
        self.follower.follow((host, port))
        if was_primary:
            self._end_blocks()
        self._role_changed()

    def promote(self) -> None:
        """Becomes a primary, at once, with the data as they are; nothing happens when it is one.

        The history goes on under a new name, and replicas of the old one may continue.
        """
        if self.is_primary:
            return
        self.follower.follow(None)
        self.primary.flush()
        self.stream.branch()
        self._log.notice(
            f"Setting secondary replication ID to {self.stream.replid2.decode()}, valid up to offset: "
            f"{self.stream.second_offset}. New replication ID is {self.stream.replid.decode()}"
        )
        self.primary.drop_replicas()
        self.primary.alone_from_now()
        self._role_changed()

    def restart_from(
        self, position: StreamPosition, is_replica: bool, expired: list[tuple[int, bytes]]
    ) -> None:
        """The data are those of a snapshot that was made there: a replica may go on, and may its own.

        A primary begins a history of its own there, so replicas that were no further may follow it. `expired`
        are keys of the snapshot (database, key) that are not in our data, and may be in theirs.
        """
        self.stream.adopt(position.replid, position.offset, self._config[directives.REPL_BACKLOG_SIZE])
        if is_replica:
            self.follower.begin_in(position.db)
            return
        self.stream.branch()
        self.primary.alone_from_now()
        self._choose_teller()
        for db_index, key in expired:
            self.stream.feed(db_index, [b"DEL", key])
        self.primary.flush()

    def follow_for(self, host: str, port: int, client: str) -> bool:
        """REPLICAOF by `client`; False when that is whom we follow."""
        if self.follower.primary == (host, port):
            self._log.notice(
                "REPLICAOF would result into synchronization with the master we are already connected with. "
                "No operation performed."
            )
            return False
        self.follow(host, port)
        self._log.notice(f"REPLICAOF {host}:{port} enabled (user request from '{client}')")
        return True

    def stop_following(self, client: str) -> None:
        """REPLICAOF NO ONE by `client`."""
        if not self.is_primary:
            self.promote()
            self._log.notice(f"MASTER MODE enabled (user request from '{client}')")

    def hold_offset(self, until_ms: int) -> None:
        """Until that time (0: no longer) a paused primary moves its offset by nothing of its own, while a
        replica that is to take over compares it: no PING, no GETACK, no expired keys.
        """
        self.primary.offset_held_until_ms = until_ms
        self.choose_expiry()
        if until_ms:
            self._timers.at(until_ms, self.choose_expiry)

    def when_acknowledged(
        self, offset: int, count: int, callback: Callable[[int], None]
    ) -> Callable[[], None]:
        """Calls back once, with the number, when `count` replicas have acknowledged `offset`.

        Replicas are asked at once. Returns what forgets it.
        """
        waiter = self.primary.acks.wait(offset, count, callback)
        return waiter.cancel

    # Requests

    def give_way(self, session: Session, replid: bytes) -> None:
        """PSYNC … FAILOVER: our primary wants to be our replica. Raises CommandError."""
        self._log.notice(f"Failover request received for replid {replid.decode('ascii', 'replace')}.")
        if self.is_primary:
            raise CommandError(b"ERR PSYNC FAILOVER can't be sent to a master.")
        if replid != self.stream.replid:
            raise CommandError(b"ERR PSYNC FAILOVER replid must match my replid.")
        self._config.store(directives.REPLICAOF, None)
        self.promote()
        client = f"id={session.id} addr={session.address.decode()}"
        self._log.notice(f"MASTER MODE enabled (failover request from '{client}')")

    def serve(self, session: Session, replid: bytes | None, offset: int) -> None:
        """PSYNC (with a history's id, or `?`), or SYNC (None): makes a replica of a client.

        The answer goes out at once or when a snapshot is ready. Raises CommandError.
        """
        if session.is_replica:
            return
        if self.failover.active:
            raise CommandError(b"NOMASTERLINK Can't SYNC while failing over")
        if not self.is_primary and not self.link_up:
            raise CommandError(b"NOMASTERLINK Can't SYNC while not connected with my master")
        name = self.primary.replicas.of(session).name
        self._log.notice(f"Replica {name} asks for synchronization")
        if replid is None or not self.primary.partial(session, replid, offset):
            self.primary.full(session, acknowledges=replid is not None)

    def wait(self, session: Session, count: int, deadline_ms: int | None) -> bytes | Block:
        """WAIT: for `count` acknowledgements of all that was written until now."""
        offset, acks = self.stream.data_offset, self.primary.acks
        have = acks.count(offset)
        if have >= count or session.deny_blocking:
            return integer(have)
        waiter = acks.wait(offset, count, lambda have: self._clients.unblock(session, integer(have)))
        return Block(b"wait", deadline_ms, lambda: integer(acks.count(offset)), waiter.cancel)

    def lagging(self) -> list[str]:
        """Replicas that have not acknowledged our last change, for a shutdown to wait for; they are asked."""
        offset = self.stream.data_offset
        behind = [
            f"{replica.name} reported offset {offset - replica.ack_offset} behind master"
            for replica in self.primary.replicas.online()
            if replica.acknowledges and replica.ack_offset < offset
        ]
        self.primary.acks.wanted |= bool(behind)
        return behind

    # Tasks

    async def run(self) -> None:
        """The task; runs until cancelled."""
        configured = self._config[directives.REPLICAOF]
        if configured is not None:
            self.follow(*configured)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.follower.run)
            while True:
                await trio.sleep(1)
                self._clock.update()
                self.primary.every_second()

    def _spawn(self, task: Task) -> bool:
        if self._nursery is None:
            return False
        self._nursery.start_soon(task)
        return True

    # What follows from a change

    def _role_changed(self) -> None:
        self.primary.offset_held_until_ms = 0
        self.choose_expiry()
        self._choose_teller()
        self._update_guards()
        for callback in self.on_role_change:
            callback()

    def choose_expiry(self) -> None:
        """Whether keys expire here: not on a replica."""
        self._policy.expires = self.is_primary and not self.primary.offset_held

    def _choose_teller(self) -> None:
        tell: Teller = self.stream.feed
        wanted = self.is_primary and self.stream.backlog is not None
        if wanted and tell not in self._tellers:
            self._tellers.append(tell)
        elif not wanted and tell in self._tellers:
            self._tellers.remove(tell)

    def _update_guards(self) -> None:
        config = self._config
        replica = not self.is_primary
        self._guards.set(Guard.REPLICA, replica and config[directives.REPLICA_READ_ONLY])
        stale = replica and not self.link_up and not config[directives.REPLICA_SERVE_STALE_DATA]
        self._guards.set(Guard.STALE, stale)
        self.primary.update_guard()

    def _link_changed(self) -> None:
        self._update_guards()
        for callback in self.on_link_change:
            callback()

    def _data_replaced(self) -> None:
        for callback in self.on_data_replaced:
            callback()

    def _end_blocks(self) -> None:
        """Clients that wait for a primary's changes would wait for ever."""
        for session in self._clients:
            if session.blocked is not None and session.blocked.kind != POSTPONED:
                self._clients.unblock(session, UNBLOCKED)
                session.transport.close(after_output=True)

    def _new_link_session(self, transport: Transport, address: bytes) -> Session:
        session = Session(next(self._clients.next_ids), self._new_call(), transport, address, b"")
        session.from_primary = True
        session.update_guard()
        self._clients.add(session)
        for callback in self.on_link_session:
            callback(session)
        return session

    def _dispatch(self) -> Dispatch:
        assert self.dispatcher is not None, "the application sets it"
        return self.dispatcher
