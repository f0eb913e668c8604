"""Commands of the group hyperloglog. The values are strings: see `node.values.hyperloglog`.

PFCOUNT keeps its estimate in the string. That is a change: replicas are told, but nobody is notified of an
event. A replica, which must hold what its primary holds, keeps none for its own clients.
"""

from __future__ import annotations

import random

from node.command.call import Call
from node.command.keyspec import key, keys
from node.command.spec import (
    ACCESS,
    ADMIN,
    DENYOOM,
    FAST,
    INSERT,
    MAY_REPLICATE,
    READONLY,
    RO,
    RW,
    WRITE,
    command,
)
from node.commands.strings import STRING, string_of
from node.config.config import Config
from node.config.table import HLL_SPARSE_MAX_BYTES
from node.errors import CommandError
from node.keyspace.database import Policy, Value
from node.resp import encode
from node.resp.encode import OK, ONE, ZERO, array, bulk, simple
from node.values import hyperloglog, hyperloglog_sparse, strings
from node.values.hyperloglog import CorruptedError
from node.values.strings import Data

_NOT_ONE = b"WRONGTYPE Key is not a valid HyperLogLog string value."
_CORRUPTED = b"INVALIDOBJ Corrupted HLL object detected"
_NO_KEY = b"ERR The specified key does not exist"
_NOT_SPARSE = b"ERR HLL encoding is not sparse"
_SILENT = b""
"""The event of a change that nobody is notified of."""


def _data(value: Value) -> Data | None:
    """The HyperLogLog that a value is. Raises CommandError."""
    string = string_of(value)
    if string is None:
        return None
    if isinstance(string, int) or not hyperloglog.is_valid(string):
        raise CommandError(_NOT_ONE)
    return string


def _buffer(data: Data | None) -> bytearray:
    """A HyperLogLog to be changed: dense ones in place, others in a copy that replaces them when all went
    well.
    """
    if data is None:
        return bytearray(hyperloglog.EMPTY)
    return strings.as_buffer(data) if hyperloglog.is_dense(data) else bytearray(data)


def _registers(data: Data) -> bytes:
    try:
        return hyperloglog.registers(data)
    except CorruptedError:
        raise CommandError(_CORRUPTED) from None


