"""Commands of the group hash on fields and their values. Times to live of fields are in `hashes_expiry.py`.

What replicas are told: HINCRBYFLOAT as the HSET of its outcome, everything else as it came.
"""

from __future__ import annotations

import random

from node.command.args import integer, syntax_error
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
    UPDATE,
    WRITE,
    command,
)
from node.commands.access import (
    check_repeats,
    drop_if_empty,
    live_hash,
    peek_own_hash,
    random_count,
    read_own_hash,
)
from node.commands.scan import ScanOptions, cursor_argument
from node.errors import CommandError
from node.integers import INT64_MAX, INT64_MIN, parse_integer
from node.keyspace.changes import EventClass
from node.resp import encode
from node.resp.encode import EMPTY_ARRAY, OK, ONE, ZERO, array, bulk, bulks
from node.values import long_double
from node.values.hashes import Hash, Pair

HASH = EventClass.HASH

_RNG = random.Random()
_EMPTY_SCAN = array([bulk(b"0"), EMPTY_ARRAY])
_OVERFLOW = b"ERR increment or decrement would overflow"


def peek_or_create(call: Call, name: bytes) -> Hash:
    """The hash at the command's key, made when there is none: it must get a field. Raises CommandError."""
    value = peek_own_hash(call, name)
    if value is None:
        value = Hash()
        call.db.put(name, call.slot, value)
    return value


# Writing


@command(
    b"HSET", arity=-4, group="hash", since="2.0.0", flags=WRITE | DENYOOM | FAST, keys=[key(1, RW | UPDATE)],
    complexity="O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is "
    "called with multiple field/value pairs.",
    categories=["hash"],
)  # fmt: skip
def hset(call: Call, argv: list[bytes]) -> bytes:
    """Sets fields of a hash, and creates the hash when there is none; returns how many fields are new."""
    if len(argv) & 1:
        raise CommandError(b"ERR wrong number of arguments for 'hset' command")
    name, db = argv[1], call.db
    value = db.peek(name, call.slot, call.now_ms)
    if type(value) is not Hash or db.field_deadlines.at:
        value = peek_or_create(call, name)
    call.changes.log.append((HASH, b"hset", name, db.index))
    if len(argv) == 4:
        return ONE if value.set(argv[2], argv[3], db.limits) else ZERO
    return encode.integer(value.set_many(argv[2:], db.limits))


@command(
    b"HMSET", arity=-4, group="hash", since="2.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | UPDATE)], complexity="O(N) where N is the number of fields being set.",
    categories=["hash"], deprecated_since="4.0.0", replaced_by="`HSET` with multiple field-value pairs",
)  # fmt: skip
def hmset(call: Call, argv: list[bytes]) -> bytes:
    """Sets fields of a hash, and creates the hash when there is none."""
    if len(argv) & 1:
        raise CommandError(b"ERR wrong number of arguments for 'hmset' command")
    hset(call, argv)
    return OK


