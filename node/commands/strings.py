"""Commands of the group string that store and return whole values. Values: `bytes`, or `int` when they are
an integer in canonical form, or `bytearray` when they are long and were changed in part (see
`node.values.strings`). The commands that change or compute parts are in `strings_edit.py`.

What replicas are told: a time to live always as the absolute deadline that came out of it, GETSET as SET,
GETDEL as DEL, GETEX as PEXPIREAT, PERSIST or DEL.
"""

from __future__ import annotations

from node.command.args import WRONG_TYPE, integer, syntax_error
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
    RO,
    RW,
    UPDATE,
    VARIABLE_FLAGS,
    WRITE,
    command,
)
from node.config.config import Config
from node.config.table import PROTO_MAX_BULK_LEN
from node.errors import CommandError
from node.integers import INT64_MAX, parse_integer
from node.keyspace.changes import EventClass
from node.keyspace.database import Value
from node.resp.encode import OK, ONE, ZERO, array, bulk
from node.values.strings import TYPES, String

STRING = EventClass.STRING
GENERIC = EventClass.GENERIC
_INTEGER_BYTES_MAX = 20


def stored(value: bytes) -> String:
    """A string as the keyspace keeps it."""
    if len(value) <= _INTEGER_BYTES_MAX:
        number = parse_integer(value)
        if number is not None:
            return number
    return value


def bulk_string(value: Value) -> bytes:
    """The reply for a stored string. Raises CommandError for a value of another type."""
    if type(value) is bytes:
        return bulk(value)
    if type(value) is int:
        return bulk(b"%d" % value)
    if type(value) is bytearray:
        return b"".join((b"$%d\r\n" % len(value), value, b"\r\n"))
    raise CommandError(WRONG_TYPE)


def string_of(value: Value) -> String | None:
    """A value that must be a string or None. Raises CommandError for one of another type."""
    if value is not None and type(value) not in TYPES:
        raise CommandError(WRONG_TYPE)
    string: String | None = value
    return string


def limit_bytes(config: Config, call: Call) -> int:
    """How long a string may become; what the primary has accepted is never refused."""
    return INT64_MAX if call.session.from_primary else config[PROTO_MAX_BULK_LEN]


# Options of SET and GETEX

_TTL_UNITS = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}
"""Milliseconds of a unit, and whether it counts from now."""


class _Options:
    """What stands behind the key (and value). Of the words for times to live only one may be given, and of
    NX and XX; it may be repeated.
    """

    __slots__ = ("amount", "condition", "get", "ttl")

    def __init__(self, argv: list[bytes], start: int, words: frozenset[bytes]) -> None:
        """Raises CommandError. `words` are those allowed beside EX, PX, EXAT and PXAT."""
        self.condition = b""
        self.ttl = b""
        self.amount: bytes | None = None
        self.get = False
        at = start
        while at < len(argv):
            word = argv[at].upper()
            if word in _TTL_UNITS:
                at += 1
                if at == len(argv) or self.ttl not in (b"", word):
                    raise syntax_error()
                self.ttl, self.amount = word, argv[at]
            elif word not in words:
                raise syntax_error()
            elif word == b"GET":
                self.get = True
            elif word in (b"NX", b"XX"):
                if self.condition not in (b"", word):
                    raise syntax_error()
                self.condition = word
            else:
                if self.ttl not in (b"", word):
                    raise syntax_error()
                self.ttl = word
            at += 1

    def deadline_ms(self, call: Call, title: bytes) -> int | None:
        """Unix time of the end of life, None when none is given. Raises CommandError."""
        if self.amount is None:
            return None
        unit_ms, relative = _TTL_UNITS[self.ttl]
        return _deadline_ms(call, self.amount, unit_ms, relative, title)


def _deadline_ms(call: Call, amount: bytes, unit_ms: int, relative: bool, title: bytes) -> int:
    given = integer(amount)
    deadline_ms = given * unit_ms
    if relative:
        deadline_ms += call.now_ms
    if given <= 0 or deadline_ms > INT64_MAX:
        raise CommandError(b"ERR invalid expire time in '%b' command" % title)
    return deadline_ms


# GET and SET


@command(
    b"GET", arity=2, group="string", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(1)", categories=["string"],
)  # fmt: skip
def get(call: Call, argv: list[bytes]) -> bytes:
    """Returns the string value of a key."""
    value = call.db.read(argv[1], call.slot, call.now_ms)
    if type(value) is bytes:
        return bulk(value)
    if value is None:
        return call.reply.null
    if type(value) is int:
        return bulk(b"%d" % value)
    return bulk_string(value)


