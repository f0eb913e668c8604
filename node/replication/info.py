"""INFO's replication section, and ROLE.

Source: https://redis.io/commands/info/ and https://redis.io/commands/role/
"""

from __future__ import annotations

from collections.abc import Iterator

from node.config import table as directives
from node.config.config import Config
from node.replication.follower import LinkState
from node.replication.replicas import State
from node.replication.service import Replication
from node.resp.encode import array, bulk, integer


def info_lines(replication: Replication, config: Config, now_ms: int) -> Iterator[tuple[str, object]]:
    """Fields and values, in Redis's order."""
    yield "role", "master" if replication.is_primary else "slave"
    if not replication.is_primary:
        yield from _of_replica(replication, config, now_ms)
    yield from _of_replicas(replication, config, now_ms)
    stream = replication.stream
    backlog = stream.backlog
    yield "master_failover_state", replication.failover.state.value
    yield "master_replid", stream.replid.decode()
    yield "master_replid2", stream.replid2.decode()
    yield "master_repl_offset", stream.offset
    yield "second_repl_offset", stream.second_offset
    yield "repl_backlog_active", int(backlog is not None)
    yield "repl_backlog_size", config[directives.REPL_BACKLOG_SIZE]
    yield "repl_backlog_first_byte_offset", backlog.first if backlog is not None else 0
    yield "repl_backlog_histlen", len(backlog) if backlog is not None else 0


def _of_replica(replication: Replication, config: Config, now_ms: int) -> Iterator[tuple[str, object]]:
    follower = replication.follower
    host, port = replication.primary_address or ("", 0)
    applier, receiver = follower.applier, follower.receiver
    heard_s = -1 if follower.last_io_ms is None else (now_ms - follower.last_io_ms) // 1000
    yield "master_host", host
    yield "master_port", port
    yield "master_link_status", "up" if follower.is_up else "down"
    yield "master_last_io_seconds_ago", heard_s if follower.is_up else -1
    yield "master_sync_in_progress", int(follower.state is LinkState.SYNC)
    yield "slave_read_repl_offset", applier.read_offset if applier is not None else replication.offset()
    yield "slave_repl_offset", replication.offset()
    if receiver is not None:
        total, read = receiver.total_bytes, receiver.bytes_read
        yield "master_sync_total_bytes", total
        yield "master_sync_read_bytes", read
        yield "master_sync_left_bytes", total - read
        yield "master_sync_perc", f"{100 * read / total if total else 0.0:.2f}"
        yield "master_sync_last_io_seconds_ago", max(heard_s, 0)
    if not follower.is_up:
        down_ms = follower.down_since_ms
        yield "master_link_down_since_seconds", -1 if down_ms is None else (now_ms - down_ms) // 1000
    yield "slave_priority", config[directives.REPLICA_PRIORITY]
    yield "slave_read_only", int(config[directives.REPLICA_READ_ONLY])
    yield "replica_announced", int(config[directives.REPLICA_ANNOUNCED])


def _of_replicas(replication: Replication, config: Config, now_ms: int) -> Iterator[tuple[str, object]]:
    replicas = replication.replicas
    yield "connected_slaves", len(replicas)
    if config[directives.MIN_REPLICAS_TO_WRITE] and config[directives.MIN_REPLICAS_MAX_LAG]:
        yield "min_slaves_good_slaves", replication.primary.good_replicas()
    for number, replica in enumerate(replicas):
        yield (
            f"slave{number}",
            f"ip={replica.address.decode()},port={replica.port},state={replica.state.value},"
            f"offset={replica.ack_offset},lag={replica.lag_s(now_ms)}",
        )


def role_reply(replication: Replication) -> bytes:
    """ROLE's answer."""
    address = replication.primary_address
    if address is None:
        online = [
            array([bulk(r.address), bulk(b"%d" % r.port), bulk(b"%d" % r.ack_offset)])
            for r in replication.replicas
            if r.state is State.ONLINE
        ]
        return array([bulk(b"master"), integer(replication.offset()), array(online)])
    host, port = address
    state = replication.follower.state
    offset = replication.offset() if replication.link_up else -1
    return array(
        [bulk(b"slave"), bulk(host.encode()), integer(port), bulk(state.value.encode()), integer(offset)]
    )
