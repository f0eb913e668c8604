"""MIGRATE: atomically moves keys to another server. How it is done is in node.moving.

Source: https://redis.io/commands/migrate/; the texts of errors are those of Redis 7.2.
"""

from __future__ import annotations

from node.blocking import Blocking
from node.command.args import integer, syntax_error
from node.command.call import Call
from node.command.keyspec import Index, KeyFlag, KeySpec, Keyword, Range
from node.command.session import Block
from node.command.spec import ACCESS, DELETE, RW, WRITE, command
from node.errors import CommandError
from node.moving.service import Moving, Order

DEFAULT_TIMEOUT_MS = 1000
_FLAGS = RW | ACCESS | DELETE
_SKIPPED = {b"AUTH": 1, b"AUTH2": 2}
_KEY_AND_KEYS = b"ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"


def _find_keys(argv: list[bytes]) -> list[tuple[int, KeyFlag]]:
    """The keys of both forms; none where the two are mixed, which the handler has the words for."""
    at = 6
    while at < len(argv):
        word = argv[at].upper()
        if word == b"KEYS":
            first = at + 1 if not argv[3] else len(argv)
            return [(position, _FLAGS) for position in range(first, len(argv))]
        at += 1 + _SKIPPED.get(word, 0)
    return [(3, _FLAGS)]


@command(
    b"MIGRATE", arity=-6, group="generic", since="2.6.0", flags=WRITE,
    keys=[
        KeySpec(_FLAGS, Index(3), Range()),
        KeySpec(_FLAGS | KeyFlag.INCOMPLETE, Keyword(b"KEYS", -2), Range(-1)),
    ],
    find_keys=_find_keys, categories=["keyspace", "dangerous"], tips=["nondeterministic_output"],
    needs=(Moving, Blocking),
    complexity="This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the "
    "target instance. See the pages of these commands for time complexity. Also an O(N) data transfer "
    "between the two instances is performed.",
)  # fmt: skip
def migrate(moving: Moving, blocking: Blocking, call: Call, argv: list[bytes]) -> bytes | Block:
    """Atomically transfers a key from one Redis instance to another."""
    return moving.begin(call, _order(argv), blocking.may_wait(call))


def _order(argv: list[bytes]) -> Order:
    """Raises CommandError."""
    copy = replace = False
    auth: tuple[bytes, ...] = ()
    keys = [argv[3]]
    at = 6
    while at < len(argv):
        word = argv[at].upper()
        if word == b"COPY":
            copy = True
        elif word == b"REPLACE":
            replace = True
        elif word in _SKIPPED:
            count = _SKIPPED[word]
            auth = tuple(argv[at + 1 : at + 1 + count])
            if len(auth) < count:
                raise syntax_error()
            at += count
        elif word == b"KEYS":
            if argv[3]:
                raise CommandError(_KEY_AND_KEYS)
            keys = argv[at + 1 :]
            break
        else:
            raise syntax_error()
        at += 1
    timeout_ms = integer(argv[5])
    database = integer(argv[4])
    return Order(
        host=argv[1].decode("utf-8", "surrogateescape"),
        port=_port(argv[2]),
        database=database,
        timeout_ms=timeout_ms if timeout_ms > 0 else DEFAULT_TIMEOUT_MS,
        copy=copy,
        replace=replace,
        auth=auth,
        keys=keys,
    )


def _port(text: bytes) -> int:
    """0, where nobody listens, for what is no port: MIGRATE says then that it cannot connect."""
    return int(text) if text.isdigit() and len(text) <= 5 and int(text) < 65536 else 0
