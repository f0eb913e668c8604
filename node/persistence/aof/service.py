"""The append-only file as the rest of a node sees it: told of every change, on disk before a reply leaves.

What a turn changed gathers (`feed`) and is written in one piece at the turn's end (`flush`), before its
replies and what replicas get leave. When it is *synced*, safe from a power failure, is appendfsync's to say:

- `always`: in the same turn, so nothing anybody was told can be lost; one fsync for all that the turn did. It
  stops the reactor, as it does redis-server: 0.13 ms on the disk measured here, where a thread takes 0.21.
  When the disk refuses the node exits: the turn's changes cannot be taken back, and nobody has been told of
  them.
- `everysec`: in a thread, once a second. While that is under way nothing is written, since the kernel makes a
  write wait for it; after two seconds it is written all the same (aof_delayed_fsync).
- `no`: when the kernel likes.

A disk that refuses (full, broken) with the latter two makes clients' writes be refused (MISCONF) until it
takes what waits; that stays here, in order, and half a command is never left in the file.

States: OFF → (appendonly yes) → STARTING, while the first base is being written, → ON.

Source: redis.conf's chapter on append-only mode; https://redis.io/docs/management/persistence/.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

import trio

from node.clock import Clock
from node.config import table as directives
from node.config.config import Config
from node.config.directive import ConfigError
from node.guards import Guard, Guards
from node.log import Log
from node.persistence import files
from node.persistence.aof.appender import Appender, AppendError
from node.persistence.aof.directory import AofDirectory
from node.persistence.aof.encoding import encode_commands
from node.persistence.aof.errors import AofError
from node.persistence.aof.rewrites import BackOff, RewriteFigures
from node.persistence.child import Child, ChildError, Forks, Reporter

SYNC_PERIOD_S = 1.0
POSTPONED_MAX_S = 2.0
ERROR_LOG_PERIOD_S = 30.0
CHILD_KIND = "aof"

Teller = Callable[[int, list[bytes]], None]
Pieces = Callable[[bool, Callable[[int], None]], Iterator[bytes]]
"""The data set, as RDB or (False) as commands; the callable is told how many more keys are done."""


class State(Enum):
    OFF = "off"
    STARTING = "starting"
    ON = "on"


class Position(NamedTuple):
    """How far something is: commands fed since the start, and the replication offset that makes."""

    fed: int
    offset: int


class Hands(NamedTuple):
    """What the AOF needs of the rest of the node.

    `tellers` and `files` are lists of `server/after.py`, `before_flush` is the reactor's. `in_unit` tells
    whether a transaction or script is half done. `offset` is that of replication. `die` ends the process at
    once.
    """

    tellers: list[Teller]
    files: list[Teller]
    before_flush: list[Callable[[], None]]
    pieces: Pieces
    in_unit: Callable[[], bool]
    offset: Callable[[], int]
    is_replica: Callable[[], bool]
    settle: Callable[[], None]
    die: Callable[[str], None]


class Aof:
    """One per node. `on_synced` are called when more is safe than before."""

    def __init__(
        self, config: Config, log: Log, clock: Clock, guards: Guards, forks: Forks, hands: Hands
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._guards = guards
        self._forks = forks
        self._hands = hands
        self.directory = AofDirectory(
            config[directives.DIR],
            config[directives.APPENDDIRNAME],
            config[directives.APPENDFILENAME],
            log.notice,
        )
        self.state = State.OFF
        self.on_synced: list[Callable[[], None]] = []
        # What is fed, written, synced
        self._selected = -1  # the database of the last command; -1: the next one is preceded by SELECT
        self._stamped_s = 0
        self._pending: list[list[bytes]] = []
        self._taken = 0  # commands fed before those that are pending
        self._unwritten = b""  # what the disk has refused: before all that is pending
        self._written = Position(0, 0)
        self._synced = Position(0, 0)
        self._appender: Appender | None = None
        self._retired: list[Appender] = []  # to be synced and closed
        self._fsync = "everysec"
        self._stamps = False
        # fsync in the thread
        self._syncing = False
        self._sync_wanted = trio.Event()
        self._last_sync_s = -SYNC_PERIOD_S
        self._wanted_fed = 0  # somebody waits for so much to be safe
        self._postponed_since_s: float | None = None
        self.delayed_fsync = 0
        self.before_sync: Callable[[], None] = lambda: None  # called in the thread that syncs
        self.reload: Callable[[], None] = lambda: None  # DEBUG LOADAOF
        # Errors
        self._write_error = ""
        self._sync_error = ""
        self._error_logged_s = -ERROR_LOG_PERIOD_S
        # Rewrites
        self._child: Child | None = None
        self._nursery: trio.Nursery | None = None
        self.rewrites = RewriteFigures()
        self.back_off = BackOff(log.warning)
        self.scheduled = False
        self.size_bytes = 0
        self.base_bytes = 0
        config.on_change(directives.APPENDONLY, self._switch)
        config.on_change_of((directives.APPENDFSYNC, directives.AOF_TIMESTAMP_ENABLED), self._follow)
        self._follow()

    def _follow(self) -> None:
        self._fsync = self._config[directives.APPENDFSYNC]
        self._stamps = self._config[directives.AOF_TIMESTAMP_ENABLED]

    # Feeding

    def feed(self, db_index: int, argv: list[bytes]) -> None:
        """A change, as `server/after.py` tells it. Nobody changes `argv` any more."""
        if db_index != self._selected:
            self._selected = db_index
            self._pending.append([b"SELECT", b"%d" % db_index])
        self._pending.append(argv)

    # Writing

    def flush(self) -> None:
        """Called at the end of every turn, before replies leave. What waits for a broken disk waits on."""
        if not self._pending:
            return
        if not self._write_error:
            self._write()
        elif self._hands.is_replica() and not self._config[directives.REPLICA_IGNORE_DISK_WRITE_ERRORS]:
            self._hands.die(
                f"Replica was unable to write command to disk: {self._write_error}. Exiting, since "
                "replica-ignore-disk-write-errors is no..."
            )

    def _encode_pending(self) -> bytes:
        """What is to be written, all of it."""
        pending = self._pending
        self._taken += len(pending)
        stamp = self._stamp() if self._stamps and pending else b""
        data = encode_commands(pending, self._unwritten + stamp)
        pending.clear()
        return data

    def _stamp(self) -> bytes:
        """An annotation with the time of what follows, once a second."""
        now_s = self._clock.now_ms // 1000
        if now_s <= self._stamped_s:
            return b""
        self._stamped_s = now_s
        return b"#TS:%d\r\n" % now_s

    def _write(self, *, force: bool = False) -> None:
        """Writes what is pending, unless it is better to wait; `force` never waits."""
        if self._syncing and self._fsync == "everysec" and not force and self._postpone():
            return
        self._postponed_since_s = None
        appender = self._appender
        assert appender is not None
        data = self._encode_pending()
        try:
            appender.append(data)
        except AppendError as failed:
            self._write_failed(failed, data)
            return
        self._unwritten = b""
        self.size_bytes += len(data)
        self._written = Position(self._taken, self._hands.offset())
        if self._write_error:
            self._log.notice("AOF write error looks solved, Redis can write again.")
            self._write_error = ""
            self._update_guard()
        self._sync_if_due()

    def _postpone(self) -> bool:
        now_s = time.monotonic()
        if self._postponed_since_s is None:
            self._postponed_since_s = now_s
        if now_s - self._postponed_since_s < POSTPONED_MAX_S:
            return True
        self.delayed_fsync += 1
        self._log.notice(
            "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without "
            "waiting for fsync to complete, this may slow down the server."
        )
        return False

    def _write_failed(self, failed: AppendError, data: bytes) -> None:
        now_s = time.monotonic()
        if now_s - self._error_logged_s >= ERROR_LOG_PERIOD_S:
            self._error_logged_s = now_s
            self._log.warning(f"Error writing to the AOF file: {failed}")
            if failed.written:
                self._log.warning(
                    f"Could not remove {failed.written} bytes written from the append-only file."
                )
        if self._fsync == "always":
            self._hands.die(
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..."
            )
        self.size_bytes += failed.written
        self._unwritten = data[failed.written :]
        self._write_error = str(failed)
        self._update_guard()

    def _update_guard(self) -> None:
        self._guards.set(Guard.APPEND_ONLY, bool(self.error))

    @property
    def error(self) -> str:
        """What is wrong with the disk, "" while nothing is."""
        return self._write_error or self._sync_error

    # Syncing

    def _sync_if_due(self) -> None:
        if self._is_spared():
            return
        if self._fsync == "always":
            self._sync_now()
        elif self._fsync == "everysec" and time.monotonic() - self._last_sync_s >= SYNC_PERIOD_S:
            self._sync_soon()

    def _is_spared(self) -> bool:
        """no-appendfsync-on-rewrite: the disk is left to a child that writes."""
        return self._config[directives.NO_APPENDFSYNC_ON_REWRITE] and bool(self._forks.kind)

    def _sync_now(self) -> None:
        assert self._appender is not None
        self.before_sync()
        try:
            for appender in (*self._retired, self._appender):
                appender.sync()
        except OSError as failed:
            self._hands.die(
                "Can't persist AOF for fsync error when the AOF fsync policy is 'always': "
                f"{failed.strerror}. Exiting..."
            )
        self._last_sync_s = time.monotonic()
        self._synced_up_to(self._written)

    def _sync_soon(self) -> None:
        """Has the thread sync what is written; nothing new is begun while it does."""
        if not self._syncing:
            self._syncing = True
            self._last_sync_s = time.monotonic()
            self._sync_wanted.set()

    async def _sync_in_thread(self) -> None:
        while True:
            await self._sync_wanted.wait()
            self._sync_wanted = trio.Event()
            retired, self._retired = self._retired, []
            written = self._written
            try:
                await trio.to_thread.run_sync(_sync_all, self.before_sync, self._appender, retired)
                self._sync_error = ""
                self._synced_up_to(written)
            except OSError as failed:
                self._log.warning(f"Fail to fsync the AOF file: {failed.strerror}")
                self._sync_error = failed.strerror or str(failed)
            self._syncing = False
            self._update_guard()
            self.flush()
            if self._synced.fed < self._wanted_fed and not self.error:
                self._sync_soon()
            self._hands.settle()

    def _synced_up_to(self, position: Position) -> None:
        if position.fed >= self._synced.fed:
            self._synced = position
        for callback in tuple(self.on_synced):
            callback()

    # What others ask

    @property
    def is_on(self) -> bool:
        return self.state is not State.OFF

    @property
    def is_starting(self) -> bool:
        """Whether the first base is still being made: until then nothing on disk holds the data."""
        return self.state is State.STARTING

    @property
    def fed(self) -> int:
        """How many commands have been fed: where the log stands, for `is_safe` to be asked about."""
        return self._taken + len(self._pending)

    def is_safe(self, fed: int) -> bool:
        """Whether what was there when `fed` was read would survive a power failure now."""
        return self.state is State.ON and self._synced.fed >= fed

    @property
    def has_unwritten(self) -> bool:
        return bool(self._pending or self._unwritten)

    def synced_offset(self) -> int | None:
        """The replication offset up to which all is safe; None without an AOF, 0 until its first base is."""
        if self.state is State.OFF:
            return None
        if self.state is State.STARTING:
            return 0
        if self._synced.fed == self.fed:
            return self._hands.offset()  # what followed changed nothing
        return self._synced.offset

    def write_all(self) -> None:
        """The files hold all that was fed. Raises AofError when there are none yet, or the disk refuses."""
        if self.state is not State.ON:
            raise AofError("There is no append-only file, or not all of its first base yet")
        if self._hands.in_unit():
            raise AofError("What a transaction or a migration has begun is in no file yet")
        if self.has_unwritten:
            self._write(force=True)
        if self.has_unwritten:
            raise AofError(f"Error writing to the AOF file: {self._write_error}")

    def hurry(self) -> None:
        """Somebody waits for what was fed to be safe: it is synced as soon as can be, whatever appendfsync
        says.
        """
        if self._appender is None or self._synced.fed >= self.fed or self._fsync == "always":
            return
        self._wanted_fed = self.fed
        self.flush()
        self._sync_soon()

    # Time

    def tick(self) -> None:
        """Called ten times a second."""
        if self._appender is not None:
            if self.has_unwritten:
                self._write()
            elif self._synced.fed < self._written.fed:
                self._sync_if_due()
        if self._retired:
            self._sync_soon()
        if self._forks.kind or self._hands.in_unit():
            return
        if self.scheduled or self._has_grown():
            self.scheduled = False
            with suppress(AofError):
                self.rewrite()

    def _has_grown(self) -> bool:
        config = self._config
        percentage = config[directives.AUTO_AOF_REWRITE_PERCENTAGE]
        if self.state is State.STARTING:
            return not self.back_off.holds()
        if self.state is State.OFF or not percentage:
            return False
        if self.size_bytes <= config[directives.AUTO_AOF_REWRITE_MIN_SIZE]:
            return False
        growth = self.size_bytes * 100 // (self.base_bytes or 1) - 100
        if growth < percentage or self.back_off.holds():
            return False
        self._log.notice(f"Starting automatic rewriting of AOF on {growth}% growth")
        return True

    async def run(self) -> None:
        """The task; runs until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await self._sync_in_thread()

    # Rewriting

    def request_rewrite(self) -> bool:
        """BGREWRITEAOF: True when it has begun, False when it will, as soon as nothing stands in its way.

        Raises AofError when one is under way, or it cannot begin.
        """
        if self._child is not None:
            raise AofError("Background append only file rewriting already in progress")
        if self._forks.kind or self._hands.in_unit() or self._nursery is None:
            self.scheduled = True
            self.back_off.reset()
            return False
        self.rewrite()
        return True

    def rewrite(self) -> None:
        """Begins a rewrite. Raises AofError, which has been logged."""
        try:
            self._begin_rewrite()
        except (AofError, OSError) as failed:
            text = str(failed) if isinstance(failed, AofError) else f"fork: {failed.strerror}"
            self._log.warning(f"Can't rewrite append only file in background: {text}")
            self.rewrites.last_ok = False
            self.back_off.failed()
            raise AofError(text) from failed

    def _begin_rewrite(self) -> None:
        self.directory.open()
        first = self.state is State.STARTING
        if self.state is State.ON:
            if self.has_unwritten:
                self._write(force=True)
            if self.has_unwritten:
                raise AofError(f"what changed could not be written before: {self._write_error}")
            self._go_on_in(self.directory.new_increment("background rewrite"))
        elif first:
            self._attach(self.directory.temporary_increment())
        as_rdb = self._config[directives.AOF_USE_RDB_PREAMBLE]
        incremental = self._config[directives.AOF_REWRITE_INCREMENTAL_FSYNC]
        path, pieces = self.directory.temporary_base(), self._hands.pieces
        try:
            self._child = self._forks.start(
                CHILD_KIND, lambda reporter: _write_in_child(path, pieces, as_rdb, incremental, reporter)
            )
        except OSError:
            if first:
                self._detach()
            raise
        self.rewrites.began()
        self._log.notice(f"Background append only file rewriting started by pid {self._child.pid}")
        assert self._nursery is not None, "children are watched by the task"
        self._nursery.start_soon(self._end_rewrite, self._child, path, "rdb" if as_rdb else "aof")

    def _go_on_in(self, appender: Appender) -> None:
        """All that is fed from now on is for this file."""
        if self._appender is not None:
            self._retired.append(self._appender)
        self._appender = appender
        self._begin_file()
        self._sync_soon()

    def _begin_file(self) -> None:
        """Each file tells its database, and its time, anew."""
        self._selected = -1
        self._stamped_s = 0

    async def _end_rewrite(self, child: Child, path: str, suffix: str) -> None:
        try:
            await child.wait()
            failure = ""
        except ChildError as failed:
            failure = str(failed)
        self._forks.release()
        if self._child is not child:  # nobody wants it any more
            failure = failure or "cancelled"
        else:
            self._child = None
            self.rewrites.last_cow_bytes = child.cow_bytes
            if not failure:
                failure = self._install(path, suffix)
            self.rewrites.ended(not failure)
            if failure:
                self.back_off.failed()
                if self.state is State.STARTING:
                    self._detach()
            else:
                self.back_off.reset()
        if failure:
            self._log.warning(f"Background AOF rewrite terminated with error: {failure}")
            with suppress(OSError):
                os.unlink(path)
        else:
            self._log.notice("Background AOF rewrite finished successfully")
            await self._remove_history()
        self._hands.settle()

    def _install(self, path: str, suffix: str) -> str:
        """Makes a rewrite's file the base; returns what is wrong, "" when all is well."""
        first = self.state is State.STARTING
        try:
            base_bytes = os.stat(path).st_size
            self.directory.install_base(path, suffix, first=first, keep=int(self.state is not State.OFF))
        except (AofError, OSError) as failed:
            return str(failed)
        if first:
            self.state = State.ON
        if self._appender is not None:
            self.base_bytes = self.size_bytes = base_bytes + self._appender.size
        if first:
            for callback in tuple(self.on_synced):
                callback()
        return ""

    async def _remove_history(self) -> None:
        if self._config[directives.AOF_DISABLE_AUTO_GC]:
            return
        try:
            paths = self.directory.forget_history()
        except AofError as failed:
            self._log.warning(str(failed))
            return
        for path in paths:
            self._log.notice(f"Removing the history file {os.path.basename(path)} in the background")
        await trio.to_thread.run_sync(_unlink_all, paths)

    # Beginning and end

    def begin(self) -> None:
        """At start, with the data set loaded: goes on in the last increment. Without a base, writes one.

        Raises AofError.
        """
        directory = self.directory
        directory.open()
        if not directory.manifest.files:
            path = directory.temporary_base()
            as_rdb = self._config[directives.AOF_USE_RDB_PREAMBLE]
            try:
                files.write(path, self._hands.pieces(as_rdb, _unheard), incremental_fsync=False)
            except OSError as failed:
                raise AofError(f"Write error writing append only file {path}: {failed.strerror}") from failed
            directory.install_base(path, "rdb" if as_rdb else "aof", first=False, keep=0)
        appender = directory.last_increment()
        sizes = directory.sizes()
        self.size_bytes = sum(size for _, size in sizes)
        self.base_bytes = sum(size for file, size in sizes if file is directory.manifest.base)
        self._attach(appender)
        self.state = State.ON

    def _attach(self, appender: Appender) -> None:
        hands = self._hands
        self._appender = appender
        self._begin_file()
        self._written = self._synced = Position(self.fed, hands.offset())
        if self.feed not in hands.tellers:
            hands.tellers.append(self.feed)
            hands.files.append(self.feed)
            hands.before_flush.append(self.flush)

    def _detach(self) -> None:
        """Nothing more is taken; what is pending is dropped."""
        hands = self._hands
        if self.feed in hands.tellers:
            hands.tellers.remove(self.feed)
            hands.files.remove(self.feed)
            hands.before_flush.remove(self.flush)
        self._taken += len(self._pending)
        self._pending.clear()
        self._unwritten = b""
        self._write_error = ""
        self._update_guard()
        if self._appender is not None:
            self._retired.append(self._appender)
            self._appender = None
            self._sync_soon()
        if self.state is State.STARTING:
            self.directory.drop_temporary_increment()

    def _switch(self, on: bool) -> None:
        """CONFIG SET appendonly."""
        if on and self.state is State.OFF:
            self._start()
        elif not on and self.state is not State.OFF:
            self._stop()

    def _start(self) -> None:
        try:
            self.directory.open()
        except AofError as failed:
            self._log.warning(str(failed))
            raise ConfigError(f"Unable to turn on AOF: {failed}") from failed
        self.state = State.STARTING
        self.back_off.reset()
        if self._child is not None:
            self._log.notice(
                "AOF was enabled but there is already an AOF rewriting in background. "
                "Stopping background AOF and starting a rewrite now."
            )
            self._abandon_rewrite()
        if self._forks.kind or self._hands.in_unit() or self._nursery is None:
            self.scheduled = True
            self._log.notice(
                "AOF was enabled but there is already another background operation. "
                "An AOF background was scheduled to start when possible."
            )
            return
        try:
            self.rewrite()
        except AofError as failed:
            self.state = State.OFF
            raise ConfigError(f"Unable to turn on AOF: {failed}") from failed

    def _stop(self) -> None:
        if self._appender is not None and self.has_unwritten:
            self._write(force=True)
        self._abandon_rewrite()
        self._detach()
        self.state = State.OFF
        self.scheduled = False
        for callback in tuple(self.on_synced):
            callback()

    def _abandon_rewrite(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            self._log.notice(f"Killing running AOF rewrite child: {child.pid}")
            child.kill()
            self.rewrites.ended(self.rewrites.last_ok)

    def start_anew(self) -> None:
        """Another data set took the place of ours: what the files hold is not what they are to go on from."""
        if self.state is State.OFF:
            return
        self._abandon_rewrite()
        self._detach()
        self.state = State.STARTING
        self.scheduled = True

    def close(self) -> None:
        """At the end of the process: writes, syncs and lets go of all files."""
        if self._child is not None:
            self._abandon_rewrite()
        if self._appender is not None:
            if self.has_unwritten:
                self._write(force=True)
            try:
                _sync_all(self.before_sync, self._appender, self._retired)
            except OSError as failed:
                self._log.warning(f"Fail to fsync the AOF file: {failed.strerror}")
            self._appender.close()
            self._appender = None
            self._retired = []
        self.directory.close()

    @property
    def buffer_bytes(self) -> int:
        """What waits to be written."""
        return len(self._unwritten) + sum(len(word) for words in self._pending for word in words)

    @property
    def rewriting(self) -> bool:
        return self._child is not None

    @property
    def syncing(self) -> bool:
        return self._syncing


def _sync_all(before: Callable[[], None], current: Appender | None, retired: list[Appender]) -> None:
    """Syncs all, and closes those that nobody writes to any more. Raises OSError."""
    before()
    try:
        for appender in retired:
            appender.sync()
        if current is not None:
            current.sync()
    finally:
        for appender in retired:
            appender.close()


def _write_in_child(
    path: str, pieces: Pieces, as_rdb: bool, incremental_fsync: bool, reporter: Reporter
) -> None:
    files.write(path, pieces(as_rdb, reporter.wrote), incremental_fsync=incremental_fsync)


def _unheard(_keys: int) -> None:
    """Nobody wants to know how many keys are written."""


def _unlink_all(paths: list[str]) -> None:
    for path in paths:
        with suppress(OSError):
            os.unlink(path)
