"""BITFIELD and BITFIELD_RO: a string as integers of any width.

All arguments are checked before anything is done; then the operations run in order, on a string that has been
made long enough for all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from node.command.args import integer, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import (
    ACCESS,
    DENYOOM,
    FAST,
    READONLY,
    RO,
    RW,
    UPDATE,
    VARIABLE_FLAGS,
    WRITE,
    command,
)
from node.commands.bitmaps import bit_offset
from node.commands.strings import STRING, string_of
from node.config.config import Config
from node.errors import CommandError
from node.integers import parse_integer
from node.resp import encode
from node.resp.encode import array
from node.values import bits, strings
from node.values.bits import Field, Overflow

_BAD_TYPE = (
    b"ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
_BAD_OVERFLOW = b"ERR Invalid OVERFLOW type specified"
_ONLY_GET = b"ERR BITFIELD_RO only supports the GET subcommand"
_ARGUMENTS = {b"GET": 2, b"SET": 3, b"INCRBY": 3, b"OVERFLOW": 1}


class _Step(NamedTuple):
    """One operation: GET, SET or INCRBY; `amount` is the value or the increment."""

    word: bytes
    field: Field
    amount: int
    overflow: Overflow


@command(
    b"BITFIELD", arity=-2, group="bitmap", since="3.2.0", flags=WRITE | DENYOOM, needs=Config,
    keys=[
        key(
            1, RW | ACCESS | UPDATE | VARIABLE_FLAGS,
            "This command allows both access and modification of the key",
        )
    ],
    complexity="O(1) for each subcommand specified", categories=["bitmap"],
)  # fmt: skip
def bitfield(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Reads and changes integers of any width in a string, several in one command."""
    steps = _steps(config, call, argv)
    if all(step.word == b"GET" for step in steps):
        return _read(call, argv[1], steps)
    return _change(call, argv[1], steps)


@command(
    b"BITFIELD_RO", arity=-2, group="bitmap", since="6.0.0", flags=READONLY | FAST, needs=Config,
    keys=[key(1, RO | ACCESS)], complexity="O(1) for each subcommand specified", categories=["bitmap"],
)  # fmt: skip
def bitfield_ro(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Reads integers of any width in a string."""
    steps = _steps(config, call, argv)
    if any(step.word != b"GET" for step in steps):
        raise CommandError(_ONLY_GET)
    return _read(call, argv[1], steps)


def _steps(config: Config, call: Call, argv: list[bytes]) -> list[_Step]:
    steps = []
    overflow = Overflow.WRAP
    at = 2
    while at < len(argv):
        word = argv[at].upper()
        given = argv[at + 1 : at + 1 + _ARGUMENTS.get(word, 0)]
        if word not in _ARGUMENTS or len(given) < _ARGUMENTS[word]:
            raise syntax_error()
        at += 1 + len(given)
        if word == b"OVERFLOW":
            overflow = _overflow(given[0])
            continue
        width, signed = _type(given[0])
        field = Field(bit_offset(config, call, given[1], width), width, signed)
        amount = 0 if word == b"GET" else integer(given[2])
        steps.append(_Step(word, field, amount, overflow))
    return steps


def _overflow(word: bytes) -> Overflow:
    try:
        return Overflow(word.upper())
    except ValueError:
        raise CommandError(_BAD_OVERFLOW) from None


def _type(text: bytes) -> tuple[int, bool]:
    """`u8`, `i16` → width in bits, whether signed."""
    signed = text[:1] == b"i"
    width = parse_integer(text[1:])
    if text[:1] not in (b"i", b"u") or width is None or not 1 <= width <= (64 if signed else 63):
        raise CommandError(_BAD_TYPE)
    return width, signed


def _read(call: Call, name: bytes, steps: list[_Step]) -> bytes:
    value = string_of(call.db.read(name, call.slot, call.now_ms))
    data = b"" if value is None else strings.as_data(value)
    return array([encode.integer(bits.get_field(data, step.field)) for step in steps])


def _change(call: Call, name: bytes, steps: list[_Step]) -> bytes:
    value = string_of(call.db.peek(name, call.slot, call.now_ms))
    size = 0 if value is None else strings.length(value)
    stop = max(step.field.offset + step.field.width for step in steps if step.word != b"GET")
    buffer = strings.as_buffer(value)
    strings.grow(buffer, (stop + 7) >> 3)
    # One that has only become longer is a change as well: replicas must have it.
    has_changed = len(buffer) > size
    replies = []
    for word, field, amount, overflow in steps:
        old = bits.get_field(buffer, field)
        if word == b"GET":
            replies.append(encode.integer(old))
            continue
        if word == b"SET":
            new = bits.replaced(field, amount, overflow)
        else:
            new = bits.fitted(field, old, amount, overflow)
        if new is None:
            replies.append(call.reply.null)
            continue
        bits.set_field(buffer, field, new)
        has_changed = has_changed or new != old
        replies.append(encode.integer(old if word == b"SET" else new))
    if has_changed:
        call.db.update(name, call.slot, strings.encoded(buffer))
        call.changed(STRING, b"setbit", name)
    return array(replies)
