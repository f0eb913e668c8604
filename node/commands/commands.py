"""COMMAND: the table of commands, told to clients."""

from __future__ import annotations

from node.command.args import SYNTAX
from node.command.call import Call
from node.command.docs import command_docs, command_info, docs_by_name, in_category, key_flags
from node.command.help import help_reply
from node.command.keyspec import KeyFlag
from node.command.registry import Command, Table
from node.command.spec import LOADING, NO_MANDATORY_KEYS, STALE, command
from node.errors import CommandError
from node.resp.encode import array, bulk, bulks, integer
from node.values.glob import compile_glob

_FLAGS = LOADING | STALE
_CONNECTION = ("connection",)
_UNORDERED = ("nondeterministic_output_order",)


@command(
    b"COMMAND", arity=-1, group="server", since="2.8.13", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(N) where N is the total number of commands", tips=_UNORDERED, needs=Table,
)  # fmt: skip
def command_(table: Table, call: Call, _argv: list[bytes]) -> bytes:
    """Describes all commands."""
    return array([command_info(each, call.reply) for each in table.commands.values()])


@command(
    b"COMMAND|COUNT", arity=2, group="server", since="2.8.13", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)", needs=Table,
)  # fmt: skip
def count(table: Table, _call: Call, _argv: list[bytes]) -> bytes:
    """Counts the commands."""
    return integer(len(table.commands))


@command(
    b"COMMAND|INFO", arity=-2, group="server", since="2.8.13", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(N) where N is the number of commands to look up", tips=_UNORDERED, needs=Table,
)  # fmt: skip
def info(table: Table, call: Call, argv: list[bytes]) -> bytes:
    """Describes the named commands, or all."""
    if len(argv) == 2:
        return command_(table, call, argv)
    found = (table.find(name) for name in argv[2:])
    return array([command_info(each, call.reply) if each is not None else call.reply.null for each in found])


@command(
    b"COMMAND|DOCS", arity=-2, group="server", since="7.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(N) where N is the number of commands to look up", tips=_UNORDERED, needs=Table,
)  # fmt: skip
def docs(table: Table, call: Call, argv: list[bytes]) -> bytes:
    """Documents the named commands, or all."""
    if len(argv) == 2:
        return docs_by_name(table.commands.values(), call.reply)
    found = [each for name in argv[2:] if (each := table.find(name)) is not None]
    return call.reply.map([(bulk(each.title), command_docs(each, call.reply)) for each in found])


@command(
    b"COMMAND|LIST", arity=-2, group="server", since="7.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(N) where N is the total number of commands", tips=_UNORDERED, needs=Table,
)  # fmt: skip
def list_(table: Table, _call: Call, argv: list[bytes]) -> bytes:
    """Names the commands, all or those that a filter lets pass."""
    if len(argv) == 2:
        return bulks(each.title for each in table.walk())
    if len(argv) != 5 or argv[2].upper() != b"FILTERBY":
        raise CommandError(SYNTAX)
    kind, wanted = argv[3].upper(), argv[4]
    if kind == b"MODULE":
        module = wanted.decode("latin-1")
        return bulks(each.title for each in table.walk() if each.spec.module == module and module)
    if kind == b"ACLCAT":
        return bulks(each.title for each in in_category(table, wanted.lower().decode("latin-1")))
    if kind == b"PATTERN":
        matches = compile_glob(wanted, nocase=True)
        return bulks(each.title for each in table.walk() if matches(each.title))
    raise CommandError(SYNTAX)


@command(
    b"COMMAND|GETKEYS", arity=-3, group="server", since="2.8.13", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(N) where N is the number of arguments to the command", needs=Table,
)  # fmt: skip
def getkeys(table: Table, _call: Call, argv: list[bytes]) -> bytes:
    """Finds the keys in a request."""
    return bulks(key for key, _ in _keys(table, argv[2:]))


@command(
    b"COMMAND|GETKEYSANDFLAGS", arity=-3, group="server", since="7.0.0", flags=_FLAGS,
    categories=_CONNECTION, needs=Table,
    complexity="O(N) where N is the number of arguments to the command",
)  # fmt: skip
def getkeysandflags(table: Table, call: Call, argv: list[bytes]) -> bytes:
    """Finds the keys in a request, and what it does to them."""
    return array([array([bulk(key), key_flags(flags, call.reply)]) for key, flags in _keys(table, argv[2:])])


def _keys(table: Table, request: list[bytes]) -> list[tuple[bytes, KeyFlag]]:
    found = _meant(table, request)
    if found is None:
        raise CommandError(b"ERR Invalid command specified")
    if not found.has_keys:
        raise CommandError(b"ERR The command has no key arguments")
    if not found.arity_fits(len(request)):
        raise CommandError(b"ERR Invalid number of arguments specified for command")
    try:
        keys = [(request[position], flags) for position, flags in found.keys_of(request)]
    except ValueError:
        keys = []
    if not keys and not found.flags & NO_MANDATORY_KEYS:
        raise CommandError(b"ERR Invalid arguments specified for command")
    return keys


def _meant(table: Table, request: list[bytes]) -> Command | None:
    """The command of a request, or its subcommand."""
    found = table.lookup(request[0])
    if found is not None and found.subcommands and len(request) > 1:
        return found.subcommands.get(request[1].upper())
    return found


@command(
    b"COMMAND|HELP", arity=2, group="server", since="5.0.0", flags=_FLAGS, categories=_CONNECTION,
    complexity="O(1)",
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "COMMAND",
        (
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    Count the commands.",
            "DOCS [<command> ...]",
            "    Document the named commands, or all.",
            "GETKEYS <request>",
            "    Find the keys in a request.",
            "GETKEYSANDFLAGS <request>",
            "    Find the keys in a request, and what it does to them.",
            "INFO [<command> ...]",
            "    Describe the named commands, or all.",
            "LIST [FILTERBY (MODULE <module>|ACLCAT <category>|PATTERN <pattern>)]",
            "    Name the commands, all or those that a filter lets pass.",
        ),
    )
