"""The sections of INFO that need no service: what the process, its clients and its keys have to tell.

Fields of redis-server that would have to be invented here are left out: those of its allocator, of threads
and of event loops it does not share.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from node.command.registry import Table
from node.command.session import Session
from node.config import table as directives
from node.config.config import Config
from node.identity import Identity
from node.keyspace.database import Database
from node.keyspace.disposal import Disposal
from node.observe.commandstats import command_lines, percentile_lines
from node.observe.info import Fields, Info
from node.observe.memory import MemoryWatch, human, total_bytes
from node.observe.stats import Stats
from node.version import REDIS_VERSION, SHOAL_VERSION

_DAY_S = 86400
_TTL_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Observed:
    """What the sections tell of. `blocked` are the sessions in blocking commands, those that only wait for
    the end of a pause excepted."""

    config: Config
    identity: Identity
    stats: Stats
    memory: MemoryWatch
    databases: list[Database]
    disposal: Disposal
    table: Table
    sessions: Callable[[], Iterable[Session]]
    blocked: Callable[[], list[Session]]


def add_sections(info: Info, observed: Observed) -> None:
    """Registers all of them."""
    info.add("server", lambda: _server(observed))
    info.add("clients", lambda: _clients(observed))
    info.add("memory", lambda: _memory(observed))
    info.add("persistence", lambda: [("module_fork_in_progress", 0)])
    info.add("stats", lambda: _stats(observed))
    info.add("cpu", _cpu)
    info.add("commandstats", lambda: command_lines(observed.table))
    info.add("errorstats", lambda: _errorstats(observed.stats))
    info.add("latencystats", lambda: percentile_lines(observed.config, observed.table))
    info.add("cluster", lambda: [("cluster_enabled", int(observed.identity.mode == "cluster"))])
    info.add("keyspace", lambda: _keyspace(observed.databases))


def _server(observed: Observed) -> Fields:
    config, identity = observed.config, observed.identity
    now_s = time.time()
    uptime_s = int(now_s - identity.started_s)
    system = os.uname()
    yield "redis_version", REDIS_VERSION
    yield "server_name", "shoal"
    yield "shoal_version", SHOAL_VERSION
    yield "redis_git_sha1", "00000000"
    yield "redis_git_dirty", 0
    yield "redis_mode", identity.mode
    yield "os", f"{system.sysname} {system.release} {system.machine}"
    yield "arch_bits", 64 if sys.maxsize > 2**32 else 32
    yield "monotonic_clock", "POSIX clock_gettime"
    yield "multiplexing_api", "epoll"
    yield "python_version", platform.python_version()
    compiler = re.search(r"GCC ([0-9.]+)", platform.python_compiler())
    if compiler is not None:
        yield "gcc_version", compiler[1]
    yield "process_id", os.getpid()
    yield "process_supervised", config[directives.SUPERVISED]
    yield "run_id", identity.run_id
    yield "tcp_port", config[directives.PORT] or config[directives.TLS_PORT]
    yield "server_time_usec", int(now_s * 1_000_000)
    yield "uptime_in_seconds", uptime_s
    yield "uptime_in_days", uptime_s // _DAY_S
    yield "hz", config[directives.HZ]
    yield "configured_hz", config[directives.HZ]
    yield "lru_clock", int(now_s) & 0xFFFFFF
    yield "executable", sys.executable
    yield "config_file", config.path
    yield "io_threads_active", 0
    yield "availability_zone", config[directives.AVAILABILITY_ZONE]
    yield from _listeners(config)


def _listeners(config: Config) -> Fields:
    listeners = []
    addresses = "".join(f",bind={address}" for address in config[directives.BIND])
    if config[directives.PORT]:
        listeners.append(f"name=tcp{addresses},port={config[directives.PORT]}")
    if config[directives.UNIXSOCKET]:
        listeners.append(f"name=unix,bind={config[directives.UNIXSOCKET]}")
    if config[directives.TLS_PORT]:
        listeners.append(f"name=tls{addresses},port={config[directives.TLS_PORT]}")
    return [(f"listener{number}", listener) for number, listener in enumerate(listeners)]


def _clients(observed: Observed) -> Fields:
    sessions = list(observed.sessions())
    blocked = observed.blocked()
    transports = [session.transport for session in sessions]
    yield "connected_clients", sum(not session.is_replica for session in sessions)
    yield "maxclients", observed.config[directives.MAXCLIENTS]
    yield "client_recent_max_input_buffer", max((t.pending_bytes() for t in transports), default=0)
    yield "client_recent_max_output_buffer", max((t.output_bytes() for t in transports), default=0)
    yield "blocked_clients", len(blocked)
    yield (
        "clients_in_timeout_table",
        sum(s.blocked is not None and s.blocked.deadline_ms is not None for s in blocked),
    )


def _memory(observed: Observed) -> Fields:
    config, watch = observed.config, observed.memory
    now = watch.look()
    used = now.used_bytes
    client_bytes = _output_bytes(s for s in observed.sessions() if not s.is_replica)
    replica_bytes = _output_bytes(s for s in observed.sessions() if s.is_replica)
    overhead = min(used, watch.startup_bytes + client_bytes + replica_bytes)
    net = max(1, used - watch.startup_bytes)
    yield from _amount("used_memory", used)
    yield from _amount("used_memory_rss", now.resident_bytes)
    yield from _amount("used_memory_peak", watch.peak_bytes)
    yield "used_memory_peak_perc", f"{100 * used / max(1, watch.peak_bytes):.2f}%"
    yield "used_memory_overhead", overhead
    yield "used_memory_startup", watch.startup_bytes
    yield "used_memory_dataset", used - overhead
    yield "used_memory_dataset_perc", f"{min(100.0, 100 * (used - overhead) / net):.2f}%"
    yield from _amount("total_system_memory", total_bytes())
    yield from _amount("maxmemory", config[directives.MAXMEMORY])
    yield "maxmemory_policy", config[directives.MAXMEMORY_POLICY]
    yield "mem_fragmentation_ratio", f"{now.resident_bytes / max(1, used):.2f}"
    yield "mem_fragmentation_bytes", now.resident_bytes - used
    yield "mem_clients_slaves", replica_bytes
    yield "mem_clients_normal", client_bytes
    yield "mem_allocator", "python"
    yield "active_defrag_running", 0
    yield "lazyfree_pending_objects", observed.disposal.pending


def _amount(name: str, size_bytes: int) -> Fields:
    return [(name, size_bytes), (f"{name}_human", human(size_bytes))]


def _output_bytes(sessions: Iterator[Session]) -> int:
    return sum(session.transport.output_bytes() for session in sessions)


def _stats(observed: Observed) -> Fields:
    stats, databases = observed.stats, observed.databases
    received = stats.replication_input_bytes
    sent = stats.replication_output_bytes
    yield "total_connections_received", stats.connections_received
    yield "total_commands_processed", stats.commands_processed
    yield "instantaneous_ops_per_sec", round(stats.command_rate.per_second())
    yield "total_net_input_bytes", stats.input_bytes + received
    yield "total_net_output_bytes", stats.output_bytes + sent
    yield "total_net_repl_input_bytes", received
    yield "total_net_repl_output_bytes", sent
    yield "instantaneous_input_kbps", f"{stats.input_rate.per_second() / 1024:.2f}"
    yield "instantaneous_output_kbps", f"{stats.output_rate.per_second() / 1024:.2f}"
    yield "rejected_connections", stats.connections_rejected
    yield "sync_full", stats.sync_full
    yield "sync_partial_ok", stats.sync_partial_ok
    yield "sync_partial_err", stats.sync_partial_err
    yield "expired_keys", sum(database.expired_total for database in databases)
    yield "expired_subkeys", sum(database.expired_fields_total for database in databases)
    yield "expired_time_cap_reached_count", stats.expire_cycles_cut
    yield "evicted_keys", stats.evicted_keys
    yield "evicted_clients", stats.evicted_clients
    yield "keyspace_hits", sum(database.hits for database in databases)
    yield "keyspace_misses", sum(database.misses for database in databases)
    yield "unexpected_error_replies", stats.unexpected_error_replies
    yield "total_error_replies", stats.error_replies
    yield "total_reads_processed", stats.reads_processed
    yield "total_writes_processed", stats.writes_processed
    yield "client_query_buffer_limit_disconnections", stats.query_buffer_disconnections
    yield "client_output_buffer_limit_disconnections", stats.output_buffer_disconnections


def _cpu() -> Fields:
    for who, suffix in (
        (resource.RUSAGE_SELF, ""),
        (resource.RUSAGE_CHILDREN, "_children"),
        (resource.RUSAGE_THREAD, "_main_thread"),
    ):
        used = resource.getrusage(who)
        yield f"used_cpu_sys{suffix}", f"{used.ru_stime:.6f}"
        yield f"used_cpu_user{suffix}", f"{used.ru_utime:.6f}"


def _errorstats(stats: Stats) -> Fields:
    for code, count in sorted(stats.errors.items()):
        yield f"errorstat_{code.decode('utf-8', 'backslashreplace')}", f"count={count}"


def _keyspace(databases: list[Database]) -> Fields:
    now_ms = time.time_ns() // 1_000_000
    for database in databases:
        if database.count:
            expires = len(database.deadlines)
            ttl_ms = _mean_ttl_ms(database, now_ms)
            yield f"db{database.index}", f"keys={database.count},expires={expires},avg_ttl={ttl_ms}"


def _mean_ttl_ms(database: Database, now_ms: int) -> int:
    """The mean time to live of a sample of keys, 0 when none has one."""
    sample = list(islice(database.deadlines.at.values(), _TTL_SAMPLE))
    return sum(max(0, at_ms - now_ms) for at_ms in sample) // len(sample) if sample else 0
