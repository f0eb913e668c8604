"""Up to where collections are stored compactly: the directives *-max-listpack-*, set-max-intset-entries and
stream-node-max-*.

They can change while the node runs, so every operation that may make a collection grow gets the limits of the
moment. A collection that was converted under tighter limits stays as it is.

Source: redis.conf of Redis 7.2, "ADVANCED CONFIG"; quicklist.c for what the limit of lists means.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_NODE_BYTES = (4096, 8192, 16384, 32768, 65536)
# What a limit on entries does not limit: an entry may be long.
_SAFE_BYTES = 8192
_STREAM_BYTES = 1 << 30
_UNLIMITED = 1 << 63


@dataclass(frozen=True, slots=True)
class Limits:
    """Entries (fields, members) and bytes of one entry; `list_max_listpack_size` is entries when positive,
    and 4, 8, 16, 32, 64 KB in all for -1 to -5.

    What follows from that for lists is worked out once: entries and bytes (the listpack's header included) of
    a listpack, and those at which a quicklist that shrinks becomes one again: half, so that a list at the
    limit does not go to and fro. So is what follows for nodes of streams, where 0 is no limit.
    """

    list_max_listpack_size: int = -2
    hash_max_listpack_entries: int = 512
    hash_max_listpack_value: int = 64
    set_max_intset_entries: int = 512
    set_max_listpack_entries: int = 128
    set_max_listpack_value: int = 64
    zset_max_listpack_entries: int = 128
    zset_max_listpack_value: int = 64
    stream_node_max_bytes: int = 4096
    stream_node_max_entries: int = 100

    list_entries: int = field(init=False, repr=False, compare=False)
    list_bytes: int = field(init=False, repr=False, compare=False)
    list_shrunk_entries: int = field(init=False, repr=False, compare=False)
    list_shrunk_bytes: int = field(init=False, repr=False, compare=False)
    stream_node_bytes: int = field(init=False, repr=False, compare=False)
    stream_node_entries: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = self.list_max_listpack_size
        entries = _UNLIMITED if size < 0 else max(size, 1)
        most_bytes = _SAFE_BYTES if size >= 0 else _NODE_BYTES[min(-size, len(_NODE_BYTES)) - 1]
        object.__setattr__(self, "list_entries", entries)
        object.__setattr__(self, "list_bytes", most_bytes)
        object.__setattr__(self, "list_shrunk_entries", entries // 2)
        object.__setattr__(self, "list_shrunk_bytes", most_bytes if size >= 0 else most_bytes // 2)
        node_bytes = min(self.stream_node_max_bytes or _STREAM_BYTES, _STREAM_BYTES)
        object.__setattr__(self, "stream_node_bytes", node_bytes)
        object.__setattr__(self, "stream_node_entries", self.stream_node_max_entries or _UNLIMITED)


DEFAULT = Limits()
