"""Commands of the group sorted-set that take the entries with the least or the greatest scores, and those of
them that wait for one. See `waiting.py` for what these have in common with those of lists.

Replicas are told ZPOPMIN and ZPOPMAX of what it came to.
"""

from __future__ import annotations

from node.blocking import Blocking
from node.command.args import syntax_error
from node.command.call import Call
from node.command.keyspec import counted_keys, key, keys
from node.command.session import Block
from node.command.spec import ACCESS, BLOCKING, DELETE, FAST, RW, WRITE, command
from node.commands.access import drop_if_empty, peek_own, pop_count
from node.commands.waiting import deadline_s, pop_first, pop_options, pop_or_wait
from node.commands.zsets import ZSET, ZSET_CATEGORY, entries_reply, pairs_reply
from node.resp.encode import EMPTY_ARRAY, array, bulk
from node.values.ranking import Entry
from node.values.zsets import Zset

_ENDS = {b"MIN": True, b"MAX": False}
_TAKEN = RW | ACCESS | DELETE
_FLAGS = WRITE | BLOCKING


def _take_one(call: Call, name: bytes, value: Zset, least: bool) -> bytes:
    """Removes one entry; returns its member and score, encoded."""
    score, member = value.pop(least=least)
    call.changes.log.append((ZSET, b"zpopmin" if least else b"zpopmax", name, call.db.index))
    drop_if_empty(call, name, value)
    return bulk(member) + call.reply.double(score)


def _take(call: Call, name: bytes, value: Zset, least: bool, count: int) -> list[Entry]:
    """Removes up to `count` entries (one or more), in the order in which they leave."""
    size = len(value)
    count = min(count, size)
    taken = value.remove_slice(0, count) if least else value.remove_slice(size - count, size, reverse=True)
    call.changed(ZSET, b"zpopmin" if least else b"zpopmax", name)
    drop_if_empty(call, name, value)
    return taken


def _told(name: bytes, least: bool) -> list[bytes]:
    return [b"ZPOPMIN" if least else b"ZPOPMAX", name]


def _pop(call: Call, argv: list[bytes], least: bool) -> bytes:
    name = argv[1]
    if len(argv) == 2:
        value = peek_own(call, name, Zset)
        return EMPTY_ARRAY if value is None else b"*2\r\n" + _take_one(call, name, value, least)
    if len(argv) > 3:
        raise syntax_error()
    count = pop_count(argv[2])
    value = peek_own(call, name, Zset)
    if value is None or not count:
        return EMPTY_ARRAY
    return entries_reply(call.reply, _take(call, name, value, least, count), with_scores=True)


_POP_COMPLEXITY = (
    "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements "
    "popped."
)
_MPOP_COMPLEXITY = (
    "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted "
    "set, and M being the number of elements popped."
)
_BPOP_COMPLEXITY = "O(log(N)) with N being the number of elements in the sorted set."


@command(
    b"ZPOPMIN", arity=-2, group="sorted-set", since="5.0.0", flags=WRITE | FAST, keys=[key(1, _TAKEN)],
    complexity=_POP_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zpopmin(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns the members of a sorted set with the least scores."""
    return _pop(call, argv, least=True)


@command(
    b"ZPOPMAX", arity=-2, group="sorted-set", since="5.0.0", flags=WRITE | FAST, keys=[key(1, _TAKEN)],
    complexity=_POP_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zpopmax(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns the members of a sorted set with the greatest scores."""
    return _pop(call, argv, least=False)


def _take_counted(call: Call, name: bytes, value: Zset, least: bool, count: int) -> bytes:
    """What ZMPOP does with the first sorted set it finds; returns its reply."""
    taken = _take(call, name, value, least, count)
    call.rewrite([*_told(name, least), b"%d" % len(taken)])
    return array([bulk(name), pairs_reply(call.reply, taken)])


@command(
    b"ZMPOP", arity=-4, group="sorted-set", since="7.0.0", flags=WRITE, keys=[counted_keys(1, _TAKEN)],
    complexity=_MPOP_COMPLEXITY, categories=ZSET_CATEGORY,
)  # fmt: skip
def zmpop(call: Call, argv: list[bytes]) -> bytes:
    """Removes and returns members from an end of the first of several sorted sets that exists."""
    options = pop_options(argv, 1, _ENDS)

    def take(call: Call, name: bytes, value: Zset) -> bytes:
        return _take_counted(call, name, value, options.first, options.count)

    return pop_first(call, options.names, Zset, take) or call.reply.null_array


# With waiting


@command(
    b"BZMPOP", arity=-5, group="sorted-set", since="7.0.0", flags=_FLAGS, keys=[counted_keys(2, _TAKEN)],
    complexity=_MPOP_COMPLEXITY, categories=ZSET_CATEGORY, needs=Blocking,
)  # fmt: skip
def bzmpop(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Removes and returns members from an end of the first sorted set that exists, and waits for one."""
    options = pop_options(argv, 2, _ENDS)
    deadline = deadline_s(call, argv[1])

    def take(call: Call, name: bytes, value: Zset) -> bytes:
        return _take_counted(call, name, value, options.first, options.count)

    return pop_or_wait(blocking, call, argv, options.names, deadline, Zset, take)


def _blocking_pop(blocking: Blocking, call: Call, argv: list[bytes], least: bool) -> bytes | Block:
    deadline = deadline_s(call, argv[-1])

    def take(call: Call, name: bytes, value: Zset) -> bytes:
        entry = _take_one(call, name, value, least)
        call.rewrite(_told(name, least))
        return b"*3\r\n" + bulk(name) + entry

    return pop_or_wait(blocking, call, argv, argv[1:-1], deadline, Zset, take)


@command(
    b"BZPOPMIN", arity=-3, group="sorted-set", since="5.0.0", flags=_FLAGS | FAST,
    keys=[keys(1, _TAKEN, last=-2)], complexity=_BPOP_COMPLEXITY, categories=ZSET_CATEGORY, needs=Blocking,
)  # fmt: skip
def bzpopmin(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Removes and returns the least member of the first sorted set that exists, and waits for one."""
    return _blocking_pop(blocking, call, argv, least=True)


@command(
    b"BZPOPMAX", arity=-3, group="sorted-set", since="5.0.0", flags=_FLAGS | FAST,
    keys=[keys(1, _TAKEN, last=-2)], complexity=_BPOP_COMPLEXITY, categories=ZSET_CATEGORY, needs=Blocking,
)  # fmt: skip
def bzpopmax(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Removes and returns the greatest member of the first sorted set that exists, and waits for one."""
    return _blocking_pop(blocking, call, argv, least=False)
