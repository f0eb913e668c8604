"""Commands of the group string. Values: `bytes`, or `int` when they are an integer in canonical form."""

from __future__ import annotations

from node.command.args import SYNTAX, WRONG_TYPE
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import ACCESS, DENYOOM, FAST, READONLY, RO, RW, UPDATE, VARIABLE_FLAGS, WRITE, command
from node.errors import CommandError
from node.integers import parse_integer
from node.keyspace.changes import EventClass
from node.resp.encode import OK, bulk

STRING = EventClass.STRING


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
    raise CommandError(WRONG_TYPE)


def stored(value: bytes) -> bytes | int:
    """A string as the keyspace keeps it."""
    if len(value) <= 20:
        number = parse_integer(value)
        if number is not None:
            return number
    return value


@command(
    b"SET", arity=-3, group="string", since="1.0.0", flags=WRITE | DENYOOM,
    keys=[key(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS, "RW and ACCESS due to the optional `GET` argument")],
    complexity="O(1)", categories=["string"],
)  # fmt: skip
def set_(call: Call, argv: list[bytes]) -> bytes:
    """Sets the string value of a key, ignoring its type, and creates the key when there is none."""
    if len(argv) > 3:
        raise CommandError(SYNTAX)
    name = argv[1]
    call.db.put(name, call.slot, stored(argv[2]))
    call.changes.log.append((STRING, b"set", name, call.db.index))
    return OK
