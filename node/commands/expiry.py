"""Commands of the group generic about times to live.

Replicas are told the deadline that came out of a command (PEXPIREAT), or DEL when it is not in the future.
"""

from __future__ import annotations

from node.command.args import integer
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import ACCESS, FAST, READONLY, RO, RW, UPDATE, WRITE, command
from node.errors import CommandError
from node.integers import INT64_MAX, INT64_MIN
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import ONE, ZERO

GENERIC = EventClass.GENERIC
_NO_KEY = b":-2\r\n"
_NO_DEADLINE = b":-1\r\n"


@command(
    b"EXPIRE", arity=-3, group="generic", since="1.0.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def expire(call: Call, argv: list[bytes]) -> bytes:
    """Sets the time to live of a key in seconds."""
    return _expire(call, argv, 1000, call.now_ms, b"expire")


@command(
    b"PEXPIRE", arity=-3, group="generic", since="2.6.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def pexpire(call: Call, argv: list[bytes]) -> bytes:
    """Sets the time to live of a key in milliseconds."""
    return _expire(call, argv, 1, call.now_ms, b"pexpire")


@command(
    b"EXPIREAT", arity=-3, group="generic", since="1.2.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def expireat(call: Call, argv: list[bytes]) -> bytes:
    """Sets when a key expires, as Unix time in seconds."""
    return _expire(call, argv, 1000, 0, b"expireat")


@command(
    b"PEXPIREAT", arity=-3, group="generic", since="2.6.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def pexpireat(call: Call, argv: list[bytes]) -> bytes:
    """Sets when a key expires, as Unix time in milliseconds."""
    return _expire(call, argv, 1, 0, b"pexpireat")


def _expire(call: Call, argv: list[bytes], unit_ms: int, base_ms: int, title: bytes) -> bytes:
    words = _conditions(argv)
    given_ms = integer(argv[2]) * unit_ms
    deadline_ms = given_ms + base_ms
    if given_ms < INT64_MIN or deadline_ms > INT64_MAX:
        raise CommandError(b"ERR invalid expire time in '%b' command" % title)
    name, db = argv[1], call.db
    if db.peek(name, call.slot, call.now_ms) is None:
        return ZERO
    if words and not _allowed(words, db.deadline(name), deadline_ms):
        return ZERO
    if db.is_over(deadline_ms, call.now_ms):
        db.remove(name, call.slot)
        call.changed(GENERIC, b"del", name)
        call.rewrite([b"DEL", name])
        return ONE
    db.set_deadline(name, deadline_ms)
    call.changed(GENERIC, b"expire", name)
    call.rewrite([b"PEXPIREAT", name, b"%d" % deadline_ms, *argv[3:]])
    return ONE


def _conditions(argv: list[bytes]) -> set[bytes]:
    words = set()
    for argument in argv[3:]:
        word = argument.upper()
        if word not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(b"ERR Unsupported option %b" % argument)
        words.add(word)
    if b"NX" in words and len(words) > 1:
        raise CommandError(b"ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in words and b"LT" in words:
        raise CommandError(b"ERR GT and LT options at the same time are not compatible")
    return words


def _allowed(words: set[bytes], old_ms: int | None, new_ms: int) -> bool:
    """Whether a deadline may take the place of another; no deadline is later than any."""
    if old_ms is None:
        return words <= {b"NX", b"LT"}
    if b"NX" in words or (b"GT" in words and new_ms <= old_ms):
        return False
    return b"LT" not in words or new_ms < old_ms


@command(
    b"PERSIST", arity=2, group="generic", since="2.2.0", flags=WRITE | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def persist(call: Call, argv: list[bytes]) -> bytes:
    """Takes the time to live from a key."""
    name = argv[1]
    if call.db.peek(name, call.slot, call.now_ms) is None or not call.db.clear_deadline(name):
        return ZERO
    call.changed(GENERIC, b"persist", name)
    return ONE


@command(
    b"TTL", arity=2, group="generic", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(1)", categories=["keyspace"], tips=["nondeterministic_output"],
)  # fmt: skip
def ttl(call: Call, argv: list[bytes]) -> bytes:
    """Returns the time to live of a key in seconds; -1 when it has none, -2 when there is no key."""
    return _time_left(call, argv[1], 1000, call.now_ms)


@command(
    b"PTTL", arity=2, group="generic", since="2.6.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(1)", categories=["keyspace"], tips=["nondeterministic_output"],
)  # fmt: skip
def pttl(call: Call, argv: list[bytes]) -> bytes:
    """Returns the time to live of a key in milliseconds; -1 when it has none, -2 when there is no key."""
    return _time_left(call, argv[1], 1, call.now_ms)


@command(
    b"EXPIRETIME", arity=2, group="generic", since="7.0.0", flags=READONLY | FAST,
    keys=[key(1, RO | ACCESS)], complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def expiretime(call: Call, argv: list[bytes]) -> bytes:
    """Returns when a key expires, as Unix time in seconds; -1 for never, -2 when there is no key."""
    return _time_left(call, argv[1], 1000, 0)


@command(
    b"PEXPIRETIME", arity=2, group="generic", since="7.0.0", flags=READONLY | FAST,
    keys=[key(1, RO | ACCESS)], complexity="O(1)", categories=["keyspace"],
)  # fmt: skip
def pexpiretime(call: Call, argv: list[bytes]) -> bytes:
    """Returns when a key expires, as Unix time in milliseconds; -1 for never, -2 when there is no key."""
    return _time_left(call, argv[1], 1, 0)


def _time_left(call: Call, name: bytes, unit_ms: int, base_ms: int) -> bytes:
    if call.db.read(name, call.slot, call.now_ms) is None:
        return _NO_KEY
    deadline_ms = call.db.deadline(name)
    if deadline_ms is None:
        return _NO_DEADLINE
    # A whole unit is the nearest one.
    return encode.integer((max(deadline_ms - base_ms, 0) + unit_ms // 2) // unit_ms)
