"""The directory of a multi-part AOF: its manifest and the files that it names.

A file is there before the manifest names it, and the manifest forgets it before it is deleted, so a crash
between any two steps leaves a manifest whose files are all there. The directory is locked (flock) by the node
that writes in it; redis-server takes no notice of that, and leaves no lock behind.

Source: redis.conf's chapter on append-only mode; names and steps are those of Redis 7.0.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress

from node.persistence.aof import manifest as manifests
from node.persistence.aof.appender import Appender
from node.persistence.aof.errors import AofError
from node.persistence.aof.manifest import AofFile, FileType, Manifest, ManifestError
from node.persistence.files import sync_directory

Notice = Callable[[str], None]

_TEMPORARY_BASE = "temp-rewriteaof-bg-"


class AofDirectory:
    """`path` is the directory, `stem` what all names begin with, `parent` where the AOF of Redis before 7.0
    would be (one file, named `stem`).
    """

    def __init__(self, parent: str, name: str, stem: str, notice: Notice) -> None:
        self.parent = parent
        self.path = os.path.join(parent, name)
        self.stem = stem
        self.manifest = Manifest()
        self._notice = notice
        self._lock = -1
        self._names_synced = True

    @property
    def manifest_path(self) -> str:
        return os.path.join(self.path, f"{self.stem}.manifest")

    def path_of(self, file: AofFile) -> str:
        return os.path.join(self.path, file.name)

    # Opening

    def open(self) -> None:
        """Makes the directory if need be, locks it and reads the manifest. Raises AofError."""
        if self._lock >= 0:
            return
        try:
            with suppress(FileExistsError):
                os.mkdir(self.path, 0o755)
            lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as failed:
            raise AofError(f"Can't open or create append-only dir {self.path}: {failed.strerror}") from failed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AofError(
                f"The append-only dir {self.path} is already used by a different node. "
                "Please make sure that different nodes use different directories."
            ) from None
        self._lock = lock
        try:
            self.manifest = manifests.read(self.manifest_path) or Manifest()
        except ManifestError as wrong:
            self.close()
            raise AofError(f"Fatal error: {wrong}") from None
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """What a rewrite left unfinished when the node ended. Nobody else writes here."""
        for name in os.listdir(self.path):
            if name.startswith(_TEMPORARY_BASE) or name == os.path.basename(self._temporary_increment):
                with suppress(OSError):
                    os.unlink(os.path.join(self.path, name))

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def upgrade(self) -> None:
        """Makes the one file of a Redis before 7.0 the base, and moves it here. Raises AofError.

        When that was begun before and broken off, it goes on.
        """
        old = os.path.join(self.parent, self.stem)
        if not os.path.isfile(old):
            return
        known = self.manifest
        moved = os.path.join(self.path, self.stem)
        begun = known.base is not None and known.base.name == self.stem and not os.path.exists(moved)
        if known.increments or (known.base is not None and not begun):
            return
        self._save(Manifest(AofFile(self.stem, 1, FileType.BASE)))
        try:
            os.rename(old, moved)
            sync_directory(self.path)
            sync_directory(self.parent)
        except OSError as failed:
            raise AofError(
                f"Error trying to move the old AOF file {old} into dir {self.path}: {failed.strerror}"
            ) from failed
        self._notice(
            f"Successfully migrated an old-style AOF file ({self.stem}) into the AOF directory ({self.path})."
        )

    def sizes(self) -> list[tuple[AofFile, int]]:
        """The files of the data set with their sizes in bytes. Raises AofError when one is missing."""
        found = []
        for file in self.manifest.files:
            path = self.path_of(file)
            try:
                size = os.stat(path).st_size
            except OSError as failed:
                raise AofError(f"Unable to obtain the AOF file {path} length: {failed.strerror}") from failed
            if not os.path.isfile(path):
                raise AofError(f"{path}, which the AOF manifest names, is not a regular file")
            found.append((file, size))
        return found

    # Steps

    def last_increment(self) -> Appender:
        """The increment to go on with: the last one, or a new one. Raises AofError."""
        if self.manifest.increments:
            increment = self.manifest.increments[-1]
            self._notice(f"Opening AOF incr file {increment.name} on server start")
            return self._open(self.path_of(increment), fresh=False)
        return self.new_increment("server start")

    def new_increment(self, occasion: str) -> Appender:
        """One more increment, in the manifest when this returns. Raises AofError, and nothing has changed."""
        after, increment = self.manifest.with_increment(self.stem)
        appender = self._open(self.path_of(increment), fresh=True)
        try:
            self._save(after)
        except AofError:
            appender.close()
            raise
        self._notice(f"Creating AOF incr file {increment.name} on {occasion}")
        return appender

    @property
    def _temporary_increment(self) -> str:
        return os.path.join(self.path, f"temp-{self.stem}.incr")

    def temporary_increment(self) -> Appender:
        """What is written while the AOF's first base is in the making; the manifest does not name it yet.

        Raises AofError.
        """
        return self._open(self._temporary_increment, fresh=True)

    def drop_temporary_increment(self) -> None:
        with suppress(OSError):
            os.unlink(self._temporary_increment)

    def temporary_base(self) -> str:
        """Where a rewrite may write its file."""
        return os.path.join(self.path, f"{_TEMPORARY_BASE}{os.getpid()}.aof")

    def install_base(self, temporary: str, suffix: str, *, first: bool, keep: int) -> None:
        """Ends a rewrite: the file at `temporary` is the base now, all increments but the last `keep` are
        history. With `first` the temporary increment becomes the only one. Raises AofError, and the manifest
        is as it was.
        """
        after, base = self.manifest.with_base(self.stem, suffix)
        new_path = self.path_of(base)
        self._rename(temporary, new_path)
        moved = ""
        if first:
            after, increment = after.with_increment(self.stem)
            moved = self.path_of(increment)
            try:
                self._rename(self._temporary_increment, moved)
            except AofError:
                os.unlink(new_path)
                raise
        try:
            self._save(after.with_rewritten(keep=keep))
        except AofError:
            os.unlink(new_path)
            if moved:
                self._rename(moved, self._temporary_increment)
            raise
        self._notice(f"Successfully renamed the temporary AOF base file {temporary} into {base.name}")

    def forget_history(self) -> list[str]:
        """Takes history out of the manifest; returns the paths, to be deleted. Raises AofError.

        None while a power failure could bring the manifest back that needs those files.
        """
        if not self._names_synced:
            return []
        paths = [self.path_of(file) for file in self.manifest.history]
        if paths:
            self._save(self.manifest.without_history())
        return paths if self._names_synced else []

    def _save(self, after: Manifest) -> None:
        try:
            manifests.write(self.manifest_path, after)
        except ManifestError as failed:
            raise AofError(str(failed)) from failed
        self.manifest = after
        try:
            sync_directory(self.path)
            self._names_synced = True
        except OSError as failed:
            self._names_synced = False
            self._notice(f"Fail to fsync AOF directory {self.path}: {failed.strerror}")

    def _open(self, path: str, *, fresh: bool) -> Appender:
        try:
            return Appender(path, fresh=fresh)
        except OSError as failed:
            raise AofError(f"Can't open the append-only file {path}: {failed.strerror}") from failed

    def _rename(self, old: str, new: str) -> None:
        try:
            os.rename(old, new)
        except OSError as failed:
            raise AofError(
                f"Error trying to rename the temporary AOF file {old} into {new}: {failed.strerror}"
            ) from failed
