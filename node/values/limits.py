"""Up to where collections are stored compactly: the directives *-max-listpack-* and set-max-intset-entries.

They can change while the node runs, so every operation that may make a collection grow gets the limits of the
moment. A collection that was converted under tighter limits stays as it is.

Source: redis.conf of Redis 7.2, "ADVANCED CONFIG".
"""

from __future__ import annotations

from dataclasses import dataclass

_NODE_BYTES = (4096, 8192, 16384, 32768, 65536)
# What a limit on entries does not limit: an entry may be long.
_SAFE_BYTES = 8192
_UNLIMITED = 1 << 63


@dataclass(frozen=True, slots=True)
class Limits:
    """Entries (fields, members) and bytes of one entry; `list_max_listpack_size` is entries when positive,
    and 4, 8, 16, 32, 64 KB in all for -1 to -5.
    """

    list_max_listpack_size: int = -2
    hash_max_listpack_entries: int = 128
    hash_max_listpack_value: int = 64
    set_max_intset_entries: int = 512
    set_max_listpack_entries: int = 128
    set_max_listpack_value: int = 64
    zset_max_listpack_entries: int = 128
    zset_max_listpack_value: int = 64

    def list_bytes(self) -> int:
        """Bytes that the listpack of a list may have, its header included."""
        size = self.list_max_listpack_size
        return _SAFE_BYTES if size >= 0 else _NODE_BYTES[min(-size, len(_NODE_BYTES)) - 1]

    def list_entries(self) -> int:
        """Entries that the listpack of a list may have."""
        size = self.list_max_listpack_size
        return _UNLIMITED if size < 0 else max(size, 1)

    def list_shrunk_bytes(self) -> int:
        """At how many bytes a quicklist that shrinks becomes a listpack again: half, so that a list at the
        limit does not go to and fro.
        """
        size = self.list_max_listpack_size
        return _UNLIMITED if size >= 0 else self.list_bytes() // 2

    def list_shrunk_entries(self) -> int:
        """At how many entries a quicklist that shrinks becomes a listpack again."""
        return self.list_entries() // 2


DEFAULT = Limits()
