"""Commands of the group hash about times to live of fields.

Each names its fields after the word FIELDS and their number, and answers with a number for each. Fields whose
time is over are removed when a command comes upon their hash (`access.py`) and by the cron.

What replicas are told: of the fields that got a deadline HPEXPIREAT without the condition, of those removed
because their deadline is not in the future HDEL.

Source: the pages of these commands; t_hash.c of Redis 7.4, where they are since.
"""

from __future__ import annotations

from node.command.args import integer, within
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import ACCESS, DENYOOM, FAST, READONLY, RO, RW, UPDATE, WRITE, command
from node.commands.access import drop_if_empty, peek_own_hash, read_own_hash
from node.commands.hashes import HASH
from node.errors import CommandError
from node.integers import INT64_MAX
from node.resp import encode
from node.resp.encode import ONE, array
from node.values.hashes import Hash

_COMPLEXITY = "O(N) where N is the number of specified fields"
_DEADLINE_MAX_MS = (1 << 46) - 1
"""A deadline has 48 bits; the two highest are left for what may come, in Redis too."""

_NO_FIELD = b":-2\r\n"
_NO_DEADLINE = b":-1\r\n"
_CONDITION_FAILED = b":0\r\n"
_REMOVED = b":2\r\n"
_NO_FIELDS_WORD = b"ERR Mandatory argument FIELDS is missing or not at the right position"
_WRONG_NUMBER = b"ERR The `numfields` parameter must match the number of arguments"


def _fields(argv: list[bytes], at: int, not_positive: bytes) -> list[bytes]:
    """The fields named from FIELDS at index `at` on. Raises CommandError."""
    if argv[at].upper() != b"FIELDS":
        raise CommandError(_NO_FIELDS_WORD)
    count = within(argv[at + 1], 1, INT64_MAX, not_positive)
    fields = argv[at + 2 :]
    if count != len(fields):
        raise CommandError(_WRONG_NUMBER)
    return fields


# Setting


