"""Commands of the group server that concern whole databases, the clock and the end of the process."""

from __future__ import annotations

import time

from node.clients import Clients
from node.command.args import SYNTAX, int32, integer
from node.command.call import Call
from node.command.session import Block
from node.command.spec import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_MULTI,
    NOSCRIPT,
    READONLY,
    STALE,
    WRITE,
    command,
)
from node.config.config import Config
from node.config.table import CLUSTER_ENABLED
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.keyspace.database import Database
from node.keyspace.disposal import Disposal
from node.lifecycle import Lifecycle, ShutdownOptions
from node.persistence.saving import Saving
from node.resp.encode import OK, bulks, error
from node.resp.encode import integer as number
from node.scripting.service import Scripting
from node.values.shoal_art import draw
from node.version import REDIS_VERSION, SHOAL_VERSION

_KEYSPACE = ("keyspace",)
_DESTRUCTIVE = ("keyspace", "dangerous")
_SHARDS = ("request_policy:all_shards", "response_policy:all_succeeded")
SHUTDOWN_FAILED = b"ERR Errors trying to SHUTDOWN. Check logs."


@command(
    b"DBSIZE", arity=1, group="server", since="1.0.0", flags=READONLY | FAST, categories=_KEYSPACE,
    complexity="O(1)", tips=("request_policy:all_shards", "response_policy:agg_sum"),
)  # fmt: skip
def dbsize(call: Call, _argv: list[bytes]) -> bytes:
    """Returns the number of keys in the selected database."""
    return number(call.db.count)


@command(
    b"FLUSHDB", arity=-1, group="server", since="1.0.0", flags=WRITE, categories=_DESTRUCTIVE, tips=_SHARDS,
    complexity="O(N) where N is the number of keys in the selected database", needs=Disposal,
)  # fmt: skip
def flushdb(disposal: Disposal, call: Call, argv: list[bytes]) -> bytes:
    """Removes all keys from the selected database."""
    _flush(call, [call.db], argv, disposal)
    return OK


@command(
    b"FLUSHALL", arity=-1, group="server", since="1.0.0", flags=WRITE, categories=_DESTRUCTIVE, tips=_SHARDS,
    complexity="O(N) where N is the total number of keys in all databases", needs=(Disposal, Saving),
)  # fmt: skip
def flushall(disposal: Disposal, saving: Saving, call: Call, argv: list[bytes]) -> bytes:
    """Removes all keys from all databases."""
    _flush(call, call.databases, argv, disposal)
    saving.flushed()
    return OK


def _flush(call: Call, databases: list[Database], argv: list[bytes], disposal: Disposal) -> None:
    """Empties databases; with ASYNC their values are freed later. It is told even when there was nothing."""
    mode = argv[1].upper() if len(argv) == 2 else b"SYNC"
    if len(argv) > 2 or mode not in (b"SYNC", b"ASYNC"):
        raise CommandError(SYNTAX)
    for database in databases:
        held = database.slots
        database.clear()
        if mode == b"ASYNC":
            disposal.take(held)
        call.changes.log.append((EventClass.DATABASE, b"flushdb", b"", database.index))


@command(
    b"SWAPDB", arity=3, group="server", since="4.0.0", flags=WRITE | FAST, categories=_DESTRUCTIVE,
    complexity="O(N) where N is the count of clients watching or blocking on keys from both databases.",
    needs=Config,
)  # fmt: skip
def swapdb(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Swaps two databases."""
    if config[CLUSTER_ENABLED]:
        raise CommandError(b"ERR SWAPDB is not allowed in cluster mode")
    first = int32(argv[1], b"ERR invalid first DB index")
    second = int32(argv[2], b"ERR invalid second DB index")
    if not all(0 <= index < len(call.databases) for index in (first, second)):
        raise CommandError(b"ERR DB index is out of range")
    if first != second:
        call.databases[first].swap_contents(call.databases[second])
    for index in (first, second):
        call.changes.log.append((EventClass.DATABASE, b"swapdb", b"", index))
    return OK


@command(
    b"TIME", arity=1, group="server", since="2.6.0", flags=LOADING | STALE | FAST, complexity="O(1)",
    tips=("nondeterministic_output",),
)  # fmt: skip
def time_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns the server's time: Unix seconds, and the microseconds of the second."""
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return bulks((b"%d" % seconds, b"%d" % micros))


@command(b"LOLWUT", arity=-1, group="server", since="5.0.0", flags=READONLY | FAST)
def lolwut(call: Call, argv: list[bytes]) -> bytes:
    """Draws a shoal, another one each time, and tells the version."""
    words = argv[1:]
    if len(words) >= 2 and words[0].upper() == b"VERSION":
        integer(words[1])  # which of Redis's works is wanted; here there is this one
        words = words[2:]
    sizes = [integer(word) for word in words[:2]]
    drawing = draw(call.now_ms, *sizes)
    return call.reply.verbatim(
        f"{drawing}\nShoal ver. {SHOAL_VERSION}, Redis ver. {REDIS_VERSION}\n".encode()
    )


@command(
    b"SHUTDOWN", arity=-1, group="server", since="1.0.0", needs=(Lifecycle, Clients, Scripting),
    flags=ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
    complexity="O(N) when saving, where N is the total number of keys in all databases when saving data, "
    "otherwise O(1)",
)  # fmt: skip
def shutdown(
    lifecycle: Lifecycle, clients: Clients, scripting: Scripting, call: Call, argv: list[bytes]
) -> bytes | Block:
    """Ends the server, or calls an end off that waits for replicas."""
    words = {word.upper() for word in argv[1:]}
    if not words <= {b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT"} or words >= {b"SAVE", b"NOSAVE"}:
        raise CommandError(SYNTAX)
    if b"ABORT" in words:
        if len(words) > 1:
            raise CommandError(SYNTAX)
        if not lifecycle.abort():
            raise CommandError(b"ERR No shutdown in progress.")
        return OK
    save = True if b"SAVE" in words else False if b"NOSAVE" in words else None
    if scripting.runs.current is not None and save is not False:
        raise CommandError(scripting.runs.busy_text())  # half of what the script writes would be saved
    session = call.session

    def answer() -> None:
        clients.unblock(session, error(SHUTDOWN_FAILED))

    def forget() -> None:
        if answer in lifecycle.on_failure:
            lifecycle.on_failure.remove(answer)

    options = ShutdownOptions(save, b"NOW" in words, b"FORCE" in words)
    lifecycle.request_shutdown("User requested shutdown...", options=options)
    lifecycle.on_failure.append(answer)
    return Block(b"shutdown", None, lambda: error(SHUTDOWN_FAILED), forget, may_time_out=False)
