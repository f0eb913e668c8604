"""The bytes of an AOF → commands with their offsets.

Commands are arrays of bulk strings in canonical form; between them may stand annotations, lines that begin
with `#` (`#TS:1700000000`, the time of what follows). Blocks of a file are given to hiredis, many times
faster than anything written here, and believed only when the commands it gives, written again, are the bytes
that were read; whatever is out of the ordinary (an annotation, damage) is read again, carefully, from the
last boundary.

What is held back at the end of a file is a command that was cut, or the beginning of one.

Source: redis.conf, aof-timestamp-enabled; the RESP specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import hiredis

from node.resp.request import Request, wire_length

RDB_MAGIC = b"REDIS"
"""What a file, or the first part of it, begins with that is RDB."""

BULK_BYTES_MAX = 4 << 30
"""More than redis-server's proto-max-bulk-len allows anybody to write."""
ZEROS_BYTES_MAX = 64 << 20
_HEADER_BYTES_MAX = 32
_ANNOTATION_BYTES_MAX = 1024
_STAR, _DOLLAR, _HASH = b"*$#"
# Its stub knows one argument only.
_encode: Callable[[tuple[bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_announces_much = re.compile(rb"\*\d{7}").search


class AofFormatError(Exception):
    """Bytes that no server wrote. `offset` is where they stand in the file."""

    def __init__(self, offset: int, text: str) -> None:
        super().__init__(text)
        self.offset = offset


class Batch(NamedTuple):
    """Commands that follow each other: the first begins at `offset`, behind the last is `end`.

    They are in canonical form, so `wire_length` tells where each of several begins.
    """

    offset: int
    commands: list[Request]
    end: int

    def offset_of(self, index: int) -> int:
        return self.offset + wire_length(self.commands[:index])


class Annotation(NamedTuple):
    """A line that is no command, without its `#` and line end."""

    offset: int
    text: bytes


class Scanner:
    """Fed with a file from `offset` on. `offset` is then always that of the first byte not given out."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._raw = bytearray()  # from `offset` on
        self._reader = hiredis.Reader()
        self._known_bytes = 0  # how much of _raw the reader has
        self._careful_until = 0  # offset up to which hiredis is of no use

    @property
    def rest(self) -> bytes:
        """What belongs to nothing that was given out: of a whole file, nothing."""
        return bytes(self._raw)

    def feed(self, data: bytes) -> Iterator[Batch | Annotation]:
        """What is complete with `data`. Raises AofFormatError, after all that stands before the damage."""
        raw = self._raw
        seam = max(0, len(raw) - _HEADER_BYTES_MAX)
        raw += data
        if _announces_much(raw, seam):
            self._be_careful()
        while raw:
            if raw[0] == _HASH:
                item: Batch | Annotation | None = self._annotation()
            elif raw[0] != _STAR:
                raise AofFormatError(self.offset, f"expected a command, found byte {raw[0]:#04x}")
            else:
                item = self._many() if self.offset >= self._careful_until else None
                if item is None and self.offset < self._careful_until:
                    item = self._one()
            if item is None:
                return
            yield item

    def _drop(self, size: int) -> None:
        del self._raw[:size]
        self.offset += size

    def _be_careful(self) -> None:
        self._careful_until = self.offset + len(self._raw)
        self._forget_reader()

    def _forget_reader(self) -> None:
        self._reader = hiredis.Reader()
        self._known_bytes = 0

    def _many(self) -> Batch | None:
        """As many commands as hiredis finds; None when none is complete, or when it has to be careful."""
        raw = self._raw
        reader = self._reader
        reader.feed(bytes(raw[self._known_bytes :]))
        self._known_bytes = len(raw)
        try:
            found: list[Request] = list(iter(reader.gets, False))
            read = b"".join(map(_encode, map(tuple, found)))
        except (hiredis.ProtocolError, TypeError):
            self._be_careful()
            return None
        if not all(found):  # a command of no words
            self._be_careful()
            return None
        if not found:
            return None
        size = len(read)
        behind = raw[size] if size < len(raw) else _STAR
        if not raw.startswith(read) or behind not in (_STAR, _HASH):
            self._be_careful()
            return None
        batch = Batch(self.offset, found, self.offset + size)
        self._drop(size)
        self._known_bytes -= size
        if behind == _HASH:
            self._forget_reader()
        return batch

    def _one(self) -> Batch | None:
        """The next command, None when it is not complete. Raises AofFormatError."""
        count, at = self._header(0, _STAR, "a command")
        if at and count < 1:
            raise AofFormatError(self.offset, "a command of no words")
        words: Request = []
        raw = self._raw
        while at and len(words) < count:
            size, start = self._header(at, _DOLLAR, "an argument")
            at = end = start + size
            if not start or len(raw) < end + 2:
                return None
            if raw[end : end + 2] != b"\r\n":
                raise AofFormatError(self.offset + end, "an argument that is longer than it says")
            words.append(bytes(raw[start:end]))
            at = end + 2
        if not at:
            return None
        batch = Batch(self.offset, [words], self.offset + at)
        self._drop(at)
        return batch

    def _header(self, at: int, mark: int, what: str) -> tuple[int, int]:
        """The number behind a mark, and where what follows begins; (0, 0) when it is not there yet."""
        raw = self._raw
        if at >= len(raw):
            return 0, 0
        if raw[at] != mark:
            raise AofFormatError(
                self.offset + at, f"expected {what} ({chr(mark)!r}), found byte {raw[at]:#04x}"
            )
        end = raw.find(b"\r\n", at, at + _HEADER_BYTES_MAX)
        text = bytes(raw[at + 1 : end if end >= 0 else at + _HEADER_BYTES_MAX].rstrip(b"\r"))
        if (text and not text.isdigit()) or (end < 0 and len(raw) >= at + _HEADER_BYTES_MAX):
            raise AofFormatError(self.offset + at, f"the size of {what} is not a number")
        if end < 0:
            return 0, 0
        number = int(text) if text else 0
        if not text or number > BULK_BYTES_MAX:
            raise AofFormatError(self.offset + at, f"the size of {what} is not a number")
        return number, end + 2

    def _annotation(self) -> Annotation | None:
        self._forget_reader()
        end = self._raw.find(b"\n")
        if end < 0:
            if len(self._raw) > _ANNOTATION_BYTES_MAX:
                raise AofFormatError(self.offset, "an annotation without an end")
            return None
        found = Annotation(self.offset, bytes(self._raw[1:end]).rstrip(b"\r"))
        self._drop(end + 1)
        return found


def ends_in_zeros(path: str, offset: int) -> bool:
    """Whether from `offset`, a boundary, on there is a cut command at most, and then zeros to the end: what a
    file system may leave after a power failure. Raises OSError.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        tail = file.read(ZEROS_BYTES_MAX + 1)
    stripped = tail.rstrip(b"\0")
    if len(tail) > ZEROS_BYTES_MAX or len(stripped) == len(tail):
        return False
    try:
        return not list(Scanner(offset).feed(stripped))
    except AofFormatError:
        return False
