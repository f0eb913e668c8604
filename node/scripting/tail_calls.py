"""Where an error was: `return redis.call(…)` shall be found in the stack when the call raises.

A tail call gives up the frame of its caller, and with it the line. A function written in C keeps it, and
that is what redis.call is in Redis; ours are written in Lua. So in a compiled script, tail calls of what
was read from a table under one of these names become plain calls followed by the return that stands there
anyway. Others stay what they are: a script may rely on them for its depth.

The bytes are those that Lua itself has just written of a text; nobody else's are loaded.

Source: "A No-Frills Introduction to Lua 5.1 VM Instructions", binary chunks
"""

from __future__ import annotations

import struct

_NAMES = frozenset(
    (
        b"call", b"pcall", b"sha1hex", b"log", b"setresp", b"set_repl", b"acl_check_cmd",
        b"register_function", b"encode", b"decode", b"pack", b"unpack", b"unpack_one", b"unpack_limit",
        b"size", b"insert", b"remove", b"sort", b"random", b"randomseed", b"tobit", b"bnot", b"band",
        b"bor", b"bxor", b"lshift", b"rshift",
    )
)  # fmt: skip
_HEADER_BYTES = 12
_GET_TABLE, _CALL, _TAIL_CALL = 6, 28, 29
_FIRST_CONSTANT = 256
_NUMBER, _STRING = 3, 4
_CONSTANT_BYTES = {0: 0, 1: 1, _NUMBER: 8}


def with_plain_calls(chunk: bytes) -> bytes:
    """A binary chunk in which the calls above leave their caller in the stack."""
    out = bytearray(chunk)
    _Chunk(out).function()
    return bytes(out)


class _Chunk:
    def __init__(self, out: bytearray) -> None:
        self._out = out
        self._at = _HEADER_BYTES

    def _count(self) -> int:
        (count,) = struct.unpack_from("<i", self._out, self._at)
        self._at += 4
        return int(count)

    def _string(self) -> bytes:
        (size,) = struct.unpack_from("<Q", self._out, self._at)
        start = self._at + 8
        self._at = start + size
        return bytes(self._out[start : self._at - 1]) if size else b""

    def function(self) -> None:
        self._string()
        self._at += 4 + 4 + 4  # lines; four bytes of counts
        size = self._count()
        code_at = self._at
        self._at += 4 * size
        constants = [self._constant() for _ in range(self._count())]
        self._rewrite(code_at, size, constants)
        for _ in range(self._count()):
            self.function()
        line_count = self._count()
        self._at += 4 * line_count
        for _ in range(self._count()):
            self._string()
            self._at += 8
        for _ in range(self._count()):
            self._string()

    def _constant(self) -> bytes | None:
        kind = self._out[self._at]
        self._at += 1
        if kind == _STRING:
            return self._string()
        self._at += _CONSTANT_BYTES[kind]
        return None

    def _rewrite(self, code_at: int, size: int, constants: list[bytes | None]) -> None:
        read_from: dict[int, bytes | None] = {}  # register → the name under which it was read last
        for at in range(code_at, code_at + 4 * size, 4):
            (word,) = struct.unpack_from("<I", self._out, at)
            operation, register, key = word & 63, word >> 6 & 255, word >> 14 & 511
            if operation == _GET_TABLE:
                read_from[register] = constants[key - _FIRST_CONSTANT] if key >= _FIRST_CONSTANT else None
            elif operation == _TAIL_CALL and read_from.get(register) in _NAMES:
                struct.pack_into("<I", self._out, at, word & ~63 | _CALL)
