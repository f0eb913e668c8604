"""Compare and set: a key is written or deleted only while it still has the value the client has seen.

    CAS.SET key expected new [PX milliseconds]    1 when it was set, 0 when the value is another
    CAS.DEL key expected                          1 when it was deleted
    CAS.GET key                                   the value and its digest, short enough to send back
    CAS.SETD key digest new                       CAS.SET, but comparing digests of long values

WATCH needs three round trips for this, a script its text and its cache; here it is one command.

Arguments: none. The setting cas.digest-bytes (8) is how long digests are.
"""

from __future__ import annotations

from hashlib import blake2b

from node.modules.api import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    ONE,
    READONLY,
    RO,
    RW,
    SYNTAX,
    UPDATE,
    WRITE,
    ZERO,
    Call,
    CommandError,
    Commands,
    array,
    bulk,
    command,
    integer,
    key,
)

NAME = "cas"
VERSION = 1
SETTINGS = {"digest-bytes": "8"}


def on_load(args: list[bytes]) -> None:
    if args:
        raise ValueError("cas takes no arguments")
    if not 1 <= int(SETTINGS["digest-bytes"]) <= 64:
        raise ValueError("cas.digest-bytes must be between 1 and 64")


def digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=int(SETTINGS["digest-bytes"])).hexdigest().encode()


@command(
    b"CAS.SET", arity=-4, group="module", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"], needs=Commands,
)  # fmt: skip
def cas_set(commands: Commands, call: Call, argv: list[bytes]) -> bytes:
    """Sets a key to a new value if it has the expected one."""
    name, expected, new, *options = argv[1:]
    if options:
        if len(options) != 2 or options[0].upper() != b"PX":
            raise CommandError(SYNTAX)
        integer(options[1])
    if commands.call(call, b"GET", name) != expected:
        return ZERO
    commands.call(call, b"SET", name, new, *options)
    return ONE


@command(
    b"CAS.SETD", arity=4, group="module", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(N) where N is the length of the value",
    categories=["string"], needs=Commands,
)  # fmt: skip
def cas_setd(commands: Commands, call: Call, argv: list[bytes]) -> bytes:
    """Sets a key to a new value if the digest of its value is the expected one."""
    value = commands.call(call, b"GET", argv[1])
    if value is None or digest(value) != argv[2].lower():
        return ZERO
    commands.call(call, b"SET", argv[1], argv[3])
    return ONE


@command(
    b"CAS.DEL", arity=3, group="module", since="1.0.0", flags=WRITE | FAST,
    keys=[key(1, RW | ACCESS | DELETE)], complexity="O(1)", categories=["string"], needs=Commands,
)  # fmt: skip
def cas_del(commands: Commands, call: Call, argv: list[bytes]) -> bytes:
    """Deletes a key if it has the expected value."""
    if commands.call(call, b"GET", argv[1]) != argv[2]:
        return ZERO
    commands.call(call, b"DEL", argv[1])
    return ONE


@command(
    b"CAS.GET", arity=2, group="module", since="1.0.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the length of the value", categories=["string"], needs=Commands,
)  # fmt: skip
def cas_get(commands: Commands, call: Call, argv: list[bytes]) -> bytes:
    """Returns a value and its digest."""
    value = commands.call(call, b"GET", argv[1])
    if value is None:
        return call.reply.null
    return array([bulk(value), bulk(digest(value))])
