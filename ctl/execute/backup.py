"""Takes a backup: every shard's snapshot at once, into one directory.

    look → links to all givers, PSYNC at the same time → files written, cut and counted as they come
    → look again: the same owners of the same slots → manifest, fsync, name

Each file is cut up while it is written, so what is under the name in the end is known to be whole: its
records, its checksum and its keys were read once. Keys of slots that a node does not own (left by a fail-over
or a move) are counted; `restore` leaves them out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.backup_files import READ_BYTES, Growing, new_directory
from ctl.execute.backup_link import Link, open_link
from ctl.execute.backup_rdb import Cutter, Entry
from ctl.execute.fleet import Credentials, Fleet, concurrently, telling
from ctl.execute.gather import gather, refused
from ctl.execute.settings import current_settings
from ctl.plan.backup import (
    KEPT_SETTINGS,
    Manifest,
    Shard,
    Source,
    Tally,
    Transfer,
    changed,
    choose_sources,
    cluster_of,
    slot_table,
    slots_text,
)
from ctl.snapshot import Address, ClusterSnapshot
from gossip.slots import SlotSet, key_slot
from node.rdb.errors import RdbError
from node.resp.client import LinkError, ReplyError

SHOW_EVERY_S = 0.1
NOTHING_KEPT = "Nothing was kept. Take it again when the node answers, or with --from-replicas."


@dataclass
class Meter:
    """What has come from all nodes, told at most ten times a second."""

    on_progress: Callable[[Transfer], None]
    title: str
    size_total: int | None = None
    size_bytes: int = 0
    keys: int = 0
    started: float = field(default_factory=trio.current_time)
    _shown: float = 0.0

    def add(self, size_bytes: int, keys: int = 0) -> None:
        self.size_bytes += size_bytes
        self.keys += keys
        now = trio.current_time()
        if now - self._shown >= SHOW_EVERY_S:
            self._shown = now
            elapsed_s = now - self.started
            self.on_progress(Transfer(self.title, self.size_bytes, self.size_total, self.keys, elapsed_s))


@dataclass(frozen=True, slots=True)
class Ask:
    """What a backup is to be made of, and where."""

    seeds: tuple[Address, ...]
    credentials: Credentials
    directory: Path
    from_replicas: bool
    timeout_s: float


async def plan_backup(ask: Ask) -> tuple[Source, ...]:
    """Who would give what. Raises CtlError."""
    async with Fleet(ask.credentials) as fleet:
        return choose_sources(await gather(fleet, ask.seeds), replicas=ask.from_replicas)


async def take_backup(ask: Ask, on_progress: Callable[[Transfer], None]) -> Manifest:
    """Makes the directory. Raises CtlError, and leaves nothing then."""
    started_ms, started = round(time.time() * 1000), trio.current_time()
    async with Fleet(ask.credentials) as fleet, new_directory(ask.directory) as (temporary, commit):
        before = await gather(fleet, ask.seeds)
        sources = choose_sources(before, replicas=ask.from_replicas)
        settings = await current_settings(fleet, before, KEPT_SETTINGS)
        meter = Meter(on_progress, "waiting for snapshots")
        async with AsyncExitStack() as stack:
            takers = await _open_all(fleet, sources, ask.timeout_s, stack)
            cuts = [taker.cut_at for taker in takers]
            meter.title = f"{len(takers)} shards"
            await concurrently(partial(taker.take, temporary, meter) for taker in takers)
        shards = tuple(taker.shard(settings) for taker in takers)
        after = await gather(fleet, ask.seeds)
        if (why := changed(before, after)) is not None:
            raise CtlError(
                f"the map changed while the backup was taken: {why}",
                "Nothing was kept, since keys may be missing or twice. Take it again when the cluster rests.",
            )
        manifest = Manifest(
            made_at=datetime.fromtimestamp(started_ms / 1000, UTC).isoformat(timespec="seconds"),
            started_ms=started_ms,
            cut_within_ms=round((max(cuts) - min(cuts)) * 1000),
            took_ms=round((trio.current_time() - started) * 1000),
            cluster=cluster_of(before),
            current_epoch=max(view.current_epoch for view in before.views),
            shards=shards,
            notes=tuple(_notes(before, takers)),
        )
        await trio.to_thread.run_sync(commit, manifest)
        return manifest


async def _open_all(
    fleet: Fleet, sources: tuple[Source, ...], timeout_s: float, stack: AsyncExitStack
) -> list[Taker]:
    """Asks all at the same time, so that they are cut as near to each other as can be."""
    takers: dict[int, Taker] = {}

    async def ask(number: int, source: Source) -> None:
        with naming(source.address):
            link = await open_link(fleet, source.address, timeout_s=timeout_s)
        stack.push_async_callback(link.aclose)
        takers[number] = Taker(source, link, number, trio.current_time())

    await concurrently(partial(ask, number, source) for number, source in enumerate(sources))
    return [takers[number] for number in range(len(sources))]


class Taker:
    """Writes one shard's snapshot into its file, and counts what is in it."""

    def __init__(self, source: Source, link: Link, number: int, cut_at: float) -> None:
        self.source = source
        self.cut_at = cut_at
        self.tally = Tally()
        self.libraries: set[bytes] = set()
        self._link = link
        self._file = f"shard-{number:02d}.rdb"
        self._cutter = Cutter(payloads=False)
        self._slots: SlotSet = source.primary.line.slots
        self._owned = slot_table(self._slots)
        self._size_bytes = 0
        self._sha256 = ""

    async def take(self, directory: Path, meter: Meter) -> None:
        """Raises CtlError."""
        address = self.source.address
        file = Growing(directory / self._file)
        try:
            with naming(address):
                await self._link.begin()
                if self._link.size_bytes is not None:
                    meter.size_total = (meter.size_total or 0) + self._link.size_bytes
                waiting, waiting_bytes = [], 0
                async for piece in self._link.snapshot():
                    waiting.append(piece)
                    waiting_bytes += len(piece)
                    if waiting_bytes >= READ_BYTES:
                        await self._put(file, b"".join(waiting), meter)
                        waiting, waiting_bytes = [], 0
                await self._put(file, b"".join(waiting), meter)
                self._count(b"", last=True)
            self._size_bytes = file.size_bytes
            self._sha256 = await trio.to_thread.run_sync(file.finish)
        finally:
            file.abandon()
        await self._link.aclose()

    async def _put(self, file: Growing, data: bytes, meter: Meter) -> None:
        def work() -> int:
            file.write(data)
            return self._count(data)

        meter.add(len(data), await trio.to_thread.run_sync(work))

    def _count(self, data: bytes, *, last: bool = False) -> int:
        """How many keys ended in `data`. Raises RdbError."""
        tally, count = self.tally, 0
        for item in self._cutter.close() if last else self._cutter.feed(data):
            if type(item) is Entry:
                count += 1
                tally.expiring += item.expire_at_ms is not None
                tally.foreign += not self._owned[key_slot(item.key)]
                name = str(item.db)
                tally.databases[name] = tally.databases.get(name, 0) + 1
            else:
                tally.functions += 1
                self.libraries.add(item[0])
        tally.keys += count
        return count

    def shard(self, settings: dict[str, dict[str, str]]) -> Shard:
        giver, tally = self.source.giver, self.tally
        info = giver.view.info if giver.view else {}
        server = info.get("server_name", "redis")
        version = info.get(f"{server}_version") or info.get("redis_version", "")
        return Shard(
            file=self._file,
            primary=self.source.primary.node_id,
            slots=slots_text(self._slots),
            source=giver.node_id,
            source_address=giver.name,
            source_role="primary" if giver.is_primary else "replica",
            server=f"{server} {version}",
            replication_id=self._link.position.replication_id,
            offset=self._link.position.offset,
            rdb_version=self._cutter.version,
            size_bytes=self._size_bytes,
            sha256=self._sha256,
            keys=tally.keys,
            expiring=tally.expiring,
            foreign=tally.foreign,
            databases=tally.databases,
            functions=tally.functions,
            took_ms=round((trio.current_time() - self.cut_at) * 1000),
            settings=settings.get(giver.node_id, {}),
        )


class naming:  # noqa: N801  a context manager that reads like a word
    """Makes what a link raises a CtlError that names the node."""

    def __init__(self, address: Address, hint: str = NOTHING_KEPT) -> None:
        self._address = address
        self._hint = hint

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BaseExceptionGroup):
            error = telling(error)
        if isinstance(error, LinkError):
            raise UnreachableError(
                f"{self._address} was lost before all was read: {error.reason}", self._hint
            ) from error
        if isinstance(error, ReplyError):
            raise refused(self._address, "to give a snapshot", error) from error
        if isinstance(error, RdbError):
            raise CtlError(f"the snapshot of {self._address} cannot be read: {error}") from error


def _notes(snapshot: ClusterSnapshot, takers: list[Taker]) -> list[str]:
    notes = []
    if len({frozenset(taker.libraries) for taker in takers}) > 1:
        notes.append("Primaries have different functions; all of them are kept, in the shards' files.")
    if foreign := sum(taker.tally.foreign for taker in takers):
        notes.append(f"{foreign:,} keys are of slots that their node does not own; restore skips them.")
    if snapshot.failed:
        notes.append(f"Failed nodes at the time: {', '.join(m.name for m in snapshot.failed)}.")
    return notes
