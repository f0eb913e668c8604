"""The side of a node that has replicas: gives each a snapshot and then the stream, and watches over them.

A primary's replicas get what it makes, those of a replica what it passes on; the difference is the stream's
(`node.replication.stream`), not ours. What a turn fed to the stream leaves at its end (`flush`), in one
piece, before the replies to the clients that caused it.

A replica whose history the backlog still covers goes on from where it was (+CONTINUE). Any other gets
+FULLRESYNC with the offset of the cut, and a snapshot: in line when the data set is small, else from a forked
child (`node.replication.transfer`), for which repl-diskless-sync-delay lets others arrive first.

Source: https://redis.io/docs/management/replication/; texts of errors and log lines are Redis 7.2's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from node.clock import Clock
from node.command.session import Session
from node.config import table as directives
from node.config.config import Config
from node.config.limits import replica_output_limit
from node.guards import Guard, Guards
from node.log import Log
from node.observe.stats import Stats
from node.persistence.snapshot import Snapshots, StreamPosition
from node.replication.acks import Acks
from node.replication.replicas import Replica, Replicas, State
from node.replication.stream import Stream
from node.replication.transfer import Transfer

_PING = [b"PING"]
_GETACK = [b"REPLCONF", b"GETACK", b"*"]
_GETACK_SYNCED = [b"REPLCONF", b"GETACK", b"AOF"]
"""Sync first, if you can: redis-server does not look at the last word, and takes it for the other."""

Spawn = Callable[[Callable[[], Awaitable[None]]], bool]
"""Starts a task; False while none can be started (the node does not run yet)."""


class Primary:
    """`makes_stream` tells whether the stream is ours (a primary) or passed on (a replica).

    `expected` tells how many replicas are known to this node, None when nobody knows (outside a cluster).
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        stats: Stats,
        guards: Guards,
        stream: Stream,
        snapshots: Snapshots,
        settle: Callable[[], None],
        spawn: Spawn,
        makes_stream: Callable[[], bool],
        expected: Callable[[], int | None],
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._stats = stats
        self._guards = guards
        self._stream = stream
        self._snapshots = snapshots
        self._settle = settle
        self._spawn = spawn
        self._makes_stream = makes_stream
        self._expected = expected
        self._transfer: Transfer | None = None
        self._pinged_ms = clock.now_ms
        self._alone_since_ms = clock.now_ms
        self.replicas = Replicas()
        self.acks = Acks(self.replicas)
        self.offset_held_until_ms = 0  # a fail-over compares offsets: nothing of our own may move ours
        self.selected_db: Callable[[], int] = lambda: 0  # of the stream passed on; our own says SELECT
        self.on_backlog: Callable[[], None] = lambda: None  # the backlog came or went
        self.may_cut: Callable[[], bool] = lambda: True  # whether a snapshot holds all that the stream made
        guard_inputs = (directives.MIN_REPLICAS_TO_WRITE, directives.MIN_REPLICAS_MAX_LAG)
        config.on_change_of(guard_inputs, self.update_guard)
        config.on_change(directives.REPL_BACKLOG_SIZE, self._resize_backlog)

    @property
    def offset_held(self) -> bool:
        return self._clock.now_ms < self.offset_held_until_ms

    # The stream

    def flush(self) -> None:
        """Hands what was fed to the replicas; called at the end of every turn."""
        acks = self.acks
        if (acks.wanted or acks.wanted_synced) and not self.offset_held:
            if self._makes_stream() and self._stream.backlog is not None:
                self._stream.feed_bare(_GETACK_SYNCED if acks.wanted_synced else _GETACK)
            acks.wanted = acks.wanted_synced = False
        data = self._stream.take()
        if not data:
            return
        limit = replica_output_limit(self._config)
        for replica in self.replicas:
            replica.feed(data)
            if replica.exceeds(limit, self._clock.now_ms):
                self._log.warning(
                    f"Replica {replica.name} scheduled to be closed ASAP for overcoming of output buffer "
                    "limits."
                )
                replica.session.transport.close(after_output=False)
            elif replica.is_streaming:
                self._stats.replication_output_bytes += len(data)

    def drop_replicas(self) -> None:
        """Ends every replica's connection: the history they follow has a new name, or is over."""
        for replica in self.replicas:
            replica.session.transport.close(after_output=False)

    # A replica asks

    def partial(self, session: Session, replid: bytes, offset: int) -> bool:
        """PSYNC with a history: True when the replica goes on from `offset`, the first byte it lacks."""
        self.flush()
        replica = self.replicas.of(session)
        held = self._continuation(replica, replid, offset)
        if held is None:
            if replid != b"?":
                self._stats.sync_partial_err += 1
            return False
        self._stats.sync_partial_ok += 1
        self._attach(replica, State.ONLINE)
        named = b" " + self._stream.replid if replica.understands_psync2 else b""
        session.transport.send(b"+CONTINUE%b\r\n%b" % (named, held))
        self._log.notice(
            f"Partial resynchronization request from {replica.name} accepted. "
            f"Sending {len(held)} bytes of backlog starting from offset {offset}."
        )
        self.update_guard()
        return True

    def _continuation(self, replica: Replica, replid: bytes, offset: int) -> bytes | None:
        stream, log = self._stream, self._log
        if replid == b"?":
            log.notice(f"Full resync requested by replica {replica.name}")
            return None
        if not stream.names(replid, offset):
            asked = replid.decode("ascii", "backslashreplace")
            if replid == stream.replid2:
                reason = (
                    f"Requested offset for second ID was {offset}, but I can reply "
                    f"up to {stream.second_offset}"
                )
            else:
                reason = (
                    f"Replication ID mismatch (Replica asked for '{asked}', my replication IDs are "
                    f"'{stream.replid.decode()}' and '{stream.replid2.decode()}')"
                )
            log.notice(f"Partial resynchronization not accepted: {reason}")
            return None
        held = None if stream.backlog is None else stream.backlog.since(offset)
        if held is None:
            log.notice(
                f"Unable to partial resync with replica {replica.name} for lack of backlog "
                f"(Replica request was: {offset})."
            )
        return held

    def full(self, session: Session, acknowledges: bool) -> None:
        """The replica gets a snapshot, now or when its turn comes."""
        self._stats.sync_full += 1
        replica = self.replicas.of(session)
        replica.acknowledges = acknowledges
        self._attach(replica, State.WAITING)
        self.open_backlog()
        self.start_waiting()

    def _attach(self, replica: Replica, state: State) -> None:
        replica.state = state
        replica.ack_ms = replica.asked_ms = self._clock.now_ms
        replica.session.is_replica = True
        replica.session.update_guard()

    def open_backlog(self) -> None:
        """Starts to count and hold the stream, if that is not so yet, under a new id."""
        if self._stream.backlog is None:
            self._stream.begin_history()
            self._stream.open_backlog(self._config[directives.REPL_BACKLOG_SIZE])
            self.on_backlog()
            self._log.notice(
                f"Replication backlog created, my new replication IDs are '{self._stream.replid.decode()}' "
                f"and '{self._stream.replid2.decode()}'"
            )

    # Snapshots

    def start_waiting(self) -> None:
        """Serves the replicas that wait for a snapshot, if it is time."""
        waiting = self.replicas.waiting()
        if not waiting or self._transfer is not None or not self.may_cut():
            return
        self.flush()  # what was fed before the cut is in the snapshot, and must not be sent after it
        whole = self._snapshots.in_line(self._position())
        if whole is not None and self._fits_output(len(whole)):
            for replica in waiting:
                self.begin(replica)
                replica.session.transport.send(b"$%d\r\n" % len(whole))
                replica.session.transport.send(whole)
                self.finish(replica, starts_on_ack=False)
        elif self._snapshots.may_fork and self._is_time(waiting):
            disk_less = self._config[directives.REPL_DISKLESS_SYNC] and all(
                r.understands_eof for r in waiting
            )
            directory = None if disk_less else self._config[directives.DIR]
            transfer = Transfer(self, self._snapshots, self._log, self._settle, waiting, directory)
            if self._spawn(transfer.run):
                self._transfer = transfer

    def _fits_output(self, size: int) -> bool:
        """What is queued at once counts against the limit of a replica's output; a transfer waits for it."""
        hard_bytes = replica_output_limit(self._config).hard_bytes
        return not hard_bytes or size < hard_bytes

    def _is_time(self, waiting: list[Replica]) -> bool:
        """Whether to fork now, or to let more replicas arrive that one snapshot can serve."""
        config = self._config
        if not config[directives.REPL_DISKLESS_SYNC] or not all(r.understands_eof for r in waiting):
            return True
        enough = config[directives.REPL_DISKLESS_SYNC_MAX_REPLICAS]
        expected = self._expected()
        if (enough and len(waiting) >= enough) or (expected is not None and len(self.replicas) >= expected):
            return True
        waited_ms = self._clock.now_ms - min(r.asked_ms for r in waiting)
        return waited_ms >= config[directives.REPL_DISKLESS_SYNC_DELAY] * 1000

    def _position(self) -> StreamPosition:
        return StreamPosition(self.selected_db(), self._stream.replid, self._stream.offset)

    def cut(self, replicas: list[Replica]) -> StreamPosition:
        """The snapshot shows the data as of now: what follows is held back for these."""
        self.flush()
        for replica in replicas:
            self.begin(replica)
        return self._position()

    def begin(self, replica: Replica) -> None:
        stream = self._stream
        stream.select_again()
        replica.state = State.LOADING
        if replica.acknowledges:
            replica.session.transport.send(b"+FULLRESYNC %b %d\r\n" % (stream.replid, stream.offset))

    def finish(self, replica: Replica, starts_on_ack: bool) -> None:
        """The replica has been sent all of its snapshot."""
        if replica.snapshot_only:
            replica.state = State.SNAPSHOT_ONLY
            self._log.notice(
                f"RDB transfer completed, rdb only replica ({replica.name}) should be disconnected asap"
            )
            return
        replica.state = State.ONLINE
        replica.ack_ms = self._clock.now_ms
        replica.starts_on_ack = starts_on_ack
        if not starts_on_ack:
            replica.release()
        self._log.notice(f"Synchronization with replica {replica.name} succeeded")
        self.update_guard()

    def transfer_ended(self) -> None:
        self._transfer = None
        self.start_waiting()

    def stall_timeout_s(self) -> float:
        """How long a replica may take nothing of its snapshot."""
        return float(self._config[directives.REPL_TIMEOUT])

    # What replicas say

    def acknowledged(self, session: Session, offset: int, synced_offset: int | None = None) -> None:
        """REPLCONF ACK; `synced_offset` is its FACK, what the replica has on disk."""
        replica = self.replicas.find(session)
        if replica is None or replica.state is State.GREETING:
            return
        replica.ack_offset = max(replica.ack_offset, offset)
        replica.ack_ms = self._clock.now_ms
        if synced_offset is not None:
            replica.synced_offset = max(replica.synced_offset, synced_offset)
        if replica.state is State.ONLINE:
            replica.has_loaded = True
            if replica.starts_on_ack:
                replica.release()
        self.acks.arrived()
        self.update_guard()

    def closed(self, session: Session) -> None:
        """A session is gone."""
        replica = self.replicas.remove(session)
        if replica is None:
            return
        self._log.notice(f"Connection with replica {replica.name} lost.")
        self._alone_since_ms = self._clock.now_ms
        self.update_guard()

    def good_replicas(self) -> int:
        """How many are online and not slower than min-replicas-max-lag."""
        now_ms = self._clock.now_ms
        most_s = self._config[directives.MIN_REPLICAS_MAX_LAG]
        return sum(replica.lag_s(now_ms) <= most_s for replica in self.replicas.online())

    def in_step(self) -> int:
        """How many have taken our data, or had them, and follow."""
        return sum(replica.has_loaded for replica in self.replicas.online())

    def update_guard(self) -> None:
        """min-replicas-to-write: writes are refused while too few replicas are there."""
        least = self._config[directives.MIN_REPLICAS_TO_WRITE]
        wanted = self._makes_stream() and least > 0 and self._config[directives.MIN_REPLICAS_MAX_LAG] > 0
        self._guards.set(Guard.FEW_REPLICAS, wanted and self.good_replicas() < least)

    # Time

    def every_second(self) -> None:
        """Pings, time-outs, the life of the backlog, and snapshots that are due."""
        now_ms = self._clock.now_ms
        self._drop_silent(now_ms)
        self._ping(now_ms)
        for replica in self.replicas.waiting() + (self._transfer.spooling() if self._transfer else []):
            replica.session.transport.send(b"\n")  # nothing to say yet, and still here
        self._age_backlog(now_ms)
        self.start_waiting()
        self.update_guard()

    def _ping(self, now_ms: int) -> None:
        if now_ms - self._pinged_ms < self._config[directives.REPL_PING_REPLICA_PERIOD] * 1000:
            return
        if self._makes_stream() and len(self.replicas) and not self.offset_held:
            self._pinged_ms = now_ms
            self._stream.feed_bare(_PING)

    def _drop_silent(self, now_ms: int) -> None:
        limit_ms = self._config[directives.REPL_TIMEOUT] * 1000
        for replica in self.replicas.online():
            heard_ms = max(replica.ack_ms, replica.session.last_seen_ms)  # empty lines count: it loads
            if replica.acknowledges and now_ms - heard_ms > limit_ms:
                self._log.warning(f"Disconnecting timedout replica (streaming sync): {replica.name}")
                replica.session.transport.close(after_output=False)

    def _age_backlog(self, now_ms: int) -> None:
        ttl_s = self._config[directives.REPL_BACKLOG_TTL]
        if self._stream.backlog is None or not ttl_s or len(self.replicas) or not self._makes_stream():
            return
        if now_ms - self._alone_since_ms > ttl_s * 1000:
            self.flush()
            self._stream.close_backlog()
            self.on_backlog()
            self._log.notice(f"Replication backlog freed after {ttl_s} seconds without connected replicas.")

    def alone_from_now(self) -> None:
        """A promotion: the time without replicas, that ends the backlog, counts from here."""
        self._alone_since_ms = self._clock.now_ms

    def _resize_backlog(self, size_bytes: int) -> None:
        if self._stream.backlog is not None:
            self.flush()
            self._stream.backlog.resize(size_bytes)
