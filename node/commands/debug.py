"""DEBUG: aids for those who test a server. Who may use it is told by enable-debug-command."""

from __future__ import annotations

import time

from node.command.args import NO_SUCH_KEY, SYNTAX, finite_float
from node.command.call import Call
from node.command.help import help_reply
from node.command.locality import may_use
from node.command.spec import ADMIN, LOADING, NOSCRIPT, STALE, command
from node.commands.debug_faults import HELP as FAULT_HELP
from node.commands.debug_faults import fault
from node.config.config import Config
from node.config.table import ENABLE_DEBUG_COMMAND
from node.errors import CommandError
from node.faults import Faults
from node.keyspace.database import Policy
from node.keyspace.digest import dataset_digest
from node.log import Log
from node.migration.access import MigrationAccess
from node.persistence.aof.errors import AofError
from node.persistence.aof.service import Aof
from node.persistence.rdb import LoadError
from node.persistence.reload import Reload
from node.persistence.saving import SaveError, Saving
from node.rdb.value import dump_payload
from node.resp.encode import OK, array, error, simple
from node.values.digest import ABSENT, value_digest
from node.values.kinds import encoding, type_name

_DENIED = (
    b'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it '
    b"from a local connection, otherwise you need to set this option in the configuration file, and then "
    b"restart the server."
)
_RELOAD_OPTIONS = (b"MERGE", b"NOFLUSH", b"NOSAVE")
_DUMP_FRAME_BYTES = 11  # type, version and checksum of a DUMP payload


@command(
    b"DEBUG", arity=-2, group="server", since="1.0.0", flags=ADMIN | NOSCRIPT | LOADING | STALE,
    complexity="Depends on subcommand.",
    needs=(Config, Policy, Log, MigrationAccess, Saving, Reload, Aof, Faults),
)  # fmt: skip
def debug(
    config: Config,
    policy: Policy,
    log: Log,
    moving: MigrationAccess,
    saving: Saving,
    reload: Reload,
    aof: Aof,
    faults: Faults,
    call: Call,
    argv: list[bytes],
) -> bytes:
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
    if name == b"DIGEST" and count == 2:
        return simple(dataset_digest(call.databases).hex().encode())
    if name == b"DIGEST-VALUE":
        return array([_digest(call, key) for key in argv[2:]])
    if name == b"SET-ACTIVE-EXPIRE" and count == 3:
        if argv[2] not in (b"0", b"1"):
            raise CommandError(b"ERR DEBUG SET-ACTIVE-EXPIRE takes 0 or 1")
        policy.active_expiry = argv[2] == b"1"
        return OK
    if name == b"SLOTMIGRATION" and count == 4 and argv[3] in (b"0", b"1"):
        return _slot_migration(moving, argv[2].upper(), argv[3] == b"1")
    if name == b"FAULT" and (reply := fault(faults, log, argv[2:])) is not None:
        return reply
    if name == b"ERROR" and count == 3:
        return error(argv[2])
    if name == b"LOG" and count == 3:
        log.warning(f"DEBUG LOG: {argv[2].decode('utf-8', 'backslashreplace')}")
        return OK
    if name == b"JMAP" and count == 2:
        return OK  # there is no Java heap to dump; test suites of several servers ask for it
    if name == b"RELOAD":
        return _reload(log, saving, reload, call, [word.upper() for word in argv[2:]])
    if name == b"LOADAOF" and count == 2:
        return _load_aof(aof)
    raise CommandError(
        b"ERR unknown subcommand or wrong number of arguments for '%b'. Try DEBUG HELP." % argv[1][:128]
    )


def _reload(log: Log, saving: Saving, reload: Reload, call: Call, options: list[bytes]) -> bytes:
    if any(option not in _RELOAD_OPTIONS for option in options):
        raise CommandError(b"ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    try:
        if b"NOSAVE" not in options:
            saving.save_now()
        if b"NOFLUSH" not in options:
            for database in call.databases:
                database.clear()
        reload.now(merge=b"MERGE" in options)
    except SaveError as failed:
        raise CommandError(f"ERR {failed}".encode()) from None
    except LoadError as failed:
        log.warning(str(failed))
        raise CommandError(b"ERR Error trying to load the RDB dump, check server logs.") from None
    log.notice("DB reloaded by DEBUG RELOAD")
    return OK


def _load_aof(aof: Aof) -> bytes:
    try:
        aof.reload()
    except AofError as failed:
        raise CommandError(f"ERR {failed}".encode()) from None
    return OK


def _slot_migration(moving: MigrationAccess, switch: bytes, on: bool) -> bytes:
    if switch == b"PREVENT-PAUSE":
        moving.migrations.prevent_pause = on
    elif switch == b"PREVENT-FAILOVER":
        moving.migrations.prevent_failover = on
    else:
        raise CommandError(SYNTAX)
    return OK


def _digest(call: Call, key: bytes) -> bytes:
    value = call.peek(key)
    if value is None:
        return simple(ABSENT.hex().encode())
    return simple(value_digest(value, expires=call.db.deadline(key) is not None).hex().encode())


def _object(call: Call, key: bytes) -> bytes:
    """What is told of a value: its address, its encoding, and its size in a snapshot."""
    value = call.peek(key)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    size = len(dump_payload(value)) - _DUMP_FRAME_BYTES
    text = f"Value at:{id(value):#x} refcount:1 encoding:{encoding(value).decode()} serializedlength:{size}"
    return simple(f"{text} type:{type_name(value).decode()}".encode())


_HELP = (
    "DIGEST",
    "    Tell a digest of all keys and values, by which two servers can be compared.",
    "DIGEST-VALUE [<key> ...]",
    "    Tell a digest of each value, by which those of two servers can be compared.",
    "ERROR <text>",
    "    Reply with this error.",
    *FAULT_HELP,
    "JMAP",
    "    Do nothing.",
    "LOADAOF",
    "    Empty the server and load the data again from the append-only file.",
    "LOG <message>",
    "    Write a line to the log.",
    "OBJECT <key>",
    "    Tell how a value is stored.",
    "RELOAD [NOSAVE] [NOFLUSH] [MERGE]",
    "    Save the data set, empty the server and load the data again; each of the first two steps may be",
    "    left out, and with MERGE keys of the file replace those that are there.",
    "SET-ACTIVE-EXPIRE (0|1)",
    "    Expire keys in the background (1), or only when they are touched (0).",
    "SLOTMIGRATION (PREVENT-PAUSE|PREVENT-FAILOVER) (0|1)",
    "    Keep atomic slot migrations from holding writers back, or from taking over what they were granted.",
    "SLEEP <seconds>",
    "    Stop the server for some seconds, which may be a fraction.",
)
