"""Commands of the group set that combine sets: intersection, union and difference, returned, stored or
counted.

An intersection begins with the smallest set and asks the others for its members, so it costs as much as that
one. A difference asks the other sets for each member of the first, or takes the others' members away from it,
whichever is less work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from node.command.args import syntax_error, within
from node.command.call import Call
from node.command.keyspec import counted_keys, key, keys
from node.command.spec import ACCESS, DENYOOM, OW, READONLY, RO, UPDATE, WRITE, command
from node.commands.access import read_at, store
from node.commands.sets import SET, set_reply
from node.errors import CommandError
from node.integers import INT64_MAX
from node.resp import encode
from node.values.sets import Set

Combine = Callable[[list[Set | None]], Collection[bytes]]
"""Members, each once, of several sets taken together."""

_INTERSECTION_COMPLEXITY = (
    "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets."
)
_TOTAL_COMPLEXITY = "O(N) where N is the total number of elements in all given sets."
_IN_ANY_ORDER = ("nondeterministic_output_order",)


def _sets(call: Call, names: Iterable[bytes]) -> list[Set | None]:
    """The sets at keys, None where there is none. Raises CommandError."""
    return [read_at(call, name, Set) for name in names]


def _intersection(sets: list[Set | None]) -> Collection[bytes]:
    there = [value for value in sets if value is not None]
    if len(there) < len(sets):
        return []
    smallest, *others = sorted(there, key=len)
    found = smallest.members()
    for other in others:
        if other is not smallest:
            found = [member for member in found if member in other]
    return found


def _intersection_size(sets: list[Set | None], limit: int) -> int:
    """How many members are in all the sets; counts up to `limit` unless that is 0."""
    there = [value for value in sets if value is not None]
    if len(there) < len(sets):
        return 0
    smallest, *others = sorted(there, key=len)
    count = 0
    for member in smallest:
        if all(member in other for other in others):
            count += 1
            if count == limit:
                break
    return count


def _union(sets: list[Set | None]) -> Collection[bytes]:
    found: dict[bytes, None] = {}
    for value in sets:
        if value is not None:
            found.update(dict.fromkeys(value))
    return found


def _difference(sets: list[Set | None]) -> Collection[bytes]:
    first = sets[0]
    others = [value for value in sets[1:] if value is not None]
    if first is None or any(other is first for other in others):
        return []
    found = first.members()
    others.sort(key=len, reverse=True)
    # Redis's own estimate: asking about a member stops at the first set that has it, so it costs half.
    if len(first) * (len(others) + 1) // 2 <= len(first) + sum(map(len, others)):
        for other in others:
            found = [member for member in found if member not in other]
        return found
    left = dict.fromkeys(found)
    for other in others:
        for member in other:
            left.pop(member, None)
    return left


def _store(call: Call, argv: list[bytes], combine: Combine, event: bytes) -> bytes:
    members = combine(_sets(call, argv[2:]))
    value = Set.from_members(members, call.db.limits)
    return encode.integer(store(call, argv[1], value, SET, event))


@command(
    b"SINTER", arity=-2, group="set", since="1.0.0", flags=READONLY, keys=[keys(1, RO | ACCESS)],
    complexity=_INTERSECTION_COMPLEXITY, categories=["set"], tips=_IN_ANY_ORDER,
)  # fmt: skip
def sinter(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members that several sets have in common."""
    return set_reply(call, _intersection(_sets(call, argv[1:])))


@command(
    b"SUNION", arity=-2, group="set", since="1.0.0", flags=READONLY, keys=[keys(1, RO | ACCESS)],
    complexity=_TOTAL_COMPLEXITY, categories=["set"], tips=_IN_ANY_ORDER,
)  # fmt: skip
def sunion(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members that any of several sets has."""
    return set_reply(call, _union(_sets(call, argv[1:])))


@command(
    b"SDIFF", arity=-2, group="set", since="1.0.0", flags=READONLY, keys=[keys(1, RO | ACCESS)],
    complexity=_TOTAL_COMPLEXITY, categories=["set"], tips=_IN_ANY_ORDER,
)  # fmt: skip
def sdiff(call: Call, argv: list[bytes]) -> bytes:
    """Returns the members of the first set that none of the others has."""
    return set_reply(call, _difference(_sets(call, argv[1:])))


@command(
    b"SINTERSTORE", arity=-3, group="set", since="1.0.0", flags=WRITE | DENYOOM,
    keys=[key(1, OW | UPDATE), keys(2, RO | ACCESS)], complexity=_INTERSECTION_COMPLEXITY,
    categories=["set"],
)  # fmt: skip
def sinterstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores the members that several sets have in common; returns how many."""
    return _store(call, argv, _intersection, b"sinterstore")


@command(
    b"SUNIONSTORE", arity=-3, group="set", since="1.0.0", flags=WRITE | DENYOOM,
    keys=[key(1, OW | UPDATE), keys(2, RO | ACCESS)], complexity=_TOTAL_COMPLEXITY, categories=["set"],
)  # fmt: skip
def sunionstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores the members that any of several sets has; returns how many."""
    return _store(call, argv, _union, b"sunionstore")


@command(
    b"SDIFFSTORE", arity=-3, group="set", since="1.0.0", flags=WRITE | DENYOOM,
    keys=[key(1, OW | UPDATE), keys(2, RO | ACCESS)], complexity=_TOTAL_COMPLEXITY, categories=["set"],
)  # fmt: skip
def sdiffstore(call: Call, argv: list[bytes]) -> bytes:
    """Stores the members of the first set that none of the others has; returns how many."""
    return _store(call, argv, _difference, b"sdiffstore")


@command(
    b"SINTERCARD", arity=-3, group="set", since="7.0.0", flags=READONLY, keys=[counted_keys(1, RO | ACCESS)],
    complexity=_INTERSECTION_COMPLEXITY, categories=["set"],
)  # fmt: skip
def sintercard(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members several sets have in common, counted up to a limit if one is given."""
    count = within(argv[1], 1, INT64_MAX, b"ERR numkeys should be greater than 0")
    if count > len(argv) - 2:
        raise CommandError(b"ERR Number of keys can't be greater than number of args")
    limit = 0
    words = iter(argv[2 + count :])
    for word in words:
        amount = next(words, None)
        if word.upper() != b"LIMIT" or amount is None:
            raise syntax_error()
        limit = within(amount, 0, INT64_MAX, b"ERR LIMIT can't be negative")
    return encode.integer(_intersection_size(_sets(call, argv[2 : 2 + count]), limit))
