"""Commands of the group list that wait for an element when there is none. See `waiting.py` for what they have
in common, `node.blocking` for how clients wait.

Replicas are told what it came to: LPOP and RPOP, LMOVE, RPOPLPUSH.
"""

from __future__ import annotations

from node.blocking import Blocking
from node.command.call import Call
from node.command.keyspec import counted_keys, key, keys
from node.command.session import Block
from node.command.spec import BLOCKING, DENYOOM, INSERT, RW, WRITE, command
from node.commands.lists import LIST_CATEGORY, SIDES, TAKEN, is_left, shift, take, take_counted
from node.commands.waiting import deadline_s, pop_options, pop_or_wait
from node.resp.encode import array, bulk
from node.values.lists import List

_FLAGS = WRITE | BLOCKING


def _pop(blocking: Blocking, call: Call, argv: list[bytes], left: bool) -> bytes | Block:
    deadline = deadline_s(call, argv[-1])

    def take_one(call: Call, name: bytes, value: List) -> bytes:
        item = take(call, name, value, left)
        call.rewrite([b"LPOP" if left else b"RPOP", name])
        return array([bulk(name), bulk(item)])

    return pop_or_wait(blocking, call, argv, argv[1:-1], deadline, List, take_one)


@command(
    b"BLPOP", arity=-3, group="list", since="2.0.0", flags=_FLAGS, keys=[keys(1, TAKEN, last=-2)],
    complexity="O(N) where N is the number of provided keys.", categories=LIST_CATEGORY, needs=Blocking,
)  # fmt: skip
def blpop(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Removes and returns the first element of the first list that has one, and waits for one."""
    return _pop(blocking, call, argv, left=True)


@command(
    b"BRPOP", arity=-3, group="list", since="2.0.0", flags=_FLAGS, keys=[keys(1, TAKEN, last=-2)],
    complexity="O(N) where N is the number of provided keys.", categories=LIST_CATEGORY, needs=Blocking,
)  # fmt: skip
def brpop(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Removes and returns the last element of the first list that has one, and waits for one."""
    return _pop(blocking, call, argv, left=False)


@command(
    b"BLMPOP", arity=-5, group="list", since="7.0.0", flags=_FLAGS, keys=[counted_keys(2, TAKEN)],
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    categories=LIST_CATEGORY, needs=Blocking,
)  # fmt: skip
def blmpop(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Removes and returns elements from an end of the first list that has some, and waits for one."""
    options = pop_options(argv, 2, SIDES)
    deadline = deadline_s(call, argv[1])

    def take_some(call: Call, name: bytes, value: List) -> bytes:
        return take_counted(call, name, value, options.first, options.count)

    return pop_or_wait(blocking, call, argv, options.names, deadline, List, take_some)


def _move(
    blocking: Blocking,
    call: Call,
    argv: list[bytes],
    from_left: bool,
    to_left: bool,
    deadline: int | None,
    told: list[bytes],
) -> bytes | Block:
    _, source, target, *_ = argv

    def move(call: Call, name: bytes, value: List) -> bytes:
        item = shift(call, name, target, value, from_left, to_left)
        call.rewrite(told)
        return bulk(item)

    return pop_or_wait(blocking, call, argv, [source], deadline, List, move, denied=call.reply.null)


@command(
    b"BLMOVE", arity=6, group="list", since="6.2.0", flags=_FLAGS | DENYOOM,
    keys=[key(1, TAKEN), key(2, RW | INSERT)], complexity="O(1)", categories=LIST_CATEGORY, needs=Blocking,
)  # fmt: skip
def blmove(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Moves an element from an end of a list to an end of another, and waits for one."""
    from_left, to_left = is_left(argv[3]), is_left(argv[4])
    deadline = deadline_s(call, argv[5])
    return _move(blocking, call, argv, from_left, to_left, deadline, [b"LMOVE", *argv[1:5]])


@command(
    b"BRPOPLPUSH", arity=4, group="list", since="2.2.0", flags=_FLAGS | DENYOOM,
    keys=[key(1, TAKEN), key(2, RW | INSERT)], complexity="O(1)", categories=LIST_CATEGORY, needs=Blocking,
    deprecated_since="6.2.0", replaced_by="`BLMOVE` with the `RIGHT` and `LEFT` arguments",
)  # fmt: skip
def brpoplpush(blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Moves the last element of a list before the first of another, and waits for one."""
    deadline = deadline_s(call, argv[3])
    return _move(blocking, call, argv, False, True, deadline, [b"RPOPLPUSH", *argv[1:3]])
