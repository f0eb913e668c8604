"""SLOWLOG: see node.observe.slowlog."""

from __future__ import annotations

from node.command.args import within
from node.command.call import Call
from node.command.help import help_reply
from node.command.spec import ADMIN, LOADING, STALE, command, container
from node.errors import CommandError
from node.integers import INT64_MAX
from node.observe.slowlog import SlowLog
from node.resp.encode import OK, array, bulk, bulks
from node.resp.encode import integer as number

_FLAGS = ADMIN | LOADING | STALE
_ALL_NODES = "request_policy:all_nodes"
_DEFAULT_COUNT = 10
_COUNT_RANGE = b"ERR count should be greater than or equal to -1"

container(b"SLOWLOG", group="server", since="2.2.12", summary="A container for slow log commands.")


@command(
    b"SLOWLOG|GET", arity=-2, group="server", since="2.2.12", flags=_FLAGS, needs=SlowLog,
    complexity="O(N) where N is the number of entries returned", tips=(_ALL_NODES, "nondeterministic_output"),
)  # fmt: skip
def get(log: SlowLog, _call: Call, argv: list[bytes]) -> bytes:
    """Returns the newest entries of the slow log."""
    if len(argv) > 3:
        raise CommandError(
            b"ERR unknown subcommand or wrong number of arguments for '%b'. Try SLOWLOG HELP." % argv[1][:128]
        )
    count = within(argv[2], -1, INT64_MAX, _COUNT_RANGE) if len(argv) == 3 else _DEFAULT_COUNT
    return array(
        [
            array(
                [
                    number(entry.id),
                    number(entry.at_s),
                    number(entry.took_us),
                    bulks(entry.argv),
                    bulk(entry.address),
                    bulk(entry.name),
                ]
            )
            for entry in log.latest(count)
        ]
    )


@command(
    b"SLOWLOG|LEN", arity=2, group="server", since="2.2.12", flags=_FLAGS, needs=SlowLog, complexity="O(1)",
    tips=(_ALL_NODES, "response_policy:agg_sum", "nondeterministic_output"),
)  # fmt: skip
def len_(log: SlowLog, _call: Call, _argv: list[bytes]) -> bytes:
    """Returns the number of entries in the slow log."""
    return number(len(log))


@command(
    b"SLOWLOG|RESET", arity=2, group="server", since="2.2.12", flags=_FLAGS, needs=SlowLog,
    complexity="O(N) where N is the number of entries in the slowlog",
    tips=(_ALL_NODES, "response_policy:all_succeeded"),
)  # fmt: skip
def reset(log: SlowLog, _call: Call, _argv: list[bytes]) -> bytes:
    """Clears the slow log."""
    log.reset()
    return OK


@command(
    b"SLOWLOG|HELP", arity=2, group="server", since="6.2.0", flags=LOADING | STALE, complexity="O(1)"
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "SLOWLOG",
        (
            "GET [<count>]",
            "    Return the newest <count> entries (10; -1 for all), each as: number, Unix time,",
            "    microseconds, request, the client's address and its name.",
            "LEN",
            "    Return how many entries there are.",
            "RESET",
            "    Forget all entries.",
        ),
    )
