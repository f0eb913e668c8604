"""The increment that is being written: appended to in whole pieces, or not at all.

A write that the disk takes only in part is undone by truncating, so that the next one does not stand behind
half a command.
"""

from __future__ import annotations

import os
from contextlib import suppress


class AppendError(Exception):
    """The disk did not take it. `written` bytes of it stand in the file all the same and could not be
    removed.
    """

    def __init__(self, failed: OSError, written: int) -> None:
        super().__init__(failed.strerror or str(failed))
        self.written = written


class Appender:
    """A file open for appending. `size` counts the bytes in it."""

    def __init__(self, path: str, *, fresh: bool) -> None:
        """With `fresh` what stands in the file is dropped. Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
        self.path = path
        self._descriptor = os.open(path, flags, 0o644)
        self.size = os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        """All of `data`, or nothing. Raises AppendError."""
        view = memoryview(data)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._descriptor, view[done:])
        except OSError as failed:
            if done:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self.size)
                    done = 0
            self.size += done
            raise AppendError(failed, done) from failed
        self.size += done

    def sync(self) -> None:
        """Returns when all is on disk. May be called in a thread. Raises OSError."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