@command(
    b"SET", arity=-3, group="string", since="1.0.0", flags=WRITE | DENYOOM,
    keys=[key(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS, "RW and ACCESS due to the optional `GET` argument")],
    complexity="O(1)", categories=["string"],
)  # fmt: skip
def set_(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string value of a key, ignoring its type, and creates the key when there is none."""
    if len(argv) > 3:
        return _set_with_options(call, argv)
    name = argv[1]
    call.db.put(name, call.slot, stored(argv[2]))
    call.changes.log.append((STRING, b"set", name, call.db.index))
    return OK


_SET_WORDS = frozenset((b"NX", b"XX", b"GET", b"KEEPTTL"))


def _set_with_options(call: Call, argv: list[bytes]) -> bytes:
    options = _Options(argv, 3, _SET_WORDS)
    deadline_ms = options.deadline_ms(call, b"set")
    name, slot, db = argv[1], call.slot, call.db
    reply = OK
    if options.get:
        old = db.read(name, slot, call.now_ms)
        reply = call.reply.null if old is None else bulk_string(old)
    else:
        old = db.peek(name, slot, call.now_ms)
    if options.condition and (old is None) != (options.condition == b"NX"):
        return reply if options.get else call.reply.null
    if options.ttl == b"KEEPTTL":
        db.update(name, slot, stored(argv[2]))
    else:
        db.put(name, slot, stored(argv[2]))
    call.changed(STRING, b"set", name)
    if deadline_ms is not None:
        _expire(call, name, argv[2], deadline_ms)
    elif options.get:
        call.rewrite(argv[:3] + [word for word in argv[3:] if word.upper() != b"GET"])
    return reply


def _expire(call: Call, name: bytes, value: bytes, deadline_ms: int) -> None:
    """Gives a key just set its deadline; replicas are told both in one SET."""
    call.db.set_deadline(name, deadline_ms)
    call.changed(GENERIC, b"expire", name)
    call.rewrite([b"SET", name, value, b"PXAT", b"%d" % deadline_ms])


@command(
    b"SETNX", arity=3, group="string", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, OW | INSERT)], complexity="O(1)", categories=["string"], deprecated_since="2.6.12",
    replaced_by="`SET` with the `NX` argument",
)  # fmt: skip
def setnx(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string value of a key only when the key does not exist."""
    name = argv[1]
    if call.db.peek(name, call.slot, call.now_ms) is not None:
        return ZERO
    call.db.put(name, call.slot, stored(argv[2]))
    call.changed(STRING, b"set", name)
    return ONE


@command(
    b"SETEX", arity=4, group="string", since="2.0.0", flags=WRITE | DENYOOM, keys=[key(1, OW | UPDATE)],
    complexity="O(1)", categories=["string"], deprecated_since="2.6.12",
    replaced_by="`SET` with the `EX` argument",
)  # fmt: skip
def setex(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string value of a key with its time to live in seconds."""
    return _set_with_ttl(call, argv, 1000, b"setex")


@command(
    b"PSETEX", arity=4, group="string", since="2.6.0", flags=WRITE | DENYOOM, keys=[key(1, OW | UPDATE)],
    complexity="O(1)", categories=["string"], deprecated_since="2.6.12",
    replaced_by="`SET` with the `PX` argument",
)  # fmt: skip
def psetex(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string value of a key with its time to live in milliseconds."""
    return _set_with_ttl(call, argv, 1, b"psetex")


def _set_with_ttl(call: Call, argv: list[bytes], unit_ms: int, title: bytes) -> bytes:
    _, name, ttl, value = argv
    deadline_ms = _deadline_ms(call, ttl, unit_ms, True, title)
    call.db.put(name, call.slot, stored(value))
    call.changed(STRING, b"set", name)
    _expire(call, name, value, deadline_ms)
    return OK


# GET with an effect


@command(
    b"GETSET", arity=3, group="string", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"], deprecated_since="6.2.0",
    replaced_by="`SET` with the `!GET` argument",
)  # fmt: skip
def getset(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string value of a key and returns the one it had."""
    name = argv[1]
    old = call.db.read(name, call.slot, call.now_ms)
    reply = call.reply.null if old is None else bulk_string(old)
    call.db.put(name, call.slot, stored(argv[2]))
    call.changed(STRING, b"set", name)
    call.rewrite([b"SET", name, argv[2]])
    return reply


@command(
    b"GETDEL", arity=2, group="string", since="6.2.0", flags=WRITE | FAST,
    keys=[key(1, RW | ACCESS | DELETE)], complexity="O(1)", categories=["string"],
)  # fmt: skip
def getdel(call: Call, argv: list[bytes]) -> bytes:
    """Returns the string value of a key and removes the key."""
    name = argv[1]
    old = call.db.read(name, call.slot, call.now_ms)
    if old is None:
        return call.reply.null
    reply = bulk_string(old)
    call.db.remove(name, call.slot)
    call.changed(GENERIC, b"del", name)
    call.rewrite([b"DEL", name])
    return reply


_GETEX_WORDS = frozenset((b"PERSIST",))


@command(
    b"GETEX", arity=-2, group="string", since="6.2.0", flags=WRITE | FAST,
    keys=[key(1, RW | ACCESS | UPDATE, "RW and UPDATE because it changes the TTL")],
    complexity="O(1)", categories=["string"],
)  # fmt: skip
def getex(call: Call, argv: list[bytes]) -> bytes:
    """Returns the string value of a key and sets or clears its time to live."""
    options = _Options(argv, 2, _GETEX_WORDS)
    name, db = argv[1], call.db
    value = db.read(name, call.slot, call.now_ms)
    if value is None:
        return call.reply.null
    reply = bulk_string(value)
    deadline_ms = options.deadline_ms(call, b"getex")
    if deadline_ms is not None:
        if db.is_over(deadline_ms, call.now_ms):
            db.remove(name, call.slot)
            call.changed(GENERIC, b"del", name)
            call.rewrite([b"DEL", name])
        else:
            db.set_deadline(name, deadline_ms)
            call.changed(GENERIC, b"expire", name)
            call.rewrite([b"PEXPIREAT", name, b"%d" % deadline_ms])
    elif options.ttl and db.clear_deadline(name):
        call.changed(GENERIC, b"persist", name)
        call.rewrite([b"PERSIST", name])
    return reply


# Several keys


@command(
    b"MGET", arity=-2, group="string", since="1.0.0", flags=READONLY | FAST, keys=[keys(1, RO | ACCESS)],
    complexity="O(N) where N is the number of keys to retrieve.", categories=["string"],
    tips=["request_policy:multi_shard"],
)  # fmt: skip
def mget(call: Call, argv: list[bytes]) -> bytes:
    """Returns the string values of several keys; null for a key that has none."""
    replies = []
    null = call.reply.null
    for name in argv[1:]:
        value = call.read(name)
        replies.append(bulk_string(value) if type(value) in TYPES else null)
    return array(replies)


@command(
    b"MSET", arity=-3, group="string", since="1.0.1", flags=WRITE | DENYOOM,
    keys=[keys(1, OW | UPDATE, step=2)], complexity="O(N) where N is the number of keys to set.",
    categories=["string"], tips=["request_policy:multi_shard", "response_policy:all_succeeded"],
)  # fmt: skip
def mset(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string values of several keys."""
    if not len(argv) % 2:
        raise CommandError(b"ERR wrong number of arguments for 'mset' command")
    _set_all(call, argv)
    return OK


@command(
    b"MSETNX", arity=-3, group="string", since="1.0.1", flags=WRITE | DENYOOM,
    keys=[keys(1, OW | INSERT, step=2)], complexity="O(N) where N is the number of keys to set.",
    categories=["string"],
)  # fmt: skip
def msetnx(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string values of several keys only when none of them exists."""
    if not len(argv) % 2:
        raise CommandError(b"ERR wrong number of arguments for 'msetnx' command")
    if any(call.peek(name) is not None for name in argv[1::2]):
        return ZERO
    _set_all(call, argv)
    return ONE


def _set_all(call: Call, argv: list[bytes]) -> None:
    if call.changes.notes_new and len(argv) > 3:  # each key's notifications go together
        for at in range(1, len(argv), 2):
            _set_all(call, [argv[0], *argv[at : at + 2]])
        return
    db = call.db
    names, values = argv[1::2], argv[2::2]
    db.put_all(names, [value if len(value) > _INTEGER_BYTES_MAX else stored(value) for value in values])
    index = db.index
    call.changes.log += [(STRING, b"set", name, index) for name in names]
