"""DEBUG: aids for those who test a server. Who may use it is told by enable-debug-command."""

from __future__ import annotations

import time

from node.command.args import NO_SUCH_KEY, finite_float
from node.command.call import Call
from node.command.help import help_reply
from node.command.locality import may_use
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command
from node.config.config import Config
from node.config.table import ENABLE_DEBUG_COMMAND
from node.errors import CommandError
from node.keyspace.database import Policy
from node.log import Log
from node.rdb.value import dump_payload
from node.resp.encode import OK, error, simple
from node.values.kinds import encoding, type_name

_DENIED = (
    b'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it '
    b"from a local connection, otherwise you need to set this option in the configuration file, and then "
    b"restart the server."
)
_NO_RELOAD = b"ERR DEBUG RELOAD needs a snapshot on disk, and this version writes none"
_DUMP_FRAME_BYTES = 11  # type, version and checksum of a DUMP payload


@command(
    b"DEBUG", arity=-2, group="server", since="1.0.0", flags=ADMIN | NOSCRIPT | LOADING | STALE,
    complexity="Depends on subcommand.", needs=(Config, Policy, Log),
)  # fmt: skip
def debug(config: Config, policy: Policy, log: Log, call: Call, argv: list[bytes]) -> bytes:
    """Looks into the server, and makes it misbehave."""
    if not may_use(config[ENABLE_DEBUG_COMMAND], call.session.address):
        raise CommandError(_DENIED)
    name, count = argv[1].upper(), len(argv)
    if name == b"HELP" and count == 2:
        return help_reply("DEBUG", _HELP)
    if name == b"SLEEP" and count == 3:
        time.sleep(max(0.0, finite_float(argv[2])))
        return OK
    if name == b"OBJECT" and count == 3:
        return _object(call, argv[2])
    if name == b"SET-ACTIVE-EXPIRE" and count == 3:
        if argv[2] not in (b"0", b"1"):
            raise CommandError(b"ERR DEBUG SET-ACTIVE-EXPIRE takes 0 or 1")
        policy.active_expiry = argv[2] == b"1"
        return OK
    if name == b"ERROR" and count == 3:
        return error(argv[2])
    if name == b"LOG" and count == 3:
        log.warning(f"DEBUG LOG: {argv[2].decode('utf-8', 'backslashreplace')}")
        return OK
    if name == b"JMAP" and count == 2:
        return OK  # there is no Java heap to dump; test suites of several servers ask for it
    if name == b"RELOAD":
        raise CommandError(_NO_RELOAD)
    raise CommandError(
        b"ERR unknown subcommand or wrong number of arguments for '%b'. Try DEBUG HELP." % argv[1][:128]
    )


def _object(call: Call, key: bytes) -> bytes:
    """What is told of a value: its address, its encoding, and its size in a snapshot."""
    value = call.peek(key)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    size = len(dump_payload(value)) - _DUMP_FRAME_BYTES
    text = f"Value at:{id(value):#x} refcount:1 encoding:{encoding(value).decode()} serializedlength:{size}"
    return simple(f"{text} type:{type_name(value).decode()}".encode())


_HELP = (
    "ERROR <text>",
    "    Reply with this error.",
    "JMAP",
    "    Do nothing.",
    "LOG <message>",
    "    Write a line to the log.",
    "OBJECT <key>",
    "    Tell how a value is stored.",
    "RELOAD",
    "    Save the data set and load it again; not possible in this version.",
    "SET-ACTIVE-EXPIRE (0|1)",
    "    Expire keys in the background (1), or only when they are touched (0).",
    "SLEEP <seconds>",
    "    Stop the server for some seconds, which may be a fraction.",
)
