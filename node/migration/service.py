"""The atomic migrations of a node: those out of it, those into it, and on a replica those into its primary.

    MIGRATESLOTS → Export (node.migration.export)        ESTABLISH → Import (node.migration.importing)

This is what they share: the log of jobs, the gate that holds requests, the feed of changes, and what ends
them from outside: the slots' owner changes, the data are flushed or replaced, the node changes its role.

On a replica ESTABLISH and FINISH come in its primary's stream, and what is between them for the slots named
is staged here as it is there. When the replica is promoted with an import open, the cluster's map decides:
slots that are its own now were taken over before its primary died, and what is staged becomes visible;
otherwise it is deleted. An import that the stream says has succeeded while nobody claims its slots ended
with its primary's death between the two steps of taking over (`node.migration.export`): the claim is made
good.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import trio

from gossip.core import Core
from gossip.member import Member
from gossip.slots import SlotSet
from node.command.registry import Command, Table
from node.command.session import Block, Session
from node.config import table as directives
from node.config.config import Config
from node.config.special import BufferLimit
from node.errors import CommandError
from node.guards import Guard, Guards
from node.keyspace.changes import Change, Changes, EventClass
from node.keyspace.database import Database
from node.log import Log
from node.migration import export as exporting
from node.migration import protocol
from node.migration.export import Export
from node.migration.feed import Feed
from node.migration.hold import Hold
from node.migration.importing import Import, deletions
from node.migration.job import Job, State, new_name
from node.migration.leftovers import Leftovers
from node.migration.ownership import slots_by_its_own_word
from node.migration.snapshot import snapshot
from node.migration.staging import Staging
from node.migration.tracking import Tracked, Tracking, owned
from node.observe.info import Fields
from node.persistence.child import unshared_bytes
from node.persistence.snapshot import SnapshotChild, SnapshotError
from node.resp.stream import TlsClient

INLINE_KEYS_MAX = 10_000
INLINE_BYTES_MAX = 4 << 20
INLINE_BUDGET_S = 0.005
SLICE_S = 0.002
FORK_WAIT_S = 0.05
FINISH_AT_ONCE_KEYS = 20_000
CLAIM_GOOD_MS = 60_000
_COW = struct.Struct("<Q")
T = TypeVar("T")


class Cluster(Protocol):
    """What is needed of the cluster service."""

    core: Core

    def order(self, what: Callable[[Core, int], T], /) -> T: ...


@dataclass
class Hands:
    """What migrations do to the rest of the node, and ask of it; handed in by node.migration_wiring."""

    tell: Callable[[int, list[bytes]], None]  # replicas and the AOF
    watchers: list[Callable[[list[Change]], None]]
    settle: Callable[[], None]
    after: Callable[[int, Callable[[], None]], None]  # so many milliseconds, outside of any command
    may_fork: Callable[[], bool]
    fork: Callable[[Iterator[bytes]], SnapshotChild]
    replicated: Callable[[Callable[[], None]], None]  # calls back when all replicas have what was told
    is_primary: Callable[[], bool]
    unix_ms: Callable[[], int]


class ForkedSnapshot:
    """A child that writes the snapshot. `cow_bytes` is what it has cost in memory, once it has ended."""

    def __init__(self, fork: Callable[[Iterator[bytes]], SnapshotChild], pieces: Iterator[bytes]) -> None:
        """Raises OSError."""
        self._told = mmap.mmap(-1, _COW.size)  # shared with the child, whose pipe is for the keys alone
        self.child = fork(self._and_tell(pieces))

    def _and_tell(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from pieces
        _COW.pack_into(self._told, 0, unshared_bytes())

    @property
    def cow_bytes(self) -> int:
        return int(_COW.unpack_from(self._told)[0])


class Pieces:
    """A snapshot in pieces: of one piece, or from a child. See export.Snapshot."""

    def __init__(self, key_count: int, whole: bytes | None, forked: ForkedSnapshot | None) -> None:
        self.key_count = key_count
        self.cow_bytes = 0
        self._whole = whole
        self._forked = forked

    async def next(self) -> bytes:
        """The next piece, an empty one at the end. Raises Failed."""
        whole, self._whole = self._whole, None
        if whole or self._forked is None:
            return whole or b""
        piece = await self._forked.child.read()
        if not piece:
            forked, self._forked = self._forked, None
            try:
                await forked.child.finish()
            except SnapshotError as failed:
                raise exporting.Failed(f"Failed to perform snapshot: {failed}") from None
            self.cow_bytes = forked.cow_bytes
        return piece

    async def aclose(self) -> None:
        if self._forked is not None:
            await self._forked.child.kill()


class Migrations:
    """One per node in cluster mode; the application sets `table`."""

    def __init__(
        self,
        config: Config,
        log: Log,
        guards: Guards,
        database: Database,
        changes: Changes,
        cluster: Cluster,
        hold: Hold,
        feed: Feed,
        leftovers: Leftovers,
        hands: Hands,
    ) -> None:
        self._config = config
        self._log = log
        self._guards = guards
        self._database = database
        self._changes = changes
        self._cluster = cluster
        self._hold = hold
        self._feed = feed
        self._hands = hands
        self._nursery: trio.Nursery | None = None
        self._one_snapshot = trio.Lock()
        self._work = trio.Event()
        self._exports: dict[bytes, Export] = {}
        self._imports: dict[bytes, Import] = {}  # by name, until clients are served
        self._cleaning = 0
        self._tracking = Tracking(log, self.now_ms, self._publish)
        self._table: Table | None = None
        self._succeeded = self._failed = 0
        self._last_pause_ms = self._longest_pause_ms = 0.0
        self.leftovers = leftovers
        self.tls: Callable[[], TlsClient | None] = lambda: None  # how a target is connected to
        self.cut: Callable[[], frozenset[str]] = frozenset  # whom a fault on purpose keeps us from: node ids
        self.jobs: list[Job] = []  # the newest first
        self.prevent_pause = False  # DEBUG: exports wait before they hold writers back
        self.prevent_failover = False  # DEBUG: imports do nothing with a grant
        leftovers.on_work = lambda: self._work.set()

    @property
    def table(self) -> Table | None:
        return self._table

    @table.setter
    def table(self, table: Table) -> None:
        self._table = self._feed.table = table

    async def run(self) -> None:
        """The task; runs until cancelled."""
        async with trio.open_nursery() as self._nursery:
            if self._hands.is_primary():
                self._fail_tracked("Process restarted")
            while True:
                await self._work.wait()
                self._work = trio.Event()
                while self.leftovers.work(SLICE_S):
                    self._hands.settle()
                    await trio.sleep(0)
                self._hands.settle()

    @property
    def _core(self) -> Core:
        return self._cluster.core

    @property
    def is_staging(self) -> bool:
        """Whether anything is staged here. It is in our stream and AOF, and in no snapshot: none is to be the
        beginning for who follows these.
        """
        pending = (not each.job.ended for each in self._imports.values())
        return bool(self._cleaning) or any(pending) or bool(self._tracking.open_ones())

    @property
    def is_holding(self) -> bool:
        """Whether a slot is changing hands right now, so that its keys must not change."""
        return self._hold.is_on

    def gate(self, session: Session, command: Command, argv: list[bytes]) -> Block | None:
        """Makes requests for slots wait whose owner is about to change."""
        return self._hold.gate(session, command, argv)

    # Orders

    def check_can_start(self) -> None:
        """Raises CommandError."""
        state = self._core.state
        if not state.me.is_primary:
            raise CommandError(b"ERR Slot migration can only be used on primary nodes.")
        if state.importing:
            raise CommandError(b"ERR Slots are being manually imported")
        if state.migrating:
            raise CommandError(b"ERR Slots are being manually migrated")

    def refuse_if_moving(self, slot: int) -> None:
        """Raises CommandError: a slot moves in one way at a time."""
        if self.exported(slot) or self.imported(slot):
            raise CommandError(b"ERR Slot %d is being moved by CLUSTER MIGRATESLOTS" % slot)

    def exported(self, slot: int) -> bool:
        return any(slot in each.job.slots for each in self._exports.values())

    def imported(self, slot: int) -> bool:
        return any(slot in each.job.slots for each in self._imports.values() if not each.job.ended)

    def migrate(self, wanted: Iterable[tuple[SlotSet, str]]) -> None:
        """MIGRATESLOTS: slots with the id of the node they shall go to; all is checked already."""
        assert self._nursery is not None, "the node does not run yet"
        for slots, target in wanted:
            job = self._job(new_name(), slots, State.CONNECTING, imports=False)
            job.source, job.target = self._core.state.me.node_id, target
            export = self._exports[job.name] = Export(job, self)
            self._enter(job)
            self._log.notice(f"Slot migration initiated: {job.label}")
            self._nursery.start_soon(export.run)

    def cancel(self) -> None:
        """CANCELSLOTMIGRATIONS: ends every export that has not been granted. Raises CommandError."""
        exports = list(self._exports.values())
        if not exports:
            raise CommandError(b"ERR No migrations ongoing")
        able = [each for each in exports if each.job.state is not State.GRANTED]
        if not able:
            raise CommandError(b"ERR The target may have taken the slots over already: too late to cancel")
        for export in able:
            export.end(State.CANCELLED)

    def _job(self, name: bytes, slots: SlotSet, state: State, *, imports: bool) -> Job:
        now_ms = self._hands.unix_ms()
        job = Job(name, imports, slots, "", "", state, now_ms, self._log, self._hands.unix_ms)
        job.on_end.append(lambda: self._count(job))
        return job

    def _enter(self, job: Job) -> None:
        self.jobs.insert(0, job)
        if self._watch not in self._hands.watchers:
            self._hands.watchers.append(self._watch)

    def _rest(self) -> None:
        """Looks at changes no more than necessary; not called while the watchers are."""
        if not self._exports and not self._imports and self._watch in self._hands.watchers:
            self._hands.watchers.remove(self._watch)

    # The target's side

    def establish(self, session: Session, words: list[bytes]) -> None:
        """ESTABLISH of a source, or in our primary's stream. Raises CommandError."""
        if session.from_primary:
            self._track(session, words)
            return
        self.check_can_start()
        state = self._core.state
        order = protocol.read_establish(words, self._check_importable)
        source = state.members.get(order.source)
        if source is None:
            raise CommandError(b"ERR Target node does not know the source node")
        if source.myself:
            raise CommandError(b"ERR Source node is target node itself")
        if not owned(order.slots, source.slots):
            raise CommandError(b"ERR Target node does not agree about current slot ownership")
        if order.name in self._imports:
            raise CommandError(b"ERR A migration of this name is ongoing")
        self._make_room(order.slots)
        job = self._job(order.name, order.slots, State.WAIT_ACK, imports=True)
        job.source, job.target = order.source, state.me.node_id
        self._imports[job.name] = Import(job, self._staging(order.slots), session, self)
        self._enter(job)
        self._log.notice(f"New slot import job created: {job.label}.")
        self._hands.tell(0, words)

    def _check_importable(self, slot: int) -> None:
        if self._core.state.owner(slot) is None:
            raise CommandError(b"ERR Slot %d has no node served." % slot)
        if self.imported(slot):
            raise CommandError(b"ERR Slot is already being imported on the target by a different migration")

    def _make_room(self, slots: SlotSet) -> None:
        """Lets go of keys that should not be here any more. Raises CommandError while these are many."""
        self.leftovers.take(slots)
        if self.leftovers.pending(slots) > FINISH_AT_ONCE_KEYS:
            raise CommandError(
                b"ERR Keys of these slots are still being deleted on the target, try again later"
            )
        self.leftovers.finish(slots)

    def _staging(self, slots: SlotSet) -> Staging:
        assert self._table is not None
        return Staging(self._database, self._changes, self._table, self._hands.tell, slots)

    def _publish(self, staging: Staging) -> int:
        """Makes what is staged visible."""
        self.leftovers.take(staging.slots)
        self.leftovers.finish(staging.slots)
        return staging.publish()

    def take_over(self, incoming: Import, above_epoch: int) -> bool:
        """The grant has come: see node.migration.importing. False when it cannot be used now."""
        job = incoming.job
        if self.prevent_failover:
            return True
        if self._granted():
            return False
        source = self._core.state.members.get(job.source)
        if source is None or not owned(job.slots, source.slots) or not self._hands.is_primary():
            incoming.fail("Slots are no longer owned by source node")
            return True
        self._hold.close(job.slots, reads=True)
        self._hands.tell(0, protocol.finish_words(job, success=True))
        self._cluster.order(lambda core, now_ms: core.take_slots(job.slots, above_epoch, now_ms))
        job.keys = self._publish(incoming.staging)
        job.finish(State.SUCCESS)
        self._cluster.order(
            lambda core, now_ms: core.ask_majority(
                lambda: self._hands.after(0, lambda: self._serve(incoming)), now_ms
            )
        )
        return True

    def _granted(self) -> list[Export]:
        """Exports whose target may have taken over."""
        return [each for each in self._exports.values() if each.job.state is State.GRANTED]

    def _serve(self, incoming: Import) -> None:
        """A majority knows that the slots are ours."""
        if self._imports.pop(incoming.job.name, None) is not None:
            self._hold.open(incoming.job.slots)
            self._hands.after(0, self._rest)

    def clean_up(self, incoming: Import) -> None:
        """An import has failed."""
        self._start_cleaning(incoming.job, incoming.staging)

    def _start_cleaning(self, job: Job, staging: Staging) -> None:
        assert self._nursery is not None, "the node does not run yet"
        self._cleaning += 1
        self._nursery.start_soon(self._clean_up, job, staging)

    async def _clean_up(self, job: Job, staging: Staging) -> None:
        """Deletes what is staged, on our replicas too."""
        for count, words in enumerate(deletions(staging)):
            if self._hands.is_primary():
                self._hands.tell(0, words)
            if count % 8 == 7:
                self._hands.settle()
                await trio.sleep(0)
        if self._hands.is_primary():
            self._hands.tell(0, protocol.finish_words(job, success=False))
        job.finish(State.FAILED, job.message)
        self._cleaning -= 1
        self._imports.pop(job.name, None)
        self._rest()
        self._hands.settle()

    # A replica's side

    def link_session(self, session: Session) -> None:
        """The session that stands for our primary is new."""
        self._tracking.follow(session)

    def _track(self, session: Session, words: list[bytes]) -> None:
        order = protocol.read_establish(words, lambda _slot: None)
        job = self._job(order.name, order.slots, State.ON_PRIMARY, imports=True)
        self.jobs.insert(0, job)
        self._tracking.add(job, order.source, self._staging(order.slots))
        self._tracking.follow(session)
        self._hands.tell(0, words)

    def finish(self, session: Session, words: list[bytes]) -> None:
        """FINISH in our primary's stream. Raises CommandError."""
        if not session.from_primary:
            raise CommandError(b"ERR CLUSTER SYNCSLOTS FINISH should only be used by a primary")
        ended = protocol.read_finish(words)
        tracked = self._tracking.find(ended.name)
        if tracked is None:
            raise CommandError(b"ERR No such slot migration job")
        self._tracking.end(tracked, success=ended.success, why=ended.message)
        self._hands.tell(0, words)

    def _promoted(self) -> None:
        state = self._core.state
        for tracked in self._tracking.take_all():
            job = tracked.job
            mine = owned(job.slots, state.me.slots)
            if tracked.staging is not None and mine:
                self._tracking.end(tracked, success=True, why="A failover occurred after the hand-over")
                self._hands.tell(0, protocol.finish_words(job, success=True))
            elif tracked.staging is not None:
                job.message = "A failover occurred during slot import"
                self._start_cleaning(job, tracked.staging)
            elif not mine and self.now_ms() - tracked.ended_ms < CLAIM_GOOD_MS:
                self._make_good(tracked)

    def _fail_tracked(self, why: str) -> None:
        """Imports that the AOF leaves open ended with the process; their keys were never anybody's."""
        for tracked in self._tracking.take_all():
            if tracked.staging is not None:
                tracked.job.message = why
                self._start_cleaning(tracked.job, tracked.staging)

    def _make_good(self, tracked: Tracked) -> None:
        """Claims what our primary would have claimed next."""
        slots, state = tracked.job.slots, self._core.state
        source = state.members.get(tracked.source)
        if source is not None and owned(slots, source.slots):
            self._hands.after(
                0, lambda: self._cluster.order(lambda core, now_ms: core.take_slots(slots, 0, now_ms))
            )

    def info(self) -> Fields:
        """The fields of INFO stats, our own: counts since the start, of both sides, and pauses of exports."""
        yield "slot_migrations_ongoing", len(self._exports) + len(self._imports)
        yield "slot_migrations_succeeded", self._succeeded
        yield "slot_migrations_failed", self._failed
        yield "slot_migration_last_pause_ms", round(self._last_pause_ms)
        yield "slot_migration_longest_pause_ms", round(self._longest_pause_ms)

    def _count(self, job: Job) -> None:
        self._succeeded += job.state is State.SUCCESS
        self._failed += job.state is not State.SUCCESS
        if job.pause_ms is not None:
            self._last_pause_ms = job.pause_ms
            self._longest_pause_ms = max(self._longest_pause_ms, job.pause_ms, job.longest_pause_ms)

    # What happens around us

    def routes_changed(self) -> None:
        """Slots have other owners; called among the core's effects, so no order is given here."""
        state = self._core.state
        for export in list(self._exports.values()):
            slots, target = export.job.slots, state.members.get(export.job.target)
            if target is not None and owned(slots, target.slots):
                export.taken_over()
            elif not owned(slots, state.me.slots):
                export.end(State.FAILED, "Slots are no longer owned by myself")
        for incoming in list(self._imports.values()):
            job, source = incoming.job, state.members.get(incoming.job.source)
            if job.ended or job.state in (State.GRANTED, State.CLEANING_UP):
                continue
            if source is None or not owned(job.slots, source.slots):
                incoming.fail("Slots are no longer owned by source node")
        if self.leftovers.count:
            self.leftovers.finish(state.me.slots)

    def role_changed(self) -> None:
        """This node has become a replica or a primary."""
        if self._hands.is_primary():
            self._promoted()
            return
        self.routes_changed()  # who has given its last slots away becomes a replica by that
        self.leftovers.abandon()
        for export in list(self._exports.values()):
            export.end(State.FAILED, "A failover occurred during slot export")
        for incoming in list(self._imports.values()):
            job = incoming.job
            incoming.close()
            self._hold.open(job.slots)
            if not job.ended and job.state is not State.CLEANING_UP:
                # The new primary may know of the import by our stream, and will say how it ended.
                job.message = "A failover occurred during slot import"
                job.move(State.ON_PRIMARY)
                self._tracking.add(job, job.source, incoming.staging)
        self._imports.clear()
        self._hands.after(0, self._rest)

    def data_replaced(self) -> None:
        """A full synchronisation: what is staged belonged to the data of before."""
        for tracked in self._tracking.open_ones():
            self._tracking.end(tracked, success=False, why="Full resynchronization occurred")
        self.leftovers.drop()

    def _watch(self, log: list[Change]) -> None:
        if any(change[0] is EventClass.DATABASE for change in log):
            for export in list(self._exports.values()):
                export.end(State.FAILED, "Data was flushed")
            for incoming in list(self._imports.values()):
                incoming.fail("Data was flushed")

    def cut_off(self, peers: frozenset[str]) -> None:
        """A fault on purpose: links to and from these nodes end."""
        for export in list(self._exports.values()):
            if export.job.target in peers:
                export.cut_off()
        for incoming in list(self._imports.values()):
            if incoming.job.source in peers:
                incoming.cut_off()

    def session_closed(self, session: Session) -> None:
        """A client is gone."""
        if session.taken is not None:
            for incoming in list(self._imports.values()):
                if incoming.is_of(session):
                    incoming.link_lost()

    def every_second(self) -> None:
        """Signs of life, time-outs, and the log's bound."""
        silence_max_ms = round(self.timeout_s() * 1000)
        for incoming in list(self._imports.values()):
            incoming.tick(silence_max_ms)
        over = len(self.jobs) - self._config[directives.CLUSTER_SLOT_MIGRATION_LOG_MAX_LEN]
        if over > 0:
            for job in [each for each in reversed(self.jobs) if each.ended][:over]:
                self.jobs.remove(job)

    # What an export or an import asks of the node

    def now_ms(self) -> float:
        """Of a clock that is never set."""
        return time.monotonic() * 1000

    def max_pause_ms(self) -> int:
        return self._config[directives.SLOT_MIGRATION_MAX_PAUSE]

    def unsent_max_bytes(self) -> int:
        most = self._config[directives.SLOT_MIGRATION_MAX_FAILOVER_REPL_BYTES]
        return 1 << 62 if most < 0 else most

    def buffer_limit(self) -> BufferLimit:
        return self._config[directives.CLIENT_OUTPUT_BUFFER_LIMIT].replica

    def timeout_s(self) -> float:
        return float(self._config[directives.REPL_TIMEOUT])

    def node_timeout_ms(self) -> int:
        return self._config[directives.CLUSTER_NODE_TIMEOUT]

    def out_of_memory(self) -> bool:
        return Guard.MEMORY in self._guards

    def member(self, node_id: str) -> Member | None:
        return self._core.state.members.get(node_id)

    def credentials(self) -> list[bytes]:
        """AUTH's words, none without a password."""
        user, password = self._config[directives.MASTERUSER], self._config[directives.MASTERAUTH]
        if not password:
            return []
        return [b"AUTH", *([user] if user else []), password]

    def local_address(self) -> str | None:
        return self._config[directives.BIND_SOURCE_ADDR] or None

    def may_reach(self, member: Member) -> bool:
        return member.node_id not in self.cut()

    def way_to(self, member: Member) -> tuple[int, TlsClient | None]:
        """The port to connect to, and how."""
        return member.port_of(second=self._core.settings.replicates_by_second_port), self.tls()

    def when_replicated(self, then: Callable[[], None], within_ms: int) -> None:
        """Calls back when every replica has what it was told, and once more after so long."""
        self._hands.after(within_ms, then)
        self._hands.replicated(then)

    @asynccontextmanager
    async def snapshot(self, export: Export) -> AsyncIterator[Pieces]:
        """The keys as of now; from now on changes come to `export.feed`."""
        slots = export.job.slots
        async with self._one_snapshot:
            whole = forked = None
            if sum(map(self._database.slot_count, slots)) <= INLINE_KEYS_MAX:
                whole = self._in_line(slots)
            if whole is None:
                while not self._hands.may_fork():
                    await trio.sleep(FORK_WAIT_S)
                forked = self._fork(export)
            self._feed.begin(slots, export.feed)
            pieces = Pieces(sum(map(self._database.slot_count, slots)), whole, forked)
            try:
                yield pieces
                export.job.cow_bytes = pieces.cow_bytes
            finally:
                await pieces.aclose()

    def _in_line(self, slots: SlotSet) -> bytes | None:
        """The whole snapshot, None when it takes too long."""
        end_s = time.monotonic() + INLINE_BUDGET_S
        pieces, size = [], 0
        for piece in snapshot(self._database, slots):
            pieces.append(piece)
            size += len(piece)
            if size > INLINE_BYTES_MAX or time.monotonic() > end_s:
                return None
        return b"".join(pieces)

    def _fork(self, export: Export) -> ForkedSnapshot:
        try:
            forked = ForkedSnapshot(self._hands.fork, snapshot(self._database, export.job.slots))
        except OSError as failed:
            raise exporting.Failed(f"Failed to start snapshot: {failed.strerror}") from None
        self._log.notice(f"Started child process {forked.child.pid} for slot migration {export.job.label}")
        return forked

    def stop_feeding(self, export: Export) -> None:
        """No more changes for it; called more than once."""
        if self._exports.get(export.job.name) is export:
            self._feed.end(export.job.slots)

    def export_ended(self, export: Export) -> None:
        self.stop_feeding(export)
        self._exports.pop(export.job.name, None)
        self.grants_changed()
        self._hold.open(export.job.slots)
        self._hands.after(0, self._rest)  # and who waited goes on

    def config_epoch(self) -> int:
        return self._core.state.me.config_epoch

    def grants_changed(self) -> None:
        """An export was granted, or is no longer: our config epoch has to stay while one is."""
        self._core.hold_epoch(bool(self._granted()))

    def hold(self, slots: SlotSet, *, reads: bool) -> None:
        self._hold.close(slots, reads=reads)

    def release(self, slots: SlotSet) -> None:
        self._hold.open(slots)
        self._hands.settle()

    async def owned_by_target(self, export: Export) -> bool | None:
        """By the target's own word; None when it does not answer."""
        member = self.member(export.job.target)
        if member is None or not self.may_reach(member):
            return None
        port, tls = self.way_to(member)
        slots = await slots_by_its_own_word(member.ip, port, tls, self.credentials(), self.local_address())
        return None if slots is None else bool(slots & export.job.slots)

    async def is_alone_owner(self, export: Export) -> bool:
        """Whether a majority takes us for the owner and the target has failed; then our claim is renewed."""
        core = self._core
        target = self.member(export.job.target)
        gone = target is None or target.failed or target.is_replica
        recent = any(each.granted_for_ms < 2 * self.node_timeout_ms() for each in self._granted())
        if not gone or recent:
            return False
        answered = trio.Event()
        question = self._cluster.order(lambda core, now_ms: core.ask_majority(answered.set, now_ms))
        with trio.move_on_after(self.node_timeout_ms() / 1000):
            await answered.wait()
        self._cluster.order(lambda core, now_ms: core.forget_question(question, now_ms))
        if not answered.is_set() or export.job.ended or not owned(export.job.slots, core.state.me.slots):
            return False
        self._cluster.order(lambda core, now_ms: core.keep_slots(now_ms))
        return True
