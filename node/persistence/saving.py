"""Saving: the data set into the file that `dbfilename` names, when somebody asks or enough has changed.

SAVE and the last save before an exit stop the server for it; BGSAVE and the save points have a child do it,
at most one at a time. The child writes a file beside the old one; only when it is whole and on disk, and the
parent still lives, does the parent give it its name. So a save that fails or is killed, and a disk that is
full, leave the old file as it was, and a child that outlives its parent replaces nothing.

A background save that failed is tried again after `RETRY_DELAY_S`. Until one succeeds, clients' writes are
refused if save points are set and stop-writes-on-bgsave-error says so (Guard.DISK).

A replica cannot refuse what its primary wrote. By redis-server's rule it ends with the first change that it
gets from its primary in that condition, since it was told to keep what it cannot keep; with
replica-ignore-disk-write-errors it goes on, and says so.

Source: redis.conf's chapter on snapshotting; https://redis.io/docs/management/persistence/; the log lines are
Redis 7.2's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import trio

from node.clock import Clock
from node.config import table as directives
from node.config.config import Config
from node.guards import Guard, Guards
from node.keyspace.changes import Changes
from node.log import Log
from node.observe.info import Fields
from node.persistence.child import Child, ChildError, Forks, Reporter
from node.persistence.compression import Ration
from node.persistence.files import (
    InUseError,
    NameLock,
    publish,
    remove_leftovers,
    temporary_name,
    write,
)
from node.persistence.snapshot import Snapshots, StreamPosition

CHILD_KIND = "rdb"
RETRY_DELAY_S = 5.0
REMINDER_PERIOD_S = 10.0


class SaveError(Exception):
    """The data set was not saved; the text says why."""


class Saving:
    """One per node. `position` tells where the replication stream stands, None when it has no history."""

    def __init__(
        self,
        config: Config,
        log: Log,
        clock: Clock,
        guards: Guards,
        changes: Changes,
        forks: Forks,
        snapshots: Snapshots,
        settle: Callable[[], None],
    ) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._guards = guards
        self._changes = changes
        self._forks = forks
        self._snapshots = snapshots
        self._settle = settle
        self._lock = NameLock()
        self._nursery: trio.Nursery | None = None
        self._child: Child | None = None
        self._temporary = ""
        self._keys_total = 0
        self._changes_before = 0  # of `Changes.total`, that the last save holds
        self._changes_looked_at = 0  # by the rule for replicas
        self._reminded_s = -REMINDER_PERIOD_S
        self._tried_s = 0.0
        self._last_duration_s = -1
        self._last_cow_bytes = 0
        self.position: Callable[[], StreamPosition | None] = lambda: None
        self.is_replica: Callable[[], bool] = lambda: False
        self.die: Callable[[str], None] = lambda _why: None  # ends the process at once
        self.last_save_s = int(time.time())
        self.last_ok = True
        self.saves = 0
        self.scheduled = False
        config.on_change_of((directives.SAVE, directives.STOP_WRITES_ON_BGSAVE_ERROR), self._update_guard)

    @property
    def path(self) -> str:
        """The snapshot's file."""
        return self._config.resolve(self._config[directives.DBFILENAME])

    @property
    def in_progress(self) -> bool:
        """Whether a child saves, to the file or to replicas."""
        return self._forks.kind in (CHILD_KIND, "sync")

    @property
    def changes_since(self) -> int:
        """Changes that are not in the last save."""
        return self._changes.total - self._changes_before

    # Starting and stopping

    def prepare(self) -> None:
        """Takes the lock, if this node is to save by itself. Raises InUseError, OSError."""
        if self._config[directives.SAVE]:
            self._lock.hold(self.path)
            remove_leftovers(self.path)

    async def run(self) -> None:
        """The task; runs until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def loaded(self) -> None:
        """The data set is what the file holds."""
        self._changes_before = self._changes.total

    def close(self) -> None:
        """Ends the child and lets the lock go; called at the exit."""
        self.kill_child()
        self._lock.release()

    # Saving here

    def save_now(self) -> None:
        """SAVE: everybody waits. Raises SaveError; the old file is as it was then."""
        if self.in_progress:
            raise SaveError("Background save already in progress")
        self._save()

    def _save(self) -> None:
        path = self.path
        temporary = temporary_name(path, os.getpid())
        self.saves += 1
        try:
            self._lock.hold(path)
            self._write(temporary, self._pieces())
            publish(temporary, path)
        except (OSError, InUseError) as failed:
            raise self._failed(failed) from failed
        self._changes_before = self._changes.total
        self._log.notice("DB saved on disk")
        self._succeeded()

    def _pieces(self) -> Iterator[bytes]:
        return self._snapshots.pieces(self.position(), checksum=self._config[directives.RDBCHECKSUM])

    def _write(self, temporary: str, pieces: Iterator[bytes]) -> int:
        incremental = self._config[directives.RDB_SAVE_INCREMENTAL_FSYNC]
        return write(temporary, pieces, incremental_fsync=incremental)

    def _failed(self, failed: OSError | InUseError) -> SaveError:
        text = _reason(failed)
        self._log.warning(f"Write error while saving DB to the disk({self.path}): {text}")
        return SaveError(text)

    def _succeeded(self) -> None:
        self.last_save_s = int(time.time())
        self.last_ok = True
        self._update_guard()

    def save_last(self, wanted: bool | None) -> None:
        """The save before the exit: `wanted` True and False decide, None leaves it to the save points.

        Raises SaveError.
        """
        if self._child is not None:
            self._log.warning("There is a child saving an .rdb. Killing it!")
            self.kill_child()
        if self._config[directives.SAVE] if wanted is None else wanted:
            self._log.notice("Saving the final RDB snapshot before exiting.")
            self._save()

    def flushed(self) -> None:
        """FLUSHALL: what a child still saves is outdated, and the file must not bring it back."""
        self.kill_child()
        running = self._nursery is not None and Guard.LOADING not in self._guards
        if running and self._config[directives.SAVE]:
            with suppress(SaveError):  # is in the log
                self._save()

    # Saving in a child

    def save_in_background(self) -> None:
        """Has a child save what there is now; there must be none. Raises SaveError, which is in the log."""
        assert not self._forks.kind
        assert self._nursery is not None, "the node runs"
        self._tried_s = time.monotonic()
        self.saves += 1
        path = self.path
        try:
            self._lock.hold(path)
            child = self._start_child(path)
        except (OSError, InUseError) as failed:
            text = _reason(failed)
            self._fail(f"Can't save in background: {text}")
            raise SaveError(text) from failed
        self._log.notice(f"Background saving started by pid {child.pid}")
        self._nursery.start_soon(self._watch, child, path, self._changes.total)

    def _start_child(self, path: str) -> Child:
        config = self._config
        position = self.position()
        compress = Ration() if config[directives.RDBCOMPRESSION] else False
        checksum = config[directives.RDBCHECKSUM]

        def work(reporter: Reporter) -> None:
            pieces = self._snapshots.pieces(
                position, compress=compress, checksum=checksum, wrote=reporter.wrote
            )
            self._write(temporary_name(path, os.getpid()), pieces)
            self._log.notice("DB saved on disk")

        self._keys_total = self._snapshots.key_count
        self._child = child = self._forks.start(CHILD_KIND, work)
        self._temporary = temporary_name(path, child.pid)
        return child

    async def _watch(self, child: Child, path: str, changes: int) -> None:
        temporary = self._temporary
        try:
            await child.wait()
            if self._child is child:  # and was not killed by us
                await trio.to_thread.run_sync(publish, temporary, path)
        except (ChildError, OSError) as failed:
            if self._child is child:
                with suppress(OSError):
                    os.unlink(temporary)
                self._fail(f"Background saving error: {failed}")
                self._child_ended(child)
        else:
            if self._child is child:
                self._changes_before = changes
                self._last_cow_bytes = child.cow_bytes
                current, peak = child.cow_bytes >> 20, child.cow_peak_bytes >> 20
                self._log.notice(f"Fork CoW for RDB: current {current} MB, peak {peak} MB")
                self._log.notice("Background saving terminated with success")
                self._succeeded()
                self._child_ended(child)
        self._settle()

    def _child_ended(self, child: Child) -> None:
        self._last_duration_s = int(time.monotonic() - child.started_s)
        self._child = None
        self._forks.release()

    def _fail(self, text: str) -> None:
        self._log.warning(text)
        self.last_ok = False
        self._changes_looked_at = self._changes.total
        self._update_guard()

    def kill_child(self) -> None:
        """Ends the child, if one saves to the file, and removes what it has written."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with suppress(OSError):
            os.unlink(self._temporary)
        self._forks.release()

    def _update_guard(self) -> None:
        config = self._config
        stops = config[directives.STOP_WRITES_ON_BGSAVE_ERROR] and bool(config[directives.SAVE])
        self._guards.set(Guard.DISK, stops and not self.last_ok)

    # Time

    def tick(self) -> None:
        """Called ten times a second: begins what is due."""
        if Guard.DISK in self._guards:
            self._mind_the_primary()
        if self._forks.kind or Guard.LOADING in self._guards or self._nursery is None:
            return
        since_try_s = time.monotonic() - self._tried_s
        if not self.last_ok and since_try_s < RETRY_DELAY_S:
            return
        if self._is_due() or self.scheduled:
            self.scheduled = False
            with suppress(SaveError):
                self.save_in_background()

    def _mind_the_primary(self) -> None:
        """While nothing can be saved: what a replica's primary has changed since the last look."""
        changes, self._changes_looked_at = self._changes_looked_at, self._changes.total
        if not self.is_replica() or changes == self._changes.total:
            return
        if not self._config[directives.REPLICA_IGNORE_DISK_WRITE_ERRORS]:
            self.die(
                "Replica was unable to write command to disk: its snapshots fail. Exiting, since "
                "replica-ignore-disk-write-errors is no..."
            )
        now_s = time.monotonic()
        if now_s - self._reminded_s >= REMINDER_PERIOD_S:
            self._reminded_s = now_s
            self._log.warning("Replica is applying a command even though it is unable to write to disk.")

    def _is_due(self) -> bool:
        changes = self.changes_since
        if not changes:
            return False
        since_s = time.time() - self.last_save_s
        for point in self._config[directives.SAVE]:
            if changes >= point.changes and since_s > point.seconds:
                self._log.notice(f"{point.changes} changes in {point.seconds} seconds. Saving...")
                return True
        return False

    # What is told

    def info(self) -> Fields:
        """The fields of INFO persistence about snapshots and children."""
        child = self._child
        now_s = time.monotonic()
        done, total = (child.keys_done, self._keys_total) if child is not None else (0, 0)
        yield "current_cow_peak", child.cow_peak_bytes if child is not None else 0
        yield "current_cow_size", child.cow_bytes if child is not None else 0
        yield "current_cow_size_age", int(now_s - child.reported_s) if child is not None else 0
        yield "current_fork_perc", f"{100 * done / total if total else 0:.2f}"
        yield "current_save_keys_processed", done
        yield "current_save_keys_total", total
        yield "rdb_changes_since_last_save", self.changes_since
        yield "rdb_bgsave_in_progress", int(self.in_progress)
        yield "rdb_last_save_time", self.last_save_s
        yield "rdb_last_bgsave_status", "ok" if self.last_ok else "err"
        yield "rdb_last_bgsave_time_sec", self._last_duration_s
        yield "rdb_current_bgsave_time_sec", int(now_s - child.started_s) if child is not None else -1
        yield "rdb_saves", self.saves
        yield "rdb_last_cow_size", self._last_cow_bytes


def _reason(failed: OSError | InUseError) -> str:
    return failed.strerror or str(failed) if isinstance(failed, OSError) else str(failed)
