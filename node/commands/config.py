"""CONFIG: reading and changing directives. The texts of errors are in node.config.config."""

from __future__ import annotations

from node.command.args import SYNTAX
from node.command.call import Call
from node.command.help import help_reply
from node.command.locality import may_use
from node.command.registry import Table
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from node.config.config import Config
from node.config.table import ENABLE_PROTECTED_CONFIGS
from node.errors import CommandError
from node.observe.slot_counters import SlotCounters
from node.observe.stats import Stats
from node.resp.encode import OK, bulk

_FLAGS = ADMIN | NOSCRIPT | LOADING | STALE
_EVERYWHERE = ("request_policy:all_nodes", "response_policy:all_succeeded")

container(b"CONFIG", group="server", since="2.0.0", summary="A container for commands on configuration.")


@command(
    b"CONFIG|GET", arity=-3, group="server", since="2.0.0", flags=_FLAGS, needs=Config,
    complexity="O(N) when N is the number of configuration parameters provided",
)  # fmt: skip
def get(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Returns the values of the configuration parameters that match any of the patterns."""
    return call.reply.map([(bulk(name), bulk(value)) for name, value in config.get(argv[2:])])


@command(
    b"CONFIG|SET", arity=-4, group="server", since="2.0.0", flags=_FLAGS, needs=Config, tips=_EVERYWHERE,
    complexity="O(N) when N is the number of configuration parameters provided",
)  # fmt: skip
def set_(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Changes configuration parameters: all of those that are given, or none."""
    if len(argv) % 2:
        raise CommandError(SYNTAX)
    allowed = may_use(config[ENABLE_PROTECTED_CONFIGS], call.session.address)
    config.set_many(list(zip(argv[2::2], argv[3::2], strict=True)), allow_protected=allowed)
    return OK


@command(
    b"CONFIG|REWRITE", arity=2, group="server", since="2.8.0", flags=_FLAGS, needs=Config, tips=_EVERYWHERE,
    complexity="O(1)",
)  # fmt: skip
def rewrite(config: Config, _call: Call, _argv: list[bytes]) -> bytes:
    """Writes the configuration in effect to the configuration file."""
    config.rewrite()
    return OK


@command(
    b"CONFIG|RESETSTAT", arity=2, group="server", since="2.0.0", flags=_FLAGS, complexity="O(1)",
    needs=(Stats, Table, SlotCounters), tips=_EVERYWHERE,
)  # fmt: skip
def resetstat(stats: Stats, table: Table, slots: SlotCounters, call: Call, _argv: list[bytes]) -> bytes:
    """Sets the counters that INFO reports back to zero."""
    stats.reset()
    slots.reset()
    for database in call.databases:
        database.hits = database.misses = database.expired_total = database.expired_fields_total = 0
    for each in table.walk():
        each.forget_calls()
    return OK


@command(
    b"CONFIG|HELP", arity=2, group="server", since="5.0.0", flags=LOADING | STALE, complexity="O(1)"
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "CONFIG",
        (
            "GET <pattern> [<pattern> ...]",
            "    Return the parameters that match a glob-style pattern, and their values.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change directives: all of them, or none when one is refused.",
            "RESETSTAT",
            "    Set the counters that INFO reports back to zero.",
            "REWRITE",
            "    Write the configuration in effect to the configuration file.",
        ),
    )
