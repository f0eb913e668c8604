r"""Redis's glob patterns: `*` any bytes, `?` one byte, `[ab]` `[^ab]` `[a-z]` one of a class, `\` escapes.

Every element but `*` matches exactly one byte, so a pattern is a list of runs of elements between stars. Each
run is matched at the first place where it fits, and a match is never tried again further to the right: that
is what makes the time grow with the product of the two lengths at most, where plain backtracking grows
exponentially with the stars.

Edges, as in redis-server (command KEYS):
- the empty string matches the empty pattern only, not even `*`;
- a class that is not closed ends with the pattern; `[^` is any byte, `[]` none;
- in a class, `]` ends it even as its first member, a backslash takes the next byte in its case even with
  `nocase`,
  and `a-]` is a range; ranges are compared as signed chars, and their ends may be swapped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Matcher = Callable[[bytes], bool]

# Long patterns are rare; compiling them costs more than reading them once, and caching them would keep their
# memory.
_COMPILED_LIMIT = 256

_STAR, _ANY, _OPEN, _CLOSE, _NOT, _ESCAPE, _DASH = b"*?[]^\\-"
_MAGIC = frozenset((_STAR, _ANY, _OPEN, _ESCAPE))
_EVERY = frozenset(range(256))
_FOLD = bytes.maketrans(bytes(range(65, 91)), bytes(range(97, 123)))

Element = int | frozenset[int]  # one byte, or the bytes of a class


def compile_glob(pattern: bytes, nocase: bool = False) -> Matcher:
    """A function that tells whether a string matches. Case is folded for ASCII letters only."""
    if len(pattern) <= _COMPILED_LIMIT:
        return _compile(pattern, nocase)
    return lambda string: glob_match(pattern, string, nocase)


@lru_cache(maxsize=512)
def _compile(pattern: bytes, nocase: bool) -> Matcher:
    if _MAGIC.isdisjoint(pattern.strip(b"*")):
        simple = _literal(pattern, nocase)
        if simple is not None:
            return simple
    regex = re.compile(_regex(pattern, nocase), re.DOTALL).fullmatch
    return lambda string: string != b"" and regex(string) is not None


def _literal(pattern: bytes, nocase: bool) -> Matcher | None:
    """The fast way for patterns that are a text with stars at its ends, if case counts."""
    body = pattern.strip(b"*")
    head, tail = pattern.startswith(b"*"), pattern.endswith(b"*")
    if not body:
        return (lambda string: string != b"") if pattern else (lambda string: string == b"")
    if nocase:
        return None
    if head and tail:
        return lambda string: body in string
    if head:
        return lambda string: string.endswith(body)
    if tail:
        return lambda string: string.startswith(body)
    return lambda string: string == body


def _regex(pattern: bytes, nocase: bool) -> bytes:
    """A regular expression in which no run between stars is ever tried again (atomic groups)."""
    runs: list[list[bytes]] = [[]]
    at = 0
    while at < len(pattern):
        if pattern[at] == _STAR:
            runs.append([])
            at += 1
        else:
            element, at = _element(pattern, at, nocase)
            runs[-1].append(_element_regex(element))
    if len(runs) == 1:
        return b"".join(runs[0])
    first, *middle, last = (b"".join(run) for run in runs)
    return first + b"".join(b"(?>.*?%s)" % run for run in middle if run) + b".*" + last


def _element_regex(element: Element) -> bytes:
    if isinstance(element, int):
        return re.escape(bytes((element,)))
    if element == _EVERY:
        return b"."
    return b"[%s]" % b"".join(b"\\x%02x" % byte for byte in sorted(element)) if element else b"(?!)"


def glob_match(pattern: bytes, string: bytes, nocase: bool = False) -> bool:
    """Match without compiling: what a pattern costs is what is read of it."""
    if not string:
        return not pattern
    at = position = 0
    retry_at, retry_position = -1, 0  # behind the last star, and where its run was tried last
    while position < len(string):
        if at < len(pattern) and pattern[at] == _STAR:
            at += 1
            if at == len(pattern):
                return True
            retry_at, retry_position = at, position
            continue
        if at < len(pattern):
            element, behind = _element(pattern, at, nocase)
            byte = string[position]
            if byte == element or (not isinstance(element, int) and byte in element):
                at, position = behind, position + 1
                continue
        if retry_at < 0:
            return False
        retry_position += 1
        at, position = retry_at, retry_position
    return not pattern[at:].strip(b"*")


def _element(pattern: bytes, at: int, nocase: bool) -> tuple[Element, int]:
    """The element that begins at `at`, and where the next one begins."""
    byte = pattern[at]
    if byte == _OPEN:
        return _class(pattern, at + 1, nocase)
    if byte == _ANY:
        return _EVERY, at + 1
    if byte == _ESCAPE and at + 1 < len(pattern):
        at += 1
        byte = pattern[at]
    return (_both_cases(byte) if nocase else byte), at + 1


def _class(pattern: bytes, at: int, nocase: bool) -> tuple[frozenset[int], int]:
    """The class whose members begin at `at`, and what follows its end."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < len(pattern) and pattern[at] != _CLOSE:
        byte = pattern[at]
        if byte == _ESCAPE and at + 1 < len(pattern):
            members.add(pattern[at + 1])
            at += 2
        elif at + 2 < len(pattern) and pattern[at + 1] == _DASH:
            members |= _range(byte, pattern[at + 2], nocase)
            at += 3
        else:
            members |= _both_cases(byte) if nocase else {byte}
            at += 1
    return (_EVERY - members if negated else frozenset(members)), at + 1


def _range(first: int, last: int, nocase: bool) -> set[int]:
    low, high = sorted((_signed(first), _signed(last)))
    if not nocase:
        return {byte for byte in _EVERY if low <= _signed(byte) <= high}
    # The ends are folded after they were put in order, which leaves [Z-a] empty.
    low, high = (_signed(_FOLD[end & 255]) for end in (low, high))
    return {byte for byte in _EVERY if low <= _signed(_FOLD[byte]) <= high}


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def _both_cases(byte: int) -> frozenset[int]:
    return frozenset(other for other in _EVERY if _FOLD[other] == _FOLD[byte])
