"""Commands of the group list that act at once. Those that may wait are in `lists_blocking.py`.

A list whose last element goes takes its key with it. What replicas are told is the command as it came, but
LMPOP, which is told as the LPOP or RPOP it came to.
"""

from __future__ import annotations

from node.command.args import NO_SUCH_KEY, NOT_INTEGER, bounded, integer, syntax_error, within
from node.command.call import Call
from node.command.keyspec import counted_keys, key
from node.command.spec import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    command,
)
from node.commands.access import drop_if_empty, peek_at, peek_own, read_own
from node.errors import CommandError
from node.integers import INT64_MAX
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, OK, ZERO, array, bulk, bulks
from node.values.lists import List

LIST = EventClass.LIST
NOT_POSITIVE = b"ERR value is out of range, must be positive"
MINUS_ONE = b":-1\r\n"
_LIST = ["list"]
_TAKEN = RW | ACCESS | DELETE
_SIDES = {b"LEFT": True, b"RIGHT": False}


def side(word: bytes) -> bool:
    """Whether LEFT is said, not RIGHT. Raises CommandError."""
    left = _SIDES.get(word.upper())
    if left is None:
        raise syntax_error()
    return left


def take(call: Call, name: bytes, value: List, left: bool) -> bytes:
    """Removes the first (last) element of the list at `name` and returns it."""
    item = value.pop_left(call.limits) if left else value.pop_right(call.limits)
    call.changed(LIST, b"lpop" if left else b"rpop", name)
    drop_if_empty(call, name, value)
    return item


def take_many(call: Call, name: bytes, value: List, left: bool, count: int) -> list[bytes]:
    """The same with up to `count` elements, in the order in which they leave."""
    items = value.pop_left_many(count, call.limits) if left else value.pop_right_many(count, call.limits)
    call.changed(LIST, b"lpop" if left else b"rpop", name)
    drop_if_empty(call, name, value)
    return items


def shift(call: Call, source: bytes, target: bytes, value: List, from_left: bool, to_left: bool) -> bytes:
    """Moves one element from the list at `source` to the one at `target` and returns it.

    Raises CommandError before anything is changed.
    """
    other = peek_at(call, target, List)
    item = value.pop_left(call.limits) if from_left else value.pop_right(call.limits)
    if other is None:
        other = List()
        _push_to(call, other, [item], to_left)
        call.put(target, other)
    else:
        _push_to(call, other, [item], to_left)
    call.changed(LIST, b"lpush" if to_left else b"rpush", target)
    call.changed(LIST, b"lpop" if from_left else b"rpop", source)
    drop_if_empty(call, source, value)
    return item


def _push_to(call: Call, value: List, items: list[bytes], left: bool) -> None:
    if left:
        value.push_left(items, call.limits)
    else:
        value.push_right(items, call.limits)


# The ends


def _push(call: Call, argv: list[bytes], left: bool, create: bool) -> bytes:
    name = argv[1]
    value = peek_own(call, name, List)
    if value is None:
        if not create:
            return ZERO
        value = List()
        _push_to(call, value, argv[2:], left)
        call.db.put(name, call.slot, value)
    else:
        _push_to(call, value, argv[2:], left)
    call.changes.log.append((LIST, b"lpush" if left else b"rpush", name, call.db.index))
    return encode.integer(len(value))


_PUSH_COMPLEXITY = (
    "O(1) for each element added, so O(N) to add N elements when the command is called with multiple "
    "arguments."
)


@command(
    b"LPUSH", arity=-3, group="list", since="1.0.0", flags=WRITE | DENYOOM | FAST, keys=[key(1, RW | INSERT)],
    complexity=_PUSH_COMPLEXITY, categories=_LIST,
)  # fmt: skip
def lpush(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements before a list, the last one first; creates the list when there is none."""
    return _push(call, argv, left=True, create=True)


@command(
    b"RPUSH", arity=-3, group="list", since="1.0.0", flags=WRITE | DENYOOM | FAST, keys=[key(1, RW | INSERT)],
    complexity=_PUSH_COMPLEXITY, categories=_LIST,
)  # fmt: skip
def rpush(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements behind a list; creates the list when there is none."""
    return _push(call, argv, left=False, create=True)


@command(
    b"LPUSHX", arity=-3, group="list", since="2.2.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | INSERT)], complexity=_PUSH_COMPLEXITY, categories=_LIST,
)  # fmt: skip
def lpushx(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements before a list only when there is one."""
    return _push(call, argv, left=True, create=False)


@command(
    b"RPUSHX", arity=-3, group="list", since="2.2.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | INSERT)], complexity=_PUSH_COMPLEXITY, categories=_LIST,
)  # fmt: skip
def rpushx(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements behind a list only when there is one."""
    return _push(call, argv, left=False, create=False)


def _pop(call: Call, argv: list[bytes], left: bool) -> bytes:
    name = argv[1]
    if len(argv) == 2:
        value = peek_own(call, name, List)
        return call.reply.null if value is None else bulk(take(call, name, value, left))
    if len(argv) > 3:
        raise CommandError(b"ERR wrong number of arguments for '%b' command" % (b"lpop" if left else b"rpop"))
    count = within(argv[2], 0, INT64_MAX, NOT_POSITIVE)
    value = peek_own(call, name, List)
    if value is None:
        return call.reply.null_array
    return bulks(take_many(call, name, value, left, count)) if count else EMPTY_ARRAY


@command(
    b"LPOP", arity=-2, group="list", since="1.0.0", flags=WRITE | FAST, keys=[key(1, _TAKEN)],
    complexity="O(N) where N is the number of elements returned", categories=_LIST,
)  # fmt: skip
def lpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns the first elements of a list."""
    return _pop(call, argv, left=True)


@command(
    b"RPOP", arity=-2, group="list", since="1.0.0", flags=WRITE | FAST, keys=[key(1, _TAKEN)],
    complexity="O(N) where N is the number of elements returned", categories=_LIST,
)  # fmt: skip
def rpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns the last elements of a list, the last one first."""
    return _pop(call, argv, left=False)


class PopOptions:
    """Of LMPOP and BLMPOP: how many keys, which end, how many elements."""

    __slots__ = ("count", "left", "names")

    def __init__(self, argv: list[bytes], numkeys_at: int) -> None:
        """Raises CommandError."""
        numkeys, words, self.count = mpop_arguments(argv, numkeys_at)
        self.names = argv[numkeys_at + 1 : numkeys_at + 1 + numkeys]
        self.left = side(words)


def mpop_arguments(argv: list[bytes], numkeys_at: int) -> tuple[int, bytes, int]:
    """Of LMPOP, ZMPOP and their blocking forms: the number of keys, the word for the end, COUNT (or 1).

    Raises CommandError.
    """
    numkeys = within(argv[numkeys_at], 1, INT64_MAX, b"ERR numkeys should be greater than 0")
    where_at = numkeys_at + numkeys + 1
    if where_at >= len(argv):
        raise syntax_error()
    return numkeys, argv[where_at], 1


@command(
    b"LMPOP", arity=-4, group="list", since="7.0.0", flags=WRITE, keys=[counted_keys(1, _TAKEN)],
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    categories=_LIST,
)  # fmt: skip
def lmpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns elements from an end of the first of several lists that has some."""
    raise NotImplementedError
