"""Commands of the group generic that walk the keyspace."""

from __future__ import annotations

import random
import re

from node.command.args import integer, syntax_error
from node.command.call import Call
from node.command.spec import READONLY, command
from node.errors import CommandError
from node.keyspace.scan import scan as scan_database
from node.resp.encode import array, bulk, bulks
from node.values import kinds
from node.values.glob import Matcher, compile_glob

_RNG = random.Random()
_RANDOM_TRIES = 100
_CURSOR = re.compile(rb"([+-]?)([0-9]+)")
_CURSOR_END = 1 << 64


def cursor_argument(text: bytes) -> int:
    """An unsigned 64-bit cursor, read as C's strtoul does. Raises CommandError."""
    match = _CURSOR.fullmatch(text or b"0")
    value = int(match[2]) if match is not None and len(text) < 100 else _CURSOR_END
    if match is None or value >= _CURSOR_END:
        raise CommandError(b"ERR invalid cursor")
    return -value % _CURSOR_END if match[1] == b"-" else value


class ScanOptions:
    """COUNT, MATCH and, for the keyspace, TYPE, for hashes NOVALUES."""

    __slots__ = ("count", "matches", "no_values", "type_name")

    def __init__(self, words: list[bytes], with_type: bool = False, with_no_values: bool = False) -> None:
        """Raises CommandError."""
        self.count = 10
        self.matches: Matcher | None = None
        self.type_name: bytes | None = None
        self.no_values = False
        rest = iter(words)
        for word in rest:
            name = word.upper()
            if name == b"NOVALUES" and with_no_values:
                self.no_values = True
                continue
            value = next(rest, None)
            if value is None:
                raise syntax_error()
            if name == b"COUNT":
                self.count = integer(value)
                if self.count < 1:
                    raise syntax_error()
            elif name == b"MATCH":
                self.matches = None if value == b"*" else compile_glob(value)
            elif name == b"TYPE" and with_type:
                self.type_name = value.lower()
            else:
                raise syntax_error()


@command(
    b"SCAN", arity=-2, group="generic", since="2.8.0", flags=READONLY,
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    categories=["keyspace"],
    tips=["nondeterministic_output", "request_policy:special", "response_policy:special"],
)  # fmt: skip
def scan(call: Call, argv: list[bytes]) -> bytes:
    """Returns some of the keys, and the cursor to go on with."""
    cursor = cursor_argument(argv[1])
    options = ScanOptions(argv[2:], with_type=True)
    cursor, names = scan_database(call.db, cursor, options.count)
    if options.matches is not None:
        names = list(filter(options.matches, names))
    deadlines = call.db.deadlines.at
    if options.type_name is not None:
        names = [name for name in names if _type_name(call, name) == options.type_name]
    elif deadlines:
        names = [name for name in names if name not in deadlines or call.peek(name) is not None]
    return array([bulk(b"%d" % cursor), bulks(names)])


def _type_name(call: Call, name: bytes) -> bytes | None:
    value = call.read(name)
    return None if value is None else kinds.type_name(value)


@command(
    b"KEYS", arity=2, group="generic", since="1.0.0", flags=READONLY,
    complexity="O(N) with N being the number of keys in the database, under the assumption that the key "
    "names in the database and the given pattern have limited length.",
    categories=["keyspace", "dangerous"],
    tips=["request_policy:all_shards", "nondeterministic_output_order"],
)  # fmt: skip
def keys(call: Call, argv: list[bytes]) -> bytes:
    """Returns all keys that match a pattern."""
    names = call.db.keys()
    found = list(names if argv[1] == b"*" else filter(compile_glob(argv[1]), names))
    deadlines, now_ms = call.db.deadlines.at, call.now_ms
    if deadlines:
        found = [name for name in found if name not in deadlines or deadlines[name] > now_ms]
    return bulks(found)


@command(
    b"RANDOMKEY", arity=1, group="generic", since="1.0.0", flags=READONLY, complexity="O(1)",
    categories=["keyspace"],
    tips=["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
)  # fmt: skip
def randomkey(call: Call, _argv: list[bytes]) -> bytes:
    """Returns a random key."""
    name = None
    for _ in range(_RANDOM_TRIES):
        name = call.db.random_key(_RNG)
        if name is None or call.peek(name) is not None:
            break
    # A replica may hold nothing but keys that its primary has yet to expire; then this is one of them.
    return call.reply.optional(name)
