"""Commands of the group set on one set, and SMOVE. Those that combine sets are in `sets_algebra.py`.

What replicas are told: SPOP as the SREM of what it took, or as DEL when it took all.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from gossip.slots import key_slot
from node.command.args import WRONG_TYPE, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.spec import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    READONLY,
    RO,
    RW,
    WRITE,
    command,
)
from node.commands.access import (
    check_repeats,
    drop_if_empty,
    peek_at,
    peek_own,
    pop_count,
    random_count,
    read_own,
)
from node.commands.scan import ScanOptions, cursor_argument
from node.errors import CommandError
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, ONE, ZERO, array, bulk, bulks
from node.values.sets import Set

SET = EventClass.SET

_RNG = random.Random()
_EMPTY_SCAN = array([bulk(b"0"), EMPTY_ARRAY])
_TOLD_MEMBERS_MAX = 1024


def set_reply(call: Call, members: Iterable[bytes]) -> bytes:
    """A set of bulk strings."""
    return call.reply.set_of_bulks(list(members))


# Writing


@command(
    b"SADD", arity=-3, group="set", since="1.0.0", flags=WRITE | DENYOOM | FAST, keys=[key(1, RW | INSERT)],
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with "
    "multiple arguments.",
    categories=["set"],
)  # fmt: skip
def sadd(call: Call, argv: list[bytes]) -> bytes:
    """Adds members to a set, and creates the set when there is none; returns how many are new."""
    name, db = argv[1], call.db
    limits = db.limits
    value = db.peek(name, call.slot, call.now_ms)
    if type(value) is not Set:
        if value is not None:
            raise CommandError(WRONG_TYPE)
        value = Set.create(argv[2], len(argv) - 2, limits)
        db.put(name, call.slot, value)
    if len(argv) == 3:
        added = int(value.add(argv[2], limits))
    else:
        value.reserve(len(argv) - 2, limits)
        added = 0
        for member in argv[2:]:
            added += value.add(member, limits)
    if not added:
        return ZERO
    call.changes.log.append((SET, b"sadd", name, db.index))
    return encode.integer(added)


@command(
    b"SREM", arity=-3, group="set", since="1.0.0", flags=WRITE | FAST, keys=[key(1, RW | DELETE)],
    complexity="O(N) where N is the number of members to be removed.", categories=["set"],
)  # fmt: skip
def srem(call: Call, argv: list[bytes]) -> bytes:
    """Removes members of a set, and the set with its last member; returns how many there were."""
    name = argv[1]
    value = peek_own(call, name, Set)
    if value is None:
        return ZERO
    removed = 0
    for member in argv[2:]:
        removed += value.remove(member)
    if removed:
        call.changed(SET, b"srem", name)
        drop_if_empty(call, name, value)
    return encode.integer(removed)


@command(
    b"SMOVE", arity=4, group="set", since="1.0.0", flags=WRITE | FAST,
    keys=[key(1, RW | ACCESS | DELETE), key(2, RW | INSERT)], complexity="O(1)", categories=["set"],
)  # fmt: skip
def smove(call: Call, argv: list[bytes]) -> bytes:
    """Moves a member from one set to another."""
    _, source_name, target_name, member = argv
    source = peek_at(call, source_name, Set)
    if source is None:
        return ZERO
    target = peek_at(call, target_name, Set)
    if source is target:
        return ONE if member in source else ZERO
    if not source.remove(member):
        return ZERO
    call.changed(SET, b"srem", source_name)
    drop_if_empty(call, source_name, source)
    if target is None:
        target = Set.create(member, 1, call.db.limits)
        call.db.put(target_name, key_slot(target_name), target)
    if target.add(member, call.db.limits):
        call.changed(SET, b"sadd", target_name)
    return ONE


@command(
    b"SPOP", arity=-2, group="set", since="1.0.0", flags=WRITE | FAST, keys=[key(1, RW | ACCESS | DELETE)],
    complexity="Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
    categories=["set"], tips=["nondeterministic_output"],
)  # fmt: skip
def spop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns a random member of a set, or with a count as many."""
    name = argv[1]
    if len(argv) > 2:
        if len(argv) > 3:
            raise syntax_error()
        return _pop_many(call, name, pop_count(argv[2]))
    db = call.db
    value = db.peek(name, call.slot, call.now_ms)
    if type(value) is not Set:
        if value is None:
            return call.reply.null
        raise CommandError(WRONG_TYPE)
    member = value.pop(_RNG)
    changes, index = call.changes, db.index
    changes.log.append((SET, b"spop", name, index))
    if changes.tellers:
        changes.rewritten = [(index, [b"SREM", name, member])]
    if not value:
        drop_if_empty(call, name, value)
    return bulk(member)


