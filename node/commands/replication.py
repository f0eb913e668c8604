"""REPLICAOF, FAILOVER, ROLE, WAIT, and what nodes say to each other: PSYNC, SYNC, REPLCONF."""

from __future__ import annotations

from node.command.args import NOT_INTEGER, SYNTAX, bounded, integer
from node.command.call import Call
from node.command.session import Block
from node.command.spec import (
    ADMIN,
    ALLOW_BUSY,
    BLOCKING,
    FAST,
    LOADING,
    NO_ASYNC_LOADING,
    NO_MULTI,
    NOSCRIPT,
    STALE,
    command,
)
from node.config import table as directives
from node.config.config import Config
from node.errors import CommandError
from node.integers import parse_integer
from node.replication.failover import FailoverOptions
from node.replication.info import role_reply
from node.replication.service import Replication
from node.resp.encode import OK

_FOLLOW = ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING
_SYNC = ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI
_ADDRESS_BYTES_MAX = 255
_LONG_MAX = 2**63 - 1
_KNOWS_SETSLOT_SINCE = 8


def _follow(replication: Replication, config: Config, call: Call, argv: list[bytes]) -> bytes:
    if config[directives.CLUSTER_ENABLED]:
        raise CommandError(b"ERR REPLICAOF not allowed in cluster mode.")
    if replication.failover.active:
        raise CommandError(b"ERR REPLICAOF not allowed while failing over.")
    if (argv[1].lower(), argv[2].lower()) == (b"no", b"one"):
        config.store(directives.REPLICAOF, None)
        replication.stop_following(_client(call))
        return OK
    if call.session.is_replica:
        raise CommandError(b"ERR Command is not valid when client is a replica.")
    port = parse_integer(argv[2])
    if port is None or not 0 <= port <= 65535:
        raise CommandError(b"ERR Invalid master port")
    host = argv[1].decode("utf-8", "surrogateescape")
    if not replication.follow_for(host, port, _client(call)):
        return b"+OK Already connected to specified master\r\n"
    config.store(directives.REPLICAOF, (host, port))
    return OK


def _client(call: Call) -> str:
    session = call.session
    return f"id={session.id} addr={session.address.decode()}"


