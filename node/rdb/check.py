"""`python -m node check-rdb FILE`: reads a file as a node would, and tells what is in it.

What stands in front of the keys is told as it comes, each with its offset; then how many keys there are of
each type, and how the file ends. Damage is told with the offset where reading failed, and how far it was
until then.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import cast

from node.rdb.errors import RdbError
from node.rdb.file import (
    HEADER_BYTES,
    Aux,
    End,
    Function,
    Item,
    Key,
    RdbReader,
    ResizeDb,
    SelectDb,
    SlotInfo,
    Strings,
)
from node.values.kinds import Value, type_name

_PIECE_BYTES = 1 << 20
_SHOWN_BYTES = 200

Say = Callable[[str], None]


def check_file(path: str, say: Say) -> int:
    """Says what is found, a line at a time; returns the exit status: 1 for a file that cannot be loaded."""
    say(f"[offset 0] Checking RDB file {path}")
    check = _Check(say)
    try:
        with open(path, "rb", buffering=0) as file:
            check.read(iter(lambda: file.read(_PIECE_BYTES), b""))
    except OSError as failed:
        say(f"Cannot read {path}: {failed.strerror}")
        return 1
    except RdbError as wrong:
        say("--- RDB ERROR DETECTED ---")
        say(f"[offset {wrong.offset}] {wrong.text}")
        check.say_where()
        check.say_counts()
        return 1
    check.say_counts()
    return 0


class _Check:
    def __init__(self, say: Say) -> None:
        self._say = say
        self._reader = RdbReader(batches=True)
        self._now_ms = time.time_ns() // 1_000_000
        self._types: Counter[str] = Counter()
        self._db = 0
        self._last_key: bytes | None = None
        self._slots = 0
        self._expiring = 0
        self._expired = 0

    def read(self, pieces: Iterator[bytes]) -> None:
        """Raises RdbError."""
        reader = self._reader
        for piece in pieces:
            self._take(reader.feed(piece))
            if reader.ended:
                break
        self._take(reader.close())
        left = len(reader.rest) + sum(map(len, pieces))
        if left:
            self._say(f"[info] {left} bytes follow the end of the file, and are ignored")

    def _take(self, items: Iterator[Item]) -> None:
        reader = self._reader
        while True:
            offset = max(reader.offset, HEADER_BYTES)
            item = next(items, None)
            if item is None:
                return
            self._note(item, offset)

    def _note(self, item: Item, offset: int) -> None:
        match item:
            case Strings(keys=keys):
                self._types["string"] += len(keys)
                self._last_key = keys[-1]
            case Key():
                self._note_key(item)
            case Aux(name=name, value=value):
                self._say(f"[offset {offset}] AUX FIELD {_shown(name)} = '{_shown(value)}'")
            case SelectDb(db=db):
                self._db = db
                self._say(f"[offset {offset}] Selecting DB ID {db}")
            case ResizeDb(key_count=keys, expire_count=expiring):
                self._say(f"[offset {offset}] {keys} keys announced, {expiring} with an expiry")
            case SlotInfo():
                self._slots += 1
            case Function(code=code):
                first = code.split(b"\n", 1)[0]
                self._say(f"[offset {offset}] Library of functions, {len(code)} bytes: {_shown(first)}")
            case End(checked=checked):
                text = "Checksum OK" if checked else "The file has no checksum"
                self._say(f"[offset {offset}] {text}")
                self._say(f"[offset {self._reader.offset}] RDB looks OK")

    def _note_key(self, item: Key) -> None:
        self._types[type_name(cast(Value, item.value)).decode()] += 1
        self._last_key = item.key
        if item.expire_at_ms is not None:
            self._expiring += 1
            self._expired += item.expire_at_ms < self._now_ms

    def say_where(self) -> None:
        if self._last_key is not None:
            self._say(f"[info] Last key read: '{_shown(self._last_key)}' of database {self._db}")

    def say_counts(self) -> None:
        types = ", ".join(f"{count} of type {name}" for name, count in sorted(self._types.items()))
        self._say(f"[info] {self._types.total()} keys read{': ' if types else ''}{types}")
        self._say(f"[info] {self._expiring} keys with an expiry")
        self._say(f"[info] {self._expired} keys whose time is over")
        if self._slots:
            self._say(f"[info] hints about {self._slots} slots")


def _shown(data: bytes) -> str:
    return data[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
