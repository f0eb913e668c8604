"""Brings keys into a cluster: from a file, or from a server or a cluster that goes on serving.

    file     read once to check it and count, then again into the cluster; an AOF's commands are applied
    copy     a snapshot of each source, streamed into the cluster as it comes
    scan     SCAN, DUMP and PTTL, for servers that let nobody replicate
    live     `ctl.execute.import_live`

Nothing is ever written to a source, or deleted there.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from ctl.errors import CtlError, UnreachableError
from ctl.execute.backup import Meter, naming
from ctl.execute.backup_files import READ_BYTES
from ctl.execute.backup_link import open_link
from ctl.execute.backup_rdb import Cutter, Entry
from ctl.execute.fleet import Credentials, Fleet, concurrently
from ctl.execute.gather import gather, hint_for, refused
from ctl.execute.import_apply import Applier, key_table
from ctl.execute.restore import Into, pieces_of, stoppable, target_of
from ctl.execute.restore_load import Functions, Loader, Reading
from ctl.plan.backup import Transfer, changed, choose_sources
from ctl.plan.import_ import plan_import
from ctl.plan.restore import Outcome, Restore
from ctl.plan.steps import PlanError
from ctl.snapshot import Address, ClusterSnapshot, parse_info
from node.rdb.errors import RdbError
from node.resp.client import Client, LinkError, Reply, ReplyError

SCAN_KEYS = 500
Mode = Literal["copy", "scan", "live", "cutover"]
GO_ON = "Import again with --skip-existing or --replace to go on."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where keys come from: one server or the primaries of a cluster (`snapshot`), or a file."""

    title: str
    nodes: tuple[Address, ...] = ()
    snapshot: ClusterSnapshot | None = None
    path: Path | None = None
    commands_only: bool = False
    keys: int | None = None
    size_bytes: int | None = None
    databases: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked. `db` is None where it was not said, which means 0."""

    into: Into
    credentials: Credentials
    mode: Mode
    db: int | None
    timeout_s: float
    pause_s: float = 30.0


async def look_at_server(order: Order, node: Address) -> Origin:
    """A standalone server, or the cluster that it belongs to. Raises CtlError."""
    async with Fleet(order.credentials) as fleet:
        try:
            reply = await fleet.call(node, "INFO")
            assert isinstance(reply, bytes), reply
            info = parse_info(reply.decode(errors="replace"))
            if info.get("cluster_enabled") == "1":
                snapshot = await gather(fleet, [node])
                sources = choose_sources(snapshot, replicas=False)
                keys = sum(source.primary.view.key_count for source in sources if source.primary.view)
                nodes = tuple(source.address for source in sources)
                title = f"the cluster of {node} ({len(nodes)} primaries)"
                return Origin(title, nodes, snapshot, keys=keys, databases=frozenset({0}))
        except LinkError as error:
            raise UnreachableError(str(error), hint_for(error.reason)) from error
        except ReplyError as error:
            raise refused(node, "INFO", error) from error
    counts = {
        int(name[2:]): int(value.partition("keys=")[2].partition(",")[0])
        for name, value in info.items()
        if name.startswith("db") and value.startswith("keys=")
    }
    keys = sum(counts.values()) if order.db is None else counts.get(order.db, 0)
    return Origin(str(node), (node,), keys=keys, databases=frozenset(counts))


def look_at_file(path: Path, on_bytes: Callable[[int], None]) -> Origin:
    """Reads the file to its end, so that damage is known before anything is written. Raises CtlError."""
    cutter, keys, databases, size_bytes = Cutter(payloads=False), 0, set(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                if not size_bytes and piece.startswith(b"*"):
                    return Origin(str(path), path=path, commands_only=True, size_bytes=path.stat().st_size)
                size_bytes += len(piece)
                on_bytes(len(piece))
                for item in cutter.feed(piece):
                    if isinstance(item, Entry):
                        keys += 1
                        databases.add(item.db)
        list(cutter.close())
    except OSError as error:
        raise CtlError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except RdbError as error:
        raise CtlError(f"{path} cannot be imported: {error}", "`redis-check-rdb` says more.") from error
    return Origin(str(path), path=path, keys=keys, size_bytes=size_bytes, databases=frozenset(databases))


async def look_at_target(order: Order, origin: Origin) -> Restore:
    """What an import would do. Raises CtlError where it cannot."""
    async with Fleet(order.into.credentials) as fleet:
        snapshot = await gather(fleet, order.into.seeds)
        if origin.snapshot is not None:
            ours = {member.node_id for member in snapshot.members}
            if ours & {member.node_id for member in origin.snapshot.members}:
                raise PlanError("source and target are the same cluster")
        keys = sum(member.view.key_count for member in snapshot.primaries if member.view)
        if origin.commands_only and keys and order.into.existing != "replace":
            raise PlanError(
                f"{origin.title} holds commands, not keys: they would change keys that are there",
                "Import it into an empty cluster, or say --replace.",
            )
        return plan_import(
            snapshot,
            order.into.existing,
            origin.title,
            origin.keys,
            set(origin.databases),
            order.db,
            order.mode,
        )


async def run_import(order: Order, origin: Origin, on_progress: Callable[[Transfer], None]) -> Outcome:
    """Copies once: `copy`, `scan`, or a file. Raises CtlError; a hint says how to go on."""
    outcome = Outcome()
    async with target_of(order.into, "import") as (routes, _), Fleet(order.credentials) as fleet:
        meter = Meter(on_progress, origin.title, origin.size_bytes)
        table = await key_table(routes.fleet, routes.primaries[0]) if origin.path else {}
        applier = Applier(routes, table, outcome, order.db or 0)
        loader = Loader(routes, order.into.existing, outcome, lambda _, keys: meter.add(0, keys))
        functions = Functions(routes, order.into.existing, outcome)
        readings: list[Reading] = []

        async def one(node: Address) -> None:
            if order.mode == "scan":
                await _scan(fleet, node, loader, order, meter)
                return
            reading = Reading(loader, functions, order.db or 0)
            readings.append(reading)
            with naming(node, ""):
                link = await open_link(fleet, node, timeout_s=order.timeout_s)
                try:
                    await link.begin()
                    await reading.feed(_metered(link.snapshot(), meter))
                finally:
                    await link.aclose()

        async def fill() -> None:
            await concurrently(partial(one, node) for node in origin.nodes)

        async def work() -> None:
            if origin.path is None:
                await loader.run(fill)
                await unmoved(fleet, origin)
            else:
                readings.append(Reading(loader, functions, order.db or 0))
                await _from_file(origin.path, readings[0], loader, applier, meter, origin.commands_only)

        await stoppable(work, outcome, GO_ON)
        outcome.took_ms = round((trio.current_time() - meter.started) * 1000)
        if others := sorted(set().union(*(reading.others for reading in readings))):
            outcome.notes.append(f"Keys of other databases were left out: {', '.join(map(str, others))}.")
    return outcome


async def unmoved(fleet: Fleet, origin: Origin) -> None:
    """Raises CtlError where slots of a source cluster have changed hands meanwhile."""
    if origin.snapshot is None:
        return
    after = await gather(fleet, origin.nodes)
    if (why := changed(origin.snapshot, after)) is not None:
        raise CtlError(
            f"the map of the source changed: {why}; keys may be missing", "Import again, --replace."
        )


async def _metered(pieces: AsyncIterator[bytes], meter: Meter) -> AsyncIterator[bytes]:
    async for piece in pieces:
        meter.add(len(piece))
        yield piece


async def _from_file(
    path: Path, reading: Reading, loader: Loader, applier: Applier, meter: Meter, commands_only: bool
) -> None:
    """An RDB file, an AOF, or an AOF that begins with an RDB file."""
    if commands_only:
        async for piece in pieces_of(path, meter):
            await applier.feed(piece)
    else:
        await loader.run(partial(reading.feed, pieces_of(path, meter)))
        await applier.feed(reading.cutter.rest)
    if not applier.ended_whole():
        raise CtlError(
            f"{path} ends in the middle of a command; everything before it was imported",
            "`redis-check-aof` says more.",
        )


async def _scan(fleet: Fleet, node: Address, loader: Loader, order: Order, meter: Meter) -> None:
    """Every key that is there from beginning to end, once or more often."""
    with naming(node, ""):
        client = await fleet.connect(node)
        async with client:
            if order.db:
                await client.call("SELECT", order.db)
            absolute = await _knows_deadlines(client)
            cursor: Reply = b"0"
            while True:
                reply = await client.call("SCAN", _word(cursor), "COUNT", SCAN_KEYS)
                assert isinstance(reply, list), reply
                cursor, keys = reply
                assert isinstance(keys, list), keys
                names = [key for key in keys if isinstance(key, bytes)]
                entries = await _dumped(client, names, order, absolute=absolute)
                meter.add(sum(len(entry.payload) for entry in entries))
                await loader.add(entries)
                if cursor == b"0":
                    return


def _word(reply: Reply) -> bytes:
    assert isinstance(reply, bytes), reply
    return reply


async def _knows_deadlines(client: Client) -> bool:
    """Whether it has PEXPIRETIME (Redis 7.0): what PTTL says is a little late when it arrives."""
    try:
        await client.call("PEXPIRETIME", "")
    except ReplyError:
        return False
    return True


async def _dumped(client: Client, keys: list[bytes], order: Order, *, absolute: bool) -> list[Entry]:
    """The keys with their values; those that are gone by now are left out. Raises ReplyError."""
    if not keys:
        return []
    words = ("DUMP", "PEXPIRETIME" if absolute else "PTTL")
    commands = [(word, key) for key in keys for word in words]
    replies = await client.pipeline(commands, timeout_s=order.timeout_s)
    now_ms = 0 if absolute else round(time.time() * 1000)
    entries = []
    for key, payload, time_ms in zip(keys, replies[::2], replies[1::2], strict=True):
        for reply in (payload, time_ms):
            if isinstance(reply, ReplyError):
                raise reply
        if isinstance(payload, bytes) and isinstance(time_ms, int):
            at_ms = now_ms + time_ms if time_ms >= 0 else None
            entries.append(Entry(key, payload, at_ms, None, None, order.db or 0))
    return entries