@command(
    b"REPLICAOF", arity=3, group="server", since="5.0.0", flags=_FOLLOW, needs=(Replication, Config),
    complexity="O(1)",
)  # fmt: skip
def replicaof(replication: Replication, config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Makes this node a replica of another one, or with NO ONE a primary."""
    return _follow(replication, config, call, argv)


@command(
    b"SLAVEOF", arity=3, group="server", since="1.0.0", flags=_FOLLOW, needs=(Replication, Config),
    complexity="O(1)", replaced_by="`REPLICAOF`", deprecated_since="5.0.0",
)  # fmt: skip
def slaveof(replication: Replication, config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Makes this node a replica of another one, or with NO ONE a primary."""
    return _follow(replication, config, call, argv)


@command(
    b"FAILOVER", arity=-1, group="server", since="6.2.0", flags=ADMIN | NOSCRIPT | STALE,
    needs=(Replication, Config), complexity="O(1)",
)  # fmt: skip
def failover(replication: Replication, config: Config, _call: Call, argv: list[bytes]) -> bytes:
    """Makes this primary change places with one of its replicas."""
    if config[directives.CLUSTER_ENABLED]:
        raise CommandError(b"ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.")
    if len(argv) == 2 and argv[1].upper() == b"ABORT":
        replication.failover.abort()
    else:
        replication.failover.start(_failover_options(argv))
    return OK


def _failover_options(argv: list[bytes]) -> FailoverOptions:
    """Raises CommandError."""
    target: tuple[str, int] | None = None
    timeout_ms: int | None = None
    force = False
    at = 1
    while at < len(argv):
        word, left = argv[at].upper(), len(argv) - at - 1
        if word == b"TIMEOUT" and left and timeout_ms is None:
            timeout_ms = integer(argv[at + 1])
            if timeout_ms <= 0:
                raise CommandError(b"ERR FAILOVER timeout must be greater than 0")
            at += 2
        elif word == b"TO" and left >= 2 and target is None:
            target = argv[at + 1].decode("utf-8", "surrogateescape"), integer(argv[at + 2])
            at += 3
        elif word == b"FORCE" and not force:
            force = True
            at += 1
        else:
            raise CommandError(SYNTAX)
    return FailoverOptions(target, timeout_ms, force)


@command(
    b"ROLE", arity=1, group="server", since="2.8.12", flags=NOSCRIPT | LOADING | STALE | FAST,
    needs=Replication, categories=["admin", "dangerous"], complexity="O(1)",
)  # fmt: skip
def role(replication: Replication, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns the role of this node in replication."""
    return role_reply(replication)


@command(
    b"WAIT", arity=3, group="generic", since="3.0.0", flags=BLOCKING, needs=Replication,
    categories=["connection"], tips=("request_policy:all_shards", "response_policy:agg_min"),
    complexity="O(1)",
)  # fmt: skip
def wait(replication: Replication, call: Call, argv: list[bytes]) -> bytes | Block:
    """Waits until replicas have acknowledged the writes of this connection; returns how many have."""
    if not replication.is_primary:
        raise CommandError(
            b"ERR WAIT cannot be used with replica instances. Please also note that writes to replicas are "
            b"just local and are not propagated."
        )
    count = bounded(argv[1], 0, _LONG_MAX, b"ERR value is out of range, must be positive")
    timeout_ms = integer(argv[2], b"ERR timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise CommandError(b"ERR timeout is negative")
    if timeout_ms > _LONG_MAX - call.now_ms:
        raise CommandError(b"ERR timeout is out of range")
    deadline_ms = call.now_ms + timeout_ms if timeout_ms else None
    return replication.wait(call.session, count, deadline_ms)


@command(b"PSYNC", arity=-3, group="server", since="2.8.0", flags=_SYNC, needs=Replication)
def psync(replication: Replication, call: Call, argv: list[bytes]) -> bytes:
    """Begins replication to the asking node, from an offset when that is possible."""
    offset = parse_integer(argv[2])
    if offset is None:
        raise CommandError(NOT_INTEGER)
    if len(argv) > 3 and argv[3].upper() == b"FAILOVER" and not call.session.is_replica:
        replication.give_way(call.session, argv[1])
    replication.serve(call.session, argv[1], offset)
    return b""


@command(b"SYNC", arity=1, group="server", since="1.0.0", flags=_SYNC, needs=Replication)
def sync(replication: Replication, call: Call, _argv: list[bytes]) -> bytes:
    """Begins replication to the asking node, as nodes before Redis 2.8 ask for it."""
    replication.serve(call.session, None, -1)
    return b""


@command(
    b"REPLCONF", arity=-1, group="server", since="3.0.0", needs=Replication, complexity="O(1)",
    flags=ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
)  # fmt: skip
def replconf(replication: Replication, call: Call, argv: list[bytes]) -> bytes:
    """Tells the other side of a replication link something about this one."""
    if len(argv) % 2 == 0:
        raise CommandError(SYNTAX)
    session = call.session
    for name, value in zip(argv[1::2], argv[2::2], strict=True):
        option = name.lower()
        if option == b"ack":
            offset = parse_integer(value)
            synced = parse_integer(argv[4]) if len(argv) > 4 and argv[3].lower() == b"fack" else None
            if offset is not None:
                replication.primary.acknowledged(session, offset, synced)
            return b""
        if option == b"getack":
            replication.follower.acknowledge(synced=value == b"AOF")
            return b""
        _describe(replication, call, option, name, value)
    return OK


def _describe(replication: Replication, call: Call, option: bytes, name: bytes, value: bytes) -> None:
    replica = replication.primary.replicas.of(call.session)
    if option == b"listening-port":
        replica.port = integer(value)
    elif option == b"ip-address":
        if len(value) > _ADDRESS_BYTES_MAX:
            raise CommandError(
                b"ERR REPLCONF ip-address provided by replica instance is too long: %d bytes" % len(value)
            )
        replica.address = value
    elif option == b"capa":
        replica.understands_eof |= value.lower() == b"eof"
        replica.understands_psync2 |= value.lower() == b"psync2"
    elif option == b"version":
        major = parse_integer(value.partition(b".")[0])
        replica.knows_setslot = major is not None and major >= _KNOWS_SETSLOT_SINCE
    elif option == b"rdb-only":
        replica.snapshot_only = bool(bounded(value, 0, 1, b"ERR value is out of range"))
    elif option == b"rdb-filter-only":
        raise CommandError(b"ERR REPLCONF rdb-filter-only is not supported: snapshots are always whole")
    else:
        raise CommandError(b"ERR Unrecognized REPLCONF option: %b" % name)
