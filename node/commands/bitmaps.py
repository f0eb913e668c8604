"""Commands of the group bitmap on single bits, ranges of bits and whole strings. See also `bitfield.py`."""

from __future__ import annotations

from node.command.args import SYNTAX, integer, syntax_error
from node.command.call import Call
from node.command.keyspec import key, keys
from node.command.spec import ACCESS, DENYOOM, FAST, OW, READONLY, RO, RW, UPDATE, WRITE, command
from node.commands.strings import GENERIC, STRING, limit_bytes, string_of
from node.config.config import Config
from node.errors import CommandError
from node.integers import parse_integer
from node.resp import encode
from node.resp.encode import ONE, ZERO
from node.values import bits, strings
from node.values.bits import Operation

_BAD_OFFSET = b"ERR bit offset is not an integer or out of range"
_BAD_BIT = b"ERR bit is not an integer or out of range"
_NOT_A_BIT = b"ERR The bit argument must be 1 or 0."
_NOT_SINGLE = b"ERR BITOP NOT must be called with a single source key."
_NONE = b":-1\r\n"


def bit_offset(config: Config, call: Call, text: bytes, width: int = 0) -> int:
    """The offset of a bit; with `width`, `#3` is three times that. Raises CommandError."""
    is_multiple = width > 0 and text[:1] == b"#"
    offset = parse_integer(text[1:] if is_multiple else text)
    if offset is None:
        raise CommandError(_BAD_OFFSET)
    if is_multiple:
        offset *= width
    if offset < 0 or offset >> 3 >= limit_bytes(config, call):
        raise CommandError(_BAD_OFFSET)
    return offset


# Single bits


@command(
    b"SETBIT", arity=4, group="bitmap", since="2.2.0", flags=WRITE | DENYOOM, needs=Config,
    keys=[key(1, RW | ACCESS | UPDATE)], complexity="O(1)", categories=["bitmap"],
)  # fmt: skip
def setbit(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Sets or clears a bit of a string and returns what it was; creates the key when there is none."""
    name = argv[1]
    offset = bit_offset(config, call, argv[2])
    bit = integer(argv[3], _BAD_BIT)
    if bit not in (0, 1):
        raise CommandError(_BAD_BIT)
    value = string_of(call.db.peek(name, call.slot, call.now_ms))
    data = b"" if value is None else strings.as_data(value)
    old = bits.get_bit(data, offset)
    if old != bit or offset >> 3 >= len(data):
        buffer = strings.as_buffer(value)
        bits.set_bit(buffer, offset, bit)
        call.db.update(name, call.slot, strings.encoded(buffer))
        call.changed(STRING, b"setbit", name)
    return ONE if old else ZERO


@command(
    b"GETBIT", arity=3, group="bitmap", since="2.2.0", flags=READONLY | FAST, needs=Config,
    keys=[key(1, RO | ACCESS)], complexity="O(1)", categories=["bitmap"],
)  # fmt: skip
def getbit(config: Config, call: Call, argv: list[bytes]) -> bytes:
    """Returns a bit of a string, 0 behind its end."""
    offset = bit_offset(config, call, argv[2])
    value = string_of(call.db.read(argv[1], call.slot, call.now_ms))
    if value is None:
        return ZERO
    return ONE if bits.get_bit(strings.as_data(value), offset) else ZERO


# Ranges


def _is_bits(word: bytes) -> bool:
    """Whether a range counts bits, not bytes. Raises CommandError for another word."""
    word = word.upper()
    if word not in (b"BIT", b"BYTE"):
        raise syntax_error()
    return word == b"BIT"


def _bit_range(size_bytes: int, start: int, end: int, in_bits: bool) -> tuple[int, int]:
    """A range with both ends included, negative ones from the string's end → bits, without the last."""
    size = size_bytes * 8 if in_bits else size_bytes
    start = max(start + size, 0) if start < 0 else start
    end = max(end + size, 0) if end < 0 else end
    stop = min(end, size - 1) + 1
    return (start, stop) if in_bits else (start * 8, stop * 8)


@command(
    b"BITCOUNT", arity=-2, group="bitmap", since="2.6.0", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N)", categories=["bitmap"],
)  # fmt: skip
def bitcount(call: Call, argv: list[bytes]) -> bytes:
    """Returns how many bits of a string, or of a part of it, are set."""
    value = string_of(call.db.read(argv[1], call.slot, call.now_ms))
    if value is None:
        return ZERO
    data = strings.as_data(value)
    if len(argv) == 2:
        return encode.integer(bits.count(data, 0, len(data) * 8))
    if len(argv) not in (4, 5):
        raise syntax_error()
    start, end = integer(argv[2]), integer(argv[3])
    if start < 0 and end < 0 and start > end:
        return ZERO
    in_bits = len(argv) == 5 and _is_bits(argv[4])
    return encode.integer(bits.count(data, *_bit_range(len(data), start, end, in_bits)))


@command(
    b"BITPOS", arity=-3, group="bitmap", since="2.8.7", flags=READONLY, keys=[key(1, RO | ACCESS)],
    complexity="O(N)", categories=["bitmap"],
)  # fmt: skip
def bitpos(call: Call, argv: list[bytes]) -> bytes:
    """Returns where the first set, or the first clear, bit of a string is, or of a part of it."""
    bit = integer(argv[2])
    if bit not in (0, 1):
        raise CommandError(_NOT_A_BIT)
    value = string_of(call.db.read(argv[1], call.slot, call.now_ms))
    if value is None:
        return _NONE if bit else ZERO
    data = strings.as_data(value)
    given = argv[3:]
    if len(given) > 3:
        raise CommandError(SYNTAX)
    start = integer(given[0]) if given else 0
    in_bits = len(given) == 3 and _is_bits(given[2])
    end = integer(given[1]) if len(given) > 1 else len(data) - 1
    first, stop = _bit_range(len(data), start, end, in_bits)
    position = bits.find(data, bit, first, stop)
    if position < 0 and not bit and len(given) < 2 and first < stop:
        position = stop  # without an end to the range, zeros follow the string
    return encode.integer(position)


# Whole strings


@command(
    b"BITOP", arity=-4, group="bitmap", since="2.6.0", flags=WRITE | DENYOOM,
    keys=[key(2, OW | UPDATE), keys(3, RO | ACCESS)], complexity="O(N)", categories=["bitmap"],
)  # fmt: skip
def bitop(call: Call, argv: list[bytes]) -> bytes:
    """Combines strings bit by bit, stores the result in a key and returns its length in bytes."""
    word, target = argv[1].upper(), argv[2]
    try:
        operation = Operation(word)
    except ValueError:
        raise syntax_error() from None
    if operation is Operation.NOT and len(argv) != 4:
        raise CommandError(_NOT_SINGLE)
    values = [string_of(call.read(name)) for name in argv[3:]]
    result = bits.combine(operation, [b"" if value is None else strings.as_data(value) for value in values])
    if result:
        call.db.put(target, call.slot, strings.encoded(result))
        call.changed(STRING, b"set", target)
    elif call.peek(target) is not None and call.remove(target) is not None:
        call.changed(GENERIC, b"del", target)
    return encode.integer(len(result))
