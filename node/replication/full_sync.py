"""A full synchronisation on the replica's side, up to where the new data are whole beside the old.

Three ways, by repl-diskless-load:

    swapdb         read as it arrives, while the old data are served: memory for both (INFO: async_loading)
    on-empty-db    read as it arrives if there are no old data, else as `disabled`
    disabled       to disk first; when all is there and its checksum right, the old data go, and the file is
                   read. Clients hear LOADING meanwhile

Where it is to be asked whether the primary has lost its data (`node.replication.void`), the way is the first:
the old data must not go before the answer.

So with each of them a link that breaks during the transfer, or a primary that sends nonsense, leaves the old
data as they are. While a file is read, which may take long, the primary is sent empty lines: they tell that
we are alive.

redis-server serves the old data during `swapdb` only if they are of the same history; they are served here in
any case, as they are during the transfer with `disabled`.

Source: redis.conf on repl-diskless-load; https://redis.io/docs/management/replication/.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

import trio

from node.config import table as directives
from node.config.config import Config
from node.log import Log
from node.persistence.loading import Loading
from node.persistence.rdb import no_collections
from node.rdb.errors import RdbError
from node.replication.handshake import Refused
from node.replication.load import SnapshotLoader
from node.replication.receive import Receiver, Sink
from node.replication.spool import Spool
from node.resp.stream import BufferedStream, LinkError

ALIVE_PERIOD_S = 1.0


class Way(Enum):
    """Where the file goes, and what is served while it is read."""

    BESIDE = "into memory, the old data are served"
    EMPTY = "into memory, there is nothing to serve"
    DISK = "to disk, and then into memory, in the place of the old data"


def way_of(config: Config, held_keys: int, *, careful: bool) -> Way:
    """With `careful` the old data stay until the new are known."""
    mode = config[directives.REPL_DISKLESS_LOAD]
    if mode == "swapdb" or careful:
        return Way.BESIDE
    return Way.EMPTY if mode == "on-empty-db" and not held_keys else Way.DISK


class FullSync:
    """One synchronisation. `give_up` is called before the old data go."""

    def __init__(
        self,
        config: Config,
        log: Log,
        loading: Loading,
        loader: SnapshotLoader,
        connection: BufferedStream,
        read: Callable[[], Awaitable[bytes]],
        give_up: Callable[[], None],
        way: Way,
    ) -> None:
        self._config = config
        self._log = log
        self._loading = loading
        self._loader = loader
        self._connection = connection
        self._give_up = give_up
        self._spool: Spool | None = None
        self._way = way
        self.receiver = Receiver(self._counted(read), connection, self._open, log)

    async def run(self, timeout_s: float) -> bytes:
        """The loader is complete then; returns what was received behind the file.

        Raises Refused, LinkError, RdbError.
        """
        try:
            rest = await self.receiver.run(timeout_s)
            if self._spool is not None:
                await self._spool.look_over()
                await self._from_file(self._spool)
            return rest
        finally:
            self._loading.end()
            if self._spool is not None:
                self._spool.discard()

    def _open(self, length: int, has_mark: bool) -> Sink:
        if self._way is not Way.DISK:
            self._loading.begin(length, beside=self._way is Way.BESIDE)
            return self._loader
        self._spool = Spool(self._config[directives.DIR], has_mark=has_mark)
        return self._spool

    def _counted(self, read: Callable[[], Awaitable[bytes]]) -> Callable[[], Awaitable[bytes]]:
        async def counted() -> bytes:
            data = await read()
            if self._spool is None:
                self._loading.progress(self.receiver.bytes_read, self._loader.used_memory_bytes)
            return data

        return counted

    async def _from_file(self, spool: Spool) -> None:
        self._log.notice("MASTER <-> REPLICA sync: Flushing old data")
        self._loading.begin(spool.size_bytes)
        self._give_up()
        self._log.notice("MASTER <-> REPLICA sync: Loading DB in memory")
        failed: list[RdbError | Refused] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._say_alive)
            try:
                with no_collections():
                    await self._load(spool)
            except (RdbError, Refused) as bad:
                failed.append(bad)
            nursery.cancel_scope.cancel()
        if failed:
            raise failed[0]

    async def _load(self, spool: Spool) -> None:
        spool.rewind()
        read_bytes = 0
        while piece := await spool.read():
            read_bytes += len(piece)
            await self._loader.feed(piece)
            self._loading.progress(read_bytes, self._loader.used_memory_bytes)
        await self._loader.close()

    async def _say_alive(self) -> None:
        with suppress(LinkError):  # the file is here: what became of the link is found afterwards
            while True:
                await trio.sleep(ALIVE_PERIOD_S)
                await self._connection.send(b"\n")
