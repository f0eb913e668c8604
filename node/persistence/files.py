"""Files that are whole or not there: written beside their name, synced, renamed, and the directory synced.

A crash at any moment leaves the old version or the new one. `write` does the first half, in a child or here,
and removes what it wrote when the disk refuses; `publish` the second.

Two processes must not take each other's snapshot away, so whoever saves under a name holds a lock on a file
beside it. redis-server knows nothing of it and needs not; the file is removed when the lock is let go.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from contextlib import suppress

BUFFER_BYTES = 128 * 1024
SYNC_BYTES = 4 << 20
"""Written between two syncs of `rdb-save-incremental-fsync`, so that no last one has to wait for everything.
"""


class InUseError(Exception):
    """Another process has the lock; the text says on what."""


def write(path: str, pieces: Iterable[bytes], *, incremental_fsync: bool) -> int:
    """Writes and syncs a new file; returns its size in bytes. Raises OSError, and leaves no file then."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        try:
            size = _write_all(descriptor, pieces, SYNC_BYTES if incremental_fsync else 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    return size


def _write_all(descriptor: int, pieces: Iterable[bytes], sync_bytes: int) -> int:
    waiting: list[bytes] = []
    held = size = synced = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        if held >= BUFFER_BYTES:
            _write(descriptor, b"".join(waiting))
            waiting.clear()
            size += held
            held = 0
            if sync_bytes and size - synced >= sync_bytes:
                os.fdatasync(descriptor)
                synced = size
    _write(descriptor, b"".join(waiting))
    return size + held


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def publish(temporary: str, path: str) -> None:
    """Gives the file its name. Raises OSError, and removes the file then."""
    try:
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Raises OSError."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(path: str, pid: int) -> str:
    """Where the snapshot `path` is written by a process."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f"temp-{name}-{pid}")


def remove_leftovers(path: str) -> None:
    """Removes what processes left that died while they wrote `path`; to be called under its lock."""
    directory, name = os.path.split(path)
    leftover = re.compile(rf"temp-{re.escape(name)}-\d+")
    with suppress(OSError):
        for found in os.listdir(directory or "."):
            if leftover.fullmatch(found):
                os.unlink(os.path.join(directory, found))


class NameLock:
    """The right to save under one name at a time. It is lost with the process, however that ends."""

    def __init__(self) -> None:
        self._path = ""
        self._descriptor = -1

    def hold(self, path: str) -> None:
        """Takes the lock for the file `path`, and lets go of any other; nothing happens when it is held.

        Raises InUseError, OSError.
        """
        if path == self._path:
            return
        lock_path = _lock_name(path)
        descriptor = _locked(lock_path, path)
        self.release()
        self._path, self._descriptor = path, descriptor

    def release(self) -> None:
        if self._path:
            with suppress(OSError):
                os.unlink(_lock_name(self._path))
            os.close(self._descriptor)
            self._path, self._descriptor = "", -1


def _lock_name(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.lock")


def _locked(lock_path: str, path: str) -> int:
    while True:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have removed the file between our open and our lock.
            if os.path.samestat(os.fstat(descriptor), os.stat(lock_path)):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise InUseError(
                f"Another process saves its data to {path}: each needs a dir or a dbfilename of its own"
            ) from None
        except FileNotFoundError:
            pass  # removed: once more
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
