"""A backup's directory on disk: there whole, under its name, or not at all; and checked before it is used.

Files are written below a temporary name beside the directory, each is fsync'd, the manifest last; then the
directory gets its name, and the one above is fsync'd. Whatever ends a backup before that leaves nothing that
looks like one. A ctl that was killed leaves `.NAME.partial-…`, which nobody takes for a backup either; the
next backup beside it removes it. A ctl at work holds a lock (flock) on its temporary directory, which ends
with the process, so there is no doubt whose directory nobody needs any more.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ctl.errors import CtlError, UsageError
from ctl.plan.backup import MANIFEST, BackupError, Manifest, from_json, to_json

READ_BYTES = 1 << 20
_MANIFEST_BYTES_MAX = 64 << 20
_partial = re.compile(r"\..+\.partial-[0-9a-f]{8}").fullmatch


def unwritable(path: Path, error: OSError) -> CtlError:
    reason = (error.strerror or str(error)).lower()
    return CtlError(f"cannot write {path}: {reason}", "The backup was given up; nothing of it was left.")


class Growing:
    """One file that is being written, with its checksum. Methods raise CtlError; call them in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sum = hashlib.sha256()
        self.size_bytes = 0
        try:
            self._file = path.open("xb", buffering=READ_BYTES)
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._sum.update(data)
        self.size_bytes += len(data)

    def finish(self) -> str:
        """Makes it last; its SHA-256 in hexadecimal."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise unwritable(self._path, error) from error
        return self._sum.hexdigest()

    def abandon(self) -> None:
        try:
            self._file.close()
        except OSError:
            return  # what was buffered does not fit on the disk, and is not wanted; the file is closed


def check_new(directory: Path) -> None:
    """Raises UsageError where a backup cannot get this name."""
    if os.path.lexists(directory):
        raise UsageError(f"{directory} exists already", "A backup never overwrites: give another name.")
    if not directory.parent.is_dir():
        raise UsageError(f"{directory.parent} is not a directory", "Make it first.")


def remove_abandoned(parent: Path) -> list[Path]:
    """Removes what backups into `parent` left whose ctl was killed; which these were.

    What is not ours, or cannot be removed, stays.
    """
    removed = []
    for path in sorted(parent.iterdir()):
        if not _partial(path.name) or path.is_symlink():
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed.append(path)
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return removed


@asynccontextmanager
async def new_directory(directory: Path) -> AsyncIterator[tuple[Path, Callable[[Manifest], None]]]:
    """A temporary directory and a function that writes the manifest and gives it the name `directory`.

    Unless that was called the directory is removed at the end.
    """
    check_new(directory)
    temporary = directory.with_name(f".{directory.name}.partial-{secrets.token_hex(4)}")
    unlocked = temporary.with_name(f".{directory.name}.new-{secrets.token_hex(4)}")
    try:
        unlocked.mkdir(mode=0o700)
        lock = os.open(unlocked, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(temporary)  # only now it has a name that another ctl looks at
    except OSError as error:
        raise unwritable(temporary, error) from error

    def commit(manifest: Manifest) -> None:
        file = Growing(temporary / MANIFEST)
        try:
            file.write((json.dumps(to_json(manifest), indent=1) + "\n").encode())
            file.finish()
        finally:
            file.abandon()
        try:
            _sync(temporary)
            check_new(directory)
            temporary.rename(directory)
            _sync(directory.parent)
        except OSError as error:
            raise unwritable(directory, error) from error

    try:
        yield temporary, commit
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(temporary, ignore_errors=True))
        os.close(lock)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(directory: Path) -> Manifest:
    """Raises BackupError, UsageError for a directory that is not there."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", "Give the directory that `backup` made.")
    try:
        with (directory / MANIFEST).open("rb") as file:
            text = file.read(_MANIFEST_BYTES_MAX).decode()
    except FileNotFoundError as error:
        raise BackupError(f"{directory} has no {MANIFEST}: it is not a backup, or not a whole one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"cannot read {directory / MANIFEST}: {error}") from error
    return from_json(text)


def verify(directory: Path, manifest: Manifest, on_bytes: Callable[[int], None] = lambda _: None) -> None:
    """Reads every file and compares size and checksum. Raises BackupError for the first that is wrong."""
    for shard in manifest.shards:
        path = directory / shard.file
        summed, size_bytes = hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while piece := file.read(READ_BYTES):
                    summed.update(piece)
                    size_bytes += len(piece)
                    on_bytes(len(piece))
        except FileNotFoundError as error:
            raise BackupError(
                f"{shard.file} is missing: slots {shard.slots} are not in the backup"
            ) from error
        except OSError as error:
            raise BackupError(f"cannot read {path}: {error.strerror}") from error
        if size_bytes != shard.size_bytes:
            raise BackupError(
                f"{shard.file} has {size_bytes:,} bytes, not {shard.size_bytes:,}: it was changed"
            )
        if summed.hexdigest() != shard.sha256:
            raise BackupError(f"{shard.file} was changed: its checksum does not match")
