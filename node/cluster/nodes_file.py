"""nodes.conf on disk: read once, held under a lock while the node lives, replaced atomically.

A new version is written beside the old one, synced, and renamed over it, and then the directory is synced:
a crash at any moment leaves the old version or the new one, whole. The lock (flock, as redis-server takes
it) is on the file itself; since each version is another file, the new one is locked before it gets the
name, so no moment is without a lock.

Source: redis.conf, cluster-config-file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from random import Random

from gossip import nodes_conf
from gossip.errors import NodesConfError
from gossip.state import ClusterState


class NodesFileError(Exception):
    """The file cannot be used: in use, corrupt, unreadable or unwritable; the text names it."""


class NodesFile:
    """The file at `path`, locked by this process from `load` to `close`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self.before_sync: Callable[[], None] = lambda: None

    def load(self, now_ms: int, rng: Random) -> ClusterState | None:
        """Locks the file and reads it; None when there was none or it was empty. Raises NodesFileError."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as failed:
            raise NodesFileError(f"Can't open {self.path}: {failed.strerror}") from failed
        self._descriptor = descriptor
        self._lock(descriptor)
        if not os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
            raise NodesFileError(self._in_use())  # its owner replaced it between our open and our lock
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        if not data:
            return None
        try:
            return nodes_conf.load(data, now_ms, rng)
        except NodesConfError as wrong:
            raise NodesFileError(
                f"Unrecoverable error: corrupted cluster config file {self.path}: {wrong}. "
                "Restore it from a copy, or remove it to start as a new, empty node."
            ) from wrong

    def save(self, state: ClusterState, *, fsync: bool) -> None:
        """Replaces the file. Raises NodesFileError when the disk refuses; the old version then remains."""
        temporary = f"{self.path}.{os.getpid()}.tmp"
        descriptor = -1
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(nodes_conf.dump(state))
            if fsync:
                self.before_sync()
                os.fsync(descriptor)
            self._lock(descriptor)
            os.rename(temporary, self.path)
            if fsync:
                self._sync_directory()
        except OSError as failed:
            if descriptor >= 0:
                os.close(descriptor)
            with suppress(OSError):
                os.unlink(temporary)
            raise NodesFileError(f"Can't write {self.path}: {failed.strerror}") from failed
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NodesFileError(self._in_use()) from None

    def _in_use(self) -> str:
        return (
            f"Sorry, the cluster configuration file {self.path} is already used by a different cluster node. "
            "Please make sure that different nodes use different cluster configuration files."
        )

    def _sync_directory(self) -> None:
        descriptor = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
