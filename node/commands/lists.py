"""Commands of the group list that act at once. Those that may wait are in `lists_blocking.py`.

A list whose last element goes takes its key with it. What replicas are told is the command as it came, but
LMPOP, which is told as the LPOP or RPOP it came to.
"""

from __future__ import annotations

from gossip.slots import key_slot
from node.command.args import NO_SUCH_KEY, WRONG_TYPE, bounded, integer, syntax_error, within
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
from node.commands.access import drop_if_empty, peek_at, peek_own, pop_count, read_own
from node.commands.waiting import pop_first, pop_options
from node.errors import CommandError
from node.integers import INT64_MAX
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, OK, ZERO, array, bulk, bulks
from node.values.lists import List

LIST = EventClass.LIST
_MINUS_ONE = b":-1\r\n"
LIST_CATEGORY = ["list"]
TAKEN = RW | ACCESS | DELETE
SIDES = {b"LEFT": True, b"RIGHT": False}


def is_left(word: bytes) -> bool:
    """Whether LEFT is said, not RIGHT. Raises CommandError."""
    left = SIDES.get(word.upper())
    if left is None:
        raise syntax_error()
    return left


def take(call: Call, name: bytes, value: List, left: bool) -> bytes:
    """Removes the first (last) element of the list at `name` and returns it."""
    item = value.pop_left(call.db.limits) if left else value.pop_right(call.db.limits)
    call.changed(LIST, b"lpop" if left else b"rpop", name)
    drop_if_empty(call, name, value)
    return item


def take_many(call: Call, name: bytes, value: List, left: bool, count: int) -> list[bytes]:
    """The same with up to `count` elements (one or more), in the order in which they leave."""
    limits = call.db.limits
    items = value.pop_left_many(count, limits) if left else value.pop_right_many(count, limits)
    call.changed(LIST, b"lpop" if left else b"rpop", name)
    drop_if_empty(call, name, value)
    return items


def take_counted(call: Call, name: bytes, value: List, left: bool, count: int) -> bytes:
    """What LMPOP does with the first list it finds; returns its reply."""
    items = take_many(call, name, value, left, count)
    call.rewrite([b"LPOP" if left else b"RPOP", name, b"%d" % len(items)])
    return array([bulk(name), bulks(items)])


def shift(call: Call, source: bytes, target: bytes, value: List, from_left: bool, to_left: bool) -> bytes:
    """Moves one element from the list at `source` to the one at `target` and returns it.

    Raises CommandError before anything is changed.
    """
    db = call.db
    old = peek_at(call, target, List)
    other = List() if old is None else old
    item = value.pop_left(db.limits) if from_left else value.pop_right(db.limits)
    if to_left:
        other.push_left([item], db.limits)
    else:
        other.push_right([item], db.limits)
    if old is None:
        db.put(target, key_slot(target), other)
    call.changed(LIST, b"lpush" if to_left else b"rpush", target)
    call.changed(LIST, b"lpop" if from_left else b"rpop", source)
    drop_if_empty(call, source, value)
    return item


# The ends


def _push(call: Call, argv: list[bytes], left: bool, create: bool) -> bytes:
    name, db = argv[1], call.db
    old = db.peek(name, call.slot, call.now_ms)
    if old is None:
        if not create:
            return ZERO
        value = List()
        db.put(name, call.slot, value)
    elif type(old) is List:
        value = old
    else:
        raise CommandError(WRONG_TYPE)
    if left:
        size = value.push_left(argv[2:], db.limits)
        call.changes.log.append((LIST, b"lpush", name, db.index))
    else:
        size = value.push_right(argv[2:], db.limits)
        call.changes.log.append((LIST, b"rpush", name, db.index))
    return encode.integer(size)


_PUSH_COMPLEXITY = (
    "O(1) for each element added, so O(N) to add N elements when the command is called with multiple "
    "arguments."
)


