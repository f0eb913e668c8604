"""Commands of the group string that count, change parts, return parts and compare. See `strings.py`."""

from __future__ import annotations

from node.command.args import integer, syntax_error
from node.command.call import Call
from node.command.keyspec import key, keys
from node.command.spec import ACCESS, DENYOOM, FAST, INSERT, READONLY, RO, RW, UPDATE, WRITE, command
from node.commands.strings import STRING, limit_bytes, string_of
from node.config.config import Config
from node.config.table import PROTO_MAX_BULK_LEN
from node.errors import CommandError
from node.integers import INT64_MAX, INT64_MIN
from node.resp import encode
from node.resp.encode import EMPTY_BULK, ZERO, array, bulk
from node.values import lcs, strings

_OVERFLOW = b"ERR increment or decrement would overflow"


# Counters


def _add(call: Call, name: bytes, increment: int) -> bytes:
    value = call.db.peek(name, call.slot, call.now_ms)
    if value is None:
        value = 0
    elif type(value) is not int:
        string_of(value)
        value = strings.as_int(value)
    total = value + increment
    if not INT64_MIN <= total <= INT64_MAX:
        raise CommandError(_OVERFLOW)
    call.db.update(name, call.slot, total)
    call.changes.log.append((STRING, b"incrby", name, call.db.index))
    return encode.integer(total)


@command(
    b"INCR", arity=2, group="string", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"],
)  # fmt: skip
def incr(call: Call, argv: list[bytes]) -> bytes:
    """Adds one to the integer value of a key; a key that does not exist counts as 0."""
    return _add(call, argv[1], 1)


@command(
    b"DECR", arity=2, group="string", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"],
)  # fmt: skip
def decr(call: Call, argv: list[bytes]) -> bytes:
    """Subtracts one from the integer value of a key; a key that does not exist counts as 0."""
    return _add(call, argv[1], -1)


@command(
    b"INCRBY", arity=3, group="string", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"],
)  # fmt: skip
def incrby(call: Call, argv: list[bytes]) -> bytes:
    """Adds a number to the integer value of a key; a key that does not exist counts as 0."""
    return _add(call, argv[1], integer(argv[2]))


@command(
    b"DECRBY", arity=3, group="string", since="1.0.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"],
)  # fmt: skip
def decrby(call: Call, argv: list[bytes]) -> bytes:
    """Subtracts a number from the integer value of a key; a key that does not exist counts as 0."""
    decrement = integer(argv[2])
    if decrement == INT64_MIN:
        raise CommandError(b"ERR decrement would overflow")
    return _add(call, argv[1], -decrement)


@command(
    b"INCRBYFLOAT", arity=3, group="string", since="2.6.0", flags=WRITE | DENYOOM | FAST,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["string"],
)  # fmt: skip
def incrbyfloat(call: Call, argv: list[bytes]) -> bytes:
    """Adds a number to the floating-point value of a key; a key that does not exist counts as 0."""
    name = argv[1]
    value = string_of(call.db.peek(name, call.slot, call.now_ms))
    total = strings.add_float(value, argv[2])
    call.db.update(name, call.slot, strings.encoded(total))
    call.changed(STRING, b"incrbyfloat", name)
    call.rewrite([b"SET", name, total, b"KEEPTTL"])
    return bulk(total)


# Parts


