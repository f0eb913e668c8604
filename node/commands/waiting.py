"""What commands have in common that take elements from the first of several keys, and may wait for one:
BLPOP, LMPOP, BZPOPMIN, ZMPOP and their kin.

A client that waits is served as if its command ran then, but a key of another type, an error when the command
comes in, is passed over: the client goes on waiting for the others.

Source: the pages of those commands; https://redis.io/commands/blpop/ for the time-out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gossip.slots import key_slot
from node.blocking import Blocking
from node.command.args import c_float, finite_float, integer, syntax_error, within
from node.command.call import Call
from node.command.session import Block
from node.commands.access import peek_at
from node.errors import CommandError
from node.integers import INT64_MAX
from node.values.kinds import Collection

T = TypeVar("T", bound=Collection)

Take = Callable[[Call, bytes, T], bytes]
"""Takes what the command wants from the collection at a key, records it, and makes the reply."""

_OUT_OF_RANGE = b"ERR timeout is out of range"


def deadline_s(call: Call, text: bytes) -> int | None:
    """A time-out in seconds → Unix milliseconds of its end, None for 0, for ever. Raises CommandError."""
    if (c_float(text) or 0) * 1000 > INT64_MAX:
        raise CommandError(_OUT_OF_RANGE)
    seconds = finite_float(text, b"ERR timeout is not a float or out of range")
    return _deadline(call, math.ceil(max(seconds * 1000, -INT64_MAX)))


def deadline_ms(call: Call, text: bytes) -> int | None:
    """The same of a time-out in milliseconds."""
    return _deadline(call, integer(text, b"ERR timeout is not an integer or out of range"))


def _deadline(call: Call, timeout_ms: int) -> int | None:
    if timeout_ms < 0:
        raise CommandError(b"ERR timeout is negative")
    if timeout_ms > INT64_MAX - call.now_ms:
        raise CommandError(_OUT_OF_RANGE)
    return call.now_ms + timeout_ms if timeout_ms else None


@dataclass(frozen=True, slots=True)
class PopOptions:
    """Of LMPOP, ZMPOP and their blocking forms; `first` when they take from the beginning."""

    names: list[bytes]
    first: bool
    count: int


def pop_options(argv: list[bytes], numkeys_at: int, ends: Mapping[bytes, bool]) -> PopOptions:
    """What stands from the number of keys on. `ends` are the words for the two ends. Raises CommandError."""
    numkeys = within(argv[numkeys_at], 1, INT64_MAX, b"ERR numkeys should be greater than 0")
    where_at = numkeys_at + 1 + numkeys
    first = ends.get(argv[where_at].upper()) if where_at < len(argv) else None
    if first is None:
        raise syntax_error()
    words = argv[where_at + 1 :]
    count = 1
    if words:
        if len(words) < 2 or words[0].upper() != b"COUNT":
            raise syntax_error()
        count = within(words[1], 1, INT64_MAX, b"ERR count should be greater than 0")
        if len(words) > 2:
            raise syntax_error()
    return PopOptions(argv[numkeys_at + 1 : where_at], first, count)


def pop_first(call: Call, names: Sequence[bytes], kind: type[T], take: Take[T]) -> bytes | None:
    """Takes from the first of the keys that exists; None when there is none. Raises CommandError."""
    for name in names:
        value = peek_at(call, name, kind)
        if value is not None:
            return take(call, name, value)
    return None


def pop_or_wait(
    blocking: Blocking,
    call: Call,
    argv: list[bytes],
    names: Sequence[bytes],
    deadline: int | None,
    kind: type[T],
    take: Take[T],
    denied: bytes | None = None,
) -> bytes | Block:
    """Takes from the first of the keys that exists, now or when one comes to be. Raises CommandError.

    `denied` is the reply where a client must not wait, when it is not that of the time-out.
    """
    reply = pop_first(call, names, kind, take)
    if reply is not None:
        return reply

    def attempt(call: Call, name: bytes) -> bytes | None:
        value = call.db.peek(name, key_slot(name), call.now_ms)
        return take(call, name, value) if type(value) is kind else None

    null = call.reply.null_array
    if not blocking.may_wait(call):
        return null if denied is None else denied
    return blocking.wait(call, argv, names, attempt, deadline, lambda: null, kind.type_name)
