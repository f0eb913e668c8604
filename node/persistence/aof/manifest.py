"""The manifest of a multi-part AOF: which files make up the data set, and in which order.

At most one *base* holds everything up to the last rewrite (as RDB, or as commands); *increments*, in order,
hold what came after; *history* files are what a rewrite has replaced and nobody has deleted yet. A manifest
is never changed: each step makes the next one, which is written beside the old one and renamed over it, so
the disk always has a whole one.

    file appendonly.aof.2.base.rdb seq 2 type b
    file appendonly.aof.2.incr.aof seq 2 type i

Source: redis.conf's chapter on append-only mode; the layout is that of Redis 7.0.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from node.integers import parse_integer
from node.words import quote, split_words

LINE_BYTES_MAX = 1024
_QUOTED = frozenset(b"\\\"'\n\r\t\a\b \x0b\x0c")


class FileType(Enum):
    """The value is the manifest's letter."""

    BASE = b"b"
    HISTORY = b"h"
    INCREMENT = b"i"


class ManifestError(Exception):
    """A manifest that cannot be read or written; the text says why, and names the line."""


@dataclass(frozen=True, slots=True)
class AofFile:
    """A line of the manifest; `name` has no directory, `sequence` counts bases or increments from 1."""

    name: str
    sequence: int
    type: FileType

    def line(self) -> bytes:
        name = os.fsencode(self.name)
        if any(byte in _QUOTED or not 32 <= byte < 127 for byte in name):
            name = quote(name)
        return b"file %b seq %d type %b\n" % (name, self.sequence, self.type.value)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`increments` are in the order of their commands."""

    base: AofFile | None = None
    increments: tuple[AofFile, ...] = ()
    history: tuple[AofFile, ...] = ()

    @property
    def files(self) -> tuple[AofFile, ...]:
        """Those that make up the data set, in the order they are to be loaded."""
        return (*((self.base,) if self.base else ()), *self.increments)

    @property
    def all_files(self) -> tuple[AofFile, ...]:
        return (*((self.base,) if self.base else ()), *self.history, *self.increments)

    def dump(self) -> bytes:
        return b"".join(file.line() for file in self.all_files)

    def with_base(self, stem: str, suffix: str) -> tuple[Manifest, AofFile]:
        """After a rewrite: a new base; the old one is history. `suffix` is `rdb` or `aof`."""
        sequence = self._next_sequence(FileType.BASE, ".base.")
        base = AofFile(f"{stem}.{sequence}.base.{suffix}", sequence, FileType.BASE)
        old = () if self.base is None else (replace(self.base, type=FileType.HISTORY),)
        return replace(self, base=base, history=(*old, *self.history)), base

    def with_increment(self, stem: str) -> tuple[Manifest, AofFile]:
        """One more increment behind the others, to be written from now on."""
        sequence = self._next_sequence(FileType.INCREMENT, ".incr.")
        increment = AofFile(f"{stem}.{sequence}.incr.aof", sequence, FileType.INCREMENT)
        return replace(self, increments=(*self.increments, increment)), increment

    def with_rewritten(self, keep: int) -> Manifest:
        """After a rewrite: all increments but the last `keep` are history."""
        count = len(self.increments) - keep
        old = tuple(replace(file, type=FileType.HISTORY) for file in reversed(self.increments[:count]))
        return replace(self, increments=self.increments[count:], history=(*old, *self.history))

    def without_history(self) -> Manifest:
        return replace(self, history=())

    def _next_sequence(self, type: FileType, mark: str) -> int:
        """History counts too: its files may still be there, and must not be written over."""
        used = [
            file.sequence
            for file in self.all_files
            if file.type is type or (file.type is FileType.HISTORY and mark in file.name)
        ]
        return max(used, default=0) + 1


def parse(data: bytes) -> Manifest:
    """Raises ManifestError with Redis's reasons and the number of the line."""
    if not data:
        raise ManifestError("Found an empty AOF manifest")
    base: AofFile | None = None
    increments: list[AofFile] = []
    history: list[AofFile] = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if line.startswith(b"#"):
            continue
        try:
            file = _parse_line(line)
            if file.type is FileType.BASE:
                if base is not None:
                    raise ManifestError("Found duplicate base file information")
                base = file
            elif file.type is FileType.INCREMENT:
                if increments and file.sequence <= increments[-1].sequence:
                    raise ManifestError("Found a non-monotonic sequence number")
                increments.append(file)
            else:
                history.append(file)
        except ManifestError as wrong:
            shown = line.decode("utf-8", "backslashreplace").strip()
            raise ManifestError(f"{wrong}, at line {number}: {shown!r}") from None
    return Manifest(base, tuple(increments), tuple(history))


def _parse_line(line: bytes) -> AofFile:
    if len(line) > LINE_BYTES_MAX or not line.endswith(b"\n"):
        raise ManifestError("The AOF manifest file contains too long line")
    words = split_words(line.strip())
    if not words or len(words) < 6 or len(words) % 2:
        raise ManifestError("Invalid AOF manifest file format")
    fields = {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}
    name = os.fsdecode(fields.get(b"file", b""))
    sequence = parse_integer(fields.get(b"seq", b""))
    letter = fields.get(b"type", b"")[:1]
    if not name or sequence is None or sequence < 1 or not letter:
        raise ManifestError("Invalid AOF manifest file format")
    if "/" in name or name in (".", ".."):
        raise ManifestError("File can't be a path, just a filename")
    try:
        type = FileType(letter)
    except ValueError:
        raise ManifestError("Unknown AOF file type") from None
    return AofFile(name, sequence, type)


def read(path: str) -> Manifest | None:
    """The manifest at `path`, None when there is none. Raises ManifestError, which names the path."""
    try:
        with open(path, "rb") as file:
            return parse(file.read())
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise ManifestError(
            f"can't open the AOF manifest file {path} for reading: {failed.strerror}"
        ) from failed
    except ManifestError as wrong:
        raise ManifestError(f"AOF manifest file {path}: {wrong}") from None


def write(path: str, manifest: Manifest) -> None:
    """Replaces the manifest at `path`; its name is on disk when the directory is synced. Raises
    ManifestError; the old one remains then.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f"temp-{name}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(manifest.dump())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError as failed:
        with suppress(OSError):
            os.unlink(temporary)
        raise ManifestError(f"Can't write the AOF manifest file {path}: {failed.strerror}") from failed
