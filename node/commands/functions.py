"""The commands of the group scripting about functions: see node.scripting.

Source: https://redis.io/commands/?group=scripting
"""

from __future__ import annotations

from node.command.args import syntax_error
from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import counted_keys
from node.command.spec import (
    ACCESS,
    ALLOW_BUSY,
    DENYOOM,
    LOADING,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    NOSCRIPT,
    READONLY,
    RO,
    RW,
    SKIP_MONITOR,
    STALE,
    UPDATE,
    WRITE,
    command,
    container,
)
from node.commands.scripting import declare_kill
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.resp.encode import OK, array, bulk, bulks, integer, simple
from node.scripting.libraries import Library
from node.scripting.script_flags import FLAGS
from node.scripting.service import Scripting
from node.values.glob import compile_glob

_CATEGORIES = ("scripting",)
_RUNS = NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS
_COST = "Depends on the function that is executed."
_WORST = "We cannot tell how the keys will be used so we assume the worst, "
_EVERYWHERE = ("request_policy:all_shards", "response_policy:all_succeeded")


def _changed(call: Call) -> None:
    """Replicas and the AOF are told, as of keys."""
    call.changed(EventClass.GENERIC, b"", b"")


@command(
    b"FCALL", arity=-3, group="scripting", since="7.0.0", flags=_RUNS | MAY_REPLICATE, complexity=_COST,
    keys=[counted_keys(2, RW | ACCESS | UPDATE, _WORST + "RW and UPDATE")], categories=_CATEGORIES,
    needs=Scripting,
)  # fmt: skip
def fcall(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Invokes a function."""
    return scripting.fcall(call.session, argv, read_only=False)


@command(
    b"FCALL_RO", arity=-3, group="scripting", since="7.0.0", flags=_RUNS | READONLY, complexity=_COST,
    keys=[counted_keys(2, RO | ACCESS, _WORST + "RO and ACCESS")], categories=_CATEGORIES, needs=Scripting,
)  # fmt: skip
def fcall_ro(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Invokes a read-only function."""
    return scripting.fcall(call.session, argv, read_only=True)


container(b"FUNCTION", group="scripting", since="7.0.0", summary="A container for function commands.")


@command(
    b"FUNCTION|LOAD", arity=-3, group="scripting", since="7.0.0", flags=NOSCRIPT | WRITE | DENYOOM,
    categories=_CATEGORIES, complexity="O(1) (considering compilation time is redundant)", tips=_EVERYWHERE,
    needs=Scripting,
)  # fmt: skip
def function_load(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Creates a library."""
    for option in argv[2:-1]:
        if option.upper() != b"REPLACE":
            raise CommandError(b"ERR Unknown option given: %b" % option)
    name = scripting.load_library(argv[-1], len(argv) > 3, call.session.from_primary)
    _changed(call)
    return bulk(name)


@command(
    b"FUNCTION|DELETE", arity=3, group="scripting", since="7.0.0", flags=NOSCRIPT | WRITE,
    categories=_CATEGORIES, complexity="O(1)", tips=_EVERYWHERE, needs=Scripting,
)  # fmt: skip
def function_delete(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Deletes a library and its functions."""
    scripting.libraries.delete(argv[2])
    _changed(call)
    return OK


@command(
    b"FUNCTION|FLUSH", arity=-2, group="scripting", since="7.0.0", flags=NOSCRIPT | WRITE, tips=_EVERYWHERE,
    categories=_CATEGORIES, complexity="O(N) where N is the number of functions deleted", needs=Scripting,
)  # fmt: skip
def function_flush(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Deletes all libraries and functions."""
    if len(argv) > 3:
        raise CommandError(
            b"ERR unknown subcommand or wrong number of arguments for '%b'. Try FUNCTION HELP." % argv[1]
        )
    if len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC"):
        raise CommandError(b"ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    scripting.flush_libraries()
    _changed(call)
    return OK


@command(
    b"FUNCTION|LIST", arity=-2, group="scripting", since="7.0.0", flags=NOSCRIPT, categories=_CATEGORIES,
    complexity="O(N) where N is the number of functions", tips=("nondeterministic_output_order",),
    needs=Scripting,
)  # fmt: skip
def function_list(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Returns information about all libraries."""
    with_code, pattern = False, None
    words = iter(argv[2:])
    for word in words:
        option = word.upper()
        if option == b"WITHCODE" and not with_code:
            with_code = True
        elif option == b"LIBRARYNAME" and pattern is None:
            pattern = next(words, None)
            if pattern is None:
                raise CommandError(b"ERR library name argument was not given")
        else:
            raise CommandError(b"ERR Unknown argument %b" % word)
    matches = None if pattern is None else compile_glob(pattern, nocase=True)
    libraries = scripting.libraries.by_name.values()
    return array(
        [_described(call, lib, with_code) for lib in libraries if matches is None or matches(lib.name)]
    )


def _described(call: Call, library: Library, with_code: bool) -> bytes:
    functions = [
        call.reply.map(
            [
                (bulk(b"name"), bulk(function.name)),
                (bulk(b"description"), call.reply.optional(function.description)),
                (
                    bulk(b"flags"),
                    call.reply.set([simple(name) for name, flag in FLAGS.items() if flag & function.flags]),
                ),
            ]
        )
        for function in library.functions.values()
    ]
    fields = [
        (bulk(b"library_name"), bulk(library.name)),
        (bulk(b"engine"), bulk(b"LUA")),
        (bulk(b"functions"), array(functions)),
    ]
    if with_code:
        fields.append((bulk(b"library_code"), bulk(library.text)))
    return call.reply.map(fields)


@command(
    b"FUNCTION|STATS", arity=2, group="scripting", since="7.0.0", flags=NOSCRIPT | ALLOW_BUSY,
    categories=_CATEGORIES, complexity="O(1)", needs=Scripting,
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)  # fmt: skip
def function_stats(scripting: Scripting, call: Call, _argv: list[bytes]) -> bytes:
    """Returns information about a function during execution."""
    reply = call.reply
    run = scripting.runs.current
    if run is not None and not run.is_function:
        raise CommandError(scripting.runs.busy_text())
    running = reply.null
    if run is not None:
        running = reply.map(
            [
                (bulk(b"name"), bulk(run.name)),
                (bulk(b"command"), bulks(run.argv)),
                (bulk(b"duration_ms"), integer(run.duration_ms)),
            ]
        )
    libraries, functions = scripting.function_counts()
    counts = reply.map(
        [
            (bulk(b"libraries_count"), integer(libraries)),
            (bulk(b"functions_count"), integer(functions)),
        ]
    )
    return reply.map(
        [(bulk(b"running_script"), running), (bulk(b"engines"), reply.map([(bulk(b"LUA"), counts)]))]
    )


declare_kill(b"FUNCTION|KILL", "7.0.0", "Terminates a function during execution.", wants_function=True)


@command(
    b"FUNCTION|DUMP", arity=2, group="scripting", since="7.0.0", flags=NOSCRIPT, categories=_CATEGORIES,
    complexity="O(N) where N is the number of functions", needs=Scripting,
)  # fmt: skip
def function_dump(scripting: Scripting, _call: Call, _argv: list[bytes]) -> bytes:
    """Dumps all libraries into a serialized binary payload."""
    return bulk(scripting.dump())


@command(
    b"FUNCTION|RESTORE", arity=-3, group="scripting", since="7.0.0", flags=NOSCRIPT | WRITE | DENYOOM,
    categories=_CATEGORIES, complexity="O(N) where N is the number of functions on the payload",
    tips=_EVERYWHERE, needs=Scripting,
)  # fmt: skip
def function_restore(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Restores all libraries from a payload."""
    if len(argv) > 4:
        raise syntax_error()
    policy = argv[3].upper() if len(argv) == 4 else b"APPEND"
    if policy not in (b"APPEND", b"REPLACE", b"FLUSH"):
        raise CommandError(
            b"ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE."
        )
    scripting.restore(argv[2], policy, call.session.from_primary)
    _changed(call)
    return OK


@command(
    b"FUNCTION|HELP", arity=2, group="scripting", since="7.0.0", flags=LOADING | STALE,
    categories=_CATEGORIES, complexity="O(1)",
)  # fmt: skip
def function_help(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the different subcommands."""
    return help_reply(
        "FUNCTION",
        (
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Load a library of functions.",
            "DELETE <LIBRARY NAME>",
            "    Delete a library.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Tell of each library its name, engine and functions, and its code if wanted.",
            "STATS",
            "    Tell the function that runs, and how many libraries and functions there are.",
            "KILL",
            "    End the function that runs, unless it has written.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries.",
            "DUMP",
            "    All libraries as one payload.",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Load the libraries of a payload: in place of all (FLUSH), beside the others (APPEND, unless",
            "    given), or in place of those with the same names (REPLACE).",
        ),
    )
