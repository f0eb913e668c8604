"""What can be wrong with an append-only file."""

from __future__ import annotations


class AofError(Exception):
    """The AOF cannot be used, or not be written; the text names the file, and an offset if there is one."""
