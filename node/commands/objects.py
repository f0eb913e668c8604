"""OBJECT: what is inside a key."""

from __future__ import annotations

from node.command.call import Call
from node.command.help import help_reply
from node.command.keyspec import key
from node.command.spec import LOADING, READONLY, RO, STALE, command, container
from node.config.config import Config
from node.config.table import MAXMEMORY, MAXMEMORY_POLICY
from node.errors import CommandError
from node.observe.access import Accesses
from node.resp import encode
from node.resp.encode import ONE, bulk
from node.values import kinds

_SHARED = b":2147483647\r\n"
_ADJUST = (
    b"Please note that when switching between policies at runtime LRU and LFU data will take some time to "
    b"adjust."
)
_IS_LFU = b"ERR An LFU maxmemory policy is selected, idle time not tracked. " + _ADJUST
_IS_NOT_LFU = b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. " + _ADJUST

container(b"OBJECT", group="generic", since="2.2.3", summary="Commands that look inside of keys.")


@command(
    b"OBJECT|ENCODING", arity=3, group="generic", since="2.2.3", flags=READONLY, keys=[key(2, RO)],
    complexity="O(1)", categories=["keyspace"], tips=["nondeterministic_output"],
)  # fmt: skip
def encoding(call: Call, argv: list[bytes]) -> bytes:
    """Returns how the value of a key is stored."""
    value = call.inspect(argv[2])
    return call.reply.null if value is None else bulk(kinds.encoding(value))


@command(
    b"OBJECT|REFCOUNT", arity=3, group="generic", since="2.2.3", flags=READONLY, keys=[key(2, RO)],
    complexity="O(1)", categories=["keyspace"], tips=["nondeterministic_output"], needs=Config,
)  # fmt: skip
def refcount(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Returns how many own the value of a key: one, or all the world for small integers."""
    value = call.inspect(argv[2])
    if value is None:
        return call.reply.null
    # Where each key needs an access time of its own, Redis shares nothing.
    tracked = config[MAXMEMORY] and config[MAXMEMORY_POLICY].endswith(("lru", "lfu"))
    is_shared = isinstance(value, int) and 0 <= value < kinds.SHARED_INTEGERS and not tracked
    return _SHARED if is_shared else ONE


@command(
    b"OBJECT|IDLETIME", arity=3, group="generic", since="2.2.3", flags=READONLY, keys=[key(2, RO)],
    complexity="O(1)", categories=["keyspace"], tips=["nondeterministic_output"], needs=Accesses,
)  # fmt: skip
def idletime(accesses: Accesses, call: Call, argv: list[bytes]) -> bytes:
    """Returns for how many seconds a key has not been used, as far as this has been observed."""
    if call.inspect(argv[2]) is None:
        return call.reply.null
    idle_s = accesses.idle_s(call, argv[2])
    if idle_s is None:
        raise CommandError(_IS_LFU)
    return encode.integer(idle_s)


@command(
    b"OBJECT|FREQ", arity=3, group="generic", since="4.0.0", flags=READONLY, keys=[key(2, RO)],
    complexity="O(1)", categories=["keyspace"], tips=["nondeterministic_output"], needs=Accesses,
)  # fmt: skip
def freq(accesses: Accesses, call: Call, argv: list[bytes]) -> bytes:
    """Returns a measure, logarithmic and fading with time, of how often a key is used."""
    if call.inspect(argv[2]) is None:
        return call.reply.null
    frequency = accesses.frequency(call, argv[2])
    if frequency is None:
        raise CommandError(_IS_NOT_LFU)
    return encode.integer(frequency)


@command(
    b"OBJECT|HELP", arity=2, group="generic", since="6.2.0", flags=LOADING | STALE, complexity="O(1)",
    categories=["keyspace"],
)  # fmt: skip
def help_(_call: Call, _argv: list[bytes]) -> bytes:
    """Returns helpful text about the subcommands."""
    return help_reply(
        "OBJECT",
        (
            "ENCODING <key>",
            "    Return how the value of a key is stored.",
            "FREQ <key>",
            "    Return how often a key is used, on a logarithmic scale (LFU policies only).",
            "IDLETIME <key>",
            "    Return for how many seconds a key has not been used (not with LFU policies).",
            "REFCOUNT <key>",
            "    Return how many references there are to the value of a key.",
        ),
    )
