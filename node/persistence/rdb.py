"""A snapshot's bytes → databases.

`RdbLoader` takes pieces of any size and stores what is in them; what is told about the whole (where the
replication stream stood, libraries of functions) it keeps for whoever asked. `RdbFile` reads a file with it.
A file that is damaged anywhere is refused, with its name and the offset, and left as it is.

Source: https://redis.io/commands/bgsave/; the RDB format as `node.rdb.file` describes it.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gossip.slots import key_slot
from node.keyspace.database import Database
from node.log import Log
from node.persistence.loading import Loading, Pace
from node.persistence.snapshot import StreamPosition
from node.rdb.errors import RdbError
from node.rdb.file import Aux, Function, Item, Key, RdbReader, Strings

PIECE_BYTES = 256 * 1024
_REPLID_BYTES = 40
_KEYS_IN_STEP = 16

NoteUse = Callable[[Database, bytes, int | None, int | None], None]
"""Told of a key: how long it has been idle, in seconds, and how often it is used, where the file says so."""


class LoadError(Exception):
    """The data on disk cannot be loaded; the text names the file, and where it is wrong."""


class RdbLoader:
    """Fed with a file, piece by piece. RdbError from any method: the file is of no use.

    With `now_ms` keys whose time is over are passed over, as a primary does; None keeps them. With `merge` a
    key that is there already is replaced, else it is an error. Without `check` a wrong checksum is none.
    `expired` are keys passed over, with their database's index.
    """

    def __init__(
        self,
        databases: Sequence[Database],
        *,
        now_ms: int | None,
        merge: bool = False,
        check: bool = True,
        note_use: NoteUse | None = None,
    ) -> None:
        self._databases = databases
        self._now_ms = now_ms
        self._merge = merge
        self._note_use = note_use
        self._reader = RdbReader(limits=databases[0].limits, batches=not merge, check=check)
        self.aux: dict[bytes, bytes] = {}
        self.functions: list[bytes] = []
        self.expired: list[tuple[int, bytes]] = []
        self.keys_loaded = 0

    @property
    def ended(self) -> bool:
        """Whether the end of the file has been read."""
        return self._reader.ended

    @property
    def rest(self) -> bytes:
        """What was fed behind the end of the file."""
        return self._reader.rest

    def feed(self, data: bytes) -> Iterator[None]:
        """Takes the next bytes, in steps of milliseconds: to be iterated to the end. Raises RdbError."""
        return self._take(self._reader.feed(data))

    def close(self) -> Iterator[None]:
        """No more bytes come. Raises RdbError when the file is not whole."""
        return self._take(self._reader.close())

    @property
    def used_memory_bytes(self) -> int:
        """What the file says of the memory that its data took; 0 when it does not."""
        told = self.aux.get(b"used-mem", b"")
        return int(told) if told.isdigit() else 0

    def position(self) -> StreamPosition | None:
        """Where the replication stream stood, if the file tells."""
        aux = self.aux
        replid = aux.get(b"repl-id", b"")
        offset, db = aux.get(b"repl-offset", b""), aux.get(b"repl-stream-db", b"")
        if len(replid) != _REPLID_BYTES or not offset.isdigit() or not db.isdigit():
            return None
        return StreamPosition(int(db), replid, int(offset))

    def _take(self, items: Iterator[Item]) -> Iterator[None]:
        for number, item in enumerate(items):
            if type(item) is Strings:
                self._store_strings(item)
                yield
            elif type(item) is Key:
                self._store(item)
                if number % _KEYS_IN_STEP == 0:
                    yield
            elif type(item) is Aux:
                self.aux[item.name] = item.value
            elif type(item) is Function:
                self.functions.append(item.code)

    def _database(self, index: int) -> Database:
        if index >= len(self._databases):
            raise RdbError(
                self._reader.offset, f"keys of database {index}, and there are {len(self._databases)} here"
            )
        return self._databases[index]

    def _store_strings(self, batch: Strings) -> None:
        if self._database(batch.db).adopt_strings(batch.keys, batch.values):
            raise RdbError(self._reader.offset, "a key twice, in the records before")
        self.keys_loaded += len(batch.keys)

    def _store(self, item: Key) -> None:
        database = self._database(item.db)
        key, expire_at_ms = item.key, item.expire_at_ms
        if expire_at_ms is not None and self._now_ms is not None and expire_at_ms < self._now_ms:
            self.expired.append((item.db, key))
            return
        before = database.count
        database.adopt(key, key_slot(key), item.value, expire_at_ms)
        if database.count == before and not self._merge:
            raise RdbError(self._reader.offset, f"the key {key[:64]!r} twice")
        self.keys_loaded += 1
        if self._note_use is not None and (item.idle_s is not None or item.freq is not None):
            self._note_use(database, key, item.idle_s, item.freq)


class RdbFile:
    """The snapshot at `path`, to be loaded. Raises LoadError; FileNotFoundError when there is none."""

    def __init__(self, path: str, log: Log) -> None:
        self.path = path
        self._log = log
        try:
            self.total_bytes = os.stat(path).st_size
        except FileNotFoundError:
            raise
        except OSError as failed:
            raise LoadError(f"Can't read the RDB file {path}: {failed.strerror}") from failed

    async def load(self, loader: RdbLoader, loading: Loading) -> None:
        """Loads while others have their turns. Raises LoadError."""
        pace = Pace()
        loading.begin(self.total_bytes)
        try:
            for loaded_bytes in self._steps(loader):
                loading.progress(loaded_bytes, loader.used_memory_bytes)
                await pace.breathe()
        finally:
            loading.end()

    def load_now(self, loader: RdbLoader) -> None:
        """Loads at once, whoever waits. Raises LoadError."""
        for _ in self._steps(loader):
            pass

    def _steps(self, loader: RdbLoader) -> Iterator[int]:
        """After each, how many bytes are read."""
        start_s = time.monotonic()
        try:
            with open(self.path, "rb", buffering=0) as file, no_collections():
                loaded_bytes = 0
                while not loader.ended and (data := file.read(PIECE_BYTES)):
                    loaded_bytes += len(data)
                    for _ in loader.feed(data):
                        yield loaded_bytes
                for _ in loader.close():
                    yield loaded_bytes
        except RdbError as wrong:
            raise LoadError(
                f"Bad file format reading the RDB file {self.path}: {wrong}. The file is left as it is; "
                f"'python -m node check-rdb {self.path}' tells more."
            ) from wrong
        except OSError as failed:
            raise LoadError(f"Can't read the RDB file {self.path}: {failed.strerror}") from failed
        self._log.notice(
            f"Done loading RDB, keys loaded: {loader.keys_loaded}, keys expired: {len(loader.expired)}."
        )
        self._log.notice(f"DB loaded from disk: {time.monotonic() - start_s:.3f} seconds")


@contextmanager
def no_collections() -> Iterator[None]:
    """While a data set is loaded everything lives, and the garbage collector would look at it in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
            gc.freeze()
