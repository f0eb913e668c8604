"""DUMP and RESTORE: values as bytes, in the format of RDB files."""

from __future__ import annotations

from collections.abc import Iterator

from node.blocking import Blocking
from node.command.args import integer, syntax_error
from node.command.call import Call
from node.command.keyspec import key
from node.command.session import Block
from node.command.spec import ACCESS, ASKING, DENYOOM, OW, READONLY, RO, UPDATE, WRITE, command
from node.config.config import Config
from node.config.table import RDBCOMPRESSION
from node.errors import CommandError
from node.integers import INT64_MAX
from node.keyspace.changes import EventClass
from node.moving.loads import Loads
from node.observe.access import Accesses
from node.rdb.errors import DumpFooterError, RdbError
from node.rdb.value import Value, dump_payload
from node.resp.encode import OK, bulk

GENERIC = EventClass.GENERIC
BUSY_KEY = b"BUSYKEY Target key name already exists."
_INVALID_TTL = b"ERR Invalid TTL value, must be >= 0"


@command(
    b"DUMP", arity=2, group="generic", since="2.6.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    needs=Config, categories=["keyspace"], tips=["nondeterministic_output"],
    complexity="O(1) to access the key and additional O(N*M) to serialize it, where N is the number of "
    "objects composing the value and M their average size. For small string values the time complexity is "
    "thus O(1)+O(1*M) where M is small, so simply O(1).",
)  # fmt: skip
def dump(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Returns the value of a key in the form that RESTORE takes."""
    value = call.db.read(argv[1], call.slot, call.now_ms)
    if value is None:
        return call.reply.null
    return bulk(dump_payload(value, compress=config[RDBCOMPRESSION]))


def _next(words: Iterator[bytes]) -> bytes:
    word = next(words, None)
    if word is None:
        raise syntax_error()
    return word


class _Options:
    """What stands behind the payload."""

    __slots__ = ("absttl", "frequency", "idle_s", "replace")

    def __init__(self, argv: list[bytes]) -> None:
        """Raises CommandError."""
        self.replace = self.absttl = False
        self.idle_s: int | None = None
        self.frequency: int | None = None
        words = iter(argv[4:])
        for argument in words:
            word = argument.upper()
            if word == b"REPLACE":
                self.replace = True
            elif word == b"ABSTTL":
                self.absttl = True
            elif word == b"IDLETIME" and self.frequency is None:
                self.idle_s = integer(_next(words))
                if self.idle_s < 0:
                    raise CommandError(b"ERR Invalid IDLETIME value, must be >= 0")
            elif word == b"FREQ" and self.idle_s is None:
                self.frequency = integer(_next(words))
                if not 0 <= self.frequency <= 255:
                    raise CommandError(b"ERR Invalid FREQ value, must be >= 0 and <= 255")
            else:
                raise syntax_error()


_COMPLEXITY = (
    "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where "
    "N is the number of objects composing the value and M their average size. For small string values the "
    "time complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values "
    "the complexity is O(N*M*log(N)) because inserting values into sorted sets is O(log(N))."
)


@command(
    b"RESTORE", arity=-4, group="generic", since="2.6.0", flags=WRITE | DENYOOM,
    keys=[key(1, OW | UPDATE)], categories=["keyspace", "dangerous"], complexity=_COMPLEXITY,
    needs=(Accesses, Loads, Blocking), waits=True,
)  # fmt: skip
def restore(
    accesses: Accesses, loads: Loads, blocking: Blocking, call: Call, argv: list[bytes]
) -> bytes | Block:
    """Creates a key of a value that DUMP has returned."""
    return _restore(accesses, loads, call, argv, may_wait=blocking.may_wait(call))


@command(
    b"RESTORE-ASKING", arity=-4, group="server", since="3.0.0", flags=WRITE | DENYOOM | ASKING,
    keys=[key(1, OW | UPDATE)], categories=["keyspace", "dangerous"], complexity=_COMPLEXITY,
    needs=(Accesses, Loads, Blocking), waits=True,
)  # fmt: skip
def restore_asking(
    accesses: Accesses, loads: Loads, blocking: Blocking, call: Call, argv: list[bytes]
) -> bytes | Block:
    """An internal command for migrating keys in a cluster."""
    return _restore(accesses, loads, call, argv, may_wait=blocking.may_wait(call))


def _restore(
    accesses: Accesses, loads: Loads, call: Call, argv: list[bytes], *, may_wait: bool
) -> bytes | Block:
    options = _Options(argv)
    _, name, ttl, payload, *words = argv
    db = call.db
    existing = db.peek(name, call.slot, call.now_ms) is not None
    if existing and not options.replace:
        raise CommandError(BUSY_KEY)
    deadline_ms = _deadline_ms(call, integer(ttl), options.absttl)
    value = _load(loads, call, payload, may_wait)
    if isinstance(value, Block):
        return value
    if deadline_ms and db.is_over(deadline_ms, call.now_ms):
        if existing:
            db.remove(name, call.slot)
            call.changed(GENERIC, b"del", name)
            call.rewrite([b"DEL", name])
        return OK
    db.adopt(name, call.slot, value, deadline_ms or None)
    call.changed(GENERIC, b"restore", name)
    if deadline_ms and not options.absttl:
        call.rewrite([argv[0], name, b"%d" % deadline_ms, payload, *words, b"ABSTTL"])
    accesses.restore(call, name, options.idle_s, options.frequency)
    return OK


def _deadline_ms(call: Call, ttl_ms: int, absolute: bool) -> int:
    """Unix time of the end of life, 0 for none."""
    deadline_ms = ttl_ms if absolute or not ttl_ms else ttl_ms + call.now_ms
    if ttl_ms < 0 or deadline_ms > INT64_MAX:
        raise CommandError(_INVALID_TTL)
    return deadline_ms


def _load(loads: Loads, call: Call, payload: bytes, may_wait: bool) -> Value | Block:
    try:
        return loads.load(call, payload, may_wait)
    except DumpFooterError:
        raise CommandError(b"ERR DUMP payload version or checksum are wrong") from None
    except RdbError:
        raise CommandError(b"ERR Bad data format") from None