@command(
    b"PFADD", arity=-2, group="hyperloglog", since="2.8.9", flags=WRITE | DENYOOM | FAST, needs=Config,
    keys=[key(1, RW | INSERT)], complexity="O(1) to add every element.", categories=["hyperloglog"],
)  # fmt: skip
def pfadd(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Adds elements to a HyperLogLog and returns whether its estimate may be another one now."""
    name = argv[1]
    data = _data(call.db.peek(name, call.slot, call.now_ms))
    buffer = _buffer(data)
    try:
        has_changed = hyperloglog.add(buffer, argv[2:], config[HLL_SPARSE_MAX_BYTES])
    except CorruptedError:
        raise CommandError(_CORRUPTED) from None
    if data is None:
        hyperloglog.forget_estimate(buffer)
    elif not has_changed:
        return ZERO
    call.db.update(name, call.slot, strings.encoded(buffer))
    call.changed(STRING, b"pfadd", name)
    return ONE


@command(
    b"PFCOUNT", arity=-2, group="hyperloglog", since="2.8.9", flags=READONLY | MAY_REPLICATE, needs=Policy,
    keys=[
        keys(
            1, RW | ACCESS,
            notes="RW because it may change the internal representation of the key, and propagate to "
            "replicas",
        )
    ],
    complexity="O(1) with a very small average constant time when called with a single key. O(N) with N "
    "being the number of keys, and much bigger constant times, when called with multiple keys.",
    categories=["hyperloglog"],
)  # fmt: skip
def pfcount(policy: Policy, call: Call, argv: list[bytes]) -> bytes:
    """Returns how many different elements were added to a HyperLogLog, or to several together, about."""
    if len(argv) > 2:
        found = [data for name in argv[1:] if (data := _data(call.read(name))) is not None]
        return encode.integer(hyperloglog.count(hyperloglog.greatest(map(_registers, found))))
    name = argv[1]
    data = _data(call.db.read(name, call.slot, call.now_ms))
    if data is None:
        return ZERO
    count = hyperloglog.estimate(data)
    if count is None:
        count = hyperloglog.count(_registers(data))
        if policy.expires or policy.obeys:
            buffer = _buffer(data)
            hyperloglog.keep_estimate(buffer, count)
            call.db.update(name, call.slot, strings.encoded(buffer))
            call.changed(STRING, _SILENT, name)
    return encode.integer(count)


@command(
    b"PFMERGE", arity=-2, group="hyperloglog", since="2.8.9", flags=WRITE | DENYOOM, needs=Config,
    keys=[key(1, RW | ACCESS | INSERT), keys(2, RO | ACCESS)],
    complexity="O(N) to merge N HyperLogLogs, but with high constant times.", categories=["hyperloglog"],
)  # fmt: skip
def pfmerge(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Adds what was added to several HyperLogLogs to one, which is created when there is none."""
    name = argv[1]
    found = [data for source in argv[1:] if (data := _data(call.read(source))) is not None]
    union = hyperloglog.greatest(map(_registers, found))
    dense = any(map(hyperloglog.is_dense, found))
    buffer = _buffer(_data(call.db.peek(name, call.slot, call.now_ms)))
    hyperloglog.merge(buffer, union, config[HLL_SPARSE_MAX_BYTES], dense)
    call.db.update(name, call.slot, strings.encoded(buffer))
    call.changed(STRING, b"pfadd", name)
    return OK


# Looking inside


@command(
    b"PFDEBUG", arity=3, group="hyperloglog", since="2.8.9", flags=WRITE | DENYOOM | ADMIN,
    keys=[key(2, RW | ACCESS)], complexity="N/A", categories=["hyperloglog"],
)  # fmt: skip
def pfdebug(call: Call, argv: list[bytes]) -> bytes:
    """Returns the registers or the encoding of a HyperLogLog, or makes it dense."""
    name, word = argv[2], argv[1].upper()
    data = _data(call.db.peek(name, call.slot, call.now_ms))
    if data is None:
        raise CommandError(_NO_KEY)
    if word == b"GETREG":
        _make_dense(call, name, data)
        return array([encode.integer(register) for register in _registers(data)])
    if word == b"DECODE":
        return _decode(data)
    if word == b"ENCODING":
        return simple(b"dense" if hyperloglog.is_dense(data) else b"sparse")
    if word == b"TODENSE":
        return ONE if _make_dense(call, name, data) else ZERO
    raise CommandError(b"ERR Unknown PFDEBUG subcommand '%b'" % argv[1])


def _make_dense(call: Call, name: bytes, data: Data) -> bool:
    """Whether it was sparse. Raises CommandError for one that is corrupted."""
    if hyperloglog.is_dense(data):
        return False
    buffer = _buffer(data)
    hyperloglog.make_dense(buffer, _registers(data))
    call.db.update(name, call.slot, strings.encoded(buffer))
    call.changed(STRING, _SILENT, name)
    return True


def _decode(data: Data) -> bytes:
    """The runs of a sparse one: `z` and `Z` for zeros in one byte and in two, `v` with value and length."""
    if hyperloglog.is_dense(data):
        raise CommandError(_NOT_SPARSE)
    try:
        runs = hyperloglog_sparse.runs(data)
    except CorruptedError:
        raise CommandError(_CORRUPTED) from None
    words = []
    for value, span, is_long in runs:
        if value:
            words.append(b"v:%d,%d" % (value, span))
        else:
            words.append((b"Z:%d" if is_long else b"z:%d") % span)
    return bulk(b" ".join(words))


# The command that tests the implementation

_TEST_ELEMENTS = (1, 10, 100, 1000, 10_000)
_TEST_SPARSE_BYTES = 3000
_STANDARD_ERROR = 1.04 / 128


@command(
    b"PFSELFTEST", arity=1, group="hyperloglog", since="2.8.9", flags=ADMIN, complexity="N/A",
    categories=["hyperloglog"],
)  # fmt: skip
def pfselftest(_call: Call, _argv: list[bytes]) -> bytes:
    """Tests HyperLogLogs: registers keep their values, both forms agree, estimates are near the truth."""
    values = random.randbytes(hyperloglog_sparse.REGISTERS).translate(_SIX_BITS)
    dense = bytearray(hyperloglog.EMPTY)
    hyperloglog.make_dense(dense, values)
    if hyperloglog.registers(dense) != values:
        raise CommandError(b"TESTFAILED Registers do not keep their values")
    hyperloglog.make_dense(dense, bytes(hyperloglog_sparse.REGISTERS))
    small = bytearray(hyperloglog.EMPTY)
    seed = random.randbytes(8)
    done = 0
    for total in _TEST_ELEMENTS:
        elements = [seed + number.to_bytes(8, "little") for number in range(done, total)]
        done = total
        for buffer in (dense, small):
            hyperloglog.add(buffer, elements, _TEST_SPARSE_BYTES)
        if hyperloglog.is_dense(small) and total < _TEST_SPARSE_BYTES // 2:
            raise CommandError(b"TESTFAILED sparse encoding not used")
        count = hyperloglog.count(hyperloglog.registers(dense))
        if count != hyperloglog.count(hyperloglog.registers(small)):
            raise CommandError(b"TESTFAILED dense/sparse disagree")
        if abs(count - total) > max(1, _STANDARD_ERROR * 6 * total):
            raise CommandError(b"TESTFAILED Too big error. card:%d abserr:%d" % (total, abs(count - total)))
    return OK


_SIX_BITS = bytes(byte & 63 for byte in range(256))
