"""The commands of the group scripting that run scripts: see node.scripting.

Source: https://redis.io/commands/?group=scripting
"""

from __future__ import annotations

from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import counted_keys
from node.command.spec import (
    ACCESS,
    ALLOW_BUSY,
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
    command,
    container,
)
from node.errors import CommandError
from node.resp.encode import OK, ONE, ZERO, array, bulk
from node.scripting.service import Scripting

_CATEGORIES = ("scripting",)
_RUNS = NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS
_WRITES = _RUNS | MAY_REPLICATE
_READS = _RUNS | READONLY
_COST = "Depends on the script that is executed."
_WORST = "We cannot tell how the keys will be used so we assume the worst, "
_RW_KEYS = [counted_keys(2, RW | ACCESS | UPDATE, _WORST + "RW and UPDATE")]
_RO_KEYS = [counted_keys(2, RO | ACCESS, _WORST + "RO and ACCESS")]


@command(
    b"EVAL", arity=-3, group="scripting", since="2.6.0", flags=_WRITES, keys=_RW_KEYS, complexity=_COST,
    categories=_CATEGORIES, needs=Scripting,
)  # fmt: skip
def eval_(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Executes a server-side Lua script."""
    return scripting.eval(call.session, argv, read_only=False)


@command(
    b"EVAL_RO", arity=-3, group="scripting", since="7.0.0", flags=_READS, keys=_RO_KEYS, complexity=_COST,
    categories=_CATEGORIES, needs=Scripting,
)  # fmt: skip
def eval_ro(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Executes a read-only server-side Lua script."""
    return scripting.eval(call.session, argv, read_only=True)


@command(
    b"EVALSHA", arity=-3, group="scripting", since="2.6.0", flags=_WRITES, complexity=_COST,
    keys=[counted_keys(2, RW | ACCESS | UPDATE)], categories=_CATEGORIES, needs=Scripting,
)  # fmt: skip
def evalsha(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Executes a server-side Lua script by SHA1 digest."""
    return scripting.evalsha(call.session, argv, read_only=False)


@command(
    b"EVALSHA_RO", arity=-3, group="scripting", since="7.0.0", flags=_READS, complexity=_COST,
    keys=[counted_keys(2, RO | ACCESS)], categories=_CATEGORIES, needs=Scripting,
)  # fmt: skip
def evalsha_ro(scripting: Scripting, call: Call, argv: list[bytes]) -> bytes:
    """Executes a read-only server-side Lua script by SHA1 digest."""
    return scripting.evalsha(call.session, argv, read_only=True)


container(
    b"SCRIPT", group="scripting", since="2.6.0", summary="A container for Lua scripts management commands."
)


@command(
    b"SCRIPT|LOAD", arity=3, group="scripting", since="2.6.0", flags=NOSCRIPT | STALE, categories=_CATEGORIES,
    complexity="O(N) with N being the length in bytes of the script body.",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"), needs=Scripting,
)  # fmt: skip
def script_load(scripting: Scripting, _call: Call, argv: list[bytes]) -> bytes:
    """Loads a server-side Lua script to the script cache."""
    return bulk(scripting.load_script(argv[2]))


@command(
    b"SCRIPT|EXISTS", arity=-3, group="scripting", since="2.6.0", flags=NOSCRIPT, categories=_CATEGORIES,
    complexity="O(N) with N being the number of scripts to check (so checking a single script is an O(1) "
    "operation).",
    tips=("request_policy:all_shards", "response_policy:agg_logical_and"), needs=Scripting,
)  # fmt: skip
def script_exists(scripting: Scripting, _call: Call, argv: list[bytes]) -> bytes:
    """Determines whether server-side Lua scripts exist in the script cache."""
    return array([ONE if name in scripting.scripts.by_name else ZERO for name in argv[2:]])


@command(
    b"SCRIPT|FLUSH", arity=-2, group="scripting", since="2.6.0", flags=NOSCRIPT, categories=_CATEGORIES,
    complexity="O(N) with N being the number of scripts in cache",
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"), needs=Scripting,
)  # fmt: skip
def script_flush(scripting: Scripting, _call: Call, argv: list[bytes]) -> bytes:
    """Removes all server-side Lua scripts from the script cache."""
    if len(argv) > 3 or (len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC")):
        raise CommandError(b"ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    scripting.flush_scripts()
    return OK


def declare_kill(name: bytes, since: str, summary: str, *, wants_function: bool) -> None:
    """SCRIPT KILL, and FUNCTION KILL: the one refuses to end what the other is for."""

    def kill(scripting: Scripting, _call: Call, _argv: list[bytes]) -> bytes:
        scripting.runs.kill(wants_function)
        return OK

    kill.__doc__ = summary
    command(
        name, arity=2, group="scripting", since=since, flags=NOSCRIPT | ALLOW_BUSY, categories=_CATEGORIES,
        complexity="O(1)", needs=Scripting,
        tips=("request_policy:all_shards", "response_policy:one_succeeded"),
    )(kill)  # fmt: skip


declare_kill(
    b"SCRIPT|KILL", "2.6.0", "Terminates a server-side Lua script during execution.", wants_function=False
)


@command(
    b"SCRIPT|SHOW", arity=3, group="scripting", since="8.0.0", flags=NOSCRIPT, categories=_CATEGORIES,
    complexity="O(1).", needs=Scripting,
)  # fmt: skip
def script_show(scripting: Scripting, _call: Call, argv: list[bytes]) -> bytes:
    """Shows the text of a server-side Lua script in the script cache."""
    script = scripting.scripts.by_name.get(argv[2])
    if script is None:
        raise CommandError(b"NOSCRIPT No matching script.")
    return bulk(script.text)


@command(
    b"SCRIPT|DEBUG", arity=3, group="scripting", since="3.2.0", flags=NOSCRIPT, categories=_CATEGORIES,
    complexity="O(1)",
)  # fmt: skip
def script_debug(_call: Call, argv: list[bytes]) -> bytes:
    """Sets the debug mode of server-side Lua scripts."""
    mode = argv[2].upper()
    if mode not in (b"YES", b"SYNC", b"NO"):
        raise CommandError(b"ERR Use SCRIPT DEBUG YES/SYNC/NO")
    if mode != b"NO":
        raise CommandError(b"ERR This server has no debugger for scripts")
    return OK


@command(
    b"SCRIPT|HELP", arity=2, group="scripting", since="5.0.0", flags=LOADING | STALE, categories=_CATEGORIES,
    complexity="O(1)",
)  # fmt: skip
def script_help(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the different subcommands."""
    return help_reply(
        "SCRIPT",
        (
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode for subsequent scripts executed.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell which scripts are remembered.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all scripts.",
            "KILL",
            "    End the script that runs, unless it has written.",
            "LOAD <script>",
            "    Remember a script without running it.",
            "SHOW <sha1>",
            "    Tell the text of a script.",
        ),
    )