def _pop_many(call: Call, name: bytes, count: int) -> bytes:
    value = peek_own(call, name, Set)
    if value is None or not count:
        return set_reply(call, [])
    members = value.pop_many(_RNG, count)
    call.changed(SET, b"spop", name)
    if drop_if_empty(call, name, value):
        call.rewrite([b"DEL", name])
    else:
        batches = range(0, len(members), _TOLD_MEMBERS_MAX)
        call.rewrite(*([b"SREM", name, *members[at : at + _TOLD_MEMBERS_MAX]] for at in batches))
    return set_reply(call, members)


# Reading


@command(
    b"SCARD", arity=2, group="set", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["set"],
)  # fmt: skip
def scard(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many members a set has."""
    value = read_own(call, argv[1], Set)
    return ZERO if value is None else encode.integer(len(value))


@command(
    b"SISMEMBER", arity=3, group="set", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["set"],
)  # fmt: skip
def sismember(call: Call, argv: list[bytes]) -> bytes:
    """Returns whether a set has a member."""
    value = read_own(call, argv[1], Set)
    return ONE if value is not None and argv[2] in value else ZERO


@command(
    b"SMISMEMBER", arity=-3, group="set", since="6.2.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the number of elements being checked for membership", categories=["set"],
)  # fmt: skip
def smismember(call: Call, argv: list[bytes]) -> bytes:
    """Returns of each of several members whether a set has it."""
    value = read_own(call, argv[1], Set)
    if value is None:
        return array([ZERO] * (len(argv) - 2))
    return array([ONE if member in value else ZERO for member in argv[2:]])


@command(
    b"SMEMBERS", arity=2, group="set", since="1.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the set cardinality.", categories=["set"],
    tips=["nondeterministic_output_order"],
)  # fmt: skip
def smembers(call: Call, argv: list[bytes]) -> bytes:
    """Returns all members of a set."""
    value = read_own(call, argv[1], Set)
    return set_reply(call, [] if value is None else value.members())


@command(
    b"SSCAN", arity=-3, group="set", since="2.8.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    categories=["set"], tips=["nondeterministic_output"],
)  # fmt: skip
def sscan(call: Call, argv: list[bytes]) -> bytes:
    """Returns some of the members of a set, and the cursor to go on with."""
    cursor = cursor_argument(argv[2])
    value = read_own(call, argv[1], Set)
    if value is None:
        return _EMPTY_SCAN
    options = ScanOptions(argv[3:])
    cursor, members = value.scan(cursor, options.count)
    if options.matches is not None:
        members = list(filter(options.matches, members))
    return array([bulk(b"%d" % cursor), bulks(members)])


@command(
    b"SRANDMEMBER", arity=-2, group="set", since="1.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed "
    "count.",
    categories=["set"], tips=["nondeterministic_output"],
)  # fmt: skip
def srandmember(call: Call, argv: list[bytes]) -> bytes:
    """Returns a random member of a set, or with a count several: different ones, any if it is negative."""
    if len(argv) == 2:
        value = read_own(call, argv[1], Set)
        return call.reply.null if value is None else bulk(value.random_member(_RNG))
    if len(argv) > 3:
        raise syntax_error()
    count = random_count(argv[2])
    value = read_own(call, argv[1], Set)
    if value is None or not count:
        return EMPTY_ARRAY
    if count > 0:
        return bulks(value.sample(_RNG, count))
    check_repeats(-count)
    return bulks(value.random_members(_RNG, -count))
