"""MEMORY: what keys and the server take.

Source: https://redis.io/commands/?group=server
"""

from __future__ import annotations

from node.command.args import SYNTAX, integer
from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import key
from node.command.spec import LOADING, READONLY, RO, STALE, command, container
from node.errors import CommandError
from node.keyspace.sizes import key_bytes
from node.observe import memory
from node.observe.memory_report import Figures, MemoryReport
from node.resp import encode
from node.resp.encode import OK, bulk

_SAMPLES = 5

container(b"MEMORY", group="server", since="4.0.0", summary="Commands about memory.")


@command(
    b"MEMORY|USAGE", arity=-3, group="server", since="4.0.0", flags=READONLY, keys=[key(2, RO)],
    complexity="O(N) where N is the number of samples.",
)  # fmt: skip
def usage(call: Call, argv: list[bytes]) -> bytes:
    """Estimates the memory of a key and its value, in bytes."""
    samples = _SAMPLES
    for at in range(3, len(argv), 2):
        if argv[at].upper() != b"SAMPLES" or at + 1 == len(argv):
            raise CommandError(SYNTAX)
        samples = integer(argv[at + 1])
        if samples < 0:
            raise CommandError(SYNTAX)
    value = call.peek(argv[2])
    if value is None:
        return call.reply.null
    return encode.integer(key_bytes(call.db, argv[2], value, samples))


@command(
    b"MEMORY|STATS", arity=2, group="server", since="4.0.0", complexity="O(1)", needs=MemoryReport,
    tips=["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
)  # fmt: skip
def stats(report: MemoryReport, call: Call, _argv: list[bytes]) -> bytes:
    """Tells what the server's memory is used for."""
    return call.reply.map([(bulk(name), value) for name, value in _stats(call, report.figures())])


def _stats(call: Call, figures: Figures) -> list[tuple[bytes, bytes]]:
    number, double = encode.integer, call.reply.double
    net = max(1, figures.used - figures.startup)
    waste = figures.resident - figures.used
    tables = [
        (
            b"db.%d" % each.database,
            call.reply.map(
                [
                    (bulk(b"overhead.hashtable.main"), number(each.keys_bytes)),
                    (bulk(b"overhead.hashtable.expires"), number(each.deadlines_bytes)),
                ]
            ),
        )
        for each in figures.tables
    ]
    return [
        (b"peak.allocated", number(figures.peak)),
        (b"total.allocated", number(figures.used)),
        (b"startup.allocated", number(figures.startup)),
        (b"replication.backlog", number(figures.backlog)),
        (b"clients.slaves", number(figures.replicas)),
        (b"clients.normal", number(figures.clients)),
        (b"aof.buffer", number(figures.aof)),
        *tables,
        (b"overhead.total", number(figures.overhead)),
        (b"keys.count", number(figures.keys)),
        (b"keys.bytes-per-key", number(net // figures.keys if figures.keys else 0)),
        (b"dataset.bytes", number(figures.dataset)),
        (b"dataset.percentage", double(min(100.0, 100 * figures.dataset / net))),
        (b"peak.percentage", double(100 * figures.used / max(1, figures.peak))),
        (b"allocator.allocated", number(figures.used)),
        (b"allocator.resident", number(figures.private)),
        (b"fragmentation", double(figures.resident / max(1, figures.used))),
        (b"fragmentation.bytes", number(waste)),
    ]


@command(
    b"MEMORY|DOCTOR", arity=2, group="server", since="4.0.0", complexity="O(1)", needs=MemoryReport,
    tips=["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
)  # fmt: skip
def doctor(report: MemoryReport, call: Call, _argv: list[bytes]) -> bytes:
    """Looks for problems with memory."""
    return call.reply.verbatim(report.advice().encode())


@command(
    b"MEMORY|MALLOC-STATS", arity=2, group="server", since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
    tips=["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
)  # fmt: skip
def malloc_stats(call: Call, _argv: list[bytes]) -> bytes:
    """Tells what the allocators know of themselves."""
    return call.reply.verbatim(memory.statistics().encode())


@command(
    b"MEMORY|PURGE", arity=2, group="server", since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
    tips=["request_policy:all_shards", "response_policy:all_succeeded"],
)  # fmt: skip
def purge(_call: Call, _argv: list[bytes]) -> bytes:
    """Gives memory that is free back to the system."""
    memory.purge()
    return OK


@command(
    b"MEMORY|HELP", arity=2, group="server", since="4.0.0", flags=LOADING | STALE, complexity="O(1)",
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "MEMORY",
        (
            "DOCTOR",
            "    Look for problems with memory.",
            "MALLOC-STATS",
            "    Tell what the allocators know of themselves.",
            "PURGE",
            "    Give memory that is free back to the system.",
            "STATS",
            "    Tell what the server's memory is used for.",
            "USAGE <key> [SAMPLES <count>]",
            "    Estimate the memory of a key and its value. Of a collection <count> elements are looked at",
            "    (5 by default, all with 0).",
        ),
    )
