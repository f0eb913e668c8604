"""Words and quotes of a line: redis.conf, inline commands, redis-cli."""

from __future__ import annotations

import re

_SPACE = b" \n\r\t\v\f"
_ESCAPES = {ord("n"): b"\n", ord("r"): b"\r", ord("t"): b"\t", ord("b"): b"\b", ord("a"): b"\a"}
_UNESCAPES = {10: b"\\n", 13: b"\\r", 9: b"\\t", 8: b"\\b", 7: b"\\a", ord("\\"): b"\\\\", ord('"'): b'\\"'}

# Runs of ordinary bytes, so that a long value is not walked byte by byte.
_PLAIN = re.compile(rb"[^ \n\r\t\"'\0]+")
_IN_DOUBLE = re.compile(rb'[^"\\]+')
_IN_SINGLE = re.compile(rb"[^'\\]+")
_HEX = re.compile(rb"\\x([0-9a-fA-F]{2})")


def split_words(line: bytes) -> list[bytes] | None:
    r"""Split at blanks, heeding "…" (with \n \r \t \b \a \xHH and \ before any byte) and '…' (with \').

    None when a quote is not closed, or something other than a blank follows a closing quote.
    """
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at] in _SPACE:
            at += 1
        if at >= end:
            return words
        parts: list[bytes] = []
        while at < end and line[at] not in b" \n\r\t\0":
            byte = line[at]
            if byte in b"\"'":
                closed = (_double if byte == ord('"') else _single)(line, at + 1, parts)
                if closed is None or (closed < end and line[closed] not in _SPACE):
                    return None
                at = closed
                break
            run = _PLAIN.match(line, at)
            assert run is not None
            parts.append(run.group())
            at = run.end()
        words.append(b"".join(parts))
        if at < end and line[at] == 0:
            return words


def _double(line: bytes, at: int, parts: list[bytes]) -> int | None:
    """Read up to the closing double quote; the position after it, or None if there is none."""
    end = len(line)
    while at < end:
        byte = line[at]
        if byte == ord('"'):
            return at + 1
        if byte != ord("\\"):
            run = _IN_DOUBLE.match(line, at)
            assert run is not None
            parts.append(run.group())
            at = run.end()
        elif escaped := _HEX.match(line, at):
            parts.append(bytes.fromhex(escaped.group(1).decode()))
            at = escaped.end()
        elif at + 1 < end:
            parts.append(_ESCAPES.get(line[at + 1], line[at + 1 : at + 2]))
            at += 2
        else:
            return None
    return None


def _single(line: bytes, at: int, parts: list[bytes]) -> int | None:
    """Read up to the closing single quote; the position after it, or None if there is none."""
    end = len(line)
    while at < end:
        byte = line[at]
        if byte == ord("'"):
            return at + 1
        if byte != ord("\\"):
            run = _IN_SINGLE.match(line, at)
            assert run is not None
            parts.append(run.group())
            at = run.end()
        elif line[at + 1 : at + 2] == b"'":
            parts.append(b"'")
            at += 2
        else:
            parts.append(b"\\")
            at += 1
    return None


def quote(word: bytes) -> bytes:
    """In double quotes, such that split_words gives it back."""
    out = bytearray(b'"')
    for byte in word:
        if byte in _UNESCAPES:
            out += _UNESCAPES[byte]
        elif 32 <= byte < 127:
            out.append(byte)
        else:
            out += b"\\x%02x" % byte
    return bytes(out + b'"')