@command(
    b"APPEND", arity=3, group="string", since="2.0.0", flags=WRITE | DENYOOM | FAST, needs=Config,
    keys=[key(1, RW | INSERT)], categories=["string"],
    complexity="O(1). The amortized time complexity is O(1) assuming the appended value is small and the "
    "already present value is of any size, since the dynamic string library used by the server will double "
    "the free space available on every reallocation.",
)  # fmt: skip
def append(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Appends a string to the value of a key and returns the length; creates the key when there is none."""
    name = argv[1]
    value = string_of(call.db.peek(name, call.slot, call.now_ms))
    result = strings.append(value, argv[2], limit_bytes(config, call))
    call.db.update(name, call.slot, strings.encoded(result))
    call.changed(STRING, b"append", name)
    return encode.integer(len(result))


@command(
    b"SETRANGE", arity=4, group="string", since="2.2.0", flags=WRITE | DENYOOM, needs=Config,
    keys=[key(1, RW | UPDATE)], categories=["string"],
    complexity="O(1), not counting the time taken to copy the new string in place. Usually, this string is "
    "very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length "
    "of the value argument.",
)  # fmt: skip
def setrange(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Overwrites a part of a string from an offset on, with zero bytes before it where it was shorter."""
    name, offset, patch = argv[1], integer(argv[2]), argv[3]
    if offset < 0:
        raise CommandError(b"ERR offset is out of range")
    value = string_of(call.db.peek(name, call.slot, call.now_ms))
    if not patch:
        return ZERO if value is None else encode.integer(strings.length(value))
    result = strings.set_range(value, offset, patch, limit_bytes(config, call))
    call.db.update(name, call.slot, strings.encoded(result))
    call.changed(STRING, b"setrange", name)
    return encode.integer(len(result))


_RANGE_COMPLEXITY = (
    "O(N) where N is the length of the returned string. The complexity is ultimately determined by the "
    "returned length, but because creating a substring from an existing string is very cheap, it can be "
    "considered O(1) for small strings."
)


@command(
    b"GETRANGE", arity=4, group="string", since="2.4.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity=_RANGE_COMPLEXITY, categories=["string"],
)  # fmt: skip
def getrange(call: Call, argv: list[bytes]) -> bytes:
    """Returns the part of a string between two offsets, both included, negative ones from its end."""
    start, end = integer(argv[2]), integer(argv[3])
    value = string_of(call.db.read(argv[1], call.slot, call.now_ms))
    return EMPTY_BULK if value is None else bulk(strings.get_range(value, start, end))


@command(
    b"SUBSTR", arity=4, group="string", since="1.0.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity=_RANGE_COMPLEXITY, categories=["string"], deprecated_since="2.0.0", replaced_by="`GETRANGE`",
)  # fmt: skip
def substr(call: Call, argv: list[bytes]) -> bytes:
    """Returns the part of a string between two offsets; the former name of GETRANGE."""
    return getrange(call, argv)


@command(
    b"STRLEN", arity=2, group="string", since="2.2.0", flags=READONLY | FAST, keys=[key(1, RO)],
    complexity="O(1)", categories=["string"],
)  # fmt: skip
def strlen(call: Call, argv: list[bytes]) -> bytes:
    """Returns the length in bytes of the string value of a key, 0 when there is none."""
    value = string_of(call.db.read(argv[1], call.slot, call.now_ms))
    return ZERO if value is None else encode.integer(strings.length(value))


# Comparison


@command(
    b"LCS", arity=-3, group="string", since="7.0.0", flags=READONLY, needs=Config,
    keys=[keys(1, RO | ACCESS, last=1)], categories=["string"],
    complexity="O(N*M) where N and M are the lengths of s1 and s2, respectively",
)  # fmt: skip
def lcs_(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Returns the longest common subsequence of two strings, its length, or where its parts are."""
    values = [call.read(name) for name in argv[1:3]]
    if any(value is not None and type(value) not in strings.TYPES for value in values):
        raise CommandError(b"ERR The specified keys must contain string values")
    a, b = (b"" if value is None else strings.as_bytes(value) for value in values)
    words, min_length = _lcs_options(argv)
    if b"LEN" in words and b"IDX" in words:
        raise CommandError(b"ERR If you want both the length and indexes, please just use IDX.")
    strings.check_lcs(a, b, config[PROTO_MAX_BULK_LEN])
    if b"IDX" in words:
        return _lcs_matches(call, a, b, min_length, b"WITHMATCHLEN" in words)
    if b"LEN" in words:
        return encode.integer(lcs.lcs_length(a, b))
    return bulk(lcs.lcs_string(a, b))


def _lcs_options(argv: list[bytes]) -> tuple[set[bytes], int]:
    """The words given, and the value of MINMATCHLEN."""
    words = set()
    min_length = 0
    rest = iter(argv[3:])
    for argument in rest:
        word = argument.upper()
        if word == b"MINMATCHLEN":
            value = next(rest, None)
            if value is None:
                raise syntax_error()
            min_length = max(integer(value), 0)
        elif word in (b"IDX", b"LEN", b"WITHMATCHLEN"):
            words.add(word)
        else:
            raise syntax_error()
    return words, min_length


def _lcs_matches(call: Call, a: bytes, b: bytes, min_length: int, with_length: bool) -> bytes:
    found = lcs.lcs_matches(a, b)
    number = encode.integer
    matches = []
    for match in found:
        if match.length >= min_length:
            part = [
                array([number(match.a_start), number(match.a_end)]),
                array([number(match.b_start), number(match.b_end)]),
            ]
            if with_length:
                part.append(number(match.length))
            matches.append(array(part))
    total = number(sum(match.length for match in found))
    return call.reply.map([(bulk(b"matches"), array(matches)), (bulk(b"len"), total)])
