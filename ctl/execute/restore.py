"""Puts a backup into a cluster of any shape: all files at once, functions first, then the keys counted.

A restore that was stopped, by Ctrl-C, an error or a kill, is gone on with by restoring again with
--skip-existing (or --replace): a key is written whole or not at all, so nothing is half there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from ctl.errors import CtlError, StoppedByUserError
from ctl.execute.backup import Meter
from ctl.execute.backup_files import READ_BYTES
from ctl.execute.fleet import Credentials, Fleet, concurrently
from ctl.execute.gather import gather
from ctl.execute.lock import locked
from ctl.execute.restore_load import Functions, Loader, Reading
from ctl.execute.restore_routes import Routes
from ctl.execute.site import primary_addresses
from ctl.plan.backup import BackupError, Manifest, Transfer, slot_table
from ctl.plan.restore import Existing, Outcome, Restore, plan_restore
from ctl.snapshot import Address, ClusterSnapshot
from node.rdb.errors import RdbError

# The lock itself is a key of the cluster while a restore or an import works.
LOCK_KEYS = 1


@dataclass(frozen=True, slots=True)
class Into:
    """The cluster that keys go into, and what becomes of those of the same name."""

    seeds: tuple[Address, ...]
    credentials: Credentials
    existing: Existing


async def look_at(into: Into, manifest: Manifest) -> Restore:
    """What a restore would do. Raises CtlError where it cannot."""
    async with Fleet(into.credentials) as fleet:
        return plan_restore(manifest, await gather(fleet, into.seeds), into.existing, 0)


async def restore(
    into: Into, directory: Path, manifest: Manifest, on_progress: Callable[[Transfer], None]
) -> Outcome:
    """Raises CtlError; a hint says how to go on. `verify` has read the files before."""
    outcome = Outcome()
    async with target_of(into, "restore") as (routes, snapshot):
        plan_restore(manifest, snapshot, into.existing, LOCK_KEYS)
        meter = Meter(on_progress, f"{len(manifest.shards)} shards", manifest.size_bytes)
        loader = Loader(routes, into.existing, outcome, lambda _, keys: meter.add(0, keys))

        functions = Functions(routes, into.existing, outcome)

        async def read_all() -> None:
            await concurrently(
                partial(
                    _read,
                    directory / shard.file,
                    Reading(loader, functions),
                    slot_table(shard.slot_set),
                    meter,
                )
                for shard in manifest.shards
            )

        async def work() -> None:
            await loader.run(read_all)
            await verify_counts(into, loader, meter)

        option = "--replace" if into.existing == "replace" else "--skip-existing"
        await stoppable(work, outcome, f"`ctl cluster restore {directory} {option}` goes on.")
        outcome.took_ms = round((trio.current_time() - meter.started) * 1000)
    return outcome


@asynccontextmanager
async def target_of(into: Into, verb: str) -> AsyncIterator[tuple[Routes, ClusterSnapshot]]:
    """The cluster under ctl's lock."""
    async with Fleet(into.credentials) as fleet:
        first = await gather(fleet, into.seeds)
        async with locked(into.credentials, tuple(primary_addresses(first)), verb) as lock:
            snapshot = await gather(fleet, into.seeds)
            yield Routes(fleet, snapshot, lock.check), snapshot


async def stoppable(work: Callable[[], Awaitable[None]], outcome: Outcome, hint: str) -> None:
    """Runs `work`. Whatever stops it becomes a CtlError that says how far it got and how to go on."""
    try:
        await work()
    except trio.Cancelled:
        raise StoppedByUserError(f"stopped: {outcome.restored:,} keys were written", hint) from None
    except CtlError as error:
        if outcome.restored:
            text = f"{error.text} ({outcome.restored:,} keys were written before)"
            raise CtlError(text, f"{error.hint} {hint}".strip(), status=error.status) from error
        raise


async def _read(path: Path, reading: Reading, owned: bytes, meter: Meter) -> None:
    try:
        await reading.feed(pieces_of(path, meter), owned)
    except RdbError as error:
        raise BackupError(f"{path.name} is damaged: {error}") from error


async def pieces_of(path: Path, meter: Meter) -> AsyncIterator[bytes]:
    """A file's bytes. Raises CtlError where it cannot be read."""
    try:
        async with await trio.open_file(path, "rb") as file:
            while piece := await file.read(READ_BYTES):
                meter.add(len(piece))
                yield piece
    except OSError as error:
        raise CtlError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


async def verify_counts(into: Into, loader: Loader, meter: Meter) -> None:
    """Whether a cluster that was empty has what was written. Raises CtlError where it has not.

    Keys with a deadline may be gone by now, or not counted any more.
    """
    outcome = loader.outcome
    snapshot = await gather(loader.routes.fleet, into.seeds)
    counts = [member.view.key_count for member in snapshot.primaries if member.view]
    outcome.keys_in_cluster = sum(counts) - LOCK_KEYS
    meter.keys = outcome.restored
    if into.existing != "refuse" or outcome.conflict_count:
        return
    if not outcome.restored - loader.expiring <= outcome.keys_in_cluster <= outcome.restored:
        raise CtlError(
            f"{outcome.restored:,} keys were written, but the cluster has {outcome.keys_in_cluster:,}",
            "Does a client write or delete, or a node evict? `ctl cluster check` says how the nodes are.",
        )
    outcome.verified = True
