"""The collection at a key, for the commands of lists, sets, hashes and sorted sets: found or refused for its
type, dropped with its last element, stored in place of what there was.

Only keys of the request may be named. `own` is the key whose slot the dispatcher has worked out, the first
of the command; the functions for it are the quicker ones.
"""

from __future__ import annotations

import sys
from typing import Protocol, TypeVar

from gossip.slots import key_slot
from node.command.args import WRONG_TYPE, bounded, within
from node.command.call import Call
from node.errors import CommandError
from node.integers import INT64_MAX
from node.keyspace.changes import EventClass
from node.keyspace.database import Value
from node.values.hashes import Hash


class Elements(Protocol):
    """Any collection."""

    def __len__(self) -> int: ...


T = TypeVar("T")


def of_type(value: Value | None, kind: type[T]) -> T | None:
    """`value` itself when it is of the type, or None. Raises CommandError for one of another type."""
    if value is None or type(value) is kind:
        return value
    raise CommandError(WRONG_TYPE)


def read_own(call: Call, own: bytes, kind: type[T]) -> T | None:
    """The collection at `own` for reading, None when there is none. Raises CommandError."""
    value = call.db.read(own, call.slot, call.now_ms)
    if value is None or type(value) is kind:
        return value
    raise CommandError(WRONG_TYPE)


def peek_own(call: Call, own: bytes, kind: type[T]) -> T | None:
    """The same for a command that changes it, which is no hit and no miss."""
    value = call.db.peek(own, call.slot, call.now_ms)
    if value is None or type(value) is kind:
        return value
    raise CommandError(WRONG_TYPE)


def read_at(call: Call, name: bytes, kind: type[T]) -> T | None:
    """The collection at any key for reading. Raises CommandError."""
    return of_type(call.db.read(name, key_slot(name), call.now_ms), kind)


def peek_at(call: Call, name: bytes, kind: type[T]) -> T | None:
    """The collection at any key for changing it. Raises CommandError."""
    return of_type(call.db.peek(name, key_slot(name), call.now_ms), kind)


def drop_if_empty(call: Call, name: bytes, value: Elements) -> bool:
    """Removes the key when its collection has lost the last element; records `del`."""
    if len(value):
        return False
    call.db.remove(name, key_slot(name))
    call.changed(EventClass.GENERIC, b"del", name)
    return True


def store(call: Call, target: bytes, value: Elements, kind: EventClass, event: bytes) -> int:
    """Stores the outcome of a command at `target` in place of anything; an empty one removes the key.

    Returns how many elements it has.
    """
    slot = key_slot(target)
    if len(value):
        call.db.put(target, slot, value)
        call.changed(kind, event, target)
    else:
        call.db.peek(target, slot, call.now_ms)  # one whose time is over expires
        if call.db.remove(target, slot) is not None:
            call.changed(EventClass.GENERIC, b"del", target)
    return len(value)


# Hashes, whose fields have times to live of their own


_EXPIRED_BY_READING_MAX = 1000
"""What a command that reads spends on expired fields; the rest is hidden from it, and left to the cron."""


def live_hash(
    call: Call, name: bytes, slot: int, value: Value | None, limit: int = _EXPIRED_BY_READING_MAX
) -> Hash | None:
    """The hash `value` less the fields whose time is over, None when it had no other. Raises CommandError.

    On a primary up to `limit` of them are removed, and replicas told so. A replica keeps them until it is
    told. The methods that read a hash hide what is left of them when they get the time.
    """
    if value is None or type(value) is Hash:
        due = call.db.field_deadlines.at
        if due and name in due and due[name] <= call.now_ms:
            return None if call.db.expire_fields(name, slot, call.now_ms, limit) else value
        return value
    raise CommandError(WRONG_TYPE)


def read_own_hash(call: Call, own: bytes) -> Hash | None:
    """The hash at `own` for reading, with `call.now_ms`; None when there is none. Raises CommandError."""
    return live_hash(call, own, call.slot, call.db.read(own, call.slot, call.now_ms))


def peek_own_hash(call: Call, own: bytes) -> Hash | None:
    """The hash at `own` for changing it: nothing is left of what has expired. Raises CommandError."""
    return live_hash(call, own, call.slot, call.db.peek(own, call.slot, call.now_ms), sys.maxsize)


def read_hash_at(call: Call, name: bytes) -> Hash | None:
    """The hash at any key for a command that may store what it reads, which replicas have to read too.

    On a primary nothing is left of what has expired; replicas hide it when the hash is read with
    `call.db.fields_ms(call.now_ms)`. Raises CommandError.
    """
    slot = key_slot(name)
    return live_hash(call, name, slot, call.db.read(name, slot, call.now_ms), sys.maxsize)


# Arguments that several types' commands have

REPEATS_MAX = 10_000_000
"""The most elements that one reply repeats: a negative count of 9 * 10**18 is no reason to fall over."""

_COUNT_RANGE = b"ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
_NOT_POSITIVE = b"ERR value is out of range, must be positive"


def random_count(text: bytes) -> int:
    """The count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER; negative for repeats. Raises CommandError."""
    return bounded(text, -INT64_MAX, INT64_MAX, _COUNT_RANGE)


def check_repeats(count: int) -> None:
    """Raises CommandError for a number of repeats that no reply can hold."""
    if count > REPEATS_MAX:
        raise CommandError(b"ERR value is out of range")


def pop_count(text: bytes) -> int:
    """The count of SPOP, LPOP, ZPOPMIN and others. Raises CommandError."""
    return within(text, 0, INT64_MAX, _NOT_POSITIVE)
