"""An AOF → the data set: its files are read in order, and their commands run as those of a primary.

A base may be RDB, and so may be the beginning of any file; all else is commands. They run in slices, so that
clients are answered (with LOADING) and the cluster bus breathes. Nothing expires meanwhile: what a command
changed long ago must be there for the next one. The commands between MULTI and EXEC wait for the EXEC.

Files end where a crash or a full disk cut them. What is whole is loaded; the tail of the last file, from the
last boundary on (the beginning of a transaction that has no end included: redis-server cuts inside of it and
then loses what is written behind the MULTI that it leaves), is cut off, if aof-load-truncated allows it. A
file system may also leave zeros behind what was written; they are no command's and cut off with the rest.
Anything else refuses the whole AOF, with file and offset, and leaves it as it is.

Source: redis.conf, aof-load-truncated and aof-use-rdb-preamble.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import trio

from gossip.slots import key_slot
from node.clock import Clock
from node.command.registry import Command, Table
from node.command.session import Session
from node.errors import CommandError
from node.keyspace.changes import Changes
from node.keyspace.database import Policy
from node.log import Log
from node.persistence.aof.directory import AofDirectory
from node.persistence.aof.errors import AofError
from node.persistence.aof.scan import RDB_MAGIC, AofFormatError, Batch, Scanner, ends_in_zeros
from node.persistence.loading import Loading
from node.persistence.rdb import NoteUse, RdbLoader, no_collections
from node.rdb.errors import RdbError
from node.resp.request import Request

BLOCK_BYTES = 256 * 1024
SLICE_S = 0.005
_LOOK_EVERY = 64
_COMPLAINTS_MAX = 10


class Dispatch(Protocol):
    """What is needed of the dispatcher."""

    table: Table

    def run(self, session: Session, command: Command, argv: Request) -> bytes | None: ...
    def resolve(self, argv: Request) -> tuple[Command | None, bytes]: ...
    def execute(self, session: Session, argv: Request) -> bytes | None: ...


class Replay:
    """One loading. `session` counts as the primary's; `progress` is told how many bytes of all files have
    been read. `at_once`: nobody else runs meanwhile.
    """

    def __init__(
        self,
        session: Session,
        dispatch: Dispatch,
        clock: Clock,
        changes: Changes,
        policy: Policy,
        log: Log,
        progress: Callable[[int], None],
        take_functions: Callable[[list[bytes]], None],
        note_use: NoteUse | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        self._session = session
        self._dispatch = dispatch
        self._fast = dispatch.table.fast_all
        self._clock = clock
        self._changes = changes
        self._policy = policy
        self._log = log
        self._progress = progress
        self.take_functions = take_functions
        self._note_use = note_use
        self._complaints = 0
        self._slice_end_s = math.inf if at_once else 0.0
        self._read_bytes = 0
        self.commands = 0

    async def load(self, paths: Iterable[str], cut_torn_tail: bool) -> None:
        """Loads files in order. Raises AofError. Of the last one a torn tail is cut off, if that is allowed.

        Expiry is off afterwards; whoever asked for the loading chooses it anew.
        """
        total_before = self._changes.total
        self._policy.expires = False
        paths = list(paths)
        try:
            for path in paths:
                torn_at = await self._load_file(path)
                if torn_at is None:
                    continue
                if path != paths[-1]:
                    raise AofError(
                        f"{path} ends in the middle of a command or transaction, at offset {torn_at}, and is "
                        "not the last file: what follows it cannot be loaded"
                    )
                self._cut(path, torn_at, cut_torn_tail)
        finally:
            self._changes.total = total_before

    def _cut(self, path: str, torn_at: int, allowed: bool) -> None:
        size = os.path.getsize(path)
        if not allowed:
            raise AofError(
                f"Unexpected end of file reading the append only file {path}: what begins at offset "
                f"{torn_at} is not whole. Make a backup of your AOF files, then use check-aof --fix, or set "
                "aof-load-truncated to yes and start again."
            )
        self._log.warning(f"!!! Warning: short read while loading the AOF file {path}!!!")
        self._log.warning(f"!!! Truncating the AOF {path} at offset {torn_at}, by {size - torn_at} bytes !!!")
        try:
            os.truncate(path, torn_at)
        except OSError as failed:
            raise AofError(f"Error truncating the AOF file {path}: {failed.strerror}") from failed
        self._log.warning(f"AOF {path} loaded anyway because aof-load-truncated is enabled")

    async def _load_file(self, path: str) -> int | None:
        """The offset at which a torn tail begins, None when the file is whole."""
        started_s = time.monotonic()
        try:
            with open(path, "rb", buffering=0) as file:
                reading = _FileReading(self, path)
                while block := file.read(BLOCK_BYTES):
                    await reading.feed(block)
                    self._read_bytes += len(block)
                    self._progress(self._read_bytes)
        except OSError as failed:
            raise AofError(f"Can't read the append only file {path}: {failed.strerror}") from failed
        torn_at = await reading.end()
        took_s = time.monotonic() - started_s
        self._log.notice(f"DB loaded from AOF file {os.path.basename(path)}: {took_s:.3f} seconds")
        return torn_at

    # What the files hold

    async def breathe(self) -> None:
        """Lets others run when the slice is over."""
        if time.monotonic() > self._slice_end_s:
            obeys, self._policy.obeys = self._policy.obeys, False
            await trio.lowlevel.checkpoint()
            self._policy.obeys = obeys
            self._policy.expires = False  # a change of role may have chosen otherwise
            self._slice_end_s = time.monotonic() + SLICE_S
            self._session.call.now_ms = self._clock.now_ms

    async def run(self, path: str, batch: Batch, start: int, commands: list[Request]) -> None:
        """Runs commands; `start` is the place of the first one in its batch. Raises AofError."""
        fast, call, changes = self._fast, self._session.call, self._changes
        session = self._session
        log = changes.log
        self._policy.obeys = True
        try:
            for index, argv in enumerate(commands):
                if not index % _LOOK_EVERY:
                    await self.breathe()
                command = fast.get(argv[0])
                if command is not None and session.taken is None and command.arity_fits(len(argv)):
                    call.slot = key_slot(argv[1])
                    try:
                        command.run(call, argv)
                    except CommandError as refused:
                        self._complain(path, argv, refused.text)
                    if log:
                        changes.clear()
                else:
                    self._run_slowly(path, batch, start + index, argv)
        finally:
            self._policy.obeys = False
        self.commands += len(commands)

    def _run_slowly(self, path: str, batch: Batch, index: int, argv: Request) -> None:
        command, refusal = self._dispatch.resolve(argv)
        if command is None and self._dispatch.table.lookup(argv[0]) is None:
            name = argv[0].decode("utf-8", "backslashreplace")
            offset = batch.offset_of(max(index, 0))
            raise AofError(f"Unknown command '{name}' reading the append only file {path} at offset {offset}")
        reply = refusal if command is None else self._dispatch.execute(self._session, argv)
        if reply is not None and reply[:1] == b"-":
            self._complain(path, argv, reply[1:-2])

    def _complain(self, path: str, argv: Request, text: bytes) -> None:
        self._complaints += 1
        if self._complaints > _COMPLAINTS_MAX:
            return
        self._log.warning(
            f"== CRITICAL == A command of the append only file {path} fails: "
            f"'{text.decode('utf-8', 'backslashreplace')}' after processing the command "
            f"'{argv[0].decode('utf-8', 'backslashreplace')}'"
        )
        if self._complaints == _COMPLAINTS_MAX:
            self._log.warning("More such commands are not logged.")

    def new_rdb_loader(self) -> RdbLoader:
        """For the beginning of a file that is RDB. What is over is loaded too, for commands that follow."""
        return RdbLoader(self._session.call.databases, now_ms=None, note_use=self._note_use)


class _FileReading:
    """One file of a loading, fed with its blocks."""

    def __init__(self, replay: Replay, path: str) -> None:
        self._replay = replay
        self._path = path
        self._scanner: Scanner | None = None
        self._rdb: RdbLoader | None = None
        self._fed_bytes = 0
        self._head = b""
        self._held: list[Request] | None = None  # of a transaction that is open
        self._held_from: tuple[Batch, int] | None = None  # where its MULTI stands
        self._damage: AofFormatError | None = None

    async def feed(self, block: bytes) -> None:
        """The next block. Raises AofError."""
        self._fed_bytes += len(block)
        if self._scanner is None and self._rdb is None:
            block = self._head + block
            if len(block) < len(RDB_MAGIC) and RDB_MAGIC.startswith(block):
                self._head = block
                return
            if block.startswith(RDB_MAGIC):
                self._rdb = self._replay.new_rdb_loader()
            else:
                self._scanner = Scanner()
        if self._rdb is not None:
            block = await self._feed_rdb(self._rdb, block)
        if self._scanner is not None and block and self._damage is None:
            try:
                for item in self._scanner.feed(block):
                    if type(item) is Batch:
                        await self._run(item)
            except AofFormatError as bad:
                self._damage = bad

    async def _feed_rdb(self, rdb: RdbLoader, block: bytes) -> bytes:
        """Returns what stands behind the RDB part."""
        try:
            for _ in rdb.feed(block):
                await self._replay.breathe()
        except RdbError as bad:
            raise self._bad_rdb(bad) from bad
        if not rdb.ended:
            return b""
        rest = rdb.rest
        self._end_rdb(rdb)
        self._scanner = Scanner(self._fed_bytes - len(rest))
        return rest

    def _bad_rdb(self, bad: RdbError) -> AofError:
        return AofError(f"Error reading the RDB part of the append only file {self._path}: {bad}")

    async def _run(self, batch: Batch) -> None:
        """Runs what may run now: all but what stands in a transaction that is still open."""
        commands = batch.commands
        start = 0
        for index, argv in enumerate(commands):
            if len(argv) != 1:
                continue
            word = argv[0].upper()
            if word == b"MULTI" and self._held is None:
                await self._hold_or_run(batch, start, index)
                self._held, self._held_from = [], (batch, index)
                start = index + 1
            elif word == b"EXEC" and self._held is not None:
                await self._hold_or_run(batch, start, index)
                held, self._held = self._held, None
                await self._replay.run(self._path, batch, index - len(held), held)
                start = index + 1
        await self._hold_or_run(batch, start, len(commands))

    async def _hold_or_run(self, batch: Batch, start: int, end: int) -> None:
        commands = batch.commands[start:end]
        if self._held is not None:
            self._held += commands
        elif commands:
            await self._replay.run(self._path, batch, start, commands)

    async def end(self) -> int | None:
        """Where a torn tail begins, None when the file is whole. Raises AofError."""
        if self._rdb is not None:
            try:
                for _ in self._rdb.close():
                    await self._replay.breathe()
            except RdbError as bad:
                raise self._bad_rdb(bad) from bad
            self._end_rdb(self._rdb)
        scanner = self._scanner
        if scanner is None:
            return 0 if self._head else None
        if self._damage is not None and not ends_in_zeros(self._path, scanner.offset):
            raise AofError(
                f"Bad file format reading the append only file {self._path}: {self._damage} at offset "
                f"{self._damage.offset}. Make a backup of your AOF files, then use check-aof."
            )
        if self._held is not None and self._held_from is not None:
            batch, index = self._held_from
            return batch.offset_of(index)
        return scanner.offset if scanner.rest else None

    def _end_rdb(self, rdb: RdbLoader) -> None:
        self._rdb = None
        self._replay.take_functions(rdb.functions)


async def load_directory(
    directory: AofDirectory, loading: Loading, replay: Replay, *, cut_torn_tail: bool
) -> bool:
    """Loads what the manifest names; False when there is no AOF at all. Whoever calls ends the loading.

    Raises AofError.
    The AOF of a Redis before 7.0 is made the base of a new one.
    """
    directory.open()
    directory.upgrade()
    sizes = directory.sizes()
    if not sizes:
        return False
    loading.begin(sum(size for _, size in sizes))
    with no_collections():
        await replay.load([directory.path_of(file) for file, _ in sizes], cut_torn_tail)
    return True


def load_directory_now(directory: AofDirectory, replay: Replay, *, cut_torn_tail: bool) -> None:
    """The same of a directory that is open, without a pause, by a replay that is made `at_once`.

    Raises AofError.
    """
    loading = replay.load([directory.path_of(file) for file, _ in directory.sizes()], cut_torn_tail)
    with no_collections(), suppress(StopIteration):
        loading.send(None)
        raise AssertionError("it has stopped on its way")
