"""The append-only file with the parts of the node it concerns: made, loaded from, told of in INFO."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from node.clock import Clock
from node.command.call import Call
from node.command.session import Gone, Session
from node.config import table as directives
from node.config.config import Config
from node.guards import Guards
from node.keyspace.changes import Changes
from node.keyspace.database import Database, Policy
from node.log import Log
from node.observe.access import Accesses
from node.observe.info import Fields, Info
from node.persistence.aof.commands import data_set_commands
from node.persistence.aof.errors import AofError
from node.persistence.aof.replay import Replay, load_directory, load_directory_now
from node.persistence.aof.service import Aof, Hands
from node.persistence.child import Forks
from node.persistence.libraries import Libraries
from node.persistence.loading import Loading
from node.persistence.snapshot import Snapshots
from node.replication.service import Replication
from node.server.after import After
from node.server.cron import Cron
from node.server.dispatch import Dispatcher
from node.server.loop import Reactor
from node.transactions import Transactions


class MakingParts(Protocol):
    """The parts of a node that the AOF is made with."""

    config: Config
    log: Log
    clock: Clock
    guards: Guards
    forks: Forks
    after: After
    reactor: Reactor
    cron: Cron
    info: Info
    databases: list[Database]
    snapshots: Snapshots
    replication: Replication

    def is_importing(self) -> bool: ...


class LoadingParts(Protocol):
    """Those that loading takes, when all are there."""

    config: Config
    log: Log
    clock: Clock
    changes: Changes
    policy: Policy
    loading: Loading
    libraries: Libraries
    accesses: Accesses
    dispatcher: Dispatcher
    replication: Replication
    transactions: Transactions
    databases: list[Database]
    after: After
    aof: Aof

    def new_call(self) -> Call: ...


def end_at_once(log: Log) -> Callable[[str], None]:
    """What ends the process when to go on would break a promise."""

    def die(why: str) -> None:
        log.warning(why)
        os._exit(1)

    return die


def make_aof(node: MakingParts) -> Aof:
    """The AOF service, and what it and replication are to each other."""
    config, log, after, reactor, replication = (
        node.config,
        node.log,
        node.after,
        node.reactor,
        node.replication,
    )

    def pieces(as_rdb: bool, wrote: Callable[[int], None]) -> Iterator[bytes]:
        if as_rdb:
            return node.snapshots.pieces(aof_base=True, wrote=wrote)
        stamp_s = node.clock.now_ms // 1000 if config[directives.AOF_TIMESTAMP_ENABLED] else None
        return data_set_commands(node.databases, node.snapshots.functions(), stamp_s, wrote)

    hands = Hands(
        tellers=after.tellers,
        files=after.files,
        before_flush=reactor.before_flush,
        pieces=pieces,
        in_unit=lambda: after.in_unit or node.is_importing(),
        offset=replication.offset,
        is_replica=lambda: not replication.is_primary,
        settle=reactor.settle,
        die=end_at_once(log),
    )
    aof = Aof(config, log, node.clock, node.guards, node.forks, hands)
    replication.on_data_replaced.append(aof.start_anew)
    follower = replication.follower
    follower.synced_offset, follower.hurry_sync = aof.synced_offset, aof.hurry
    aof.on_synced.append(follower.more_is_synced)
    node.cron.every_100ms.append(aof.tick)
    node.info.add("persistence", lambda: aof_fields(aof))
    node.info.add("memory", lambda: [("mem_aof_buffer", aof.buffer_bytes)])
    return aof


def new_replay(node: LoadingParts, *, at_once: bool = False) -> Replay:
    """What loads the files of an AOF into the node."""
    session = Session(0, node.new_call(), Gone(), b"", b"")
    session.from_primary = True
    session.update_guard()
    return Replay(
        session,
        node.dispatcher,
        node.clock,
        node.changes,
        node.policy,
        node.log,
        (lambda _read_bytes: None) if at_once else node.loading.progress,
        node.libraries.take,
        node.accesses.loaded,
        at_once=at_once,
    )


async def load_aof(node: LoadingParts) -> bool:
    """Makes the data set of the AOF's; False when there is none. Raises AofError."""
    cut = node.config[directives.AOF_LOAD_TRUNCATED]
    found = await load_directory(node.aof.directory, node.loading, new_replay(node), cut_torn_tail=cut)
    node.replication.choose_expiry()
    if found:
        node.log.notice(f"DB loaded from append only file: {node.loading.elapsed_s:.3f} seconds")
    return found


def reload_aof(node: LoadingParts) -> None:
    """DEBUG LOADAOF: the data set is what the files of the AOF make it, and nobody is told of a change.

    Raises AofError while they do not hold all. When they cannot be loaded the process ends: what is in memory
    then is nobody's data, and must not be saved.
    """
    aof, after, log = node.aof, node.after, node.log
    aof.write_all()
    tellers, watchers = after.tellers[:], after.watchers[:]
    after.tellers.clear()
    after.watchers.clear()
    try:
        for database in node.databases:
            database.clear()
        node.libraries.take([])
        cut = node.config[directives.AOF_LOAD_TRUNCATED]
        load_directory_now(aof.directory, new_replay(node, at_once=True), cut_torn_tail=cut)
    except AofError as wrong:
        end_at_once(log)(str(wrong))
    finally:
        after.tellers[:], after.watchers[:] = tellers, watchers
    node.replication.choose_expiry()
    node.transactions.all_replaced()
    log.warning("Append Only File loaded by DEBUG LOADAOF")


def aof_fields(aof: Aof) -> Fields:
    """Of INFO persistence."""
    rewrites = aof.rewrites
    yield "aof_enabled", int(aof.is_on)
    yield "aof_rewrite_in_progress", int(aof.rewriting)
    yield "aof_rewrite_scheduled", int(aof.scheduled)
    yield "aof_last_rewrite_time_sec", rewrites.last_s
    yield "aof_current_rewrite_time_sec", rewrites.current_s
    yield "aof_last_bgrewrite_status", "ok" if rewrites.last_ok else "err"
    yield "aof_rewrites", rewrites.count
    yield "aof_rewrites_consecutive_failures", aof.back_off.failures
    yield "aof_last_write_status", "err" if aof.error else "ok"
    yield "aof_last_cow_size", rewrites.last_cow_bytes
    if aof.is_on:
        yield "aof_current_size", aof.size_bytes
        yield "aof_base_size", aof.base_bytes
        yield "aof_pending_rewrite", int(aof.scheduled)
        yield "aof_buffer_length", aof.buffer_bytes
        yield "aof_pending_bio_fsync", int(aof.syncing)
        yield "aof_delayed_fsync", aof.delayed_fsync