@command(
    b"HEXPIRE", arity=-6, group="hash", since="7.4.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hexpire(call: Call, argv: list[bytes]) -> bytes:
    """Sets the time to live of fields of a hash in seconds."""
    return _expire(call, argv, 1000, call.now_ms, b"hexpire")


@command(
    b"HPEXPIRE", arity=-6, group="hash", since="7.4.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hpexpire(call: Call, argv: list[bytes]) -> bytes:
    """Sets the time to live of fields of a hash in milliseconds."""
    return _expire(call, argv, 1, call.now_ms, b"hpexpire")


@command(
    b"HEXPIREAT", arity=-6, group="hash", since="7.4.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hexpireat(call: Call, argv: list[bytes]) -> bytes:
    """Sets when fields of a hash expire, as Unix time in seconds."""
    return _expire(call, argv, 1000, 0, b"hexpireat")


@command(
    b"HPEXPIREAT", arity=-6, group="hash", since="7.4.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hpexpireat(call: Call, argv: list[bytes]) -> bytes:
    """Sets when fields of a hash expire, as Unix time in milliseconds."""
    return _expire(call, argv, 1, 0, b"hpexpireat")


def _expire(call: Call, argv: list[bytes], unit_ms: int, base_ms: int, title: bytes) -> bytes:
    name = argv[1]
    value = peek_own_hash(call, name)
    deadline_ms = _deadline_ms(argv[2], unit_ms, base_ms, title)
    condition = argv[3].upper()
    if condition not in (b"NX", b"XX", b"GT", b"LT"):
        condition = b""
    not_positive = b"ERR Parameter `numFields` should be greater than 0"
    fields = _fields(argv, 4 if condition else 3, not_positive)
    if value is None:
        return array([_NO_FIELD] * len(fields))
    remove = call.db.is_over(deadline_ms, call.now_ms)
    replies, affected = [], []
    for field in fields:
        if not value.has(field):
            replies.append(_NO_FIELD)
        elif not _allowed(condition, value.deadline(field), deadline_ms):
            replies.append(_CONDITION_FAILED)
        else:
            affected.append(field)
            replies.append(_REMOVED if remove else ONE)
            if remove:
                value.delete(field)
            else:
                call.db.set_field_deadline(name, value, field, max(deadline_ms, 1))
    if affected:
        _record(call, name, value, affected, deadline_ms, remove)
    return array(replies)


def _deadline_ms(text: bytes, unit_ms: int, base_ms: int, title: bytes) -> int:
    given = integer(text)
    if given < 0:
        raise CommandError(b"ERR invalid expire time, must be >= 0")
    if given * unit_ms > _DEADLINE_MAX_MS - base_ms:
        raise CommandError(b"ERR invalid expire time in '%b' command" % title)
    return given * unit_ms + base_ms


def _allowed(condition: bytes, old_ms: int | None, new_ms: int) -> bool:
    """Whether a deadline may take the place of another; no deadline is later than any."""
    if old_ms is None:
        return condition in (b"", b"NX", b"LT")
    if condition == b"NX":
        return False
    if condition == b"GT":
        return new_ms > old_ms
    return condition != b"LT" or new_ms < old_ms


def _record(call: Call, name: bytes, value: Hash, fields: list[bytes], deadline_ms: int, gone: bool) -> None:
    if gone:
        call.changed(HASH, b"hdel", name)
        call.rewrite([b"HDEL", name, *fields])
        drop_if_empty(call, name, value)
    else:
        call.changed(HASH, b"hexpire", name)
        call.rewrite(
            [b"HPEXPIREAT", name, b"%d" % deadline_ms, b"FIELDS", b"%d" % len(fields), *fields],
        )


@command(
    b"HPERSIST", arity=-5, group="hash", since="7.4.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hpersist(call: Call, argv: list[bytes]) -> bytes:
    """Takes the time to live from fields of a hash."""
    name = argv[1]
    value = peek_own_hash(call, name)
    fields = _fields(argv, 2, b"ERR Number of fields must be a positive integer")
    if value is None:
        return array([_NO_FIELD] * len(fields))
    replies = []
    for field in fields:
        if not value.has(field):
            replies.append(_NO_FIELD)
        else:
            replies.append(ONE if value.clear_deadline(field) else _NO_DEADLINE)
    if ONE in replies:
        call.changed(HASH, b"hpersist", name)
    return array(replies)


# Asking


@command(
    b"HTTL", arity=-5, group="hash", since="7.4.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def httl(call: Call, argv: list[bytes]) -> bytes:
    """Returns the time to live of fields in seconds; -1 for none, -2 for a field that is not there."""
    return _time_left(call, argv, 1000, call.now_ms)


@command(
    b"HPTTL", arity=-5, group="hash", since="7.4.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hpttl(call: Call, argv: list[bytes]) -> bytes:
    """Returns the time to live of fields in milliseconds; -1 for none, -2 for a field that is not there."""
    return _time_left(call, argv, 1, call.now_ms)


@command(
    b"HEXPIRETIME", arity=-5, group="hash", since="7.4.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hexpiretime(call: Call, argv: list[bytes]) -> bytes:
    """Returns when fields expire, as Unix time in seconds; -1 for never, -2 for a field that is not there."""
    return _time_left(call, argv, 1000, 0)


@command(
    b"HPEXPIRETIME", arity=-5, group="hash", since="7.4.0", flags=READONLY | FAST,
    keys=[key(1, RO | ACCESS)], complexity=_COMPLEXITY, categories=["hash"],
)  # fmt: skip
def hpexpiretime(call: Call, argv: list[bytes]) -> bytes:
    """Returns when fields expire, as Unix time in milliseconds; -1 for never, -2 for no such field."""
    return _time_left(call, argv, 1, 0)


def _time_left(call: Call, argv: list[bytes], unit_ms: int, base_ms: int) -> bytes:
    value = read_own_hash(call, argv[1])
    fields = _fields(argv, 2, b"ERR Number of fields must be a positive integer")
    replies = []
    for field in fields:
        if value is None or not value.has(field, call.now_ms):
            replies.append(_NO_FIELD)
            continue
        deadline_ms = value.deadline(field)
        if deadline_ms is None:
            replies.append(_NO_DEADLINE)
        else:
            replies.append(encode.integer((deadline_ms - base_ms + unit_ms - 1) // unit_ms))
    return array(replies)