@command(
    b"HSETNX", arity=4, group="hash", since="2.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | INSERT)], complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hsetnx(call: Call, argv: list[bytes]) -> bytes:
    """Sets a field of a hash only when it does not exist."""
    _, name, field, text = argv
    value = peek_or_create(call, name)
    if value.has(field):
        return ZERO
    value.set(field, text, call.db.limits)
    call.changed(HASH, b"hset", name)
    return ONE


@command(
    b"HDEL", arity=-3, group="hash", since="2.0.0", flags=WRITE | FAST, keys=[key(1, RW | DELETE)],
    complexity="O(N) where N is the number of fields to be removed.", categories=["hash"],
)  # fmt: skip
def hdel(call: Call, argv: list[bytes]) -> bytes:
    """Removes fields of a hash, and the hash with its last field; returns how many there were."""
    name = argv[1]
    value = peek_own_hash(call, name)
    if value is None:
        return ZERO
    removed = 0
    for field in argv[2:]:
        removed += value.delete(field)
    if removed:
        call.changed(HASH, b"hdel", name)
        drop_if_empty(call, name, value)
    return encode.integer(removed)


@command(
    b"HINCRBY", arity=4, group="hash", since="2.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hincrby(call: Call, argv: list[bytes]) -> bytes:
    """Adds a number to the integer value of a field; a field that does not exist counts as 0."""
    _, name, field, amount = argv
    increment = integer(amount)
    value = peek_own_hash(call, name)
    text = None if value is None else value.get(field)
    number = 0 if text is None else parse_integer(text)
    if number is None:
        raise CommandError(b"ERR hash value is not an integer")
    total = number + increment
    if not INT64_MIN <= total <= INT64_MAX:
        raise CommandError(_OVERFLOW)
    _store_sum(call, name, value, field, b"%d" % total)
    call.changed(HASH, b"hincrby", name)
    return encode.integer(total)


@command(
    b"HINCRBYFLOAT", arity=4, group="hash", since="2.6.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hincrbyfloat(call: Call, argv: list[bytes]) -> bytes:
    """Adds a number to the floating-point value of a field; a field that does not exist counts as 0."""
    _, name, field, amount = argv
    increment = _long_double(amount, b"ERR value is not a valid float")
    if not long_double.is_finite(increment):
        raise CommandError(b"ERR value is NaN or Infinity")
    value = peek_own_hash(call, name)
    text = None if value is None else value.get(field)
    number = _long_double(b"0" if text is None else text, b"ERR hash value is not a float")
    try:
        total = long_double.format_fixed(long_double.add(number, increment))
    except long_double.NotFiniteError:
        raise CommandError(b"ERR increment would produce NaN or Infinity") from None
    value = _store_sum(call, name, value, field, total)
    call.changed(HASH, b"hincrbyfloat", name)
    told = [[b"HSET", name, field, total]]
    deadline_ms = value.deadline(field)
    if deadline_ms is not None:  # which HSET takes away
        told.append([b"HPEXPIREAT", name, b"%d" % deadline_ms, b"FIELDS", b"1", field])
    call.rewrite(*told)
    return bulk(total)


def _long_double(text: bytes, error: bytes) -> long_double.LongDouble:
    try:
        return long_double.parse(text)
    except ValueError:
        raise CommandError(error) from None


def _store_sum(call: Call, name: bytes, value: Hash | None, field: bytes, total: bytes) -> Hash:
    if value is None:
        value = Hash()
        call.db.put(name, call.slot, value)
    value.set(field, total, call.db.limits, keep_deadline=True)
    return value


# Reading


@command(
    b"HGET", arity=3, group="hash", since="2.0.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hget(call: Call, argv: list[bytes]) -> bytes:
    """Returns the value of a field of a hash."""
    db = call.db
    value = db.read(argv[1], call.slot, call.now_ms)
    if type(value) is not Hash or db.field_deadlines.at:
        value = live_hash(call, argv[1], call.slot, value)
        if value is None:
            return call.reply.null
    text = value.get(argv[2], call.now_ms)
    return call.reply.null if text is None else bulk(text)


@command(
    b"HMGET", arity=-3, group="hash", since="2.0.0", flags=READONLY | FAST, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the number of fields being requested.", categories=["hash"],
)  # fmt: skip
def hmget(call: Call, argv: list[bytes]) -> bytes:
    """Returns the values of fields of a hash; null for a field that it does not have."""
    value = read_own_hash(call, argv[1])
    null = call.reply.null
    if value is None:
        return array([null] * (len(argv) - 2))
    texts = value.get_many(argv[2:], call.now_ms)
    return array([null if text is None else bulk(text) for text in texts])


@command(
    b"HEXISTS", arity=3, group="hash", since="2.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hexists(call: Call, argv: list[bytes]) -> bytes:
    """Returns whether a hash has a field."""
    value = read_own_hash(call, argv[1])
    return ONE if value is not None and value.has(argv[2], call.now_ms) else ZERO


@command(
    b"HLEN", arity=2, group="hash", since="2.0.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hlen(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many fields a hash has."""
    value = read_own_hash(call, argv[1])
    return ZERO if value is None else encode.integer(value.live_count(call.now_ms))


@command(
    b"HSTRLEN", arity=3, group="hash", since="3.2.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["hash"],
)  # fmt: skip
def hstrlen(call: Call, argv: list[bytes]) -> bytes:
    """Returns the length in bytes of the value of a field, 0 when there is none."""
    value = read_own_hash(call, argv[1])
    text = None if value is None else value.get(argv[2], call.now_ms)
    return ZERO if text is None else encode.integer(len(text))


@command(
    b"HGETALL", arity=2, group="hash", since="2.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the size of the hash.", categories=["hash"],
    tips=["nondeterministic_output_order"],
)  # fmt: skip
def hgetall(call: Call, argv: list[bytes]) -> bytes:
    """Returns all fields of a hash with their values."""
    value = read_own_hash(call, argv[1])
    return call.reply.map_of_bulks([] if value is None else value.flat(call.now_ms))


@command(
    b"HKEYS", arity=2, group="hash", since="2.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the size of the hash.", categories=["hash"],
    tips=["nondeterministic_output_order"],
)  # fmt: skip
def hkeys(call: Call, argv: list[bytes]) -> bytes:
    """Returns all fields of a hash."""
    value = read_own_hash(call, argv[1])
    return EMPTY_ARRAY if value is None else bulks(value.fields(call.now_ms))


@command(
    b"HVALS", arity=2, group="hash", since="2.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the size of the hash.", categories=["hash"],
    tips=["nondeterministic_output_order"],
)  # fmt: skip
def hvals(call: Call, argv: list[bytes]) -> bytes:
    """Returns the values of all fields of a hash."""
    value = read_own_hash(call, argv[1])
    return EMPTY_ARRAY if value is None else bulks(value.values(call.now_ms))


@command(
    b"HSCAN", arity=-3, group="hash", since="2.8.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    categories=["hash"], tips=["nondeterministic_output"],
)  # fmt: skip
def hscan(call: Call, argv: list[bytes]) -> bytes:
    """Returns some of the fields of a hash with their values, and the cursor to go on with."""
    cursor = cursor_argument(argv[2])
    value = read_own_hash(call, argv[1])
    if value is None:
        return _EMPTY_SCAN
    options = ScanOptions(argv[3:], with_no_values=True)
    cursor, pairs = value.scan(cursor, options.count, call.now_ms)
    matches = options.matches
    if matches is not None:
        pairs = [pair for pair in pairs if matches(pair[0])]
    if options.no_values:
        found = [bulk(field) for field, _ in pairs]
    else:
        found = [bulk(word) for pair in pairs for word in pair]
    return array([bulk(b"%d" % cursor), array(found)])


# Random fields


@command(
    b"HRANDFIELD", arity=-2, group="hash", since="6.2.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N) where N is the number of fields returned", categories=["hash"],
    tips=["nondeterministic_output"],
)  # fmt: skip
def hrandfield(call: Call, argv: list[bytes]) -> bytes:
    """Returns a random field of a hash, or with a count several: different ones, any if it is negative."""
    if len(argv) == 2:
        value = read_own_hash(call, argv[1])
        pair = None if value is None else value.random_pair(_RNG, call.now_ms)
        return call.reply.null if pair is None else bulk(pair[0])
    count = random_count(argv[2])
    if len(argv) > 4 or (len(argv) == 4 and argv[3].upper() != b"WITHVALUES"):
        raise syntax_error()
    with_values = len(argv) == 4
    if with_values and abs(count) > INT64_MAX // 2:
        raise CommandError(b"ERR value is out of range")
    value = read_own_hash(call, argv[1])
    if value is None or not count:
        return EMPTY_ARRAY
    if count > 0:
        pairs = value.sample(_RNG, count, call.now_ms)
    else:
        check_repeats(-count)
        pairs = value.random_pairs(_RNG, -count, call.now_ms)
    return _random_reply(call, pairs, with_values)


def _random_reply(call: Call, pairs: list[Pair], with_values: bool) -> bytes:
    if not with_values:
        return bulks([field for field, _ in pairs])
    if call.reply.version == 2:
        return bulks([word for pair in pairs for word in pair])
    return array([bulks(pair) for pair in pairs])
