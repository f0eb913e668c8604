"""Commands of the group generic on keys whatever they hold. Times to live are in `expiry.py`, walking the
keyspace in `scan.py`, OBJECT in `objects.py`, DUMP and RESTORE in `dump.py`.
"""

from __future__ import annotations

from gossip.slots import key_slot
from node.command.args import NO_SUCH_KEY, int32, syntax_error
from node.command.call import Call
from node.command.keyspec import key, keys
from node.command.spec import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    OW,
    READONLY,
    RM,
    RO,
    RW,
    UPDATE,
    WRITE,
    command,
)
from node.config.config import Config
from node.config.table import CLUSTER_ENABLED
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.keyspace.database import Database
from node.resp import encode
from node.resp.encode import OK, ONE, ZERO
from node.values import kinds

GENERIC = EventClass.GENERIC
SAME_OBJECT = b"ERR source and destination objects are the same"
_SUMMED = ("request_policy:multi_shard", "response_policy:agg_sum")


# Removing


@command(
    b"DEL", arity=-2, group="generic", since="1.0.0", flags=WRITE, keys=[keys(1, RM | DELETE)],
    complexity="O(N) where N is the number of keys that will be removed. When a key to remove holds a value "
    "other than a string, the individual complexity for this key is O(M) where M is the number of elements "
    "in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
    categories=["keyspace"], tips=_SUMMED,
)  # fmt: skip
def del_(call: Call, argv: list[bytes]) -> bytes:
    """Removes keys; returns how many there were."""
    db, now_ms = call.db, call.now_ms
    removed = 0
    for name in argv[1:]:
        slot = key_slot(name)
        # One whose time is over expires here. A replica cannot decide that, but removes it when it is told.
        db.peek(name, slot, now_ms)
        if db.remove(name, slot) is not None:
            call.changed(GENERIC, b"del", name)
            removed += 1
    return encode.integer(removed)


@command(
    b"UNLINK", arity=-2, group="generic", since="4.0.0", flags=WRITE | FAST, keys=[keys(1, RM | DELETE)],
    complexity="O(1) for each key removed regardless of its size. Then the command does O(N) work in a "
    "different thread in order to reclaim memory, where N is the number of allocations the deleted objects "
    "where composed of.",
    categories=["keyspace"], tips=_SUMMED,
)  # fmt: skip
def unlink(call: Call, argv: list[bytes]) -> bytes:
    """Removes keys; returns how many there were."""
    return del_(call, argv)


# Looking


@command(
    b"EXISTS", arity=-2, group="generic", since="1.0.0", flags=READONLY | FAST, keys=[keys(1, RO)],
    complexity="O(N) where N is the number of keys to check.", categories=["keyspace"], tips=_SUMMED,
)  # fmt: skip
def exists(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many of the keys exist; one named twice counts twice."""
    return encode.integer(sum(call.read(name) is not None for name in argv[1:]))


@command(
    b"TOUCH", arity=-2, group="generic", since="3.2.1", flags=READONLY | FAST, keys=[keys(1, RO)],
    complexity="O(N) where N is the number of keys that will be touched.", categories=["keyspace"],
    tips=_SUMMED,
)  # fmt: skip
def touch(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many of the keys exist, and counts as an access to them."""
    return exists(call, argv)


@command(
    b"TYPE", arity=2, group="generic", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def type_(call: Call, argv: list[bytes]) -> bytes:
    """Returns the type of the value of a key."""
    value = call.db.read(argv[1], call.slot, call.now_ms)
    return encode.simple(b"none" if value is None else kinds.type_name(value))


# Moving and copying


@command(
    b"RENAME", arity=3, group="generic", since="1.0.0", flags=WRITE,
    keys=[key(1, RW | ACCESS | DELETE), key(2, OW | UPDATE)], complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def rename(call: Call, argv: list[bytes]) -> bytes:
    """Gives a key another name, in place of any key that has it."""
    _rename(call, argv[1], argv[2], replace=True)
    return OK


@command(
    b"RENAMENX", arity=3, group="generic", since="1.0.0", flags=WRITE | FAST,
    keys=[key(1, RW | ACCESS | DELETE), key(2, OW | INSERT)], complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def renamenx(call: Call, argv: list[bytes]) -> bytes:
    """Gives a key another name only when no key has it."""
    return ONE if _rename(call, argv[1], argv[2], replace=False) else ZERO


def _rename(call: Call, source: bytes, target: bytes, replace: bool) -> bool:
    if call.peek(source) is None:
        raise CommandError(NO_SUCH_KEY)
    if source == target or (call.peek(target) is not None and not replace):
        return False
    deadline_ms = call.db.deadline(source)
    call.remove(target)  # so that the key is a new one, as notifications tell it
    call.db.adopt(target, key_slot(target), call.remove(source), deadline_ms)
    call.changed(GENERIC, b"rename_from", source)
    call.changed(GENERIC, b"rename_to", target)
    return True


def _database(call: Call, text: bytes) -> Database:
    index = int32(text)
    if not 0 <= index < len(call.databases):
        raise CommandError(b"ERR DB index is out of range")
    return call.databases[index]


@command(
    b"MOVE", arity=3, group="generic", since="1.0.0", flags=WRITE | FAST, needs=Config,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def move(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Moves a key to another database, if it does not exist there."""
    if config[CLUSTER_ENABLED]:
        raise CommandError(b"ERR MOVE is not allowed in cluster mode")
    name, source, target = argv[1], call.db, _database(call, argv[2])
    if source is target:
        raise CommandError(SAME_OBJECT)
    if source.peek(name, call.slot, call.now_ms) is None:
        return ZERO
    if target.peek(name, call.slot, call.now_ms) is not None:
        return ZERO
    deadline_ms = source.deadline(name)
    target.adopt(name, call.slot, source.remove(name, call.slot), deadline_ms)
    call.changed(GENERIC, b"move_from", name)
    call.changed_in(target, GENERIC, b"move_to", name)
    return ONE


@command(
    b"COPY", arity=-3, group="generic", since="6.2.0", flags=WRITE | DENYOOM, needs=Config,
    keys=[key(1, RO | ACCESS), key(2, OW | UPDATE)],
    complexity="O(N) worst case for collections, where N is the number of nested items. O(1) for string "
    "values.",
    categories=["keyspace"],
)  # fmt: skip
def copy(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Copies the value of a key, with its time to live, to another key."""
    source, name, db = argv[1], argv[2], call.db
    target, replace = _copy_options(config, call, argv)
    if target is db and source == name:
        raise CommandError(SAME_OBJECT)
    value = call.read(source)
    if value is None:
        return ZERO
    if target.peek(name, key_slot(name), call.now_ms) is not None and not replace:
        return ZERO
    target.remove(name, key_slot(name))
    target.adopt(name, key_slot(name), kinds.copy(value), db.deadline(source))
    call.changed_in(target, GENERIC, b"copy_to", name)
    return ONE


def _copy_options(config: Config, call: Call, argv: list[bytes]) -> tuple[Database, bool]:
    """The target database, and whether a key there is replaced."""
    target, replace = call.db, False
    words = iter(argv[3:])
    for argument in words:
        word = argument.upper()
        index = next(words, None) if word == b"DB" else None
        if index is not None:
            if config[CLUSTER_ENABLED] and int32(index) > 0:
                raise CommandError(b"ERR Copying to another database is not allowed in cluster mode")
            target = _database(call, index)
        elif word == b"REPLACE":
            replace = True
        else:
            raise syntax_error()
    return target, replace
