"""MODULE: commands that come from Python files. Who may load them is told by enable-module-command.

Source: https://redis.io/commands/?name=module
"""

from __future__ import annotations

from node.command.call import Call
from node.command.help import help_reply
from node.command.locality import may_use
from node.command.spec import ADMIN, LOADING, NO_ASYNC_LOADING, NOSCRIPT, STALE, command, container
from node.config.config import Config
from node.config.table import ENABLE_MODULE_COMMAND
from node.errors import CommandError
from node.modules.loader import ModuleError
from node.modules.service import Modules
from node.resp.encode import OK

_DENIED = (
    b'ERR MODULE command not allowed. If the enable-module-command option is set to "local", you can run it '
    b"from a local connection, otherwise you need to set this option in the configuration file, and then "
    b"restart the server."
)
_CHANGES = ADMIN | NOSCRIPT | NO_ASYNC_LOADING

container(b"MODULE", group="server", since="4.0.0", summary="A container for module commands.")


def _check_allowed(config: Config, call: Call) -> None:
    if not may_use(config[ENABLE_MODULE_COMMAND], call.session.address):
        raise CommandError(_DENIED)


def _load(modules: Modules, path: bytes, args: list[bytes], settings: dict[bytes, bytes]) -> bytes:
    try:
        modules.load(path, args, lambda _: settings)
    except ModuleError as wrong:
        text = str(wrong).encode("utf-8", "surrogateescape")
        raise CommandError(
            b"ERR Error loading the extension. Please check the server logs. It says: " + text
        ) from None
    return OK


@command(
    b"MODULE|LOAD", arity=-3, group="server", since="4.0.0", flags=_CHANGES, complexity="O(1)",
    needs=(Config, Modules),
)  # fmt: skip
def load(config: Config, modules: Modules, call: Call, argv: list[bytes]) -> bytes:
    """Loads a module."""
    _check_allowed(config, call)
    return _load(modules, argv[2], argv[3:], {})


@command(
    b"MODULE|LOADEX", arity=-3, group="server", since="7.0.0", flags=_CHANGES, complexity="O(1)",
    needs=(Config, Modules),
)  # fmt: skip
def loadex(config: Config, modules: Modules, call: Call, argv: list[bytes]) -> bytes:
    """Loads a module using extended parameters."""
    _check_allowed(config, call)
    settings: dict[bytes, bytes] = {}
    at = 3
    while at < len(argv) and argv[at].upper() == b"CONFIG":
        if at + 2 >= len(argv):
            raise CommandError(b"ERR Error loading the extension. CONFIG needs a name and a value")
        settings[argv[at + 1]] = argv[at + 2]
        at += 3
    if at < len(argv) and argv[at].upper() != b"ARGS":
        raise CommandError(b"ERR Error loading the extension. CONFIG or ARGS is wanted, not '%b'" % argv[at])
    return _load(modules, argv[2], argv[at + 1 :], settings)


@command(
    b"MODULE|UNLOAD", arity=3, group="server", since="4.0.0", flags=_CHANGES, complexity="O(1)",
    needs=(Config, Modules),
)  # fmt: skip
def unload(config: Config, modules: Modules, call: Call, argv: list[bytes]) -> bytes:
    """Unloads a module."""
    _check_allowed(config, call)
    try:
        modules.unload(argv[2])
    except ModuleError as refused:
        raise CommandError(b"ERR Error unloading module: " + str(refused).encode()) from None
    return OK


@command(
    b"MODULE|LIST", arity=2, group="server", since="4.0.0", flags=ADMIN | NOSCRIPT, needs=Modules,
    complexity="O(N) where N is the number of loaded modules.", tips=("nondeterministic_output_order",),
)  # fmt: skip
def list_(modules: Modules, call: Call, _argv: list[bytes]) -> bytes:
    """Returns all loaded modules."""
    return modules.listing(call.reply)


@command(b"MODULE|HELP", arity=2, group="server", since="5.0.0", flags=LOADING | STALE, complexity="O(1)")
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the different subcommands."""
    return help_reply(
        "MODULE",
        (
            "LIST",
            "    Tell which modules are loaded.",
            "LOAD <path> [<arg> ...]",
            "    Load the Python file at <path>; the arguments are for its on_load.",
            "LOADEX <path> [CONFIG <name> <value> ...] [ARGS <arg> ...]",
            "    The same, with values for the module's settings, by the names <module>.<setting>.",
            "UNLOAD <name>",
            "    Unload a module.",
        ),
    )
