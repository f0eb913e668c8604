"""What follows from several directives: up to where collections are stored compactly, as the values take
them, and how much output may wait for a replica.
"""

from __future__ import annotations

from typing import Any

from node.config import table
from node.config.config import Config
from node.config.directive import Directive
from node.config.special import BufferLimit
from node.values.limits import Limits

COLLECTION_LIMITS: tuple[Directive[Any], ...] = (
    table.LIST_MAX_LISTPACK_SIZE,
    table.HASH_MAX_LISTPACK_ENTRIES,
    table.HASH_MAX_LISTPACK_VALUE,
    table.SET_MAX_INTSET_ENTRIES,
    table.SET_MAX_LISTPACK_ENTRIES,
    table.SET_MAX_LISTPACK_VALUE,
    table.ZSET_MAX_LISTPACK_ENTRIES,
    table.ZSET_MAX_LISTPACK_VALUE,
    table.STREAM_NODE_MAX_BYTES,
    table.STREAM_NODE_MAX_ENTRIES,
)


def limits_of(config: Config) -> Limits:
    """The limits that `config` sets at this moment; one that has changed makes others."""
    return Limits(
        list_max_listpack_size=config[table.LIST_MAX_LISTPACK_SIZE],
        hash_max_listpack_entries=config[table.HASH_MAX_LISTPACK_ENTRIES],
        hash_max_listpack_value=config[table.HASH_MAX_LISTPACK_VALUE],
        set_max_intset_entries=config[table.SET_MAX_INTSET_ENTRIES],
        set_max_listpack_entries=config[table.SET_MAX_LISTPACK_ENTRIES],
        set_max_listpack_value=config[table.SET_MAX_LISTPACK_VALUE],
        zset_max_listpack_entries=config[table.ZSET_MAX_LISTPACK_ENTRIES],
        zset_max_listpack_value=config[table.ZSET_MAX_LISTPACK_VALUE],
        stream_node_max_bytes=config[table.STREAM_NODE_MAX_BYTES],
        stream_node_max_entries=config[table.STREAM_NODE_MAX_ENTRIES],
    )


def replica_output_limit(config: Config) -> BufferLimit:
    """client-output-buffer-limit of replicas. A hard limit below the backlog's size counts as that: who comes
    back gets as much at once.
    """
    limit = config[table.CLIENT_OUTPUT_BUFFER_LIMIT].replica
    backlog_bytes = config[table.REPL_BACKLOG_SIZE]
    if not 0 < limit.hard_bytes < backlog_bytes:
        return limit
    return limit._replace(hard_bytes=backlog_bytes)
