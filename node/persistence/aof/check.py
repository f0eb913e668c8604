"""`python -m node check-aof [--fix] MANIFEST|FILE`: what is wrong with an AOF, where, and what can be cut
off.

A file is whole up to some offset. What follows may be a tail that a crash left (a cut command, a transaction
without its end, zeros, anything behind which no command comes): it can be cut off, if the file is the last
one, and is kept in a file of its own. Damage in the middle, with commands behind it, is only reported: to cut
there would throw away what is whole.

Exit status: 0 when all is well (or has been repaired), 1 when not, 2 for a wrong call.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from node.integers import parse_integer
from node.persistence.aof import manifest as manifests
from node.persistence.aof.manifest import ManifestError
from node.persistence.aof.scan import RDB_MAGIC, Annotation, AofFormatError, Batch, Scanner
from node.rdb.errors import RdbError
from node.rdb.file import Key, RdbReader

USAGE = """\
Usage: python -m node check-aof [--fix] [--truncate-to-timestamp SECONDS] MANIFEST|FILE
"""
BLOCK_BYTES = 1 << 20
_COMMAND = re.compile(rb"\r\n(\*\d{1,9}\r\n\$\d{1,10}\r\n)")

Say = Callable[[str], None]


@dataclass(slots=True)
class Finding:
    """What is known of one file: whole up to `whole_bytes`, of `size_bytes`. `problem` is "" for a good one.

    `cuttable` when nothing of worth follows. `later_at` is where what is later than a time asked for begins.
    """

    path: str
    size_bytes: int = 0
    whole_bytes: int = 0
    commands: int = 0
    has_rdb: bool = False
    keys: int = 0
    problem: str = ""
    cuttable: bool = False
    first_stamp_s: int | None = None
    last_stamp_s: int | None = None
    later_at: int | None = None


def examine(path: str, until_s: int | None = None) -> Finding:
    """Reads a file of an AOF through. With `until_s`, Unix time, looks for what is later. Raises OSError."""
    found = Finding(path, size_bytes=os.stat(path).st_size)
    with open(path, "rb") as file:
        begins_with_rdb = file.read(len(RDB_MAGIC)) == RDB_MAGIC
        file.seek(0)
        rest = _read_rdb(found, file) if begins_with_rdb else b""
        if found.problem:
            return found
        reading = _Commands(found, file.tell() - len(rest), until_s)
        reading.feed(rest)
        while reading.damaged_at is None and (block := file.read(BLOCK_BYTES)):
            reading.feed(block)
        reading.end()
        if reading.damaged_at is not None:
            file.seek(reading.damaged_at)
            found.cuttable = not _commands_follow(file.read())
    return found


def _read_rdb(found: Finding, file: BinaryIO) -> bytes:
    """Returns what was read behind the RDB part."""
    found.has_rdb = True
    reader = RdbReader()
    try:
        while not reader.ended and (block := file.read(BLOCK_BYTES)):
            found.keys += sum(type(item) is Key for item in reader.feed(block))
        found.keys += sum(type(item) is Key for item in reader.close())
    except RdbError as bad:
        found.problem = f"the RDB part is damaged: {bad}"
        return b""
    found.whole_bytes = file.tell() - len(reader.rest)
    return reader.rest


class _Commands:
    """The part of a file that is commands, from `offset` on."""

    def __init__(self, found: Finding, offset: int, until_s: int | None) -> None:
        self._found = found
        self._until_s = until_s
        self._scanner = Scanner(offset)
        self._multi_at: int | None = None  # where a transaction begins that has not ended
        self.damaged_at: int | None = None  # what stands there no server writes

    def feed(self, data: bytes) -> None:
        try:
            for item in self._scanner.feed(data):
                if type(item) is Batch:
                    self._batch(item)
                elif type(item) is Annotation:
                    self._annotation(item)
                if self._multi_at is None:
                    self._found.whole_bytes = self._scanner.offset
        except AofFormatError as bad:
            self._damaged(bad.offset, str(bad))

    def _damaged(self, offset: int, text: str) -> None:
        if self.damaged_at is None:
            self.damaged_at = offset
            self._found.problem = f"{text}, at offset {offset}"

    def _batch(self, batch: Batch) -> None:
        self._found.commands += len(batch.commands)
        for index, argv in enumerate(batch.commands):
            if len(argv) != 1:
                continue
            word = argv[0].upper()
            if word == b"MULTI":
                offset = batch.offset_of(index)
                if self._multi_at is not None:
                    raise AofFormatError(offset, "a MULTI inside of a transaction")
                self._multi_at = offset
                self._found.whole_bytes = offset
            elif word == b"EXEC":
                if self._multi_at is None:
                    self._found.whole_bytes = batch.offset_of(index)
                    raise AofFormatError(self._found.whole_bytes, "an EXEC without its MULTI")
                self._multi_at = None

    def _annotation(self, note: Annotation) -> None:
        found = self._found
        stamp_s = parse_integer(note.text[3:]) if note.text.startswith(b"TS:") else None
        if stamp_s is None:
            return
        found.first_stamp_s = found.first_stamp_s or stamp_s
        found.last_stamp_s = stamp_s
        if self._until_s is not None and stamp_s > self._until_s and found.later_at is None:
            found.later_at = note.offset if self._multi_at is None else self._multi_at

    def end(self) -> None:
        found, scanner = self._found, self._scanner
        if self.damaged_at is not None:
            return
        found.cuttable = True
        if self._multi_at is not None:
            found.problem = f"the transaction that begins at offset {self._multi_at} has no end"
        elif scanner.rest:
            found.problem = f"the command that begins at offset {scanner.offset} is not whole"


def _commands_follow(tail: bytes) -> bool:
    """Whether somewhere in `tail` there is a whole command."""
    for match in _COMMAND.finditer(tail):
        try:
            if any(Scanner().feed(tail[match.start(1) : match.start(1) + BLOCK_BYTES])):
                return True
        except AofFormatError:
            continue
    return False


# The tool


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asks for."""

    path: str
    fix: bool = False
    until_s: int | None = None