@command(
    b"LPUSH", arity=-3, group="list", since="1.0.0", flags=WRITE | DENYOOM | FAST, keys=[key(1, RW | INSERT)],
    complexity=_PUSH_COMPLEXITY, categories=LIST_CATEGORY,
)  # fmt: skip
def lpush(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements before a list, the last one first; creates the list when there is none."""
    return _push(call, argv, left=True, create=True)


@command(
    b"RPUSH", arity=-3, group="list", since="1.0.0", flags=WRITE | DENYOOM | FAST, keys=[key(1, RW | INSERT)],
    complexity=_PUSH_COMPLEXITY, categories=LIST_CATEGORY,
)  # fmt: skip
def rpush(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements behind a list; creates the list when there is none."""
    return _push(call, argv, left=False, create=True)


@command(
    b"LPUSHX", arity=-3, group="list", since="2.2.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | INSERT)], complexity=_PUSH_COMPLEXITY, categories=LIST_CATEGORY,
)  # fmt: skip
def lpushx(call: Call, argv: list[bytes]) -> bytes:
    """Puts elements before a list only when there is one."""
    return _push(call, argv, left=True, create=False)


@command(
    b"RPUSHX", arity=-3, group="list", since="2.2.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | INSERT)], complexity=_PUSH_COMPLEXITY, categories=LIST_CATEGORY,
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
    count = pop_count(argv[2])
    value = peek_own(call, name, List)
    if value is None:
        return call.reply.null_array
    return bulks(take_many(call, name, value, left, count)) if count else EMPTY_ARRAY


@command(
    b"LPOP", arity=-2, group="list", since="1.0.0", flags=WRITE | FAST, keys=[key(1, TAKEN)],
    complexity="O(N) where N is the number of elements returned", categories=LIST_CATEGORY,
)  # fmt: skip
def lpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns the first elements of a list."""
    return _pop(call, argv, left=True)


@command(
    b"RPOP", arity=-2, group="list", since="1.0.0", flags=WRITE | FAST, keys=[key(1, TAKEN)],
    complexity="O(N) where N is the number of elements returned", categories=LIST_CATEGORY,
)  # fmt: skip
def rpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns the last elements of a list, the last one first."""
    return _pop(call, argv, left=False)


@command(
    b"LMPOP", arity=-4, group="list", since="7.0.0", flags=WRITE, keys=[counted_keys(1, TAKEN)],
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    categories=LIST_CATEGORY,
)  # fmt: skip
def lmpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns elements from an end of the first of several lists that exists."""
    options = pop_options(argv, 1, SIDES)

    def take(call: Call, name: bytes, value: List) -> bytes:
        return take_counted(call, name, value, options.first, options.count)

    return pop_first(call, options.names, List, take) or call.reply.null_array


@command(
    b"LMOVE", arity=5, group="list", since="6.2.0", flags=WRITE | DENYOOM,
    keys=[key(1, TAKEN), key(2, RW | INSERT)], complexity="O(1)", categories=LIST_CATEGORY,
)  # fmt: skip
def lmove(call: Call, argv: list[bytes]) -> bytes:
    """Moves an element from an end of a list to an end of another (or the same) and returns it."""
    return _move(call, argv, is_left(argv[3]), is_left(argv[4]))


@command(
    b"RPOPLPUSH", arity=3, group="list", since="1.2.0", flags=WRITE | DENYOOM,
    keys=[key(1, TAKEN), key(2, RW | INSERT)], complexity="O(1)", categories=LIST_CATEGORY,
    deprecated_since="6.2.0", replaced_by="`LMOVE` with the `RIGHT` and `LEFT` arguments",
)  # fmt: skip
def rpoplpush(call: Call, argv: list[bytes]) -> bytes:
    """Moves the last element of a list before the first of another (or the same) and returns it."""
    return _move(call, argv, from_left=False, to_left=True)


def _move(call: Call, argv: list[bytes], from_left: bool, to_left: bool) -> bytes:
    value = peek_own(call, argv[1], List)
    if value is None:
        return call.reply.null
    return bulk(shift(call, argv[1], argv[2], value, from_left, to_left))


# Looking


@command(
    b"LLEN", arity=2, group="list", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=LIST_CATEGORY,
)  # fmt: skip
def llen(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many elements a list has, 0 when there is none."""
    value = read_own(call, argv[1], List)
    return ZERO if value is None else encode.integer(len(value))


@command(
    b"LINDEX", arity=3, group="list", since="1.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the number of elements to traverse to get to the element at index. This "
    "makes asking for the first or the last element of the list O(1).",
    categories=LIST_CATEGORY,
)  # fmt: skip
def lindex(call: Call, argv: list[bytes]) -> bytes:
    """Returns the element of a list at an index, a negative one from its end."""
    value = read_own(call, argv[1], List)
    return call.reply.null if value is None else call.reply.optional(value.get(integer(argv[2])))


@command(
    b"LRANGE", arity=4, group="list", since="1.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end "
    "(HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
    categories=LIST_CATEGORY,
)  # fmt: skip
def lrange(call: Call, argv: list[bytes]) -> bytes:
    """Returns the elements of a list between two indices, both included, negative ones from its end."""
    first, last = integer(argv[2]), integer(argv[3])
    value = read_own(call, argv[1], List)
    return EMPTY_ARRAY if value is None else bulks(value.range(first, last))


_LPOS_RANK_ZERO = (
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to "
    b"start from the end of the list"
)
_LPOS_RANK = b"ERR value is out of range, value must between %d and %d" % (-INT64_MAX, INT64_MAX)


@command(
    b"LPOS", arity=-3, group="list", since="6.0.6", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the number of elements in the list, for the average case. When searching for "
    "elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may "
    "run in constant time.",
    categories=LIST_CATEGORY,
)  # fmt: skip
def lpos(call: Call, argv: list[bytes]) -> bytes:
    """Returns the indices of elements of a list that equal a given one."""
    rank, count, maxlen = _lpos_options(argv)
    value = read_own(call, argv[1], List)
    found: list[int] = []
    if value is not None:
        found = value.positions(argv[2], rank, 1 if count is None else count, maxlen)
    if count is not None:
        return array([encode.integer(index) for index in found])
    return encode.integer(found[0]) if found else call.reply.null


def _lpos_options(argv: list[bytes]) -> tuple[int, int | None, int]:
    """RANK, COUNT (None when it is not given) and MAXLEN."""
    rank, count, maxlen = 1, None, 0
    rest = iter(argv[3:])
    for argument in rest:
        word, value = argument.upper(), next(rest, None)
        if value is None:
            raise syntax_error()
        if word == b"RANK":
            rank = bounded(value, -INT64_MAX, INT64_MAX, _LPOS_RANK)
            if not rank:
                raise CommandError(_LPOS_RANK_ZERO)
        elif word == b"COUNT":
            count = within(value, 0, INT64_MAX, b"ERR COUNT can't be negative")
        elif word == b"MAXLEN":
            maxlen = within(value, 0, INT64_MAX, b"ERR MAXLEN can't be negative")
        else:
            raise syntax_error()
    return rank, count, maxlen


# Changing the inside


@command(
    b"LSET", arity=4, group="list", since="1.0.0", flags=WRITE | DENYOOM, keys=[key(1, RW | UPDATE)],
    complexity="O(N) where N is the length of the list. Setting either the first or the last element of the "
    "list is O(1).",
    categories=LIST_CATEGORY,
)  # fmt: skip
def lset(call: Call, argv: list[bytes]) -> bytes:
    """Replaces the element of a list at an index."""
    value = peek_own(call, argv[1], List)
    if value is None:
        raise CommandError(NO_SUCH_KEY)
    if not value.set(integer(argv[2]), argv[3], call.db.limits):
        raise CommandError(b"ERR index out of range")
    call.changed(LIST, b"lset", argv[1])
    return OK


@command(
    b"LINSERT", arity=5, group="list", since="2.2.0", flags=WRITE | DENYOOM, keys=[key(1, RW | INSERT)],
    complexity="O(N) where N is the number of elements to traverse before seeing the value pivot. This means "
    "that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting "
    "somewhere on the right end (tail) is O(N).",
    categories=LIST_CATEGORY,
)  # fmt: skip
def linsert(call: Call, argv: list[bytes]) -> bytes:
    """Puts an element before or after the first one that equals a given one; returns the length, or -1."""
    where = argv[2].upper()
    if where not in (b"BEFORE", b"AFTER"):
        raise syntax_error()
    value = peek_own(call, argv[1], List)
    if value is None:
        return ZERO
    if not value.insert(argv[3], argv[4], call.db.limits, after=where == b"AFTER"):
        return _MINUS_ONE
    call.changed(LIST, b"linsert", argv[1])
    return encode.integer(len(value))


@command(
    b"LREM", arity=4, group="list", since="1.0.0", flags=WRITE, keys=[key(1, RW | DELETE)],
    complexity="O(N+M) where N is the length of the list and M is the number of elements removed.",
    categories=LIST_CATEGORY,
)  # fmt: skip
def lrem(call: Call, argv: list[bytes]) -> bytes:
    """Removes elements that equal a given one: so many of the first, the last (negative), or all (0)."""
    count = integer(argv[2])
    value = peek_own(call, argv[1], List)
    removed = 0 if value is None else value.remove(argv[3], count, call.db.limits)
    if value is not None and removed:
        call.changed(LIST, b"lrem", argv[1])
        drop_if_empty(call, argv[1], value)
    return encode.integer(removed)


@command(
    b"LTRIM", arity=4, group="list", since="1.0.0", flags=WRITE, keys=[key(1, RW | DELETE)],
    complexity="O(N) where N is the number of elements to be removed by the operation.",
    categories=LIST_CATEGORY,
)  # fmt: skip
def ltrim(call: Call, argv: list[bytes]) -> bytes:
    """Removes all elements but those between two indices, both included."""
    first, last = integer(argv[2]), integer(argv[3])
    value = peek_own(call, argv[1], List)
    if value is None:
        return OK
    removed = value.trim(first, last, call.db.limits)
    call.changed(LIST, b"ltrim", argv[1])
    if removed:
        drop_if_empty(call, argv[1], value)
    else:
        call.rewrite()  # watchers are told, replicas have nothing to do
    return OK
