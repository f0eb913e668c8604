"""What a script says about itself: the shebang line and the flags in it, or of a function.

A script without a shebang is of the old kind (`None` for flags): nothing is asked of it before it runs, and
its keys may be of several slots.

Source: https://redis.io/docs/interact/programmability/eval-intro/#eval-flags
"""

from __future__ import annotations

from enum import IntFlag

from node.errors import CommandError
from node.words import split_words


class ScriptFlag(IntFlag):
    """In the order in which FUNCTION LIST tells them."""

    NO_WRITES = 1
    ALLOW_OOM = 2
    ALLOW_STALE = 4
    NO_CLUSTER = 8
    ALLOW_CROSS_SLOT_KEYS = 16


FLAGS = {flag.name.lower().replace("_", "-").encode(): flag for flag in ScriptFlag if flag.name}


def parse_flags(text: bytes) -> ScriptFlag | None:
    """Flags with commas between; None when one is unknown. Their case does not count."""
    found = ScriptFlag(0)
    for word in text.split(b",") if text else ():
        flag = FLAGS.get(word.lower())
        if flag is None:
            return None
        found |= flag
    return found


def shebang(text: bytes) -> tuple[ScriptFlag | None, bytes]:
    """A script's flags, and its text without the shebang (whose line stays, empty). Raises CommandError."""
    if not text.startswith(b"#!"):
        return None, text
    line, line_break, rest = text.partition(b"\n")
    if not line_break:
        raise CommandError(b"ERR Invalid script shebang")
    words = split_words(line)
    if not words:
        raise CommandError(b"ERR Invalid engine in script shebang")
    if words[0] != b"#!lua":
        raise CommandError(b"ERR Unexpected engine in script shebang: %b" % words[0])
    flags = ScriptFlag(0)
    for word in words[1:]:
        if not word.startswith(b"flags="):
            raise CommandError(b"ERR Unknown lua shebang option: %b" % word)
        for name in word.removeprefix(b"flags=").split(b","):
            if name not in FLAGS:
                raise CommandError(b"ERR Unexpected flag in script shebang: %b" % name)
            flags |= FLAGS[name]
    return flags, b"\n" + rest


def library_header(text: bytes) -> tuple[bytes, bytes]:
    """The name of a library, and its text without the shebang. Raises CommandError."""
    if not text.startswith(b"#!"):
        raise CommandError(b"ERR Missing library metadata")
    line, line_break, rest = text.partition(b"\n")
    words = split_words(line) if line_break else None
    if not words:
        raise CommandError(b"ERR Invalid library metadata")
    name: bytes | None = None
    for word in words[1:]:
        if word[:5].lower() != b"name=":
            raise CommandError(b"ERR Invalid metadata value given: %b" % word)
        if name is not None:
            raise CommandError(b"ERR Invalid metadata value, name argument was given multiple times")
        name = word[5:]
    if name is None:
        raise CommandError(b"ERR Library name was not given")
    if not name or not name.replace(b"_", b"a").isalnum():
        raise CommandError(
            b"ERR Library names can only contain letters, numbers, or underscores(_) and must be at least "
            b"one character long"
        )
    engine = words[0].removeprefix(b"#!")
    if engine.lower() != b"lua":
        raise CommandError(b"ERR Engine '%b' not found" % engine)
    return name, b"\n" + rest