def parse_order(words: Sequence[str]) -> Order | None:
    """None when the call is wrong."""
    rest = list(words)
    fix, until_s = False, None
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option == "--fix":
            fix = True
        elif option == "--truncate-to-timestamp" and rest and rest[0].isdigit():
            until_s = int(rest.pop(0))
        else:
            return None
    return Order(rest[0], fix, until_s) if len(rest) == 1 else None


def main(words: Sequence[str], say: Say, ask: Callable[[str], bool]) -> int:
    """Returns the exit status. `ask` puts a question, and is True for yes."""
    order = parse_order(words)
    if order is None:
        say(USAGE.rstrip())
        return 2
    try:
        if _is_manifest(order.path):
            return _check_manifest(order, say, ask)
        return int(not _check_file(order, order.path, say, ask, is_last=True))
    except (OSError, ManifestError) as failed:
        say(f"Cannot check {order.path}: {_reason(failed)}")
        return 1


def _reason(failed: Exception) -> str:
    return (failed.strerror or str(failed)) if isinstance(failed, OSError) else str(failed)


def _is_manifest(path: str) -> bool:
    with open(path, "rb") as file:
        return path.endswith(".manifest") or file.read(5) == b"file "


def _check_manifest(order: Order, say: Say, ask: Callable[[str], bool]) -> int:
    manifest = manifests.read(order.path)
    assert manifest is not None, "it has just been looked into"
    directory = os.path.dirname(order.path)
    named = {file.name for file in manifest.all_files}
    say(f"The manifest {order.path} is well-formed and names {len(manifest.files)} files:")
    good = True
    for file in manifest.files:
        path = os.path.join(directory, file.name)
        is_last = file is manifest.files[-1]
        try:
            good &= _check_file(order, path, say, ask, is_last=is_last)
        except OSError as failed:
            say(f"{path}: {_reason(failed)}")
            good = False
    for name in sorted(set(os.listdir(directory or ".")) - named - {os.path.basename(order.path)}):
        say(f"{name} is not named by the manifest and plays no part.")
    say("All files are good." if good else "The AOF is not valid.")
    return int(not good)


def _check_file(order: Order, path: str, say: Say, ask: Callable[[str], bool], *, is_last: bool) -> bool:
    """Whether the file is good in the end. Raises OSError."""
    found = examine(path, order.until_s)
    what = f"RDB with {found.keys} keys, " if found.has_rdb else ""
    say(
        f"{path}: {found.size_bytes} bytes: {what}{found.commands} commands; whole up to {found.whole_bytes}."
    )
    if found.first_stamp_s is not None and found.last_stamp_s is not None:
        say(f"  Its times go from {_time(found.first_stamp_s)} to {_time(found.last_stamp_s)}.")
    if found.problem:
        say(f"  PROBLEM: {found.problem}.")
        return _offer_cut(order, found, found.whole_bytes, say, ask, is_last=is_last)
    if found.later_at is not None:
        return _offer_cut(order, found, found.later_at, say, ask, is_last=is_last)
    return True


def _time(stamp_s: int) -> str:
    return f"{stamp_s} ({time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(stamp_s))} UTC)"


def _offer_cut(
    order: Order, found: Finding, at: int, say: Say, ask: Callable[[str], bool], *, is_last: bool
) -> bool:
    """Cuts a file, if that may be and is wanted; True when it is good then."""
    size_bytes = found.size_bytes - at
    wanted = order.fix if found.problem else True
    if found.problem and not found.cuttable:
        say("  Nothing can be cut: this is RDB, or commands follow the damage. Restore the file from a copy.")
        return False
    if not is_last:
        say("  Nothing is cut: it is not the last file, and what follows needs all of it.")
        return False
    if not wanted:
        say(f"  The last {size_bytes} bytes can be cut off: use --fix.")
        return False
    kept = f"{found.path}.cut-{at}"
    say(f"  From offset {at} on {size_bytes} bytes would be cut off, and kept in {kept}.")
    if not ask("Continue? [y/N]: "):
        say("  Nothing has been changed.")
        return False
    _cut(found.path, at, kept)
    say(f"  Cut at offset {at}: {found.path} is good now.")
    return True


def _cut(path: str, at: int, kept: str) -> None:
    with open(path, "rb") as file, open(kept, "xb") as copy:
        file.seek(at)
        while block := file.read(BLOCK_BYTES):
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    os.truncate(path, at)
